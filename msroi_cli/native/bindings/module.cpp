// The extension module.

#include <nanobind/nanobind.h>

#include <cstdlib>

#if defined(__GLIBC__)
#include <malloc.h>
#endif

#include "bindings/define.h"
#include "bindings/gil.h"
#include "signals/stop.h"

namespace nb = nanobind;

namespace msroi {

namespace {

// Has the C library keep freed memory. Else each decoded chunk is in pages that the kernel has to make and clear anew,
// which takes a good part of the time of decoding it.
void keep_freed_memory() {
#if defined(__GLIBC__)
    mallopt(M_MMAP_THRESHOLD, 32 << 20);  // the most that a thread's own heap can serve
    mallopt(M_TRIM_THRESHOLD, 256 << 20);
#endif
}

// Has the C library free memory as it does by itself, and gives back what it has kept.
void give_back_freed_memory() {
#if defined(__GLIBC__)
    const char* most = std::getenv("MALLOC_TRIM_THRESHOLD_");  // glibc's own variable; Dask sets it for its workers
    mallopt(M_MMAP_THRESHOLD, 128 << 10);
    mallopt(M_TRIM_THRESHOLD, most ? std::atoi(most) : 128 << 10);
    malloc_trim(0);
#endif
}

}  // namespace

NB_MODULE(_native, module) {
    module.doc() = "The native kernel of msroi.";
    define_pool(module);
    define_weights(module);
    define_digests(module);
    define_memory(module);
    define_filters(module);
    define_files(module);
    define_text(module);
    module.def("leave_at_second_signal", leave_at_second_signal, nb::arg("number"),
               "Has the second signal end the process at once, whatever it is doing.");
    module.def("keep_freed_memory", keep_freed_memory, "For programs that get and free large blocks all the time.");
    module.def("give_back_freed_memory", give_back_freed_memory, "For programs that do so no longer.");
    block_threads_at_exit();
}

}  // namespace msroi
