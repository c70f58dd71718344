"""Pyramids in HDF5: batched, one dataset a level, or per image, one group an image. Read one image at a time."""

from __future__ import annotations

import threading
from collections.abc import Sequence
from typing import Any, NoReturn

import h5py
import numpy as np
from numpy.typing import NDArray

from msroi_cli.errors import InputError
from msroi_cli.io.features.dataset import FeatureDataset, OpenFile
from msroi_cli.io.features.source import MapSource
from msroi_cli.io.files.location import Location
from msroi_cli.io.hdf5.describe import dataset_storage
from msroi_cli.io.hdf5.read import (
    attribute,
    dataset_in,
    dtype_of,
    guarded,
    member,
    names,
    open_dataset,
    open_group,
    read,
    texts,
)
from msroi_cli.io.pyramid.base import BatchedPyramid, Pyramid
from msroi_cli.io.pyramid.checks import FLOATS, check_map, different_ids, pairs_beside
from msroi_cli.io.pyramid.levels import LevelChoice, finest_first, level_scales, pair_of, scale_of
from msroi_cli.io.pyramid.order import natural_order

EXPECTED = "a pyramid: float datasets (N, C, H, W), or one group per image with datasets (C, H, W)"

# A pyramid has a handful of levels: a group with more members than this holds images.
MEMBERS_SAMPLED = 32

# The levels are found from the first images that have any, this many of them.
IMAGES_SAMPLED = 8


def open_hdf5_pyramid(location: Location, choice: LevelChoice) -> Pyramid:
    """Opens a pyramid and finds out its layout; raises InputError or UsageError."""
    root = open_group(location, EXPECTED)
    try:
        file = OpenFile(root)
    except BaseException:
        root.file.close()
        raise
    try:
        batched = _level_datasets(file.root, location, choice, ranks=(4,))
        if batched:
            return BatchedHdf5Pyramid(file, location, batched, choice)
        return PerImageHdf5Pyramid(file, location, choice)
    except BaseException:
        file.close()
        raise


def _level_datasets(
    group: h5py.Group, location: Location, choice: LevelChoice, ranks: tuple[int, ...], *inside: str
) -> dict[str, h5py.Dataset]:
    """The level datasets in a group, finest first: those of the user's names, or all float ones of the right rank.

    Empty if the group holds none of the user's names at all.
    """
    found = {}
    for name in choice.names or names(group, location.at(*inside), MEMBERS_SAMPLED):
        item = member(group, name, location.at(*inside, name))
        if isinstance(item, h5py.Dataset):
            found[name] = item
    if choice.names is None:
        fits = {
            name: item.shape
            for name, item in found.items()
            if len(item.shape or ()) in ranks and dtype_of(item, location.at(*inside, name)).name in FLOATS
        }
        return {name: found[name] for name in finest_first(fits)}
    if not found:
        return {}
    return {name: dataset_in(group, name, location.at(*inside, name), "a dataset (C, H, W)") for name in choice.names}


def _stated(datasets: dict[str, h5py.Dataset]) -> tuple[int, int]:
    """How many levels there are, and how many of them have a scale of their own."""
    return len(datasets), sum("stride" in item.attrs or "spatial_scale" in item.attrs for item in datasets.values())


def _own_scale(dataset: h5py.Dataset, where: str) -> tuple[float, float] | None:
    return scale_of(where, attribute(dataset, "stride", where), attribute(dataset, "spatial_scale", where))


class _Hdf5Pyramid(Pyramid):
    """What both layouts share: the file, the levels and their scales."""

    def __init__(self, file: OpenFile, location: Location) -> None:
        self.root = file.root
        self.location = location
        self._file = file

    def close(self) -> None:
        """Closes the file."""
        self._file.close()

    def _set_levels(self, datasets: dict[str, h5py.Dataset], choice: LevelChoice, where: Location) -> None:
        """Takes channels, dtype and scales from the sample image's levels."""
        name, first = next(iter(datasets.items()))
        check_map(where.at(name), first.shape, dtype_of(first, where.at(name)))
        self.channels = first.shape[-3]
        self.dtype = first.dtype
        for name, dataset in datasets.items():
            check_map(where.at(name), dataset.shape, dtype_of(dataset, where.at(name)), (self.channels, self.dtype))
        given = choice.strides or choice.scales
        own = [None if given else _own_scale(dataset, where.at(name)) for name, dataset in datasets.items()]
        self.levels = level_scales(list(datasets), own, choice, where)


class BatchedHdf5Pyramid(_Hdf5Pyramid, BatchedPyramid):
    """One dataset (N, C, H, W) a level, optional `image_ids` (N,), `scale_factors` and `image_sizes` (N, 2)."""

    def __init__(
        self, file: OpenFile, location: Location, datasets: dict[str, h5py.Dataset], choice: LevelChoice
    ) -> None:
        super().__init__(file, location)
        first = next(iter(datasets))
        for name, dataset in datasets.items():
            if dataset.ndim != 4 and name == first:
                raise InputError(f"{location.at(name)}: expected (N, C, H, W), got {dataset.shape}")
        self._set_levels(datasets, choice, location)
        count = len(datasets[first])
        for name, dataset in datasets.items():
            if dataset.ndim != 4 or len(dataset) != count:
                raise InputError(f"{location.at(name)}: expected ({count}, C, H, W) like {first}, got {dataset.shape}")
        self._storage = []
        for name, dataset in datasets.items():
            with guarded(location.at(name)):
                self._storage.append(FeatureDataset(dataset.id, file))
        self.image_ids = self._ids(count)
        self.factors = self._pairs("scale_factors", count)
        self.sizes = self._pairs("image_sizes", count)

    def _ids(self, count: int) -> list[str]:
        where = self.location.at("image_ids")
        if member(self.root, "image_ids", where) is None:
            return [str(index) for index in range(count)]
        ids = texts(dataset_in(self.root, "image_ids", where, f"a dataset of {count} ids"), where)
        return different_ids(where, ids, count)

    def _pairs(self, name: str, count: int) -> NDArray[np.float64] | None:
        where = self.location.at(name)
        if member(self.root, name, where) is None:
            return None
        return pairs_beside(where, read(dataset_in(self.root, name, where, f"a dataset ({count}, 2)"), where), count)

    def storage(self, image: int, level: int) -> dict[str, Any]:
        """The level's dataset, of all images."""
        return dataset_storage(self.root[self.levels[level].name])

    def source(self, image: int, level: int) -> MapSource:
        """One entry of a level's dataset."""
        return self._storage[level].map(image, self.location.at(self.levels[level].name))


