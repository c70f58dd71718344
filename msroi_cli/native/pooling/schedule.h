// Pure planning: from boxes with weights to jobs, each a run of boxes on one image and level with one way of pooling.
#pragma once

#include <stdint.h>

#include <vector>

#include "pooling/kernel.h"

namespace msroi {

// Boxes [first, last) in the order of the schedule. Work shared by all blocks of channels.
struct Job {
    int64_t level, image, first, last;
    Mode mode;
    int32_t first_column, columns, rows;  // Mode::rows: what is kept, as in Unit
    int32_t together;                     // blocks of channels that are packed together, as in Unit
    double cost;                          // of one block of channels, in multiply-adds of a vector, about
};

// Sorts `boxes` and cuts them into jobs, dearest first, enough of them to keep `threads` busy.
std::vector<Job> schedule(std::vector<Box>& boxes, const Call& call, int threads);

// Channels [first, first + channels) of one unit: those of a cache line of lanes, or of several where channels come last.
struct ChannelBlock {
    int64_t first;
    int32_t channels;
    bool packed;  // worth packing: most lanes are in use
};

std::vector<ChannelBlock> blocks_of(const Call& call);

// How many cache lines of lanes the channels fill.
int64_t channel_lines(const Call& call);

// How many cache lines of lanes a unit may have: more than one if the channels of a cell lie together in all maps.
int64_t lines_a_unit(const Call& call);

}  // namespace msroi
