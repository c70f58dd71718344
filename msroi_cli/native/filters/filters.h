// HDF5's filters backwards, on raw memory. Source: HDF5 File Format Specification, version 3.0, section IV.A.2.l; for LZF
// the format of liblzf's streams.
#pragma once

#include <cstdint>

namespace msroi {

// Where some of the elements of a chunk go: element (i, j, k) of `shape` to data + i, j, k times the strides, in bytes.
struct Window {
    char* data;
    int64_t shape[3], strides[3];
};

// A decoded chunk as the shuffle filter left it: the first bytes of all `count` elements, then the second bytes, ...
struct Shuffled {
    const uint8_t* bytes;
    int64_t count, itemsize;
};

// Puts the elements of `window` in their place. Element (i, j, k) is number start + (i * rows + j) * columns + k.
void unshuffle(const Shuffled& chunk, int64_t start, int64_t rows, int64_t columns, const Window& window);

// Expands an LZF stream to `room` bytes at most; returns their number, or -1 for what is no such stream or expands to more.
int64_t lzf_expand(const uint8_t* stream, int64_t length, uint8_t* out, int64_t room);

// The checksum at the end of a chunk with the fletcher32 filter, each half of it modulo 65535.
uint32_t fletcher32(const uint8_t* bytes, int64_t length);

}  // namespace msroi
