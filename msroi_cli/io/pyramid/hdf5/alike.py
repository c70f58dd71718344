"""Opens one image of an HDF5 file with one group an image, and checks that it is like the image looked at first."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

import h5py
import numpy as np

from msroi_cli.errors import InputError
from msroi_cli.io.features.contiguous import ContiguousMap
from msroi_cli.io.features.dataset import FeatureDataset, OpenFile, check_end
from msroi_cli.io.features.headers import Headers, hard_links
from msroi_cli.io.features.source import MapSource
from msroi_cli.io.files.location import Location
from msroi_cli.io.hdf5.errors import guarded
from msroi_cli.io.hdf5.read import InputDataset, InputGroup, dataset_in, member, open_dataset, open_group_at
from msroi_cli.io.hdf5.values import attribute, dtype_of
from msroi_cli.io.pyramid.checks import FLOATS, check_map
from msroi_cli.io.pyramid.hdf5.levels import own_scales
from msroi_cli.io.pyramid.levels import Level, scale_of


@dataclass(frozen=True, slots=True)
class Alike:
    """What all images have in common with `image`, the path of the one looked at first; channels: of each level.

    scales_stated: whether scales are those of the file, so that images may contradict them. levels_named: whether the
    user named the levels, so that others are none.
    """

    image: str
    levels: tuple[Level, ...]
    channels: tuple[int, ...]
    dtype: np.dtype[Any]
    scales_stated: bool
    levels_named: bool


class ImageReader:
    """Opens images of one file; most levels of small images are known by their headers."""

    def __init__(self, file: OpenFile, location: Location, alike: Alike, inside: str = "") -> None:
        """inside: the path of the levels' group below that of an image, where these are two."""
        self._inside = f"/{inside}" if inside else ""
        self._file = file
        self._location = location
        self._alike = alike
        self._level_names = {level.name for level in alike.levels}
        self._headers: Headers[tuple[int, tuple[int, int, int], np.dtype[Any]]] = Headers(file.raw.descriptor)

    def open(self, paths: Sequence[str]) -> list[tuple[list[MapSource], bool]]:
        """The maps of all levels of the images at `paths`, and whether each has a `scale_factor` or an `offset`.

        Raises InputError unless they have the levels that all have and no others, each with the same channels, dtype
        and scale.
        """
        groups = [self._group(path) for path in paths]
        names = [one.name for one in self._alike.levels]
        addresses = [[links.get(name) for name in names] for links, _ in groups]
        self._headers.fetch(address for image in addresses for address in image if address is not None)
        return [
            (self._maps(path, image), has_geometry)
            for path, image, (_, has_geometry) in zip(paths, addresses, groups, strict=True)
        ]

    def _group(self, path: str) -> tuple[dict[str, int | None], bool]:
        """The members of an image's group, with the addresses of their headers, and whether it states a geometry."""
        where = self._location.at(path)
        group, file = open_group_at(self._file.root, path, where, "a group with the levels of an image")
        with guarded(where):
            links = hard_links(group)
            direct = self._file.has_offsets and file is self._file.input
            # One call where there are none, which is quicker than asking for each.
            some = h5py.h5a.get_num_attrs(group) > 0
            has_geometry = some and _has_geometry(group)
            beside = some and (h5py.h5a.exists(group, b"stride") or h5py.h5a.exists(group, b"spatial_scale"))
        if self._inside and not has_geometry:
            outer = path.removesuffix(self._inside)
            at = self._location.at(outer)
            found, _ = open_group_at(self._file.root, outer, at, "the group of an image")
            with guarded(at):
                has_geometry = _has_geometry(found)
        if not self._alike.levels_named:
            self._check_names(path, links)
        if beside and self._alike.scales_stated:
            self._check_beside(path)
        return (links if direct else dict.fromkeys(links)), has_geometry

    def _maps(self, path: str, addresses: Sequence[int | None]) -> list[MapSource]:
        where = self._location.at(path)
        maps: list[MapSource] = []
        for level, (one, address) in enumerate(zip(self._alike.levels, addresses, strict=True)):
            found = None if address is None else self._headers.find(address)
            if found is None or found[1][0] != level:
                maps.append(self._opened(path, level, address))
            else:
                offset, (_, shape, dtype) = found
                name = f"{where}/{one.name}"
                check_end(offset, shape, dtype, self._file.input.end, name)
                maps.append(ContiguousMap(shape, dtype, name, self._file.raw, offset))
        return maps

    def _opened(self, image: str, level: int, address: int | None) -> MapSource:
        """A level's dataset, opened by its path and checked; its header, if it has one at `address`, is remembered."""
        alike = self._alike
        inside = f"{image}/{alike.levels[level].name}"
        where = self._location.at(inside)
        channels = alike.channels[level]
        dataset = open_dataset(self._file.root, inside, where, f"a dataset ({channels}, H, W)")
        with guarded(where):
            storage = FeatureDataset(dataset, self._file, where)
        check_map(where, storage.shape, storage.dtype, (channels, alike.dtype))
        if len(storage.shape) == 4 and storage.shape[0] != 1:
            raise InputError(f"{where}: expected (1, {channels}, H, W), got {storage.shape}")
        self._check_scale(h5py.Dataset(dataset.object), level, where)
        found = storage.map(0, where)
        if address is not None and isinstance(found, ContiguousMap):
            self._headers.learn(address, found.offset, (level, found.shape, found.dtype))
        return found

    def _check_scale(self, dataset: h5py.Dataset, level: int, where: str) -> None:
        self._compare(own_scale(dataset, where) if self._alike.scales_stated else None, level, where)

    def _compare(self, own: tuple[float, float] | None, level: int, where: str) -> None:
        expected = self._alike.levels[level].scale
        if own is not None and not all(map(_is_close, own, expected)):
            stride, wanted = (" x ".join(f"{1 / side:g}" for side in scale) for scale in (own, expected))
            raise InputError(f"{where}: expected stride {wanted} as on other images, got {stride}")

    def _check_names(self, image: str, members: Iterable[str]) -> None:
        """Raises InputError for a level that the other images lack."""
        for extra in members:
            if extra not in self._level_names:
                where = self._location.at(image, extra)
                item = member(self._file.root, f"{image}/{extra}", where)
                if isinstance(item, InputDataset) and len(item.shape or ()) in (3, 4) and is_float(item, where):
                    names = ", ".join(level.name for level in self._alike.levels)
                    raise InputError(
                        f"{where}: expected the levels {names} as on image {self._alike.image}, got one more "
                        "(--levels names those to use)"
                    )

    def _check_beside(self, path: str) -> None:
        """Raises InputError for scales that an image's group states and the other images contradict."""
        at = Location(self._location.path, f"{self._location.group.rstrip('/')}/{path}")
        group = member(self._file.root, path, at)
        if not isinstance(group, InputGroup):
            return
        names = [one.name for one in self._alike.levels]
        found = own_scales({name: dataset_in(group, name, at.at(name), "a level") for name in names}, at, group)
        for level, one in enumerate(self._alike.levels):
            self._compare(found.get(one.name), level, at.at(one.name))


def _has_geometry(group: h5py.h5g.GroupID) -> bool:
    """Whether the group of an image has a scale factor or an offset."""
    return bool(h5py.h5a.exists(group, b"scale_factor") or h5py.h5a.exists(group, b"offset"))


def _is_close(own: float, expected: float) -> bool:
    return math.isclose(own, expected, rel_tol=1e-6)


def is_float(dataset: h5py.Dataset, where: str) -> bool:
    """Whether a dataset has numbers that features may have; raises InputError for a type that NumPy lacks."""
    return dtype_of(dataset, where).name in FLOATS


def own_scale(dataset: h5py.Dataset, where: str) -> tuple[float, float] | None:
    """The (y, x) scale that a dataset's attributes state; None if it states none."""
    return scale_of(where, attribute(dataset, "stride", where), attribute(dataset, "spatial_scale", where))
