// Working without the interpreter's lock.
#pragma once

#include <nanobind/nanobind.h>

#include <exception>

namespace msroi {

// Takes the interpreter's lock again. Does not return while the interpreter goes down.
void reacquire_gil(PyThreadState* state);

// Has `reacquire_gil` know when the interpreter goes down; called once, when the module is made.
void block_threads_at_exit();

// Runs `work` without the interpreter's lock.
template <class Work>
void without_gil(const Work& work) {
    std::exception_ptr error;
    PyThreadState* state = PyEval_SaveThread();
    try {
        work();
    } catch (...) {
        error = std::current_exception();
    }
    reacquire_gil(state);
    if (error) std::rethrow_exception(error);
}

}  // namespace msroi
