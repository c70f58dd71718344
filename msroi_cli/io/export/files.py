"""Exports as plain files: `npz`, one an image, and `tsv`, the columns of bottom-up-attention."""

from __future__ import annotations

import base64
import csv
import io
import json
import zipfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
from numpy.lib import format as npy
from numpy.typing import NDArray

from msroi_cli.io.export.folder import INDEX, whole_folder
from msroi_cli.io.export.model import FORMAT, FORMAT_VERSION, Export, ExportedImage, image_size, safe_names
from msroi_cli.io.files.atomic import failures_named, whole_file


def write_npz(path: Path, export: Export, overwrite: bool) -> None:
    """A folder with one file an image: `features` (k, ...), `boxes` (k, 4), `image_id`, and the other columns.

    The names of the files are the ids made safe; `index.json` says which is whose.
    """
    write_archives(path, export, overwrite, _write_archive)


def write_archives(
    path: Path, export: Export, overwrite: bool, write_one: Callable[[Path, ExportedImage, Export], None]
) -> None:
    """A folder with an `.npz` file for each image, written by `write_one`, and `index.json`."""
    names = [f"{name}.npz" for name in safe_names(export.image_ids)]
    with whole_folder(path, overwrite) as partial, failures_named(path):
        for name, image in zip(names, export.images, strict=True):
            write_one(partial / name, image, export)
        files = [{"image_id": text, "file": name} for text, name in zip(export.image_ids, names, strict=True)]
        index = {"format": FORMAT, "format_version": FORMAT_VERSION, "attributes": dict(export.attributes)}
        (partial / INDEX).write_text(json.dumps({**index, "files": files}, indent=1), encoding="utf-8")


def _write_archive(path: Path, image: ExportedImage, export: Export) -> None:
    with zipfile.ZipFile(path, "w", zipfile.ZIP_STORED) as archive:
        shape = (len(image.boxes), *export.shape)
        with archive.open("features.npy", "w", force_zip64=True) as member:
            header = {"descr": npy.dtype_to_descr(export.dtype), "fortran_order": False, "shape": shape}
            npy.write_array_header_1_0(member, header)
            for part in image.features():
                member.write(np.ascontiguousarray(part, export.dtype).tobytes())
        arrays: dict[str, NDArray[Any]] = {"boxes": image.boxes, "image_id": np.array(image.id), **image.columns}
        if image.size is not None:
            arrays["image_size"] = np.array(image.size)
        for name, values in arrays.items():
            with archive.open(f"{name}.npy", "w") as member:
                npy.write_array(member, values, allow_pickle=False)


TSV_COLUMNS = ("image_id", "image_w", "image_h", "num_boxes", "boxes", "features")


def write_tsv(path: Path, export: Export, overwrite: bool) -> None:
    """A line an image, without a header: TSV_COLUMNS, of which the last two are base64 of float32, little-endian.

    Source: the files of Anderson et al., "Bottom-Up and Top-Down Attention" (2018), as its tools write and read them.
    """
    with whole_file(path, overwrite) as partial, failures_named(path), partial.open("wb") as file:
        for image in export.images:
            width, height = (f"{side:.15g}" for side in image_size(image, "tsv"))
            file.write(_line([image.id, width, height, str(len(image.boxes))]))
            for parts in (iter([image.boxes]), image.features()):
                file.write(b"\t")
                for text in _base64(parts):
                    file.write(text)
            file.write(b"\n")


def _line(values: list[str]) -> bytes:
    """Values between tabs, quoted as the csv module quotes where they must be."""
    text = io.StringIO(newline="")
    # What ends a line is quoted only if the writer ends its lines with it.
    csv.writer(text, delimiter="\t", lineterminator="\r\n").writerow(values)
    return text.getvalue()[:-2].encode()


def _base64(parts: Iterator[NDArray[Any]]) -> Iterator[bytes]:
    """The parts' values as float32 in base64, in pieces that together are one text: three bytes are four letters."""
    rest = b""
    for part in parts:
        content = rest + np.ascontiguousarray(part, "<f4").tobytes()
        whole = len(content) // 3 * 3
        yield base64.b64encode(content[:whole])
        rest = content[whole:]
    yield base64.b64encode(rest)
