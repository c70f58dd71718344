#include <atomic>
#include <chrono>
#include <thread>

#include "bindings/gil.h"

namespace nb = nanobind;

namespace msroi {

namespace {

// A thread that asks for the interpreter's lock while the interpreter goes down is ended on the spot, which C++ frames do
// not survive. So from `before_shutdown` on, threads that return from the kernel wait for the end of the process instead,
// all but the one that closes.
std::atomic<bool> closing{false};
std::atomic<int> reacquiring{0};
std::thread::id closing_thread;

// Called with the lock before the interpreter goes down; lets those through that already ask for it.
void before_shutdown() {
    closing_thread = std::this_thread::get_id();
    closing = true;
    PyThreadState* state = PyEval_SaveThread();
    while (reacquiring) std::this_thread::yield();
    PyEval_RestoreThread(state);
}

}  // namespace

void reacquire_gil(PyThreadState* state) {
    ++reacquiring;
    if (closing && std::this_thread::get_id() != closing_thread) {
        --reacquiring;
        for (;;) std::this_thread::sleep_for(std::chrono::hours(1));
    }
    PyEval_RestoreThread(state);
    --reacquiring;
}

void block_threads_at_exit() {
    nb::module_::import_("atexit").attr("register")(nb::cpp_function(before_shutdown));
    // Whoever was coming back when a process forked is not in the child.
    nb::module_::import_("os").attr("register_at_fork")(nb::arg("after_in_child") =
                                                            nb::cpp_function([] { reacquiring = 0; }));
}

}  // namespace msroi
