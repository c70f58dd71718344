// Memory for results: blocks that are given back are kept, a few of them, and given out again.
//
// Fresh memory is not free: the system clears every page before it hands it out, which for a result of 100 MB takes
// about as long as pooling it. A caller that pools in a loop lets go of each result before the one after the next.
#pragma once

#include <stddef.h>

namespace msroi {

// A block, owned by whoever took it until it is given back.
struct ResultBlock {
    char* data;
    size_t bytes;
};

// A block of at least `bytes` bytes and at most twice as many, rounded up to pages; 64-byte aligned, not cleared.
// Throws std::bad_alloc.
ResultBlock* take_result_block(size_t bytes);

// Ends the ownership of a block. Needs no interpreter, and may be called from any thread.
void give_back_result_block(ResultBlock* block) noexcept;

// The bytes of the blocks that are kept and not in use.
size_t unused_result_bytes();

}  // namespace msroi
