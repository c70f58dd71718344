"""Opens an HDF5 pyramid of any layout; imports the one that is found."""

from __future__ import annotations

from collections.abc import Mapping

from msroi_cli.errors import InputError
from msroi_cli.io.features.dataset import OpenFile
from msroi_cli.io.files.location import Location
from msroi_cli.io.hdf5.read import InputDataset, InputGroup, member, names, open_group
from msroi_cli.io.pyramid.base import Pyramid
from msroi_cli.io.pyramid.hdf5.levels import EXPECTED, MEMBERS_SAMPLED, level_datasets
from msroi_cli.io.pyramid.levels import LevelChoice, refuse_other_levels

# A file with one of these at the top is a box file, whatever the shape.
OF_BOXES = {"rois", "boxes"}


def open_hdf5_pyramid(location: Location, choice: LevelChoice) -> Pyramid:
    """Opens a pyramid and finds out its layout; raises InputError or UsageError."""
    root = open_group(location, EXPECTED, choice.access)
    try:
        file = OpenFile(root)
    except BaseException:
        root.close()
        raise
    try:
        return _opened(file, location, choice)
    except BaseException:
        file.close()
        raise


def _opened(file: OpenFile, location: Location, choice: LevelChoice) -> Pyramid:
    """The pyramid of the layout that is found: batched, else per image, else one image."""
    if choice.group is not None:
        return _per_image(file, location, choice)
    batched = level_datasets(file.root, location, choice, ranks=(4,))
    if batched:
        _refuse_images(file, location, choice, batched)
        _refuse_others(file, location, choice, batched)
        return _batched(file, location, batched, choice)
    single = level_datasets(file.root, location, choice, ranks=(3,))
    if not single or (choice.names is None and not OF_BOXES.isdisjoint(single)):
        return _per_image(file, location, choice)
    _refuse_images(file, location, choice, single)
    _refuse_others(file, location, choice, single)
    return _batched(file, location, single, choice)


def _batched(file: OpenFile, location: Location, levels: dict[str, InputDataset], choice: LevelChoice) -> Pyramid:
    from msroi_cli.io.pyramid.hdf5.batched import BatchedHdf5Pyramid

    return BatchedHdf5Pyramid(file, location, levels, choice)


def _per_image(file: OpenFile, location: Location, choice: LevelChoice) -> Pyramid:
    from msroi_cli.io.pyramid.hdf5.per_image import PerImageHdf5Pyramid

    return PerImageHdf5Pyramid(file, location, choice)


def _refuse_images(file: OpenFile, location: Location, choice: LevelChoice, levels: Mapping[str, InputDataset]) -> None:
    """Raises InputError for groups of images beside the datasets `levels`, unless the user names these alone."""
    named = LevelChoice() if choice.only else LevelChoice(choice.names)
    for name in names(file.root, location, MEMBERS_SAMPLED):
        group = member(file.root, name, location.at(name))
        found = level_datasets(group, location, named, (3, 4), name) if isinstance(group, InputGroup) else {}
        if any(_of_one_image(dataset) and dataset != levels.get(key) for key, dataset in found.items()):
            raise InputError(
                f"{location}: expected levels or groups of images with levels, got datasets {', '.join(levels)} beside "
                "such groups; --levels names the datasets that are levels, --group '{id}' takes the groups"
            )


def _of_one_image(dataset: InputDataset) -> bool:
    return dataset.ndim == 3 or (dataset.ndim == 4 and len(dataset) == 1)


def _refuse_others(file: OpenFile, location: Location, choice: LevelChoice, levels: Mapping[str, InputDataset]) -> None:
    """Raises InputError for a dataset like `levels` that the other files of a pyramid lack."""
    if choice.only:
        ranks = tuple({dataset.ndim for dataset in levels.values()})
        every = level_datasets(file.root, location, choice._replace(names=None), ranks)
        refuse_other_levels(location, every, choice)
