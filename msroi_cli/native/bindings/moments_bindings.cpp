// Moments of crops, for Python.

#include <nanobind/nanobind.h>

#include <string.h>

#include <vector>

#include "bindings/buffers.h"
#include "bindings/define.h"
#include "bindings/gil.h"
#include "moments/moments.h"

namespace nb = nanobind;

namespace msroi {

namespace {

// Adds the moments of each row of `rows` (K, M) to those of its level: counts (L, 3) int64 are count, zeros and nonfinite,
// values (L, 4) float64 are mean, squares, low and high. The twin of core.stats.CropStats.of.
void add_moments(nb::handle counts, nb::handle values, nb::handle rows, nb::handle levels) {
    const Buffer to_counts(counts, "counts", 2, true), to_values(values, "values", 2, true);
    const Buffer from(rows, "rows", 2, false);
    to_counts.expect('i', 8);
    to_values.expect('f', 8);
    bool swapped = false;
    const Type type = from.float_type(swapped);
    const int64_t size = type == Type::f64 ? 8 : 4, length = from.shape(1);
    if (swapped || type == Type::f16 || (length > 1 && from.stride(1) != size))
        throw nb::value_error("rows: expected contiguous float32 or float64 rows in native order");
    const std::vector<int64_t> level = indices(levels, "levels", from.shape(0), to_counts.shape(0));
    std::vector<Moments> all(size_t(to_counts.shape(0)), no_moments());
    without_gil([&] {
        for (size_t row = 0; row < level.size(); ++row) {
            const char* start = from.data() + int64_t(row) * from.stride(0);
            all[size_t(level[row])].add(type == Type::f64 ? moments_of(reinterpret_cast<const double*>(start), length)
                                                          : moments_of(reinterpret_cast<const float*>(start), length));
        }
    });
    for (size_t i = 0; i < all.size(); ++i) {
        const int64_t count[] = {all[i].count, all[i].zeros, all[i].nonfinite};
        const double value[] = {all[i].mean, all[i].squares, all[i].low, all[i].high};
        memcpy(to_counts.data() + int64_t(i) * to_counts.stride(0), count, sizeof count);
        memcpy(to_values.data() + int64_t(i) * to_values.stride(0), value, sizeof value);
    }
}

}  // namespace

void define_moments(nb::module_& module) {
    module.def("add_moments", add_moments, nb::arg("counts"), nb::arg("values"), nb::arg("rows"), nb::arg("levels"));
}

}  // namespace msroi
