"""Opens an HDF5 pyramid of any layout."""

from __future__ import annotations

from msroi_cli.errors import InputError
from msroi_cli.io.features.dataset import OpenFile
from msroi_cli.io.files.location import Location
from msroi_cli.io.hdf5.read import InputGroup, member, names, open_group
from msroi_cli.io.pyramid.base import Pyramid
from msroi_cli.io.pyramid.hdf5.batched import BatchedHdf5Pyramid
from msroi_cli.io.pyramid.hdf5.levels import MEMBERS_SAMPLED, level_datasets
from msroi_cli.io.pyramid.hdf5.per_image import EXPECTED, PerImageHdf5Pyramid
from msroi_cli.io.pyramid.levels import LevelChoice

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
        return PerImageHdf5Pyramid(file, location, choice)
    batched = level_datasets(file.root, location, choice, ranks=(4,))
    if batched:
        return BatchedHdf5Pyramid(file, location, batched, choice)
    single = level_datasets(file.root, location, choice, ranks=(3,))
    if not single or (choice.names is None and not OF_BOXES.isdisjoint(single)):
        return PerImageHdf5Pyramid(file, location, choice)
    if choice.names is None and _has_images(file, location):
        raise InputError(
            f"{location}: expected the levels of one image or groups of images, got datasets {', '.join(single)} "
            "beside groups with levels; --levels says which datasets are levels"
        )
    return BatchedHdf5Pyramid(file, location, single, choice)


def _has_images(file: OpenFile, location: Location) -> bool:
    """Whether one of the first groups holds levels."""
    for name in names(file.root, location, MEMBERS_SAMPLED):
        group = member(file.root, name, location.at(name))
        if isinstance(group, InputGroup) and level_datasets(group, location, LevelChoice(), (3, 4), name):
            return True
    return False
