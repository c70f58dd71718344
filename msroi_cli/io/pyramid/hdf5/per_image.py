"""Pyramids in HDF5 with one group an image."""

from __future__ import annotations

import threading
from collections.abc import Mapping, Sequence
from contextlib import suppress
from typing import Any, NoReturn

import numpy as np
from numpy.typing import NDArray

from msroi_cli.errors import InputError
from msroi_cli.io.features.dataset import OpenFile
from msroi_cli.io.features.source import MapSource
from msroi_cli.io.files.location import Location
from msroi_cli.io.files.natural import natural_order
from msroi_cli.io.hdf5.describe import dataset_storage
from msroi_cli.io.hdf5.read import InputDataset, InputGroup, dataset_in, member, member_links
from msroi_cli.io.hdf5.structure.extents import Addresses
from msroi_cli.io.hdf5.structure.groups import UNKNOWN
from msroi_cli.io.hdf5.values import attribute, dtype_of
from msroi_cli.io.messages import value_text
from msroi_cli.io.pyramid.checks import check_factor
from msroi_cli.io.pyramid.hdf5.alike import Alike, ImageReader, OpenImage
from msroi_cli.io.pyramid.hdf5.group_pairs import GroupPairs
from msroi_cli.io.pyramid.hdf5.levels import EXPECTED, MEMBERS_SAMPLED, Hdf5Pyramid, level_datasets
from msroi_cli.io.pyramid.hdf5.template import PLAIN, GroupTemplate
from msroi_cli.io.pyramid.levels import SMALLEST, LevelChoice, offset_of, pair_of

# The levels are found from the first images that have any, this many of them.
IMAGES_SAMPLED = 8

# The sizes of so many images are remembered: several checks before the work ask for those of the first images.
SIZES_KEPT = 1024

# So many images are kept as they were opened: these checks ask for no others in a small job, and neither does its work.
IMAGES_KEPT = 16

GEOMETRY = ("scale_factor", "image_size", "offset")


