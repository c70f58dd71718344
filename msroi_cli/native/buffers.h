// Python buffers as the kernel wants them: checked once, here, and held for as long as the kernel reads them.
#pragma once

#include <nanobind/nanobind.h>

#include <string>

#include "kernel.h"

namespace msroi {

// One array, held. Strides and shape are those of the array, in bytes and elements.
class Buffer {
public:
    // `name` is for messages. Throws nanobind::value_error unless the array has `rank` axes.
    Buffer(nanobind::handle array, const char* name, int rank, bool writable);
    Buffer(Buffer&& other) noexcept;
    Buffer(const Buffer&) = delete;
    ~Buffer();

    char* data() const { return static_cast<char*>(view_.buf); }
    int64_t shape(int axis) const { return view_.shape[axis]; }
    int64_t stride(int axis) const { return view_.strides[axis]; }
    int64_t itemsize() const { return view_.itemsize; }

    // The float type of the elements, and whether their bytes are in the other order than this machine's.
    Type float_type(bool& swapped) const;

    // Throws nanobind::value_error unless the elements are of that kind: 'f' float or 'i' integer, in native order.
    void expect(char kind, int64_t itemsize) const;
    void expect_length(int64_t length) const;

private:
    [[noreturn]] void fail(const std::string& expected) const;

    Py_buffer view_;
    const char* name_;
};

}  // namespace msroi
