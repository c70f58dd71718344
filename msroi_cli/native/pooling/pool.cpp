// A call from end to end: work out the weights of the boxes, cut the work into units, let the threads take them in turn.

#include <sys/mman.h>

#include <algorithm>
#include <atomic>
#include <chrono>
#include <cstdlib>
#include <mutex>
#include <new>
#include <vector>

#include "pooling/float_mode.h"
#include "pooling/isa.h"
#include "pooling/kernel.h"
#include "pooling/schedule.h"
#include "pooling/scratch.h"
#include "threads/thread_pool.h"
#include "weights/bands.h"

namespace msroi {

namespace {

constexpr int64_t BOXES_AT_ONCE = 1 << 16;  // whose weights are worked out before they are pooled,
constexpr int64_t TAPS_AT_ONCE = 1 << 23;   // or taps
constexpr int64_t BOXES_A_PIECE = 128;      // whose weights one thread works out at a time
constexpr double ALONE = 400e3;             // cycles, about, below which waking others takes longer
constexpr int64_t STREAM_BYTES = 16 << 20;  // crops of this size push the features out of the cache
constexpr size_t HUGE_PAGE = 2 << 20;

std::atomic<int64_t> peak_scratch{0};

// A thread's scratch memory: it stays for the next call, and goes when the thread does.
class ScratchMemory {
public:
    ~ScratchMemory() { std::free(memory_); }

    Scratch at_least(int64_t cells) {
        const size_t wanted = (size_t(FIXED_BYTES + cells) + HUGE_PAGE - 1) / HUGE_PAGE * HUGE_PAGE;
        if (wanted > size_) grow(wanted);
        Scratch scratch;
        scratch.lines = memory_;
        scratch.tile = scratch.lines + LINES_BYTES;
        scratch.stage = scratch.tile + CELLS_TILE_BYTES;
        scratch.held = reinterpret_cast<int32_t*>(scratch.stage + STAGE_BYTES);
        scratch.table = reinterpret_cast<const char**>(scratch.stage + STAGE_BYTES + HELD_BYTES);
        scratch.cells = scratch.stage + STAGE_BYTES + HELD_BYTES + TABLE_BYTES;
        return scratch;
    }

private:
    void grow(size_t wanted) {
        std::free(memory_);
        size_ = 0;
        memory_ = static_cast<char*>(std::aligned_alloc(HUGE_PAGE, wanted));
        if (!memory_) throw std::bad_alloc();
        size_ = wanted;
#if defined(MADV_HUGEPAGE)
        madvise(memory_, wanted, MADV_HUGEPAGE);
#endif
        int64_t mark = peak_scratch;
        while (mark < int64_t(wanted) && !peak_scratch.compare_exchange_weak(mark, int64_t(wanted))) {
        }
    }

    char* memory_ = nullptr;
    size_t size_ = 0;
};

Scratch scratch_of_this_thread(int64_t cells) {
    static thread_local ScratchMemory memory;
    return memory.at_least(cells);
}

// The bytes that a unit keeps in Scratch::cells.
int64_t cells_bytes(const Unit& unit) {
    const int64_t line = LANE_BYTES / (unit.type == Type::f64 ? 8 : 4);
    const int64_t cell = std::min<int64_t>((unit.lanes + line - 1) / line, unit.together) * LANE_BYTES;
    if (unit.mode == Mode::rows) return int64_t(unit.rows) * unit.columns * cell;
    if (unit.mode == Mode::cells) return 0;
    int64_t most = 0;
    for (int64_t i = 0; i < unit.count; ++i) {
        const Box& box = unit.boxes[i];
        const int64_t columns = box.x.count;
        most = std::max(most, unit.mode == Mode::window ? box.y.count * columns * cell : MOST_TAPS * PLANE_COLUMNS * 8);
    }
    return most;
}

// Boxes with their weights, in order, and the units of work on them.
class Batch {
public:
    Batch(const Call& call, int64_t first) : call_(call), first_(first) {}

    // Works out weights until there are enough boxes; returns the first box that is left.
    int64_t add_boxes() {
        int64_t next = first_, taps = 0;
        while (next < call_.boxes && next - first_ < BOXES_AT_ONCE && taps < TAPS_AT_ONCE) {
            const int64_t end = std::min(call_.boxes, next + 32 * BOXES_A_PIECE);
            taps += add_pieces(next, end);
            next = end;
        }
        return next;
    }

