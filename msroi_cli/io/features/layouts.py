"""How the values of a map may lie in an array, and whether the sides of a map fit the size of its picture."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from msroi_cli.errors import InputError
from msroi_cli.io.messages import value_text

Size = tuple[int, int]
"""(width, height)."""

LAYOUTS = ("chw", "hwc", "tokens")

CHANNELS_FIRST, CHANNELS_LAST = MAP_LAYOUTS = ("chw", "hwc")

CHANNELS_LAST_NAMES = ("hwc", "nhwc", "channels_last")
"""What those write who keep channels last; on a level of a pyramid it is only CHANNELS_LAST."""

# A vision transformer puts a class token and some registers in front; more than this is something else.
MOST_PREFIX_TOKENS = 16


class Tokens(NamedTuple):
    """How tokens (1, T, C) lie on the picture: one a patch of `patch` x `patch` pixels, after `prefix` others.

    prefix: None where it follows from the size of the picture.
    """

    patch: int
    prefix: int | None = None

    def check_size(self, size: Size, where: str) -> None:
        """Raises InputError for an input that is not made of whole patches."""
        if size[0] % self.patch or size[1] % self.patch:
            raise InputError(
                f"{where}: expected an input whose sides are multiples of {self.patch}, the patch, got "
                f"{size[0]} x {size[1]} (--pad-to {self.patch}, or another --resize)"
            )

    def grid(self, count: int, size: Size, where: str) -> tuple[int, int, int]:
        """(rows, columns, prefix) of `count` tokens for an input of `size`; raises InputError where they do not fit."""
        self.check_size(size, where)
        width, height = size
        rows, columns = height // self.patch, width // self.patch
        prefix = count - rows * columns
        wanted = range(MOST_PREFIX_TOKENS + 1) if self.prefix is None else range(self.prefix, self.prefix + 1)
        if prefix not in wanted:
            before = f"up to {MOST_PREFIX_TOKENS}" if self.prefix is None else str(self.prefix)
            raise InputError(
                f"{where}: expected {rows} x {columns} tokens and {before} in front of them for an input of "
                f"{width} x {height} and patches of {self.patch}, got {count} (--patch, --prefix-tokens)"
            )
        return rows, columns, prefix


def layout_from(value: Any, where: str) -> str:
    """The layout that a file states with `value`, text of any kind, alone or the one value of an array.

    None, where it states none: "chw". Raises InputError for any other than "chw" and "hwc".
    """
    if value is None:
        return CHANNELS_FIRST
    only = value.item() if isinstance(value, np.ndarray) and value.size == 1 else value
    text = only.decode(errors="replace") if isinstance(only, bytes) else only
    if not isinstance(text, str) or text not in MAP_LAYOUTS:
        raise InputError(f'{where}: layout: expected "chw" or "hwc", got {value_text(text)}')
    return str(text)


def says_channels_last(value: Any) -> bool:
    """Whether what stands beside the levels, a text or some by name or in order, says that channels are last."""
    if isinstance(value, Mapping):
        return any(map(says_channels_last, value.values()))
    texts = np.ravel(value).tolist() if isinstance(value, np.ndarray) else value
    if isinstance(texts, list):
        return any(map(says_channels_last, texts))
    text = texts.decode(errors="replace") if isinstance(texts, bytes) else texts
    return isinstance(text, str) and text.strip().lower() in CHANNELS_LAST_NAMES


def channels_first(shape: tuple[int, ...], layout: str) -> tuple[int, ...]:
    """(..., C, H, W) of an array of any `shape` that lies in a layout; a shape of fewer axes as it is."""
    if layout == CHANNELS_FIRST or len(shape) < 3:
        return shape
    *head, height, width, channels = shape
    return (*head, channels, height, width)


def axes(layout: str, channels: object = "C") -> str:
    """The axes of a map for messages, `256, H, W`, as they lie."""
    return f"H, W, {channels}" if layout == CHANNELS_LAST else f"{channels}, H, W"


def from_tokens(tokens: NDArray[Any], tokens_of: Tokens, size: Size, where: str) -> tuple[NDArray[Any], Tokens]:
    """The map (C, H, W), a view, of tokens (1, T, C) or (T, C), and how they lie with their `prefix` known."""
    array = tokens[0] if tokens.ndim == 3 and len(tokens) == 1 else tokens
    if array.ndim != 2:
        raise InputError(f"{where}: expected tokens (1, T, C), got {tokens.shape}")
    rows, columns, prefix = tokens_of.grid(len(array), size, where)
    grid = array[prefix:].reshape(rows, columns, array.shape[1])
    return grid.transpose(2, 0, 1), Tokens(tokens_of.patch, prefix)


def from_map(array: NDArray[Any], layout: str, where: str) -> NDArray[Any]:
    """The map (C, H, W), a view, of (1, C, H, W) or (C, H, W), or channels last if `layout` is "hwc"."""
    inner = array[0] if array.ndim == 4 and len(array) == 1 else array
    if inner.ndim != 3 or 0 in inner.shape:
        wanted = "(1, H, W, C)" if layout == "hwc" else "(1, C, H, W)"
        raise InputError(f"{where}: expected {wanted}, got {array.shape}")
    return inner.transpose(2, 0, 1) if layout == "hwc" else inner


def fits(sides: Size, stride: tuple[float, float], size: Size) -> bool:
    """Whether a map of `sides` (width, height) is what strides (y, x) make of an input of `size` (width, height).

    Layers that halve a side round it up or down, so that the map lies between both.
    """
    return all(
        math.floor(whole / step + 1e-6) <= side <= math.ceil(whole / step - 1e-6)
        for side, step, whole in zip(sides, reversed(stride), size, strict=True)
    )


def check_fit(sides: Size, stride: tuple[float, float], size: Size, where: str) -> None:
    """Raises InputError where a map cannot be what strides (y, x) make of an input."""
    if not fits(sides, stride, size):
        step = f"{stride[0]:g}" if stride[0] == stride[1] else f"{stride[0]:g} x {stride[1]:g}"
        raise InputError(
            f"{where}: expected a map of {size[0] / stride[1]:g} x {size[1] / stride[0]:g} cells for an input of "
            f"{size[0]} x {size[1]} and stride {step}, got {sides[0]} x {sides[1]}"
        )
