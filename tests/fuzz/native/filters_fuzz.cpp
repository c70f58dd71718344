// LZF streams, checksums and unshuffling on any bytes, in buffers of just the size they need; see lzf_expand for LZF's format.
#include <cstdint>
#include <cstdlib>
#include <cstring>
#include <memory>

#include "filters/filters.h"

namespace {

// Expands byte by byte; the slow twin of lzf_expand. Returns -1 where that has to.
int64_t expanded(const uint8_t* in, int64_t length, uint8_t* out, int64_t room) {
    int64_t read = 0, written = 0;
    while (read < length) {
        const int control = in[read++];
        if (control < 32) {
            for (int i = 0; i <= control; ++i) {
                if (read >= length || written >= room) return -1;
                out[written++] = in[read++];
            }
            continue;
        }
        int64_t count = control >> 5;
        if (count == 7) {
            if (read >= length) return -1;
            count += in[read++];
        }
        if (read >= length) return -1;
        const int64_t from = written - ((control & 31) << 8 | in[read++]) - 1;
        if (from < 0 || written + count + 2 > room) return -1;
        for (int64_t i = 0; i < count + 2; ++i, ++written) out[written] = out[from + i];
    }
    return written;
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
    if (size < 6) return 0;
    const int64_t room = data[0] << 8 | data[1], itemsize = 1 + data[2] % 8;
    const int64_t rows = 1 + data[3] % 9, columns = 1 + data[4] % 9;
    const int64_t length = int64_t(size) - 5;
    const std::unique_ptr<uint8_t[]> stream(new uint8_t[size_t(length)]);
    memcpy(stream.get(), data + 5, size_t(length));

    const std::unique_ptr<uint8_t[]> fast(new uint8_t[size_t(room)]), slow(new uint8_t[size_t(room)]);
    const int64_t got = msroi::lzf_expand(stream.get(), length, fast.get(), room);
    const int64_t expected = expanded(stream.get(), length, slow.get(), room);
    if (got != expected || (got > 0 && memcmp(fast.get(), slow.get(), size_t(got)) != 0)) abort();
    msroi::fletcher32(stream.get(), length);

    const int64_t count = length / itemsize, planes = count / (rows * columns);
    if (planes == 0) return 0;
    const std::unique_ptr<char[]> out(new char[size_t(planes * rows * columns * itemsize)]);
    const msroi::Window window{
        out.get(), {planes, rows, columns}, {rows * columns * itemsize, columns * itemsize, itemsize}};
    msroi::unshuffle({stream.get(), count, itemsize}, 0, rows, columns, window);
    for (int64_t i = 0; i < planes * rows * columns; ++i)
        for (int64_t byte = 0; byte < itemsize; ++byte)
            if (uint8_t(out[size_t(i * itemsize + byte)]) != stream[size_t(byte * count + i)]) abort();
    return 0;
}
