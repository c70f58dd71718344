// The pixel model and the level rule, natively: the twins of core/weights.py and core/levels.py, equal bit for bit.
#pragma once

#include <stdint.h>

#include <vector>

namespace msroi {

// One axis of one level: `size` cells, `scale` cells per input pixel, cut into `bins` bins.
// ratio: samples per bin; 0 means adaptive.
struct Axis {
    int32_t size;
    float scale;
    int32_t bins;
    int32_t ratio;
    bool aligned;
};

// Banded weights of any number of boxes: bin b has the taps offsets[b] to offsets[b + 1], ascending in cell.
struct Taps {
    std::vector<int64_t> offsets{0};
    std::vector<int32_t> cell;
    std::vector<double> weight;
};

// The level of a box (x1, y1, x2, y2): how many of the ascending `bounds` are not above sqrt(w * h).
int64_t level_of(const float* box, const float* bounds, int64_t count);

// Appends the bins of the box side from `low` to `high` (input pixels) to `taps`.
void axis_weights(float low, float high, const Axis& axis, Taps& taps);

}  // namespace msroi
