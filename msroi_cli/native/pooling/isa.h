// The copies of the kernel, one per instruction set, and the one in use.
#pragma once

#include <string>
#include <vector>

#include "pooling/sweep.h"

namespace msroi {

// The sums of `count` finite values: of values less `shift`, one of them, and of the squares of these. Values that far
// from 0 lose nothing to cancellation that way.
struct MomentSums {
    double shift, sum, squares, low, high;
    int64_t zeros;
};

// What is compiled once per instruction set.
struct Kernels {
    Sweep sweep;
    MomentSums (*moments)(const char* values, int64_t count, Type type);
};

// The names of the copies that run on this machine, the best last.
std::vector<std::string> usable_isas();

// Uses the copy of that name, or the best one if the name is empty. Throws std::invalid_argument for a name that is
// not known, or not usable here.
void choose_isa(const std::string& name);

// The copy in use.
std::string isa_name();
const Kernels& isa_kernels();

}  // namespace msroi
