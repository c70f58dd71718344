"""What the user asked for, as typed and not yet looked up in any file."""

from __future__ import annotations

import hashlib
import json
import math
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple, TypeVar

from msroi_cli.errors import ArgumentError
from msroi_cli.io.boxes.open import BoxFileOptions
from msroi_cli.io.pyramid.levels import LevelChoice
from msroi_cli.job.shards import Shard

if TYPE_CHECKING:
    from msroi_cli.io.stream.protocol import Pyramid
    from msroi_cli.model.options import ModelOptions

# An attribute of HDF5 holds 64 KiB.
RECORDED_IMAGES = 100


Options = TypeVar("Options")


def taken(kind: type[Options], given: dict[str, Any]) -> Options:
    """Removes the fields of the class `kind` from `given` and makes one of them."""
    return kind(**{name: given.pop(name) for name in kind.__annotations__ if name in given})


class PoolOptions(NamedTuple):
    """The pooling options; None takes the value of the preset `compat`."""

    output_size: tuple[int, int] = (7, 7)
    sampling_ratio: int | None = None
    compat: str = "lucid"
    aligned: bool | None = None
    canonical_level: int | None = None
    canonical_scale: float | None = None


@dataclass(frozen=True, slots=True)
class BoxChoice:
    """Which boxes of a file are used; None: all.

    min_score: the lowest score. categories: ids, or names where the file has them. images: ids. top: how many of an
    image, those with the highest scores. min_size: the smallest sqrt(w * h), input pixels.
    """

    min_score: float | None = None
    categories: tuple[int | str, ...] | None = None
    images: tuple[str, ...] | None = None
    top: int | None = None
    min_size: float | None = None

    def __post_init__(self) -> None:
        """Raises ArgumentError for numbers that choose nothing."""
        for name, value in (("min_score", self.min_score), ("min_size", self.min_size)):
            if value is not None and not math.isfinite(value):
                raise ArgumentError(f"{name}: expected a finite number, got {value!r}")
        if self.min_size is not None and self.min_size < 0:
            raise ArgumentError(f"min_size: expected 0 or more, got {self.min_size!r}")
        if self.top is not None and self.top < 1:
            raise ArgumentError(f"top: expected 1 or more, got {self.top!r}")

    def as_dict(self) -> dict[str, Any]:
        """What is chosen by, as plain JSON values; of many images their number and a digest."""
        given = {name: getattr(self, name) for name in self.__dataclass_fields__}
        found = {name: value for name, value in given.items() if value is not None}
        if "categories" in found:
            found["categories"] = list(found["categories"])
        if "images" in found:
            found["images"] = _recorded(found["images"])
        return found


def _recorded(images: tuple[str, ...]) -> list[str] | dict[str, Any]:
    if len(images) <= RECORDED_IMAGES:
        return list(images)
    text = json.dumps(sorted(images))
    return {"count": len(images), "digest": "sha256:" + hashlib.sha256(text.encode()).hexdigest()}


class BoxOptions(NamedTuple):
    """How the boxes of a file are read, and what becomes of those that cannot be pooled.

    columns and coco_images: as in BoxFileOptions. choice: which boxes are used.
    image_key: "index", "id" or "file_name"; None takes numbers for indices and names for ids where they mean one image.
    """

    box_format: str | None = None
    box_space: str | None = None
    normalized: bool = False
    image_key: str | None = None
    on_bad_box: str = "error"
    columns: Mapping[str, str] = {}
    coco_images: str | None = None
    on_unknown_image: str = "error"
    choice: BoxChoice = BoxChoice()

    @property
    def file(self) -> BoxFileOptions:
        """What concerns the reading of the file."""
        return BoxFileOptions(self.columns, self.coco_images)


class ExtractRequest(NamedTuple):
    """One `msroi extract`.

    pyramid: the name of a file, or an object that makes pyramids. model: how the file `pyramid`, a model, makes them.
    boxes: the name of a file, or an object as in `io.boxes.objects`. compression: "gzip" or "lzf", and the level
    of gzip. memory: bytes for work under way. assign: "canonical", "all" or the name of a level.

    reduce: "mean" or "max" for vectors instead of crops. order: "input" or "image", of the rows. shard: makes `out` a
    folder, and writes the part of this shard. workers: processes. scheduler: of a Dask cluster instead, its address or
    file. shards: how many the workers are given; None: one a worker. on_nonfinite: "warn" or "error", of crops with NaN
    or infinities. strict: warnings about the inputs are errors. dry_run: nothing is to be pooled.
    """

    pyramid: str | Pyramid
    boxes: Any
    out: Path
    pool: PoolOptions = PoolOptions()
    box: BoxOptions = BoxOptions()
    levels: LevelChoice = LevelChoice()
    dtype: str | None = None
    threads: int | None = None
    compression: tuple[str, int] | None = None
    memory: int = 1 << 30
    resume: bool = False
    overwrite: bool = False
    reduce: str | None = None
    order: str = "input"
    shard: Shard | None = None
    workers: int = 1
    scheduler: str | None = None
    shards: int | None = None
    on_nonfinite: str = "warn"
    model: ModelOptions | None = None
    assign: str = "canonical"
    strict: bool = False
    dry_run: bool = False

    @property
    def every_image(self) -> bool:
        """Whether all images that have boxes are looked at before the work begins, not only the first."""
        return self.strict or self.dry_run

    @property
    def in_parts(self) -> bool:
        """Whether workers make the output."""
        return self.workers > 1 or self.scheduler is not None

    def check_spread(self, executor: bool = False) -> None:
        """Raises ArgumentError for workers that do not fit together; executor: whether there is one."""
        named = {"workers": self.workers > 1, "scheduler": self.scheduler is not None, "executor": executor}
        given = [name for name, there in named.items() if there]
        if len(given) > 1:
            raise ArgumentError(f"{given[0]}: expected one of workers, scheduler and executor, got {given[1]} too")
        if given and self.shard is not None:
            raise ArgumentError(f"{given[0]}: expected without shard, got both")
        if self.shards is not None and not given:
            raise ArgumentError("shards: expected with two or more workers, or a scheduler, got neither")
        if given and not isinstance(self.pyramid, str):
            raise ArgumentError(f"{given[0]}: expected a pyramid in files, which every worker can open, got an object")
        if self.shards is not None:
            Shard(self.shards, self.shards)

    @property
    def files(self) -> list[str]:
        """The inputs that are files."""
        return [name for name in (self.pyramid, self.boxes, self.box.coco_images) if isinstance(name, str)]
