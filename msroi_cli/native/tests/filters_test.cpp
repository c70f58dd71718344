// The filters without Python, for the sanitizers: memory exactly as large as it must be, so that a step beyond is seen.
// Prints what failed; the exit code is 0 if nothing did.

#include <algorithm>
#include <cstdio>
#include <cstring>
#include <memory>
#include <random>
#include <vector>

#include "filters/filters.h"

using namespace msroi;

namespace {

int failures = 0;

void expect(bool good, const char* what) {
    if (good) return;
    ++failures;
    std::printf("FAILED: %s\n", what);
}

std::mt19937 random_bits(1);

int64_t up_to(int64_t limit) { return int64_t(random_bits() % uint64_t(limit + 1)); }

std::unique_ptr<uint8_t[]> copied(const std::vector<uint8_t>& bytes) {
    std::unique_ptr<uint8_t[]> copy(new uint8_t[bytes.size()]);
    if (!bytes.empty()) std::memcpy(copy.get(), bytes.data(), bytes.size());
    return copy;
}

// A window of a chunk into memory with gaps, element by element beside its definition.
void unshuffle_once() {
    const int64_t channels = 1 + up_to(3), rows = 1 + up_to(5), columns = 1 + up_to(70), itemsize = 1 << up_to(3);
    const int64_t count = channels * rows * columns, first = up_to(channels - 1);
    std::vector<uint8_t> bytes(size_t(count * itemsize));
    for (uint8_t& byte : bytes) byte = uint8_t(random_bits());
    const auto chunk = copied(bytes);
    const int64_t shape[] = {channels - first, 1 + up_to(rows - 1), 1 + up_to(columns - 1)};
    const int64_t gap = up_to(1) * itemsize, step = itemsize + gap;
    const int64_t size = shape[0] * shape[1] * shape[2] * step;
    const std::unique_ptr<char[]> out(new char[size_t(size)]());
    const Window window{out.get(), {shape[0], shape[1], shape[2]}, {shape[1] * shape[2] * step, shape[2] * step, step}};
    unshuffle({chunk.get(), count, itemsize}, first * rows * columns, rows, columns, window);
    bool good = true;
    for (int64_t i = 0; i < shape[0]; ++i)
        for (int64_t j = 0; j < shape[1]; ++j)
            for (int64_t k = 0; k < shape[2]; ++k)
                for (int64_t byte = 0; byte < step; ++byte) {
                    const int64_t element = ((first + i) * rows + j) * columns + k;
                    const uint8_t wanted = byte < itemsize ? bytes[size_t(byte * count + element)] : 0;
                    good &= uint8_t(out[size_t(((i * shape[1] + j) * shape[2] + k) * step + byte)]) == wanted;
                }
    expect(good, "unshuffle: every element in its place, and nothing between them");
}

// An LZF stream of random tokens, beside what it means.
void lzf_once() {
    std::vector<uint8_t> stream, expanded;
    for (int64_t token = up_to(40); token > 0; --token) {
        if (expanded.empty() || up_to(1)) {
            const int64_t count = 1 + up_to(31);
            stream.push_back(uint8_t(count - 1));
            for (int64_t k = 0; k < count; ++k) {
                stream.push_back(uint8_t(random_bits()));
                expanded.push_back(stream.back());
            }
        } else {
            const int64_t count = 3 + up_to(261),
                          back = 1 + up_to(std::min<int64_t>(8191, int64_t(expanded.size()) - 1));
            const int64_t high = (back - 1) >> 8;
            if (count < 9) {
                stream.push_back(uint8_t((count - 2) << 5 | high));
            } else {
                stream.push_back(uint8_t(7 << 5 | high));
                stream.push_back(uint8_t(count - 9));
            }
            stream.push_back(uint8_t((back - 1) & 255));
            for (int64_t k = 0; k < count; ++k) expanded.push_back(expanded[expanded.size() - size_t(back)]);
        }
    }
    const int64_t size = int64_t(expanded.size());
    const auto out = copied(expanded), in = copied(stream);
    std::memset(out.get(), 0, expanded.size());
    expect(lzf_expand(in.get(), int64_t(stream.size()), out.get(), size) == size, "lzf: the length");
    expect(size == 0 || !std::memcmp(out.get(), expanded.data(), expanded.size()), "lzf: the bytes");
    if (size == 0) return;
    const std::unique_ptr<uint8_t[]> little(new uint8_t[size_t(size - 1)]);
    expect(lzf_expand(in.get(), int64_t(stream.size()), little.get(), size - 1) == -1, "lzf: no room is an error");
    for (int change = 0; change < 20; ++change) {
        const int64_t length = up_to(int64_t(stream.size()));
        std::vector<uint8_t> damaged(stream.begin(), stream.begin() + length);
        if (length) damaged[size_t(up_to(length - 1))] = uint8_t(random_bits());
        const auto bad = copied(damaged);
        const int64_t done = lzf_expand(bad.get(), length, out.get(), size);
        expect(done >= -1 && done <= size, "lzf: never more than there is room for");
    }
}

void fletcher32_once() {
    std::vector<uint8_t> bytes(size_t(up_to(300)));
    for (uint8_t& byte : bytes) byte = uint8_t(random_bits());
    uint64_t first = 0, second = 0;
    for (size_t k = 0; k < bytes.size(); k += 2) {
        first = (first + (uint64_t(bytes[k]) << 8) + (k + 1 < bytes.size() ? bytes[k + 1] : 0)) % 65535;
        second = (second + first) % 65535;
    }
    const auto content = copied(bytes);
    expect(fletcher32(content.get(), int64_t(bytes.size())) == (second << 16 | first), "fletcher32");
}

}  // namespace

int main() {
    for (int turn = 0; turn < 2000; ++turn) {
        unshuffle_once();
        lzf_once();
        fletcher32_once();
    }
    if (!failures) std::printf("filters: all well\n");
    return failures ? 1 : 0;
}
