// What a worker needs to know to sweep one unit of work: plain data, shared with the copies compiled per instruction set.
#pragma once

#include <stdint.h>

namespace msroi {

enum class Type : int32_t { f16, f32, f64 };

// The bytes of an element of `type`.
constexpr int64_t bytes_of(Type type) { return type == Type::f16 ? 2 : type == Type::f32 ? 4 : 8; }

// The bins of one box along one axis. Bin b has the taps begin[b] to begin[b + 1]. A tap names its cell by `slot`, the
// place of that cell in `cell`: the `count` cells, ascending, that any bin of the box touches.
// weight: float, or double where the features are float64.
struct Band {
    int32_t count;
    const int32_t* cell;
    const int32_t* begin;
    const int32_t* slot;
    const void* weight;
};

struct Box {
    int64_t row;  // of the crops
    Band y, x;
};

// How the boxes of a unit get at their cells; see sweep.cpp.
enum class Mode : int32_t { rows, window, cells, plane };

// Where scratch memory lies; 64-byte aligned, sizes in `scratch.h`.
struct Scratch {
    char* lines;
    char* tile;
    char* stage;
    int32_t* held;
    const char** table;
    char* cells;
};

// One unit: `lanes` channels of one image and level, and the boxes on them. Strides are in bytes.
struct Unit {
    const char* planes;
    int64_t channel_stride, row_stride, column_stride;
    Type type;
    bool swapped;
    int32_t lanes;

    Mode mode;
    const Box* boxes;
    int64_t count;
    int32_t bins_y, bins_x;
    int32_t first_column, columns;  // Mode::rows: the columns kept of each row,
    int32_t rows;                   // and how many rows are kept at a time
    int32_t together;               // of the blocks of channels, so many are packed together

    char* out;  // the first of the unit's channels in row 0 of the crops
    int64_t out_row, out_channel, out_y, out_x;
    Type out_type;
    bool out_swapped;
    bool streaming;  // the crops outgrow the caches: write around them

    Scratch scratch;
};

using Sweep = void (*)(const Unit&);

}  // namespace msroi
