"""Reads `preprocessor_config.json`, in which Hugging Face's image processors say what they do to a picture.

What is not known to leave pixels alone is refused: a step that is left out moves boxes and changes values silently.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

from msroi_cli.errors import ArgumentError, InputError
from msroi_cli.io.files.location import Location, parse_json
from msroi_cli.model.preprocessing import INTERPOLATIONS, Preprocessing
from msroi_cli.model.resize import LARGEST_SIDE, Exact, Resize, Sides, Unchanged

NAMES = {int(resampling): name for name, resampling in INTERPOLATIONS.items()}


def _words(text: str) -> frozenset[str]:
    return frozenset(text.split())


# Followed by `_preprocessing` and `_resize`.
FOLLOWED = _words(
    "do_resize do_rescale do_normalize do_pad do_flip_channel_order size max_size resample rescale_factor image_mean "
    "image_std pad_size crop_size"
)

# Of names, labels, masks and calls: they change no pixel of a picture in RGB.
HARMLESS = _words(
    "image_processor_type feature_extractor_type processor_class _processor_class auto_map return_tensors device "
    "model_input_names _valid_processor_keys _name_or_path _commit_hash transformers_version disable_grouping "
    "do_convert_rgb do_reduce_labels reduce_labels ignore_index num_labels num_text repo_path class_info_file metadata "
    "format mask_size mask_pad_size default_to_square"
)

# The values with which a step does nothing, beside null; and false for all whose names begin with do_.
OFF: Mapping[str, tuple[Any, ...]] = {
    "keep_aspect_ratio": (False,),
    "ensure_multiple_of": (1,),
    "size_divisor": (0, 1),
    "crop_pct": (1,),
    "rescale_offset": (False,),
    "include_top": (False,),
    "offset": (False,),
    "data_format": ("channels_first",),
    "input_data_format": ("channels_last",),
}

# What a resizing that the user gives replaces.
REPLACED = _words(
    "do_resize do_center_crop do_pad size max_size crop_size pad_size crop_pct keep_aspect_ratio ensure_multiple_of "
    "size_divisor min_pixels max_pixels"
)

# Processors, without the end of their names, that pad to the largest picture of a batch, or to pad_size.
DETR = frozenset({"Detr", "ConditionalDetr", "DeformableDetr", "Deta", "GroundingDino", "RTDetr"})

# Those whose shortest_edge is the shorter side that a picture gets.
SHORTEST = frozenset({"CLIP", "ChineseCLIP", "Bit", "MobileNetV1", "MobileNetV2", "MobileViT"})

# Those that crop, pad or resize in ways of their own that their files need not name.
OWN_WAYS = _words(
    "BridgeTower Donut GLPN ImageGPT Levit Nougat Owlv2 Perceiver Pix2Struct PoolFormer PromptDepthAnything Vilt "
    "ZoeDepth"
)

# Below this side ConvNeXT crops, from it on it resizes to a square.
CONVNEXT_SQUARE = 384

HINT = "; give --resize, --rescale, --mean, --std and the like in place of --preprocessor"
RESIZE_HINT = "; give --resize beside --preprocessor"


def read_preprocessor_config(path: Path, given: Mapping[str, Any] | None = None) -> Preprocessing:
    """The preprocessing of a file; raises InputError for steps that are not known or cannot be followed.

    given: fields of `Preprocessing` that the user sets in place of the file's; `resize` also replaces its cropping and
    padding.
    """
    content = parse_json(path, Location(path).content())
    if isinstance(content, dict):
        content = content.get("image_processor", content)
    if not isinstance(content, dict):
        raise InputError(f"{path}: expected an object of an image processor, got {type(content).__name__}")
    try:
        return _preprocessing(content, given or {})
    except ArgumentError as error:
        raise InputError(f"{path}: {error}") from error


def _preprocessing(content: Mapping[str, Any], given: Mapping[str, Any]) -> Preprocessing:
    if not any(key in content for key in ("do_resize", "do_normalize", "do_rescale")):
        raise ArgumentError(f"expected do_resize, do_rescale and do_normalize, got {', '.join(content)[:80] or 'none'}")
    resize = given.get("resize")
    _check_keys(content, REPLACED if resize is not None else frozenset())
    _check_kind(content, resize)
    normalize = _does(content, "normalize", all(content.get(key) for key in ("image_mean", "image_std")))
    rescale = _does(content, "rescale", normalize or content.get("rescale_factor") is not None)
    made = Preprocessing(
        resize=resize if resize is not None else _resize(content),
        color="bgr" if content.get("do_flip_channel_order") else "rgb",
        rescale=_number("rescale_factor", content.get("rescale_factor", 1 / 255)) if rescale else 1.0,
    )
    if normalize:
        made = replace(made, mean=_three(content, "image_mean"), std=_three(content, "image_std"))
    if resize is None:
        made = _padded(content, made)
    if "interpolation" not in given and not isinstance(made.resize, Unchanged):
        made = replace(made, interpolation=_interpolation(content, resize is not None))
    return made


def _check_keys(content: Mapping[str, Any], replaced: frozenset[str]) -> None:
    """Raises ArgumentError for the first key that may change pixels in a way that is not followed."""
    for key, value in content.items():
        if value is None or key in replaced:
            continue
        if key.startswith("do_") and type(value) is not bool:
            raise ArgumentError(f"{key}: expected true or false, got {value!r}")
        off = OFF.get(key, (False,) if key.startswith("do_") else ())
        if value in off or key in FOLLOWED or key in HARMLESS:
            continue
        wanted = f"expected {' or '.join(map(repr, off))}" if off else "expected no such key"
        raise ArgumentError(f"{key}: {wanted}, as boxes cannot follow it or it is not known, got {value!r:.40}{HINT}")


def _check_kind(content: Mapping[str, Any], resize: Resize | None) -> None:
    """Raises ArgumentError for processors whose files do not say all that they do."""
    kind = _kind(content)
    if kind == "LayoutLMv2" or (kind in OWN_WAYS and resize is None):
        hint = HINT if kind == "LayoutLMv2" else RESIZE_HINT
        raise ArgumentError(f"expected a processor that does what its file says, got {kind}ImageProcessor{hint}")
    if resize is None and content.get("crop_size") is not None and "do_center_crop" not in content:
        raise ArgumentError(f"do_center_crop: expected false beside crop_size, got none{RESIZE_HINT}")


def _kind(content: Mapping[str, Any]) -> str:
    """The processor without the end of its name, empty where the file does not name it."""
    name = content.get("image_processor_type") or content.get("feature_extractor_type") or ""
    return re.sub(r"(ImageProcessor|FeatureExtractor)\w*$", "", str(name))


def _does(content: Mapping[str, Any], step: str, default: bool) -> bool:
    """Whether a step is done: what the file says, else `default`, which is true where it has the step's values.

    Raises ArgumentError where nothing tells, as processors differ in what they do then.
    """
    value = content.get(f"do_{step}")
    if value is None and not default:
        raise ArgumentError(f"do_{step}: expected true or false, got none; a copy of the file that says it settles it")
    return default if value is None else bool(value)


def _resize(content: Mapping[str, Any]) -> Resize:
    size, kind = content.get("size"), _kind(content)
    if not _does(content, "resize", size is not None):
        return Unchanged()
    known = {key: value for key, value in size.items() if value is not None} if isinstance(size, Mapping) else {}
    if set(known) == {"height", "width"}:
        return Exact(_size("size", known))
    if not known or not set(known) <= {"shortest_edge", "longest_edge"}:
        raise ArgumentError(
            f"size: expected height and width, or shortest_edge and longest_edge, got {size!r}{RESIZE_HINT}"
        )
    shortest, longest = (_edge(known, key) for key in ("shortest_edge", "longest_edge"))
    if content.get("max_size") not in (None, longest):
        raise ArgumentError(f"max_size: expected none beside {size!r}, got {content['max_size']!r}{RESIZE_HINT}")
    if kind == "ConvNext" and shortest is not None and shortest >= CONVNEXT_SQUARE:
        return Exact((shortest, shortest))
    if shortest is None and kind == "Sam":
        return Sides(None, longest)
    if shortest is not None and (kind in DETR or not kind or (kind in SHORTEST and longest is None)):
        return Sides(shortest, longest, "cut")
    raise ArgumentError(f"size: expected height and width of {kind or 'a processor'}, got {size!r}{RESIZE_HINT}")


def _padded(content: Mapping[str, Any], made: Preprocessing) -> Preprocessing:
    """With the padding of the file, on the right and at the bottom; raises ArgumentError for any other."""
    kind, size = _kind(content), content.get("pad_size")
    if not content.get("do_pad", size is not None or kind == "Sam"):
        return made
    if kind not in DETR | {"Sam", ""} or (kind == "Sam" and size is None):
        raise ArgumentError(f"do_pad: expected false, as it is not known where {kind} pads, got true{RESIZE_HINT}")
    return made if size is None else replace(made, pad_size=_size("pad_size", size))


def _interpolation(content: Mapping[str, Any], replaced: bool) -> str:
    resample = content.get("resample")
    if resample is None and (replaced or _kind(content) in DETR | {"Sam"}):
        return "bilinear"
    if type(resample) is not int or resample not in NAMES:
        raise ArgumentError(
            f"resample: expected a number from 0 to {len(NAMES) - 1}, as Pillow has them, got {resample!r}; "
            "--interpolation settles it"
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


def _edge(size: Mapping[str, Any], key: str) -> int | None:
    return _side("size", size[key]) if key in size else None


def _side(key: str, value: Any) -> int:
    if type(value) is not int or not 1 <= value <= LARGEST_SIDE:
        raise ArgumentError(f"{key}: expected a whole number of pixels from 1 to {LARGEST_SIDE}, got {value!r}")
    return value
