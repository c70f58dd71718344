"""The pyramids that an ONNX model makes of pictures."""

from __future__ import annotations

import hashlib
import json
import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from itertools import pairwise
from pathlib import Path
from typing import Any

from numpy.typing import NDArray

from msroi_cli.errors import ArgumentError, InputError, RunError, UsageError
from msroi_cli.io.features.layouts import Size, Tokens, check_fit, from_map, from_tokens
from msroi_cli.io.files.location import Source
from msroi_cli.io.files.picture import picture_size, read_picture
from msroi_cli.io.pyramid.geometry import Geometry
from msroi_cli.io.stream.protocol import PyramidLevel
from msroi_cli.model.candidates import blank, probe_size
from msroi_cli.model.pictures import ahead, broken_pictures
from msroi_cli.model.preprocessing import Preprocessing
from msroi_cli.model.session import OnnxModel
from msroi_cli.model.strides import measured_stride

# The bytes of an input of 1344 x 1344, where nothing is known of sizes.
TYPICAL_PICTURE = 3 * 1344 * 1344 * 4


@dataclass(frozen=True, slots=True)
class Outputs:
    """How the outputs of a model are levels.

    names: level name to the name of the tensor. layout: of tensors of rank 4, "chw" or "hwc". tokens: how those of rank
    3 lie on the picture. strides: (y, x) pairs in the order of the names; None: they are measured.
    """

    names: Mapping[str, str]
    layout: str = "chw"
    tokens: Tokens | None = None
    strides: Sequence[tuple[float, float]] | None = None

    def map(self, array: NDArray[Any], size: Size, where: str) -> NDArray[Any]:
        """The map (C, H, W), a view, of an output for an input of `size`; raises InputError."""
        if array.ndim == 3 and self.tokens is not None:
            return from_tokens(array, self.tokens, size, where)[0]
        if array.ndim != 4:
            hint = " (tokens: --patch N)" if array.ndim == 3 else ""
            raise InputError(f"{where}: expected (1, C, H, W), got {array.shape}{hint}")
        return from_map(array, self.layout, where)

    def measured(self, made: Sequence[NDArray[Any]], size: Size, where: str) -> Outputs:
        """The same with the number of tokens in front known, which is one for all pictures."""
        tokens = self.tokens
        for output in made:
            if output.ndim == 3 and tokens is not None:
                tokens = from_tokens(output, tokens, size, where)[1]
        return replace(self, tokens=tokens)

    def as_dict(self) -> dict[str, Any]:
        """As plain JSON values."""
        tokens = None if self.tokens is None else {"patch": self.tokens.patch, "prefix": self.tokens.prefix}
        return {"names": dict(self.names), "layout": self.layout, "tokens": tokens}


@dataclass(frozen=True, slots=True)
class Reading:
    """How pictures are read: threads beside the model, bytes of the pictures that wait for it.

    skip: leave out pictures that cannot be read, instead of raising InputError.
    """

    threads: int = 1
    memory: int = 128 << 20
    skip: bool = False


