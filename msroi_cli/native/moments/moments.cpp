#include "moments/moments.h"

#include <string.h>

#include <cmath>
#include <limits>

#include "pooling/isa.h"

namespace msroi {

namespace {

constexpr double INFINITE = std::numeric_limits<double>::infinity();
constexpr Moments NONE = {0, 0, 0, 0.0, 0.0, INFINITE, -INFINITE};

Moments of_sums(const MomentSums& sums, int64_t count) {
    const double spread = sums.squares - sums.sum * sums.sum / double(count);
    return {count, sums.zeros, 0, sums.shift + sums.sum / double(count), spread < 0 ? 0 : spread, sums.low, sums.high};
}

// All bits of the exponent are set in NaN and infinities.
bool is_finite(const char* value, Type type) {
    if (type == Type::f16) {
        uint16_t bits;
        memcpy(&bits, value, sizeof bits);
        return (bits & 0x7c00u) != 0x7c00u;
    }
    if (type == Type::f32) {
        float number;
        memcpy(&number, value, sizeof number);
        return std::isfinite(number);
    }
    double number;
    memcpy(&number, value, sizeof number);
    return std::isfinite(number);
}

}  // namespace

void Moments::add(const Moments& other) {
    const int64_t total = count + other.count;
    if (other.count) {
        const double delta = other.mean - mean, share = double(other.count) / double(total);
        squares += other.squares + delta * delta * double(count) * share;
        mean += delta * share;
    }
    count = total;
    low = other.low < low ? other.low : low;
    high = other.high > high ? other.high : high;
    zeros += other.zeros;
    nonfinite += other.nonfinite;
}

Moments moments_of(const char* values, int64_t length, Type type) {
    Moments all = NONE;
    if (!length) return all;
    const auto finite = [type, sums = isa_kernels().moments](const char* from, int64_t count) {
        return of_sums(sums(from, count, type), count);
    };
    const Moments whole = finite(values, length);
    if (std::isfinite(whole.squares)) return whole;
    // Runs of finite values between the others.
    const int64_t size = bytes_of(type);
    int64_t start = 0;
    while (start < length) {
        int64_t stop = start;
        while (stop < length && is_finite(values + stop * size, type)) ++stop;
        if (stop > start) all.add(finite(values + start * size, stop - start));
        for (start = stop; start < length && !is_finite(values + start * size, type); ++start) ++all.nonfinite;
    }
    return all;
}

}  // namespace msroi
