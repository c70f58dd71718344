// Each float operation below rounds once, as it does in NumPy and in torchvision's kernel, so that `ceil` and the range
// test fall the same way on every machine.

#include "weights/weights.h"

#include <algorithm>
#include <cmath>

namespace msroi {

namespace {

struct Bins {
    float start, size, grid;
};

// Divides by a number of samples. By a power of two that is the product with its inverse, which is exact, and faster.
class Divider {
public:
    explicit Divider(float grid) : grid_(grid), inverse_(1 / grid) {
        int exponent;
        exact_ = std::frexp(grid, &exponent) == 0.5f;
    }
    float operator()(float value) const { return exact_ ? value * inverse_ : value / grid_; }
    double operator()(double value) const { return exact_ ? value * double(inverse_) : value / double(grid_); }

private:
    float grid_, inverse_;
    bool exact_;
};

Bins bins_of(float low, float high, const Axis& axis) {
    const float offset = axis.aligned ? 0.5f : 0.0f;
    const float start = low * axis.scale - offset;
    float side = (high * axis.scale - offset) - start;
    if (!axis.aligned) side = std::max(side, 1.0f);
    const float size = side / static_cast<float>(axis.bins);
    return {start, size, axis.ratio ? static_cast<float>(axis.ratio) : std::ceil(size)};
}

constexpr double FEW_SAMPLES = 16;  // that are looked at one by one more quickly than they are counted

struct Range {
    int64_t begin, end;
};

// The samples of a bin that can lie on the map, with room for the rounding of a position: a box far larger than the
// map has most samples off it, and the work is to be that of the map.
Range candidate_samples(float bin_start, const Bins& bins, const Axis& axis) {
    const double grid = bins.grid, step = double(bins.size) / std::max(grid, 1.0);
    if (step == 0 || grid <= FEW_SAMPLES) return {0, int64_t(grid)};
    const double reach = std::fabs(double(bins.start)) + double(bins.size) * axis.bins + axis.size;
    if (!std::isfinite(reach)) return {0, 0};
    const double most = std::min(grid, 0x1p62);
    const double slack = 2 + 0x1p-20 * reach / step;
    const double first = (-1.0 - bin_start) / step - slack;
    const double last = (double(axis.size) - bin_start) / step + slack;
    return {int64_t(std::clamp(std::floor(first), 0.0, most)), int64_t(std::clamp(std::ceil(last), 0.0, most))};
}

// The taps of one bin while they are summed up, with room for two a sample.
struct Bin {
    int32_t* cell;
    double* weight;
    size_t taps = 0;

    // Adds a share to a cell. Samples ascend, so the cell is one of the last two, or new.
    void touch(int32_t touched, double share) {
        for (size_t tap = taps; tap > 0 && cell[tap - 1] >= touched; --tap) {
            if (cell[tap - 1] == touched) {
                weight[tap - 1] += share;
                return;
            }
        }
        cell[taps] = touched;
        weight[taps++] = 0.0 + share;  // a sum from 0: -0 becomes 0
    }
};

}  // namespace

void axis_weights(float low, float high, const Axis& axis, Taps& taps) {
    const Bins bins = bins_of(low, high, axis);
    const Divider by_grid(bins.grid);
    const float map_end = static_cast<float>(axis.size);
    const int32_t last_cell = axis.size - 1;
    for (int32_t p = 0; p < axis.bins; ++p) {
        const float bin_start = bins.start + static_cast<float>(p) * bins.size;
        const Range range = candidate_samples(bin_start, bins, axis);
        const size_t begin = taps.cell.size(), room = begin + 2 * size_t(std::max<int64_t>(range.end - range.begin, 0));
        taps.cell.resize(room);
        taps.weight.resize(room);
        Bin bin = {taps.cell.data() + begin, taps.weight.data() + begin};
        for (int64_t sample = range.begin; sample < range.end; ++sample) {
            const float at = bin_start + by_grid((static_cast<float>(sample) + 0.5f) * bins.size);
            if (!(at >= -1.0f && at <= map_end)) continue;
            const float inside = std::max(at, 0.0f);
            const int32_t below = int32_t(std::min(int64_t(inside), int64_t(last_cell)));
            const double share = below < last_cell ? double(inside) - below : 0.0;
            bin.touch(below, 1 - share);
            bin.touch(std::min(below + 1, last_cell), share);
        }
        for (size_t tap = 0; tap < bin.taps; ++tap) bin.weight[tap] = by_grid(bin.weight[tap]);
        taps.cell.resize(begin + bin.taps);
        taps.weight.resize(begin + bin.taps);
        taps.offsets.push_back(int64_t(taps.cell.size()));
    }
}

}  // namespace msroi
