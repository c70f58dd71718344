"""Which files a PYRAMID of several names: a folder, a glob pattern, or a list of paths `@list.txt`."""

from __future__ import annotations

import glob
import os
from pathlib import Path

from msroi_cli.errors import InputError, MsroiError, UsageError, unreadable
from msroi_cli.io.files.location import Location
from msroi_cli.io.files.natural import natural_key

SUFFIXES = (".h5", ".hdf5", ".hdf", ".npz", ".safetensors")
"""The files of a folder that are taken for pyramids; others are named one by one, by a pattern or by a list."""

PATTERN = "a folder, a quoted pattern such as 'maps/*.h5', or @list.txt"


def member_locations(text: str) -> list[Location] | None:
    """The pyramids that `text` names, in natural order of their paths, lists in their own; None if it is one file.

    Raises InputError if it names none, or a list names one that is not there, UsageError if a listed name is ambiguous.
    """
    outer = Location.parse(text)
    path = outer.path
    if str(path).startswith("@"):
        found = _listed(Path(str(path)[1:]))
    elif path.is_dir():
        if holds_arrays(path):
            return None
        found = _in_folder(path)
    elif not path.exists() and glob.has_magic(str(path)):
        # Path.glob takes no absolute patterns.
        matches = glob.glob(str(path), recursive=True)  # noqa: PTH207
        found = [location for name in matches for location in _expanded(Path(name))]
    else:
        return None
    if not found:
        raise InputError(f"{text}: expected pyramid files ({', '.join(SUFFIXES)} or folders of .npy), got none")
    if not str(path).startswith("@"):
        found.sort(key=lambda location: natural_key(str(location.path)))
    return [_inside(location, outer.group) for location in found]


def holds_arrays(folder: Path) -> bool:
    """Whether a folder is a pyramid itself: a `.npy` file a level."""
    try:
        with os.scandir(folder) as entries:
            return any(entry.name.endswith(".npy") and not entry.name.startswith(".") for entry in entries)
    except OSError as error:
        raise unreadable(folder, error) from error


def files_of(location: Location) -> list[Path]:
    """The files of a pyramid: itself, or those of a folder of `.npy` files."""
    return sorted(location.path.glob("*.npy")) if location.path.is_dir() else [location.path]


def input_paths(*texts: str | Path | None) -> list[Path]:
    """The paths behind names of inputs: FILE, FILE::/group, a folder, a pattern, @list.txt; none behind None and `-`.

    What is behind a pattern or a list that is wrong is left out: whoever reads it says what is wrong.
    """
    found = []
    for text in texts:
        if text is None or str(text) == "-":
            continue
        path = Location.parse(str(text)).path
        if str(path).startswith("@"):
            found.append(Path(str(path)[1:]))
        if path.is_dir():
            found.append(path)
            continue
        try:
            found += [location.path for location in member_locations(str(text)) or [Location(path)]]
        except MsroiError:
            found.append(path)
    return found


def _inside(location: Location, group: str) -> Location:
    """The same group in every file, unless a list names one for this file."""
    return location if location.group != "/" else Location(location.path, group)


def _expanded(path: Path) -> list[Location]:
    """What one match of a pattern is: a pyramid, or a folder of them."""
    return [Location(path)] if not path.is_dir() or holds_arrays(path) else _in_folder(path)


def _in_folder(folder: Path) -> list[Location]:
    """The pyramids in a folder and the folders below it; hidden names are left out."""

    def refuse(error: OSError) -> None:
        raise unreadable(error.filename, error) from error

    found = []
    for name, folders, files in os.walk(folder, onerror=refuse):
        visible = [file for file in files if not file.startswith(".")]
        if any(file.endswith(".npy") for file in visible):
            found.append(Location(Path(name)))
            folders.clear()
            continue
        folders[:] = [inner for inner in folders if not inner.startswith(".")]
        found += [Location(Path(name, file)) for file in visible if file.lower().endswith(SUFFIXES)]
    return found


def _listed(list_file: Path) -> list[Location]:
    """The paths in a text file, one a line; relative ones from the current folder or from the list's."""
    try:
        text = list_file.read_text(encoding="utf-8-sig")
    except (OSError, UnicodeDecodeError) as error:
        raise InputError(f"{list_file}: expected a text file of paths, got: {error}") from error
    found = []
    for number, line in enumerate(text.splitlines(), start=1):
        if line.strip():
            found.append(_listed_one(f"{list_file}:{number}", Location.parse(line.strip()), list_file.parent))
    return found


def _listed_one(where: str, location: Location, folder: Path) -> Location:
    here, beside = location.path, folder / location.path
    if here.exists() and beside.exists() and not here.samefile(beside):
        raise UsageError(
            f"{where}: expected one file of that name, got {here} in the current folder and {beside} beside the list; "
            "list absolute paths"
        )
    if not here.exists() and not beside.exists():
        raise InputError(f"{where}: expected the path of a pyramid, got no such file: {here}")
    return Location(here if here.exists() else beside, location.group)
