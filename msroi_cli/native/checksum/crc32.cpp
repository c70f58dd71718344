// A message is a polynomial over GF(2), and its checksum the remainder of a division by POLYNOMIAL. Bits are reflected: the
// lowest bit of a byte is the highest power of x. `state` is the checksum without the complements.

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

// Folds the rest 16 bytes at a time, and takes the remainder by tables.
MSROI_CLMUL uint32_t add_rest(__m128i state, const uint8_t* bytes, int64_t length) {
    for (; length >= 16; bytes += 16, length -= 16) state = _mm_xor_si128(moved<128>(state), loaded(bytes));
    uint8_t folded[16];
    memcpy(folded, &state, sizeof folded);
    return add_by_tables(add_by_tables(0, folded, sizeof folded), bytes, length);
}

// Folds 64 bytes at a time into 64, and those into 16.
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
    return add_rest(d, bytes, length);
}

#define MSROI_WIDE __attribute__((target("vpclmulqdq,avx2,pclmul,sse4.1")))

// The same for two numbers of 128 bits side by side,
template <int DISTANCE>
MSROI_WIDE inline __m256i moved(__m256i value) {
    const __m256i factors = _mm256_set_epi64x(int64_t(factor(DISTANCE - 32)), int64_t(factor(DISTANCE + 32)),
                                              int64_t(factor(DISTANCE - 32)), int64_t(factor(DISTANCE + 32)));
    return _mm256_xor_si256(_mm256_clmulepi64_epi128(value, factors, 0x00),
                            _mm256_clmulepi64_epi128(value, factors, 0x11));
}

MSROI_WIDE inline __m256i loaded_wide(const uint8_t* bytes) {
    return _mm256_loadu_si256(reinterpret_cast<const __m256i*>(bytes));
}

// and 128 bytes at a time.
MSROI_WIDE uint32_t add_by_wide_clmul(uint32_t state, const uint8_t* bytes, int64_t length) {
    if (length < 128) return add_by_clmul(state, bytes, length);
    __m256i a = _mm256_xor_si256(loaded_wide(bytes), _mm256_set_epi32(0, 0, 0, 0, 0, 0, 0, int(state)));
    __m256i b = loaded_wide(bytes + 32), c = loaded_wide(bytes + 64), d = loaded_wide(bytes + 96);
    for (bytes += 128, length -= 128; length >= 128; bytes += 128, length -= 128) {
        a = _mm256_xor_si256(moved<1024>(a), loaded_wide(bytes));
        b = _mm256_xor_si256(moved<1024>(b), loaded_wide(bytes + 32));
        c = _mm256_xor_si256(moved<1024>(c), loaded_wide(bytes + 64));
        d = _mm256_xor_si256(moved<1024>(d), loaded_wide(bytes + 96));
    }
    b = _mm256_xor_si256(moved<256>(a), b);
    c = _mm256_xor_si256(moved<256>(b), c);
    d = _mm256_xor_si256(moved<256>(c), d);
    const __m128i low = _mm256_castsi256_si128(d), high = _mm256_extracti128_si256(d, 1);
    return add_rest(_mm_xor_si128(moved<128>(low), high), bytes, length);
}

void add_instructions(std::vector<Crc32State>& ways) {
    __builtin_cpu_init();
    if (!__builtin_cpu_supports("pclmul") || !__builtin_cpu_supports("sse4.1")) return;
    ways.push_back(add_by_clmul);
    if (__builtin_cpu_supports("vpclmulqdq") && __builtin_cpu_supports("avx2")) ways.push_back(add_by_wide_clmul);
}

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

void add_instructions(std::vector<Crc32State>& ways) {
#if defined(__APPLE__)
    ways.push_back(add_by_instruction);
#else
    if (getauxval(AT_HWCAP) & HWCAP_CRC32) ways.push_back(add_by_instruction);
#endif
}

#else

void add_instructions(std::vector<Crc32State>&) {}

#endif

}  // namespace

std::vector<Crc32State> crc32_ways() {
    std::vector<Crc32State> ways{add_by_tables};
    add_instructions(ways);
    return ways;
}

uint32_t crc32(const void* bytes, int64_t length) {
    static const Crc32State best = crc32_ways().back();
    return ~best(~uint32_t(0), static_cast<const uint8_t*>(bytes), length);
}

}  // namespace msroi