class PerImageHdf5Pyramid(Hdf5Pyramid):
    """One group an image, named by its id, with one dataset (C, H, W) or (1, C, H, W) a level.

    Group attributes, all optional: `scale_factor` (sx, sy), `offset` (ox, oy) and `image_size` (width, height). With
    `--group` the groups lie deeper, and these attributes are those of the levels' group, or else of the image's.
    """

    layout = "per image"

    def __init__(self, file: OpenFile, location: Location, choice: LevelChoice) -> None:
        super().__init__(file, location)
        self._opening = threading.Lock()
        self._sizes: dict[int, list[tuple[int, int]]] = {}
        self._kept: dict[int, OpenImage] = {}
        self._expected: dict[int, OpenImage] = {}
        self._pairs = GroupPairs(file.raw.descriptor, GEOMETRY)
        self._template = PLAIN if choice.group is None else GroupTemplate.parse(choice.group)
        self.image_ids, self._places = self._find_images()
        samples = self._samples(choice)
        if not samples:
            actual = ", ".join(self.image_ids[:5]) or "an empty group"
            among = ", ".join(choice.names or ())
            wanted = f"datasets {among}, at the top or in each group" if among else EXPECTED
            raise InputError(f"{location}: expected {wanted}, got {actual}")
        self.sample_image, datasets = max(samples.items(), key=lambda item: (*_stated(item[1]), -item[0]))
        for image, others in samples.items():
            for name in datasets:
                if name not in others:
                    self._refuse_level(image, name)
        path = self._path(self.sample_image)
        where = Location(location.path, f"{location.group.rstrip('/')}/{path}")
        self._set_levels(datasets, choice, where, self._group(self.sample_image))
        self._has_factors = self.scale_factor(self.sample_image) is not None
        stated = choice.strides is None and choice.scales is None
        named = choice.names is not None and not choice.only
        self._reader = ImageReader(
            file,
            location,
            Alike(path, self.levels, self.level_channels, self.dtype, stated, named),
            self._template.inside,
        )

    def _find_images(self) -> tuple[list[str], Addresses]:
        """The image ids, from the names of the groups, and where the headers of these are; UNKNOWN of linked ones."""
        group = self._parent()
        direct = group.input is self._file.input and self._file.has_offsets
        descriptor = self._file.raw.descriptor if direct else None
        found: Mapping[str, int | None] = member_links(group.id, self.location, descriptor)
        if self._template is not PLAIN:
            ids = {name: self._template.id_of(name) for name in found}
            found = {image: found[name] for name, image in ids.items() if image is not None}
        ordered = natural_order(found)
        if not direct:
            return ordered, np.full(len(ordered), UNKNOWN)
        places = map(found.__getitem__, ordered)
        return ordered, np.array([UNKNOWN if place is None else place for place in places], np.int64)

    def _parent(self) -> InputGroup:
        """The group whose members are those of the images; raises InputError if there is none."""
        parent = self._template.parent
        where = self.location.at(parent) if parent else str(self.location)
        group = member(self.root, parent, where) if parent else self.root
        if not isinstance(group, InputGroup):
            raise InputError(f"{where}: expected a group with the groups of the images, got none")
        return group

    def _path(self, image: int) -> str:
        """The path of the group of an image's levels."""
        image_id = self.image_ids[image]
        return image_id if self._template is PLAIN else self._template.levels(image_id)

    def _refuse_level(self, image: int, name: str) -> NoReturn:
        """Raises InputError that says what an image has in place of a level."""
        where = self.location.at(self._path(image), name)
        expected = f"a dataset like that of image {self.image_ids[self.sample_image]}"
        dataset = dataset_in(self._group(image), name, where, expected)
        raise InputError(f"{where}: expected {expected}, got {dataset.shape} {dtype_of(dataset, where)}")

    def _samples(self, choice: LevelChoice) -> dict[int, dict[str, InputDataset]]:
        """The level datasets of the first images, by image."""
        samples = {}
        for index in range(len(self.image_ids)):
            path = self._path(index)
            group = member(self.root, path, self.location.at(path))
            if isinstance(group, InputGroup):
                datasets = level_datasets(group, self.location, choice, (3, 4), path)
                if datasets:
                    samples[index] = datasets
            if index >= MEMBERS_SAMPLED or len(samples) == IMAGES_SAMPLED:
                break
        return samples

    def _group(self, image: int) -> InputGroup:
        path = self._path(image)
        group = member(self.root, path, self.location.at(path))
        if not isinstance(group, InputGroup):
            actual = "none" if group is None else "a dataset"
            raise InputError(f"{self.location.at(path)}: expected a group with the levels of an image, got {actual}")
        return group

    def storage(self, image: int, level: int) -> dict[str, Any]:
        """The level's dataset in the image's group."""
        name = self.levels[level].name
        where = self.location.at(self._path(image), name)
        return dataset_storage(
            dataset_in(self._group(image), name, where, f"a dataset ({self.level_channels[level]}, H, W)")
        )

    def source(self, image: int, level: int) -> MapSource:
        """A level's dataset in the image's group."""
        return self._checked([image])[image].map(level)

    def shapes(self, image: int) -> list[tuple[int, int]]:
        """The size (H, W) of each level of an image, which is checked against the sample image but for its values."""
        sizes = self._sizes.get(image)
        if sizes is None:
            opened = self._checked([image])[image]
            sizes = [opened.map(level).shape[1:] for level in range(len(self.levels))]
            if len(self._sizes) < SIZES_KEPT:
                self._sizes[image] = sizes
        return sizes

    def sources(self, wanted: Sequence[tuple[int, int]]) -> list[MapSource]:
        """Opened by one thread at a time: HDF5 lets no two work, and taking turns costs them more than waiting."""
        opened = self._checked(list(dict.fromkeys(image for image, _ in wanted)))
        return [opened[image].map(level) for image, level in wanted]

    def expect(self, images: Sequence[int]) -> None:
        """Opens those that are known by their bytes."""
        # What is wrong with one is said when that one is asked for.
        with suppress(InputError), self._opening:
            known = self._reader.known(*self._places_of(images))
            self._expected = {image: one for image, one in zip(images, known, strict=True) if one is not None}

    def is_image(self, image: int) -> bool:
        """Whether there is a group with one of the levels."""
        path = self._path(image)
        group = member(self.root, path, self.location.at(path))
        return isinstance(group, InputGroup) and any(level.name in group for level in self.levels)

    def _checked(self, images: Sequence[int]) -> dict[int, OpenImage]:
        """Images, by number; raises InputError unless they are like the sample image."""
        expected = self._expected
        opened = expected if all(image in expected for image in images) else self._opened(images)
        if self.factors_matter:
            for image in images:
                if opened[image].has_geometry != self._has_factors:
                    self._check_factor(image)
        return opened

    def _opened(self, images: Sequence[int]) -> dict[int, OpenImage]:
        """The same but for scale factors, which do not always matter."""
        with self._opening:
            rest = [image for image in images if image not in self._kept]
            found = dict(zip(rest, self._reader.open(*self._places_of(rest)), strict=True)) if rest else {}
            found |= {image: self._kept[image] for image in images if image in self._kept}
            # What lies behind links is opened again, as that finds files that have changed.
            if not self.links:
                self._kept |= {image: found[image] for image in rest[: IMAGES_KEPT - len(self._kept)]}
        return found

    def _places_of(self, images: Sequence[int]) -> tuple[list[str], Addresses]:
        """The paths of images, and where the headers of their groups are."""
        return [self._path(image) for image in images], self._places[list(images)]

    def _check_factor(self, image: int) -> None:
        """Raises InputError unless an image has a scale factor where the sample image has one, and only there.

        An offset is of an image with a scale factor.
        """
        where, others = self.location.at(self._path(image)), f"image {self.image_ids[self.sample_image]}"
        check_factor(where, self.scale_factor(image), self.offset(image), self._has_factors, others)

    @property
    def has_scale_factors(self) -> bool:
        """Whether the sample image has one."""
        return self._has_factors

    @property
    def has_offsets(self) -> bool:
        """Whether the sample image has one."""
        return self.offset(self.sample_image) != (0.0, 0.0)

    def scale_factor(self, image: int) -> tuple[float, float] | None:
        """The group's `scale_factor`."""
        return self._pair(image, "scale_factor")

    def offset(self, image: int) -> tuple[float, float]:
        """The group's `offset`."""
        where, value = self._attribute(image, "offset")
        return (0.0, 0.0) if value is None else offset_of(where, value)

    def image_size(self, image: int) -> tuple[float, float] | None:
        """The group's `image_size`."""
        return self._pair(image, "image_size")

    def image_sizes_of(self, images: NDArray[np.int64]) -> NDArray[np.float64]:
        """The `image_size` of some images; most are read without opening their groups."""
        known, found = self._geometry_of(images)
        sizes = found["image_size"]
        sizes[~known] = super().image_sizes_of(images[~known])
        return sizes

    def factors_of(self, images: NDArray[np.int64]) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        """The scale factors and offsets of some images; most are read without opening their groups."""
        known, found = self._geometry_of(images)
        factors, offsets = found["scale_factor"], np.nan_to_num(found["offset"], copy=False, nan=0.0)
        factors[~known], offsets[~known] = super().factors_of(images[~known])
        return factors, offsets

    def _geometry_of(self, images: NDArray[np.int64]) -> tuple[NDArray[np.bool_], dict[str, NDArray[np.float64]]]:
        """Of which images (n,) a valid geometry was read, and its pairs (n, 2), NaN where there are none."""
        places = np.full(len(images), UNKNOWN) if self._template.inside else self._places[images]
        numbers = images.tolist()
        known, found = self._pairs.read(
            self._parent().id, lambda group: self._template.name(self.image_ids[numbers[group]]), places
        )
        for name, values in found.items():
            numbers = np.abs(values) if name == "offset" else values
            smallest = 0.0 if name == "offset" else SMALLEST
            known &= (np.isnan(numbers) | ((numbers >= smallest) & (numbers <= 1 / SMALLEST))).all(axis=1)
        return known, found

    def _pair(self, image: int, name: str) -> tuple[float, float] | None:
        where, value = self._attribute(image, name)
        return None if value is None else pair_of(where, value)

    def _attribute(self, image: int, name: str) -> tuple[str, Any]:
        """An attribute of an image, None if it has none, and where it is; raises InputError for two that differ."""
        where = self.location.at(self._path(image))
        value: Any = attribute(self._group(image), name, where)
        if self._template.inside:
            path = self._template.member(self.image_ids[image])
            at = self.location.at(path)
            outer = self._outer(path, name, at)
            if value is None:
                where, value = at, outer
            elif outer is not None and not np.array_equal(value, outer):
                texts = f"{value_text(value)} and, on {at}, {value_text(outer)}"
                raise InputError(f"{where}: {name}: expected one, got {texts}")
        return f"{where}: {name}", value

    def _outer(self, path: str, name: str, where: str) -> Any:
        """An attribute of the group of an image around that of its levels; None if it has none."""
        outer = member(self.root, path, where)
        return None if outer is None else attribute(outer, name, where)


def _stated(datasets: dict[str, InputDataset]) -> tuple[int, int]:
    """How many levels there are, and how many of them have a scale of their own."""
    return len(datasets), sum("stride" in item.attrs or "spatial_scale" in item.attrs for item in datasets.values())
