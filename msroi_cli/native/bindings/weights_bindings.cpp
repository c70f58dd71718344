// Axis weights, for Python.

#include <nanobind/nanobind.h>

#include <vector>

#include "bindings/buffers.h"
#include "bindings/define.h"
#include "pooling/float_mode.h"
#include "weights/weights.h"

namespace nb = nanobind;

namespace msroi {

namespace {

// The twin of core.weights.axis_weights: the bytes of offsets (int64), cell (int32) and weight (float64).
nb::tuple weights_of(nb::handle low, nb::handle high, int size, double scale, int bins, int ratio, bool aligned) {
    const Buffer from(low, "low", 1, false), to(high, "high", 1, false);
    from.expect('f', 4);
    to.expect('f', 4);
    to.expect_length(from.shape(0));
    const std::vector<float> start = copied<float>(from), end = copied<float>(to);
    Taps taps;
    const DefaultFloatMode mode;
    for (size_t i = 0; i < start.size(); ++i)
        axis_weights(start[i], end[i], {size, float(scale), bins, ratio, aligned}, taps);
    const auto bytes = [](const auto& values) { return nb::bytes(values.data(), values.size() * sizeof(values[0])); };
    return nb::make_tuple(bytes(taps.offsets), bytes(taps.cell), bytes(taps.weight));
}

}  // namespace

void define_weights(nb::module_& module) {
    module.def("axis_weights", weights_of, nb::arg("low"), nb::arg("high"), nb::arg("size"), nb::arg("scale"),
               nb::arg("bins"), nb::arg("sampling_ratio"), nb::arg("aligned"));
}

}  // namespace msroi
