# For the scripts beside it: sets `root`, `python` and the folder `build`, which is removed at the end, and has `programs`.
root=$(cd "$(dirname "${BASH_SOURCE[0]}")/../.." && pwd)
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

compare() {  # NAME: the bits of the calls here and on the machine NAME
  diff "$build/here.txt" "$build/$1.txt" > "$build/difference" || { head "$build/difference"; exit 1; }
  echo "$(wc -l < "$build/here.txt") calls: the same bits on $(uname -m) and on $1"
}
