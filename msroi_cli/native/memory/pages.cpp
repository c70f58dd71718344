#include "memory/pages.h"

#include <stdint.h>
#include <sys/mman.h>
#include <unistd.h>

namespace msroi {

void release_pages(char* data, size_t size) {
#if defined(__linux__)
    const uintptr_t page = uintptr_t(sysconf(_SC_PAGESIZE));
    const uintptr_t first = (uintptr_t(data) + page - 1) / page * page;
    const uintptr_t last = (uintptr_t(data) + size) / page * page;
    if (first < last) madvise(reinterpret_cast<void*>(first), last - first, MADV_DONTNEED);
#else
    (void)data;
    (void)size;
#endif
}

}  // namespace msroi
