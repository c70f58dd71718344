"""Opens one image of an HDF5 file with one group an image, and checks that it is like the image looked at first."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from typing import Any, NamedTuple

import h5py
import numpy as np

from msroi_cli.errors import InputError
from msroi_cli.io.features.channels_last import as_map
from msroi_cli.io.features.contiguous import ContiguousMap
from msroi_cli.io.features.dataset import FeatureDataset, OpenFile, check_end
from msroi_cli.io.features.headers import Headers
from msroi_cli.io.features.layouts import axes
from msroi_cli.io.features.source import MapSource
from msroi_cli.io.files.location import Location
from msroi_cli.io.hdf5.errors import guarded
from msroi_cli.io.hdf5.read import (
    InputDataset,
    InputGroup,
    dataset_in,
    member,
    member_links,
    open_dataset,
    open_group_at,
)
from msroi_cli.io.hdf5.structure.extents import Addresses, Extents
from msroi_cli.io.hdf5.structure.groups import UNKNOWN, Groups
from msroi_cli.io.hdf5.values import attribute, dtype_of
from msroi_cli.io.pyramid.checks import FLOATS, check_map
from msroi_cli.io.pyramid.hdf5.levels import layout_of, own_scales, refuse_layout_beside
from msroi_cli.io.pyramid.levels import Level, scale_of

# With as many images it is worth looking at the bytes of their groups together.
MANY = 16


class LevelForm(NamedTuple):
    """What a map is like: the number of its level, its shape as it is stored, layout, dtype and size in bytes."""

    level: int
    shape: tuple[int, int, int]
    layout: str
    dtype: np.dtype[Any]
    size: int


Located = tuple[int, LevelForm]
"""Where the values of a map begin in the file, and what it is like."""


class Alike(NamedTuple):
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


class OpenImage(NamedTuple):
    """An image that is as all are, at `path`. has_geometry: whether it has a `scale_factor` or an `offset`.

    levels: of each the map, or where it is in the file.
    """

    reader: ImageReader
    path: str
    levels: Sequence[MapSource | Located]
    has_geometry: bool

    def map(self, level: int) -> MapSource:
        """The map of a level."""
        found = self.levels[level]
        return found if isinstance(found, MapSource) else self.reader.located(self.path, *found)


class ImageReader:
    """Opens images of one file; most levels of small images are known by their headers."""

    def __init__(self, file: OpenFile, location: Location, alike: Alike, inside: str = "") -> None:
        """inside: the path of the levels' group below that of an image, where these are two."""
        self._inside = f"/{inside}" if inside else ""
        self._file = file
        self._location = location
        self._alike = alike
        self._names = [level.name for level in alike.levels]
        self._extents = Extents(file.raw.descriptor)
        self._groups = Groups(self._extents, self._names)
        self._headers: Headers[LevelForm] = Headers(file.raw.descriptor)

    def located(self, path: str, offset: int, form: LevelForm) -> MapSource:
        """The map of an image whose values begin at `offset`."""
        where = self._location.at(path, self._names[form.level])
        return as_map(ContiguousMap(form.shape, form.dtype, where, self._file.raw, offset), form.layout)

    def open(self, paths: Sequence[str], places: Addresses) -> list[OpenImage]:
        """The images at `paths`.

        places: (n,) int64, where the headers of the images' groups are in the file; UNKNOWN of others.
        Raises InputError unless they have the levels that all have and no others, each with the same channels, dtype
        and scale.
        """
        known = self.known(paths, places) if len(paths) >= MANY else [None] * len(paths)
        rest = [path for path, image in zip(paths, known, strict=True) if image is None]
        others = iter(self._opened_by_hdf5(rest))
        return [next(others) if image is None else image for image in known]

    def known(self, paths: Sequence[str], places: Addresses) -> list[OpenImage | None]:
        """Those of the images that are known by their bytes; one of the others is opened to know more of them.

        Raises InputError as `open`.
        """
        try:
            known = self._known(paths, places)
            rest = [number for number, image in enumerate(known) if image is None]
            if len(rest) >= MANY:
                self._learn(paths[rest[0]], int(places[rest[0]]))
                again = self._known([paths[number] for number in rest], places[rest])
                for number, image in zip(rest, again, strict=True):
                    known[number] = image
            return known
        finally:
            self._extents.forget()

    def _known(self, paths: Sequence[str], places: Addresses) -> list[OpenImage | None]:
        """Those all of whose levels are known and as they should be."""
        if self._inside or not self._headers.meanings:
            return [None] * len(paths)
        headers = self._groups.find(places)
        offsets, kinds = (one.reshape(headers.shape) for one in self._headers.find_all(headers.ravel(), self._extents))
        forms = self._headers.meanings
        level, size = np.array([(form.level, form.size) for form in forms], np.int64).T
        fits = (kinds >= 0) & (level[kinds] == np.arange(len(self._names)))
        fits &= offsets <= self._file.input.end - size[kinds]
        images: list[OpenImage | None] = [None] * len(paths)
        for number in np.flatnonzero(fits.all(axis=1)).tolist():
            image = zip(offsets[number].tolist(), kinds[number].tolist(), strict=True)
            levels = [(offset, forms[kind]) for offset, kind in image]
            images[number] = OpenImage(self, paths[number], levels, has_geometry=False)
        return images

    def _learn(self, path: str, place: int) -> None:
        """Opens an image, and notes what its bytes are."""
        headers, has_geometry, members = self._group(path)
        self._image(path, headers, has_geometry)
        if members is not None and place != UNKNOWN:
            self._groups.learn(place, members)

    def _opened_by_hdf5(self, paths: Sequence[str]) -> list[OpenImage]:
        groups = [self._group(path) for path in paths]
        self._headers.fetch(address for headers, *_ in groups for address in headers if address != UNKNOWN)
        return [self._image(path, *group[:2]) for path, group in zip(paths, groups, strict=True)]

    def _group(self, path: str) -> tuple[list[int], bool, dict[str, int | None] | None]:
        """The headers of an image's levels, UNKNOWN of linked ones, and whether it states a geometry.

        And all members of its group, unless another group with these members may be refused: None.
        """
        where = self._location.at(path)
        group, file = open_group_at(self._file.root, path, where, "a group with the levels of an image")
        links = member_links(group, where)
        with guarded(where):
            direct = self._file.has_offsets and file is self._file.input
            # One call where there are none, which is quicker than asking for each.
            some = h5py.h5a.get_num_attrs(group) > 0
            has_geometry = some and _has_geometry(group)
            beside = some and (h5py.h5a.exists(group, b"stride") or h5py.h5a.exists(group, b"spatial_scale"))
            arranged = some and h5py.h5a.exists(group, b"layout")
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
        if arranged:
            refuse_layout_beside(InputGroup(group, file), where)
        addresses = [links.get(name) for name in self._names]
        headers = [UNKNOWN if not direct or address is None else address for address in addresses]
        plain = direct and not some and (self._alike.levels_named or links.keys() == set(self._names))
        return headers, has_geometry, links if plain else None

    def _image(self, path: str, headers: Sequence[int], has_geometry: bool) -> OpenImage:
        """The image at `path`, whose levels have these headers."""
        maps = [self._map(path, level, address) for level, address in enumerate(headers)]
        return OpenImage(self, path, maps, has_geometry)

    def _map(self, path: str, level: int, address: int) -> MapSource | Located:
        """A level, known by its header or opened."""
        found = None if address == UNKNOWN else self._headers.find(address)
        if found is None or found[1].level != level:
            return self._opened(path, level, address)
        offset, form = found
        check_end(offset, form.shape, form.dtype, self._file.input.end, self._location.at(path, self._names[level]))
        return found

    def _opened(self, image: str, level: int, address: int) -> MapSource:
        """A level's dataset, opened by its path and checked; its header is remembered, if its address is known."""
        alike = self._alike
        inside = f"{image}/{alike.levels[level].name}"
        where = self._location.at(inside)
        channels = alike.channels[level]
        found = open_dataset(self._file.root, inside, where, f"a dataset ({channels}, H, W)")
        dataset = InputDataset(found.object, found.file)
        layout = layout_of(dataset, where)
        with guarded(where):
            storage = FeatureDataset(found, self._file, where, layout)
        check_map(where, storage.shape, storage.dtype, (channels, alike.dtype), layout=layout)
        if len(storage.shape) == 4 and storage.shape[0] != 1:
            raise InputError(f"{where}: expected (1, {axes(layout, channels)}), got {storage.shape}")
        self._check_scale(dataset, level, where)
        source = storage.map(0, where)
        stored = source.stored
        if address != UNKNOWN and isinstance(stored, ContiguousMap):
            form = LevelForm(level, stored.shape, layout, stored.dtype, stored.size)
            self._headers.learn(address, stored.offset, form)
        return source

    def _check_scale(self, dataset: InputDataset, level: int, where: str) -> None:
        self._compare(own_scale(dataset, where) if self._alike.scales_stated else None, level, where)

    def _compare(self, own: tuple[float, float] | None, level: int, where: str) -> None:
        expected = self._alike.levels[level].scale
        if own is not None and not all(map(_is_close, own, expected)):
            stride, wanted = (" x ".join(f"{1 / side:g}" for side in scale) for scale in (own, expected))
            wanted = "no stride" if math.isnan(expected[0]) else f"stride {wanted}"
            raise InputError(f"{where}: expected {wanted} as on other images, got {stride}")

    def _check_names(self, image: str, members: Iterable[str]) -> None:
        """Raises InputError for a level that the other images lack."""
        for extra in members:
            if extra not in self._names:
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


def own_scale(dataset: InputDataset, where: str) -> tuple[float, float] | None:
    """The (y, x) scale that a dataset's attributes state; None if it states none."""
    return scale_of(where, attribute(dataset, "stride", where), attribute(dataset, "spatial_scale", where))
