// The twin of core/stats.py: count, mean, sum of squared deviations, extremes and zeros of a crop's values.
#pragma once

#include <stdint.h>

#include "pooling/sweep.h"

namespace msroi {

// Of finite values; `nonfinite` counts the others. `low` and `high` are infinities the wrong way round of no values.
struct Moments {
    int64_t count, zeros, nonfinite;
    double mean, squares, low, high;

    // Adds values: Chan, Golub and LeVeque (1979), equation 2.1.
    void add(const Moments& other);
};

// The moments of `length` values of `type`, in this machine's byte order. The same bits on every instruction set.
Moments moments_of(const char* values, int64_t length, Type type);

}  // namespace msroi
