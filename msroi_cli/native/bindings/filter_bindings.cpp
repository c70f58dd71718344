// The filters, for Python: buffers in, checked; the work done without the interpreter's lock.

#include <nanobind/nanobind.h>

#include "bindings/buffers.h"
#include "bindings/define.h"
#include "bindings/gil.h"
#include "filters/filters.h"

namespace nb = nanobind;

namespace msroi {

namespace {

// The bytes of a chunk, held.
class Content {
public:
    explicit Content(nb::handle bytes) : buffer_(bytes, "content", 1, false) {
        if (buffer_.itemsize() != 1 || (size() > 1 && buffer_.stride(0) != 1))
            throw nb::value_error("content: expected contiguous bytes");
    }
    const uint8_t* data() const { return reinterpret_cast<const uint8_t*>(buffer_.data()); }
    int64_t size() const { return buffer_.shape(0); }

private:
    Buffer buffer_;
};

void unshuffle_into(nb::handle out, nb::handle content, int64_t start, int64_t rows, int64_t columns) {
    const Buffer to(out, "out", 3, true);
    const Content from(content);
    Window window{to.data(), {}, {}};
    for (int axis = 0; axis < 3; ++axis) {
        window.shape[axis] = to.shape(axis);
        window.strides[axis] = to.stride(axis);
        if (!window.shape[axis]) return;
    }
    const int64_t count = from.size() / to.itemsize();
    if (start < 0 || start > count || window.shape[1] > rows || window.shape[2] > columns ||
        window.shape[0] > (count - start) / rows / columns)
        throw nb::value_error("out: expected a window of the chunk");
    without_gil([&] { unshuffle({from.data(), count, to.itemsize()}, start, rows, columns, window); });
}

nb::bytes lzf_expanded(nb::handle content, int64_t size) {
    const Content from(content);
    if (size < 0) throw nb::value_error("size: expected at least 0");
    const nb::object expanded = nb::steal(PyBytes_FromStringAndSize(nullptr, size));
    if (!expanded.is_valid()) throw nb::python_error();
    const auto to = reinterpret_cast<uint8_t*>(PyBytes_AsString(expanded.ptr()));
    int64_t done = 0;
    without_gil([&] { done = lzf_expand(from.data(), from.size(), to, size); });
    if (done != size) throw nb::value_error("content: expected an LZF stream of as many bytes as were asked for");
    return nb::borrow<nb::bytes>(expanded);
}

uint32_t fletcher32_of(nb::handle content) {
    const Content from(content);
    uint32_t sum = 0;
    without_gil([&] { sum = fletcher32(from.data(), from.size()); });
    return sum;
}

}  // namespace

void define_filters(nb::module_& module) {
    module.def("unshuffle_into", unshuffle_into, nb::arg("out"), nb::arg("content"), nb::arg("start"), nb::arg("rows"),
               nb::arg("columns"),
               "Fills `out` (c, h, w) from the shuffled bytes of a chunk: (i, j, k) with element "
               "start + (i * rows + j) * columns + k.");
    module.def("lzf_expanded", lzf_expanded, nb::arg("content"), nb::arg("size"), "The `size` bytes of an LZF stream.");
    module.def("fletcher32", fletcher32_of, nb::arg("content"), "HDF5's checksum, each half of it modulo 65535.");
}

}  // namespace msroi
