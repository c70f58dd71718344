// Blocks of a file that lie apart.
#pragma once

#include <stdint.h>

namespace msroi {

// Reads the `width` bytes at a place of an open file; false if the file does not have all of them, or cannot be read.
bool read_block(int descriptor, int64_t place, char* to, int64_t width);

}  // namespace msroi
