// The parts of the extension module, one function a file.
#pragma once

#include <nanobind/nanobind.h>

namespace msroi {

void define_pool(nanobind::module_& module);
void define_weights(nanobind::module_& module);
void define_digests(nanobind::module_& module);
void define_memory(nanobind::module_& module);
void define_filters(nanobind::module_& module);
void define_files(nanobind::module_& module);
void define_text(nanobind::module_& module);

}  // namespace msroi
