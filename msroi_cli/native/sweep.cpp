// RoI Align over one unit of work; compiled once per instruction set, each copy in a namespace of its own.
//
// The average over a bin is separable: a sample's bilinear weights and the test whether it lies on the map are products
// of one factor an axis, so a crop is Ay @ F @ Ax.T with two narrow banded matrices, 2 to 5 taps a bin. Summing the y
// axis first and the x axis second takes about 8 multiply-adds a bin where four gathers for each of four or more
// samples took several times that, and none of it is a gather. (planned in plan.cpp, ordered in schedule.cpp)
//
// Two things remain to be paid for: memory, and getting values into vector lanes.
//
// Memory. A pyramid is far larger than any cache, and each of its cells lies under many boxes. Box by box, the obvious
// order, fetches the planes again for each box. So the outer loop is over the planes: a unit is one image, one level
// and one block of channels, and all boxes on it. The features are read once and the crops written once.
//
// Lanes. Bins start at any column and bands have any width, so lanes along x would mean shuffles and half-empty
// vectors. Channels are all treated alike: with 16 of them (64 bytes, one cache line) in the lanes, every load is a whole
// aligned vector and every weight a broadcast. Planes are stored channel by channel, so 16 rows are interleaved first
// ("packed") with register transposes, and each crop is transposed back on its way out. Packing costs about as much as
// pooling a few boxes, hence three ways to get at the cells, chosen by cost in schedule.cpp:
//
//   rows    Many boxes on the map. Packed rows are kept in a ring, row y in place y % rows; a box packs those of its
//           rows that are not there yet. Boxes come in the order of their last row, so each row is packed about once and is
//           still in the second-level cache when the boxes on it are pooled. The ring has as many rows as the tallest box.
//   window  Few boxes. Each packs just the rows and columns that its samples touch.
//   plane   One channel at a time, lanes along x, straight from the plane. For what is left over when channels are
//           divided into blocks, for wide bins, where packing would cost more than it saves, and for windows that
//           outgrow the scratch memory: it needs room for one line only.
//
// All three end in the sums of sums.h, and so give the same bits. Cells that no sample touches are never multiplied:
// a NaN there must not reach the crop.

#include "deliver.h"
#include "source.h"
#include "sums.h"

namespace msroi {
namespace MSROI_ISA_NAMESPACE {

static int64_t smaller(int64_t a, int64_t b) { return a < b ? a : b; }

// `total` in equal steps of at most `most`.
static int64_t even_step(int64_t total, int64_t most) {
    if (total <= most) return total;
    if (most < 1) most = 1;
    const int64_t steps = (total + most - 1) / most;
    return (total + steps - 1) / steps;
}

// The first slot after `slot` whose cell is not the next neighbour: slots up to there are one run of columns.
static int64_t run_end(const Band& band, int64_t slot, int64_t end) {
    if (band.cell[end - 1] - band.cell[slot] == end - 1 - slot) return end;
    while (++slot < end && band.cell[slot] == band.cell[slot - 1] + 1) {
    }
    return slot;
}

template <class T>
static const T* weights(const Band& band, int64_t tap) {
    return static_cast<const T*>(band.weight) + tap;
}

// ---- Packing: [channel][x] to [x][channel]

// QUAD columns of all channels. from[c]: the first of these columns in channel c.
template <class Source, class T>
MSROI_INLINE void pack_square(T* to, const Source& source, const char* const* channel, int64_t offset) {
    typedef typename Lanes<T>::Vector Vector;
    for (int r = 0; r < REGISTERS; ++r) {
        Vector v[QUAD<T>];
        for (int i = 0; i < QUAD<T>; ++i) {
            Float4 quads[MSROI_VECTOR / 16];
            for (int q = 0; q < MSROI_VECTOR / 16; ++q)
                quads[q] = source.quad(channel[r * WIDTH<T> + q * QUAD<T> + i] + offset);
            v[i] = (Vector)join(quads);
        }
        transpose(v);
        for (int i = 0; i < QUAD<T>; ++i) store(to + i * BLOCK<T> + r * WIDTH<T>, v[i]);
    }
}

// `n` neighbouring columns that begin `offset` bytes into each plane. While they are packed, those `ahead` bytes further
// on are fetched: sixteen streams are more than the processor follows by itself.
template <class Source, class T>
static void pack_run(T* to, const Source& source, const char* const* channel, int64_t offset, int64_t n,
                     int64_t ahead) {
    int64_t x = 0;
    for (; x + QUAD<T> <= n; x += QUAD<T>) {
        if (x % BLOCK<T> == 0)
            for (int lane = 0; lane < BLOCK<T>; ++lane)
                __builtin_prefetch(channel[lane] + (offset + x * source.step() + ahead), 0, 2);
        pack_square(to + x * BLOCK<T>, source, channel, offset + x * source.step());
    }
    if (x == n) return;
    if (n > QUAD<T>) {
        x = n - QUAD<T>;
        return pack_square(to + x * BLOCK<T>, source, channel, offset + x * source.step());
    }
    for (; x < n; ++x)
        for (int lane = 0; lane < BLOCK<T>; ++lane)
            to[x * BLOCK<T> + lane] = source.at(channel[lane] + offset + x * source.step());
}

// ---- A block of channels at a time

template <class Source>
struct Block {
    typedef typename Source::Sum T;
    static constexpr int64_t CELL = BLOCK<T>;

