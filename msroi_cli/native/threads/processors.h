// How many processors this process may use.
#pragma once

namespace msroi {

// The affinity mask or the cgroup's quota, whichever is less.
int usable_processors();

}  // namespace msroi
