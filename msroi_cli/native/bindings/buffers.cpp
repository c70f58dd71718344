#include "bindings/buffers.h"

#include <string.h>

namespace nb = nanobind;

namespace msroi {

namespace {

constexpr bool LITTLE = __BYTE_ORDER__ == __ORDER_LITTLE_ENDIAN__;

// A struct-module format of one element, taken apart.
struct Format {
    char code;
    bool swapped;
};

Format format_of(const char* text) {
    if (!text) return {'B', false};
    bool swapped = false;
    if (*text && strchr("@=<>!", *text)) {
        swapped = (*text == '<' && !LITTLE) || ((*text == '>' || *text == '!') && LITTLE);
        ++text;
    }
    return {strlen(text) == 1 ? *text : '\0', swapped};
}

}  // namespace

Buffer::Buffer(nb::handle array, const char* name, int rank, bool writable) : name_(name) {
    const int flags = PyBUF_FORMAT | PyBUF_STRIDES | (writable ? PyBUF_WRITABLE : 0);
    if (PyObject_GetBuffer(array.ptr(), &view_, flags)) throw nb::python_error();
    if (view_.ndim != rank) {
        PyBuffer_Release(&view_);
        fail(std::to_string(rank) + " axes");
    }
}

Buffer::Buffer(Buffer&& other) noexcept : view_(other.view_), name_(other.name_) { other.view_.obj = nullptr; }

Buffer::~Buffer() {
    if (view_.obj) PyBuffer_Release(&view_);
}

Type Buffer::float_type(bool& swapped) const {
    const Format format = format_of(view_.format);
    swapped = format.swapped;
    if (format.code == 'e') return Type::f16;
    if (format.code == 'f') return Type::f32;
    if (format.code == 'd') return Type::f64;
    fail("float16, float32 or float64");
}

void Buffer::expect(char kind, int64_t itemsize) const {
    const Format format = format_of(view_.format);
    const char* codes = kind == 'f' ? "fd" : kind == 'u' ? "ILQ" : "ilq";
    const char* name = kind == 'f' ? "float" : kind == 'u' ? "uint" : "int";
    if (!format.code || !strchr(codes, format.code) || format.swapped || view_.itemsize != itemsize)
        fail(name + std::to_string(itemsize * 8));
}

void Buffer::expect_length(int64_t length) const {
    if (shape(0) != length) fail(std::to_string(length) + " rows, got " + std::to_string(shape(0)));
}

void Buffer::fail(const std::string& expected) const {
    throw nb::value_error((std::string(name_) + ": expected " + expected).c_str());
}

std::vector<int64_t> indices(nb::handle array, const char* name, int64_t length, int64_t limit) {
    const Buffer buffer(array, name, 1, false);
    buffer.expect('i', 8);
    buffer.expect_length(length);
    std::vector<int64_t> values = copied<int64_t>(buffer);
    for (const int64_t value : values)
        if (value < 0 || value >= limit) throw nb::index_error(name);
    return values;
}

}  // namespace msroi
