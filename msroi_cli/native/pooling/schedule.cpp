#include "pooling/schedule.h"

#include <algorithm>

#include "pooling/scratch.h"

namespace msroi {

namespace {

// What things cost, in cycles, about: measured once on one machine; only their proportions matter.
constexpr double PACK_CELL = 9;    // interleaving one cell of a block of channels
constexpr double PACK_LAST = 6;    // converting one, where channels of float16 come last,
constexpr double PACK_APART = 44;  // and reading what lies apart: once for all blocks that are packed together
constexpr double BLOCK_TAP = 1.1;  // one multiply-add of a block
constexpr double BLOCK_BIN = 6;    // transposing and writing a bin of a block
constexpr double BLOCK_LINE = 20;  // setting up a line or a bin column
constexpr double BLOCK_BOX = 60;
constexpr double PLANE_TAP = 1.3;     // one multiply-add of one channel across
constexpr double PLANE_ROW = 5;       // setting up a row of a line
constexpr double PLANE_VECTOR = 1.5;  // one vector of a row
constexpr double PLANE_GATHER = 1.5;  // bringing an element into line, where rows cannot be used as they lie
constexpr double PLANE_BIN = 2;
constexpr double PLANE_BOX = 80;
constexpr double LEAST_UNIT = 20e3;  // not worth splitting further

bool channels_last(const Map& map, Type type) {
    return !map.swapped && map.strides[3] != bytes_of(type) && map.strides[1] == bytes_of(type);
}

struct Costs {
    const Call& call;
    int32_t block;  // channels of a block
    int64_t lines;  // blocks of a unit

    explicit Costs(const Call& given)
        : call(given), block(int32_t(LANE_BYTES) / (given.type == Type::f64 ? 8 : 4)), lines(lines_a_unit(given)) {}

    bool last(const Box& box) const { return channels_last(call.maps[call.level[box.row]], call.type); }
    // Whether cells are read where they lie.
    bool in_place(const Box& box) const { return last(box) && call.type != Type::f16; }
    Mode by_block(const Box& box) const { return in_place(box) ? Mode::cells : Mode::window; }

    // How many blocks of `cells` cells there is room for, of those of a unit.
    int32_t fitting(int64_t cells) const {
        const int64_t fit = CELLS_BYTES / std::max<int64_t>(cells * LANE_BYTES, 1);
        return int32_t(std::max<int64_t>(std::min(fit, lines), 1));
    }

    // Packing one cell of a block, `together` blocks at a time.
    double pack_cell(const Box& box, int32_t together) const {
        return last(box) ? PACK_LAST + PACK_APART / together : PACK_CELL;
    }

    // Pooling a box whose cells are packed.
    double pool(const Box& box) const {
        const double y_taps = box.y.begin[call.bins_y], x_taps = box.x.begin[call.bins_x];
        return BLOCK_BOX + BLOCK_TAP * (y_taps * box.x.count + call.bins_y * x_taps) +
               BLOCK_LINE * (call.bins_y + call.bins_x) + BLOCK_BIN * call.bins_y * call.bins_x;
    }

    double window(const Box& box) const {
        if (in_place(box)) return 0;
        const int64_t cells = int64_t(box.y.count) * box.x.count;
        return pack_cell(box, fitting(cells)) * double(cells);
    }

    // All channels of a block, one at a time.
    double plane(const Box& box) const {
        const double y_taps = box.y.begin[call.bins_y], x_taps = box.x.begin[call.bins_x];
        const double row = PLANE_ROW + PLANE_VECTOR * (box.x.count / double(block) + 1) +
                           (direct(box) ? 0 : PLANE_GATHER * box.x.count);
        return block *
               (PLANE_BOX + y_taps * row + PLANE_TAP * call.bins_y * x_taps + PLANE_BIN * call.bins_y * call.bins_x);
    }

    bool direct(const Box& box) const {
        const Map& map = call.maps[call.level[box.row]];
        return call.type != Type::f16 && !map.swapped && map.strides[3] == bytes_of(call.type) && box.x.count &&
               box.x.cell[box.x.count - 1] - box.x.cell[0] < 2 * box.x.count;
    }

