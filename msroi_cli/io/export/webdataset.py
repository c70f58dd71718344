"""Exports as `webdataset`: a folder of tar files, a sample an image, for readers that stream them."""

from __future__ import annotations

import io
import json
import tarfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
from numpy.lib import format as npy

from msroi_cli.io.export.folder import INDEX, whole_folder
from msroi_cli.io.export.model import FORMAT, FORMAT_VERSION, Export, ExportedImage, safe_names
from msroi_cli.io.export.vectors import plain
from msroi_cli.io.files.atomic import failures_named

# A tar file is closed when it has so many bytes, and the next image begins another.
SHARD_BYTES = 1 << 30


def write_webdataset(path: Path, export: Export, overwrite: bool) -> None:
    """A folder of `00000.tar` and so on; of each image `KEY.features.npy` (k, ...), `KEY.boxes.npy` (k, 4), `KEY.json`.

    The JSON has `image_id`, `image_size` where it is known, and the columns as lists. KEY is the id made safe, without
    dots: what is before the first dot of a name is the sample that the file belongs to, what is behind it is its key.
    Source: Aizman, Maltby and Breuel, "High Performance I/O For Large Scale Deep Learning" (2019).
    """
    keys = [name.replace(".", "%2E") for name in safe_names(export.image_ids)]
    with whole_folder(path, overwrite) as partial, failures_named(path):
        shards = _write_shards(partial, keys, export)
        index = {"format": FORMAT, "format_version": FORMAT_VERSION, "attributes": dict(export.attributes)}
        (partial / INDEX).write_text(json.dumps({**index, "files": shards}, indent=1), encoding="utf-8")


def _write_shards(folder: Path, keys: list[str], export: Export) -> list[dict[str, Any]]:
    """Writes the tar files, one at least; returns the name and the number of samples of each."""
    samples = zip(keys, export.images, strict=True)
    shards: list[dict[str, Any]] = []
    left = len(keys)
    while left or not shards:
        name, count = f"{len(shards):05}.tar", 0
        with (folder / name).open("wb") as file, tarfile.open(fileobj=file, mode="w", format=tarfile.PAX_FORMAT) as tar:
            for key, image in samples:
                _add_sample(tar, key, image, export)
                left, count = left - 1, count + 1
                if file.tell() >= SHARD_BYTES:
                    break
        shards.append({"file": name, "samples": count})
    return shards


def _add_sample(tar: tarfile.TarFile, key: str, image: ExportedImage, export: Export) -> None:
    header, boxes = io.BytesIO(), io.BytesIO()
    shape = (len(image.boxes), *export.shape)
    descr = npy.dtype_to_descr(export.dtype)
    npy.write_array_header_1_0(header, {"descr": descr, "fortran_order": False, "shape": shape})
    npy.write_array(boxes, np.ascontiguousarray(image.boxes), allow_pickle=False)
    about: dict[str, Any] = {"image_id": image.id}
    if image.size is not None:
        about["image_size"] = list(image.size)
    about.update({name: [plain(value) for value in values.tolist()] for name, values in image.columns.items()})
    size = len(header.getvalue()) + int(np.prod(shape)) * export.dtype.itemsize
    _add(tar, f"{key}.features.npy", size, _features(header.getvalue(), image, export))
    for name, content in (("boxes.npy", boxes.getvalue()), ("json", json.dumps(about).encode())):
        _add(tar, f"{key}.{name}", len(content), iter([content]))


def _features(header: bytes, image: ExportedImage, export: Export) -> Iterator[bytes]:
    yield header
    for part in image.features():
        yield np.ascontiguousarray(part, export.dtype).tobytes()


def _add(tar: tarfile.TarFile, name: str, size: int, parts: Iterator[bytes]) -> None:
    """Adds a file that is the same whoever adds it, and when."""
    info = tarfile.TarInfo(name)
    info.size = size
    tar.addfile(info, _Parts(parts))


class _Parts(io.RawIOBase):
    """Pieces of bytes as one file to read from, of which only what is asked for is in memory."""

    def __init__(self, parts: Iterator[bytes]) -> None:
        self._parts = parts
        self._rest = memoryview(b"")

    def readable(self) -> bool:
        """It is."""
        return True

    def read(self, size: int = -1) -> bytes:
        """The next `size` bytes; fewer at the end."""
        found = bytearray()
        while size < 0 or len(found) < size:
            if not self._rest:
                part = next(self._parts, None)
                if part is None:
                    break
                self._rest = memoryview(part)
                continue
            taken = len(self._rest) if size < 0 else size - len(found)
            found += self._rest[:taken]
            self._rest = self._rest[taken:]
        return bytes(found)
