// Boxes on one channel after the other, columns in the lanes: Mode::plane.
// Included in this folder alone, as lanes-inl.h is.
#pragma once

#include "simd/deliver-inl.h"
#include "simd/source-inl.h"
#include "simd/steps-inl.h"
#include "simd/sums-inl.h"

namespace msroi {
namespace MSROI_ISA_NAMESPACE {

template <class Source>
struct Plane {
    typedef typename Source::Sum T;
    static constexpr int64_t MOST_SUMS = TILE_BYTES / 2 / int64_t(sizeof(double));

    const Unit& unit;
    const Source source;
    const char* plane;

    explicit Plane(const Unit& given) : unit(given), source(given), plane(given.planes) {}

    T* lines() const { return reinterpret_cast<T*>(unit.scratch.lines); }
    T* sums() const { return reinterpret_cast<T*>(unit.scratch.tile); }
    T* open_groups() const { return sums() + MOST_SUMS; }

    // The columns in slots [x0, x1) of up to MOST_TAPS rows, where the sum can load them.
    void blend_rows(const Box& box, T* line, int64_t tap, int64_t taps, int64_t x0, int64_t x1, bool add) {
        const T* weight = weights<T>(box.y, tap);
        const char* row[MOST_TAPS];
        for (int64_t t = 0; t < taps; ++t) row[t] = plane + box.y.cell[box.y.slot[tap + t]] * unit.row_stride;
        static constexpr int32_t IN_ORDER[] = {0, 1, 2, 3, 4, 5, 6, 7};
        if (!Source::direct) {
            for (int64_t t = 0; t < taps; ++t) row[t] = gather(box, row[t], t, x0, x1);
            return blend(line, row, IN_ORDER, weight, taps, 0, x1 - x0, add);
        }
        for (int64_t x = x0, end; x < x1; x = end) {
            end = run_end(box.x, x, x1);
            blend(line + (x - x0), row, IN_ORDER, weight, taps, box.x.cell[x] * source.step(), end - x, add);
        }
    }

    const char* gather(const Box& box, const char* row, int64_t t, int64_t x0, int64_t x1) {
        T* to = reinterpret_cast<T*>(unit.scratch.cells) + t * PLANE_COLUMNS;
        for (int64_t x = x0, end; x < x1; x = end) {
            end = run_end(box.x, x, x1);
            const char* from = row + box.x.cell[x] * source.step();
            int64_t i = 0;
            for (; i + QUAD<T> <= end - x; i += QUAD<T>)
                store(to + (x - x0) + i, source.quad(from + i * source.step()));
            for (; i < end - x; ++i) to[x - x0 + i] = source.at(from + i * source.step());
        }
        return reinterpret_cast<const char*>(to);
    }

    // The y axis of bin row `p`, for the columns in slots [x0, x1).
    void down(const Box& box, T* line, int64_t p, int64_t x0, int64_t x1) {
        int64_t tap = box.y.begin[p];
        bool add = false;
        do {
            const int64_t taps = smaller(box.y.begin[p + 1] - tap, MOST_TAPS);
            blend_rows(box, line, tap, taps, x0, x1, add);
            tap += taps;
            add = true;
        } while (tap < box.y.begin[p + 1]);
    }

    // The x axis of bin `q` where the line holds the slots [x0, x1) only, from left to right: its sum stays open between
    // lines, and the group of taps within it, too.
    void across_piece(const Box& box, int64_t q, T& sum, T& group, int64_t x0, int64_t x1) const {
        const int64_t begin = box.x.begin[q], end = box.x.begin[q + 1];
        for (int64_t tap = begin; tap < end; ++tap) {
            const int64_t slot = box.x.slot[tap];
            if (slot < x0 || slot >= x1) continue;
            if (tap == begin || (tap - begin) % MOST_TAPS) {
                if (tap == begin) group = 0;
            } else {
                sum = tap - begin > MOST_TAPS ? sum + group : group;
                group = 0;
            }
            group += *weights<T>(box.x, tap) * lines()[slot - x0];
            if (tap == end - 1) sum = end - begin > MOST_TAPS ? sum + group : group;
        }
    }

    // The bins of `part`, whose columns lie in slots [x0, x1): some lines at a time,
    void pool_lines(const Box& box, const Part& part, int64_t x0, int64_t x1) {
        const int64_t bins = part.x1 - part.x0, columns = x1 - x0;
        const int64_t step = even_step(part.y1 - part.y0, LINES_GOAL / int64_t(sizeof(T)) / (columns + 1));
        for (int64_t y = part.y0, end; y < part.y1; y = end) {
            end = smaller(y + step, part.y1);
            for (int64_t p = y; p < end; ++p) down(box, lines() + (p - y) * columns, p, x0, x1);
            for (int64_t q = part.x0; q < part.x1; ++q) {
                const int64_t tap = box.x.begin[q];
                weigh<T, T, 1>(sums() + (y - part.y0) * bins + (q - part.x0), bins, lines(), columns, end - y,
                               box.x.slot + tap, x0, 1, weights<T>(box.x, tap), box.x.begin[q + 1] - tap);
            }
        }
    }

    // or, where a line is too long, piece by piece.
    void pool_pieces(const Box& box, const Part& part, int64_t x0, int64_t x1) {
        const int64_t bins = part.x1 - part.x0;
        for (int64_t p = part.y0; p < part.y1; ++p) {
            T* sum = sums() + (p - part.y0) * bins;
            for (int64_t q = 0; q < bins; ++q) sum[q] = 0;
            for (int64_t x = x0, end; x < x1; x = end) {
                end = smaller(x + PLANE_COLUMNS, x1);
                down(box, lines(), p, x, end);
                for (int64_t q = 0; q < bins; ++q) across_piece(box, part.x0 + q, sum[q], open_groups()[q], x, end);
            }
        }
    }

    void pool_part(const Box& box, int64_t lane, const Part& part) {
        int64_t x0 = box.x.count, x1 = 0;
        for (int64_t q = part.x0; q < part.x1; ++q) {
            const int64_t begin = box.x.begin[q], end = box.x.begin[q + 1];
            if (begin == end) continue;
            x0 = smaller(x0, box.x.slot[begin]);
            x1 = -smaller(-x1, -int64_t(box.x.slot[end - 1]) - 1);
        }
        if (x1 < x0) x0 = x1 = 0;
        if (x1 - x0 <= PLANE_COLUMNS)
            pool_lines(box, part, x0, x1);
        else
            pool_pieces(box, part, x0, x1);
        stage_channel(unit.scratch.stage, sums(), part.bins(), unit.out_type);
        deliver(unit, box.row, lane, 1, part);
    }

    void run() {
        const int64_t across = even_step(unit.bins_x, MOST_SUMS);
        const int64_t down = even_step(unit.bins_y, MOST_SUMS / across);
        for (int64_t lane = 0; lane < unit.lanes; ++lane, plane += unit.channel_stride)
            for (int64_t i = 0; i < unit.count; ++i)
                for (int64_t y = 0; y < unit.bins_y; y += down)
                    for (int64_t x = 0; x < unit.bins_x; x += across)
                        pool_part(unit.boxes[i], lane,
                                  {y, smaller(y + down, unit.bins_y), x, smaller(x + across, unit.bins_x)});
    }
};

}  // namespace MSROI_ISA_NAMESPACE
}  // namespace msroi
