"""Checks of what a pyramid file holds: shapes, dtypes, image ids, pairs of numbers."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from msroi_cli.errors import InputError
from msroi_cli.io.features.layouts import CHANNELS_FIRST, axes, channels_first
from msroi_cli.io.numbers import as_float64

FLOATS = ("float16", "float32", "float64")


FLOAT_CODES = "efd"  # the same, as NumPy codes them


def pairs_beside(where: str, values: Any, count: int, signed: bool = False) -> NDArray[np.float64]:
    """`scale_factors`, `image_sizes` or, signed, `offsets` of `count` images, (N, 2) float64; raises InputError."""
    try:
        array = np.asarray(values)
    except ValueError:
        array = np.empty(0)
    if array.shape != (count, 2) or array.dtype.kind not in "fiu":
        raise InputError(f"{where}: expected ({count}, 2) numbers, got {array.shape} {array.dtype}")
    pairs = as_float64(array)
    if not (np.isfinite(pairs).all() and (signed or (pairs > 0).all())):
        raise InputError(f"{where}: expected {'finite numbers' if signed else 'numbers above 0'}, got others")
    return pairs


def check_factor(
    where: object, factor: object | None, offset: tuple[float, float], expected: bool, others: str
) -> None:
    """Raises InputError unless an image has a scale factor if it is `expected`, and an offset only with one.

    others: the images that it is expected for.
    """
    hint = "(--box-space input takes boxes in input pixels, whichever images have one)"
    if (factor is not None) != expected:
        wanted, actual = ("a scale_factor", "none") if expected else ("no scale_factor", "one")
        raise InputError(f"{where}: expected {wanted} as on {others}, got {actual} {hint}")
    if factor is None and offset != (0.0, 0.0):
        raise InputError(f"{where}: expected a scale_factor with the offset, got none {hint}")


def different_ids(where: str, ids: Any, count: int) -> list[str]:
    """Image ids as strings, one for each of `count` images; raises InputError unless each is an integer or a string."""
    values = ids.tolist() if isinstance(ids, np.ndarray) else ids
    if not isinstance(values, list):
        raise InputError(f"{where}: expected a list, got {values!r}")
    values = [value.decode(errors="replace") if isinstance(value, bytes) else value for value in values]
    if set(map(type, values)) <= {int, str} and len(values) == count:
        texts = list(map(str, values))
        if _storable("".join(texts)) and len(set(texts)) == count:
            return texts
    # One by one, to name the id that is wrong.
    for index, value in enumerate(values):
        if type(value) not in (int, str) or not _storable(str(value)):
            raise InputError(f"{where}: id {index}: expected a whole number or a string, got {value!r}")
    if len(values) != count:
        raise InputError(f"{where}: expected {count} ids, got {len(values)}")
    texts = [str(value) for value in values]
    first: dict[str, int] = {}
    for index, text in enumerate(texts):
        if first.setdefault(text, index) != index:
            raise InputError(f"{where}: expected ids that differ, got {text!r} for images {first[text]} and {index}")
    return texts


def _storable(text: str) -> bool:
    """Whether HDF5 can hold a text: it ends at a NUL, and a lone surrogate is no UTF-8."""
    return "\0" not in text and text.encode(errors="ignore").decode() == text


MIXED_HINT = (
    " (--levels names the datasets that are levels; --assign all or the name of a level takes levels of different "
    "channels)"
)


def check_map(
    where: str,
    shape: tuple[int, ...],
    dtype: Any,
    like: tuple[int | None, Any] | None = None,
    hint: str = "",
    layout: str = CHANNELS_FIRST,
) -> None:
    """Checks one image's level, (C, H, W) or (1, C, H, W) or a batch of them, against (channels, dtype).

    Channels that are None may be any. hint: what to add where channels differ. layout: that of `shape`.
    """
    sides = channels_first(shape, layout)
    channels = "C" if like is None or like[0] is None else like[0]
    if dtype.char not in FLOAT_CODES or (like is not None and dtype.char != like[1].char):
        wanted = "float16, float32 or float64" if like is None else f"{like[1]} like the first level"
        raise InputError(f"{where}: expected {wanted}, got {dtype}")
    if len(shape) not in (3, 4) or (channels != "C" and sides[-3] != channels):
        more = hint if len(shape) in (3, 4) else ""
        raise InputError(f"{where}: expected ({axes(layout, channels)}), got {shape}{more}")
    if not (sides[-1] and sides[-2]):
        raise InputError(f"{where}: expected a map of at least 1 x 1 cells, got {shape}")
