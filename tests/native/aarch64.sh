#!/usr/bin/env bash
# The kernel for aarch64, under emulation: its tests, and the bits of its crops beside those of this machine.
# Needs CMake, Python with NumPy, a C++ compiler, and Debian's g++-aarch64-linux-gnu and qemu-user.
set -euo pipefail
. "$(dirname "$0")/programs.sh"

emulated=(qemu-aarch64 -L /usr/aarch64-linux-gnu)
programs here
programs aarch64 -DCMAKE_SYSTEM_NAME=Linux -DCMAKE_SYSTEM_PROCESSOR=aarch64 -DCMAKE_CXX_COMPILER=aarch64-linux-gnu-g++
"${emulated[@]}" "$build/aarch64/msroi_filters_test"
"${emulated[@]}" "$build/aarch64/msroi_kernel_test"

(cd "$root" && "$python" -m tests.native.calls "$build/calls")
"$build/here/msroi_replay" "$build/calls" > "$build/here.txt"
"${emulated[@]}" "$build/aarch64/msroi_replay" "$build/calls" > "$build/aarch64.txt"
compare aarch64
