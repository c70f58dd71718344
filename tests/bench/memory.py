"""Peak memory of client, workers and `merge`: `python -m tests.bench.memory`, on Linux.

A job with `--workers 2`, on images of 800 x 1344 with 4 levels, and merges of many small parts, plain and compressed.
Printed is the most memory that each process had at a time (VmHWM), which includes the interpreter and its libraries.
"""

from __future__ import annotations

import argparse
import subprocess
import sys
import tempfile
import time
from contextlib import suppress
from pathlib import Path

import numpy as np

from msroi_cli.cli.output import table
from tests.bench.cluster import write_inputs
from tests.bench.parts import write_parts

MSROI = [sys.executable, "-m", "msroi_cli"]
LOOK_SECONDS = 0.01


def processes(root: int) -> list[int]:
    """A process and all that it started and that are alive."""
    found = [root]
    for pid in found:
        with suppress(OSError):
            for task in Path(f"/proc/{pid}/task").iterdir():
                found += map(int, (task / "children").read_text().split())
    return found


def peaks(command: list[str], folder: Path) -> list[float]:
    """The largest memory, MiB, of the process of a command, and of those that it starts, the largest first."""
    found: dict[int, float] = {}
    process = subprocess.Popen(command, cwd=folder)
    while process.poll() is None:
        for pid in processes(process.pid):
            with suppress(OSError, IndexError):
                text = Path(f"/proc/{pid}/status").read_text().partition("VmHWM:")[2]
                found[pid] = max(found.get(pid, 0.0), int(text.split()[0]) / 1024)
        time.sleep(LOOK_SECONDS)
    if process.returncode:
        raise RuntimeError(f"{command}: expected success, got exit status {process.returncode}")
    own = found.pop(process.pid, 0.0)
    return [own, *sorted(found.values(), reverse=True)]


def run(folder: Path, images: int, channels: int, parts: int, memory: str) -> dict[str, float]:
    """The peaks of the processes of each job, MiB."""
    write_inputs(folder, images, channels)
    options = ["--box-space", "input", "--quiet", "--workers", "2", "--memory", memory]
    client, *workers = peaks([*MSROI, "extract", "pyramid.h5", "boxes.json", "-o", "crops.h5", *options], folder)
    found = {"client of --workers 2": client, "worker": workers[0]}
    rows = np.random.default_rng(1).integers(2, 7, parts).tolist()
    for name, gzip in (("plain", None), ("compressed", 1)):
        write_parts(folder / name, rows, (16, 7, 7), "image", gzip)
        found[f"merge of {parts:,} {name} parts"] = peaks([*MSROI, "merge", name, "-o", f"{name}.h5", "-q"], folder)[0]
        virtual = [*MSROI, "merge", name, "-o", f"virtual-{name}.h5", "-q", "--virtual"]
        found[f"merge --virtual of {parts:,} {name} parts"] = peaks(virtual, folder)[0]
    return found


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--images", type=int, default=24)
    parser.add_argument("--channels", type=int, default=256)
    parser.add_argument("--parts", type=int, default=10_000)
    parser.add_argument("--memory", default="1GiB", help="of the job with workers, for each of them")
    parser.add_argument("--folder", type=Path, help="where the files go for a while: about 2 GB by default")
    given = parser.parse_args()
    with tempfile.TemporaryDirectory(dir=given.folder) as folder:
        found = run(Path(folder), given.images, given.channels, given.parts, given.memory)
    print(table(["process", "peak memory"], [[name, f"{size:.0f} MiB"] for name, size in found.items()]))  # noqa: T201


if __name__ == "__main__":
    main()
