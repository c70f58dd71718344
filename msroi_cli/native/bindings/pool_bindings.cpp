// The kernel, for Python: arrays in, checked; the work done without the interpreter's lock.

#include <nanobind/nanobind.h>
#include <nanobind/stl/string.h>
#include <nanobind/stl/vector.h>

#include <string.h>

#include <vector>

#include "bindings/buffers.h"
#include "bindings/define.h"
#include "bindings/gil.h"
#include "pooling/isa.h"
#include "pooling/kernel.h"
#include "threads/processors.h"

namespace nb = nanobind;

namespace msroi {

namespace {

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
    without_gil([&] { pool(call); });
}

}  // namespace

void define_pool(nb::module_& module) {
    module.def("pool", pool_arrays, nb::arg("out"), nb::arg("maps"), nb::arg("rois"), nb::arg("model"),
               nb::arg("threads"), nb::arg("seconds"),
               "Writes the crops to `out`. rois: (batch, boxes, levels). model: (spatial scales, output size, "
               "sampling ratio, aligned).");
    module.def("usable_processors", usable_processors, "The affinity mask or the cgroup's quota, whichever is less.");
    module.def("choose_isa", choose_isa, nb::arg("name"), "Uses the copy of the kernel of that name; '': the best.");
    module.def("isa", isa_name, "The copy of the kernel in use.");
    module.def("usable_isas", usable_isas, "The copies that run on this machine, the best last.");
    module.def("peak_scratch_bytes", peak_scratch_bytes, "The most scratch memory that a thread has used, in bytes.");
}

}  // namespace msroi
