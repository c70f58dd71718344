#!/usr/bin/env bash
# Builds the test programs that need no Python with sanitizers and runs them: addresses and undefined behaviour, then threads.
# Needs CMake and a C++ compiler.
set -euo pipefail
source=$(cd "$(dirname "$0")/../../msroi_cli/native" && pwd)
build=$(mktemp -d)
trap 'rm -rf "$build"' EXIT

for sanitizers in address,undefined thread; do
  echo "== $sanitizers"
  cmake -S "$source" -B "$build/$sanitizers" -DCMAKE_BUILD_TYPE=Release -DMSROI_BINDINGS=OFF -DMSROI_TESTS=ON \
    -DMSROI_SANITIZE="$sanitizers" > "$build/log" || { cat "$build/log"; exit 1; }
  cmake --build "$build/$sanitizers" --parallel > "$build/log" || { cat "$build/log"; exit 1; }
  for program in msroi_csv_test msroi_filters_test msroi_json_test msroi_kernel_test; do
    UBSAN_OPTIONS=halt_on_error=1:print_stacktrace=1 "$build/$sanitizers/$program"
  done
done
