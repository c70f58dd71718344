"""Opens what a job pools: a file, an object that makes pyramids, or a model and its pictures."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from msroi_cli.core.backends.environment import default_threads
from msroi_cli.errors import UsageError
from msroi_cli.io.pyramid.base import Pyramid
from msroi_cli.io.pyramid.levels import LevelChoice
from msroi_cli.io.pyramid.open import open_pyramid
from msroi_cli.io.stream.streamed import StreamedPyramid
from msroi_cli.job.join.assignment import CANONICAL
from msroi_cli.job.request import ExtractRequest
from msroi_cli.model.onnx_pyramid import OnnxPyramid
from msroi_cli.model.opened import Means, open_model

# Of a job's memory, for pictures that wait for the model: the maps ahead of the pooling have half.
PICTURES_SHARE = 8


def opened(request: ExtractRequest) -> Pyramid:
    """The pyramid of a request; raises InputError or UsageError."""
    mixed = request.assign != CANONICAL
    if request.model is not None:
        return StreamedPyramid(_of_model(request), mixed)
    if isinstance(request.pyramid, str):
        return open_pyramid(request.pyramid, replace(request.levels, mixed=mixed))
    if request.levels != LevelChoice():
        raise UsageError("levels, strides, scales, group: expected for files, got them for an object")
    return StreamedPyramid(request.pyramid, mixed)


def _of_model(request: ExtractRequest) -> OnnxPyramid:
    if request.model is None or not isinstance(request.pyramid, str):
        raise TypeError("_of_model: expected the name of a model, and its options")
    means = Means(request.threads or default_threads(), request.memory // PICTURES_SHARE)
    return open_model(request.pyramid, request.model, means, strides_alone(request.levels))


def strides_alone(choice: LevelChoice) -> Sequence[tuple[float, float]] | None:
    """The strides of a choice of levels; raises UsageError for what else it says, which is of files."""
    if choice != LevelChoice(strides=choice.strides):
        raise UsageError("--levels, --scales, --group, --allow-external, --allow-fill: expected without a model")
    return choice.strides
