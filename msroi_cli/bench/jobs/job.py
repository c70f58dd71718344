"""The jobs: what each reads, and the commands that are measured beside each other."""

from __future__ import annotations

import importlib.util
import sys
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path

from msroi_cli.bench.jobs import inputs
from msroi_cli.bench.jobs.sizes import SMALL_CHANNELS, Sizes

FLOORS = Path(__file__).parent / "floors"
MSROI, WORKERS, BY_HAND = "msroi extract", "msroi extract --workers 2", "by hand, torchvision"
COPY, LOOP, CAT = "h5py read and write", "h5py, every dataset", "cat of the pyramid"
READS = {"h5py read by image": "image", "h5py read by level": "level"}
OPTIONS = ("--compat", "torchvision", "--box-space", "input", "--overwrite", "--quiet")


@dataclass(frozen=True, slots=True)
class Job:
    """A pyramid, boxes, and the commands of a job by name, of which the first is msroi's.

    write: makes the inputs that are not there yet. size, out_size: bytes of the pyramid and of the output, about.
    """

    about: str
    pyramid: Path
    out: Path
    write: Callable[[], None]
    commands: dict[str, list[str]]
    size: int
    out_size: int


def jobs_of(sizes: Sizes, folder: Path, threads: int | None) -> list[Job]:
    """The jobs of these sizes in `folder`."""
    jobs = [_large(sizes, boxes, folder, threads) for boxes in sizes.boxes if sizes.images]
    return [*jobs, _small(sizes, folder, threads)] if sizes.small_images else jobs


def has_torchvision() -> bool:
    """Whether the job by hand can be run."""
    return all(importlib.util.find_spec(name) for name in ("torch", "torchvision"))


def _large(sizes: Sizes, boxes: int, folder: Path, threads: int | None) -> Job:
    work = replace(sizes.workload(), boxes=boxes)
    pyramid, rows, out = folder / "pyramid.h5", folder / f"boxes-{boxes}.json", folder / "out.h5"
    floor = [sys.executable, str(FLOORS / "copy_only.py"), str(pyramid)]
    commands = {MSROI: _extract(pyramid, rows, out, threads)}
    if sizes.cold:
        commands[CAT] = ["cat", str(pyramid)]
    if has_torchvision():
        commands[BY_HAND] = [sys.executable, str(FLOORS / "by_hand.py"), str(pyramid), str(rows), str(out)]
    commands[COPY] = [*floor, str(work.images * boxes), str(out)]
    if sizes.gzip:
        commands.update((name, [*floor, "by", what]) for name, what in READS.items())

    def write() -> None:
        if not pyramid.exists():
            inputs.write_pyramid(pyramid, work, sizes.gzip)
        inputs.write_boxes(rows, work)

    about = f"{work.images} images of {work.input_size[0]} x {work.input_size[1]}, {boxes} boxes each"
    extra = [f"gzip ({sizes.gzip})"] * bool(sizes.gzip) + ["cold"] * sizes.cold
    out_size = work.images * boxes * work.channels * work.output_size**2 * 4
    return Job(", ".join([about, *extra]), pyramid, out, write, commands, inputs.pyramid_size(work), out_size)


def _small(sizes: Sizes, folder: Path, threads: int | None) -> Job:
    pyramid, boxes, out = folder / "small.h5", folder / "small.json", folder / "out.h5"
    extract = _extract(pyramid, boxes, out, threads)
    commands = {
        MSROI: extract,
        WORKERS: [*extract, "--workers", "2"],
        LOOP: [sys.executable, str(FLOORS / "each_dataset.py"), str(pyramid)],
    }

    def write() -> None:
        inputs.write_small_pyramid(pyramid, sizes.small_images)
        inputs.write_small_boxes(boxes, sizes.small_images)

    about = ", ".join([f"{sizes.small_images} small images, a box each", *["cold"] * sizes.cold])
    out_size = sizes.small_images * SMALL_CHANNELS * 49 * 4
    return Job(about, pyramid, out, write, commands, inputs.small_pyramid_size(sizes.small_images), out_size)


def _extract(pyramid: Path, boxes: Path, out: Path, threads: int | None) -> list[str]:
    chosen = [] if threads is None else ["--threads", str(threads)]
    return [sys.executable, "-m", "msroi_cli", "extract", str(pyramid), str(boxes), "-o", str(out), *OPTIONS, *chosen]