    bool fits_block(const Box& box) const {
        return box.x.count <= MOST_COLUMNS && box.y.count <= MOST_ROWS && call.bins_x <= MOST_BINS;
    }
    bool fits_window(const Box& box) const {
        const int64_t cells = in_place(box) ? 0 : int64_t(box.y.count) * box.x.count;
        return fits_block(box) && cells * LANE_BYTES <= CELLS_BYTES;
    }

    // How to pool a box that shares nothing with others, and what that costs.
    Mode alone(const Box& box, double& cost) const {
        const double plane_cost = plane(box), window_cost = window(box) + pool(box);
        const bool packed = fits_window(box) && window_cost <= plane_cost;
        cost = packed ? window_cost : plane_cost;
        return packed ? by_block(box) : Mode::plane;
    }
};

// The boxes of one image and level.
class Group {
public:
    Group(std::vector<Box>& boxes, int64_t first, int64_t last, const Costs& costs)
        : boxes_(boxes), first_(first), last_(last), costs_(costs) {}

    void plan(int64_t level, int64_t image, std::vector<Job>& jobs) {
        measure();
        Job job{level, image, first_, last_, Mode::rows, first_column_, end_column_ - first_column_, tallest_, 1, 0};
        const int64_t ring = int64_t(tallest_) * job.columns;
        job.together = costs_.fitting(ring);
        const double packing = costs_.pack_cell(boxes_[first_], job.together) * rows_ * job.columns;
        const Mode by_block = costs_.by_block(boxes_[first_]);
        const bool ring_fits =
            by_block == Mode::window && fits_ && tallest_ <= MOST_ROWS && ring * LANE_BYTES <= CELLS_BYTES;
        if (ring_fits && tallest_ > 0 && packing + pooling_ < alone_) {
            job.cost = packing + pooling_;
            jobs.push_back(job);
            return;
        }
        const auto begin = boxes_.begin() + first_, end = boxes_.begin() + last_;
        const auto middle = std::stable_partition(begin, end, [this](const Box& box) {
            double cost;
            return costs_.alone(box, cost) != Mode::plane;
        });
        add(job, by_block, first_, middle - boxes_.begin(), jobs);
        add(job, Mode::plane, middle - boxes_.begin(), last_, jobs);
    }

private:
    // From the last box to the first, whose last rows descend: each adds the rows above those seen so far.
    void measure() {
        int32_t seen = INT32_MAX;
        for (int64_t i = last_ - 1; i >= first_; --i) {
            const Box& box = boxes_[i];
            double cost;
            costs_.alone(box, cost);
            alone_ += cost;
            pooling_ += costs_.pool(box);
            fits_ = fits_ && costs_.fits_block(box);
            if (!box.y.count || !box.x.count) continue;
            const int32_t top = box.y.cell[0], bottom = box.y.cell[box.y.count - 1];
            rows_ += std::max(0, std::min(bottom, seen - 1) - top + 1);
            seen = std::min(seen, top);
            tallest_ = std::max(tallest_, bottom - top + 1);
            const int32_t left = box.x.cell[0], right = box.x.cell[box.x.count - 1] + 1;
            first_column_ = tallest_ && end_column_ ? std::min(first_column_, left) : left;
            end_column_ = std::max(end_column_, right);
        }
    }

    void add(Job job, Mode mode, int64_t first, int64_t last, std::vector<Job>& jobs) {
        if (first == last) return;
        job.mode = mode;
        job.first = first;
        job.last = last;
        int64_t cells = 0;
        for (int64_t i = first; i < last; ++i) {
            double cost;
            costs_.alone(boxes_[i], cost);
            job.cost += cost;
            cells = std::max(cells, int64_t(boxes_[i].y.count) * boxes_[i].x.count);
        }
        job.together = costs_.fitting(cells);
        jobs.push_back(job);
    }

