// Pure planning: from boxes with weights to jobs, each a run of boxes on one image and level with one way of pooling.
#pragma once

#include <stdint.h>

#include <vector>

#include "kernel.h"

namespace msroi {

// Boxes [first, last) of the planned order. Work shared by all blocks of channels.
struct Job {
    int64_t level, image, first, last;
    Mode mode;
    int32_t first_column, columns, rows;  // Mode::rows: what is kept, as in Unit
    double cost;                          // of one block of channels, in multiply-adds of a vector, about
};

// Sorts `boxes` and cuts them into jobs, dearest first, enough of them to keep `threads` busy.
std::vector<Job> schedule(std::vector<Box>& boxes, const Call& call, int threads);

// Channels [first, first + lanes) of a block.
struct Lanes {
    int64_t first;
    int32_t lanes;
    bool packed;  // worth packing: most lanes are in use
};

std::vector<Lanes> blocks_of(int64_t channels, Type type);

}  // namespace msroi
