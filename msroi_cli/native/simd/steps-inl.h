// Small things that all ways through a box share. Included in this folder alone, as lanes-inl.h is.
#pragma once

#include "pooling/sweep.h"
#include "simd/lanes-inl.h"

namespace msroi {
namespace MSROI_ISA_NAMESPACE {

MSROI_INLINE int64_t smaller(int64_t a, int64_t b) { return a < b ? a : b; }

// `total` in equal steps of at most `most`.
MSROI_INLINE int64_t even_step(int64_t total, int64_t most) {
    if (total <= most) return total;
    if (most < 1) most = 1;
    const int64_t steps = (total + most - 1) / most;
    return (total + steps - 1) / steps;
}

// The first slot after `slot` whose cell is not the next neighbour: slots up to there are one run of columns.
MSROI_INLINE int64_t run_end(const Band& band, int64_t slot, int64_t end) {
    if (band.cell[end - 1] - band.cell[slot] == end - 1 - slot) return end;
    while (++slot < end && band.cell[slot] == band.cell[slot - 1] + 1) {
    }
    return slot;
}

template <class T>
MSROI_INLINE const T* weights(const Band& band, int64_t tap) {
    return static_cast<const T*>(band.weight) + tap;
}

}  // namespace MSROI_ISA_NAMESPACE
}  // namespace msroi
