"""Where the arrays of a crops file are that are written beside HDF5, and a checksum of all that lies around them.

What lies around them was written before the first crop. A job that resumes goes on with the file only if it is still
the same, bit for bit.
"""

from __future__ import annotations

import mmap
import os
import zlib
from collections.abc import Iterator, Mapping
from contextlib import closing
from typing import Any, NamedTuple

import h5py

from msroi_cli.io.crops.schema import CHECKSUMS
from msroi_cli.io.hdf5.latching import LatchingFile

ARRAYS = ("crops", "checksums", "stats", "moments", CHECKSUMS)
BYTES_AT_ONCE = 1 << 20


class Layout(NamedTuple):
    """size: of the file, bytes. places: the first byte and the bytes of each array. crc: CRC32 of all other bytes."""

    size: int
    places: Mapping[str, tuple[int, int]]
    crc: int

    @classmethod
    def of(cls, descriptor: int) -> Layout:
        """The layout of a file that is open to read and write; raises OSError."""
        size = os.fstat(descriptor).st_size
        with closing(LatchingFile(os.dup(descriptor), size)) as content, h5py.File(content, "r") as file:
            places = {
                name: (file[name].id.get_offset() or 0, file[name].size * file[name].dtype.itemsize)
                for name in ARRAYS
                if name in file
            }
            text = file.attrs["warnings"]
            text = text if isinstance(text, bytes) else text.encode()
        places["warnings"] = (_place_of(text, descriptor), len(text))
        return cls(size, places, _checksum(descriptor, size, places))

    def is_of(self, descriptor: int) -> bool:
        """Whether an open file has this layout; raises OSError."""
        size = os.fstat(descriptor).st_size
        return size == self.size and _checksum(descriptor, size, self.places) == self.crc

    def offset(self, name: str) -> int:
        """Where the values of an array begin."""
        return self.places[name][0]

    def as_json(self) -> dict[str, Any]:
        """Plain JSON values; `from_json` reads them back."""
        return {
            "size": self.size,
            "places": {name: list(place) for name, place in self.places.items()},
            "crc": self.crc,
        }

    @classmethod
    def from_json(cls, values: Any) -> Layout:
        """Reads what `as_json` gave; raises ValueError for anything else."""
        try:
            places = {name: (int(first), int(count)) for name, (first, count) in values["places"].items()}
            return cls(int(values["size"]), places, int(values["crc"]))
        except (KeyError, TypeError, AttributeError) as error:
            raise ValueError(f"expected the layout of a file, got {str(values)[:80]}") from error


def _place_of(text: bytes, descriptor: int) -> int:
    """Where in an open file a text begins; raises ValueError if it is nowhere in one piece."""
    with mmap.mmap(descriptor, 0, access=mmap.ACCESS_READ) as content:
        place = content.find(text)
    if place < 0:
        raise ValueError(f"expected the text {text[:40]!r} in a file, got none")
    return place


def _checksum(descriptor: int, size: int, places: Mapping[str, tuple[int, int]]) -> int:
    crc = 0
    for start, stop in _around(size, places):
        for offset in range(start, stop, BYTES_AT_ONCE):
            crc = zlib.crc32(os.pread(descriptor, min(BYTES_AT_ONCE, stop - offset), offset), crc)
    return crc


def _around(size: int, places: Mapping[str, tuple[int, int]]) -> Iterator[tuple[int, int]]:
    """The runs of bytes of a file that lie in none of the arrays: where each begins and ends."""
    start = 0
    for first, count in sorted(place for place in places.values() if place[1]):
        yield start, first
        start = first + count
    yield start, size
