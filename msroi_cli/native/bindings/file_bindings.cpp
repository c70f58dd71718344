// Blocks of a file, for Python: many at once, without the interpreter's lock.

#include <nanobind/nanobind.h>

#include "bindings/buffers.h"
#include "bindings/define.h"
#include "bindings/gil.h"
#include "files/blocks.h"

namespace nb = nanobind;

namespace msroi {

namespace {

void read_blocks(nb::handle whole, nb::handle out, int descriptor, nb::handle places) {
    const Buffer to(out, "out", 2, true), found(whole, "whole", 1, true);
    const std::vector<int64_t> from = [&] {
        const Buffer given(places, "places", 1, false);
        given.expect('i', 8);
        return copied<int64_t>(given);
    }();
    const int64_t count = int64_t(from.size()), width = to.shape(1);
    to.expect_length(count);
    found.expect_length(count);
    if (to.itemsize() != 1 || found.itemsize() != 1 || (width > 1 && to.stride(1) != 1))
        throw nb::value_error("out, whole: expected bytes, contiguous rows of them");
    without_gil([&] {
        for (int64_t i = 0; i < count; ++i)
            found.data()[i * found.stride(0)] = read_block(descriptor, from[i], to.data() + i * to.stride(0), width);
    });
}

}  // namespace

void define_files(nb::module_& module) {
    module.def("read_blocks", read_blocks, nb::arg("whole"), nb::arg("out"), nb::arg("descriptor"), nb::arg("places"),
               "Reads the blocks at `places` (n,) of an open file to `out` (n, w), uint8; `whole` (n,), uint8: 1 where "
               "the file has all of it.");
}

}  // namespace msroi
