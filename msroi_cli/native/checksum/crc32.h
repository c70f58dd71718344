// CRC32 as zlib has it: the polynomial 0x04c11db7, bits reflected, all ones before and after.
#pragma once

#include <stdint.h>

namespace msroi {

// The checksum of `length` bytes, by carry-less multiplication or the processor's own instruction where it has them.
uint32_t crc32(const void* bytes, int64_t length);

// The same by tables: the twin.
uint32_t crc32_by_tables(const void* bytes, int64_t length);

}  // namespace msroi
