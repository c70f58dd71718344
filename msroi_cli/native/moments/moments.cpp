#include "moments/moments.h"

#include <cmath>
#include <limits>

namespace msroi {

namespace {

// Sums run in so many lanes that the compiler can keep them in vectors; the order of additions is part of the result.
constexpr int lanes = 16;

// Values shifted by one of them lose nothing to cancellation when the mean is far from 0.
template <class T>
Moments finite_moments(const T* values, int64_t length) {
    const double shift = double(values[0]);
    double sum[lanes] = {}, squares[lanes] = {};
    T low[lanes], high[lanes];
    int64_t zeros[lanes] = {};
    for (int i = 0; i < lanes; ++i) low[i] = high[i] = values[0];
    const auto add = [&](int i, T value) {
        const double away = double(value) - shift;
        sum[i] += away;
        squares[i] += away * away;
        low[i] = value < low[i] ? value : low[i];
        high[i] = value > high[i] ? value : high[i];
        zeros[i] += value == 0;
    };
    int64_t start = 0;
    for (; start + lanes <= length; start += lanes)
        for (int i = 0; i < lanes; ++i) add(i, values[start + i]);
    for (int i = 0; start + i < length; ++i) add(i, values[start + i]);
    Moments all = no_moments();
    double total = 0, total_squares = 0;
    for (int i = 0; i < lanes; ++i) {
        total += sum[i];
        total_squares += squares[i];
        all.low = std::fmin(all.low, double(low[i]));
        all.high = std::fmax(all.high, double(high[i]));
        all.zeros += zeros[i];
    }
    all.count = length;
    all.mean = shift + total / double(length);
    const double spread = total_squares - total * total / double(length);
    all.squares = spread < 0 ? 0 : spread;
    return all;
}

}  // namespace

Moments no_moments() {
    constexpr double infinity = std::numeric_limits<double>::infinity();
    return {0, 0, 0, 0.0, 0.0, infinity, -infinity};
}

void Moments::add(const Moments& other) {
    const int64_t total = count + other.count;
    if (other.count) {
        const double delta = other.mean - mean, share = double(other.count) / double(total);
        squares += other.squares + delta * delta * double(count) * share;
        mean += delta * share;
    }
    count = total;
    low = std::fmin(low, other.low);
    high = std::fmax(high, other.high);
    zeros += other.zeros;
    nonfinite += other.nonfinite;
}

template <class T>
Moments moments_of(const T* values, int64_t length) {
    Moments all = no_moments();
    if (!length) return all;
    const Moments finite = finite_moments(values, length);
    if (std::isfinite(finite.squares)) return finite;
    // Runs of finite values between the others.
    int64_t start = 0;
    while (start < length) {
        int64_t stop = start;
        while (stop < length && std::isfinite(values[stop])) ++stop;
        if (stop > start) all.add(finite_moments(values + start, stop - start));
        for (start = stop; start < length && !std::isfinite(values[start]); ++start) ++all.nonfinite;
    }
    return all;
}

template Moments moments_of(const float*, int64_t);
template Moments moments_of(const double*, int64_t);

}  // namespace msroi
