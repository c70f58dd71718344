// Pools the calls of a file that `python -m tests.native.calls FILE` wrote, with every instruction set that the machine
// has, and prints a digest of each call's crops: the same lines on every machine.

#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <memory>
#include <string>
#include <vector>

#include "pooling/isa.h"
#include "pooling/kernel.h"

using namespace msroi;

namespace {

class Reader {
public:
    explicit Reader(const char* path) : file_(std::fopen(path, "rb")) {
        if (!file_) fail("cannot be opened");
    }
    ~Reader() { std::fclose(file_); }

    int64_t number() {
        int64_t value;
        bytes(&value, sizeof value);
        return value;
    }
    float single() {
        float value;
        bytes(&value, sizeof value);
        return value;
    }
    template <class T>
    std::vector<T> array(int64_t count) {
        std::vector<T> values(static_cast<size_t>(count));
        bytes(values.data(), values.size() * sizeof(T));
        return values;
    }

private:
    void bytes(void* to, size_t count) {
        if (count && std::fread(to, 1, count, file_) != count) fail("ends too early");
    }
    [[noreturn]] static void fail(const char* what) {
        std::fprintf(stderr, "the file of calls %s\n", what);
        std::exit(2);
    }

    std::FILE* file_;
};

// A call with the memory that it points to.
struct Stored {
    Call call{};
    std::vector<std::vector<char>> memory;
    std::vector<Map> maps;
    std::vector<float> corners;
    std::vector<int64_t> batch, level;
    std::vector<double> seconds;
    std::vector<char> out;

    explicit Stored(Reader& from) {
        call.levels = from.number();
        call.images = from.number();
        call.channels = from.number();
        call.type = static_cast<Type>(from.number());
        call.boxes = from.number();
        call.bins_y = static_cast<int32_t>(from.number());
        call.bins_x = static_cast<int32_t>(from.number());
        call.ratio = static_cast<int32_t>(from.number());
        call.aligned = from.number() != 0;
        call.crops.type = static_cast<Type>(from.number());
        for (int64_t level = 0; level < call.levels; ++level) add_map(from);
        corners = from.array<float>(call.boxes * 4);
        batch = from.array<int64_t>(call.boxes);
        level = from.array<int64_t>(call.boxes);
        seconds.resize(static_cast<size_t>(call.levels));
        set_crops();
        call.maps = maps.data();
        call.corners = corners.data();
        call.batch = batch.data();
        call.level = level.data();
        call.seconds = seconds.data();
        call.threads = 2;
    }

    // FNV-1a over the crops.
    uint64_t digest() {
        pool(call);
        uint64_t hash = 0xcbf29ce484222325u;
        for (const char byte : out) hash = (hash ^ static_cast<unsigned char>(byte)) * 0x100000001b3u;
        return hash;
    }

private:
    void add_map(Reader& from) {
        Map map{};
        map.swapped = from.number() != 0;
        map.height = static_cast<int32_t>(from.number());
        map.width = static_cast<int32_t>(from.number());
        for (int64_t& stride : map.strides) stride = from.number();
        map.scale_y = from.single();
        map.scale_x = from.single();
        const int64_t offset = from.number(), size = from.number();
        memory.push_back(from.array<char>(size));
        map.data = memory.back().data() + offset;
        maps.push_back(map);
    }

    void set_crops() {
        const int64_t item = bytes_of(call.crops.type), x = item, y = x * call.bins_x, channel = y * call.bins_y;
        const int64_t row = channel * call.channels;
        out.assign(static_cast<size_t>(row * call.boxes), 7);
        call.crops.data = out.data();
        const int64_t strides[] = {row, channel, y, x};
        for (int axis = 0; axis < 4; ++axis) call.crops.strides[axis] = strides[axis];
    }
};

}  // namespace

int main(int count, char** arguments) {
    if (count != 2) {
        std::fprintf(stderr, "usage: %s FILE\n", arguments[0]);
        return 2;
    }
    Reader reader(arguments[1]);
    const int64_t calls = reader.number();
    int64_t failures = 0;
    for (int64_t index = 0; index < calls; ++index) {
        Stored stored(reader);
        choose_isa("baseline");
        const uint64_t expected = stored.digest();
        for (const std::string& isa : usable_isas()) {
            choose_isa(isa);
            if (stored.digest() == expected) continue;
            ++failures;
            std::fprintf(stderr, "FAILED: call %lld: %s gives other bits than baseline\n",
                         static_cast<long long>(index), isa.c_str());
        }
        std::printf("%lld %016llx\n", static_cast<long long>(index), static_cast<unsigned long long>(expected));
    }
    return failures ? 1 : 0;
}
