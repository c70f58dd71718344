"""`msroi extract` as a function."""

from __future__ import annotations

import os
import signal
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, Protocol, SupportsIndex, TypeVar, get_args

from msroi_cli.core.spec import Compat, ScaleLike, SizeLike
from msroi_cli.errors import ArgumentError, InputError
from msroi_cli.io.pyramid.levels import LevelChoice, pair_of
from msroi_cli.io.stream.protocol import Pyramid
from msroi_cli.job.cluster.environment import shards_from
from msroi_cli.job.cluster.run import extract_with_workers
from msroi_cli.job.crops import open_crops
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
from msroi_cli.job.extract.prepare import prepared
from msroi_cli.job.extract.run import extract as run
from msroi_cli.job.request import BoxChoice, BoxOptions, ExtractRequest, PoolOptions
from msroi_cli.job.shards import Shard
from msroi_cli.job.stats import recomputed
from msroi_cli.job.summary import Summary

T = TypeVar("T")

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
}


class Event(Protocol):
    """What `threading.Event` and its like have."""

    def is_set(self) -> bool:
        """Whether the event happened."""


def extract(
    pyramid: str | os.PathLike[str] | Pyramid,
    boxes: Any,
    out: str | os.PathLike[str],
    *,
    output_size: SizeLike = 7,
    sampling_ratio: int | None = None,
    compat: Compat = "lucid",
    aligned: bool | None = None,
    canonical_level: int | None = None,
    canonical_scale: float | None = None,
    assign: str = "canonical",
    levels: Sequence[str] | None = None,
    strides: Sequence[ScaleLike] | None = None,
    scales: Sequence[ScaleLike] | None = None,
    group: str | None = None,
    box_format: BoxFormat | None = None,
    box_space: BoxSpace | None = None,
    normalized: bool = False,
    image_key: ImageKey | None = None,
    columns: Mapping[str, str] | None = None,
    coco_images: str | os.PathLike[str] | None = None,
    on_bad_box: OnBadBox = "error",
    on_unknown_image: OnUnknownImage = "error",
    min_score: float | None = None,
    categories: Sequence[int | str] | None = None,
    images: Sequence[int | str] | None = None,
    min_size: float | None = None,
    top: int | None = None,
    on_nonfinite: OnNonfinite = "warn",
    strict: bool = False,
    dtype: Dtype | None = None,
    reduce: Reduce | None = None,
    order: Order = "input",
    compression: CompressionName | None = None,
    compression_level: int = 4,
    threads: int | None = None,
    shard: str | None = None,
    workers: int = 1,
    memory: int = 1 << 30,
    resume: bool = False,
    overwrite: bool = False,
    progress: Callable[[int], None] | None = None,
    stop: Event | None = None,
) -> Summary:
    """Pools a crop for each of `boxes` out of `pyramid` and writes them to `out`, as the command `msroi extract` does.

    pyramid: the name of a file, or an object with the members of `msroi_cli.Pyramid`.
    boxes: the name of a file, an array (K, 5) of image index x1 y1 x2 y2, a dict of arrays (k, 4) by image id, or a
        table (pandas, Arrow, polars) with columns image_id and x1 y1 x2 y2, x y w h, or cx cy w h.
    The other options are those of the command. strict: what the summary would have as `warnings` of the inputs is an
    InputError before `out` is touched. workers: processes, for which the file that calls needs
    `if __name__ == "__main__":`. memory: bytes. progress is called with the number of boxes just done.
    stop: an event; once it is set, the job ends after the batches under way, and what was done stays for `resume`.

    Returns the statistics of the job. Raises UsageError, of which ArgumentError is also a ValueError, for options;
    InputError for inputs; RunError for what the file system refuses; StoppedError after `stop`.
    """
    given = {name: value for name, value in locals().items() if name in CHOICES}
    for name, value in given.items():
        if value not in CHOICES[name]:
            raise ArgumentError(f"{name}: expected one of {', '.join(map(str, CHOICES[name]))}, got {value!r}")
    if strides is not None and scales is not None:
        raise ArgumentError("strides: expected without scales, got both")
    request = ExtractRequest(
        _name(pyramid),
        _name(boxes),
        Path(out),
        PoolOptions(_pair_of_bins(output_size), sampling_ratio, compat, aligned, canonical_level, canonical_scale),
        BoxOptions(
            box_format,
            box_space,
            normalized,
            image_key,
            columns=dict(columns or {}),
            coco_images=None if coco_images is None else os.fspath(coco_images),
            on_bad_box=on_bad_box,
            on_unknown_image=on_unknown_image,
            choice=BoxChoice(min_score, _tuple("categories", categories), _ids(images), top, min_size),
        ),
        LevelChoice(
            None if levels is None else tuple(levels), _pairs("strides", strides), _pairs("scales", scales), group=group
        ),
        dtype=dtype,
        threads=threads,
        compression=None if compression is None else (compression, compression_level),
        memory=memory,
        resume=resume,
        overwrite=overwrite,
        reduce=reduce,
        order=order,
        on_nonfinite=on_nonfinite,
        assign=assign,
        shard=_shard(shard, workers),
        workers=workers,
        strict=strict,
    )
    if workers > 1 and not isinstance(request.pyramid, str):
        raise ArgumentError("workers: expected a pyramid in files, which every process can open, got an object")
    return _run(request, progress or (lambda rows: None), _signal_of(stop))


def _run(request: ExtractRequest, progress: Callable[[int], None], stop: Callable[[], int]) -> Summary:
    """Runs a job; of one that was done already, its statistics."""
    with prepared(request) as job:
        if request.workers > 1:
            summary = extract_with_workers(job, request.workers, progress, stop)
        else:
            summary = run(job, progress, stop)
    if summary is None:
        with open_crops(job.output.path) as crops:
            return recomputed(crops).summary
    return summary


def _shard(text: str | None, workers: int) -> Shard | None:
    """The one shard of a text such as 3/40; raises UsageError."""
    if workers < 1:
        raise ArgumentError(f"workers: expected at least 1, got {workers}")
    if text is None:
        return None
    shards = shards_from(text, os.environ)
    if len(shards) > 1 or workers > 1:
        raise ArgumentError(f"shard: expected one shard without workers, got {text!r} and {workers} workers")
    return shards[0]


def _name(value: T | str | os.PathLike[str]) -> T | str:
    """The name of a file as a text; anything else as it is."""
    return os.fspath(value) if isinstance(value, (str, os.PathLike)) else value


def _signal_of(stop: Event | None) -> Callable[[], int]:
    """What the engine asks for: the number of a signal that came, 0 for none."""
    return lambda: signal.SIGTERM if stop is not None and stop.is_set() else 0


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
