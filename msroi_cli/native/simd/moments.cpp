// Sums over the values of a crop; compiled once per instruction set, as sweep.cpp is.
//
// Whatever the width of a register, value i is added to lane i % LANES, and the lanes are added up in order: so the sums
// are the same bits on every instruction set.

#include "pooling/isa.h"
#include "simd/half-inl.h"

namespace msroi {
namespace MSROI_ISA_NAMESPACE {

constexpr int LANES = 16;

// Half as many floats as a register holds. By name, as GCC takes a conversion of vectors to pieces.
MSROI_INLINE Doubles doubles(const float* from) {
#if MSROI_VECTOR == 64
    return _mm512_maskz_cvtps_pd(0xff, _mm256_loadu_ps(from));  // all of them: GCC warns of the plain one's header
#elif MSROI_VECTOR == 32
    return _mm256_cvtps_pd(_mm_loadu_ps(from));
#elif defined(__SSE2__)
    return _mm_cvtps_pd(_mm_castpd_ps(_mm_load_sd(reinterpret_cast<const double*>(from))));
#else
    typedef float Float2 __attribute__((vector_size(8)));
    return __builtin_convertvector(load<Float2>(from), Doubles);
#endif
}
MSROI_INLINE Doubles doubles(const double* from) { return load<Doubles>(from); }

// value < low ? value : low, NaN and zeros included: what the instruction gives, but no compiler takes it for.
template <class V>
MSROI_INLINE V lower(V value, V low) {
    return value < low ? value : low;
}
template <class V>
MSROI_INLINE V higher(V value, V high) {
    return value > high ? value : high;
}
#if MSROI_VECTOR == 64
MSROI_INLINE Floats lower(Floats value, Floats low) { return _mm512_maskz_min_ps(0xffff, value, low); }
MSROI_INLINE Floats higher(Floats value, Floats high) { return _mm512_maskz_max_ps(0xffff, value, high); }
#elif MSROI_VECTOR == 32
MSROI_INLINE Floats lower(Floats value, Floats low) { return _mm256_min_ps(value, low); }
MSROI_INLINE Floats higher(Floats value, Floats high) { return _mm256_max_ps(value, high); }
#elif defined(__SSE2__)
MSROI_INLINE Floats lower(Floats value, Floats low) { return _mm_min_ps(value, low); }
MSROI_INLINE Floats higher(Floats value, Floats high) { return _mm_max_ps(value, high); }
#endif

// LANES values as numbers of type T: where they lie, or in `room`.
template <class T>
MSROI_INLINE const T* block_at(const T* from, T*) {
    return from;
}
MSROI_INLINE const float* block_at(const uint16_t* from, float* room) {
    for (int i = 0; i < LANES; i += 4) store(room + i, widen4(from + i));
    return room;
}

MSROI_INLINE float value_at(const uint16_t* from) { return widen(load<uint16_t>(from)); }
template <class T>
MSROI_INLINE T value_at(const T* from) {
    return load<T>(from);
}

// Sums of values less `shift`, one a lane.
template <class T>
struct LaneSums {
    double sum[LANES] = {}, squares[LANES] = {};
    T low[LANES], high[LANES];
    int64_t zeros = 0;

    void add(int lane, T value, double shift) {
        const double away = double(value) - shift;
        sum[lane] += away;
        squares[lane] += away * away;
        low[lane] = value < low[lane] ? value : low[lane];
        high[lane] = value > high[lane] ? value : high[lane];
        zeros += value == 0;
    }

    MomentSums total(double shift) const {
        MomentSums all = {shift, 0, 0, double(low[0]), double(high[0]), zeros};
        for (int i = 0; i < LANES; ++i) {
            all.sum += sum[i];
            all.squares += squares[i];
            all.low = double(low[i]) < all.low ? double(low[i]) : all.low;
            all.high = double(high[i]) > all.high ? double(high[i]) : all.high;
        }
        return all;
    }
};

// The first values, a multiple of LANES, a block at a time. Returns how many.
template <class T, class Stored>
static int64_t add_blocks(LaneSums<T>& lanes, const Stored* values, int64_t length, double shift) {
    typedef typename Lanes<T>::Vector Vector;
    typedef decltype(Vector{} == Vector{}) Mask;
    constexpr int WIDE = LANES / WIDTH<double>, NARROW = LANES / WIDTH<T>;
    Doubles sum[WIDE] = {}, squares[WIDE] = {};
    Vector low[NARROW], high[NARROW];
    Mask zeros[NARROW] = {};
    const T first = value_at(values);
    for (int r = 0; r < NARROW; ++r) low[r] = high[r] = splat(first);
    int64_t start = 0;
    for (; start + LANES <= length; start += LANES) {
        T room[LANES];
        const T* block = block_at(values + start, room);
        for (int r = 0; r < WIDE; ++r) {
            const Doubles away = doubles(block + r * WIDTH<double>) - shift;
            sum[r] += away;
            squares[r] += away * away;
        }
        for (int r = 0; r < NARROW; ++r) {
            const Vector value = load<Vector>(block + r * WIDTH<T>);
            low[r] = lower(value, low[r]);
            high[r] = higher(value, high[r]);
            zeros[r] -= value == T(0) - Vector{};
        }
    }
    for (int r = 0; r < WIDE; ++r) {
        store(lanes.sum + r * WIDTH<double>, sum[r]);
        store(lanes.squares + r * WIDTH<double>, squares[r]);
    }
    for (int r = 0; r < NARROW; ++r) {
        store(lanes.low + r * WIDTH<T>, low[r]);
        store(lanes.high + r * WIDTH<T>, high[r]);
        for (int i = 0; i < WIDTH<T>; ++i) lanes.zeros += zeros[r][i];
    }
    return start;
}

template <class T, class Stored>
static MomentSums sums_of(const Stored* values, int64_t length) {
    LaneSums<T> lanes;
    const double shift = double(value_at(values));
    const int64_t start = add_blocks(lanes, values, length, shift);
    for (int64_t i = start; i < length; ++i) lanes.add(int(i - start), value_at(values + i), shift);
    return lanes.total(shift);
}

MomentSums moments(const char* values, int64_t length, Type type) {
    switch (type) {
        case Type::f16:
            return sums_of<float>(reinterpret_cast<const uint16_t*>(values), length);
        case Type::f32:
            return sums_of<float>(reinterpret_cast<const float*>(values), length);
        default:
            return sums_of<double>(reinterpret_cast<const double*>(values), length);
    }
}

}  // namespace MSROI_ISA_NAMESPACE
}  // namespace msroi
