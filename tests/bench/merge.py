"""Folders of parts merged into one file: `python -m tests.bench.merge`.

`msroi merge` of many parts of a few crops, in image order and in input order, beside `cat` of the same parts. Printed
are seconds from start to end, and processor time, which other programs of the machine change less.
"""

from __future__ import annotations

import argparse
import os
import resource
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np

from msroi_cli.cli.output import table
from tests.bench.parts import write_parts

MOST, CAT = "msroi merge, {} order", "cat, {} order"


def measured(command: list[str], out: Path | None = None) -> tuple[float, float]:
    """The seconds and the processor seconds of a command that writes to `out`, or to a file of its own."""
    before, started = resource.getrusage(resource.RUSAGE_CHILDREN), time.perf_counter()
    if out is None:
        subprocess.run(command, check=True)
    else:
        with out.open("wb") as stream:
            subprocess.run(command, check=True, stdout=stream)
    spent, after = time.perf_counter() - started, resource.getrusage(resource.RUSAGE_CHILDREN)
    return spent, after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime


def run(folder: Path, rows: list[int], channels: int) -> dict[str, tuple[float, float]]:
    """The seconds and processor seconds of each contestant."""
    spent = {}
    for order in ("image", "input"):
        parts = folder / order
        write_parts(parts, rows, (channels, 7, 7), order)
        merge = [sys.executable, "-m", "msroi_cli", "merge", str(parts), "-o", str(folder / "merged.h5")]
        spent[MOST.format(order)] = measured([*merge, "--overwrite", "--quiet"])
        spent[CAT.format(order)] = measured(["cat", *map(str, sorted(parts.iterdir()))], folder / "cat")
    return spent


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--parts", type=int, default=10_000)
    parser.add_argument("--rows", type=int, default=4, help="of a part, on average")
    parser.add_argument("--channels", type=int, default=16)
    parser.add_argument("--folder", type=Path, help="where the files go for a while: about 1 GB by default")
    given = parser.parse_args()
    rows = np.random.default_rng(1).integers(
        given.rows - given.rows // 2, given.rows + given.rows // 2 + 1, given.parts
    )
    with tempfile.TemporaryDirectory(dir=given.folder) as folder:
        spent = run(Path(folder), rows.tolist(), given.channels)
    shown = [[name, f"{wall:.2f} s", f"{processor:.2f} s"] for name, (wall, processor) in spent.items()]
    print(table(["job", "from start to end", "processor time"], shown))  # noqa: T201
    print(f"load average {os.getloadavg()[0]:.1f} on {os.cpu_count()} processors")  # noqa: T201


if __name__ == "__main__":
    main()
