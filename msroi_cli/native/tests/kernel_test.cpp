// The kernel without Python, for the sanitizers: awkward shapes beside a naive loop, every instruction set, every way
// through a box, several threads and several callers; and moments, checksums and the memory of results. Prints what
// failed; the exit code is 0 if nothing did.

#include <algorithm>
#include <atomic>
#include <cmath>
#include <cstdio>
#include <cstring>
#include <memory>
#include <random>
#include <set>
#include <string>
#include <thread>
#include <vector>

#include "checksum/crc32.h"
#include "checksum/lookup3.h"
#include "memory/result_memory.h"
#include "moments/moments.h"
#include "pooling/isa.h"
#include "pooling/kernel.h"
#include "pooling/schedule.h"
#include "threads/thread_pool.h"
#include "weights/bands.h"

using namespace msroi;

namespace {

std::atomic<int> failures{0};

void expect(bool good, const std::string& what) {
    if (good) return;
    ++failures;
    std::printf("FAILED: %s\n", what.c_str());
}

struct Shape {
    int64_t images, channels, height, width, levels, boxes;
    int32_t bins_y, bins_x, ratio;
    bool aligned;

    std::string text() const {
        std::string all;
        for (const int64_t n : {images, channels, height, width, levels, boxes}) all += std::to_string(n) + " ";
        return all + std::to_string(bins_y) + "x" + std::to_string(bins_x) + " ratio " + std::to_string(ratio);
    }
};

// A call and everything it points to; memory exactly as large as it must be, so that a step beyond is seen.
template <class T>
struct Problem {
    Shape shape;
    std::vector<std::unique_ptr<T[]>> planes;
    std::vector<Map> maps;
    std::vector<float> corners;
    std::vector<int64_t> batch, level;
    std::vector<double> seconds;

    explicit Problem(const Shape& given, unsigned seed = 1) : shape(given), seconds(size_t(given.levels)) {
        std::mt19937 random(seed);
        std::uniform_real_distribution<float> value(-1, 1), unit(0, 1);
        for (int64_t l = 0; l < shape.levels; ++l) {
            const int64_t height = std::max<int64_t>(shape.height >> l, 1),
                          width = std::max<int64_t>(shape.width >> l, 1);
            const int64_t cells = shape.images * shape.channels * height * width, size = sizeof(T);
            planes.emplace_back(new T[size_t(cells)]);
            for (int64_t i = 0; i < cells; ++i) planes.back()[size_t(i)] = T(value(random));
            const float scale = 0.25f / float(1 << l);
            maps.push_back({reinterpret_cast<const char*>(planes.back().get()),
                            false,
                            {shape.channels * height * width * size, height * width * size, width * size, size},
                            int32_t(height),
                            int32_t(width),
                            scale,
                            scale});
        }
        for (int64_t k = 0; k < shape.boxes; ++k) {
            const float w = std::exp(unit(random) * 7), h = std::exp(unit(random) * 7);
            const float x = unit(random) * float(shape.width) * 4 - w / 2,
                        y = unit(random) * float(shape.height) * 4 - h / 2;
            corners.insert(corners.end(), {x, y, x + w, y + h});
            batch.push_back(int64_t(random() % unsigned(shape.images)));
            level.push_back(int64_t(random() % unsigned(shape.levels)));
        }
        if (shape.boxes > 2) std::fill_n(corners.begin(), 4, 5.0f);
        if (shape.boxes > 3) corners[4] = -1e9f, corners[6] = 1e9f;
    }

    int64_t crop() const { return int64_t(shape.bins_y) * shape.bins_x; }

    Call call(T* out, int threads) {
        Call call{};
        call.maps = maps.data();
        call.levels = shape.levels;
        call.images = shape.images;
        call.channels = shape.channels;
        call.type = sizeof(T) == 4 ? Type::f32 : Type::f64;
        call.boxes = shape.boxes;
        call.corners = corners.data();
        call.batch = batch.data();
        call.level = level.data();
        call.bins_y = shape.bins_y;
        call.bins_x = shape.bins_x;
        call.ratio = shape.ratio;
        call.aligned = shape.aligned;
        const int64_t size = sizeof(T);
        call.crops = {reinterpret_cast<char*>(out),
                      {shape.channels * crop() * size, crop() * size, shape.bins_x * size, size},
                      call.type,
                      false};
        call.threads = threads;
        call.seconds = seconds.data();
        return call;
    }