class PerImageHdf5Pyramid(_Hdf5Pyramid):
    """One group an image, named by its id, with one dataset (C, H, W) or (1, C, H, W) a level.

    Group attributes, both optional: `scale_factor` (sx, sy) and `image_size` (width, height).
    """

    layout = "per image"

    def __init__(self, file: OpenFile, location: Location, choice: LevelChoice) -> None:
        super().__init__(file, location)
        self._opening = threading.Lock()
        self.image_ids = natural_order(names(self.root, location))
        self._own_scales = choice.strides is None and choice.scales is None
        samples = self._samples(choice)
        if not samples:
            actual = ", ".join(self.image_ids[:5]) or "an empty group"
            among = ", ".join(choice.names or ())
            wanted = f"datasets {among}, at the top or in each group" if among else EXPECTED
            raise InputError(f"{location}: expected {wanted}, got {actual}")
        self._sampled = tuple(samples)
        self.sample_image, datasets = max(samples.items(), key=lambda item: (*_stated(item[1]), -item[0]))
        for image, others in samples.items():
            for name in datasets:
                if name not in others:
                    self._refuse_level(image, name)
        name = self.image_ids[self.sample_image]
        self._set_levels(datasets, choice, Location(location.path, f"{location.group.rstrip('/')}/{name}"))

    def _refuse_level(self, image: int, name: str) -> NoReturn:
        """Raises InputError that says what an image has in place of a level."""
        where = self.location.at(self.image_ids[image], name)
        expected = f"a dataset like that of image {self.image_ids[self.sample_image]}"
        dataset = dataset_in(self._group(image), name, where, expected)
        raise InputError(f"{where}: expected {expected}, got {dataset.shape} {dtype_of(dataset, where)}")

    def _samples(self, choice: LevelChoice) -> dict[int, dict[str, h5py.Dataset]]:
        """The level datasets of the first images, by image."""
        samples = {}
        for index, name in enumerate(self.image_ids):
            group = member(self.root, name, self.location.at(name))
            if isinstance(group, h5py.Group):
                datasets = _level_datasets(group, self.location, choice, (3, 4), name)
                if datasets:
                    samples[index] = datasets
            if index >= MEMBERS_SAMPLED or len(samples) == IMAGES_SAMPLED:
                break
        return samples

    def _group(self, image: int) -> h5py.Group:
        name = self.image_ids[image]
        group = member(self.root, name, self.location.at(name))
        if not isinstance(group, h5py.Group):
            raise InputError(f"{self.location.at(name)}: expected a group with the levels of an image, got a dataset")
        return group

    def storage(self, image: int, level: int) -> dict[str, Any]:
        """The level's dataset in the image's group."""
        return dataset_storage(self.root[self.image_ids[image]][self.levels[level].name])

    def source(self, image: int, level: int) -> MapSource:
        """A level's dataset in the image's group, opened by its path alone: opening is what tiny images cost."""
        inside = f"{self.image_ids[image]}/{self.levels[level].name}"
        where = self.location.at(inside)
        dataset = open_dataset(self.root, inside, where, f"a dataset ({self.channels}, H, W)")
        with guarded(where):
            storage = FeatureDataset(dataset, self._file)
        check_map(where, storage.shape, storage.dtype, (self.channels, self.dtype))
        if len(storage.shape) == 4 and storage.shape[0] != 1:
            raise InputError(f"{where}: expected (1, {self.channels}, H, W), got {storage.shape}")
        return storage.map(0, where)

    def sources(self, wanted: Sequence[tuple[int, int]]) -> list[MapSource]:
        """Opened by one thread at a time: HDF5 lets no two work, and taking turns costs them more than waiting."""
        with self._opening:
            return super().sources(wanted)

    def check(self, image: int) -> None:
        """Checks the image's levels, and that their scales are those of the sample image."""
        group = self._group(image)
        for index, level in enumerate(self.levels):
            where = self.source(image, index).where
            own = _own_scale(group[level.name], where) if self._own_scales else None
            if own is not None and not np.allclose(own, level.scale, rtol=1e-6):
                stride, wanted = (" x ".join(f"{1 / side:g}" for side in scale) for scale in (own, level.scale))
                raise InputError(f"{where}: expected stride {wanted} as on other images, got {stride}")

    @property
    def has_scale_factors(self) -> bool:
        """Whether one of the first images has one."""
        return any(self.scale_factor(image) is not None for image in self._sampled)

    def scale_factor(self, image: int) -> tuple[float, float] | None:
        """The group's `scale_factor`."""
        return self._pair(image, "scale_factor")

    def image_size(self, image: int) -> tuple[float, float] | None:
        """The group's `image_size`."""
        return self._pair(image, "image_size")

    def _pair(self, image: int, name: str) -> tuple[float, float] | None:
        where = self.location.at(self.image_ids[image])
        value: Any = attribute(self._group(image), name, where)
        return None if value is None else pair_of(f"{where}: {name}", value)
