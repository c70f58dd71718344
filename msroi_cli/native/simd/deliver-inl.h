// From sums to crops: channels out of the lanes, into the type, byte order and strides of the caller's array.
// Included in this folder alone, as lanes-inl.h is.
#pragma once

#include "pooling/scratch.h"
#include "pooling/sweep.h"
#include "simd/half-inl.h"

namespace msroi {
namespace MSROI_ISA_NAMESPACE {

MSROI_INLINE void put(uint16_t* to, float value) { *to = narrow(value); }
MSROI_INLINE void put(uint16_t* to, double value) { *to = narrow(value); }
template <class O, class T>
MSROI_INLINE void put(O* to, T value) {
    *to = O(value);
}

MSROI_INLINE void put_quad(float* to, Float4 quad) { store(to, quad); }
MSROI_INLINE void put_quad(double* to, Float4 quad) { store(to, quad); }
MSROI_INLINE void put_quad(uint16_t* to, Float4 quad) { narrow4(to, quad); }

// The one NaN that is delivered: which of its bits come out of a sum depends on the instruction set.
MSROI_INLINE float canonical(float value) { return value == value ? value : __builtin_nanf(""); }
MSROI_INLINE double canonical(double value) { return value == value ? value : __builtin_nan(""); }
MSROI_INLINE Floats canonical(Floats value) { return value == value ? value : __builtin_nanf("") - Floats{}; }
MSROI_INLINE Doubles canonical(Doubles value) { return value == value ? value : __builtin_nan("") - Doubles{}; }

// QUAD bins of all lanes, transposed: from tile[bin][lane] to stage[lane][bin].
template <class T, class O>
MSROI_INLINE void stage_square(O* stage, const T* tile, int64_t bins, int64_t bin) {
    typedef typename Lanes<T>::Vector Vector;
    for (int r = 0; r < REGISTERS; ++r) {
        Vector v[QUAD<T>];
        for (int i = 0; i < QUAD<T>; ++i) v[i] = canonical(load<Vector>(tile + (bin + i) * BLOCK<T> + r * WIDTH<T>));
        transpose(v);
        for (int i = 0; i < QUAD<T>; ++i) {
            Float4 quads[MSROI_VECTOR / 16];
            split((Floats)v[i], quads);
            for (int q = 0; q < MSROI_VECTOR / 16; ++q)
                put_quad(stage + (r * WIDTH<T> + q * QUAD<T> + i) * bins + bin, quads[q]);
        }
    }
}

template <class T, class O>
void stage_elements(O* stage, const T* tile, int64_t bins) {
    for (int64_t bin = 0; bin < bins; ++bin)
        for (int lane = 0; lane < BLOCK<T>; ++lane)
            put(stage + lane * bins + bin, canonical(tile[bin * BLOCK<T> + lane]));
}

// Whole squares, the last one over the one before where they do not come out even.
template <class T, class O>
void stage_squares(O* stage, const T* tile, int64_t bins) {
    if (bins < QUAD<T>) return stage_elements(stage, tile, bins);
    int64_t bin = 0;
    for (; bin + QUAD<T> <= bins; bin += QUAD<T>) stage_square(stage, tile, bins, bin);
    if (bin < bins) stage_square(stage, tile, bins, bins - QUAD<T>);
}

MSROI_INLINE void stage_block(char* stage, const float* tile, int64_t bins, Type type) {
    if (type == Type::f32) return stage_squares(reinterpret_cast<float*>(stage), tile, bins);
    if (type == Type::f16) return stage_squares(reinterpret_cast<uint16_t*>(stage), tile, bins);
    stage_elements(reinterpret_cast<double*>(stage), tile, bins);
}

MSROI_INLINE void stage_block(char* stage, const double* tile, int64_t bins, Type type) {
    if (type == Type::f64) return stage_squares(reinterpret_cast<double*>(stage), tile, bins);
    if (type == Type::f32) return stage_elements(reinterpret_cast<float*>(stage), tile, bins);
    stage_elements(reinterpret_cast<uint16_t*>(stage), tile, bins);
}

// The bins of one channel.
template <class O, class T>
void put_all(char* stage, const T* tile, int64_t bins) {
    for (int64_t bin = 0; bin < bins; ++bin) put(reinterpret_cast<O*>(stage) + bin, canonical(tile[bin]));
}

template <class T>
void stage_channel(char* stage, const T* tile, int64_t bins, Type type) {
    switch (type) {
        case Type::f16:
            return put_all<uint16_t>(stage, tile, bins);
        case Type::f32:
            return put_all<float>(stage, tile, bins);
        case Type::f64:
            return put_all<double>(stage, tile, bins);
    }
}

// A copy around the caches: crops that will not fit there need not be read before they are written.
MSROI_INLINE void copy_streaming(char* to, const char* from, int64_t bytes) {
    const int64_t head = -int64_t(reinterpret_cast<uintptr_t>(to)) & 63;
    __builtin_memcpy(to, from, head);
    int64_t i = head;
    for (; i + 64 <= bytes; i += 64)
        for (int r = 0; r < REGISTERS; ++r)
            stream(to + i + r * MSROI_VECTOR, load<Floats>(from + i + r * MSROI_VECTOR));
    __builtin_memcpy(to + i, from + i, bytes - i);
}

MSROI_INLINE void copy(char* to, const char* from, int64_t bytes, bool streaming) {
    if (streaming && bytes >= 1024) return copy_streaming(to, from, bytes);
    __builtin_memcpy(to, from, bytes);
}

// A rectangle of bins.
struct Part {
    int64_t y0, y1, x0, x1;
    int64_t bins() const { return (y1 - y0) * (x1 - x0); }
};

MSROI_INLINE void put_element(char* to, const char* from, int64_t bytes, bool swapped) {
    for (int64_t i = 0; i < bytes; ++i) to[i] = from[swapped ? bytes - 1 - i : i];
}

// stage[lane][bin] to any strides and byte order.
static void scatter(const Unit& unit, char* to, const char* stage, int64_t lanes, const Part& part) {
    const int64_t bytes = bytes_of(unit.out_type);
    for (int64_t lane = 0; lane < lanes; ++lane)
        for (int64_t y = part.y0; y < part.y1; ++y)
            for (int64_t x = part.x0; x < part.x1; ++x, stage += bytes)
                put_element(to + lane * unit.out_channel + y * unit.out_y + x * unit.out_x, stage, bytes,
                            unit.out_swapped);
}

// Writes the staged bins of `part` of one box, channels `first` to `first + lanes` of the unit.
static void deliver(const Unit& unit, int64_t row, int64_t first, int64_t lanes, const Part& part) {
    const char* stage = unit.scratch.stage;
    char* to = unit.out + row * unit.out_row + first * unit.out_channel;
    const int64_t element = bytes_of(unit.out_type), bytes = part.bins() * element;
    const bool whole_lines = part.x1 - part.x0 == unit.bins_x && unit.out_y == unit.bins_x * element;
    if (unit.out_swapped || unit.out_x != element || !whole_lines) return scatter(unit, to, stage, lanes, part);
    to += part.y0 * unit.out_y;
    if (unit.out_channel == bytes) return copy(to, stage, lanes * bytes, unit.streaming);
    for (int64_t lane = 0; lane < lanes; ++lane)
        copy(to + lane * unit.out_channel, stage + lane * bytes, bytes, unit.streaming);
}

}  // namespace MSROI_ISA_NAMESPACE
}  // namespace msroi
