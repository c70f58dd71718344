"""Folders of parts merged into one file: `python -m tests.bench.merge`.

`msroi merge` of parts in image order and in input order, and `--virtual`, beside `cat` and `sync` of the same parts, in
turns. Printed are medians of the seconds from start to end, and of processor time, which other programs of the machine
change less; `--parts 4 --rows 8000 --channels 256` are 1.6 GB.
"""

from __future__ import annotations

import argparse
import os
import resource
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np

from msroi_cli.cli.output import table
from tests.bench.parts import write_parts

MOST, CAT, VIRTUAL = "msroi merge, {} order", "cat and sync, {} order", "msroi merge --virtual, {} order"


def measured(command: list[str]) -> tuple[float, float]:
    """The seconds and the processor seconds of a command."""
    before, started = resource.getrusage(resource.RUSAGE_CHILDREN), time.perf_counter()
    subprocess.run(command, check=True)
    spent, after = time.perf_counter() - started, resource.getrusage(resource.RUSAGE_CHILDREN)
    return spent, after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime


def commands(folder: Path, rows: list[int], channels: int, gzip: int | None = None) -> dict[str, list[str]]:
    """Makes the parts, compressed if there is a level of it; the command of each contestant, which makes `out`."""
    found, out = {}, str(folder / "out")
    for order in ("image", "input"):
        parts = folder / order
        write_parts(parts, rows, (channels, 7, 7), order, gzip)
        merge = [sys.executable, "-m", "msroi_cli", "merge", str(parts), "-o", out, "--quiet"]
        found[MOST.format(order)] = merge
        if order == "image":
            found[VIRTUAL.format(order)] = [*merge, "--virtual"]
        copy = ["sh", "-c", 'out=$1; shift; cat "$@" > "$out" && sync "$out"', "sh", out]
        found[CAT.format(order)] = [*copy, *map(str, sorted(parts.iterdir()))]
    return found


def run(
    folder: Path, rows: list[int], channels: int, repeat: int = 1, gzip: int | None = None
) -> dict[str, tuple[float, float]]:
    """The median seconds and processor seconds of each contestant, in turns."""
    contestants = commands(folder, rows, channels, gzip)
    spent: dict[str, list[tuple[float, float]]] = {name: [] for name in contestants}
    for _ in range(repeat):
        for name, command in contestants.items():
            spent[name].append(measured(command))
            (folder / "out").unlink()
    return {
        name: (statistics.median(wall for wall, _ in times), statistics.median(processor for _, processor in times))
        for name, times in spent.items()
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--parts", type=int, default=10_000)
    parser.add_argument("--rows", type=int, default=4, help="of a part, on average")
    parser.add_argument("--channels", type=int, default=16)
    parser.add_argument("--gzip", type=int, help="the level of compression; none by default")
    parser.add_argument("--repeat", type=int, default=3)
    parser.add_argument("--folder", type=Path, help="where the files go for a while: about 1 GB by default")
    given = parser.parse_args()
    rows = np.random.default_rng(1).integers(
        given.rows - given.rows // 2, given.rows + given.rows // 2 + 1, given.parts
    )
    with tempfile.TemporaryDirectory(dir=given.folder) as folder:
        spent = run(Path(folder), rows.tolist(), given.channels, given.repeat, given.gzip)
    shown = [[name, f"{wall:.2f} s", f"{processor:.2f} s"] for name, (wall, processor) in spent.items()]
    print(table(["job", "from start to end", "processor time"], shown))  # noqa: T201
    print(f"load average {os.getloadavg()[0]:.1f} on {os.cpu_count()} processors")  # noqa: T201


if __name__ == "__main__":
    main()
