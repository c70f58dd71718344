// The extension module.

#include <nanobind/nanobind.h>

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

}  // namespace

NB_MODULE(_native, module) {
    module.doc() = "The native kernel of msroi.";
    define_pool(module);
    define_weights(module);
    define_digests(module);
    define_memory(module);
    define_filters(module);
    define_json(module);
    module.def("leave_at_second_signal", leave_at_second_signal, nb::arg("number"),
               "Has the second signal end the process at once, whatever it is doing.");
    module.def("keep_freed_memory", keep_freed_memory, "For programs that get and free large blocks all the time.");
    block_threads_at_exit();
}

}  // namespace msroi
