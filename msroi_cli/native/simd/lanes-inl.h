// Vectors of one instruction set: loads, stores, transposes and half floats, in GCC and Clang vector extensions.
// Included by the .cpp files of this folder alone, inside their namespace: nothing may be shared between instruction sets.
#pragma once

#include <stdint.h>

#if defined(__SSE2__)
#include <immintrin.h>
#elif defined(__aarch64__)
#include <arm_neon.h>
#endif

#if defined(__AVX512F__) && defined(__AVX512VL__)
#define MSROI_VECTOR 64
#elif defined(__AVX2__)
#define MSROI_VECTOR 32
#else
#define MSROI_VECTOR 16
#endif

#define MSROI_INLINE static inline __attribute__((always_inline))

namespace msroi {
namespace MSROI_ISA_NAMESPACE {

typedef float Floats __attribute__((vector_size(MSROI_VECTOR)));
typedef double Doubles __attribute__((vector_size(MSROI_VECTOR)));
typedef float Float4 __attribute__((vector_size(16)));
typedef int32_t Int4 __attribute__((vector_size(16)));
typedef uint16_t Short4 __attribute__((vector_size(8)));
typedef int16_t Short8 __attribute__((vector_size(16)));

template <class T>
struct Lanes;

template <>
struct Lanes<float> {
    typedef Floats Vector;
    typedef Float4 Quad;
};

template <>
struct Lanes<double> {
    typedef Doubles Vector;
    typedef double Quad __attribute__((vector_size(16)));
};

template <class T>
inline constexpr int WIDTH = MSROI_VECTOR / int(sizeof(T));  // lanes of a register
template <class T>
inline constexpr int BLOCK = 64 / int(sizeof(T));  // channels of a block
template <class T>
inline constexpr int QUAD = 16 / int(sizeof(T));  // elements of 128 bits: the square that is transposed
constexpr int REGISTERS = 64 / MSROI_VECTOR;      // of a block

template <class V>
MSROI_INLINE V load(const void* from) {
    V value;
    __builtin_memcpy(&value, from, sizeof value);
    return value;
}

template <class V>
MSROI_INLINE void store(void* to, V value) {
    __builtin_memcpy(to, &value, sizeof value);
}

template <class T>
MSROI_INLINE typename Lanes<T>::Vector splat(T value) {
    return value - typename Lanes<T>::Vector{};
}

// Writes a vector around the caches; `to` is aligned.
MSROI_INLINE void stream(void* to, Floats value) {
#if defined(__AVX512F__) && MSROI_VECTOR == 64
    _mm512_stream_ps(static_cast<float*>(to), value);
#elif MSROI_VECTOR == 32
    _mm256_stream_ps(static_cast<float*>(to), value);
#elif defined(__SSE2__)
    _mm_stream_ps(static_cast<float*>(to), value);
#else
    store(to, value);
#endif
}

// Makes streamed writes visible to whoever learns that the unit is done.
MSROI_INLINE void stream_end() {
#if defined(__SSE2__)
    _mm_sfence();
#endif
}

// 128 bits from each of MSROI_VECTOR / 16 places, side by side.
MSROI_INLINE Floats join(const Float4* q) {
#if MSROI_VECTOR == 64
    typedef float Float8 __attribute__((vector_size(32)));
    const Float8 low = __builtin_shufflevector(q[0], q[1], 0, 1, 2, 3, 4, 5, 6, 7);
    const Float8 high = __builtin_shufflevector(q[2], q[3], 0, 1, 2, 3, 4, 5, 6, 7);
    return __builtin_shufflevector(low, high, 0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15);
#elif MSROI_VECTOR == 32
    return __builtin_shufflevector(q[0], q[1], 0, 1, 2, 3, 4, 5, 6, 7);
#else
    return q[0];
#endif
}

// The reverse of `join`.
MSROI_INLINE void split(Floats value, Float4* q) {
#if MSROI_VECTOR == 64
    q[0] = __builtin_shufflevector(value, value, 0, 1, 2, 3);
    q[1] = __builtin_shufflevector(value, value, 4, 5, 6, 7);
    q[2] = __builtin_shufflevector(value, value, 8, 9, 10, 11);
    q[3] = __builtin_shufflevector(value, value, 12, 13, 14, 15);
#elif MSROI_VECTOR == 32
    q[0] = __builtin_shufflevector(value, value, 0, 1, 2, 3);
    q[1] = __builtin_shufflevector(value, value, 4, 5, 6, 7);
#else
    q[0] = value;
#endif
}

#if MSROI_VECTOR == 64
#define MSROI_LOW32 0, 16, 1, 17, 4, 20, 5, 21, 8, 24, 9, 25, 12, 28, 13, 29
#define MSROI_HIGH32 2, 18, 3, 19, 6, 22, 7, 23, 10, 26, 11, 27, 14, 30, 15, 31
#define MSROI_LOW64 0, 8, 2, 10, 4, 12, 6, 14
#define MSROI_HIGH64 1, 9, 3, 11, 5, 13, 7, 15
#elif MSROI_VECTOR == 32
#define MSROI_LOW32 0, 8, 1, 9, 4, 12, 5, 13
#define MSROI_HIGH32 2, 10, 3, 11, 6, 14, 7, 15
#define MSROI_LOW64 0, 4, 2, 6
#define MSROI_HIGH64 1, 5, 3, 7
#else
#define MSROI_LOW32 0, 4, 1, 5
#define MSROI_HIGH32 2, 6, 3, 7
#define MSROI_LOW64 0, 2
#define MSROI_HIGH64 1, 3
#endif

// Transposes the square of QUAD x QUAD elements in each 128 bits of QUAD vectors.
MSROI_INLINE void transpose(Floats* v) {
    const Doubles low01 = (Doubles)__builtin_shufflevector(v[0], v[1], MSROI_LOW32);
    const Doubles high01 = (Doubles)__builtin_shufflevector(v[0], v[1], MSROI_HIGH32);
    const Doubles low23 = (Doubles)__builtin_shufflevector(v[2], v[3], MSROI_LOW32);
    const Doubles high23 = (Doubles)__builtin_shufflevector(v[2], v[3], MSROI_HIGH32);
    v[0] = (Floats)__builtin_shufflevector(low01, low23, MSROI_LOW64);
    v[1] = (Floats)__builtin_shufflevector(low01, low23, MSROI_HIGH64);
    v[2] = (Floats)__builtin_shufflevector(high01, high23, MSROI_LOW64);
    v[3] = (Floats)__builtin_shufflevector(high01, high23, MSROI_HIGH64);
}

MSROI_INLINE void transpose(Doubles* v) {
    const Doubles low = __builtin_shufflevector(v[0], v[1], MSROI_LOW64);
    const Doubles high = __builtin_shufflevector(v[0], v[1], MSROI_HIGH64);
    v[0] = low;
    v[1] = high;
}

}  // namespace MSROI_ISA_NAMESPACE
}  // namespace msroi
