"""The options of `extract` in Python: their types, and the request that they make."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any, SupportsIndex, TypedDict, TypeVar, get_args

from msroi_cli.core.spec import Compat, ScaleLike, SizeLike
from msroi_cli.errors import ArgumentError, InputError
from msroi_cli.io.files.access import Access
from msroi_cli.io.pyramid.levels import LevelChoice, pair_of
from msroi_cli.io.stream.protocol import Pyramid
from msroi_cli.job.api import model_options
from msroi_cli.job.api.model_options import PictureOptions, model_of
from msroi_cli.job.cluster.environment import shards_from
from msroi_cli.job.extract.literals import (
    BoxFormat,
    BoxSpace,
    CompressionName,
    Dtype,
    ImageKey,
    OnBadBox,
    OnNonfinite,
    OnUnknownImage,
    Order,
    Reduce,
)
from msroi_cli.job.request import BoxChoice, BoxOptions, ExtractRequest, PoolOptions, taken
from msroi_cli.job.shards import Shard

T = TypeVar("T")

# The level of gzip where none is given.
COMPRESSION_LEVEL = 4

CHOICES = {
    "box_format": (None, *get_args(BoxFormat)),
    "box_space": (None, *get_args(BoxSpace)),
    "image_key": (None, *get_args(ImageKey)),
    "on_unknown_image": get_args(OnUnknownImage),
    "on_bad_box": get_args(OnBadBox),
    "dtype": (None, *get_args(Dtype)),
    "compression": (None, *get_args(CompressionName)),
    "reduce": (None, *get_args(Reduce)),
    "order": get_args(Order),
    "on_nonfinite": get_args(OnNonfinite),
    **model_options.CHOICES,
}


class PoolingOptions(TypedDict, total=False):
    """How boxes are pooled; what is not given, or None, is as in the preset `compat`, which is "lucid"."""

    output_size: SizeLike
    sampling_ratio: int | None
    compat: Compat
    aligned: bool | None
    canonical_level: int | None
    canonical_scale: float | None
    assign: str


class LevelOptions(TypedDict, total=False):
    """Which datasets are the levels, finest first, and where they are."""

    levels: Sequence[str] | None
    strides: Sequence[ScaleLike] | None
    scales: Sequence[ScaleLike] | None
    group: str | None
    allow_external: bool
    allow_fill: bool


class BoxReading(TypedDict, total=False):
    """How boxes are read, which are used, and what becomes of those that cannot be pooled."""

    box_format: BoxFormat | None
    box_space: BoxSpace | None
    normalized: bool
    image_key: ImageKey | None
    columns: Mapping[str, str] | None
    coco_images: str | os.PathLike[str] | None
    on_bad_box: OnBadBox
    on_unknown_image: OnUnknownImage
    min_score: float | None
    categories: Sequence[int | str] | None
    images: Sequence[int | str] | None
    min_size: float | None
    top: int | None


class ExtractOptions(PoolingOptions, LevelOptions, BoxReading, PictureOptions, total=False):
    """The options of `extract`, named as those of the command.

    strict: warnings about the inputs are an InputError before the output is touched. compression_level: of gzip.
    shard: the one to make, such as "3/40". workers: processes, for which the file that calls needs
    `if __name__ == "__main__":`. scheduler: the address of a Dask scheduler, or the file that it wrote. shards: how
    many parts the workers make. memory: bytes for work under way.
    """

    on_nonfinite: OnNonfinite
    strict: bool
    dtype: Dtype | None
    reduce: Reduce | None
    order: Order
    compression: CompressionName | None
    compression_level: int
    threads: int | None
    shard: str | None
    workers: int
    scheduler: str | os.PathLike[str] | None
    shards: int | None
    memory: int
    resume: bool
    overwrite: bool


def request_of(
    pyramid: str | os.PathLike[str] | Pyramid, boxes: Any, out: str | os.PathLike[str], options: Mapping[str, Any]
) -> ExtractRequest:
    """The request that options make; raises TypeError for names that are none, ArgumentError for values."""
    given = dict(options)
    _check(given)
    given = {name: VALUES[name](value) if name in VALUES else value for name, value in given.items()}
    level, name = given.pop("compression_level", COMPRESSION_LEVEL), given.pop("compression", None)
    workers = given.setdefault("workers", 1)
    given["shard"] = _shard(given.get("shard"), workers)
    given["scheduler"] = _name(given.get("scheduler"))
    pool = taken(PoolOptions, given)
    given["choice"] = taken(BoxChoice, given)
    box = taken(BoxOptions, given)
    levels, model = _level_choice(given), model_of(given)
    compression = None if name is None else (name, level)
    return ExtractRequest(
        _name(pyramid), _name(boxes), Path(out), pool, box, levels, compression=compression, model=model, **given
    )


def _check(given: Mapping[str, Any]) -> None:
    for name, value in given.items():
        if name not in ExtractOptions.__annotations__:
            raise TypeError(f"extract() got an unexpected keyword argument {name!r}")
        if name in CHOICES and value not in CHOICES[name]:
            raise ArgumentError(f"{name}: expected one of {', '.join(map(str, CHOICES[name]))}, got {value!r}")
    if given.get("strides") is not None and given.get("scales") is not None:
        raise ArgumentError("strides: expected without scales, got both")


def _level_choice(given: dict[str, Any]) -> LevelChoice:
    names = given.pop("levels", None)
    access = Access(given.pop("allow_external", False), given.pop("allow_fill", False))
    return LevelChoice(
        names, given.pop("strides", None), given.pop("scales", None), group=given.pop("group", None), access=access
    )


def _shard(text: str | None, workers: int) -> Shard | None:
    """The one shard of a text such as 3/40; raises UsageError."""
    if workers < 1:
        raise ArgumentError(f"workers: expected at least 1, got {workers}")
    if text is None:
        return None
    shards = shards_from(text, os.environ)
    if len(shards) > 1:
        raise ArgumentError(f"shard: expected one shard, got {text!r}")
    return shards[0]


def _name(value: T | str | os.PathLike[str]) -> T | str:
    """The name of a file as a text; anything else as it is."""
    return os.fspath(value) if isinstance(value, (str, os.PathLike)) else value


def _tuple(name: str, values: Sequence[int | str] | None) -> tuple[int | str, ...] | None:
    """Different ids or names; raises ArgumentError."""
    if values is None:
        return None
    if isinstance(values, str) or not all(isinstance(value, (SupportsIndex, str)) for value in values):
        raise ArgumentError(f"{name}: expected a sequence of whole numbers and texts, got {values!r}")
    return tuple(dict.fromkeys(value if isinstance(value, str) else int(value) for value in values))


def _ids(images: Sequence[int | str] | None) -> tuple[str, ...] | None:
    found = _tuple("images", images)
    return None if found is None else tuple(map(str, found))


def _pair_of_bins(size: SizeLike) -> Any:
    return (size, size) if isinstance(size, SupportsIndex) else size


def _pairs(name: str, values: Sequence[ScaleLike] | None) -> tuple[tuple[float, float], ...] | None:
    """Numbers or (y, x) pairs as pairs; raises ArgumentError."""
    try:
        return (
            None if values is None else tuple(pair_of(f"{name}[{index}]", value) for index, value in enumerate(values))
        )
    except InputError as error:
        raise ArgumentError(str(error)) from None


# What becomes of values that a request has in another form.
VALUES: dict[str, Callable[[Any], Any]] = {
    "output_size": _pair_of_bins,
    "levels": lambda names: None if names is None else tuple(names),
    "strides": partial(_pairs, "strides"),
    "scales": partial(_pairs, "scales"),
    "columns": lambda columns: dict(columns or {}),
    "coco_images": lambda name: None if name is None else os.fspath(name),
    "categories": partial(_tuple, "categories"),
    "images": _ids,
}
