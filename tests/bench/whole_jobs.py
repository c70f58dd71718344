"""Whole jobs as processes, start to end: `python -m tests.bench.whole_jobs`.

`msroi extract` beside the same job written by hand with torchvision (by_hand.py), and beside the reading and writing
alone (copy_only.py). Images of 800 x 1344, 4 levels, 256 channels float32; warm cache; every output is on the disk when
its process ends. With --gzip levels are compressed, with shuffle, in chunks as h5py chooses them (auto) or of 32
channels of an image (image), and the reading alone is measured too, image by image and level by level.
"""

from __future__ import annotations

import argparse
import importlib.util
import json
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from pathlib import Path

import h5py
import numpy as np

from msroi_cli.bench.cases import make
from msroi_cli.bench.workloads import WORKLOADS, Workload
from msroi_cli.cli.output import table

HERE = Path(__file__).parent
MSROI, BY_HAND, COPY = "msroi extract", "by hand, torchvision", "h5py read and write"
READS = {"h5py read by image": "image", "h5py read by level": "level"}
OPTIONS = ("--compat", "torchvision", "--box-space", "input", "--overwrite", "--quiet")


@dataclass
class Job:
    """A pyramid file and some boxes an image. seconds: the median of each contestant."""

    folder: Path
    workload: Workload
    gzip: str | None
    seconds: dict[str, float] = field(default_factory=dict)

    @property
    def pyramid(self) -> Path:
        return self.folder / "pyramid.h5"

    @property
    def boxes(self) -> Path:
        return self.folder / f"boxes-{self.workload.boxes}.json"

    def out(self, name: str) -> Path:
        return self.folder / f"{name.split()[0]}.h5"

    def commands(self) -> dict[str, list[str]]:
        """The contestants; torchvision only where it is installed."""
        python, pyramid, boxes = sys.executable, str(self.pyramid), str(self.boxes)
        rows = str(self.workload.images * self.workload.boxes)
        copy_only = str(HERE / "peers" / "copy_only.py")
        commands = {MSROI: [python, "-m", "msroi_cli", "extract", pyramid, boxes, "-o", str(self.out(MSROI)), *OPTIONS]}
        if has_torchvision():
            commands[BY_HAND] = [python, str(HERE / "peers" / "by_hand.py"), pyramid, boxes, str(self.out(BY_HAND))]
        commands[COPY] = [python, copy_only, pyramid, rows, str(self.out(COPY))]
        if self.gzip:
            commands.update((name, [python, copy_only, pyramid, "by", what]) for name, what in READS.items())
        return commands

    def prepare(self, name: str) -> None:
        """To be called before a contestant: removes its earlier output, and touches as much memory as that takes."""
        if name not in READS:
            self.out(name).unlink(missing_ok=True)
        touch_memory(self.folder, self.workload.images * self.workload.boxes * 256 * 49 * 4)

    def as_dict(self) -> dict[str, object]:
        """For JSON; ratio: how many times as long as msroi."""
        ratio = {name: spent / self.seconds[MSROI] for name, spent in self.seconds.items() if name != MSROI}
        job = {"images": self.workload.images, "boxes_an_image": self.workload.boxes, "gzip": self.gzip}
        return {**job, "seconds": self.seconds, "ratio": ratio}


def has_torchvision() -> bool:
    return all(importlib.util.find_spec(name) for name in ("torch", "torchvision"))


def write_pyramid(job: Job) -> None:
    """Levels p2 to p5 of numbers as after a ReLU: half of them 0."""
    work, rng = job.workload, np.random.default_rng(0)
    storage = {"compression": "gzip", "shuffle": True} if job.gzip else {}
    with h5py.File(job.pyramid, "w") as file:
        for number, (stride, size) in enumerate(zip(work.strides, work.level_sizes(), strict=True), start=2):
            shape = (work.images, work.channels, *size)
            chunks = {"auto": True, "image": (1, min(32, work.channels), *size), None: None}[job.gzip]
            level = file.create_dataset(f"p{number}", shape, "f4", chunks=chunks, **storage)
            level.attrs["stride"] = stride
            step = level.chunks[0] if job.gzip else 1
            for image in range(0, work.images, step):
                count = min(step, work.images - image)
                level[image : image + count] = np.maximum(rng.standard_normal((count, *shape[1:]), np.float32), 0)