    std::unique_ptr<T[]> pooled(int threads) {
        std::unique_ptr<T[]> out(new T[size_t(elements())]);
        pool(call(out.get(), threads));
        return out;
    }

    int64_t elements() const { return shape.boxes * shape.channels * crop(); }

    // One bin, tap by tap.
    double bin(int64_t box, int64_t channel, int32_t p, int32_t q) const {
        const Map& map = maps[size_t(level[size_t(box)])];
        const float* side = &corners[size_t(4 * box)];
        Taps y, x;
        axis_weights(side[1], side[3], {map.height, map.scale_y, shape.bins_y, shape.ratio, shape.aligned}, y);
        axis_weights(side[0], side[2], {map.width, map.scale_x, shape.bins_x, shape.ratio, shape.aligned}, x);
        double sum = 0;
        for (int64_t i = y.offsets[size_t(p)]; i < y.offsets[size_t(p) + 1]; ++i)
            for (int64_t j = x.offsets[size_t(q)]; j < x.offsets[size_t(q) + 1]; ++j) {
                T cell;
                std::memcpy(&cell,
                            map.data + batch[size_t(box)] * map.strides[0] + channel * map.strides[1] +
                                y.cell[size_t(i)] * map.strides[2] + x.cell[size_t(j)] * map.strides[3],
                            sizeof cell);
                sum += y.weight[size_t(i)] * x.weight[size_t(j)] * double(cell);
            }
        return sum;
    }
};

template <class T>
void check(const Shape& shape) {
    Problem<T> problem(shape);
    const auto one = problem.pooled(1);
    for (const int threads : {2, 5}) {
        const auto many = problem.pooled(threads);
        expect(!std::memcmp(one.get(), many.get(), size_t(problem.elements()) * sizeof(T)), "threads: " + shape.text());
    }
    std::mt19937 random(7);
    for (int64_t i = 0; i < std::min<int64_t>(problem.elements(), 400); ++i) {
        const int64_t at = int64_t(random() % unsigned(problem.elements())), bins = problem.crop();
        const int64_t box = at / bins / shape.channels, channel = at / bins % shape.channels, bin = at % bins;
        const double exact = problem.bin(box, channel, int32_t(bin / shape.bins_x), int32_t(bin % shape.bins_x));
        if (!(std::fabs(double(one[size_t(at)]) - exact) < 2e-6)) return expect(false, "naive loop: " + shape.text());
    }
}

// Which ways the boxes of a shape go.
std::set<Mode> modes(const Shape& shape) {
    Problem<float> problem(shape);
    const Call call = problem.call(nullptr, 1);
    std::vector<Box> boxes(size_t(shape.boxes));
    Arena arena;
    band_boxes(call, 0, shape.boxes, boxes.data(), arena);
    std::set<Mode> found;
    for (const Job& job : schedule(boxes, call, 1)) found.insert(job.mode);
    return found;
}

void check_modes() {
    expect(modes({1, 16, 60, 80, 1, 300, 7, 7, 2, false}).count(Mode::rows), "many boxes share rows");
    expect(modes({1, 16, 400, 400, 1, 5, 7, 7, 2, false}).count(Mode::window), "few boxes pack windows");
    expect(modes({1, 16, 600, 700, 1, 3, 1, 1, 0, false}).count(Mode::plane), "wide bins stay in the plane");
}

void check_shapes() {
    for (const int64_t channels : {1, 3, 16, 18, 33})
        for (const int64_t boxes : {1, 4, 150})
            for (const int32_t ratio : {0, 2}) {
                const Shape shape = {2, channels, 37, 53, 3, boxes, 7, 7, ratio, ratio == 0};
                check<float>(shape);
                check<double>(shape);
            }
    check<float>({1, 16, 1, 1, 1, 20, 3, 2, 2, false});
    check<float>({1, 17, 2, 3, 1, 20, 7, 7, 0, true});
    check<float>({1, 17, 300, 200, 1, 5, 1, 1, 0, false});
    check<float>({1, 16, 30, 40, 1, 5, 40, 56, 2, false});
    check<float>({1, 2, 3, 40000, 1, 3, 1, 2, 0, false});
    check<float>({1, 33, 20, 20, 1, 1500, 14, 14, 2, false});
}

void check_callers() {
    Problem<float> problem({2, 32, 40, 60, 3, 200, 7, 7, 2, false});
    const auto expected = problem.pooled(1);
    std::vector<std::thread> callers;
    for (int i = 0; i < 4; ++i)
        callers.emplace_back([&] {
            for (int j = 0; j < 5; ++j) {
                Problem<float> own(problem.shape);
                const auto crops = own.pooled(3);
                expect(!std::memcmp(expected.get(), crops.get(), size_t(own.elements()) * 4), "callers at once");
            }
        });
    for (std::thread& caller : callers) caller.join();
}

void check_errors() {
    struct Broken {};
    for (int i = 0; i < 20; ++i) {
        bool caught = false;
        try {
            run_on_threads(3, [] { throw Broken(); });
        } catch (const Broken&) {
            caught = true;
        }
        expect(caught, "an exception reaches the caller");
    }
}

// The checksum of `length` bytes, bit by bit.
uint32_t crc32_by_bits(const uint8_t* bytes, int64_t length) {
    uint32_t state = ~uint32_t(0);
    for (int64_t i = 0; i < length; ++i) {
        state ^= bytes[i];
        for (int bit = 0; bit < 8; ++bit) state = state >> 1 ^ (state & 1 ? 0xedb88320u : 0u);
    }
    return ~state;
}

void check_checksums() {
    std::mt19937 random(3);
    for (int64_t length = 0; length < 600; ++length) {
        const std::unique_ptr<uint8_t[]> bytes(new uint8_t[size_t(length)]);
        for (int64_t i = 0; i < length; ++i) bytes[size_t(i)] = uint8_t(random());
        const uint32_t expected = crc32_by_bits(bytes.get(), length);
        expect(crc32(bytes.get(), length) == expected, "crc32 of " + std::to_string(length) + " bytes");
        for (size_t way = 0; way < crc32_ways().size(); ++way)
            expect(~crc32_ways()[way](~uint32_t(0), bytes.get(), length) == expected,
                   "crc32 of " + std::to_string(length) + " bytes, way " + std::to_string(way));
        const uint32_t sum = lookup3(bytes.get(), length);
        if (length) bytes[size_t(length - 1)] ^= 1;
        expect((lookup3(bytes.get(), length) != sum) == (length > 0), "lookup3: the last byte counts");
    }
    const char* text = "Four score and seven years ago";  // the author's example
    expect(lookup3(reinterpret_cast<const uint8_t*>(text), 30) == 0x17770551u, "lookup3");
}

template <class T>
void check_moments(Type type) {
    for (int64_t length = 1; length < 100; ++length) {
        const std::unique_ptr<T[]> values(new T[size_t(length)]);
        double sum = 0;
        for (int64_t i = 0; i < length; ++i) sum += double(values[size_t(i)] = T(i % 7));
        const Moments found = moments_of(reinterpret_cast<const char*>(values.get()), length, type);
        expect(found.count == length && std::fabs(found.mean - sum / double(length)) < 1e-12, "moments: mean");
        expect(found.low == 0 && found.high == double(std::min<int64_t>(length - 1, 6)), "moments: extremes");
        expect(found.zeros == (length + 6) / 7, "moments: zeros");
    }
}

void check_result_memory() {
    std::vector<std::thread> threads;
    for (int i = 0; i < 4; ++i)
        threads.emplace_back([i] {
            for (int turn = 0; turn < 200; ++turn) {
                ResultBlock* block = take_result_block(size_t(1 + i) << 20);
                std::memset(block->data, i, size_t(1) << 12);
                expect(block->data[4095] == i, "a block belongs to one owner");
                give_back_result_block(block);
            }
        });
    for (std::thread& thread : threads) thread.join();
    expect(unused_result_bytes() <= size_t(16) << 20, "few blocks are kept");
}

}  // namespace

int main() {
    check_modes();
    check_errors();
    check_checksums();
    check_result_memory();
    for (const std::string& isa : usable_isas()) {
        choose_isa(isa);
        check_shapes();
        check_callers();
        check_moments<float>(Type::f32);
        check_moments<double>(Type::f64);
        std::printf("%s: %d failures\n", isa.c_str(), failures.load());
    }
    return failures ? 1 : 0;
}
