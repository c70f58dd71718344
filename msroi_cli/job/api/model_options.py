"""The options of models in Python: their types, and what they make together."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Literal, TypeAlias, TypedDict

from msroi_cli.errors import ArgumentError
from msroi_cli.model.options import BAD_PICTURE_POLICIES, ModelOptions
from msroi_cli.model.preprocessing import INTERPOLATIONS
from msroi_cli.model.resize import Resize, parse_resize

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
    changes = {name: _change(name, values.pop(name)) for name in CHANGES if name in values}
    if "preprocessor" in values:
        values["preprocessor"] = Path(values["preprocessor"])
    if "providers" in values:
        values["providers"] = tuple(values["providers"])
    return ModelOptions(os.fspath(pictures), changes=changes, **values)


def _change(name: str, value: Any) -> Any:
    if name == "resize":
        return _resize(value)
    if name in ("mean", "std"):
        return tuple(map(float, (value,) * 3 if isinstance(value, (int, float)) else value))
    return value


def _resize(text: str) -> Resize:
    try:
        return parse_resize(text)
    except ArgumentError as error:
        raise ArgumentError(f"resize: {error}") from None
