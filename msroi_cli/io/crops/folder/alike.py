"""Opens crops files that are alike much faster than HDF5 does, which takes some milliseconds for each.

A file that is not like one that is known is opened by way of HDF5.
"""

from __future__ import annotations

import json
import os
import zlib
from collections import defaultdict
from functools import lru_cache
from pathlib import Path
from typing import Any

from msroi_cli.errors import InputError
from msroi_cli.io.crops.folder.kinds import Kind, kind_like
from msroi_cli.io.crops.folder.part_file import PartFile, identity_of
from msroi_cli.io.crops.parts import Part
from msroi_cli.io.crops.schema import CHECKSUMS, COLUMNS

# So many kinds of files of one size, and of compressed ones of any size, are known at a time.
MOST_KINDS = 16


class AlikeFiles:
    """Opens parts, most of which are like one that was opened before."""

    def __init__(self) -> None:
        # Of files without compression by their size, and of all others.
        self._kinds: defaultdict[int, list[Kind]] = defaultdict(list)
        self._compressed: list[Kind] = []

    def open(self, path: Path) -> PartFile:
        """A part; raises InputError as `Crops` does."""
        try:
            descriptor = os.open(path, os.O_RDONLY | getattr(os, "O_CLOEXEC", 0))
        except OSError:
            return PartFile.opened(path)
        try:
            return self._known(path, descriptor) or self._new(path, descriptor)
        finally:
            os.close(descriptor)

    def _known(self, path: Path, descriptor: int) -> PartFile | None:
        """A file of a kind that is known and whose checksums are right; None for any other."""
        status = os.fstat(descriptor)
        size = status.st_size
        crops, content = None, b""
        for kinds in (self._kinds[size], self._compressed):
            for number, kind in enumerate(kinds):
                if kind.crops != crops:
                    crops, content = kind.crops, kind.content(descriptor, size)
                if kind.has(content):
                    # Files that follow each other are alike: the next one is compared with this kind first.
                    kinds.insert(0, kinds.pop(number))
                    return _read(path, status, kind, content)
        return None

    def _new(self, path: Path, descriptor: int) -> PartFile:
        """Opens a file by way of HDF5, and remembers its kind."""
        found = PartFile.opened(path)
        size = os.fstat(descriptor).st_size
        plain = found.first is not None or not found.size
        kinds = self._kinds[size] if plain else self._compressed
        if plain or found.compression is not None:
            kind = kind_like(path, found, descriptor, size)
            if kind is not None:
                # In place of the kind that was met longest ago.
                kinds.insert(0, kind)
                del kinds[MOST_KINDS:]
        return found


def _read(path: Path, status: os.stat_result, kind: Kind, content: bytes) -> PartFile | None:
    """A part by the places of its kind; None if anything is wrong with it, which HDF5's way then says."""
    if not _is_sound(kind, content):
        return None
    places = kind.chunks
    chunks = None if places is None else places.read(content, kind.crops.first, status.st_size)
    if places is not None and chunks is None:
        return None
    arrays = {name: place.values(content) for name, place in kind.datasets.items()}
    texts = {name: content[first:stop] for name, (first, stop) in kind.texts.items()}
    parameters, sources, warnings = (_parsed(texts[name]) for name in ("parameters", "sources", "warnings"))
    ids, index = arrays["image_ids"].tolist(), arrays["image_index"]
    if not (isinstance(parameters, dict) and isinstance(sources, dict) and isinstance(warnings, list)):
        return None
    if len(index) and not -1 <= index.min() <= index.max() < len(ids):
        return None
    try:
        part = Part.parse(path, texts["part"].decode())
        image_ids = [image.decode() for image in ids]
    except (InputError, UnicodeDecodeError):
        return None
    return PartFile(
        path,
        identity_of(status),
        part,
        kind.crops.shape,
        kind.crops.dtype,
        {name: arrays[name] for name in COLUMNS if name in arrays},
        image_ids,
        arrays["checksums"],
        kind.rows_per_block,
        arrays["moments"],
        parameters,
        sources,
        warnings,
        kind.crops.first if places is None else None,
        None if places is None else places.compression,
        chunks,
        checked=True,
    )


def _is_sound(kind: Kind, content: bytes) -> bool:
    """Whether all that has a checksum is what it is of."""
    table = kind.datasets[CHECKSUMS].values(content)
    if table["name"].tobytes() != kind.names:
        return False
    view = memoryview(content)
    pairs = zip(kind.checked, table["crc32"].tolist(), strict=True)
    return all(zlib.crc32(view[first:stop]) == crc for (first, stop), crc in pairs)


@lru_cache(maxsize=64)
def _parsed(text: bytes) -> Any:
    """The value of a JSON text, None if it is none: the parts of a job share most of their texts."""
    try:
        return json.loads(text)
    except (ValueError, RecursionError):
        return None
