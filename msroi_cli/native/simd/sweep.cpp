// RoI Align over one unit of work; compiled once per instruction set, each copy in a namespace of its own.
//
// The average over a bin is separable: a sample's bilinear weights and the test whether it lies on the map are products
// of one factor an axis, so a crop is Ay @ F @ Ax.T with two narrow banded matrices, 2 to 5 taps a bin. Summing the y
// axis first and the x axis second takes about 8 multiply-adds a bin where four gathers for each of four or more
// samples took several times that, and none of it is a gather. (weights in weights/, their order in pooling/schedule.cpp)
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
// pooling a few boxes, hence three ways to get at the cells, chosen by cost in pooling/schedule.cpp:
//
//   rows    Many boxes on the map. Packed rows are kept in a ring, row y in place y % rows; a box packs those of its
//           rows that are not there yet. Boxes come in the order of their last row, so each row is packed about once and is
//           still in the second-level cache when the boxes on it are pooled. The ring has as many rows as the tallest box.
//   window  Few boxes. Each packs just the rows and columns that its samples touch.
//   plane   One channel at a time, lanes along x, straight from the plane. For what is left over when channels are
//           divided into blocks, for wide bins, where packing would cost more than it saves, and for windows that
//           outgrow the scratch memory: it needs room for one line only.
//
// Channels last, (N, H, W, C), are cells already, but those of one block lie far apart. So a unit has up to LINES_A_UNIT
// blocks, and
//
//   cells   reads them where they lie, many channels of a cell at once: a row of cells is one run of memory. float16 is
//           converted as it is packed, as many blocks together as there is room for.
//
// All of them end in the sums of sums-inl.h, and so give the same bits. Cells that no sample touches are never multiplied:
// a NaN there must not reach the crop.

#include "simd/block-inl.h"
#include "simd/cells-inl.h"
#include "simd/plane-inl.h"

namespace msroi {
namespace MSROI_ISA_NAMESPACE {

// Channels last: from cells where they lie, one channel from what is scattered.
template <class Word>
static void sweep_cells(const Unit& unit) {
    if (unit.mode == Mode::plane)
        Plane<Scattered<Word>>(unit).run();
    else
        Cells<decltype(number(Word()))>(unit).run();
}

static void sweep_half_cells(const Unit& unit) {
    if (unit.mode == Mode::plane)
        Plane<Scattered<uint16_t>>(unit).run();
    else
        Block<HalfCells>(unit).run();
}

template <class Source>
static void sweep_from(const Unit& unit) {
    if (unit.mode == Mode::plane)
        Plane<Source>(unit).run();
    else
        Block<Source>(unit).run();
}

void sweep(const Unit& unit) {
    const bool plain = !unit.swapped && unit.column_stride == bytes_of(unit.type);
    const bool last = !plain && !unit.swapped && unit.channel_stride == bytes_of(unit.type);
    switch (unit.type) {
        case Type::f16:
            (plain ? sweep_from<HalfRows> : last ? sweep_half_cells : sweep_from<Scattered<uint16_t>>)(unit);
            break;
        case Type::f32:
            (plain ? sweep_from<Rows<float>> : last ? sweep_cells<uint32_t> : sweep_from<Scattered<uint32_t>>)(unit);
            break;
        case Type::f64:
            (plain ? sweep_from<Rows<double>> : last ? sweep_cells<uint64_t> : sweep_from<Scattered<uint64_t>>)(unit);
            break;
    }
    stream_end();
}

}  // namespace MSROI_ISA_NAMESPACE
}  // namespace msroi
