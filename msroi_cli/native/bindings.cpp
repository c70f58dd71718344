// The extension module: arrays in, checked; the kernel called without the interpreter's lock.

#include <nanobind/nanobind.h>
#include <nanobind/stl/string.h>
#include <nanobind/stl/vector.h>

#include <stdlib.h>
#include <string.h>
#if defined(__GLIBC__)
#include <malloc.h>
#endif

#include <vector>

#include "bindings.h"
#include "buffers.h"
#include "crew.h"
#include "isa.h"
#include "kernel.h"
#include "moments.h"
#include "plan.h"

namespace nb = nanobind;

namespace msroi {

namespace {

template <class T>
std::vector<T> copied(const Buffer& buffer) {
    std::vector<T> values(size_t(buffer.shape(0)));
    for (size_t i = 0; i < values.size(); ++i)
        memcpy(&values[i], buffer.data() + int64_t(i) * buffer.stride(0), sizeof(T));
    return values;
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

std::vector<float> corners(nb::handle array) {
    const Buffer buffer(array, "boxes", 2, false);
    buffer.expect('f', 4);
    if (buffer.shape(1) != 4) throw nb::value_error("boxes: expected (K, 4)");
    std::vector<float> values(size_t(buffer.shape(0)) * 4);
    for (size_t i = 0; i < values.size(); ++i)
        memcpy(&values[i], buffer.data() + int64_t(i / 4) * buffer.stride(0) + int64_t(i % 4) * buffer.stride(1), 4);
    return values;
}

// The levels of the pyramid, held, with what they must have in common.
struct Pyramid {
    std::vector<Buffer> buffers;
    std::vector<Map> maps;
    Type type = Type::f32;

    Pyramid(nb::sequence arrays, nb::sequence scales) {
        for (nb::handle array : arrays) {
            const nb::object scale = scales[maps.size()];
            add(Buffer(array, "maps", 4, false), nb::cast<double>(scale[0]), nb::cast<double>(scale[1]));
        }
        if (maps.empty()) throw nb::value_error("maps: expected at least one level");
    }

    void add(Buffer&& buffer, double scale_y, double scale_x) {
        bool swapped = false;
        const Type found = buffer.float_type(swapped);
        if (maps.empty()) type = found;
        const Buffer& first = maps.empty() ? buffer : buffers.front();
        if (found != type || buffer.shape(0) != first.shape(0) || buffer.shape(1) != first.shape(1))
            throw nb::value_error("maps: expected levels alike in type, images and channels");
        for (int axis = 2; axis < 4; ++axis)
            if (buffer.shape(axis) < 1 || buffer.shape(axis) > INT32_MAX) throw nb::value_error("maps: expected cells");
        maps.push_back({buffer.data(),
                        swapped,
                        {buffer.stride(0), buffer.stride(1), buffer.stride(2), buffer.stride(3)},
                        int32_t(buffer.shape(2)),
                        int32_t(buffer.shape(3)),
                        float(scale_y),
                        float(scale_x)});
        buffers.push_back(std::move(buffer));
    }

    int64_t images() const { return buffers.front().shape(0); }
    int64_t channels() const { return buffers.front().shape(1); }
};

Crops crops_in(const Buffer& out, const Call& call) {
    const int64_t shape[] = {call.boxes, call.channels, call.bins_y, call.bins_x};
    for (int axis = 0; axis < 4; ++axis)
        if (out.shape(axis) != shape[axis]) throw nb::value_error("out: expected (K, C, Ho, Wo)");
    Crops crops{};
    crops.data = out.data();
    for (int axis = 0; axis < 4; ++axis) crops.strides[axis] = out.stride(axis);
    crops.type = out.float_type(crops.swapped);
    return crops;
}

void pool_arrays(nb::handle out, nb::sequence maps, nb::tuple rois, nb::tuple model, int threads, nb::handle seconds) {
    const Pyramid pyramid(maps, nb::cast<nb::sequence>(model[0]));
    const std::vector<float> boxes = corners(rois[1]);
    Call call{};
    call.maps = pyramid.maps.data();
    call.levels = int64_t(pyramid.maps.size());
    call.images = pyramid.images();
    call.channels = pyramid.channels();
    call.type = pyramid.type;
    call.boxes = int64_t(boxes.size() / 4);
    const std::vector<int64_t> batch = indices(rois[0], "batch", call.boxes, call.images);
    const std::vector<int64_t> level = indices(rois[2], "levels", call.boxes, call.levels);
    call.corners = boxes.data();
    call.batch = batch.data();
    call.level = level.data();
    call.bins_y = nb::cast<int32_t>(model[1][0]);
    call.bins_x = nb::cast<int32_t>(model[1][1]);
    call.ratio = nb::cast<int32_t>(model[2]);
    call.aligned = nb::cast<bool>(model[3]);
    const Buffer crops(out, "out", 4, true), clock(seconds, "seconds", 1, true);
    call.crops = crops_in(crops, call);
    clock.expect('f', 8);
    clock.expect_length(call.levels);
    if (clock.stride(0) != 8) throw nb::value_error("seconds: expected a contiguous array");
    call.seconds = reinterpret_cast<double*>(clock.data());
    call.threads = threads;
    without_lock([&] { pool(call); });
}

// Fills `levels` (K,) int64; the twin of core.levels.levels_of, given its bounds.
void levels_of(nb::handle levels, nb::handle boxes, nb::handle bounds) {
    const std::vector<float> box = corners(boxes);
    const Buffer to(levels, "levels", 1, true), limits(bounds, "bounds", 1, false);
    to.expect('i', 8);
    to.expect_length(int64_t(box.size() / 4));
    limits.expect('f', 4);
    const std::vector<float> limit = copied<float>(limits);
    for (size_t i = 0; i < box.size() / 4; ++i) {
        const int64_t level = level_of(&box[4 * i], limit.data(), int64_t(limit.size()));
        memcpy(to.data() + int64_t(i) * to.stride(0), &level, sizeof level);
    }
}

// The twin of core.weights.axis_weights: the bytes of offsets (int64), cell (int32) and weight (float64).
nb::tuple weights_of(nb::handle low, nb::handle high, int size, double scale, int bins, int ratio, bool aligned) {
    const Buffer from(low, "low", 1, false), to(high, "high", 1, false);
    from.expect('f', 4);
    to.expect('f', 4);
    to.expect_length(from.shape(0));
    const std::vector<float> start = copied<float>(from), end = copied<float>(to);
    Taps taps;
    for (size_t i = 0; i < start.size(); ++i)
        axis_weights(start[i], end[i], {size, float(scale), bins, ratio, aligned}, taps);
    const auto bytes = [](const auto& values) { return nb::bytes(values.data(), values.size() * sizeof(values[0])); };
    return nb::make_tuple(bytes(taps.offsets), bytes(taps.cell), bytes(taps.weight));
}

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
    without_lock([&] {
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

// Has the C library keep freed memory. Else each decoded chunk is in pages that the kernel has to make and clear anew,
// which takes a good part of the time of decoding it.
void keep_freed_memory() {
#if defined(__GLIBC__)
    mallopt(M_MMAP_THRESHOLD, 32 << 20);  // the most that a thread's own heap can serve
    mallopt(M_TRIM_THRESHOLD, 256 << 20);
#endif
}

}  // namespace

NB_MODULE(_native, module) {
    module.doc() = "The native kernel of msroi.";
    module.def("pool", pool_arrays, nb::arg("out"), nb::arg("maps"), nb::arg("rois"), nb::arg("model"),
               nb::arg("threads"), nb::arg("seconds"),
               "Writes the crops to `out`. rois: (batch, boxes, levels). model: (spatial scales, output size, "
               "sampling ratio, aligned).");
    module.def("levels_of", levels_of, nb::arg("levels"), nb::arg("boxes"), nb::arg("bounds"));
    module.def("axis_weights", weights_of, nb::arg("low"), nb::arg("high"), nb::arg("size"), nb::arg("scale"),
               nb::arg("bins"), nb::arg("sampling_ratio"), nb::arg("aligned"));
    module.def("add_moments", add_moments, nb::arg("counts"), nb::arg("values"), nb::arg("rows"), nb::arg("levels"));
    module.def("usable_processors", usable_processors, "The affinity mask or the cgroup's quota, whichever is less.");
    module.def("choose_isa", choose_isa, nb::arg("name"), "Uses the copy of the kernel of that name; '': the best.");
    module.def("isa", isa_name, "The copy of the kernel in use.");
    module.def("usable_isas", usable_isas, "The copies that run on this machine, the best last.");
    module.def("most_scratch", most_scratch, "The most scratch memory that a thread has used, in bytes.");
    module.def("keep_freed_memory", keep_freed_memory, "For programs that get and free large blocks all the time.");
    define_filters(module);
    stay_out_at_exit();
}

}  // namespace msroi
