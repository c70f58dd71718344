"""The level datasets of an HDF5 pyramid: which they are, and their scales."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import suppress

import numpy as np

from msroi_cli.errors import InputError
from msroi_cli.io.features.dataset import OpenFile
from msroi_cli.io.features.layouts import channels_first, layout_from, says_channels_last
from msroi_cli.io.files.location import Location
from msroi_cli.io.hdf5.read import InputDataset, InputGroup, dataset_in, member, names
from msroi_cli.io.hdf5.values import attribute, dtype_of, json_value
from msroi_cli.io.messages import value_text
from msroi_cli.io.pyramid.base import Pyramid
from msroi_cli.io.pyramid.checks import FLOATS, MIXED_HINT, check_map
from msroi_cli.io.pyramid.geometry import padded_to
from msroi_cli.io.pyramid.levels import LevelChoice, finest_first, level_scales, scale_of, scales_in_order

EXPECTED = "a pyramid: float datasets (N, C, H, W), one group per image with datasets (C, H, W), or those of one image"

# Where none of the first members of a group is a level, it holds something else, as a file does that has many images.
MEMBERS_SAMPLED = 32


def level_datasets(
    group: InputGroup, location: Location, choice: LevelChoice, ranks: tuple[int, ...], *inside: str
) -> dict[str, InputDataset]:
    """The level datasets in a group, finest first: those of the user's names, or all float ones of the right rank.

    Empty if the group holds none of the user's names at all.
    """
    where = location.at(*inside)
    if choice.names is None:
        some = names(group, where, MEMBERS_SAMPLED)
        found = _fitting(group, some, location, ranks, inside)
        if found and len(some) == MEMBERS_SAMPLED:
            found = _fitting(group, names(group, where), location, ranks, inside)
        shapes = {name: shape_of(item, location.at(*inside, name)) for name, item in found.items()}
        return {name: found[name] for name in finest_first(shapes)}
    if not any(isinstance(member(group, name, location.at(*inside, name)), InputDataset) for name in choice.names):
        return {}
    return {name: dataset_in(group, name, location.at(*inside, name), "a dataset (C, H, W)") for name in choice.names}


def _fitting(
    group: InputGroup, among: Sequence[str], location: Location, ranks: tuple[int, ...], inside: tuple[str, ...]
) -> dict[str, InputDataset]:
    """The float datasets of the right rank among the members of a group."""
    found = {}
    for name in among:
        where = location.at(*inside, name)
        item = member(group, name, where)
        if isinstance(item, InputDataset) and len(item.shape or ()) in ranks and dtype_of(item, where).name in FLOATS:
            found[name] = item
    return found


def layout_of(dataset: InputDataset, where: str) -> str:
    """How a level lies, "chw" unless its attribute `layout` says "hwc"; raises InputError for other values."""
    return layout_from(attribute(dataset, "layout", where), where)


def shape_of(dataset: InputDataset, where: str) -> tuple[int, ...]:
    """The shape of a level, (C, H, W) or (N, C, H, W), in whichever layout it lies; raises InputError."""
    return channels_first(dataset.shape, layout_of(dataset, where))


def refuse_layout_beside(group: InputGroup, where: object) -> None:
    """Raises InputError for a group or file whose attribute `layout` says what each of its levels has to say."""
    value = attribute(group, "layout", where)
    if says_channels_last(value):
        got = value_text(value)
        raise InputError(f'{where}: layout: expected "hwc" on each level with channels last, got {got} beside them')


def _root_of(group: InputGroup) -> InputGroup:
    """The group at the top of the file that a group lies in."""
    return InputGroup(group.file["/"].id, group.input)


Scales = dict[str, tuple[float, float] | None]


def own_scales(datasets: dict[str, InputDataset], where: Location, group: InputGroup) -> Scales:
    """The scale that the file gives for each level: on its dataset, on the group of the levels, or on the file.

    A group or the file has one value, or one a level in the order of all levels of the group, finest first.
    Raises InputError for values that are no scales, and where two of these places do not agree.
    """
    own = {
        name: scale_of(
            where.at(name), *(attribute(dataset, key, where.at(name)) for key in ("stride", "spatial_scale"))
        )
        for name, dataset in datasets.items()
    }
    holders = [(group, str(where))]
    if group.name != "/":
        holders.append((_root_of(group), str(where.path)))
    for holder, at in holders:
        for name, scale in _beside(holder, at, where, group, datasets, required=None in own.values()).items():
            if name not in own or scale is None:
                continue
            known = own[name]
            if known is not None and not np.allclose(known, scale, rtol=1e-6):
                strides = (" x ".join(f"{1 / side:g}" for side in one) for one in (known, scale))
                raise InputError(
                    f"{where.at(name)}: expected one stride, got {' and '.join(strides)}, the second from {at} "
                    "(--strides or --scales settles it)"
                )
            own[name] = scale if known is None else known
    return own


def _beside(
    holder: InputGroup,
    at: str,
    where: Location,
    group: InputGroup,
    datasets: dict[str, InputDataset],
    *,
    required: bool,
) -> Scales:
    """The scales that the attributes of a group or of the file give for the levels of `group`.

    Where they are not `required`, attributes that are not one number or pair a level are something else.
    """
    stated = {key: attribute(holder, key, at) for key in ("stride", "spatial_scale")}
    if all(value is None for value in stated.values()):
        return {}
    every = list(level_datasets(group, where, LevelChoice(), (3, 4)) or datasets)
    try:
        return scales_in_order(at, stated, every)
    except InputError:
        if required:
            raise
        return {}


class Hdf5Pyramid(Pyramid):
    """What both layouts share: the file, the levels and their scales."""

    def __init__(self, file: OpenFile, location: Location) -> None:
        self.root = file.root
        self.location = location
        self.links = file.input.access.links
        self._file = file
        self._padded_to: tuple[int, int] | None = None

    def padded_to(self, image: int) -> tuple[int, int]:
        """As the attribute `about` of a file that msroi wrote says, which may be of something else in other files."""
        if self._padded_to is None:
            about = None
            with suppress(InputError):
                about = json_value(attribute(_root_of(self.root), "about", self.location.path))
            self._padded_to = padded_to(about)
        return self._padded_to

    def close(self) -> None:
        """Closes the file."""
        self._file.close()

    def _set_levels(
        self, datasets: dict[str, InputDataset], choice: LevelChoice, where: Location, group: InputGroup
    ) -> None:
        """Takes channels, dtype and scales from the sample image's levels."""
        refuse_layout_beside(group, where)
        refuse_layout_beside(_root_of(group), where.path)
        name, first = next(iter(datasets.items()))
        layouts = {name: layout_of(dataset, where.at(name)) for name, dataset in datasets.items()}
        check_map(where.at(name), first.shape, dtype_of(first, where.at(name)), layout=layouts[name])
        self.channels = channels_first(first.shape, layouts[name])[-3]
        self.dtype = first.dtype
        for name, dataset in datasets.items():
            like = (None if choice.mixed else self.channels, self.dtype)
            dtype = dtype_of(dataset, where.at(name))
            check_map(where.at(name), dataset.shape, dtype, like, MIXED_HINT, layouts[name])
        self.level_channels = tuple(shape_of(dataset, where.at(name))[-3] for name, dataset in datasets.items())
        given = choice.strides or choice.scales
        own: Scales = {} if given else own_scales(datasets, where, group)
        self.levels = level_scales(list(datasets), [own.get(name) for name in datasets], choice, where)
