"""Pyramids in HDF5: batched, one dataset a level, or per image, one group an image. Read one image at a time."""

from __future__ import annotations

from itertools import islice

import h5py
import numpy as np
from numpy.typing import NDArray

from msroi_cli.errors import InputError
from msroi_cli.io.hdf5 import attribute, dtype_of, member, open_dataset, open_group, read, texts
from msroi_cli.io.location import Location
from msroi_cli.io.maps import MapSource
from msroi_cli.io.pyramid import (
    FLOATS,
    LevelChoice,
    Pyramid,
    check_map,
    finest_first,
    level_scales,
    pair_of,
    scale_of,
)
from msroi_cli.io.storage import OpenFile, Storage

EXPECTED = "a pyramid: float datasets (N, C, H, W), or one group per image with datasets (C, H, W)"
MEMBERS_LOOKED_AT = 64


def open_hdf5_pyramid(location: Location, choice: LevelChoice) -> Pyramid:
    """Opens a pyramid and finds out its layout; raises InputError or UsageError."""
    file = OpenFile(open_group(location, EXPECTED))
    try:
        batched = _level_shapes(file.root, location, choice, ranks=(4,))
        if batched:
            return BatchedHdf5Pyramid(file, location, batched, choice)
        return PerImageHdf5Pyramid(file, location, choice)
    except BaseException:
        file.close()
        raise


def _level_shapes(
    group: h5py.Group, location: Location, choice: LevelChoice, ranks: tuple[int, ...], *inside: str
) -> dict[str, tuple[int, ...]]:
    """The shapes of the level datasets in a group: those of the user's names, or all float ones of the right rank."""
    if choice.names is not None:
        found = {name: member(group, name, location.at(*inside, name)) for name in choice.names}
        return {name: item.shape for name, item in found.items() if isinstance(item, h5py.Dataset)}
    # Real level sets are a handful of datasets; a group with more members than that holds images.
    shapes = {}
    for name in islice(group, MEMBERS_LOOKED_AT):
        where = location.at(*inside, name)
        item = member(group, name, where)
        if isinstance(item, h5py.Dataset) and len(item.shape or ()) in ranks and dtype_of(item, where).name in FLOATS:
            shapes[name] = item.shape
    return shapes


def _order(shapes: dict[str, tuple[int, ...]], choice: LevelChoice, where: str) -> list[str]:
    if choice.names is None:
        return finest_first(shapes)
    missing = [name for name in choice.names if name not in shapes]
    if missing:
        raise InputError(f"{where}: expected a dataset {missing[0]}, got none of that name")
    return list(choice.names)


class _Hdf5Pyramid(Pyramid):
    """What both layouts share: the file, the levels and their scales."""

    def __init__(self, file: OpenFile, location: Location) -> None:
        self.root = file.root
        self.location = location
        self._file = file

    def close(self) -> None:
        """Closes the file."""
        self._file.close()

    def _set_levels(self, group: h5py.Group, names: list[str], choice: LevelChoice, *inside: str) -> None:
        """Takes channels, dtype and scales from the first image's levels."""
        first = group[names[0]]
        check_map(self.location.at(*inside, names[0]), first.shape, first.dtype)
        self.channels = first.shape[-3]
        self.dtype = first.dtype
        own = []
        for name in names:
            where = self.location.at(*inside, name)
            dataset = group[name]
            check_map(where, dataset.shape, dtype_of(dataset, where), (self.channels, self.dtype))
            own.append(scale_of(where, attribute(dataset, "stride", where), attribute(dataset, "spatial_scale", where)))
        where_from = Location(self.location.path, self.location.group.rstrip("/") + "".join("/" + i for i in inside))
        self.levels = level_scales(names, own, choice, where_from)