    std::vector<Box>& boxes_;
    const int64_t first_, last_;
    const Costs& costs_;
    double pooling_ = 0, alone_ = 0, rows_ = 0;
    int32_t tallest_ = 0, first_column_ = 0, end_column_ = 0;
    bool fits_ = true;
};

int32_t last_row(const Box& box) { return box.y.count ? box.y.cell[box.y.count - 1] : -1; }

void sort_boxes(std::vector<Box>& boxes, const Call& call) {
    struct Key {
        int64_t group;
        int64_t row_and_box;
        bool operator<(const Key& other) const {
            return group != other.group ? group < other.group : row_and_box < other.row_and_box;
        }
    };
    std::vector<Key> keys(boxes.size());
    for (size_t i = 0; i < boxes.size(); ++i) {
        const int64_t row = boxes[i].row;
        keys[i] = {call.level[row] * call.images + call.batch[row], int64_t(last_row(boxes[i]) + 1) << 31 | int64_t(i)};
    }
    std::sort(keys.begin(), keys.end());
    std::vector<Box> sorted(boxes.size());
    for (size_t i = 0; i < keys.size(); ++i) sorted[i] = boxes[keys[i].row_and_box & 0x7fffffff];
    boxes.swap(sorted);
}

// Cuts jobs that would leave other threads idle. Parts of a job on common rows each pack what they need.
std::vector<Job> cut(const std::vector<Job>& jobs, const Call& call, int threads) {
    const double lines = double(channel_lines(call)), lines_a_unit = lines / double(blocks_of(call).size());
    double total = 0;
    for (const Job& job : jobs) total += job.cost * lines;
    const double goal = std::max(total / (3.0 * threads), LEAST_UNIT);
    std::vector<Job> parts;
    for (const Job& job : jobs) {
        const int64_t count = job.last - job.first;
        const int64_t wanted = threads > 1 ? int64_t(job.cost * lines_a_unit / goal) + 1 : 1;
        const int64_t most = job.mode == Mode::rows ? 2 * threads : count;
        const int64_t pieces = std::min({wanted, most, count});
        for (int64_t i = 0; i < pieces; ++i) {
            Job part = job;
            part.first = job.first + count * i / pieces;
            part.last = job.first + count * (i + 1) / pieces;
            part.cost = job.cost / double(pieces);
            parts.push_back(part);
        }
    }
    return parts;
}

}  // namespace

std::vector<Job> schedule(std::vector<Box>& boxes, const Call& call, int threads) {
    sort_boxes(boxes, call);
    const Costs costs(call);
    std::vector<Job> jobs;
    const int64_t count = static_cast<int64_t>(boxes.size());
    for (int64_t first = 0, last; first < count; first = last) {
        const int64_t level = call.level[boxes[first].row], image = call.batch[boxes[first].row];
        for (last = first + 1; last < count; ++last)
            if (call.level[boxes[last].row] != level || call.batch[boxes[last].row] != image) break;
        Group(boxes, first, last, costs).plan(level, image, jobs);
    }
    if (call.channels) jobs = cut(jobs, call, threads);
    std::stable_sort(jobs.begin(), jobs.end(), [](const Job& a, const Job& b) { return a.cost > b.cost; });
    return jobs;
}

int64_t channel_lines(const Call& call) {
    const int64_t line = LANE_BYTES / (call.type == Type::f64 ? 8 : 4);
    return (call.channels + line - 1) / line;
}

int64_t lines_a_unit(const Call& call) {
    for (int64_t level = 0; level < call.levels; ++level)
        if (!channels_last(call.maps[level], call.type)) return 1;
    return call.type == Type::f16 ? HALF_LINES_A_UNIT : LINES_A_UNIT;
}

std::vector<ChannelBlock> blocks_of(const Call& call) {
    const int64_t line = LANE_BYTES / (call.type == Type::f64 ? 8 : 4), most = line * lines_a_unit(call);
    std::vector<ChannelBlock> blocks;
    for (int64_t first = 0, channels; first < call.channels; first += channels) {
        const int64_t left = call.channels - first;
        channels = left >= most ? most : left >= line ? left / line * line : left;
        blocks.push_back({first, int32_t(channels), channels > line / 5});
    }
    return blocks;
}

}  // namespace msroi