    void pool() {
        jobs_ = schedule(boxes_, call_, call_.threads);
        blocks_ = blocks_of(call_);
        double cost = 0;
        for (const Job& job : jobs_) cost += job.cost * double(channel_lines(call_));
        std::atomic<int64_t> next{0};
        const int64_t units = int64_t(jobs_.size() * blocks_.size());
        const int threads = cost < ALONE ? 1 : int(std::min<int64_t>(call_.threads, units));
        run_on_threads(threads, [&] { take_units(next, units); });
    }

private:
    int64_t add_pieces(int64_t begin, int64_t end) {
        const int64_t pieces = (end - begin + BOXES_A_PIECE - 1) / BOXES_A_PIECE;
        const size_t arena = arenas_.size();
        arenas_.resize(arena + size_t(pieces));
        boxes_.resize(size_t(end - first_));
        std::atomic<int64_t> next{0}, taps{0};
        run_on_threads(int(std::min<int64_t>(call_.threads, pieces / 2)), [&] {
            const DefaultFloatMode mode;
            for (int64_t piece; (piece = next++) < pieces;) {
                const int64_t from = begin + piece * BOXES_A_PIECE, to = std::min(end, from + BOXES_A_PIECE);
                taps += band_boxes(call_, from, to, boxes_.data() + (from - first_), arenas_[arena + size_t(piece)]);
            }
        });
        return taps;
    }

    void take_units(std::atomic<int64_t>& next, int64_t units) {
        const DefaultFloatMode mode;
        std::vector<double> seconds(size_t(call_.levels), 0.0);
        for (int64_t index; (index = next++) < units;) {
            const Job& job = jobs_[size_t(index) / blocks_.size()];
            const auto started = std::chrono::steady_clock::now();
            Unit unit = unit_of(job, blocks_[size_t(index) % blocks_.size()]);
            unit.scratch = scratch_of_this_thread(cells_bytes(unit));
            sweep_(unit);
            seconds[size_t(job.level)] +=
                std::chrono::duration<double>(std::chrono::steady_clock::now() - started).count();
        }
        std::lock_guard<std::mutex> hold(clock_);
        for (size_t level = 0; level < seconds.size(); ++level) call_.seconds[level] += seconds[level];
    }

    Unit unit_of(const Job& job, const ChannelBlock& block) const {
        const Map& map = call_.maps[job.level];
        const Crops& crops = call_.crops;
        Unit unit{};
        unit.planes = map.data + job.image * map.strides[0] + block.first * map.strides[1];
        unit.channel_stride = map.strides[1];
        unit.row_stride = map.strides[2];
        unit.column_stride = map.strides[3];
        unit.type = call_.type;
        unit.swapped = map.swapped;
        unit.lanes = block.channels;
        unit.mode = block.packed ? job.mode : Mode::plane;
        unit.boxes = boxes_.data() + job.first;
        unit.count = job.last - job.first;
        unit.bins_y = call_.bins_y;
        unit.bins_x = call_.bins_x;
        unit.first_column = job.first_column;
        unit.columns = job.columns;
        unit.rows = job.rows;
        unit.together = job.together;
        unit.out = crops.data + block.first * crops.strides[1];
        unit.out_row = crops.strides[0];
        unit.out_channel = crops.strides[1];
        unit.out_y = crops.strides[2];
        unit.out_x = crops.strides[3];
        unit.out_type = crops.type;
        unit.out_swapped = crops.swapped;
        unit.streaming =
            call_.boxes * call_.channels * call_.bins_y * call_.bins_x * bytes_of(crops.type) > STREAM_BYTES;
        return unit;
    }

    const Call& call_;
    const int64_t first_;
    const Sweep sweep_ = isa_kernels().sweep;
    std::vector<Box> boxes_;
    std::vector<Arena> arenas_;
    std::vector<Job> jobs_;
    std::vector<ChannelBlock> blocks_;
    std::mutex clock_;
};

}  // namespace

void pool(const Call& call) {
    if (!call.channels) return;
    for (int64_t next = 0; next < call.boxes;) {
        Batch batch(call, next);
        next = batch.add_boxes();
        batch.pool();
    }
}

int64_t peak_scratch_bytes() { return peak_scratch; }

}  // namespace msroi
