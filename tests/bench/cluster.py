"""One job on a Dask cluster of this machine: `python -m tests.bench.cluster`.

`msroi extract --threads 1`, and the same by one and by two Dask workers of one thread each, in turns. Images of
800 x 1344, 4 levels of 256 channels float32, gzip and shuffle, so that a thread has enough to do; the images are the
same few under many names. How many boxes, and what else a job is asked for, may be given: with `-- --reduce mean` the
merge at the end has little to copy. Printed are medians of the seconds from start to end, and of the processor time of
all processes of a job, which other programs of the machine change less: what a cluster adds to it is its overhead.
"""

from __future__ import annotations

import argparse
import json
import os
import resource
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterable, Sequence
from pathlib import Path

import h5py
import numpy as np

from msroi_cli.cli.output import table
from tests.job.cluster.local import ENVIRONMENT, Cluster

DIFFERENT = 2
ONE, WORKER, WORKERS = "msroi extract --threads 1", "1 worker", "2 workers"


def write_inputs(folder: Path, images: int, channels: int, boxes_each: int = 100) -> None:
    rng = np.random.default_rng(0)
    with h5py.File(folder / "pyramid.h5", "w") as file:
        for number in range(images):
            if number >= DIFFERENT:
                file[f"{number:04}"] = file[f"{number % DIFFERENT:04}"]
                continue
            group = file.create_group(f"{number:04}")
            for level, stride in enumerate((4, 8, 16, 32)):
                values = rng.standard_normal((channels, 800 // stride, 1344 // stride), np.float32)
                storage = {"chunks": (min(32, channels), *values.shape[1:]), "compression": "gzip", "shuffle": True}
                dataset = group.create_dataset(f"p{level + 2}", data=values, **storage)
                dataset.attrs["stride"] = stride
    corners = rng.uniform(0, 600, (images, boxes_each, 2))
    boxes = np.concatenate([corners, corners + rng.uniform(16, 200, corners.shape)], axis=2)
    (folder / "boxes.json").write_text(json.dumps({f"{number:04}": boxes[number].tolist() for number in range(images)}))


def processor_seconds(pids: Iterable[int]) -> float:
    """What living processes, and all that this one started and that ended, have used; on Linux."""
    fields = [Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split() for pid in pids]
    living = sum(int(some[11]) + int(some[12]) for some in fields) / os.sysconf("SC_CLK_TCK")
    ended = resource.getrusage(resource.RUSAGE_CHILDREN)
    return living + ended.ru_utime + ended.ru_stime


def measured(folder: Path, options: Sequence[str], pids: list[int]) -> tuple[float, float]:
    """The seconds of one job, and the processor seconds of its process and of `pids`."""
    command = [sys.executable, "-m", "msroi_cli", "extract", "pyramid.h5", "boxes.json", "-o", "crops.h5"]
    before, started = processor_seconds(pids), time.perf_counter()
    subprocess.run(
        [*command, "--box-space", "input", "--overwrite", "--quiet", *options], cwd=folder, env=ENVIRONMENT, check=True
    )
    return time.perf_counter() - started, processor_seconds(pids) - before


def run(
    folder: Path, images: int, channels: int, repeat: int, boxes_each: int = 100, more: Sequence[str] = ()
) -> dict[str, tuple[float, float]]:
    """The median seconds and processor seconds of each contestant, in turns; more: options of all of them."""
    write_inputs(folder, images, channels, boxes_each)
    clusters = {name: Cluster(folder / name.replace(" ", "-")) for name in (WORKER, WORKERS)}
    try:
        for cluster, workers in zip(clusters.values(), (1, 2), strict=True):
            for _ in range(workers):
                cluster.add_worker()
        places = {name: ["--scheduler", cluster.address] for name, cluster in clusters.items()}
        options = {ONE: ["--threads", "1"], **places}
        pids = {name: [worker.pid for worker in cluster.workers] for name, cluster in clusters.items()}
        spent: dict[str, list[tuple[float, float]]] = {name: [] for name in options}
        for name in [*clusters, *(name for _ in range(repeat) for name in options)]:
            spent[name].append(measured(folder, [*options[name], *more], pids.get(name, [])))
        # The first job of each cluster waits until its workers have started.
        return {
            name: tuple(statistics.median(some) for some in zip(*times[-repeat:], strict=True))
            for name, times in spent.items()
        }
    finally:
        for cluster in clusters.values():
            cluster.end()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--images", type=int, default=50)
    parser.add_argument("--channels", type=int, default=256)
    parser.add_argument("--boxes", type=int, default=100, help="of an image")
    parser.add_argument("--repeat", type=int, default=3)
    parser.add_argument("--folder", type=Path, help="where the files go for a while: about 1 GB by default")
    parser.add_argument("options", nargs="*", help="of msroi extract, after --")
    given = parser.parse_args()
    with tempfile.TemporaryDirectory(dir=given.folder) as folder:
        spent = run(Path(folder), given.images, given.channels, given.repeat, given.boxes, given.options)
    rows = [
        [name, f"{wall:.1f} s", f"{wall / spent[WORKER][0]:.2f}", f"{cpu:.1f} s", f"{cpu / spent[ONE][1] - 1:+.1%}"]
        for name, (wall, cpu) in spent.items()
    ]
    print(table(["job", "from start to end", f"of {WORKER}", "processor time", "overhead"], rows))  # noqa: T201
    print(f"load average {os.getloadavg()[0]:.1f} on {os.cpu_count()} processors")  # noqa: T201


if __name__ == "__main__":
    main()
