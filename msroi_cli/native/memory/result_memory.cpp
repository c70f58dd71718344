#include "memory/result_memory.h"

#include <pthread.h>
#include <sys/mman.h>

#include <cstdlib>
#include <memory>
#include <mutex>
#include <new>
#include <utility>

namespace msroi {

namespace {

constexpr int MOST_UNUSED = 2;
constexpr size_t HUGE_PAGE = 2 << 20;

void release(ResultBlock* block) noexcept {
    if (!block) return;
    std::free(block->data);
    delete block;
}

// The unused blocks, the one that was given back last in front.
struct Unused {
    std::mutex mutex;
    ResultBlock* blocks[MOST_UNUSED] = {};
};

// Never destroyed: results may be given back while the process ends.
Unused& unused() {
    static Unused& here = []() -> Unused& {
        // The lock is free in a forked child, whichever thread held it in the parent.
        pthread_atfork([] { unused().mutex.lock(); }, [] { unused().mutex.unlock(); }, [] { unused().mutex.unlock(); });
        return *new Unused;
    }();
    return here;
}

ResultBlock* allocated(size_t bytes) {
    const size_t rounded = (bytes + HUGE_PAGE - 1) / HUGE_PAGE * HUGE_PAGE;
    if (rounded < bytes) throw std::bad_alloc();
    std::unique_ptr<ResultBlock> block(new ResultBlock{nullptr, rounded});
    block->data = static_cast<char*>(std::aligned_alloc(HUGE_PAGE, rounded));
    if (!block->data) throw std::bad_alloc();
#if defined(MADV_HUGEPAGE)
    madvise(block->data, rounded, MADV_HUGEPAGE);
#endif
    return block.release();
}

}  // namespace

ResultBlock* take_result_block(size_t bytes) {
    {
        std::lock_guard<std::mutex> hold(unused().mutex);
        for (ResultBlock*& kept : unused().blocks)
            if (kept && kept->bytes >= bytes && kept->bytes / 2 <= bytes) return std::exchange(kept, nullptr);
    }
    return allocated(bytes);
}

void give_back_result_block(ResultBlock* block) noexcept {
    {
        std::lock_guard<std::mutex> hold(unused().mutex);
        for (ResultBlock*& kept : unused().blocks) {
            std::swap(kept, block);
            if (!block) return;
        }
    }
    release(block);
}

size_t unused_result_bytes() {
    std::lock_guard<std::mutex> hold(unused().mutex);
    size_t bytes = 0;
    for (const ResultBlock* kept : unused().blocks) bytes += kept ? kept->bytes : 0;
    return bytes;
}

}  // namespace msroi