class BatchedHdf5Pyramid(_Hdf5Pyramid):
    """One dataset (N, C, H, W) a level, optional `image_ids` (N,), `scale_factors` and `image_sizes` (N, 2)."""

    layout = "batched"

    def __init__(
        self, file: OpenFile, location: Location, shapes: dict[str, tuple[int, ...]], choice: LevelChoice
    ) -> None:
        super().__init__(file, location)
        root = file.root
        names = _order(shapes, choice, str(location))
        self._set_levels(root, names, choice)
        self._storage = [Storage(root[name].id, file) for name in names]
        count = self._storage[0].shape[0]
        for name, dataset in zip(names, self._storage, strict=True):
            if len(dataset.shape) != 4 or dataset.shape[0] != count:
                raise InputError(
                    f"{location.at(name)}: expected ({count}, C, H, W) like {names[0]}, got {dataset.shape}"
                )
        ids = member(root, "image_ids", location.at("image_ids"))
        self.image_ids = [str(i) for i in range(count)] if ids is None else texts(ids, location.at("image_ids"))
        if len(self.image_ids) != count:
            raise InputError(f"{location.at('image_ids')}: expected {count} ids, got {len(self.image_ids)}")
        self._factors = self._pairs("scale_factors", count)
        self._sizes = self._pairs("image_sizes", count)

    def _pairs(self, name: str, count: int) -> NDArray[np.float64] | None:
        where = self.location.at(name)
        dataset = member(self.root, name, where)
        if dataset is None:
            return None
        values = read(dataset, where)
        if values.shape != (count, 2) or values.dtype.kind not in "fiu":
            raise InputError(f"{where}: expected ({count}, 2) numbers, got {values.shape} {values.dtype}")
        if not (np.isfinite(values).all() and (values > 0).all()):
            raise InputError(f"{where}: expected numbers above 0, got others")
        return values.astype(np.float64)

    def source(self, image: int, level: int) -> MapSource:
        """One entry of a level's dataset."""
        return self._storage[level].map(image, self.location.at(self.levels[level].name))

    def scale_factor(self, image: int) -> tuple[float, float] | None:
        """The image's row of `scale_factors`."""
        return None if self._factors is None else (self._factors[image, 0], self._factors[image, 1])

    def image_size(self, image: int) -> tuple[float, float] | None:
        """The image's row of `image_sizes`."""
        return None if self._sizes is None else (self._sizes[image, 0], self._sizes[image, 1])


class PerImageHdf5Pyramid(_Hdf5Pyramid):
    """One group an image, named by its id, with one dataset (C, H, W) or (1, C, H, W) a level.

    Group attributes, both optional: `scale_factor` (sx, sy) and `image_size` (width, height).
    """

    layout = "per image"

    def __init__(self, file: OpenFile, location: Location, choice: LevelChoice) -> None:
        super().__init__(file, location)
        root = file.root
        self.image_ids = list(root)
        for index, name in enumerate(self.image_ids):
            group = member(root, name, location.at(name))
            if isinstance(group, h5py.Group):
                shapes = _level_shapes(group, location, choice, (3, 4), name)
                if shapes:
                    names = _order(shapes, choice, location.at(name))
                    self._set_levels(group, names, choice, name)
                    self.sample_image = index
                    return
        came = ", ".join(islice(self.image_ids, 5)) or "an empty group"
        wanted = (
            EXPECTED if choice.names is None else f"datasets {', '.join(choice.names)}, at the top or in each group"
        )
        raise InputError(f"{location}: expected {wanted}, got {came}")

    def _group(self, image: int) -> h5py.Group:
        name = self.image_ids[image]
        group = member(self.root, name, self.location.at(name))
        if not isinstance(group, h5py.Group):
            raise InputError(f"{self.location.at(name)}: expected a group with the levels of an image, got a dataset")
        return group

    def source(self, image: int, level: int) -> MapSource:
        """A level's dataset in the image's group, opened by its path alone: opening is what tiny images cost."""
        inside = f"{self.image_ids[image]}/{self.levels[level].name}"
        where = self.location.at(inside)
        dataset = open_dataset(self.root, inside, where)
        check_map(where, dataset.shape, dataset.dtype, (self.channels, self.dtype))
        if len(dataset.shape) == 4 and dataset.shape[0] != 1:
            raise InputError(f"{where}: expected (1, {self.channels}, H, W), got {dataset.shape}")
        return Storage(dataset, self._file).map(0, where)

    def scale_factor(self, image: int) -> tuple[float, float] | None:
        """The group's `scale_factor`."""
        return self._pair(image, "scale_factor")

    def image_size(self, image: int) -> tuple[float, float] | None:
        """The group's `image_size`."""
        return self._pair(image, "image_size")

    def _pair(self, image: int, name: str) -> tuple[float, float] | None:
        where = self.location.at(self.image_ids[image])
        value = attribute(self._group(image), name, where)
        return None if value is None else pair_of(f"{where}: {name}", value)
