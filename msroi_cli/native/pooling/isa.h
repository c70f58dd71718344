// The copies of the kernel, one per instruction set, and the one in use.
#pragma once

#include <string>
#include <vector>

#include "pooling/sweep.h"

namespace msroi {

// The names of the copies that run on this machine, the best last.
std::vector<std::string> usable_isas();

// Uses the copy of that name, or the best one if the name is empty. Throws std::invalid_argument for a name that is
// not known, or not usable here.
void choose_isa(const std::string& name);

// The copy in use.
std::string isa_name();
Sweep isa_sweep();

}  // namespace msroi
