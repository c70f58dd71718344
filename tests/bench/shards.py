"""What a shard costs to start: `python -m tests.bench.shards`.

`msroi extract --shard 3/1000` from start to end, of very many boxes in HDF5, sorted by image, and small maps: of one
batched file, of a file with one group an image, and of the latter with scale factors and boxes in pixels of the
original images. What the shard pools takes hardly any time. Printed are medians of the seconds from start to end, of
processor time, and the largest peak of memory.
"""

from __future__ import annotations

import argparse
import os
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import h5py
import numpy as np

from msroi_cli.cli.output import table

STRIDES = {"p2": 4, "p3": 8, "p4": 16, "p5": 32}
SIDE = 64

# By name: the file of the pyramid, and the options.
JOBS = {
    "batched": ("batched.h5", []),
    "a group an image": ("groups.h5", ["--box-space", "input"]),
    "with scale factors": ("groups.h5", ["--box-space", "original"]),
}


def write_inputs(folder: Path, images: int, rows: int) -> None:
    """Both pyramids and the boxes."""
    rng = np.random.default_rng(0)
    maps = {
        name: rng.standard_normal((1, SIDE // stride, SIDE // stride), np.float32) for name, stride in STRIDES.items()
    }
    with h5py.File(folder / "batched.h5", "w") as file:
        for name, values in maps.items():
            file[name] = np.broadcast_to(values, (images, *values.shape))
            file[name].attrs["stride"] = STRIDES[name]
    with h5py.File(folder / "groups.h5", "w") as file:
        for number in range(images):
            group = file.create_group(f"{number:06}")
            group.attrs["scale_factor"] = (0.5 + number % 7 / 8, 1.0)
            for name, values in maps.items():
                group[name] = values
                group[name].attrs["stride"] = STRIDES[name]
    with h5py.File(folder / "boxes.h5", "w") as file:
        corners = rng.uniform(0, SIDE / 2, (rows, 2)).astype(np.float32)
        file["boxes"] = np.concatenate([corners, corners + rng.uniform(1, SIDE / 2, (rows, 2))], axis=1, dtype="f4")
        file["image_index"] = np.sort(rng.integers(0, images, rows))


def measured(folder: Path, name: str, shards: int) -> tuple[float, float, float]:
    """The seconds, the processor seconds and the MiB of memory of one shard."""
    pyramid, options = JOBS[name]
    command = [sys.executable, "-m", "msroi_cli", "extract", pyramid, "boxes.h5", "-o", "parts", "--quiet", *options]
    started = time.perf_counter()
    process = subprocess.Popen([*command, "--overwrite", "--shard", f"{min(3, shards)}/{shards}"], cwd=folder)
    _, status, used = os.wait4(process.pid, 0)
    process.returncode = status
    if status:
        raise RuntimeError(f"{name}: expected a part, got exit status {status}")
    return time.perf_counter() - started, used.ru_utime + used.ru_stime, used.ru_maxrss / 1024


def run(folder: Path, images: int, rows: int, shards: int, repeat: int = 1) -> dict[str, tuple[float, ...]]:
    """The median seconds and processor seconds of each job, in turns, and the largest peak of memory, MiB.

    Inputs that are in the folder are used again.
    """
    if not (folder / "boxes.h5").exists():
        write_inputs(folder, images, rows)
    spent: dict[str, list[tuple[float, float, float]]] = {name: [] for name in JOBS}
    for _ in range(repeat):
        for name, times in spent.items():
            times.append(measured(folder, name, shards))
    found = {}
    for name, times in spent.items():
        wall, processor, memory = zip(*times, strict=True)
        found[name] = (statistics.median(wall), statistics.median(processor), max(memory))
    return found


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--images", type=int, default=100_000)
    parser.add_argument("--rows", type=int, default=10_000_000)
    parser.add_argument("--shards", type=int, default=1000)
    parser.add_argument("--repeat", type=int, default=3)
    parser.add_argument("--folder", type=Path, help="where the files go for a while: about 1 GB by default")
    parser.add_argument("--keep", action="store_true", help="leave the files in the folder, for other runs of as many")
    given = parser.parse_args()
    if given.keep and given.folder is None:
        parser.error("--keep: expected with --folder")
    with tempfile.TemporaryDirectory(dir=given.folder) as temporary:
        folder = given.folder / f"{given.images}-{given.rows}" if given.keep else Path(temporary)
        folder.mkdir(exist_ok=True)
        spent = run(folder, given.images, given.rows, given.shards, given.repeat)
    shown = [
        [name, f"{wall:.2f} s", f"{cpu:.2f} s", f"{memory:.0f} MiB"] for name, (wall, cpu, memory) in spent.items()
    ]
    print(table(["job", "from start to end", "processor time", "memory"], shown))  # noqa: T201
    print(f"load average {os.getloadavg()[0]:.1f} on {os.cpu_count()} processors")  # noqa: T201


if __name__ == "__main__":
    main()
