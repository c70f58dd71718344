// Python buffers as the kernel wants them: checked once, here, and held for as long as the kernel reads them.
#pragma once

#include <nanobind/nanobind.h>

#include <string.h>

#include <string>
#include <vector>

#include "pooling/kernel.h"

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

    // Throws nanobind::value_error unless the elements are of that kind: 'f' float, 'i' integer or 'u' unsigned, in native order.
    void expect(char kind, int64_t itemsize) const;
    void expect_length(int64_t length) const;

private:
    [[noreturn]] void fail(const std::string& expected) const;

    Py_buffer view_;
    const char* name_;
};

// The elements of an array of one axis.
template <class T>
std::vector<T> copied(const Buffer& buffer) {
    std::vector<T> values(size_t(buffer.shape(0)));
    for (size_t i = 0; i < values.size(); ++i)
        memcpy(&values[i], buffer.data() + int64_t(i) * buffer.stride(0), sizeof(T));
    return values;
}

// The indices in `array` (length,) int64, each from 0 to `limit` - 1; throws nanobind::index_error.
std::vector<int64_t> indices(nanobind::handle array, const char* name, int64_t length, int64_t limit);

}  // namespace msroi
