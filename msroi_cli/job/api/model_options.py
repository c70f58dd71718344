"""The options of models in Python: their types, and what they make together."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any, Literal, TypeAlias, TypedDict

from msroi_cli.errors import ArgumentError
from msroi_cli.io.messages import value_text
from msroi_cli.model.options import BAD_PICTURE_POLICIES, ModelOptions
from msroi_cli.model.preprocessing import INTERPOLATIONS
from msroi_cli.model.resize import EXPECTED, Resize, parse_resize

Interpolation: TypeAlias = Literal["nearest", "box", "bilinear", "hamming", "bicubic", "lanczos"]

CHOICES = {
    "layout": ("chw", "hwc"),
    "interpolation": (None, *INTERPOLATIONS),
    "color": (None, "rgb", "bgr"),
    "on_bad_picture": BAD_PICTURE_POLICIES,
}

# Those whose values are fields of `model.preprocessing.Preprocessing`.
CHANGES = ("resize", "pad_to", "interpolation", "rescale", "mean", "std", "color")


class PictureOptions(TypedDict, total=False):
    """How an ONNX model, in place of a pyramid, makes levels of pictures; None and what is not given: as the command.

    outputs: tensors by level name, finest first. resize: a text such as "shortest=800,longest=1333". mean, std: a
    number, or one a channel.
    """

    pictures: str | os.PathLike[str] | None
    outputs: Mapping[str, str] | None
    layout: Literal["chw", "hwc"]
    patch: int | None
    prefix_tokens: int | None
    preprocessor: str | os.PathLike[str] | None
    resize: str | None
    pad_to: int | None
    interpolation: Interpolation | None
    rescale: float | None
    mean: float | Sequence[float] | None
    std: float | Sequence[float] | None
    color: Literal["rgb", "bgr"] | None
    providers: Sequence[str] | None
    on_bad_picture: Literal["error", "skip"]


def model_of(given: dict[str, Any]) -> ModelOptions | None:
    """Removes the options of models from `given` and returns them, None without pictures.

    Raises ArgumentError for values that are none, and for options of a model without pictures.
    """
    values = {name: given.pop(name) for name in PictureOptions.__annotations__ if name in given}
    values = {name: value for name, value in values.items() if value is not None}
    pictures = values.pop("pictures", None)
    if pictures is None:
        if values:
            raise ArgumentError(f"{next(iter(values))}: expected with pictures, got it alone")
        return None
    taken = {name: _taken(name, value) for name, value in values.items()}
    changes = {name: taken.pop(name) for name in CHANGES if name in taken}
    return ModelOptions(_taken("pictures", pictures), changes=changes, **taken)


def _taken(name: str, value: Any) -> Any:
    """A value as a job has it; raises ArgumentError that names it unless it is of the right type."""
    if name not in TYPES:
        return value
    expected, take = TYPES[name]
    made = take(value)
    if made is None:
        raise ArgumentError(f"{name}: expected {expected}, got {value_text(value)}")
    return made


def _name(value: Any) -> str | None:
    name = os.fspath(value) if isinstance(value, (str, os.PathLike)) else None
    return name if isinstance(name, str) else None


def _path(value: Any) -> Path | None:
    name = _name(value)
    return None if name is None else Path(name)


def _whole(least: int, most: int, value: Any) -> int | None:
    number = _plain(value)
    return number if type(number) is int and least <= number <= most else None


def _number(value: Any) -> float | None:
    """A finite number."""
    number = _plain(value)
    good = isinstance(number, (int, float)) and not isinstance(number, bool) and abs(number) <= sys.float_info.max
    return float(number) if good else None


def _three(value: Any) -> tuple[float, ...] | None:
    """One number for each of three channels."""
    one = _number(value)
    numbers = [one] * 3 if one is not None else list(map(_number, _items(value)))
    given = tuple(number for number in numbers if number is not None)
    return given if len(given) == len(numbers) == 3 else None


def _names(value: Any) -> tuple[str, ...] | None:
    names = _items(value)
    return tuple(names) if names and all(isinstance(name, str) for name in names) else None


def _outputs(value: Any) -> dict[str, str] | None:
    """Different tensors by level name."""
    pairs = list(value.items()) if isinstance(value, Mapping) else []
    if not pairs or not all(isinstance(text, str) and text for pair in pairs for text in pair):
        return None
    return dict(pairs) if len({tensor for _, tensor in pairs}) == len(pairs) else None


def _items(value: Any) -> Sequence[Any]:
    """The items of a sequence that is no text; nothing of anything else."""
    plain = _plain(value)
    return plain if isinstance(plain, Sequence) and not isinstance(plain, (str, bytes)) else ()


def _plain(value: Any) -> Any:
    """Numbers and sequences of NumPy and its like as Python's own."""
    return value.tolist() if hasattr(value, "tolist") else value


def _resize(text: Any) -> Resize | None:
    try:
        return parse_resize(text) if isinstance(text, str) else None
    except ArgumentError as error:
        raise ArgumentError(f"resize: {error}") from None


THREE = "3 numbers, one a channel, or one for all"

# What is expected of values in words, and what makes of each what a job has, None of what is none.
TYPES: dict[str, tuple[str, Callable[[Any], Any]]] = {
    "pictures": ("the name of a folder, a pattern or @FILE", _name),
    "outputs": ("names of different tensors by level name, such as {'p2': 'fpn_0'}", _outputs),
    "patch": ("a whole number from 1 to 1024", partial(_whole, 1, 1024)),
    "prefix_tokens": ("a whole number from 0 to 4096", partial(_whole, 0, 4096)),
    "preprocessor": ("the name of a file", _path),
    "resize": (f"a text such as {EXPECTED}", _resize),
    "pad_to": ("a whole number from 1 to 4096", partial(_whole, 1, 4096)),
    "rescale": ("a number", _number),
    "mean": (THREE, _three),
    "std": (THREE, _three),
    "providers": ("a sequence of names", _names),
}
