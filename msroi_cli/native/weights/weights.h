// The pixel model, natively: the twin of core/weights.py, equal bit for bit.
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

// Appends the bins of the box side from `low` to `high` (input pixels) to `taps`.
void axis_weights(float low, float high, const Axis& axis, Taps& taps);

}  // namespace msroi
