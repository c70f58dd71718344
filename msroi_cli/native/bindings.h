// What the files of the extension module share: working without the interpreter's lock, and who defines what.
#pragma once

#include <nanobind/nanobind.h>

#include <exception>

namespace msroi {

// Takes the interpreter's lock again. Does not return while the interpreter goes down.
void come_back(PyThreadState* state);

// Has `come_back` know when the interpreter goes down; to be called once, when the module is made.
void stay_out_at_exit();

// Defines what filter_bindings.cpp binds.
void define_filters(nanobind::module_& module);

// Runs `work` without the interpreter's lock.
template <class Work>
void without_lock(const Work& work) {
    std::exception_ptr error;
    PyThreadState* state = PyEval_SaveThread();
    try {
        work();
    } catch (...) {
        error = std::current_exception();
    }
    come_back(state);
    if (error) std::rethrow_exception(error);
}

}  // namespace msroi
