// Memory for results, for Python: an array whose base owns a block and gives it back when nothing refers to it any more.

#include <nanobind/nanobind.h>
#include <nanobind/ndarray.h>

#include "bindings/buffers.h"
#include "bindings/define.h"
#include "bindings/gil.h"
#include "memory/cached_pages.h"
#include "memory/pages.h"
#include "memory/result_memory.h"

namespace nb = nanobind;

namespace msroi {

namespace {

typedef nb::ndarray<nb::numpy, uint8_t, nb::ndim<1>> Bytes;

Bytes result_bytes(size_t size) {
    ResultBlock* block = take_result_block(size);
    const auto give_back = [](void* owned) noexcept { give_back_result_block(static_cast<ResultBlock*>(owned)); };
    nb::capsule owner;
    try {
        owner = nb::capsule(block, give_back);
    } catch (...) {
        give_back_result_block(block);
        throw;
    }
    return Bytes(block->data, {size}, owner);
}

typedef nb::ndarray<nb::numpy, const uint8_t, nb::ndim<1>> ReadOnlyBytes;

nb::object cached_bytes(int descriptor, uint64_t offset, size_t size) {
    CachedPages* pages = new CachedPages();
    without_gil([&] { *pages = view_cached_pages(descriptor, offset, size); });
    if (!pages->data) {
        delete pages;
        return nb::none();
    }
    const nb::capsule owner(pages, [](void* owned) noexcept {
        const CachedPages* pages = static_cast<CachedPages*>(owned);
        without_gil([&] { close_view(*pages); });
        delete pages;
    });
    return nb::cast(ReadOnlyBytes(pages->data, {size}, owner));
}

void release_from(nb::handle array, int64_t start) {
    const Buffer bytes(array, "array", 1, true);
    if (bytes.itemsize() != 1 || bytes.stride(0) != 1 || start < 0 || start > bytes.shape(0))
        throw nb::value_error("array: expected bytes, and a place among them");
    release_pages(bytes.data() + start, size_t(bytes.shape(0) - start));
}

}  // namespace

void define_memory(nb::module_& module) {
    module.def("result_bytes", result_bytes, nb::arg("size"),
               "An array (size,) of uint8, not cleared. Its memory is used again once no array refers to it.");
    module.def("unused_result_bytes", unused_result_bytes, "The bytes that are kept for further results.");
    module.def(
        "cached_bytes", cached_bytes, nb::arg("descriptor"), nb::arg("offset"), nb::arg("size"),
        "The bytes of a file from `offset` on as an array (size,) of uint8 that may not be written to, without a "
        "copy, if the page cache holds them all; else None. Where the file loses them later, the array has "
        "zeros, and `lost_pages` rises.");
    module.def("lost_pages", lost_pages, "How many pages all arrays of `cached_bytes` together have lost so far.");
    module.def("release_pages", release_from, nb::arg("array"), nb::arg("start"),
               "Gives the system back the pages of an array (size,) of uint8 from the heap, from byte `start` on: what "
               "is there is lost.");
}

}  // namespace msroi
