"""Virtual HDF5 datasets: the datasets that they are made of, and whether these give every value."""

from __future__ import annotations

import math
import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

import h5py
import numpy as np
from numpy.typing import NDArray

from msroi_cli.errors import InputError
from msroi_cli.io.hdf5.links import Found, InputFile, open_object

# A virtual dataset of more parts, once their edges are drawn through it, is not checked but refused.
MOST_CELLS = 10_000_000

# HDF5 looks for files in these folders before any other.
PREFIXES = ("HDF5_VDS_PREFIX", "HDF5_EXT_PREFIX")

Bounds = tuple[tuple[int, ...], tuple[int, ...]]


class Part(NamedTuple):
    """A block of a virtual dataset, and the dataset that gives its values; bounds are (first, last) corners.

    source: where the values lie in that dataset; None: they are all of it.
    """

    file: str
    dataset: str
    block: Bounds
    source: Bounds | None

    def refusal(self, shape: tuple[int, ...]) -> str | None:
        """What is expected of a dataset with the values, if one of `shape` is not like that."""
        if self.source is None:
            sides = tuple(high - low + 1 for low, high in zip(*self.block, strict=True))
            return None if _without_ones(shape) == _without_ones(sides) else f"{sides} values"
        last = self.source[1]
        if len(shape) == len(last) and all(high < side for high, side in zip(last, shape, strict=True)):
            return None
        return f"at least {tuple(high + 1 for high in last)} values"


def _without_ones(shape: tuple[int, ...]) -> tuple[int, ...]:
    return tuple(side for side in shape if side != 1)


def parts_of(plist: Any, where: str) -> list[Part]:
    """The parts of a virtual dataset; raises InputError for those that are not blocks, and what h5py raises."""
    parts = []
    for index in range(plist.get_virtual_count()):
        name, dataset = plist.get_virtual_filename(index), plist.get_virtual_dsetname(index)
        if "%" in name or "%" in dataset:
            raise InputError(f"{where}: expected a virtual dataset of named files, got the pattern {name}:{dataset}")
        space, source = plist.get_virtual_vspace(index), plist.get_virtual_srcspace(index)
        block = space.get_select_bounds()
        if math.prod(high - low + 1 for low, high in zip(*block, strict=True)) != space.get_select_npoints():
            raise InputError(f"{where}: expected a virtual dataset of blocks, got a part of {name} with gaps")
        # A selection of everything knows no shape, and has no bounds.
        whole = source.get_select_type() == h5py.h5s.SEL_ALL
        parts.append(Part(name, dataset, block, None if whole else source.get_select_bounds()))
    return parts


def check_cover(shape: Sequence[int], parts: Sequence[Part], where: str) -> None:
    """Raises InputError unless the blocks cover every value of a dataset of this shape."""
    edges = [
        np.unique([0, side, *(part.block[0][axis] for part in parts), *(part.block[1][axis] + 1 for part in parts)])
        for axis, side in enumerate(shape)
    ]
    if math.prod(map(len, edges)) > MOST_CELLS:
        raise InputError(f"{where}: expected a virtual dataset of fewer parts, got {len(parts)}")
    covered: NDArray[np.bool_] = np.zeros([len(lines) - 1 for lines in edges], bool)
    for part in parts:
        starts = [np.searchsorted(lines, low) for lines, low in zip(edges, part.block[0], strict=True)]
        stops = [np.searchsorted(lines, high + 1) for lines, high in zip(edges, part.block[1], strict=True)]
        covered[tuple(map(slice, starts, stops))] = True
    inside = tuple(slice(0, np.searchsorted(lines, side)) for lines, side in zip(edges, shape, strict=True))
    if not covered[inside].all():
        raise InputError(
            f"{where}: expected sources of every value of a virtual dataset; --allow-fill fills the others"
        )


def open_source(part: Part, file: InputFile, where: str) -> Found:
    """The dataset of a part; raises InputError if it is not there, may not be read or has another shape."""
    name = f"{where}: {part.file}:{part.dataset}"
    set_prefixes = [variable for variable in PREFIXES if os.environ.get(variable)]
    if set_prefixes:
        raise InputError(f"{where}: expected {set_prefixes[0]} to be unset, as virtual datasets are looked for there")
    source = file if part.file == "." else file.linked(part.file, where)
    found = open_object(source.file.id, os.fsencode(part.dataset), source, name)
    if found is None or not isinstance(found.object, h5py.h5d.DatasetID):
        raise InputError(f"{name}: expected a dataset that a virtual one is made of, got none of that name")
    if found.file is not source and not file.access.external:
        raise InputError(f"{name}: expected a dataset in that file, got a link to {found.file.path}")
    shape = found.object.shape or ()
    expected = part.refusal(shape)
    if expected:
        raise InputError(f"{name}: expected {expected}, got {shape}")
    return found


def is_missing(part: Part, file: InputFile) -> bool:
    """Whether the file of a part does not exist; raises InputError where HDF5 would take another of that name."""
    if part.file == "." or (file.path.parent / part.file).exists():
        return False
    if Path(part.file).exists():
        raise InputError(f"{file.path}: expected {part.file} beside it, got a file of that name in the current folder")
    return True
