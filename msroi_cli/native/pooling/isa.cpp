#include "pooling/isa.h"

#include <atomic>
#include <stdexcept>

#if defined(MSROI_X86)
#include <cpuid.h>
#endif

namespace msroi {

namespace baseline {
void sweep(const Unit& unit);
MomentSums moments(const char* values, int64_t count, Type type);
}  // namespace baseline
#if defined(MSROI_X86)
namespace v3 {
void sweep(const Unit& unit);
MomentSums moments(const char* values, int64_t count, Type type);
}  // namespace v3
namespace v4 {
void sweep(const Unit& unit);
MomentSums moments(const char* values, int64_t count, Type type);
}  // namespace v4
#endif

namespace {

struct Isa {
    const char* name;
    Kernels kernels;
    bool usable;
};

#if defined(MSROI_X86)
bool has_f16c() {
    unsigned a, b, c, d;
    return __get_cpuid(1, &a, &b, &c, &d) && (c & bit_F16C);
}
#endif

// The compiler's run-time library asks the processor, and the system whether it saves the wider registers.
std::vector<Isa> ask_the_processor() {
    std::vector<Isa> known{{"baseline", {baseline::sweep, baseline::moments}, true}};
#if defined(MSROI_X86)
    __builtin_cpu_init();
    const bool v3_usable = __builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma") &&
                           __builtin_cpu_supports("bmi") && __builtin_cpu_supports("bmi2") && has_f16c();
    const bool v4_usable = v3_usable && __builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512bw") &&
                           __builtin_cpu_supports("avx512cd") && __builtin_cpu_supports("avx512dq") &&
                           __builtin_cpu_supports("avx512vl");
    known.push_back({"v3", {v3::sweep, v3::moments}, v3_usable});
    known.push_back({"v4", {v4::sweep, v4::moments}, v4_usable});
#endif
    return known;
}

const std::vector<Isa>& isas() {
    // Never destroyed: threads may still pool while the process ends.
    static const std::vector<Isa>& known = *new std::vector<Isa>(ask_the_processor());
    return known;
}

const Isa* best() {
    const Isa* best = &isas().front();
    for (const Isa& isa : isas())
        if (isa.usable) best = &isa;
    return best;
}

std::atomic<const Isa*>& current() {
    static std::atomic<const Isa*> chosen{best()};
    return chosen;
}

}  // namespace

std::vector<std::string> usable_isas() {
    std::vector<std::string> names;
    for (const Isa& isa : isas())
        if (isa.usable) names.push_back(isa.name);
    return names;
}

void choose_isa(const std::string& name) {
    if (name.empty()) return current().store(best());
    std::string all;
    for (const Isa& isa : isas()) {
        if (isa.name == name && isa.usable) return current().store(&isa);
        if (isa.name == name) throw std::invalid_argument("this processor cannot run '" + name + "'");
        all += (all.empty() ? "" : ", ") + std::string(isa.name);
    }
    throw std::invalid_argument("expected one of " + all + ", got '" + name + "'");
}

std::string isa_name() { return current().load()->name; }
const Kernels& isa_kernels() { return current().load()->kernels; }

}  // namespace msroi
