"""What an HDF5 input may lead to: other files, and values that were never written."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path, PurePosixPath

from msroi_cli.errors import InputError


@dataclass(frozen=True, slots=True)
class Access:
    """What the user allows besides reading the named file.

    external: other files under any name, not only below the file's own folder. fill: values that were never written,
    as their fill value.
    """

    external: bool = False
    fill: bool = False


NAMED_FILE = Access()


def linked_path(folder: Path, name: str, access: Access, where: object) -> Path:
    """The file `name` to which an HDF5 file in `folder` leads.

    Raises InputError unless it is a regular file and lies below the folder, or may lie elsewhere.
    """
    path = folder / name
    if not access.external:
        if PurePosixPath(name).is_absolute() or ".." in PurePosixPath(name).parts:
            _refuse(where, name)
        if not path.resolve().is_relative_to(folder.resolve()):
            _refuse(where, f"{name}, a symbolic link to {path.resolve()}")
    if not path.exists():
        raise InputError(f"{where}: expected a group or dataset, got a link to something that is not there, {name}")
    if not path.is_file():
        raise InputError(f"{where}: expected a link to a file, got one to {name}, which is something else")
    return path


def _refuse(where: object, target: str) -> None:
    allowed = "expected links to files below the folder of the file"
    raise InputError(f"{where}: {allowed}, got {target}; pyramids with others are read with --allow-external")