@dataclass(slots=True)
class OnnxPyramid:
    """A `Pyramid` of pictures by id. runs: how many pictures the model has been run on so far."""

    model: OnnxModel
    pictures: Mapping[str, Path]
    preprocessing: Preprocessing
    outputs: Outputs
    reading: Reading = field(default_factory=Reading)
    runs: int = 0
    box_space: str = "original"
    has_scale_factors: bool = True
    levels: Sequence[PyramidLevel] = field(init=False)
    _geometry: dict[str, Geometry] = field(init=False, default_factory=dict)
    _readable: dict[str, str] = field(init=False, default_factory=dict)

    def __post_init__(self) -> None:
        self.levels = self._measured()

    @property
    def image_ids(self) -> Sequence[str]:
        """The stems of the pictures."""
        return list(self.pictures)

    @property
    def name(self) -> str:
        """The name of the model's file."""
        return self.model.path.name

    @property
    def size(self) -> int:
        """The bytes of the model."""
        return self.model.source.size

    @property
    def fingerprint(self) -> str:
        """A digest of the model's fingerprint and of all that is done to pictures."""
        text = json.dumps([self.model.source.fingerprint, self.about()], sort_keys=True)
        return "sha256:" + hashlib.sha256(text.encode()).hexdigest()

    def about(self) -> dict[str, Any]:
        """How the maps are made, as plain JSON values."""
        source = self.model.source
        model = {"name": source.name, "size": source.size, "fingerprint": source.fingerprint}
        return {"model": model, "outputs": self.outputs.as_dict(), "preprocessing": self.preprocessing.as_dict()}

    @property
    def files(self) -> list[Path]:
        """The model, its files of weights, and the pictures."""
        return [*self.model.files, *self.pictures.values()]

    def inputs(self, ids: Sequence[str]) -> dict[str, Source]:
        """What stands for the content of some pictures."""
        return {"pictures": Source.of_files("pictures", [self.pictures[key] for key in ids])} if ids else {}

    def unusable(self, ids: Sequence[str]) -> dict[str, str]:
        """What is wrong with those of some pictures that are skipped, by id: each is read whole, if any are skipped."""
        return self.broken(ids) if self.reading.skip else {}

    def broken(self, ids: Sequence[str]) -> dict[str, str]:
        """What is wrong with those of some pictures that cannot be read, by id: each is read whole, once."""
        new = [key for key in ids if key not in self._readable]
        broken = broken_pictures({key: self.pictures[key] for key in new}, self.reading.threads)
        self._readable.update((key, broken.get(key, "")) for key in new)
        return {key: self._readable[key] for key in ids if self._readable.get(key)}

    def geometry(self, image_id: str) -> Geometry:
        """Where the pixels of a picture are in the model's input.

        Raises InputError for a picture that is broken, or of a size that the model does not take.
        """
        if image_id not in self._geometry:
            path = self.pictures[image_id]
            size = picture_size(path)
            try:
                geometry, made = self.preprocessing.geometry(size), self.preprocessing.input_size(size)
            except ArgumentError as error:
                raise InputError(f"{path}: {error}") from error
            self.model.check_size(made, str(path))
            if self.outputs.tokens is not None:
                self.outputs.tokens.check_size(made, str(path))
            self._geometry[image_id] = geometry
        return self._geometry[image_id]

    def maps(self, ids: Sequence[str]) -> Iterator[Mapping[str, NDArray[Any]]]:
        """Runs the model on one picture after another."""
        for image_id, picture in ahead(self._input, ids, self.reading.threads, self._held(ids)):
            path = self.pictures[image_id]
            made = self.model.run(picture, str(path))
            self.runs += 1
            yield self._checked(made, (picture.shape[3], picture.shape[2]), str(path))

    def _held(self, ids: Sequence[str]) -> int:
        """How many pictures may wait for the model: as many of the largest as the memory takes."""
        known = (self._geometry[image_id].input_size for image_id in ids if image_id in self._geometry)
        largest = max((3 * width * height * 4 for width, height in filter(None, known)), default=TYPICAL_PICTURE)
        return max(1, min(2 * self.reading.threads, int(self.reading.memory // largest)))

    def _input(self, image_id: str) -> NDArray[Any]:
        path = self.pictures[image_id]
        picture = read_picture(path)
        size = self.geometry(image_id).image_size
        if picture.size != size:
            was, now = (" x ".join(f"{side:g}" for side in sides or ()) for sides in (size, picture.size))
            raise RunError(f"{path}: expected a picture of {was}, as it was before, got {now}")
        return self.preprocessing.apply(picture)

    def _checked(self, made: Sequence[NDArray[Any]], size: Size, where: str) -> dict[str, NDArray[Any]]:
        """The maps by level name; raises InputError where one is not what the levels say."""
        maps = {}
        for level, output in zip(self.levels, made, strict=True):
            named = f"{where}: {level.name}"
            array = self.outputs.map(output, size, named)
            if len(array) != level.channels:
                raise InputError(f"{named}: expected {level.channels} channels as at first, got {len(array)}")
            check_fit((array.shape[2], array.shape[1]), _pair(level.stride), size, named)
            maps[level.name] = array
        return maps

    def _probed(self, multiple: int) -> tuple[Size, list[NDArray[Any]], str]:
        """What the model makes of a blank picture: of one that tells strides apart, else of its only size."""
        size, second = probe_size(self.model, None, multiple), self.preprocessing.constant_size()
        try:
            made = self.model.run(blank(self.model, size), str(self.model.path))
        except RunError:
            if second is None:
                raise
            size = probe_size(self.model, second)
            made = self.model.run(blank(self.model, size), str(self.model.path))
        return size, made, f"{self.model.path} (measured with a blank picture of {size[0]} x {size[1]})"

    def _measured(self) -> list[PyramidLevel]:
        """The levels, measured with one blank picture."""
        multiple = math.lcm(self.preprocessing.pad_to, self.outputs.tokens.patch if self.outputs.tokens else 1)
        size, made, where = self._probed(multiple)
        if self.outputs.tokens is not None and not any(output.ndim == 3 for output in made):
            raise UsageError(f"--patch: expected with an output of tokens (1, T, C), got {[o.shape for o in made]}")
        self.outputs = self.outputs.measured(made, size, where)
        levels = []
        for index, (name, output) in enumerate(zip(self.outputs.names, made, strict=True)):
            named = f"{where}: {name}"
            array = self.outputs.map(output, size, named)
            if self.outputs.strides is not None:
                stride: float | tuple[float, float] = self.outputs.strides[index]
            elif output.ndim == 3 and self.outputs.tokens is not None:
                stride = float(self.outputs.tokens.patch)
            else:
                stride = measured_stride((array.shape[2], array.shape[1]), size, named)
            check_fit((array.shape[2], array.shape[1]), _pair(stride), size, named)
            levels.append(PyramidLevel(name, stride, len(array), array.dtype.name))
        return _ascending(levels, str(self.model.path))


def _ascending(levels: list[PyramidLevel], where: str) -> list[PyramidLevel]:
    """The levels as they are; raises UsageError unless strides rise from one to the next."""
    strides = [_pair(level.stride) for level in levels]
    if any(max(before) >= min(after) for before, after in pairwise(strides)):
        listed = ", ".join(f"{level.name} {max(_pair(level.stride)):g}" for level in levels)
        raise UsageError(f"{where}: expected --outputs from the finest level to the coarsest, got strides {listed}")
    return levels


def _pair(stride: float | tuple[float, float]) -> tuple[float, float]:
    return stride if isinstance(stride, tuple) else (stride, stride)
