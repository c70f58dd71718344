"""Locates the levels of one image in an HDF5 file with the fewest calls to HDF5: of many files that are alike.

The slow twin is `open_hdf5_pyramid`, which also says what is wrong with a file; here anything unusual gives None.
"""

from __future__ import annotations

import os
import stat
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import h5py
import numpy as np

from msroi_cli.errors import InputError
from msroi_cli.io.features.layouts import CHANNELS_FIRST, channels_first, layout_from
from msroi_cli.io.hdf5.errors import H5PY_ERRORS
from msroi_cli.io.hdf5.links import WITHIN_ONE_FILE
from msroi_cli.io.hdf5.structure.heaps import check_heap_of, check_heaps
from msroi_cli.io.pyramid.hdf5.batched import BatchedHdf5Pyramid
from msroi_cli.io.pyramid.hdf5.stencils import LocatedImage, Pair, Stencil, Stencils
from msroi_cli.io.pyramid.levels import Level, LevelChoice, pair_of

BESIDE = (b"image_ids", b"scale_factors", b"image_sizes", b"offsets")
"""Datasets that a file of one image does not have."""

UNUSUAL = (b"offset", b"layout")
"""Attributes of a file that are looked at in the slow way."""

NUMBERS = (h5py.h5t.INTEGER, h5py.h5t.FLOAT)
LARGEST = 64
"""Bytes of an attribute of one or two numbers, or of a short text, at most."""

Place = tuple[int, tuple[int, int, int], str]
"""The offset of a level, its shape as it is stored, and its layout."""


@dataclass(frozen=True, slots=True)
class QuickLocator:
    """Locates images like a sample: its levels, channels and type.

    own_scales: whether files give their strides. members: the names at the top of a file, among which other levels may
    be; None where the user named the levels.
    """

    levels: tuple[Level, ...]
    channels: tuple[int, ...]
    kind: h5py.h5t.TypeID
    own_scales: bool
    members: frozenset[bytes] | None
    itemsize: int
    stencils: Stencils = field(default_factory=Stencils)

    @classmethod
    def like(cls, sample: object, choice: LevelChoice) -> QuickLocator | None:
        """For files like `sample`; None if it is no HDF5 file of one image, stored as it is in memory."""
        if not isinstance(sample, BatchedHdf5Pyramid) or not sample.named_by_file or sample.location.group != "/":
            return None
        kind = sample.type_of_levels()
        if not kind.equal(_native(sample.dtype)):
            return None
        own_scales = choice.strides is None and choice.scales is None
        members = frozenset(h5py.h5g.open(sample.root.id, b"/")) if choice.only else None
        return cls(sample.levels, sample.level_channels, kind, own_scales, members, sample.dtype.itemsize)

    def locate(self, path: str) -> LocatedImage | None:
        """Where the image of a file lies; None for what the slow way should look at."""
        try:
            descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK)
        except OSError:
            return None
        try:
            status = os.fstat(descriptor)
            if not stat.S_ISREG(status.st_mode):
                return None
            size = status.st_size
            return self.stencils.locate(descriptor, size) or self._opened(path, descriptor, size)
        except (*H5PY_ERRORS, InputError):
            return None
        finally:
            os.close(descriptor)

    def _opened(self, path: str, descriptor: int, size: int) -> LocatedImage | None:
        """The same by HDF5; what it finds is remembered for other files that have the same bytes beside their maps."""
        file = h5py.h5f.open(os.fsencode(path), h5py.h5f.ACC_RDONLY)
        try:
            found = self._located(file, Path(path))
            if found is not None and self.stencils.wants(size):
                pairs = {"factor": _attribute(file, b"scale_factor"), "size": _attribute(file, b"image_size")}
                stencil = Stencil.of(descriptor, size, found, self.itemsize, pairs)
                if stencil is not None:
                    self.stencils.add(size, stencil)
            return found
        finally:
            file.close()

    def _located(self, file: h5py.h5f.FileID, path: Path) -> LocatedImage | None:
        root = h5py.h5g.open(file, b"/")
        links = root.links
        if file.get_create_plist().get_userblock() or any(links.exists(name) for name in BESIDE):
            return None
        if any(h5py.h5a.exists(file, name) for name in UNUSUAL):
            return None
        if self.members is not None and not self.members.issuperset(root):
            return None
        if self.own_scales and (h5py.h5a.exists(file, b"stride") or h5py.h5a.exists(file, b"spatial_scale")):
            return None
        found = [self._level(file, path, *level) for level in zip(self.levels, self.channels, strict=True)]
        levels = [one for one in found if one is not None]
        if len(levels) < len(found):
            return None
        offsets, shapes, layouts = zip(*levels, strict=True)
        factor, size = (_pair(_attribute(file, name)) for name in (b"scale_factor", b"image_size"))
        return LocatedImage(offsets, shapes, layouts, factor, size)

    def _level(self, file: h5py.h5f.FileID, path: Path, level: Level, channels: int) -> Place | None:
        """Where a level is; None if it is not like the sample's, or not contiguous in this file."""
        dataset = h5py.h5o.open(file, os.fsencode(level.name), WITHIN_ONE_FILE)
        offset = dataset.get_offset()
        if offset is None:
            return None
        shape = dataset.shape[1:] if len(dataset.shape) == 4 and dataset.shape[0] == 1 else dataset.shape
        layout = _layout(dataset, path)
        if len(shape) != 3 or 0 in shape or not dataset.get_type().equal(self.kind):
            return None
        if channels_first(shape, layout)[0] != channels or (self.own_scales and not _has_scale(dataset, level.scale)):
            return None
        return offset, shape, layout


