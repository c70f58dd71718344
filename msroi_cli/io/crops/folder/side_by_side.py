"""What files of one kind say: each dataset is taken, and compared with its checksum, of many files at once."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator, Sequence
from functools import lru_cache
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from msroi_cli.errors import InputError
from msroi_cli.io.crops.folder.kinds import Kind
from msroi_cli.io.crops.folder.part_file import PartFile, identity_of
from msroi_cli.io.crops.parts import Part
from msroi_cli.io.crops.schema import CHECKSUMS, COLUMNS
from msroi_cli.io.files.checksum import row_checksums

NEEDED = ("image_ids", "checksums", "moments")


class ReadFile(NamedTuple):
    """A file that was read, its crops left out."""

    path: Path
    status: os.stat_result
    content: bytes


def parts_of_kind(kind: Kind, files: Sequence[ReadFile]) -> list[PartFile | None]:
    """What each file of a kind says; None where anything is wrong with it, which HDF5's way then says."""
    contents = np.frombuffer(b"".join(file.content for file in files), np.uint8).reshape(len(files), kind.size)
    values = {
        name: place.values(contents) for name, place in kind.datasets.items() if name in COLUMNS or name in NEEDED
    }
    sound = _are_sound(kind, contents) & _are_within(values["image_index"], values["image_ids"].shape[1])
    objects = [_parsed_texts(kind, files, name) for name in ("parameters", "sources", "warnings")]
    rows = zip(files, sound.tolist(), values["image_ids"].tolist(), *objects, strict=True)
    return [
        _part(kind, file, {name: of_all[number] for name, of_all in values.items()}, ids, own) if good else None
        for number, (file, good, ids, *own) in enumerate(rows)
    ]


def _part(
    kind: Kind, file: ReadFile, values: dict[str, NDArray[Any]], ids: list[bytes], objects: Sequence[Any]
) -> PartFile | None:
    parameters, sources, warnings = objects
    if not (isinstance(parameters, dict) and isinstance(sources, dict) and isinstance(warnings, list)):
        return None
    first, stop = kind.texts["part"]
    places = kind.chunks
    chunks = None if places is None else places.read(file.content, kind.crops.first, file.status.st_size)
    if places is not None and chunks is None:
        return None
    try:
        part = Part.parse(file.path, file.content[first:stop].decode())
        image_ids = [image.decode() for image in ids]
    except (InputError, UnicodeDecodeError):
        return None
    return PartFile(
        file.path,
        identity_of(file.status),
        part,
        kind.crops.shape,
        kind.crops.dtype,
        {name: values[name] for name in COLUMNS if name in values},
        image_ids,
        values["checksums"],
        kind.rows_per_block,
        values["moments"],
        parameters,
        sources,
        warnings,
        kind.crops.first if places is None else None,
        None if places is None else places.compression,
        chunks,
        checked=True,
    )


def _are_sound(kind: Kind, contents: NDArray[np.uint8]) -> NDArray[np.bool_]:
    """Whether all that has a checksum is, in each file, what it is of; (k,)."""
    table = kind.datasets[CHECKSUMS].values(contents)
    sound: NDArray[np.bool_] = (table["name"] == kind.names).all(axis=1)
    for number, (first, stop) in enumerate(kind.checked):
        sound &= row_checksums(np.ascontiguousarray(contents[:, first:stop])) == table["crc32"][:, number]
    return sound


def _are_within(index: NDArray[np.int64], images: int) -> NDArray[np.bool_]:
    """Whether the images of each file's rows (k, n) are -1 or some of its own; (k,)."""
    within: NDArray[np.bool_] = np.all((index >= -1) & (index < images), axis=1)
    return within


def _parsed_texts(kind: Kind, files: Sequence[ReadFile], name: str) -> Iterator[Any]:
    """The value of an attribute in each file: the parts of a job share most of their texts."""
    first, stop = kind.texts[name]
    last, value = b"", None
    for file in files:
        text = file.content[first:stop]
        if text != last:
            last, value = text, _parsed(text)
        yield value


@lru_cache(maxsize=64)
def _parsed(text: bytes) -> Any:
    """The value of a JSON text, None if it is none."""
    try:
        return json.loads(text)
    except (ValueError, RecursionError):
        return None
