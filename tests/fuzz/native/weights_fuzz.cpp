// The weights of any box side on any axis: within the map, ascending, and of a sum of at most 1.
#include <cmath>
#include <cstdint>
#include <cstdlib>
#include <cstring>

#include "weights/weights.h"

namespace {

template <class T>
T taken(const uint8_t*& data) {
    T value;
    memcpy(&value, data, sizeof value);
    data += sizeof value;
    return value;
}

// The limits that a call is checked against before it gets here: boxes to 2^30 either side, scales from 1e-6 to 1e6.
bool is_possible(float low, float high, float scale) {
    return std::fabs(low) <= 1073741824.0f && std::fabs(high) <= 1073741824.0f && high >= low && scale >= 1e-6f &&
           scale <= 1e6f;
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
    if (size < 19) return 0;
    const float low = taken<float>(data), high = taken<float>(data), scale = taken<float>(data);
    const int32_t cells = 1 + taken<uint16_t>(data) % 300, bins = 1 + taken<uint16_t>(data) % 40;
    const int32_t ratio = taken<uint8_t>(data) % 9;
    const bool aligned = taken<uint8_t>(data) & 1;
    // Adaptive grids of boxes of 2^30 pixels have as many samples: right, and too slow to be fuzzed.
    if (!is_possible(low, high, scale) || (ratio == 0 && (double(high) - low) * scale > 100000)) return 0;
    msroi::Taps taps;
    msroi::axis_weights(low, high, {cells, scale, bins, ratio, aligned}, taps);
    if (taps.offsets.size() != size_t(bins) + 1 || taps.cell.size() != taps.weight.size()) abort();
    if (taps.offsets.back() != int64_t(taps.cell.size())) abort();
    for (int32_t bin = 0; bin < bins; ++bin) {
        double sum = 0;
        for (int64_t i = taps.offsets[size_t(bin)]; i < taps.offsets[size_t(bin) + 1]; ++i) {
            const int32_t cell = taps.cell[size_t(i)];
            const double weight = taps.weight[size_t(i)];
            if (cell < 0 || cell >= cells || !(weight >= 0) || !(weight <= 1.0001)) abort();
            if (i > taps.offsets[size_t(bin)] && cell <= taps.cell[size_t(i) - 1]) abort();
            sum += weight;
        }
        if (sum > 1.0001) abort();
    }
    return 0;
}
