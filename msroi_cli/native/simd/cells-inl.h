// Boxes on channels that come last, read where they lie: Mode::cells. All channels of a cell are neighbours, and so are the
// cells of a row, as a rule: the y axis is summed along whole rows of cells, the x axis along the channels of a cell.
// Included in this folder alone, as lanes-inl.h is.
#pragma once

#include "simd/deliver-inl.h"
#include "simd/steps-inl.h"
#include "simd/sums-inl.h"

namespace msroi {
namespace MSROI_ISA_NAMESPACE {

template <class T>
struct Cells {
    static constexpr int64_t CELL = BLOCK<T>;

    const Unit& unit;
    const int64_t all;  // blocks of the unit

    explicit Cells(const Unit& given) : unit(given), all((given.lanes + CELL - 1) / CELL) {}

    T* lines() const { return reinterpret_cast<T*>(unit.scratch.lines); }
    T* tile() const { return reinterpret_cast<T*>(unit.scratch.tile); }

    // How many blocks are pooled side by side: those of a line that stays in the cache, and of bins that fit the tile.
    int64_t blocks_at_once(const Box& box) const {
        const int64_t line = (box.x.count + 1) * LANE_BYTES, bins = int64_t(unit.bins_y) * unit.bins_x * LANE_BYTES;
        const int64_t wanted = smaller(CELLS_GOAL / line, CELLS_TILE_BYTES / bins);
        const int64_t most = smaller(LINES_BYTES / line, CELLS_TILE_BYTES / (unit.bins_x * LANE_BYTES));
        return smaller(smaller(wanted < LEAST_TOGETHER ? LEAST_TOGETHER : wanted, most < 1 ? 1 : most), all);
    }

    // The y axis of bin row `p`: a line of cells of `blocks` blocks, of which `lanes` channels from `first` on are there.
    void down(const Box& box, int64_t p, int64_t first, int64_t lanes, int64_t blocks) {
        const bool joined = lanes == blocks * CELL && unit.column_stride == lanes * int64_t(sizeof(T));
        for (int64_t x = 0, end; x < box.x.count; x = end) {
            end = joined ? run_end(box.x, x, box.x.count) : x + 1;
            const int64_t offset = box.x.cell[x] * unit.column_stride + first * int64_t(sizeof(T));
            down_run(box, p, lines() + x * blocks * CELL, offset, joined ? (end - x) * lanes : lanes);
        }
    }

    void down_run(const Box& box, int64_t p, T* line, int64_t offset, int64_t n) const {
        const int64_t begin = box.y.begin[p], end = box.y.begin[p + 1], first = smaller(end, begin + MOST_TAPS);
        blend(line, unit.scratch.table, box.y.slot + begin, weights<T>(box.y, begin), first - begin, offset, n, false);
        for (int64_t tap = first; tap < end; tap += MOST_TAPS)
            blend(line, unit.scratch.table, box.y.slot + tap, weights<T>(box.y, tap), smaller(end - tap, MOST_TAPS),
                  offset, n, true);
    }

    // The x axis of one bin row, into the tile: block after block, `pitch` elements apart.
    void across(const Box& box, T* to, int64_t pitch, int64_t blocks) const {
        for (int64_t q = 0; q < unit.bins_x; ++q) {
            const int64_t tap = box.x.begin[q];
            weigh<T, typename Lanes<T>::Vector, REGISTERS>(to + q * CELL, pitch, lines(), CELL, blocks,
                                                           box.x.slot + tap, 0, blocks * CELL, weights<T>(box.x, tap),
                                                           box.x.begin[q + 1] - tap);
        }
    }

    void pool_blocks(const Box& box, int64_t first, int64_t blocks) {
        const int64_t lanes = smaller(blocks * CELL, unit.lanes - first);
        const int64_t rows = even_step(unit.bins_y, CELLS_TILE_BYTES / (blocks * unit.bins_x * LANE_BYTES));
        for (int64_t y0 = 0; y0 < unit.bins_y; y0 += rows) {
            const Part part = {y0, smaller(y0 + rows, unit.bins_y), 0, unit.bins_x};
            const int64_t pitch = part.bins() * CELL;
            for (int64_t p = part.y0; p < part.y1; ++p) {
                down(box, p, first, lanes, blocks);
                across(box, tile() + (p - y0) * unit.bins_x * CELL, pitch, blocks);
            }
            for (int64_t block = 0; block < blocks; ++block) {
                stage_block(unit.scratch.stage, tile() + block * pitch, part.bins(), unit.out_type);
                deliver(unit, box.row, first + block * CELL, smaller(CELL, lanes - block * CELL), part);
            }
        }
    }

    void run() {
        for (int64_t i = 0; i < unit.count; ++i) {
            const Box& box = unit.boxes[i];
            for (int64_t slot = 0; slot < box.y.count; ++slot)
                unit.scratch.table[slot] = unit.planes + box.y.cell[slot] * unit.row_stride;
            const int64_t blocks = blocks_at_once(box);
            for (int64_t block = 0; block < all; block += blocks)
                pool_blocks(box, block * CELL, smaller(blocks, all - block));
        }
    }
};

}  // namespace MSROI_ISA_NAMESPACE
}  // namespace msroi
