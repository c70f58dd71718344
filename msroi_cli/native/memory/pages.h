// Giving memory back to the system that is still allocated.
#pragma once

#include <stddef.h>

namespace msroi {

// Lets go of the pages that lie wholly within `size` bytes of memory from the heap: what they hold is lost.
void release_pages(char* data, size_t size);

}  // namespace msroi