    const Unit& unit;
    const Source source;
    const char* channel[BLOCK<T>];
    const int64_t tile_rows;

    explicit Block(const Unit& given)
        : unit(given), source(given), tile_rows(even_step(given.bins_y, MOST_BINS / given.bins_x)) {
        // Lanes without a channel repeat the last one, and are not delivered.
        for (int64_t lane = 0; lane < CELL; ++lane)
            channel[lane] = unit.planes + smaller(lane, unit.lanes - 1) * unit.channel_stride;
    }

    bool ring() const { return unit.mode == Mode::rows; }
    T* cells() const { return reinterpret_cast<T*>(unit.scratch.cells); }
    T* lines() const { return reinterpret_cast<T*>(unit.scratch.lines); }
    T* tile() const { return reinterpret_cast<T*>(unit.scratch.tile); }

    // Packs the rows of the box that are not in the ring, and notes where the box begins in each.
    void pack_rows(const Box& box) {
        if (!box.y.count || !box.x.count) return;
        const int64_t left = (box.x.cell[0] - unit.first_column) * CELL, rows = unit.rows;
        const int64_t top = box.y.cell[0], base = uint32_t(top) % uint32_t(rows);
        for (int64_t slot = 0; slot < box.y.count; ++slot) {
            const int64_t y = box.y.cell[slot], beyond = base + (y - top), at = beyond < rows ? beyond : beyond - rows;
            T* row = cells() + at * unit.columns * CELL;
            unit.scratch.table[slot] = reinterpret_cast<const char*>(row + left);
            if (unit.scratch.held[at] == y) continue;
            unit.scratch.held[at] = int32_t(y);
            pack_run(row, source, channel, y * unit.row_stride + unit.first_column * source.step(), unit.columns,
                     unit.row_stride);
        }
    }

    void pack_window(const Box& box) {
        for (int64_t slot = 0; slot < box.y.count; ++slot) {
            T* row = cells() + slot * box.x.count * CELL;
            unit.scratch.table[slot] = reinterpret_cast<const char*>(row);
            const int64_t offset = box.y.cell[slot] * unit.row_stride;
            for (int64_t x = 0, end; x < box.x.count; x = end) {
                end = run_end(box.x, x, box.x.count);
                pack_run(row + x * CELL, source, channel, offset + box.x.cell[x] * source.step(), end - x,
                         unit.row_stride);
            }
        }
    }

    // The y axis: lines [y0, y1) of the box, one element a column and channel.
    void down(const Box& box, int64_t y0, int64_t y1) {
        const int64_t columns = box.x.count;
        for (int64_t x = 0, end; x < columns; x = end) {
            end = ring() ? run_end(box.x, x, columns) : columns;
            const int64_t column = ring() ? box.x.cell[x] - box.x.cell[0] : x;
            for (int64_t p = y0; p < y1; ++p)
                down_run(*this, box, p, lines() + ((p - y0) * columns + x) * CELL, column * LANE_BYTES, (end - x) * CELL);
        }
    }