def write_boxes(job: Job) -> None:
    rois = make(replace(job.workload, channels=1)).rois
    rows = rois[np.argsort(rois[:, 0], kind="stable")].tolist()
    job.boxes.write_text(json.dumps([[int(row[0]), *row[1:]] for row in rows]))


def medians(commands: dict[str, list[str]], repeat: int, prepare: Callable[[str], None]) -> dict[str, float]:
    """Runs the contestants in turns, in every round another one first; the medians of their seconds."""
    turns = list(commands.items())
    times: dict[str, list[float]] = {name: [] for name in commands}
    for turn in range(repeat):
        first = turn % len(turns)
        for name, command in turns[first:] + turns[:first]:
            prepare(name)
            started = time.perf_counter()
            subprocess.run(command, check=True, cwd=HERE.parents[1])
            times[name].append(time.perf_counter() - started)
    return {name: statistics.median(spent) for name, spent in times.items()}


def touch_memory(folder: Path, size: int) -> None:
    """Gives the page cache as much memory as an output of `size` bytes takes, and lets go of it.

    A virtual machine gets memory that was free for a while from its host again, page by page: whoever comes first would
    pay for that, up to some seconds a gigabyte.
    """
    scratch = folder / "scratch"
    zeros = bytes(1 << 24)
    with scratch.open("wb") as file:
        for _ in range(-(-size // len(zeros)) + 16):
            file.write(zeros)
    scratch.unlink()


def run(given: argparse.Namespace, folder: Path, say: Callable[[str], None]) -> list[Job]:
    reference = replace(WORKLOADS["7x7"], images=given.images)
    if given.quick:
        reference = replace(reference.quick(), images=2)
    counts = [5] if given.quick else given.boxes
    jobs = [Job(folder, replace(reference, boxes=count), given.gzip) for count in counts]
    say(f"writing {folder / 'pyramid.h5'}")
    write_pyramid(jobs[0])
    for job in jobs:
        say(f"measuring {job.workload.images} images, {job.workload.boxes} boxes an image")
        write_boxes(job)
        job.seconds = medians(job.commands(), 1 if given.quick else given.repeat, job.prepare)
    return jobs


def shown(jobs: list[Job]) -> str:
    """The table: seconds, and how many times as long as msroi."""
    names = list(jobs[0].seconds)
    rows = [
        [
            f"{job.workload.images} images, {job.workload.boxes} boxes each, {job.gzip or 'no'} gzip",
            *(f"{job.seconds[name]:.2f} s ({job.seconds[name] / job.seconds[MSROI]:.2f}x)" for name in names),
        ]
        for job in jobs
    ]
    return table(["job", *names], rows)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--images", type=int, default=20)
    parser.add_argument("--boxes", type=int, nargs="+", default=[100, 1000], help="boxes an image, one job each")
    parser.add_argument("--gzip", choices=["auto", "image"], help="compressed levels, in chunks of these kinds")
    parser.add_argument("--repeat", type=int, default=5)
    parser.add_argument("--folder", type=Path, help="where the files go for a while: about 4 GB by default")
    parser.add_argument("--quick", action="store_true", help="small images, once")
    parser.add_argument("--json", action="store_true")
    given = parser.parse_args()

    def say(text: str) -> None:
        print(text, file=sys.stderr)  # noqa: T201

    if not has_torchvision():
        say("torchvision: absent")
    with tempfile.TemporaryDirectory(dir=given.folder) as folder:
        jobs = run(given, Path(folder), say)
    print(json.dumps([job.as_dict() for job in jobs], indent=2) if given.json else shown(jobs))  # noqa: T201


if __name__ == "__main__":
    main()
