#include "memory/cached_pages.h"

#include <atomic>
#include <cerrno>
#include <csignal>
#include <mutex>

#if defined(__linux__)
#include <sys/mman.h>
#include <sys/syscall.h>
#include <unistd.h>
#endif

namespace msroi {

namespace {

std::atomic<uint64_t> lost{0};

}  // namespace

uint64_t lost_pages() { return lost; }

#if defined(__linux__)

namespace {

// Views that are open, which the handler looks for: from `first` to `last`, 0 if the slot is free. A slot that is being
// filled has an empty range.
constexpr size_t slots = 256;
struct Range {
    std::atomic<uintptr_t> first{0};
    std::atomic<uintptr_t> last{0};
};
Range views[slots];

uintptr_t page_size;
struct sigaction action_before;

// Runs in the midst of a read: it may only do what is safe there.
void on_lost_page(int number, siginfo_t* info, void*) {
    const int error = errno;
    const uintptr_t address = uintptr_t(info->si_addr);
    for (const Range& view : views) {
        if (address < view.first || address >= view.last) continue;
        void* page = reinterpret_cast<void*>(address / page_size * page_size);
        if (mmap(page, page_size, PROT_READ, MAP_FIXED | MAP_PRIVATE | MAP_ANONYMOUS, -1, 0) == MAP_FAILED) break;
        ++lost;
        errno = error;
        return;
    }
    sigaction(number, &action_before, nullptr);  // the read is tried again, and then answered as before
}

bool catch_lost_pages() {
    page_size = uintptr_t(sysconf(_SC_PAGESIZE));
    struct sigaction action = {};
    action.sa_sigaction = on_lost_page;
    action.sa_flags = SA_SIGINFO | SA_ONSTACK;
    sigemptyset(&action.sa_mask);
    return sigaction(SIGBUS, &action, &action_before) == 0;
}

// cachestat(2), which older headers lack.
constexpr long cachestat_call = 451;

struct CacheRange {
    uint64_t offset, length;
};

struct CacheState {
    uint64_t cached, dirty, being_written, evicted, recently_evicted;
};

bool is_cached(int descriptor, uint64_t offset, size_t size) {
    CacheRange range = {offset, size};
    CacheState state = {};
    if (syscall(cachestat_call, descriptor, &range, &state, 0) != 0) return false;
    return state.cached == (offset + size - 1) / page_size - offset / page_size + 1;
}

// The slot that now knows a range; `slots` if all are taken.
size_t note_view(uintptr_t first, uintptr_t last) {
    for (size_t slot = 0; slot < slots; ++slot) {
        uintptr_t is_free = 0;
        if (!views[slot].first.compare_exchange_strong(is_free, UINTPTR_MAX)) continue;
        views[slot].last = last;
        views[slot].first = first;
        return slot;
    }
    return slots;
}

void forget_view(size_t slot) {
    views[slot].last = 0;
    views[slot].first = 0;
}

}  // namespace

CachedPages view_cached_pages(int descriptor, uint64_t offset, size_t size) {
    static std::once_flag once;
    static bool caught = false;
    std::call_once(once, [] { caught = catch_lost_pages(); });
    if (!caught || !size || !is_cached(descriptor, offset, size)) return {};
    const uint64_t before = offset % page_size;
    const size_t length = size_t(before) + size;
    void* memory = mmap(nullptr, length, PROT_READ, MAP_SHARED, descriptor, off_t(offset - before));
    if (memory == MAP_FAILED) return {};
    const uintptr_t first = uintptr_t(memory);
    const size_t slot = note_view(first, first + (length + page_size - 1) / page_size * page_size);
    if (slot < slots) return {static_cast<char*>(memory) + before, size, static_cast<char*>(memory), slot};
    munmap(memory, length);
    return {};
}

void close_view(const CachedPages& pages) noexcept {
    forget_view(pages.slot);
    munmap(pages.first_page, size_t(pages.data - pages.first_page) + pages.size);
}

#else

CachedPages view_cached_pages(int, uint64_t, size_t) { return {}; }

void close_view(const CachedPages&) noexcept {}

#endif

}  // namespace msroi
