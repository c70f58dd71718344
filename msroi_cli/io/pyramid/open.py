"""Opens a pyramid of any format; the only module that knows all of them."""

from __future__ import annotations

from msroi_cli.errors import InputError
from msroi_cli.io.files.location import Location
from msroi_cli.io.files.refusal import refusing
from msroi_cli.io.pyramid.base import Pyramid
from msroi_cli.io.pyramid.levels import LevelChoice


def open_pyramid(text: str, choice: LevelChoice | None = None) -> Pyramid:
    """Opens the pyramid `FILE` or `FILE::/group`: HDF5, NPZ or JSON, told apart by content.

    Raises InputError, or UsageError where the strides are not known.
    """
    from msroi_cli.io.pyramid.hdf5 import open_hdf5_pyramid
    from msroi_cli.io.pyramid.json_file import JsonPyramid
    from msroi_cli.io.pyramid.npz import NpzPyramid

    location = Location.parse(text)
    choice = choice or LevelChoice()
    kind = location.kind()
    if kind != "HDF5" and location.group != "/":
        raise InputError(f"{location}: expected an HDF5 file, which has groups, got {kind}")
    with refusing(location):
        return {"HDF5": open_hdf5_pyramid, "NPZ": NpzPyramid, "JSON": JsonPyramid}[kind](location, choice)
