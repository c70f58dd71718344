#include <atomic>
#include <chrono>
#include <thread>

#include "bindings.h"

namespace nb = nanobind;

namespace msroi {

namespace {

// A thread that asks for the interpreter's lock while the interpreter goes down is ended on the spot, which C++ frames do
// not survive. So from `close_down` on, threads that come back from the kernel wait for the end of the process instead,
// all but the one that closes.
std::atomic<bool> closing{false};
std::atomic<int> coming_back{0};
std::thread::id closing_thread;

// Called with the lock before the interpreter goes down; lets those through that already ask for it.
void close_down() {
    closing_thread = std::this_thread::get_id();
    closing = true;
    PyThreadState* state = PyEval_SaveThread();
    while (coming_back) std::this_thread::yield();
    PyEval_RestoreThread(state);
}

}  // namespace

void come_back(PyThreadState* state) {
    ++coming_back;
    if (closing && std::this_thread::get_id() != closing_thread) {
        --coming_back;
        for (;;) std::this_thread::sleep_for(std::chrono::hours(1));
    }
    PyEval_RestoreThread(state);
    --coming_back;
}

void stay_out_at_exit() {
    nb::module_::import_("atexit").attr("register")(nb::cpp_function(close_down));
    // Whoever was coming back when a process forked is not in the child.
    nb::module_::import_("os").attr("register_at_fork")(
        nb::arg("after_in_child") = nb::cpp_function([] { coming_back = 0; }));
}

}  // namespace msroi
