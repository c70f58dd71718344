"""`msroi extract` as a function."""

from __future__ import annotations

import os
import signal
from collections.abc import Callable
from concurrent.futures import Executor
from typing import TYPE_CHECKING, Any, Protocol

from msroi_cli.io.stream.protocol import Pyramid
from msroi_cli.job.api.options import ExtractOptions, request_of
from msroi_cli.job.cluster.run import extract_in_parts
from msroi_cli.job.crops import open_crops
from msroi_cli.job.extract.prepare import prepared
from msroi_cli.job.extract.run import extract as run
from msroi_cli.job.request import ExtractRequest
from msroi_cli.job.stats import recomputed
from msroi_cli.job.summary import Summary

if TYPE_CHECKING:
    from typing_extensions import Unpack


class Event(Protocol):
    """What `threading.Event` and its like have."""

    def is_set(self) -> bool:
        """Whether the event happened."""


def extract(
    pyramid: str | os.PathLike[str] | Pyramid,
    boxes: Any,
    out: str | os.PathLike[str],
    *,
    progress: Callable[[int], None] | None = None,
    stop: Event | None = None,
    executor: Executor | None = None,
    **options: Unpack[ExtractOptions],
) -> Summary:
    """Pools a crop for each of `boxes` out of `pyramid` and writes them to `out`, as the command `msroi extract` does.

    pyramid: the name of a file, or an object with the members of `msroi_cli.Pyramid`; with `pictures`, an ONNX model.
    boxes: the name of a file, an array (K, 5) of image index x1 y1 x2 y2, a dict of arrays (k, 4) by image id, or a
        table (pandas, Arrow, polars) with columns image_id and x1 y1 x2 y2, x y w h, or cx cy w h.
    progress is called with the number of boxes just done.
    stop: an event; once it is set, the job ends after the batches under way, and what was done stays for `resume`.
    executor: any `concurrent.futures.Executor`, whose workers make `shards` parts of `out` beside it, which are merged.
        All of them have these folders, and start with the inputs' names; a shard of a dead worker is tried again.
    options: those of the command, `output_size=14, compat="torchvision"`; `msroi_cli.ExtractOptions` has their types.

    Returns the statistics of the job. Raises UsageError, of which ArgumentError is also a ValueError, for options;
    InputError for inputs; RunError for what the file system refuses; StoppedError after `stop`.
    """
    request = request_of(pyramid, boxes, out, options)
    request.check_spread(executor is not None)
    return _run(request, progress or (lambda rows: None), _signal_of(stop), executor)


def _run(
    request: ExtractRequest, progress: Callable[[int], None], stop: Callable[[], int], executor: Executor | None
) -> Summary:
    """Runs a job; of one that was done already, its statistics."""
    with prepared(request) as job:
        if request.in_parts or executor is not None:
            summary = extract_in_parts(job, progress, stop, executor)
        else:
            summary = run(job, progress, stop)
    if summary is None:
        with open_crops(job.output.path) as crops:
            return recomputed(crops).summary
    return summary


def _signal_of(stop: Event | None) -> Callable[[], int]:
    """What the engine asks for: the number of a signal that came, 0 for none."""
    return lambda: signal.SIGTERM if stop is not None and stop.is_set() else 0
