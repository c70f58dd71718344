// How float operations round: to nearest, and denormal numbers are kept, whatever the caller's thread is set to.
#pragma once

#include <stdint.h>

#if defined(__SSE2__)
#include <xmmintrin.h>
#endif

namespace msroi {

// The mode for as long as the object lives, on its thread. A process may have set its threads to flush denormal
// numbers to 0, or to round another way, and crops would depend on the thread that pools them.
class DefaultFloatMode {
public:
    DefaultFloatMode() : saved_(get()) { set(DEFAULT); }
    ~DefaultFloatMode() { set(saved_); }
    DefaultFloatMode(const DefaultFloatMode&) = delete;
    DefaultFloatMode& operator=(const DefaultFloatMode&) = delete;

private:
#if defined(__SSE2__)
    typedef uint32_t Mode;
    static constexpr Mode DEFAULT = 0x1f80;  // no exception traps
    static Mode get() { return _mm_getcsr(); }
    static void set(Mode mode) { _mm_setcsr(mode); }
#elif defined(__aarch64__)
    typedef uint64_t Mode;
    static constexpr Mode DEFAULT = 0;
    static Mode get() {
        Mode mode;
        __asm__ volatile("mrs %0, fpcr" : "=r"(mode));
        return mode;
    }
    static void set(Mode mode) { __asm__ volatile("msr fpcr, %0" : : "r"(mode) : "memory"); }
#else
    typedef int Mode;
    static constexpr Mode DEFAULT = 0;
    static Mode get() { return 0; }
    static void set(Mode) {}
#endif

    const Mode saved_;
};

}  // namespace msroi