    MSROI_INLINE void down_run(const Block& block, const Box& box, int64_t p, T* line, int64_t offset, int64_t n) {
        const char* const* table = block.unit.scratch.table;
        const int64_t begin = box.y.begin[p], end = box.y.begin[p + 1], first = smaller(end, begin + MOST_TAPS);
        blend(line, table, box.y.slot + begin, weights<T>(box.y, begin), first - begin, offset, n, false);
        for (int64_t tap = first; tap < end; tap += MOST_TAPS)
            blend(line, table, box.y.slot + tap, weights<T>(box.y, tap), smaller(end - tap, MOST_TAPS), offset, n, true);
    }

    // The x axis: the bins of `count` lines.
    void across(const Box& box, T* to, int64_t count) {
        for (int64_t q = 0; q < unit.bins_x; ++q) {
            const int64_t tap = box.x.begin[q];
            weigh(to + q * CELL, unit.bins_x * CELL, lines(), box.x.count * CELL, count, box.x.slot + tap,
                  weights<T>(box.x, tap), box.x.begin[q + 1] - tap);
        }
    }

    void pool(const Box& box) {
        const int64_t line_bytes = box.x.count * LANE_BYTES;
        const int64_t line_rows =
            tile_rows * line_bytes <= LINES_GOAL ? tile_rows : even_step(tile_rows, LINES_GOAL / line_bytes);
        for (int64_t y0 = 0; y0 < unit.bins_y; y0 += tile_rows) {
            const Part part = {y0, smaller(y0 + tile_rows, unit.bins_y), 0, unit.bins_x};
            for (int64_t y = part.y0, end; y < part.y1; y = end) {
                end = smaller(y + line_rows, part.y1);
                down(box, y, end);
                across(box, tile() + (y - y0) * unit.bins_x * CELL, end - y);
            }
            stage_block(unit.scratch.stage, tile(), part.bins(), unit.out_type);
            deliver(unit, box.row, 0, unit.lanes, part);
        }
    }

    // What is planned for a box lies together, from the cells of its y axis on, and has left the caches meanwhile.
    static void fetch(const Box& box) {
        const char* plan = reinterpret_cast<const char*>(box.y.cell);
        for (int64_t line = 0; line < 10; ++line) __builtin_prefetch(plan + line * 64);
    }

    void run() {
        if (ring())
            for (int32_t at = 0; at < unit.rows; ++at) unit.scratch.held[at] = -1;
        for (int64_t i = 0; i < unit.count; ++i) {
            if (i + 1 < unit.count) fetch(unit.boxes[i + 1]);
            if (ring())
                pack_rows(unit.boxes[i]);
            else
                pack_window(unit.boxes[i]);
            pool(unit.boxes[i]);
        }
    }
};

// ---- A channel at a time

template <class Source>
struct Plane {
    typedef typename Source::Sum T;
    static constexpr int64_t MOST_SUMS = TILE_BYTES / 2 / int64_t(sizeof(double));

    const Unit& unit;
    const Source source;
    const char* plane;

    explicit Plane(const Unit& given) : unit(given), source(given), plane(given.planes) {}

    T* line() const { return reinterpret_cast<T*>(unit.scratch.lines); }
    T* sums() const { return reinterpret_cast<T*>(unit.scratch.tile); }
    T* open_groups() const { return sums() + MOST_SUMS; }

    // The columns in slots [x0, x1) of up to MOST_TAPS rows, where the sum can load them.
    void blend_rows(const Box& box, int64_t tap, int64_t taps, int64_t x0, int64_t x1, bool add) {
        const T* weight = weights<T>(box.y, tap);
        const char* row[MOST_TAPS];
        for (int64_t t = 0; t < taps; ++t) row[t] = plane + box.y.cell[box.y.slot[tap + t]] * unit.row_stride;
        static constexpr int32_t IN_ORDER[] = {0, 1, 2, 3, 4, 5, 6, 7};
        if (!Source::direct) {
            for (int64_t t = 0; t < taps; ++t) row[t] = gather(box, row[t], t, x0, x1);
            return blend(line(), row, IN_ORDER, weight, taps, 0, x1 - x0, add);
        }
        for (int64_t x = x0, end; x < x1; x = end) {
            end = run_end(box.x, x, x1);
            blend(line() + (x - x0), row, IN_ORDER, weight, taps, box.x.cell[x] * source.step(), end - x, add);
        }
    }

