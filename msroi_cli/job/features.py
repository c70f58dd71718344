"""`msroi features`: the pyramids that a model makes of pictures, as a file."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from time import perf_counter

import numpy as np

from msroi_cli.core.backends.environment import default_threads
from msroi_cli.errors import InputError, StoppedError
from msroi_cli.io.files.atomic import check_room
from msroi_cli.io.files.target import check_apart, check_suffix, check_target
from msroi_cli.io.pyramid.writer import PyramidWriter
from msroi_cli.io.stream.feed import Ahead, Feed
from msroi_cli.model.onnx_pyramid import OnnxPyramid
from msroi_cli.model.opened import Means, open_model
from msroi_cli.model.options import ModelOptions
from msroi_cli.model.pictures import first_failures

# Of the memory, for pictures that wait for the model, and for maps that wait for the disk.
PICTURES_SHARE, MAPS_SHARE = 8, 2


@dataclass(frozen=True, slots=True)
class FeaturesRequest:
    """One `msroi features`. strides: (y, x) pairs, None: measured. dtype: of the file, None: the model's."""

    model: str
    options: ModelOptions
    out: Path
    strides: Sequence[tuple[float, float]] | None = None
    dtype: str | None = None
    threads: int | None = None
    memory: int = 1 << 30
    resume: bool = False
    overwrite: bool = False


@dataclass(frozen=True, slots=True)
class FeaturesMade:
    """What is in the file: how many images. runs: pictures that the model ran on. skipped: a line, or nothing."""

    images: int
    runs: int
    skipped: str
    elapsed: float


class _Writer(PyramidWriter):
    """A writer whose messages name the options of the command."""

    RESUMES, REPLACES = "--resume", "--overwrite"


def make_features(
    request: FeaturesRequest, progress: Callable[[int], None] = lambda images: None, stop: Callable[[], int] = lambda: 0
) -> FeaturesMade:
    """Runs the model on every picture and writes the file, which appears under its name when it is whole.

    progress is called with the number of pictures just done, those of an earlier run included. stop is asked after
    every picture for the number of a signal, 0 for none. Raises InputError, UsageError, RunError or StoppedError.
    """
    started = perf_counter()
    check_suffix(request.out, "HDF5")
    check_target(request.out, request.overwrite or request.resume, "--resume continues it, --overwrite replaces it")
    threads = request.threads or default_threads()
    pyramid = open_model(
        request.model, request.options, Means(threads, request.memory // PICTURES_SHARE), request.strides
    )
    check_apart(request.out, pyramid.files)
    unusable = pyramid.unusable(pyramid.image_ids)
    ids = [image_id for image_id in pyramid.image_ids if image_id not in unusable]
    if not ids:
        raise InputError(f"{request.options.pictures}: expected pictures, got only some that cannot be read")
    with _writer(request, pyramid, ids) as writer:
        left = [image_id for image_id in ids if image_id not in writer.done]
        check_room(request.out, _bytes(pyramid, left, request.dtype))
        progress(len(ids) - len(left))
        _add(writer, pyramid, left, request.memory // MAPS_SHARE, lambda: _done(progress, stop, writer, len(ids)))
    skipped = f"pictures left out: {len(unusable):,}: {first_failures(unusable)}" if unusable else ""
    return FeaturesMade(len(ids), pyramid.runs, skipped, perf_counter() - started)


def _writer(request: FeaturesRequest, pyramid: OnnxPyramid, ids: Sequence[str]) -> _Writer:
    inputs = {role: source._asdict() for role, source in pyramid.inputs(ids).items()}
    mode = "a" if request.resume else "w" if request.overwrite else "x"
    strides = [level.stride for level in pyramid.levels]
    return _Writer(request.out, strides, dtype=request.dtype, about={**pyramid.about(), **inputs}, mode=mode)


def _add(writer: PyramidWriter, pyramid: OnnxPyramid, ids: Sequence[str], limit: int, done: Callable[[], None]) -> None:
    """Adds images while the model makes the next ones; at most `limit` bytes of maps wait."""
    feed = Feed(pyramid.maps, [ids] if ids else [], lambda maps: sum(m.nbytes for m in maps.values()), Ahead(1, limit))
    try:
        for image_id, maps in zip(ids, feed, strict=True):
            writer.add(image_id, maps, **asdict(pyramid.geometry(image_id)))
            done()
    finally:
        feed.close()


def _done(progress: Callable[[int], None], stop: Callable[[], int], writer: PyramidWriter, total: int) -> None:
    progress(1)
    signal = stop()
    if signal:
        done = len(writer.done)
        raise StoppedError(f"stopped with {done:,} of {total:,} pictures done; --resume continues from there", signal)


def _bytes(pyramid: OnnxPyramid, ids: Sequence[str], dtype: str | None) -> int:
    """About the bytes of the maps of some images."""
    total = 0
    for image_id in ids:
        width, height = pyramid.geometry(image_id).input_size or (0, 0)
        for level in pyramid.levels:
            y, x = level.stride if isinstance(level.stride, tuple) else (level.stride, level.stride)
            item = np.dtype(dtype or level.dtype).itemsize
            total += level.channels * math.ceil(height / y) * math.ceil(width / x) * item
    return total