def _native(dtype: np.dtype[Any]) -> h5py.h5t.TypeID:
    return h5py.h5t.py_create(dtype)


def _attribute(item: h5py.h5g.GroupID | h5py.h5d.DatasetID, name: bytes) -> Any:
    """An attribute of plain numbers; None if there is none."""
    if not h5py.h5a.exists(item, name):
        return None
    attribute = h5py.h5a.open(item, name)
    if attribute.get_type().get_class() not in NUMBERS or attribute.get_storage_size() > LARGEST:
        raise ValueError("expected one or two numbers")
    values: np.ndarray[Any, Any] = np.empty(attribute.shape, attribute.dtype)
    attribute.read(values)
    return values


def _layout(dataset: h5py.h5d.DatasetID, path: Path) -> str:
    """The layout that a dataset of the file at `path` states; raises InputError, or ValueError for no short text."""
    if not h5py.h5a.exists(dataset, b"layout"):
        return CHANNELS_FIRST
    attribute = h5py.h5a.open(dataset, b"layout")
    kind = attribute.get_type()
    if kind.get_class() != h5py.h5t.STRING or attribute.get_storage_size() > LARGEST:
        raise ValueError("expected a short text")
    if kind.is_variable_str() and not check_heap_of(path, h5py.h5o.get_info(dataset).addr, b"layout", set()):
        check_heaps(path)
    return layout_from(h5py.Dataset(dataset).attrs["layout"], "")


def _has_scale(dataset: h5py.h5d.DatasetID, scale: Pair) -> bool:
    """Whether the dataset has a stride, and no spatial scale, and it is the one expected."""
    stride = _attribute(dataset, b"stride")
    if stride is None or stride.dtype.kind not in "fiu" or h5py.h5a.exists(dataset, b"spatial_scale"):
        return False
    steps = stride.ravel().tolist()
    return len(steps) in (1, 2) and all(
        abs(step * side - 1) <= 1e-6 for step, side in zip((steps[0], steps[-1]), scale, strict=True)
    )


def _pair(value: Any) -> Pair | None:
    return None if value is None else pair_of("", value)
