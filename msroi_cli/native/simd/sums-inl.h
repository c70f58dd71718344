// The two sums of the kernel. Every path through it ends here, so that every path rounds alike.
//
// A sum of taps starts from 0 and takes a multiplication and an addition a tap, ascending, each rounded by itself: fused
// ones would round otherwise than an instruction set that has none. Beyond MOST_TAPS taps it is a sum of such sums, in
// order: weights and pointers of one group stay in registers, and a long sum loses less to rounding.
// A sum of m taps so rounds a term at most min(m, 8) + ceil(m / 8) - 2 times, which the error bound counts on.
// Included in this folder alone, as lanes-inl.h is.
#pragma once

#include "pooling/scratch.h"
#include "simd/lanes-inl.h"

namespace msroi {
namespace MSROI_ISA_NAMESPACE {

// From `i` on, as many elements as fit V at a time: line[i] = (ADD ? line[i] : 0) + sum of weight[t] * row[t][i].
template <class V, int TAPS, bool ADD, class T>
MSROI_INLINE int64_t blend_steps(T* line, const char* const* row, const T* weight, int64_t i, int64_t n) {
    constexpr int64_t ELEMENTS = sizeof(V) / sizeof(T);
    V w[TAPS + 1];
    for (int t = 0; t < TAPS; ++t) w[t] = weight[t] - V{};
    for (; i + ELEMENTS <= n; i += ELEMENTS) {
        V sum = {};
        for (int t = 0; t < TAPS; ++t) sum += w[t] * load<V>(row[t] + i * int64_t(sizeof(T)));
        if (ADD) sum = load<V>(line + i) + sum;
        store(line + i, sum);
    }
    return i;
}

// line = (ADD ? line : 0) + sum of weight[t] * rows[slot[t]], for `n` elements that begin `offset` bytes into each row.
template <class T, int TAPS, bool ADD>
void blend_group(T* line, const char* const* rows, const int32_t* slot, const T* weight, int64_t offset, int64_t n) {
    typedef typename Lanes<T>::Vector Vector;
    const char* row[TAPS + 1];
    for (int t = 0; t < TAPS; ++t) row[t] = rows[slot[t]] + offset;
    int64_t i = blend_steps<Vector, TAPS, ADD>(line, row, weight, 0, n);
    if (i == n) return;
    if (!ADD && i) {
        blend_steps<Vector, TAPS, ADD>(line, row, weight, n - WIDTH<T>, n);  // the last ones once more
        return;
    }
    i = blend_steps<typename Lanes<T>::Quad, TAPS, ADD>(line, row, weight, i, n);
    blend_steps<T, TAPS, ADD>(line, row, weight, i, n);
}

// The same for 0 to MOST_TAPS taps, `add`ed to what the line holds if so asked.
template <class T>
MSROI_INLINE void blend(T* line, const char* const* rows, const int32_t* slot, const T* weight, int64_t taps,
                        int64_t offset, int64_t n, bool add) {
    typedef void (*Group)(T*, const char* const*, const int32_t*, const T*, int64_t, int64_t);
    static constexpr Group first[] = {blend_group<T, 0, false>, blend_group<T, 1, false>, blend_group<T, 2, false>,
                                      blend_group<T, 3, false>, blend_group<T, 4, false>, blend_group<T, 5, false>,
                                      blend_group<T, 6, false>, blend_group<T, 7, false>, blend_group<T, 8, false>};
    static constexpr Group further[] = {blend_group<T, 0, true>, blend_group<T, 1, true>, blend_group<T, 2, true>,
                                        blend_group<T, 3, true>, blend_group<T, 4, true>, blend_group<T, 5, true>,
                                        blend_group<T, 6, true>, blend_group<T, 7, true>, blend_group<T, 8, true>};
    (add ? further : first)[taps](line, rows, slot, weight, offset, n);
}

// For `count` lines: to = (ADD ? to : 0) + sum of weight[t] * line[slot[t] - x0]. What is summed is COUNT times V: the
// registers of a block of channels, or one number. A column of a line is `column` elements.
template <class T, class V, int COUNT, int TAPS, bool ADD>
void weigh_group(T* to, int64_t pitch, const T* lines, int64_t line_pitch, int64_t count, const int32_t* slot,
                 int64_t x0, int64_t column, const T* weight) {
    constexpr int64_t ELEMENTS = sizeof(V) / sizeof(T);
    V w[TAPS + 1];
    int64_t at[TAPS + 1];
    for (int t = 0; t < TAPS; ++t) w[t] = weight[t] - V{}, at[t] = (slot[t] - x0) * column;
    for (int64_t p = 0; p < count; ++p, to += pitch, lines += line_pitch) {
        V sum[COUNT] = {};
        for (int t = 0; t < TAPS; ++t)
            for (int r = 0; r < COUNT; ++r) sum[r] += w[t] * load<V>(lines + at[t] + r * ELEMENTS);
        for (int r = 0; r < COUNT; ++r) {
            if (ADD) sum[r] = load<V>(to + r * ELEMENTS) + sum[r];
            store(to + r * ELEMENTS, sum[r]);
        }
    }
}

// The x axis of one bin column, for `count` lines, with any number of taps.
template <class T, class V, int COUNT>
MSROI_INLINE void weigh(T* to, int64_t pitch, const T* lines, int64_t line_pitch, int64_t count, const int32_t* slot,
                        int64_t x0, int64_t column, const T* weight, int64_t taps) {
    typedef void (*Group)(T*, int64_t, const T*, int64_t, int64_t, const int32_t*, int64_t, int64_t, const T*);
    static constexpr Group first[] = {
        weigh_group<T, V, COUNT, 0, false>, weigh_group<T, V, COUNT, 1, false>, weigh_group<T, V, COUNT, 2, false>,
        weigh_group<T, V, COUNT, 3, false>, weigh_group<T, V, COUNT, 4, false>, weigh_group<T, V, COUNT, 5, false>,
        weigh_group<T, V, COUNT, 6, false>, weigh_group<T, V, COUNT, 7, false>, weigh_group<T, V, COUNT, 8, false>};
    static constexpr Group further[] = {
        weigh_group<T, V, COUNT, 0, true>, weigh_group<T, V, COUNT, 1, true>, weigh_group<T, V, COUNT, 2, true>,
        weigh_group<T, V, COUNT, 3, true>, weigh_group<T, V, COUNT, 4, true>, weigh_group<T, V, COUNT, 5, true>,
        weigh_group<T, V, COUNT, 6, true>, weigh_group<T, V, COUNT, 7, true>, weigh_group<T, V, COUNT, 8, true>};
    const int64_t start = taps < MOST_TAPS ? taps : MOST_TAPS;
    first[start](to, pitch, lines, line_pitch, count, slot, x0, column, weight);
    for (int64_t t = start; t < taps; t += MOST_TAPS) {
        const int64_t group = taps - t < MOST_TAPS ? taps - t : MOST_TAPS;
        further[group](to, pitch, lines, line_pitch, count, slot + t, x0, column, weight + t);
    }
}

}  // namespace MSROI_ISA_NAMESPACE
}  // namespace msroi
