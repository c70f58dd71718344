"""Opens a pyramid of any format; the only module that knows all of them. It imports the one that is read."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from msroi_cli.errors import InputError, UsageError
from msroi_cli.io.files.access import Links
from msroi_cli.io.files.location import Location
from msroi_cli.io.files.refusal import refusing
from msroi_cli.io.pyramid.base import Pyramid
from msroi_cli.io.pyramid.levels import LevelChoice
from msroi_cli.io.pyramid.many.paths import SUFFIXES, member_locations


def open_pyramid(text: str, choice: LevelChoice | None = None) -> Pyramid:
    """Opens the pyramid `FILE` or `FILE::/group`: HDF5, NPZ, safetensors or JSON, told apart by content.

    Also a folder of `.npy` files; or several pyramids as one: a folder of them, a glob pattern, `@list.txt`.
    Raises InputError, or UsageError where the strides are not known.
    """
    choice = choice or LevelChoice()
    choice = choice._replace(access=choice.access._replace(links=Links()))
    members = member_locations(text)
    if members is not None and (len(members) > 1 or str(members[0].path) != text):
        from msroi_cli.io.pyramid.hdf5.quick import QuickLocator
        from msroi_cli.io.pyramid.many.joined import JoinedPyramid

        return JoinedPyramid(Location(Path(text)), members, choice, open_one, QuickLocator.like)
    location = Location.parse(text)
    pyramid = open_one(location, choice)
    try:
        _refuse_files_beside(location, pyramid)
    except BaseException:
        pyramid.close()
        raise
    return pyramid


def _refuse_files_beside(location: Location, pyramid: Pyramid) -> None:
    """Raises InputError for pyramid files in a folder of `.npy` files that have one of its levels, too."""
    if not location.path.is_dir():
        return
    levels = {level.name for level in pyramid.levels}
    for path in sorted(path for path in location.path.iterdir() if path.suffix.lower() in SUFFIXES):
        try:
            with open_one(Location(path), LevelChoice(scales_needed=False, mixed=True)) as other:
                shared = levels.intersection(level.name for level in other.levels)
        except (InputError, UsageError):
            continue
        if shared:
            raise InputError(
                f"{location}: expected .npy files or pyramid files, got {min(shared)} as both, in {path.name}, too "
                "(a pattern or @list.txt names the files of one)"
            )


def open_one(location: Location, choice: LevelChoice) -> Pyramid:
    """Opens the pyramid that one file or one folder of `.npy` files is; raises InputError or UsageError."""
    if location.path.is_dir():
        return OPENERS["folder"](location, choice)
    kind = "safetensors" if location.is_safetensors() else location.kind()
    if kind != "HDF5" and location.group != "/":
        raise InputError(f"{location}: expected an HDF5 file, which has groups, got {kind}")
    if kind != "HDF5" and choice.group is not None:
        raise UsageError(f"--group: expected with an HDF5 file, which has groups, got {kind} in {location}")
    with refusing(location):
        return OPENERS[kind](location, choice)


def _open_hdf5(location: Location, choice: LevelChoice) -> Pyramid:
    from msroi_cli.io.pyramid.hdf5.open import open_hdf5_pyramid

    return open_hdf5_pyramid(location, choice)


def _open_npz(location: Location, choice: LevelChoice) -> Pyramid:
    from msroi_cli.io.pyramid.arrays.npz import NpzPyramid

    return NpzPyramid(location, choice)


def _open_json(location: Location, choice: LevelChoice) -> Pyramid:
    from msroi_cli.io.pyramid.arrays.json_file import JsonPyramid

    return JsonPyramid(location, choice)


def _open_safetensors(location: Location, choice: LevelChoice) -> Pyramid:
    from msroi_cli.io.pyramid.arrays.safetensors import open_safetensors

    return open_safetensors(location, choice)


def _open_folder(location: Location, choice: LevelChoice) -> Pyramid:
    from msroi_cli.io.pyramid.arrays.npy_folder import open_npy_folder

    return open_npy_folder(location, choice)


OPENERS: dict[str, Callable[[Location, LevelChoice], Pyramid]] = {
    "HDF5": _open_hdf5,
    "NPZ": _open_npz,
    "JSON": _open_json,
    "safetensors": _open_safetensors,
    "folder": _open_folder,
}
