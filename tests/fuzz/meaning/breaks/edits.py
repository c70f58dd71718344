"""Changes to files that are written, for what a document of a job cannot state."""

from __future__ import annotations

import gzip
import json
import struct
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import h5py
import numpy as np

from tests.fuzz.meaning.job import Image, Job
from tests.fuzz.meaning.write.boxes import boxes_name, csv_text, table
from tests.fuzz.meaning.write.pyramids import GROUP, halves, pyramid_name


def group_of(job: Job, image: Image) -> tuple[str, str]:
    """The file below the folder of a job, and the group in it, that hold an image in HDF5."""
    name, layout = pyramid_name(job.pyramid), job.pyramid.layout
    if layout == "files":
        return f"{name}/{image.id}.h5", "/"
    if layout in ("grouped files", "batched files"):
        part = next(n for n, part in enumerate(halves(job.pyramid.images)) if any(image is one for one in part))
        return f"{name}/part{part}.h5", image.id if layout == "grouped files" else "/"
    if layout == "nested":
        return name, GROUP.format(id=image.id)
    return name, image.id if layout == "grouped" else "/"


def in_hdf5(job: Job, image: Image, change: Callable[[h5py.Group], None]) -> None:
    """Has `change` done to the group of an image."""
    name, inside = group_of(job, image)

    def edit(folder: Path) -> None:
        with h5py.File(folder / name, "r+") as file:
            change(file[inside])

    job.edits.append(edit)


def in_arrays(job: Job, name: str, value: Any) -> None:
    """Has an array beside the levels, or a level, replaced in a layout of arrays."""
    job.edits.append(partial(ARRAYS[job.pyramid.layout], pyramid_name(job.pyramid), name, value))


def _in_batched(path: str, name: str, value: Any, folder: Path) -> None:
    with h5py.File(folder / path, "r+") as file:
        attributes = dict(file[name].attrs) if name in file else {}
        file.pop(name, None)
        file[name] = [str(key) for key in value] if name == "image_ids" else value
        file[name].attrs.update(attributes)


def _in_npz(path: str, name: str, value: Any, folder: Path) -> None:
    with np.load(folder / path) as archive:
        arrays = dict(archive)
    np.savez(folder / path, **{**arrays, name: value})


def _in_npy(path: str, name: str, value: Any, folder: Path) -> None:
    np.save(folder / path / f"{name}.npy", value)


def _in_safetensors(path: str, name: str, value: Any, folder: Path) -> None:
    """As text of the metadata; the bytes of a tensor that it replaces stay."""
    content = (folder / path).read_bytes()
    length = struct.unpack("<Q", content[:8])[0]
    header = json.loads(content[8 : 8 + length])
    header.pop(name, None)
    header.setdefault("__metadata__", {})[name] = json.dumps(np.asarray(value).tolist())
    text = json.dumps(header).encode()
    (folder / path).write_bytes(struct.pack("<Q", len(text)) + text + content[8 + length :])


def _in_json(path: str, name: str, value: Any, folder: Path) -> None:
    document = json.loads((folder / path).read_text())
    document[name] = np.asarray(value).tolist()
    (folder / path).write_text(json.dumps(document))


ARRAYS = {
    "batched": _in_batched,
    "npz": _in_npz,
    "npy": _in_npy,
    "safetensors": _in_safetensors,
    "json": _in_json,
}


def in_box_text(job: Job, change: Callable[[str], str]) -> None:
    """Has the text of a box file changed."""
    name, gzipped = boxes_name(job.boxes), job.boxes.gzipped

    def edit(folder: Path) -> None:
        content = (folder / name).read_bytes()
        text = change((gzip.decompress(content) if gzipped else content).decode())
        (folder / name).write_bytes(gzip.compress(text.encode()) if gzipped else text.encode())

    job.edits.append(edit)


def in_box_json(job: Job, change: Callable[[Any], object]) -> None:
    """Has the document of a JSON box file, or the list of its lines, changed by `change`."""

    def changed(text: str) -> str:
        lines = job.boxes.format.endswith("lines")
        document = [json.loads(line) for line in text.splitlines()] if lines else json.loads(text)
        change(document)
        return "\n".join(map(json.dumps, document)) + "\n" if lines else json.dumps(document)

    in_box_text(job, changed)


def in_box_arrays(job: Job, change: Callable[[dict[str, np.ndarray]], None]) -> None:
    """Has the arrays of an HDF5 or NPZ box file changed."""
    name = boxes_name(job.boxes)

    def edit(folder: Path) -> None:
        if name.endswith(".npz"):
            with np.load(folder / name) as archive:
                arrays = dict(archive)
            change(arrays)
            np.savez(folder / name, **arrays)
            return
        with h5py.File(folder / name, "r+") as file:
            arrays = {key: file[key][()] for key in file}
            change(arrays)
            for key in list(file):
                del file[key]
            for key, values in arrays.items():
                file[key] = [str(one) for one in values] if values.dtype.kind == "U" else values

    job.edits.append(edit)


def in_box_table(job: Job, columns: dict[str, list[Any]]) -> None:
    """Has columns of a table replaced or added."""
    name, kind, boxes = boxes_name(job.boxes), job.boxes.format, job.boxes

    def edit(folder: Path) -> None:
        if kind == "Parquet":
            import pyarrow as pa
            from pyarrow import parquet

            parquet.write_table(pa.table({**table(boxes), **columns}), folder / name)
            return
        content = csv_text({**table(boxes), **columns}, "," if kind == "CSV" else "\t").encode()
        (folder / name).write_bytes(gzip.compress(content) if boxes.gzipped else content)

    job.edits.append(edit)
