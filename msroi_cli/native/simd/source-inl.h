// Where elements come from: planes as they lie in the caller's memory. Included in this folder alone, as lanes-inl.h is.
//
// A source knows the sum's type `Sum`, whether rows can be used as they lie (`direct`), one element (`at`), QUAD
// neighbours in a row (`quad`), the bytes from a column to the next (`step`), how many columns a cache line of each
// channel holds (`columns_a_line`), and how many are fetched in one step ahead (`columns_a_step`);
// `select` tells it how many channels are left, and how many at most are packed together.
#pragma once

#include "pooling/sweep.h"
#include "simd/half-inl.h"

namespace msroi {
namespace MSROI_ISA_NAMESPACE {

struct HalfRows {
    typedef float Sum;
    static constexpr bool direct = false;
    explicit HalfRows(const Unit&) {}
    int64_t step() const { return 2; }
    int64_t columns_a_line() const { return 32; }
    int64_t columns_a_step() const { return columns_a_line(); }
    void select(int64_t, int64_t) {}
    MSROI_INLINE float at(const char* from) { return widen(load<uint16_t>(from)); }
    Float4 quad(const char* from) const { return widen4(from); }
};

template <class T>
struct Rows {
    typedef T Sum;
    static constexpr bool direct = true;
    explicit Rows(const Unit&) {}
    int64_t step() const { return sizeof(T); }
    int64_t columns_a_line() const { return 64 / int64_t(sizeof(T)); }
    int64_t columns_a_step() const { return columns_a_line(); }
    void select(int64_t, int64_t) {}
    MSROI_INLINE T at(const char* from) { return load<T>(from); }
    Float4 quad(const char* from) const { return load<Float4>(from); }
};

MSROI_INLINE float number(uint16_t bits) { return widen(bits); }
MSROI_INLINE float number(uint32_t bits) { return float_of(bits); }
MSROI_INLINE double number(uint64_t bits) {
    double value;
    __builtin_memcpy(&value, &bits, sizeof value);
    return value;
}
MSROI_INLINE uint16_t byteswapped(uint16_t bits) { return __builtin_bswap16(bits); }
MSROI_INLINE uint32_t byteswapped(uint32_t bits) { return __builtin_bswap32(bits); }
MSROI_INLINE uint64_t byteswapped(uint64_t bits) { return __builtin_bswap64(bits); }

// Any distance between neighbours and either byte order, element by element. Word: the bits of an element.
template <class Word>
struct Scattered {
    typedef decltype(number(Word())) Sum;
    static constexpr bool direct = false;
    int64_t distance;
    bool swapped;

    explicit Scattered(const Unit& unit) : distance(unit.column_stride), swapped(unit.swapped) {}
    int64_t step() const { return distance; }
    int64_t columns_a_line() const { return distance > 0 && distance < 64 ? 64 / distance : 1; }
    int64_t columns_a_step() const { return columns_a_line(); }
    void select(int64_t, int64_t) {}
    Sum at(const char* from) const {
        const Word bits = load<Word>(from);
        return number(swapped ? byteswapped(bits) : bits);
    }
    Float4 quad(const char* from) const {
        Sum values[QUAD<Sum>];
        for (int i = 0; i < QUAD<Sum>; ++i) values[i] = at(from + i * distance);
        return load<Float4>(values);
    }
};

// float16 and channels last, (N, H, W, C): the channels of a cell lie one after the other, as cells are packed.
struct HalfCells {
    typedef float Sum;
    int64_t distance;
    int64_t lanes = 0;  // that are packed together

    explicit HalfCells(const Unit& unit) : distance(unit.column_stride) {}
    void select(int64_t left, int64_t most) { lanes = left < most ? left : most; }
    int64_t step() const { return distance; }
    int64_t columns_a_line() const { return 1; }
    int64_t columns_a_step() const { return 16; }
};

}  // namespace MSROI_ISA_NAMESPACE
}  // namespace msroi
