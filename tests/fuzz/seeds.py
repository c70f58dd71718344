"""Good files to damage, of every kind, layout and filter."""

from __future__ import annotations

import io
import shutil
from collections.abc import Callable
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import h5py
import numpy as np
from PIL import Image

from msroi_cli.io.crops.compressed import SpoolWriter
from msroi_cli.io.crops.contiguous import PlainWriter
from tests.builders import coco, random_boxes, random_rows, run, write_json

IDS = ["17", "4"]
SIDES = {"p2": (8, 12), "p3": (4, 6)}
STRIDES = {"p2": 4, "p3": 8}
WIDTH, HEIGHT = 48, 32
WHOLE = [[image, 0, 0, WIDTH, HEIGHT] for image in range(len(IDS))]


@dataclass(frozen=True)
class Seed:
    """A good file. kind: "pyramid", "npz", "boxes", "crops", "picture" or "work". make: writes it to a folder."""

    kind: str
    name: str
    make: Callable[[Path], Path]


def maps(dtype="f4"):
    """{level: (N, C, H, W)}."""
    rng = np.random.default_rng(3)
    return {name: rng.standard_normal((len(IDS), 2, *side)).astype(dtype) for name, side in SIDES.items()}


def batched(dtype="f4", file_options=None, **storage):
    """A maker of a batched pyramid; its levels are stored so."""

    def make(folder: Path) -> Path:
        with h5py.File(folder / "maps.h5", "w", **(file_options or {})) as file:
            for name, values in maps(dtype).items():
                file.create_dataset(name, data=values, **storage).attrs["stride"] = STRIDES[name]
            file["image_ids"] = np.array(IDS, "S")
            file["image_sizes"] = np.full((len(IDS), 2), (WIDTH, HEIGHT), "f8")
        return folder / "maps.h5"

    return make


def per_image(**storage):
    """A maker of a pyramid with a group an image."""

    def make(folder: Path) -> Path:
        with h5py.File(folder / "maps.h5", "w") as file:
            for image, key in enumerate(IDS):
                for name, values in maps().items():
                    dataset = file.create_dataset(f"{key}/{name}", data=values[image], **storage)
                    dataset.attrs["stride"] = STRIDES[name]
        return folder / "maps.h5"

    return make


def npz(save):
    def make(folder: Path) -> Path:
        save(folder / "maps.npz", **maps(), strides=list(STRIDES.values()), image_ids=np.array(IDS))
        return folder / "maps.npz"

    return make


CHUNKS = {"chunks": (1, 2, 2, 6)}
LATEST = {"libver": "latest"}
PYRAMIDS = {
    "contiguous": batched(),
    "float16": batched("f2"),
    "float64": batched("f8"),
    "big-endian": batched(">f4"),
    "chunks": batched(**CHUNKS),
    "edge chunks": batched(chunks=(1, 2, 3, 5)),
    "chunks of two images": batched(chunks=(2, 1, 4, 6), compression="gzip"),
    "gzip": batched(**CHUNKS, compression="gzip"),
    "shuffled gzip": batched(**CHUNKS, compression="gzip", shuffle=True),
    "shuffled gzip, edge chunks": batched(chunks=(1, 2, 3, 5), compression="gzip", shuffle=True),
    "lzf": batched(**CHUNKS, compression="lzf"),
    "shuffled lzf": batched("f2", **CHUNKS, compression="lzf", shuffle=True),
    "fletcher32": batched(**CHUNKS, fletcher32=True),
    "gzip and fletcher32": batched(**CHUNKS, compression="gzip", fletcher32=True),
    "scale-offset": batched(**CHUNKS, scaleoffset=3),
    "fixed array": batched(file_options=LATEST, **CHUNKS, compression="gzip"),
    "extensible array": batched(file_options=LATEST, **CHUNKS, maxshape=(None, 2, None, None)),
    "B-tree of version 2": batched(file_options=LATEST, chunks=(1, 2, 2, 6), maxshape=(None, 2, None, 12)),
    "single chunk": batched(file_options=LATEST, chunks=(2, 2, 4, 6), compression="gzip"),
    "user block": batched(file_options={"userblock_size": 512}),
    "per image": per_image(),
    "per image, gzip": per_image(chunks=(2, 2, 6), compression="gzip", shuffle=True),
}


def rois(folder: Path) -> Path:
    with h5py.File(folder / "boxes.h5", "w") as file:
        file.create_dataset("rois", data=random_rows(20, len(IDS)), chunks=(8, 5), compression="gzip")
        file["score"] = np.linspace(0, 1, 20)
        file["category_id"] = np.arange(20)
    return folder / "boxes.h5"


def boxes_with_ids(folder: Path) -> Path:
    with h5py.File(folder / "boxes.h5", "w") as file:
        file["boxes"] = random_boxes(20).astype("f4")
        file["image_ids"] = np.array([IDS[row % 2] for row in range(20)], "S")
        file["annotation_id"] = np.arange(20)
    return folder / "boxes.h5"


