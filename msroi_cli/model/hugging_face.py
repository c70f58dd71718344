"""Reads `preprocessor_config.json`, in which Hugging Face's image processors say what they do to a picture."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

from msroi_cli.errors import ArgumentError, InputError
from msroi_cli.io.files.location import Location, parse_json
from msroi_cli.model.preprocessing import INTERPOLATIONS, Preprocessing
from msroi_cli.model.resize import Exact, Resize, Sides, Unchanged

NAMES = {int(resampling): name for name, resampling in INTERPOLATIONS.items()}

# Steps that change nothing for a single picture in RGB, or nothing at all.
HARMLESS = ("do_convert_rgb", "do_resize", "do_rescale", "do_normalize", "do_pad", "do_reduce_labels")
HINT = "; a copy of the file without it, or options in its place, settle what is done"


def read_preprocessor_config(path: Path, resize: Resize | None = None) -> Preprocessing:
    """The preprocessing of a file; raises InputError for steps that are not known or cannot be meant.

    resize: what is done in place of the file's own resizing, cropping and padding.
    """
    content = parse_json(path, Location(path).content())
    if not isinstance(content, dict):
        raise InputError(f"{path}: expected an object of an image processor, got {type(content).__name__}")
    content = content.get("image_processor", content)
    try:
        return _preprocessing(content, resize)
    except ArgumentError as error:
        raise InputError(f"{path}: {error}") from error


def _preprocessing(content: Mapping[str, Any], resize: Resize | None) -> Preprocessing:
    if not any(key in content for key in ("do_resize", "do_normalize", "do_rescale")):
        raise ArgumentError(f"expected do_resize, do_rescale and do_normalize, got {', '.join(content)[:80] or 'none'}")
    ignored = ("do_center_crop", "do_pad", "do_resize") if resize is not None else ()
    for key, value in content.items():
        if key.startswith("do_") and value and key not in (*HARMLESS, "do_flip_channel_order", *ignored):
            raise ArgumentError(
                f"{key}: expected false, as boxes cannot follow it or it is not known, got {value!r}{HINT}"
            )
    if resize is None and content.get("size_divisor"):
        raise ArgumentError(f"size_divisor: expected none, as it is not known, got {content['size_divisor']!r}{HINT}")
    made = Preprocessing(
        resize=resize if resize is not None else _resize(content),
        interpolation=_interpolation(content.get("resample")),
        color="bgr" if content.get("do_flip_channel_order") else "rgb",
        rescale=_number("rescale_factor", content.get("rescale_factor", 1 / 255)) if _does(content, "rescale") else 1.0,
    )
    if _does(content, "normalize"):
        made = replace(made, mean=_three(content, "image_mean"), std=_three(content, "image_std"))
    if resize is None and content.get("do_pad") and content.get("pad_size"):
        width, height = _size("pad_size", content["pad_size"])
        made = replace(made, pad_size=(width, height))
    return made


def _does(content: Mapping[str, Any], step: str) -> bool:
    """Whether a step is done. Files from before 4.26 rescale without a word where they normalize."""
    return bool(content.get(f"do_{step}", content.get("do_normalize", False)))


def _resize(content: Mapping[str, Any]) -> Resize:
    if not content.get("do_resize"):
        return Unchanged()
    size = content.get("size")
    if isinstance(size, Mapping) and {"height", "width"} <= set(size):
        return Exact(_size("size", size))
    if isinstance(size, Mapping) and set(size) & {"shortest_edge", "longest_edge"}:
        sides = (size.get("shortest_edge"), size.get("longest_edge"))
        short, long = (None if side is None else _side("size", side) for side in sides)
        if short is not None or long is not None:
            return Sides(short, long, half_up=False)
    raise ArgumentError(f"size: expected height and width, or shortest_edge and longest_edge, got {size!r}{HINT}")


def _interpolation(resample: Any) -> str:
    if resample is None:
        return "bilinear"
    if type(resample) is not int or resample not in NAMES:
        raise ArgumentError(
            f"resample: expected a number from 0 to {len(NAMES) - 1}, as Pillow has them, got {resample!r}"
        )
    return NAMES[resample]


def _number(key: str, value: Any) -> float:
    if type(value) not in (int, float):
        raise ArgumentError(f"{key}: expected a number, got {value!r}")
    return float(value)


def _three(content: Mapping[str, Any], key: str) -> tuple[float, float, float]:
    values = content.get(key)
    if not isinstance(values, list) or len(values) != 3:
        raise ArgumentError(f"{key}: expected 3 numbers, got {values!r}")
    first, second, third = (_number(key, value) for value in values)
    return first, second, third


def _size(key: str, value: Any) -> tuple[int, int]:
    if not isinstance(value, Mapping):
        raise ArgumentError(f"{key}: expected height and width, got {value!r}")
    return _side(key, value.get("width")), _side(key, value.get("height"))


def _side(key: str, value: Any) -> int:
    if type(value) is not int or value < 1:
        raise ArgumentError(f"{key}: expected a whole number of pixels above 0, got {value!r}")
    return value
