// A message is a polynomial over GF(2), and its checksum the remainder of a division by POLYNOMIAL. Bits are reflected: the
// lowest bit of a byte is the highest power of x. `state` is the checksum without the final complement.

#include "checksum/crc32.h"

#include <string.h>

#include <array>

#if defined(__x86_64__)
#include <immintrin.h>
#elif defined(__aarch64__)
#include <arm_acle.h>
#if defined(__linux__)
#include <asm/hwcap.h>
#include <sys/auxv.h>
#endif
#endif

namespace msroi {

namespace {

constexpr uint32_t POLYNOMIAL = 0xedb88320u;  // 0x04c11db7 reflected

// `value` times x, modulo the polynomial.
constexpr uint32_t times_x(uint32_t value) { return (value >> 1) ^ (value & 1 ? POLYNOMIAL : 0); }

// tables[k][b]: the state after byte b and k zeros.
typedef std::array<std::array<uint32_t, 256>, 8> Tables;

constexpr Tables make_tables() {
    Tables tables{};
    for (uint32_t byte = 0; byte < 256; ++byte) {
        uint32_t state = byte;
        for (int bit = 0; bit < 8; ++bit) state = times_x(state);
        tables[0][byte] = state;
    }
    for (size_t k = 1; k < 8; ++k)
        for (uint32_t byte = 0; byte < 256; ++byte)
            tables[k][byte] = tables[k - 1][byte] >> 8 ^ tables[0][tables[k - 1][byte] & 255];
    return tables;
}

constexpr Tables TABLES = make_tables();

uint32_t add_byte(uint32_t state, uint8_t byte) { return state >> 8 ^ TABLES[0][(state ^ byte) & 255]; }

// Eight bytes at a time, each through the table that has as many zeros behind it ("slicing by 8").
// Source: Kounavis and Berry, "A systematic approach to building high performance software-based CRC generators" (2005).
uint32_t add_by_tables(uint32_t state, const uint8_t* bytes, int64_t length) {
    for (; length >= 8; bytes += 8, length -= 8) {
        uint32_t next = 0;
        for (int i = 0; i < 8; ++i) {
            const uint8_t before = i < 4 ? uint8_t(state >> 8 * i) : uint8_t(0);
            next ^= TABLES[size_t(7 - i)][uint8_t(bytes[i] ^ before)];
        }
        state = next;
    }
    for (; length > 0; ++bytes, --length) state = add_byte(state, *bytes);
    return state;
}

#if defined(__x86_64__)

// x^power modulo the polynomial, as a factor: a product of two reflected numbers of 32 bits is one bit too low.
constexpr uint64_t factor(int power) {
    uint32_t value = 0x80000000u;  // x^0
    for (int i = 0; i < power; ++i) value = times_x(value);
    return uint64_t(value) << 1;
}

#define MSROI_CLMUL __attribute__((target("pclmul,sse4.1")))

// Multiplies 128 bits by x^distance, to within the polynomial: the half with the higher powers is moved 64 bits further.
template <int DISTANCE>
MSROI_CLMUL inline __m128i moved(__m128i value) {
    const __m128i factors = _mm_set_epi64x(int64_t(factor(DISTANCE - 32)), int64_t(factor(DISTANCE + 32)));
    return _mm_xor_si128(_mm_clmulepi64_si128(value, factors, 0x00), _mm_clmulepi64_si128(value, factors, 0x11));
}

MSROI_CLMUL inline __m128i loaded(const uint8_t* bytes) {
    return _mm_loadu_si128(reinterpret_cast<const __m128i*>(bytes));
}

// Folds 64 bytes at a time into 64, those into 16, and takes the remainder of these by tables.
// Source: Gopal et al., "Fast CRC computation for generic polynomials using PCLMULQDQ instruction" (2009).
MSROI_CLMUL uint32_t add_by_clmul(uint32_t state, const uint8_t* bytes, int64_t length) {
    if (length < 64) return add_by_tables(state, bytes, length);
    __m128i a = _mm_xor_si128(loaded(bytes), _mm_cvtsi32_si128(int(state)));
    __m128i b = loaded(bytes + 16), c = loaded(bytes + 32), d = loaded(bytes + 48);
    for (bytes += 64, length -= 64; length >= 64; bytes += 64, length -= 64) {
        a = _mm_xor_si128(moved<512>(a), loaded(bytes));
        b = _mm_xor_si128(moved<512>(b), loaded(bytes + 16));
        c = _mm_xor_si128(moved<512>(c), loaded(bytes + 32));
        d = _mm_xor_si128(moved<512>(d), loaded(bytes + 48));
    }
    b = _mm_xor_si128(moved<128>(a), b);
    c = _mm_xor_si128(moved<128>(b), c);
    d = _mm_xor_si128(moved<128>(c), d);
    for (; length >= 16; bytes += 16, length -= 16) d = _mm_xor_si128(moved<128>(d), loaded(bytes));
    uint8_t folded[16];
    memcpy(folded, &d, sizeof folded);
    return add_by_tables(add_by_tables(0, folded, sizeof folded), bytes, length);
}

bool has_instruction() {
    __builtin_cpu_init();
    return __builtin_cpu_supports("pclmul") && __builtin_cpu_supports("sse4.1");
}

constexpr auto add_by_instruction = add_by_clmul;

#elif defined(__aarch64__) && (defined(__linux__) || defined(__APPLE__))

#if defined(__clang__)
#define MSROI_CRC __attribute__((target("crc")))
#else
#define MSROI_CRC __attribute__((target("+crc")))
#endif

MSROI_CRC uint32_t add_by_instruction(uint32_t state, const uint8_t* bytes, int64_t length) {
    for (; length >= 8; bytes += 8, length -= 8) {
        uint64_t word;
        memcpy(&word, bytes, sizeof word);
        state = __crc32d(state, word);
    }
    for (; length > 0; ++bytes, --length) state = __crc32b(state, *bytes);
    return state;
}

bool has_instruction() {
#if defined(__APPLE__)
    return true;
#else
    return getauxval(AT_HWCAP) & HWCAP_CRC32;
#endif
}

#else

constexpr auto add_by_instruction = add_by_tables;
bool has_instruction() { return false; }

#endif

}  // namespace

uint32_t crc32(const void* bytes, int64_t length) {
    static const auto add = has_instruction() ? &*add_by_instruction : &add_by_tables;
    return ~add(~uint32_t(0), static_cast<const uint8_t*>(bytes), length);
}

uint32_t crc32_by_tables(const void* bytes, int64_t length) {
    return ~add_by_tables(~uint32_t(0), static_cast<const uint8_t*>(bytes), length);
}

}  // namespace msroi
