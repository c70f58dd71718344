// The twin of core/stats.py: count, mean, sum of squared deviations, extremes and zeros of a crop's values.
#pragma once

#include <cstdint>

namespace msroi {

// Of finite values; `nonfinite` counts the others. `low` and `high` are infinities the wrong way round of no values.
struct Moments {
    int64_t count, zeros, nonfinite;
    double mean, squares, low, high;

    // Adds values: Chan, Golub and LeVeque (1979), equation 2.1.
    void add(const Moments& other);
};

Moments no_moments();

// The moments of `length` values. Those of the same values are the same bits, wherever they lie.
template <class T>
Moments moments_of(const T* values, int64_t length);

}  // namespace msroi
