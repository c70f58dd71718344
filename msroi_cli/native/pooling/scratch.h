// The sizes of what a worker keeps at hand, in bytes: together under 8 MB, whatever the map's size.
#pragma once

#include <stdint.h>

namespace msroi {

constexpr int64_t LANE_BYTES = 64;                     // a block of channels: one cache line of lanes
constexpr int64_t LINES_A_UNIT = 64;                   // such blocks, where channels come last,
constexpr int64_t HALF_LINES_A_UNIT = 16;              // and of float16
constexpr int64_t LINES_BYTES = 256 << 10;             // bins x columns, after the y axis
constexpr int64_t TILE_BYTES = 64 << 10;               // bins, after the x axis
constexpr int64_t CELLS_TILE_BYTES = 192 << 10;        // those of several blocks, of Mode::cells
constexpr int64_t STAGE_BYTES = 2 * CELLS_TILE_BYTES;  // of one block, channel by channel, in the type of the crops
constexpr int64_t CELLS_BYTES = 6 << 20;               // rows of interleaved planes, at most
constexpr int64_t MOST_ROWS = 4096;                    // that a box of Mode::rows and Mode::window may touch or span
constexpr int64_t HELD_BYTES = MOST_ROWS * 4;          // which row is kept in which place
constexpr int64_t TABLE_BYTES = MOST_ROWS * 8;         // where the rows of a box are
constexpr int64_t FIXED_BYTES = LINES_BYTES + CELLS_TILE_BYTES + STAGE_BYTES + HELD_BYTES + TABLE_BYTES;

constexpr int64_t LINES_GOAL = 16 << 10;     // lines that stay in the first-level cache
constexpr int64_t CELLS_GOAL = 64 << 10;     // a line of Mode::cells
constexpr int64_t LEAST_TOGETHER = 4;        // blocks of Mode::cells, where there is room
constexpr int64_t PLANE_COLUMNS = 16 << 10;  // columns of a line of Mode::plane
constexpr int64_t MOST_TAPS = 8;             // taps summed in registers; more are summed in groups of as many

constexpr int64_t MOST_COLUMNS = LINES_BYTES / LANE_BYTES;  // that a box of Mode::rows and Mode::window may touch
constexpr int64_t MOST_BINS = TILE_BYTES / LANE_BYTES;      // across, of such a box

static_assert(FIXED_BYTES + CELLS_BYTES <= 8 << 20);
static_assert(PLANE_COLUMNS * 8 <= LINES_BYTES);
static_assert(MOST_TAPS * PLANE_COLUMNS * 8 <= CELLS_BYTES);

}  // namespace msroi
