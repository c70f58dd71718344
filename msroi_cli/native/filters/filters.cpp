#include "filters/filters.h"

#include <algorithm>
#include <cstring>

namespace msroi {

namespace {

// ITEMSIZE is a constant so that the compiler makes interleaving stores of the inner loop.
template <int64_t ITEMSIZE>
void interleave(const uint8_t* first, int64_t count, int64_t length, char* out) {
    for (int64_t k = 0; k < length; ++k)
        for (int64_t byte = 0; byte < ITEMSIZE; ++byte) out[k * ITEMSIZE + byte] = char(first[byte * count + k]);
}

void interleave_any(const Shuffled& chunk, int64_t first, const Window& window, char* out) {
    for (int64_t k = 0; k < window.shape[2]; ++k)
        for (int64_t byte = 0; byte < chunk.itemsize; ++byte)
            out[k * window.strides[2] + byte] = char(chunk.bytes[byte * chunk.count + first + k]);
}

void interleave_row(const Shuffled& chunk, int64_t first, const Window& window, char* out) {
    const uint8_t* from = chunk.bytes + first;
    const bool dense = window.strides[2] == chunk.itemsize;
    if (dense && chunk.itemsize == 2) return interleave<2>(from, chunk.count, window.shape[2], out);
    if (dense && chunk.itemsize == 4) return interleave<4>(from, chunk.count, window.shape[2], out);
    if (dense && chunk.itemsize == 8) return interleave<8>(from, chunk.count, window.shape[2], out);
    interleave_any(chunk, first, window, out);
}

}  // namespace

void unshuffle(const Shuffled& chunk, int64_t start, int64_t rows, int64_t columns, const Window& window) {
    for (int64_t i = 0; i < window.shape[0]; ++i)
        for (int64_t j = 0; j < window.shape[1]; ++j)
            interleave_row(chunk, start + (i * rows + j) * columns, window,
                           window.data + i * window.strides[0] + j * window.strides[1]);
}

int64_t lzf_expand(const uint8_t* stream, int64_t length, uint8_t* out, int64_t room) {
    const uint8_t* const end = stream + length;
    int64_t done = 0;
    while (stream < end) {
        const int64_t control = *stream++;
        if (control < 32) {  // as many bytes as they are, and one
            const int64_t count = control + 1;
            if (count > end - stream || count > room - done) return -1;
            std::memcpy(out + done, stream, size_t(count));
            stream += count;
            done += count;
            continue;
        }
        int64_t count = (control >> 5) + 2;  // a repetition of earlier output, which may reach into itself
        if (count == 9) {
            if (stream == end) return -1;
            count += *stream++;
        }
        if (stream == end) return -1;
        const int64_t back = ((control & 31) << 8) + *stream++ + 1;
        if (back > done || count > room - done) return -1;
        if (back >= count)
            std::memcpy(out + done, out + done - back, size_t(count));
        else
            for (int64_t k = 0; k < count; ++k) out[done + k] = out[done + k - back];
        done += count;
    }
    return done;
}

uint32_t fletcher32(const uint8_t* bytes, int64_t length) {
    constexpr int64_t WORDS_AT_ONCE = 1 << 16;  // whose sums of sums fit in 64 bits
    uint64_t first = 0, second = 0;
    const int64_t words = length / 2;
    for (int64_t begin = 0; begin < words; begin += WORDS_AT_ONCE) {
        for (int64_t word = begin; word < std::min(words, begin + WORDS_AT_ONCE); ++word) {
            first += uint64_t(bytes[2 * word]) << 8 | bytes[2 * word + 1];
            second += first;
        }
        first %= 65535;
        second %= 65535;
    }
    if (length % 2) {
        first = (first + (uint64_t(bytes[length - 1]) << 8)) % 65535;
        second = (second + first) % 65535;
    }
    return uint32_t(second << 16 | first);
}

}  // namespace msroi
