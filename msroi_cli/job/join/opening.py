"""Opens what boxes are joined with: a file, an object that makes pyramids, or a model and its pictures."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, NamedTuple

from msroi_cli.core.backends.environment import default_threads
from msroi_cli.errors import UsageError
from msroi_cli.io.pyramid.base import Pyramid as OpenPyramid
from msroi_cli.io.pyramid.levels import LevelChoice
from msroi_cli.io.pyramid.open import open_pyramid
from msroi_cli.job.join.assignment import CANONICAL

if TYPE_CHECKING:
    from msroi_cli.io.stream.protocol import Pyramid
    from msroi_cli.model.options import ModelOptions

# Of a job's memory, for pictures that wait for the model: the maps ahead of the pooling have half.
PICTURES_SHARE = 8


class PyramidRequest(NamedTuple):
    """The pyramid of a command: the name of a file, or an object that makes pyramids.

    model: how the file `pyramid`, a model, makes them of pictures. assign: "canonical", "all" or the name of a level.
    threads: None is one per processor. memory: bytes of the whole job.
    """

    pyramid: str | Pyramid
    levels: LevelChoice
    model: ModelOptions | None = None
    assign: str = CANONICAL
    threads: int | None = None
    memory: int = 1 << 30

    @property
    def of_model(self) -> bool:
        """Whether the file is a model."""
        return isinstance(self.pyramid, str) and (self.model is not None or self.pyramid.endswith(".onnx"))

    @property
    def choice(self) -> LevelChoice:
        """The levels; those that are not assigned by size may differ in channels."""
        return self.levels._replace(mixed=self.assign != CANONICAL)


def opened(request: PyramidRequest) -> OpenPyramid:
    """The pyramid of a request; raises InputError or UsageError."""
    if not isinstance(request.pyramid, str):
        if request.model is not None:
            raise UsageError("pictures: expected with the file of a model, got them with an object")
        if request.levels != LevelChoice():
            raise UsageError("levels, strides, scales, group: expected for files, got them for an object")
        return _streamed(request.pyramid, request.choice.mixed)
    if request.model is None:
        if request.of_model:
            raise UsageError(f"{request.pyramid}: expected --pictures PICTURES with a model, got none")
        return open_pyramid(request.pyramid, request.choice)
    from msroi_cli.model.opened import Means, open_model

    means = Means(request.threads or default_threads(), request.memory // PICTURES_SHARE)
    model = open_model(request.pyramid, request.model, means, strides_alone(request.levels))
    return _streamed(model, request.choice.mixed)


def _streamed(pyramid: Pyramid, mixed: bool) -> OpenPyramid:
    from msroi_cli.io.stream.streamed import StreamedPyramid

    return StreamedPyramid(pyramid, mixed)


def strides_alone(choice: LevelChoice) -> Sequence[tuple[float, float]] | None:
    """The strides of a choice of levels; raises UsageError for what else it says, which is of files."""
    if choice != LevelChoice(strides=choice.strides):
        raise UsageError("--levels, --scales, --group, --allow-external, --allow-fill: expected without a model")
    return choice.strides
