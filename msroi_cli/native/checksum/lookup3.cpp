#include "checksum/lookup3.h"

#include <initializer_list>

namespace msroi {

namespace {

uint32_t rotated(uint32_t word, int bits) { return word << bits | word >> (32 - bits); }

// Four bytes, the lowest first, of which at most `length` are there; the others are zeros.
uint32_t word_at(const uint8_t* bytes, int64_t length) {
    uint32_t word = 0;
    for (int64_t i = 0; i < 4 && i < length; ++i) word |= uint32_t(bytes[i]) << 8 * i;
    return word;
}

struct State {
    uint32_t a, b, c;

    void add(const uint8_t* bytes, int64_t length) {
        a += word_at(bytes, length);
        b += word_at(bytes + 4, length - 4);
        c += word_at(bytes + 8, length - 8);
    }

    // After each twelve bytes but the last: six turns, in which a, b and c change places.
    void mix() {
        for (const int bits : {4, 6, 8, 16, 19, 4}) {
            const uint32_t next = (a - c) ^ rotated(c, bits);
            const uint32_t last = c + b;
            a = b;
            b = last;
            c = next;
        }
    }

    // After the last bytes: seven turns, in which c, a and b change places.
    void end() {
        for (const int bits : {14, 11, 25, 16, 4, 14, 24}) {
            const uint32_t next = (c ^ b) - rotated(b, bits);
            c = a;
            a = b;
            b = next;
        }
    }
};

}  // namespace

uint32_t lookup3(const uint8_t* bytes, int64_t length) {
    const uint32_t start = 0xdeadbeefu + uint32_t(length);
    State state{start, start, start};
    if (!length) return start;
    for (; length > 12; bytes += 12, length -= 12) {
        state.add(bytes, 12);
        state.mix();
    }
    state.add(bytes, length);
    state.end();
    return state.b;
}

}  // namespace msroi
