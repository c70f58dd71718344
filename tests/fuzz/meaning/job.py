"""A job as a document: what its files state, literally, so that statements may also contradict each other."""

from __future__ import annotations

import copy
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

Pair = tuple[float, float]

HDF5_LAYOUTS = ("grouped", "nested", "batched", "one")
ARRAY_LAYOUTS = ("npz", "npy", "safetensors", "json")
SEVERAL_LAYOUTS = ("files", "grouped files", "batched files")
LAYOUTS = HDF5_LAYOUTS + ARRAY_LAYOUTS + SEVERAL_LAYOUTS
WAYS = ("file", "stdin", "parts")
# Each image has a group or a file of its own, which states what holds for it.
OWN_STATEMENTS = ("grouped", "nested", "files", "grouped files")
# Images lie in arrays (N, C, H, W); what holds for each lies beside them.
BESIDE = ("batched", *ARRAY_LAYOUTS)


@dataclass
class Image:
    """maps: (C, H, W) by level. strides: (y, x) by level. factor, offset, size: (x, y) or None where not stated."""

    id: str
    maps: dict[str, np.ndarray]
    strides: dict[str, Pair]
    factor: Pair | None = None
    offset: Pair | None = None
    size: Pair | None = None

    def input_size(self) -> Pair:
        """(width, height) that the finest level spans, in input pixels."""
        name = next(iter(self.maps))
        height, width = self.maps[name].shape[1:]
        return width * self.strides[name][1], height * self.strides[name][0]


@dataclass
class Pyramid:
    """The images in the order in which they are written.

    layout: one of LAYOUTS. stated: where strides are: "stride" or "scale" (of a level), "group", "file" or "option".
    ids: whether a batched layout states image ids. storage: options of HDF5 datasets. lead: a first axis of 1.
    outer: whether a nested layout states factors outside the group of the levels. last: which datasets of HDF5, and
    which levels of JSON, are channels last: "", "some" or "all".
    """

    layout: str
    images: list[Image]
    stated: str = "stride"
    ids: bool = True
    storage: dict[str, Any] = field(default_factory=dict)
    lead: bool = False
    outer: bool = False
    last: str = ""

    @property
    def levels(self) -> list[str]:
        """The names of the levels, finest first."""
        return list(self.images[0].maps)


@dataclass
class Row:
    """A box. key: what the file says of its image. numbers: the four that the file has. image: whose box it is.

    side: sqrt(w * h), input pixels.
    """

    key: int | str
    numbers: list[float]
    score: float
    category: int
    image: int
    side: float = 0.0


@dataclass
class Boxes:
    """format: one of FORMATS of `write.boxes`. key: "index", "id" or "file_name". columns: score, category_id.

    sizes: (width, height) by id that a COCO data set states. names: file names by id. gzipped: of texts.
    """

    format: str
    rows: list[Row]
    key: str
    box_format: str = "xyxy"
    columns: bool = True
    sizes: dict[str, Pair] = field(default_factory=dict)
    names: dict[str, str] = field(default_factory=dict)
    listed: list[str] = field(default_factory=list)
    gzipped: bool = False


@dataclass
class Job:
    """options: of the command line, by name. edits: what is done to the files once they are written.

    way: how it is run, one of WAYS: with the boxes in a file, or on standard input, or part by part.
    """

    pyramid: Pyramid
    boxes: Boxes
    options: dict[str, str] = field(default_factory=dict)
    way: str = "file"
    edits: list[Callable[[Path], None]] = field(default_factory=list)

    def copy(self) -> Job:
        """A job of its own."""
        return copy.deepcopy(self)

    def arguments(self) -> list[str]:
        """The options as words of a command line."""
        words = [(name, value) if value else (name,) for name, value in self.options.items()]
        return [word for pair in words for word in pair]

    def used(self) -> list[int]:
        """The images that have boxes which the options choose, ascending."""
        return sorted({row.image for row in self.boxes.rows if self._chooses(row)})

    def _chooses(self, row: Row) -> bool:
        options = self.options
        return (
            row.score >= float(options.get("--min-score", 0))
            and row.side >= float(options.get("--min-size", 0))
            and str(row.category) == options.get("--categories", str(row.category))
            and self.pyramid.images[row.image].id == options.get("--images", self.pyramid.images[row.image].id)
        )
