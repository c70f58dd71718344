#include "weights/bands.h"

#include <algorithm>

namespace msroi {

namespace {

constexpr size_t FIRST_BLOCK = 8 << 10, FURTHER_BLOCK = 64 << 10;

// The cells of all bins, ascending, each once. Those of a bin ascend, and as a rule so do the bins.
void cells_of(const Taps& taps, std::vector<int32_t>& cells) {
    cells.clear();
    bool ascending = true;
    for (const int32_t cell : taps.cell) {
        if (cells.empty() || cell > cells.back()) {
            cells.push_back(cell);
        } else if (!std::binary_search(cells.begin(), cells.end(), cell)) {
            cells.push_back(cell);
            ascending = false;
        }
        if (!ascending) break;
    }
    if (ascending) return;
    cells.assign(taps.cell.begin(), taps.cell.end());
    std::sort(cells.begin(), cells.end());
    cells.erase(std::unique(cells.begin(), cells.end()), cells.end());
}

template <class T>
const T* copied(const std::vector<T>& values, Arena& arena) {
    T* to = arena.take<T>(values.size());
    std::copy(values.begin(), values.end(), to);
    return to;
}

// The place of each tap's cell among `cells`. Neighbouring taps have neighbouring cells, so the search is short.
const int32_t* slots_of(const Taps& taps, const std::vector<int32_t>& cells, Arena& arena) {
    int32_t* slots = arena.take<int32_t>(taps.cell.size());
    int32_t slot = 0;
    for (size_t tap = 0; tap < taps.cell.size(); ++tap) {
        while (cells[slot] < taps.cell[tap]) ++slot;
        while (cells[slot] > taps.cell[tap]) --slot;
        slots[tap] = slot;
    }
    return slots;
}

template <class T>
const void* weights_of(const Taps& taps, Arena& arena) {
    T* weights = arena.take<T>(taps.weight.size());
    std::transform(taps.weight.begin(), taps.weight.end(), weights,
                   [](double weight) { return static_cast<T>(weight); });
    return weights;
}

// Room that is used again from box to box.
struct Workspace {
    Taps taps;
    std::vector<int32_t> cells;
};

Band band_of(float low, float high, const Axis& axis, Type type, Arena& arena, Workspace& workspace) {
    Taps& taps = workspace.taps;
    taps.offsets.assign(1, 0);
    taps.cell.clear();
    taps.weight.clear();
    axis_weights(low, high, axis, taps);
    cells_of(taps, workspace.cells);
    Band band;
    band.count = static_cast<int32_t>(workspace.cells.size());
    band.cell = copied(workspace.cells, arena);
    int32_t* begin = arena.take<int32_t>(taps.offsets.size());
    std::transform(taps.offsets.begin(), taps.offsets.end(), begin,
                   [](int64_t at) { return static_cast<int32_t>(at); });
    band.begin = begin;
    band.slot = slots_of(taps, workspace.cells, arena);
    band.weight = type == Type::f64 ? weights_of<double>(taps, arena) : weights_of<float>(taps, arena);
    return band;
}

}  // namespace

void* Arena::take_bytes(size_t bytes) {
    bytes = (bytes + 7) & ~size_t(7);
    if (bytes > left_) {
        left_ = std::max(bytes, blocks_.empty() ? FIRST_BLOCK : FURTHER_BLOCK);
        blocks_.emplace_back(new char[left_]);
        next_ = blocks_.back().get();
    }
    left_ -= bytes;
    next_ += bytes;
    return next_ - bytes;
}

int64_t band_boxes(const Call& call, int64_t first, int64_t last, Box* boxes, Arena& arena) {
    Workspace workspace;
    int64_t taps = 0;
    for (int64_t row = first; row < last; ++row, ++boxes) {
        const Map& map = call.maps[call.level[row]];
        const float* box = call.corners + 4 * row;
        const Axis down = {map.height, map.scale_y, call.bins_y, call.ratio, call.aligned};
        const Axis across = {map.width, map.scale_x, call.bins_x, call.ratio, call.aligned};
        boxes->row = row;
        boxes->y = band_of(box[1], box[3], down, call.type, arena, workspace);
        boxes->x = band_of(box[0], box[2], across, call.type, arena, workspace);
        taps += boxes->y.begin[call.bins_y] + boxes->x.begin[call.bins_x];
    }
    return taps;
}

}  // namespace msroi
