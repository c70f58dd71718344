// What is said of crops: moments and checksums, for Python. Row by row, both while a row is in the cache.

#include <nanobind/nanobind.h>

#include <string.h>

#include "bindings/buffers.h"
#include "bindings/define.h"
#include "bindings/gil.h"
#include "checksum/crc32.h"
#include "checksum/lookup3.h"
#include "moments/moments.h"
#include "pooling/float_mode.h"

namespace nb = nanobind;

namespace msroi {

namespace {

// Rows (K, M) of elements that lie one after the other.
class Rows {
public:
    explicit Rows(nb::handle array) : buffer_(array, "rows", 2, false) {
        if (length() > 1 && buffer_.stride(1) != buffer_.itemsize())
            throw nb::value_error("rows: expected contiguous rows");
    }
    int64_t count() const { return buffer_.shape(0); }
    int64_t length() const { return buffer_.shape(1); }
    int64_t bytes() const { return length() * buffer_.itemsize(); }
    const char* row(int64_t index) const { return buffer_.data() + index * buffer_.stride(0); }

    Type type() const {
        bool swapped = false;
        const Type type = buffer_.float_type(swapped);
        if (swapped) throw nb::value_error("rows: expected native byte order");
        return type;
    }

private:
    Buffer buffer_;
};

// Where the moments of each row go: counts (K, 3) int64 are count, zeros and nonfinite, values (K, 4) float64 are mean,
// squares, low and high. The twin of core.stats.CropMoments.of.
class MomentsOut {
public:
    MomentsOut(nb::handle counts, nb::handle values, int64_t rows)
        : counts_(counts, "counts", 2, true), values_(values, "values", 2, true) {
        counts_.expect('i', 8);
        values_.expect('f', 8);
        for (const Buffer* buffer : {&counts_, &values_}) {
            buffer->expect_length(rows);
            if (buffer->stride(1) != 8) throw nb::value_error("counts, values: expected contiguous rows");
        }
        if (counts_.shape(1) != 3 || values_.shape(1) != 4)
            throw nb::value_error("expected counts (K, 3), values (K, 4)");
    }
    void set(int64_t row, const Moments& moments) const {
        const int64_t count[] = {moments.count, moments.zeros, moments.nonfinite};
        const double value[] = {moments.mean, moments.squares, moments.low, moments.high};
        memcpy(counts_.data() + row * counts_.stride(0), count, sizeof count);
        memcpy(values_.data() + row * values_.stride(0), value, sizeof value);
    }

private:
    Buffer counts_, values_;
};

// Where the checksum of each row goes: (K,) uint32.
class SumsOut {
public:
    SumsOut(nb::handle sums, int64_t rows) : sums_(sums, "sums", 1, true) {
        sums_.expect('u', 4);
        sums_.expect_length(rows);
    }
    void set(int64_t row, uint32_t sum) const { memcpy(sums_.data() + row * sums_.stride(0), &sum, sizeof sum); }

private:
    Buffer sums_;
};

void row_moments(nb::handle counts, nb::handle values, nb::handle array) {
    const Rows rows(array);
    const Type type = rows.type();
    const MomentsOut moments(counts, values, rows.count());
    without_gil([&] {
        const DefaultFloatMode mode;
        for (int64_t i = 0; i < rows.count(); ++i) moments.set(i, moments_of(rows.row(i), rows.length(), type));
    });
}

void row_checksums(nb::handle sums, nb::handle array) {
    const Rows rows(array);
    const SumsOut out(sums, rows.count());
    without_gil([&] {
        for (int64_t i = 0; i < rows.count(); ++i) out.set(i, crc32(rows.row(i), rows.bytes()));
    });
}

void row_digests(nb::handle counts, nb::handle values, nb::handle sums, nb::handle array) {
    const Rows rows(array);
    const Type type = rows.type();
    const MomentsOut moments(counts, values, rows.count());
    const SumsOut out(sums, rows.count());
    without_gil([&] {
        const DefaultFloatMode mode;
        for (int64_t i = 0; i < rows.count(); ++i) {
            moments.set(i, moments_of(rows.row(i), rows.length(), type));
            out.set(i, crc32(rows.row(i), rows.bytes()));
        }
    });
}

// Of a block of some hundred bytes: to give up the interpreter's lock would take longer.
uint32_t lookup3_of(nb::handle block) {
    const Buffer bytes(block, "block", 1, false);
    if (bytes.itemsize() != 1 || (bytes.shape(0) > 1 && bytes.stride(0) != 1))
        throw nb::value_error("block: expected contiguous bytes");
    return lookup3(reinterpret_cast<const uint8_t*>(bytes.data()), bytes.shape(0));
}

}  // namespace

void define_digests(nb::module_& module) {
    module.def("row_moments", row_moments, nb::arg("counts"), nb::arg("values"), nb::arg("rows"));
    module.def("row_checksums", row_checksums, nb::arg("sums"), nb::arg("rows"), "The CRC32 of each row's bytes.");
    module.def("row_digests", row_digests, nb::arg("counts"), nb::arg("values"), nb::arg("sums"), nb::arg("rows"),
               "Both in one pass.");
    module.def("lookup3", lookup3_of, nb::arg("block"), "The checksum of a block of HDF5's metadata.");
}

}  // namespace msroi