    const char* gather(const Box& box, const char* row, int64_t t, int64_t x0, int64_t x1) {
        T* to = reinterpret_cast<T*>(unit.scratch.cells) + t * PLANE_COLUMNS;
        for (int64_t x = x0, end; x < x1; x = end) {
            end = run_end(box.x, x, x1);
            const char* from = row + box.x.cell[x] * source.step();
            int64_t i = 0;
            for (; i + QUAD<T> <= end - x; i += QUAD<T>) store(to + (x - x0) + i, source.quad(from + i * source.step()));
            for (; i < end - x; ++i) to[x - x0 + i] = source.at(from + i * source.step());
        }
        return reinterpret_cast<const char*>(to);
    }

    // The y axis of bin row `p`, for the columns in slots [x0, x1).
    void down(const Box& box, int64_t p, int64_t x0, int64_t x1) {
        int64_t tap = box.y.begin[p];
        bool add = false;
        do {
            const int64_t taps = smaller(box.y.begin[p + 1] - tap, MOST_TAPS);
            blend_rows(box, tap, taps, x0, x1, add);
            tap += taps;
            add = true;
        } while (tap < box.y.begin[p + 1]);
    }

    // The x axis of bin `q`, where the line holds all its columns. A short sum is one group.
    T across(const Box& box, int64_t q, int64_t x0) const {
        T sum = 0;
        for (int64_t tap = box.x.begin[q], end = box.x.begin[q + 1]; tap < end;) {
            const int64_t group_end = smaller(tap + MOST_TAPS, end);
            const bool further = tap > box.x.begin[q];
            T group = 0;
            for (; tap < group_end; ++tap) group += *weights<T>(box.x, tap) * line()[box.x.slot[tap] - x0];
            sum = further ? sum + group : group;
        }
        return sum;
    }

    // The same where the line holds the slots [x0, x1) only, from left to right: a sum stays open between lines.
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
            group += *weights<T>(box.x, tap) * line()[slot - x0];
            if (tap == end - 1) sum = end - begin > MOST_TAPS ? sum + group : group;
        }
    }

    // Bins [part.x0, part.x1) of bin row `p`, whose columns lie in slots [x0, x1).
    void pool_line(const Box& box, int64_t p, const Part& part, int64_t x0, int64_t x1) {
        T* sum = sums() + (p - part.y0) * (part.x1 - part.x0);
        const int64_t bins = part.x1 - part.x0;
        if (x1 - x0 <= PLANE_COLUMNS) {
            down(box, p, x0, x1);
            for (int64_t q = 0; q < bins; ++q) sum[q] = across(box, part.x0 + q, x0);
            return;
        }
        for (int64_t q = 0; q < bins; ++q) sum[q] = 0;
        for (int64_t x = x0, end; x < x1; x = end) {
            end = smaller(x + PLANE_COLUMNS, x1);
            down(box, p, x, end);
            for (int64_t q = 0; q < bins; ++q) across_piece(box, part.x0 + q, sum[q], open_groups()[q], x, end);
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
        for (int64_t p = part.y0; p < part.y1; ++p) pool_line(box, p, part, x0, x1);
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

template <class Source>
static void sweep_from(const Unit& unit) {
    if (unit.mode == Mode::plane)
        Plane<Source>(unit).run();
    else
        Block<Source>(unit).run();
}

void sweep(const Unit& unit) {
    const bool plain = !unit.swapped && unit.column_stride == bytes_of(unit.type);
    switch (unit.type) {
        case Type::f16: (plain ? sweep_from<HalfRows> : sweep_from<Scattered<uint16_t>>)(unit); break;
        case Type::f32: (plain ? sweep_from<Rows<float>> : sweep_from<Scattered<uint32_t>>)(unit); break;
        case Type::f64: (plain ? sweep_from<Rows<double>> : sweep_from<Scattered<uint64_t>>)(unit); break;
    }
    stream_end();
}

}  // namespace MSROI_ISA_NAMESPACE
}  // namespace msroi
