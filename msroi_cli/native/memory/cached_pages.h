// Parts of files seen as memory, where the page cache holds all of them: nothing is copied.
//
// A file that is cut short, or a disk that fails, takes pages away from under the view, and the system answers with a
// signal. Such a page becomes one of zeros, and is counted: whoever reads looks at the count afterwards, and reads again
// in a way that gives an error.
#pragma once

#include <stddef.h>
#include <stdint.h>

namespace msroi {

// `size` bytes of a file at `data`; null if there is no view.
struct CachedPages {
    char* data = nullptr;
    size_t size = 0;
    char* first_page = nullptr;
    size_t slot = 0;
};

// A view of the bytes of a file from `offset` on, if the page cache holds them all and the system says so (Linux 6.5).
CachedPages view_cached_pages(int descriptor, uint64_t offset, size_t size);

// Ends a view.
void close_view(const CachedPages& pages) noexcept;

// How many pages all views together have lost so far.
uint64_t lost_pages();

}  // namespace msroi
