// The boxes of a call with the weights of both axes as the sweep reads them, and the memory they lie in.
#pragma once

#include <stddef.h>

#include <memory>
#include <vector>

#include "pooling/kernel.h"
#include "weights/weights.h"

namespace msroi {

// Memory that is handed out piece by piece and given back all at once.
class Arena {
public:
    template <class T>
    T* take(size_t count) {
        return static_cast<T*>(take_bytes(count * sizeof(T)));
    }

private:
    void* take_bytes(size_t bytes);

    std::vector<std::unique_ptr<char[]>> blocks_;
    size_t left_ = 0;
    char* next_ = nullptr;
};

// Writes the boxes [first, last) of `call` to `boxes`, which has room for them; their bands lie in `arena`.
// Returns how many taps they have.
int64_t band_boxes(const Call& call, int64_t first, int64_t last, Box* boxes, Arena& arena);

}  // namespace msroi
