// Threads that share a piece of work with the caller.
#pragma once

#include <functional>

namespace msroi {

// Calls `work` on the caller and on up to `threads - 1` others at the same time, and returns when all calls have.
// Each call takes what is left of the work until nothing is. While the pool works for another call, the caller works
// alone: two calls at once use as many threads as one. Rethrows the first exception of any call.
void run_on_threads(int threads, const std::function<void()>& work);

}  // namespace msroi
