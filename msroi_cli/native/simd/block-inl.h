// Boxes on blocks of channels, channels in the lanes: Mode::rows and Mode::window. Where channels of float16
// come last, a unit has several blocks, which are packed from the same cells.
// Included in this folder alone, as lanes-inl.h is.
#pragma once

#include "simd/deliver-inl.h"
#include "simd/pack-inl.h"
#include "simd/steps-inl.h"
#include "simd/sums-inl.h"

namespace msroi {
namespace MSROI_ISA_NAMESPACE {

template <class Source>
struct Block {
    typedef typename Source::Sum T;
    static constexpr int64_t CELL = BLOCK<T>;

    const Unit& unit;
    Source source;
    const char* channel[BLOCK<T>];
    int64_t first_block = 0, blocks = 0;  // those that are packed together
    const int64_t tile_rows;
    Ahead ahead;
    int64_t last_row = 0;

    explicit Block(const Unit& given)
        : unit(given), source(given), tile_rows(even_step(given.bins_y, MOST_BINS / given.bins_x)) {}

    // Turns to `count` blocks from number `first` on.
    void select(int64_t first, int64_t count) {
        first_block = first;
        blocks = count;
        ahead = Ahead();
        // Lanes without a channel repeat the last one, and are not delivered.
        for (int64_t lane = 0; lane < CELL; ++lane)
            channel[lane] = unit.planes + smaller(first * CELL + lane, unit.lanes - 1) * unit.channel_stride;
        source.select(unit.lanes - first * CELL, count * CELL);
    }

    bool ring() const { return unit.mode == Mode::rows; }
    T* cells() const { return reinterpret_cast<T*>(unit.scratch.cells); }
    T* lines() const { return reinterpret_cast<T*>(unit.scratch.lines); }
    T* tile() const { return reinterpret_cast<T*>(unit.scratch.tile); }

    // Packs the rows of the box that are not in the ring, and notes where the box begins in each.
    void pack_rows(const Box& box) {
        if (!box.y.count || !box.x.count) return;
        const int64_t left = (box.x.cell[0] - unit.first_column) * CELL, rows = unit.rows;
        const int64_t top = box.y.cell[0], base = uint32_t(top) % uint32_t(rows);
        for (int64_t slot = 0; slot < box.y.count; ++slot) {
            const int64_t y = box.y.cell[slot], beyond = base + (y - top), at = beyond < rows ? beyond : beyond - rows;
            T* row = cells() + at * blocks * unit.columns * CELL;
            unit.scratch.table[slot] = reinterpret_cast<const char*>(row + left);
            if (unit.scratch.held[at] == y) continue;
            unit.scratch.held[at] = int32_t(y);
            ahead.packing(y);
            pack_run(row, unit.columns * CELL, source, channel, y * unit.row_stride + unit.first_column * source.step(),
                     unit.columns, ahead.row > y + 1 ? 0 : unit.row_stride);
        }
    }

    void pack_window(const Box& box) {
        for (int64_t slot = 0; slot < box.y.count; ++slot) {
            T* row = cells() + slot * blocks * box.x.count * CELL;
            unit.scratch.table[slot] = reinterpret_cast<const char*>(row);
            const int64_t offset = box.y.cell[slot] * unit.row_stride;
            for (int64_t x = 0, end; x < box.x.count; x = end) {
                end = run_end(box.x, x, box.x.count);
                pack_run(row + x * CELL, box.x.count * CELL, source, channel, offset + box.x.cell[x] * source.step(),
                         end - x, unit.row_stride);
            }
        }
    }

    // The y axis of one block: lines [y0, y1) of the box, one element a column and channel.
    void down(const Box& box, int64_t block, int64_t y0, int64_t y1) {
        const int64_t first = block * (ring() ? unit.columns : box.x.count) * LANE_BYTES;
        const int64_t columns = box.x.count;
        for (int64_t x = 0, end; x < columns; x = end) {
            end = ring() ? run_end(box.x, x, columns) : columns;
            const int64_t column = ring() ? box.x.cell[x] - box.x.cell[0] : x;
            for (int64_t p = y0; p < y1; ++p) {
                if (ring()) ahead.step(source, channel, unit, last_row);
                down_run(*this, box, p, lines() + ((p - y0) * columns + x) * CELL, first + column * LANE_BYTES,
                         (end - x) * CELL);
            }
        }
    }

