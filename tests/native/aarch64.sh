#!/usr/bin/env bash
# The kernel for aarch64, under emulation: its tests, and the bits of its crops beside those of this machine.
# Needs CMake, Python with NumPy, a C++ compiler, and Debian's g++-aarch64-linux-gnu and qemu-user.
set -euo pipefail
root=$(cd "$(dirname "$0")/../.." && pwd)
python=${PYTHON:-python3}
build=$(mktemp -d)
trap 'rm -rf "$build"' EXIT

programs() {  # NAME CMAKE-OPTION...: builds the test programs into $build/NAME
  local name=$1
  shift
  cmake -S "$root/msroi_cli/native" -B "$build/$name" -DCMAKE_BUILD_TYPE=Release -DMSROI_BINDINGS=OFF \
    -DMSROI_TESTS=ON "$@" > "$build/log" 2>&1 || { cat "$build/log"; exit 1; }
  cmake --build "$build/$name" --parallel > "$build/log" 2>&1 || { cat "$build/log"; exit 1; }
}

emulated=(qemu-aarch64 -L /usr/aarch64-linux-gnu)
programs here
programs aarch64 -DCMAKE_SYSTEM_NAME=Linux -DCMAKE_SYSTEM_PROCESSOR=aarch64 -DCMAKE_CXX_COMPILER=aarch64-linux-gnu-g++
"${emulated[@]}" "$build/aarch64/msroi_filters_test"
"${emulated[@]}" "$build/aarch64/msroi_kernel_test"

(cd "$root" && "$python" -m tests.native.calls "$build/calls")
"$build/here/msroi_replay" "$build/calls" > "$build/here.txt"
"${emulated[@]}" "$build/aarch64/msroi_replay" "$build/calls" > "$build/aarch64.txt"
diff "$build/here.txt" "$build/aarch64.txt" > "$build/difference" || { head "$build/difference"; exit 1; }
echo "$(wc -l < "$build/here.txt") calls: the same bits on $(uname -m) and on aarch64"
