// Multi-scale RoI Align on raw pointers: what a call is given.
#pragma once

#include <stdint.h>

#include "pooling/sweep.h"

namespace msroi {

// A level of the pyramid, (N, C, height, width): strides in bytes, scales in cells per input pixel.
struct Map {
    const char* data;
    bool swapped;  // the other byte order than this machine's
    int64_t strides[4];
    int32_t height, width;
    float scale_y, scale_x;
};

// Where the crops (K, C, bins_y, bins_x) go; strides in bytes.
struct Crops {
    char* data;
    int64_t strides[4];
    Type type;
    bool swapped;
};

struct Call {
    const Map* maps;
    int64_t levels, images, channels;
    Type type;

    int64_t boxes;
    const float* corners;  // (K, 4) x1 y1 x2 y2, input pixels
    const int64_t* batch;  // (K,) indices into the images
    const int64_t* level;  // (K,) indices into the maps
    int32_t bins_y, bins_x;
    int32_t ratio;  // samples per bin and axis; 0: adaptive
    bool aligned;

    Crops crops;
    int threads;
    double* seconds;  // (L,), to which the time of each level is added, summed over threads
};

// Pools all boxes. Throws std::bad_alloc, and nothing else, after which the crops are in part not written.
void pool(const Call& call);

// The most scratch memory that any thread of this process has used, in bytes.
int64_t peak_scratch_bytes();

}  // namespace msroi