    MSROI_INLINE void down_run(const Block& block, const Box& box, int64_t p, T* line, int64_t offset, int64_t n) {
        const char* const* table = block.unit.scratch.table;
        const int64_t begin = box.y.begin[p], end = box.y.begin[p + 1], first = smaller(end, begin + MOST_TAPS);
        blend(line, table, box.y.slot + begin, weights<T>(box.y, begin), first - begin, offset, n, false);
        for (int64_t tap = first; tap < end; tap += MOST_TAPS)
            blend(line, table, box.y.slot + tap, weights<T>(box.y, tap), smaller(end - tap, MOST_TAPS), offset, n,
                  true);
    }

    // The x axis: the bins of `count` lines.
    void across(const Box& box, T* to, int64_t count) {
        for (int64_t q = 0; q < unit.bins_x; ++q) {
            const int64_t tap = box.x.begin[q];
            weigh<T, typename Lanes<T>::Vector, REGISTERS>(to + q * CELL, unit.bins_x * CELL, lines(),
                                                           box.x.count * CELL, count, box.x.slot + tap, 0, CELL,
                                                           weights<T>(box.x, tap), box.x.begin[q + 1] - tap);
        }
    }

    // The first and the last cache line of a crop's channels belong to others, too, and are read before they are
    // written, unless the crops are aligned: that takes as long as pooling a box does.
    void fetch_ends(const Box& box) const {
        const char* to = unit.out + box.row * unit.out_row;
        __builtin_prefetch(to, 1);
        __builtin_prefetch(to + unit.lanes * unit.out_channel - 1, 1);
    }

    void pool(const Box& box) {
        if (unit.streaming) fetch_ends(box);
        for (int64_t block = 0; block < blocks; ++block) pool_block(box, block);
    }

    void pool_block(const Box& box, int64_t block) {
        const int64_t line_bytes = box.x.count * LANE_BYTES;
        const int64_t line_rows =
            tile_rows * line_bytes <= LINES_GOAL ? tile_rows : even_step(tile_rows, LINES_GOAL / line_bytes);
        for (int64_t y0 = 0; y0 < unit.bins_y; y0 += tile_rows) {
            const Part part = {y0, smaller(y0 + tile_rows, unit.bins_y), 0, unit.bins_x};
            for (int64_t y = part.y0, end; y < part.y1; y = end) {
                end = smaller(y + line_rows, part.y1);
                down(box, block, y, end);
                across(box, tile() + (y - y0) * unit.bins_x * CELL, end - y);
            }
            stage_block(unit.scratch.stage, tile(), part.bins(), unit.out_type);
            const int64_t lane = (first_block + block) * CELL;
            deliver(unit, box.row, lane, smaller(CELL, unit.lanes - lane), part);
        }
    }

    // The weights of a box lie together, from the cells of its y axis on, and have left the caches meanwhile.
    static void fetch(const Box& box) {
        const char* bands = reinterpret_cast<const char*>(box.y.cell);
        for (int64_t line = 0; line < 10; ++line) __builtin_prefetch(bands + line * 64);
    }

    void run() {
        const Band& last = unit.boxes[unit.count - 1].y;
        if (last.count) last_row = last.cell[last.count - 1];
        const int64_t all = (unit.lanes + CELL - 1) / CELL;
        for (int64_t block = 0; block < all; block += unit.together) {
            select(block, smaller(unit.together, all - block));
            run_blocks();
        }
    }

    void run_blocks() {
        if (ring())
            for (int32_t at = 0; at < unit.rows; ++at) unit.scratch.held[at] = -1;
        for (int64_t i = 0; i < unit.count; ++i) {
            if (i + 1 < unit.count) fetch(unit.boxes[i + 1]);
            if (ring())
                pack_rows(unit.boxes[i]);
            else
                pack_window(unit.boxes[i]);
            pool(unit.boxes[i]);
        }
    }
};

}  // namespace MSROI_ISA_NAMESPACE
}  // namespace msroi
