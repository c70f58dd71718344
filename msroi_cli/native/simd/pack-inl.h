// Packing: from planes, [channel][x], to cells, [x][channel], by register transposes; or from cells to cells.
// Included in this folder alone, as lanes-inl.h is.
#pragma once

#include "simd/source-inl.h"
#include "simd/steps-inl.h"

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
template <class Source, class T = typename Source::Sum>
MSROI_INLINE void fetch(const Source&, const char* const* channel, int64_t offset) {
    for (int lane = 0; lane < BLOCK<T>; ++lane) __builtin_prefetch(channel[lane] + offset, 0, 2);
}

// Or the cell, all of whose channels lie together.
MSROI_INLINE void fetch(const HalfCells& source, const char* const* channel, int64_t offset) {
    for (int64_t line = 0; line < 2 * source.lanes; line += 64) __builtin_prefetch(channel[0] + offset + line, 0, 2);
}

// `n` neighbouring columns that begin `offset` bytes into each plane. While they are packed, those `ahead` bytes further
// on are fetched: sixteen streams are more than the processor follows by itself.
template <class Source, class T>
static void pack_run(T* to, int64_t, const Source& source, const char* const* channel, int64_t offset, int64_t n,
                     int64_t ahead) {
    int64_t x = 0;
    for (; x + QUAD<T> <= n; x += QUAD<T>) {
        if (ahead && x % BLOCK<T> == 0) fetch(source, channel, offset + x * source.step() + ahead);
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

// The channels of a cell, of which there are fewer than lanes in the last block.
MSROI_INLINE void pack_half_cell(float* to, const char* from, int64_t lanes) {
    if (lanes == BLOCK<float>) {
        for (int i = 0; i < BLOCK<float>; i += 4) store(to + i, widen4(from + 2 * i));
        return;
    }
    for (int64_t lane = 0; lane < BLOCK<float>; ++lane)
        to[lane] = lane < lanes ? widen(load<uint16_t>(from + 2 * lane)) : 0.0f;
}

// All blocks of the unit, each `pitch` elements behind the one before.
static void pack_run(float* to, int64_t pitch, const HalfCells& source, const char* const* channel, int64_t offset,
                     int64_t n, int64_t ahead) {
    constexpr int64_t CELL = BLOCK<float>;
    const char* cell = channel[0] + offset;
    for (int64_t x = 0; x < n; ++x, cell += source.step(), to += CELL) {
        const char* from = cell;
        float* block = to;
        for (int64_t lanes = source.lanes; lanes > 0; lanes -= CELL, from += 2 * CELL, block += pitch) {
            if (ahead) __builtin_prefetch(from + ahead, 0, 2);
            pack_half_cell(block, from, smaller(lanes, CELL));
        }
    }
}

constexpr int64_t AHEAD_ROWS = 4;

// The rows that will be packed next, fetched a cache line of each plane at a time while boxes are pooled: memory has
// nothing else to do then.
struct Ahead {
    int64_t newest = -1, row = 0, column = 0;

    // Row `y` is being packed. Tells whether it is still to be fetched.
    void packing(int64_t y) {
        if (y > newest) newest = y;
        if (row <= y) row = y + 1, column = 0;
    }

    template <class Source>
    void step(const Source& source, const char* const* channel, const Unit& unit, int64_t last_row) {
        if (row > newest + AHEAD_ROWS || row > last_row) return;
        const int64_t end = smaller(column + source.columns_a_step(), unit.columns);
        for (; column < end; column += source.columns_a_line())
            fetch(source, channel, row * unit.row_stride + (unit.first_column + column) * source.step());
        if (column >= unit.columns) ++row, column = 0;
    }
};

}  // namespace MSROI_ISA_NAMESPACE
}  // namespace msroi
