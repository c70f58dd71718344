"""The crops file, format version 1: what is in it.

`crops` (K, C, Ho, Wo) is one contiguous run of bytes unless compression was asked for, so that it can be mapped.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt
from numpy.typing import NDArray

from msroi_cli.io.columns import BOX_COLUMNS
from msroi_cli.io.crops.parts import Part
from msroi_cli.io.files.location import Source

FORMAT = "msroi-crops"
FORMAT_VERSION = 1

STATUS_POOLED, STATUS_INVALID, STATUS_UNKNOWN_IMAGE = 0, 1, 2
COLUMNS: dict[str, npt.DTypeLike] = {
    "boxes": np.float32,
    "image_index": np.int64,
    "level": np.int8,
    "status": np.uint8,
    "box_index": np.int64,
    **{column.name: column.dtype for column in BOX_COLUMNS},
}
STATS_DTYPE = np.dtype(
    [("level", "i4"), ("stride_y", "f8"), ("stride_x", "f8"), ("boxes", "i8"), ("share", "f8")]
    + [(f"box_size_{name}", "f8") for name in ("min", "median", "max")]
    + [(name, "f8") for name in ("mean", "std", "min", "max", "zero_fraction")]
    + [("nonfinite", "i8")]
)
# Files of version 1 that were made before there was such a field lack it.
LATER_STATS = ("nonfinite",)

# The exact statistics of a part, from which those of the whole job are made. Sums of values and of squares are limbs
# of 32 bits, as `core.exact` has them, in units of the smallest float64 and of its square: they have room for 2**63
# values of any size. `beyond` says of each whether it is not known, as a crop's own is beyond float64.
SUMS_UNIT, SUMS_LIMBS = -1074, 68
SQUARES_UNIT, SQUARES_LIMBS = -2148, 134
MOMENTS_DTYPE = np.dtype(
    [("count", "i8"), ("sums", "<u4", (SUMS_LIMBS,)), ("squares", "<u4", (SQUARES_LIMBS,)), ("beyond", "u4", (2,))]
    + [(name, "f8") for name in ("low", "high")]
    + [(name, "i8") for name in ("zeros", "nonfinite")]
)
# Those of older parts, whose sums are texts, "" where one is not known.
TEXT_MOMENTS_DTYPE = np.dtype(
    [("count", "i8")]
    + [(name, "S900") for name in ("sums", "squares")]
    + [(name, "f8") for name in ("low", "high")]
    + [(name, "i8") for name in ("zeros", "nonfinite")]
)
MOMENTS_DTYPES = (MOMENTS_DTYPE, TEXT_MOMENTS_DTYPE)

# Chunks that are smaller than this have a cost of their own.
SMALL_CHUNK = 64 << 10

# The CRC32 of each dataset but the crops and their checksums; behind an @, of attributes, as UTF-8.
CHECKSUMS = "column_checksums"
CHECKSUMS_DTYPE = np.dtype([("name", "S32"), ("crc32", "u4")])


# Between an input and the path of a file that it leads to, in the role of a source.
LINKED = " linked "


def linked_role(role: str, name: str) -> str:
    """The role of a file that the input `role` leads to."""
    return f"{role}{LINKED}{name}"


def is_linked_to(role: str, own: str) -> bool:
    """Whether a role is that of a file that the input `own` leads to."""
    return role.startswith(f"{own}{LINKED}")


def is_linked(role: str) -> bool:
    """Whether a role is that of a file that an input leads to."""
    return LINKED in role


class Compression(NamedTuple):
    """How crops are compressed: "gzip" or "lzf", the level of gzip, and the rows of a chunk."""

    name: str
    level: int
    rows: int

    @classmethod
    def of(cls, name: str, level: int, shape: tuple[int, ...], row_bytes: int, in_order: bool) -> Compression | None:
        """Chunks of one crop, or of some small ones if they are made in the order in which they are written.

        None without crops: HDF5 has no chunks of no rows.
        """
        if not shape[0]:
            return None
        rows = min(SMALL_CHUNK // max(1, row_bytes), shape[0]) if in_order else 1
        return cls(name, level, max(1, rows))


class CropsHeader(NamedTuple):
    """Everything a crops file says besides the crops, their checksums and their statistics.

    shape: (K, C, Ho, Wo), or (K, C) of crops that were reduced to vectors. columns: arrays (K, ...) by the names of
    `COLUMNS`. levels: how many rows `stats` has. part: which part of a job the file is, if it is one.
    warnings: what is known of the inputs before the first crop is made, as plain JSON values. parts: the folder of the
    parts that have the crops, by its path from the file's folder; None if the file itself has them.
    """

    shape: tuple[int, ...]
    dtype: np.dtype[Any]
    columns: Mapping[str, NDArray[Any]]
    image_ids: list[str]
    levels: int
    parameters: Mapping[str, Any]
    sources: Mapping[str, Source]
    compression: Compression | None = None
    part: Part | None = None
    warnings: Sequence[Mapping[str, Any]] = ()
    parts: str | None = None

    def sources_as_dict(self) -> dict[str, Any]:
        """The sources as plain JSON values."""
        return {
            role: {name: value for name, value in source._asdict().items() if value is not None}
            for role, source in self.sources.items()
        }

    @property
    def row_bytes(self) -> int:
        """The bytes of one crop."""
        return math.prod(self.shape[1:]) * self.dtype.itemsize


class Results(NamedTuple):
    """What is known when all crops are made.

    stats: (L,) of STATS_DTYPE. moments: (L,) of MOMENTS_DTYPE, for parts. warnings: all of them, as plain JSON values:
    those of the header, and what the crops themselves gave.
    """

    stats: NDArray[Any]
    moments: NDArray[Any]
    warnings: Sequence[Mapping[str, Any]] = ()
