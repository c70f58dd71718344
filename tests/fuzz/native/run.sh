#!/usr/bin/env bash
# Fuzzes the native filters and weights under the address and undefined-behaviour sanitizers: run.sh [RUNS], 200,000 unless given.
# Needs clang with libFuzzer. Prints a line a program: its name and the runs that were done.
set -euo pipefail
runs=${1:-200000}
here=$(cd "$(dirname "$0")" && pwd)
source=$(cd "$here/../../../msroi_cli/native" && pwd)
build=$(mktemp -d)
trap 'rm -rf "$build"' EXIT
flags=(-std=c++17 -O1 -g -fno-omit-frame-pointer -ffp-contract=off -fsanitize=fuzzer,address,undefined
  -fno-sanitize-recover=undefined -I"$source")
for name in filters weights; do
  clang++ "${flags[@]}" "$here/${name}_fuzz.cpp" "$source/$name/$name.cpp" -o "$build/$name"
  mkdir "$build/$name-corpus"
  if ! "$build/$name" -runs="$runs" -seed=1 -max_len=512 -verbosity=0 -artifact_prefix="$build/" "$build/$name-corpus" \
    > "$build/$name.log" 2>&1; then
    tail -40 "$build/$name.log"
    exit 1
  fi
  echo "$name $runs"
done
