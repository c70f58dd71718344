"""What files of one kind say: each dataset is taken, and compared with its checksum, of many files at once."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator, Sequence
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from msroi_cli.errors import InputError
from msroi_cli.io.crops.folder.kinds import Kind
from msroi_cli.io.crops.folder.part_file import PartFile, identity_of
from msroi_cli.io.crops.parts import Part
from msroi_cli.io.crops.schema import CHECKSUMS, COLUMNS
from msroi_cli.io.files.checksum import row_checksums

NEEDED = ("image_ids", "checksums", "moments")


class FilesOfKind:
    """The bytes of files of one kind, their crops left out, side by side in a buffer that is used again.

    size: the bytes of the buffer, which has room for `most` files.
    """

    def __init__(self, kind: Kind, most: int) -> None:
        self._kind, self._most = kind, most
        self._buffer = bytearray(kind.size * most)
        self.size = len(self._buffer)
        self._files: list[tuple[int, Path, os.stat_result]] = []

    @property
    def full(self) -> bool:
        """Whether there is no room for another file."""
        return len(self._files) == self._most

    def add(self, number: int, path: Path, descriptor: int, status: os.stat_result) -> bool:
        """Reads the open file, which gets this number; False if it is not one of the kind."""
        start = len(self._files) * self._kind.size
        try:
            with memoryview(self._buffer) as view, view[start : start + self._kind.size] as place:
                whole = self._kind.read_into(place, descriptor, status.st_size)
        except OSError:
            return False
        if not whole or not self._kind.has(self._buffer, start):
            return False
        self._files.append((number, path, status))
        return True

    def take(self) -> Iterator[tuple[int, Path, PartFile | None]]:
        """What each file says; None where anything is wrong with it, which HDF5's way then says. Forgets the files."""
        files, self._files = self._files, []
        if not files:
            return
        contents = np.frombuffer(self._buffer, np.uint8).reshape(-1, self._kind.size)[: len(files)]
        parts = _Parts(self._kind, contents)
        for index, (number, path, status) in enumerate(files):
            yield number, path, parts.part(index, path, status)


class _Parts:
    """What files (k, bytes) of a kind say."""

    def __init__(self, kind: Kind, contents: NDArray[np.uint8]) -> None:
        self._kind, self._contents = kind, contents
        values = {name: place.values(contents) for name, place in kind.datasets.items() if name in (*COLUMNS, *NEEDED)}
        self._ids = values.pop("image_ids").tolist()
        self._checksums, self._moments = values.pop("checksums"), values.pop("moments")
        self._columns = {name: values[name] for name in COLUMNS if name in values}
        self._sound = _are_sound(kind, contents) & _are_within(values["image_index"], len(self._ids[0]))
        self._objects = [_parsed_texts(kind, contents, name) for name in ("parameters", "sources", "warnings")]

    def part(self, index: int, path: Path, status: os.stat_result) -> PartFile | None:
        """What one of the files says; None if anything is wrong with it."""
        kind, (parameters, sources, warnings) = self._kind, (texts[index] for texts in self._objects)
        objects = isinstance(parameters, dict) and isinstance(sources, dict) and isinstance(warnings, list)
        if not (self._sound[index] and objects):
            return None
        chunks = None
        if kind.chunks is not None:
            chunks = kind.chunks.read(self._contents[index].tobytes(), kind.crops.first, status.st_size)
            if chunks is None:
                return None
        try:
            part = Part.parse(path, _text(kind, self._contents[index], "part").decode())
            image_ids = [image.decode() for image in self._ids[index]]
        except (InputError, UnicodeDecodeError):
            return None
        return PartFile(
            path,
            identity_of(status),
            part,
            kind.crops.shape,
            kind.crops.dtype,
            {name: column[index] for name, column in self._columns.items()},
            image_ids,
            self._checksums[index],
            kind.rows_per_block,
            self._moments[index],
            parameters,
            sources,
            warnings,
            kind.crops.first if kind.chunks is None and kind.crops.count else None,
            None if kind.chunks is None else kind.chunks.compression,
            chunks,
            checked=True,
        )


def _are_sound(kind: Kind, contents: NDArray[np.uint8]) -> NDArray[np.bool_]:
    """Whether all that has a checksum is, in each file, what it is of; (k,)."""
    table = kind.datasets[CHECKSUMS].values(contents)
    sound: NDArray[np.bool_] = (table["name"] == kind.names).all(axis=1)
    for number, (first, stop) in enumerate(kind.checked):
        sound &= row_checksums(contents[:, first:stop]) == table["crc32"][:, number]
    return sound


def _are_within(index: NDArray[np.int64], images: int) -> NDArray[np.bool_]:
    """Whether the images of each file's rows (k, n) are -1 or some of its own; (k,)."""
    within: NDArray[np.bool_] = np.all((index >= -1) & (index < images), axis=1)
    return within


def _parsed_texts(kind: Kind, contents: NDArray[np.uint8], name: str) -> Sequence[Any]:
    """The value of an attribute in each file: the parts of a job share most of their texts."""
    texts = [_text(kind, content, name) for content in contents]
    value = _parsed(texts[0])
    return [value if text == texts[0] else _parsed(text) for text in texts]


def _text(kind: Kind, content: NDArray[np.uint8], name: str) -> bytes:
    """The text of an attribute in a file (bytes,)."""
    first, stop = kind.texts[name]
    return content[first:stop].tobytes()


@lru_cache(maxsize=64)
def _parsed(text: bytes) -> Any:
    """The value of a JSON text, None if it is none."""
    try:
        return json.loads(text)
    except (ValueError, RecursionError):
        return None