def boxes_by_image(folder: Path) -> Path:
    with h5py.File(folder / "boxes.h5", "w") as file:
        for key in IDS:
            file[f"{key}/boxes"] = random_boxes(10)
            file[f"{key}/score"] = np.linspace(0, 1, 10)
    return folder / "boxes.h5"


def json_lines(folder: Path) -> Path:
    rows = [str(row) for row in random_rows(8, len(IDS)).tolist()]
    (folder / "boxes.json").write_text("\n".join(rows) + "\n")
    return folder / "boxes.json"


def coco_file(folder: Path) -> Path:
    keys = [int(IDS[row % 2]) for row in range(8)]
    return write_json(folder / "boxes.json", coco(random_boxes(8), keys, score=[0.5] * 8, category_id=[1] * 8))


BOXES = {
    "rois": rois,
    "boxes with ids": boxes_with_ids,
    "boxes by image": boxes_by_image,
    "rows": lambda folder: write_json(folder / "boxes.json", random_rows(8, len(IDS)).tolist()),
    "JSON Lines": json_lines,
    "COCO": coco_file,
    "lists by id": lambda folder: write_json(folder / "boxes.json", {key: random_boxes(3).tolist() for key in IDS}),
}


def job(folder: Path) -> tuple[Path, Path]:
    """The inputs of a small job of several batches."""
    pyramid = batched()(folder)
    keys = [IDS[row % 2] for row in range(24)]
    boxes = coco(random_boxes(24), keys, score=np.linspace(0, 1, 24).tolist())
    return pyramid, write_json(folder / "boxes.json", boxes)


def crops(*options):
    """A maker of a crops file."""

    def make(folder: Path) -> Path:
        result = run("extract", *job(folder), "-o", folder / "crops.h5", "-q", "--output-size", "2", *options)
        assert result.exit_code == 0, result.stderr
        return folder / "crops.h5"

    return make


COMPRESSIONS = {"plain": (), "gzip": ("--compression", "gzip:1"), "lzf": ("--compression", "lzf")}


def picture(kind):
    def make(folder: Path) -> Path:
        noise = np.random.default_rng(0).integers(0, 255, (HEIGHT, WIDTH, 3), dtype=np.uint8)
        memory = io.BytesIO()
        Image.fromarray(noise).save(memory, kind)
        job(folder)
        (folder / f"picture.{kind.lower()}").write_bytes(memory.getvalue())
        return folder / f"picture.{kind.lower()}"

    return make


class _Cut(BaseException):
    """Stands for a kill: nothing in the job catches it."""


@contextmanager
def small_batches():
    """Jobs in the block have many batches."""
    from msroi_cli.job.extract import memory

    smallest, memory.SMALLEST_BATCH = memory.SMALLEST_BATCH, 200
    try:
        yield
    finally:
        memory.SMALLEST_BATCH = smallest


def unfinished(way):
    """A maker of a folder with a job that was killed after two batches."""

    def make(folder: Path) -> Path:
        writer = PlainWriter if way == "plain" else SpoolWriter
        commit = writer.commit

        def dies(self, records):
            commit(self, records)
            if len(self.records) >= 2:
                raise _Cut

        writer.commit = dies
        try:
            with small_batches():
                result = run(*resumed(folder, way, *job(folder))[:-1], "--threads", "1")
            assert isinstance(result.exception, _Cut), result.output
        except _Cut:
            pass
        finally:
            writer.commit = commit
        assert (folder / ".o.h5.journal").exists()
        return folder

    return make


def finished(folder: Path, way: str) -> None:
    """What the job of `unfinished` makes if nothing disturbs it, as `expected.h5`."""
    inputs = folder / "maps.h5", folder / "boxes.json"
    out = folder / "expected.h5"
    result = run("extract", *inputs, "-o", out, "-q", "--output-size", "2", *COMPRESSIONS[way])
    assert result.exit_code == 0, result.stderr


def resumed(folder: Path, way: str, pyramid: Path, boxes: Path) -> list[object]:
    """The command line that finishes the job of `unfinished`."""
    out = folder / "o.h5"
    return ["extract", pyramid, boxes, "-o", out, "-q", "--output-size", "2", *COMPRESSIONS[way], "--resume"]


def all_seeds() -> list[Seed]:
    """Every seed; the kinds that have few of them come as often as those that have many."""
    return [
        *(Seed("pyramid", name, make) for name, make in PYRAMIDS.items()),
        *(Seed("npz", name, npz(save)) for name, save in (("stored", np.savez), ("deflated", np.savez_compressed))),
        *(Seed("boxes", name, make) for name, make in BOXES.items()),
        *(Seed("crops", name, crops(*options)) for name, options in COMPRESSIONS.items()),
        *(Seed("picture", kind, picture(kind)) for kind in ("PNG", "JPEG", "GIF", "TIFF", "BMP", "WEBP")),
        *(Seed("work", way, unfinished(way)) for way in COMPRESSIONS),
    ]


def copied(source: Path, target: Path) -> Path:
    """A copy of a folder of a seed."""
    shutil.copytree(source, target)
    return target
