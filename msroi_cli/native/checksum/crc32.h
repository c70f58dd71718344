// CRC32 as zlib has it: the polynomial 0x04c11db7, bits reflected, all ones before and after.
#pragma once

#include <stdint.h>

#include <vector>

namespace msroi {

// The checksum of `length` bytes, by carry-less multiplication or the processor's own instruction where it has them.
uint32_t crc32(const void* bytes, int64_t length);

// Adds bytes to a checksum that is not complemented.
typedef uint32_t (*Crc32State)(uint32_t state, const uint8_t* bytes, int64_t length);

// All ways to work it out that this processor has, the best last; the first one, by tables, is the twin of the others.
std::vector<Crc32State> crc32_ways();

}  // namespace msroi
