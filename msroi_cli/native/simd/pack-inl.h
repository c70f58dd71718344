// Packing: from planes, [channel][x], to cells, [x][channel], by register transposes.
// Included in this folder alone, as lanes-inl.h is.
#pragma once

#include "simd/source-inl.h"

namespace msroi {
namespace MSROI_ISA_NAMESPACE {

// QUAD columns of all channels. from[c]: the first of these columns in channel c.
template <class Source, class T>
MSROI_INLINE void pack_square(T* to, const Source& source, const char* const* channel, int64_t offset) {
    typedef typename Lanes<T>::Vector Vector;
    for (int r = 0; r < REGISTERS; ++r) {
        Vector v[QUAD<T>];
        for (int i = 0; i < QUAD<T>; ++i) {
            Float4 quads[MSROI_VECTOR / 16];
            for (int q = 0; q < MSROI_VECTOR / 16; ++q)
                quads[q] = source.quad(channel[r * WIDTH<T> + q * QUAD<T> + i] + offset);
            v[i] = (Vector)join(quads);
        }
        transpose(v);
        for (int i = 0; i < QUAD<T>; ++i) store(to + i * BLOCK<T> + r * WIDTH<T>, v[i]);
    }
}

// Brings the cache line `offset` bytes into each plane nearer.
template <class T>
MSROI_INLINE void fetch(const char* const* channel, int64_t offset) {
    for (int lane = 0; lane < BLOCK<T>; ++lane) __builtin_prefetch(channel[lane] + offset, 0, 2);
}

// `n` neighbouring columns that begin `offset` bytes into each plane. While they are packed, those `ahead` bytes further
// on are fetched: sixteen streams are more than the processor follows by itself.
template <class Source, class T>
static void pack_run(T* to, const Source& source, const char* const* channel, int64_t offset, int64_t n,
                     int64_t ahead) {
    int64_t x = 0;
    for (; x + QUAD<T> <= n; x += QUAD<T>) {
        if (ahead && x % BLOCK<T> == 0) fetch<T>(channel, offset + x * source.step() + ahead);
        pack_square(to + x * BLOCK<T>, source, channel, offset + x * source.step());
    }
    if (x == n) return;
    if (n > QUAD<T>) {
        x = n - QUAD<T>;
        return pack_square(to + x * BLOCK<T>, source, channel, offset + x * source.step());
    }
    for (; x < n; ++x)
        for (int lane = 0; lane < BLOCK<T>; ++lane)
            to[x * BLOCK<T> + lane] = source.at(channel[lane] + offset + x * source.step());
}

constexpr int64_t AHEAD_ROWS = 4;

// The rows that will be packed next, fetched a cache line of each plane at a time while boxes are pooled: memory has
// nothing else to do then.
struct Ahead {
    int64_t newest = -1, row = 0, byte = 0;

    // Row `y` is being packed. Tells whether it is still to be fetched.
    void packing(int64_t y) {
        if (y > newest) newest = y;
        if (row <= y) row = y + 1, byte = 0;
    }

    template <class T>
    void step(const char* const* channel, int64_t row_stride, int64_t first, int64_t bytes, int64_t last_row) {
        if (row > newest + AHEAD_ROWS || row > last_row) return;
        fetch<T>(channel, row * row_stride + first + byte);
        byte += 64;
        if (byte >= bytes) ++row, byte = 0;
    }
};

}  // namespace MSROI_ISA_NAMESPACE
}  // namespace msroi
