"""Files that are the same byte for byte, except for the values of their maps, hold their maps at the same places.

A program that writes one file an image writes the same headers again and again. What HDF5 found in one such file holds
for another whose other bytes are equal, so that this need not be opened by HDF5. The values of an image's scale factor
and size may differ too: their bytes are known where they occur once among the others.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from msroi_cli.io.pyramid.levels import pair_of

MOST_METADATA = 1 << 16
"""Bytes beside the maps, at most."""

MOST_OF_ONE_SIZE = 4
MOST = 4096
"""Stencils that are kept."""

Pair = tuple[float, float]
Pairs = Mapping[str, "np.ndarray[Any, Any] | None"]


@dataclass(frozen=True, slots=True)
class LocatedImage:
    """Where the levels lie: their offsets in the file, and shapes as they are stored in some layouts.

    factor, size: scale factor and image size, or None.
    """

    offsets: tuple[int, ...]
    shapes: tuple[tuple[int, int, int], ...]
    layouts: tuple[str, ...]
    factor: Pair | None
    size: Pair | None


@dataclass(frozen=True, slots=True)
class Blank:
    """Bytes that may differ, of `dtype`: the scale factor or the size of an image, `name` "factor" or "size"."""

    name: str
    start: int
    stop: int
    dtype: np.dtype[Any]


@dataclass(frozen=True, slots=True)
class Stencil:
    """gaps: the ranges of bytes in a file that no map takes. content: these, with zeros for the blanks."""

    gaps: tuple[tuple[int, int], ...]
    content: bytes
    blanks: tuple[Blank, ...]
    image: LocatedImage

    @classmethod
    def of(cls, descriptor: int, size: int, image: LocatedImage, itemsize: int, pairs: Pairs) -> Stencil | None:
        """The stencil of a file in which HDF5 found `image`; None where the bytes do not tell all.

        pairs: the attributes `factor` and `size` as they are stored, or None.
        """
        lengths = [itemsize * int(np.prod(shape)) for shape in image.shapes]
        gaps, stop = [], 0
        for offset, length in sorted(zip(image.offsets, lengths, strict=True)):
            if offset < stop:
                return None
            gaps.append((stop, offset))
            stop = offset + length
        gaps = [gap for gap in [*gaps, (stop, size)] if gap[0] < gap[1]]
        if stop > size or sum(end - start for start, end in gaps) > MOST_METADATA:
            return None
        content = _read(descriptor, gaps)
        blanks = []
        for name, values in pairs.items():
            if values is not None:
                value = values.tobytes()
                start = content.find(value)
                if start < 0 or start != content.rfind(value):
                    return None
                blanks.append(Blank(name, start, start + len(value), values.dtype))
        if any(one.start < other.stop and other.start < one.stop for one in blanks for other in blanks if one != other):
            return None
        return cls(tuple(gaps), _emptied(content, blanks), tuple(blanks), image)

    def locate(self, descriptor: int) -> LocatedImage | None:
        """The image of another file of the same size; None if its other bytes differ."""
        content = _read(descriptor, self.gaps)
        if _emptied(content, self.blanks) != self.content:
            return None
        found = self.image
        for one in self.blanks:
            pair = pair_of("", np.frombuffer(content[one.start : one.stop], one.dtype))
            found = replace(found, factor=pair) if one.name == "factor" else replace(found, size=pair)
        return found


class Stencils:
    """The stencils of the files that HDF5 has opened, by size."""

    def __init__(self) -> None:
        self._of_size: dict[int, list[Stencil]] = {}
        self._count = 0

    def locate(self, descriptor: int, size: int) -> LocatedImage | None:
        """The image of a file, None if it is not like one that is known; raises InputError for an invalid factor."""
        for stencil in self._of_size.get(size, ()):
            found = stencil.locate(descriptor)
            if found is not None:
                return found
        return None

    def wants(self, size: int) -> bool:
        """Whether there is room for one more of files of this size."""
        return self._count < MOST and len(self._of_size.get(size, ())) < MOST_OF_ONE_SIZE

    def add(self, size: int, stencil: Stencil) -> None:
        """Keeps one for files of `size` bytes."""
        self._of_size.setdefault(size, []).append(stencil)
        self._count += 1


def _read(descriptor: int, gaps: tuple[tuple[int, int], ...] | list[tuple[int, int]]) -> bytes:
    return b"".join([os.pread(descriptor, stop - start, start) for start, stop in gaps])


def _emptied(content: bytes, blanks: tuple[Blank, ...] | list[Blank]) -> bytes:
    for one in blanks:
        content = content[: one.start] + bytes(one.stop - one.start) + content[one.stop :]
    return content
