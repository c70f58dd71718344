"""What an HDF5 input may lead to: other files, which are noted when they are opened, and values never written."""

from __future__ import annotations

import os
from pathlib import Path, PurePosixPath
from typing import NamedTuple

from msroi_cli.errors import InputError, UnlistedLinkError, unreadable
from msroi_cli.io.files.location import Source


class FileState(NamedTuple):
    """What changes when a file is written to or replaced."""

    inode: int
    size: int
    modified: int

    @classmethod
    def of(cls, status: os.stat_result) -> FileState:
        """The state that `stat` gives."""
        return cls(status.st_ino, status.st_size, status.st_mtime_ns)


class Links:
    """The files that an input's links lead to, each noted when it is opened, with its state."""

    def __init__(self) -> None:
        self._states: dict[Path, FileState] = {}
        self._listed = False

    def __bool__(self) -> bool:
        return bool(self._states)

    @property
    def paths(self) -> list[Path]:
        """The files noted so far."""
        return list(self._states)

    def note(self, path: Path, where: object) -> None:
        """Notes a file that is going to be read for `where`.

        Raises InputError if it has changed since it was noted first, UnlistedLinkError if the list has been closed.
        """
        try:
            state = FileState.of(path.stat())
        except OSError as error:
            raise unreadable(path, error) from error
        known = path in self._states
        if self._states.setdefault(path, state) != state:
            raise _changed(path)
        if self._listed and not known:
            raise UnlistedLinkError(f"{where}: expected links to files that earlier images lead to, got one to {path}")

    def close_list(self, closed: bool = True) -> None:
        """Takes no more files, until the list is opened again."""
        self._listed = closed

    def sources(self, folder: Path) -> dict[str, Source]:
        """What stands for the content of each file, by its path from `folder` on, or its whole path if it has none.

        Raises InputError for a file that has changed since it was noted.
        """
        found: dict[str, Source] = {}
        for path, state in self._states.items():
            whole = path.absolute()
            name = str(whole.relative_to(folder) if whole.is_relative_to(folder) else whole)
            found[name] = Source.of_linked_file(path)
            if FileState.of(path.stat()) != state:
                raise _changed(path)
        return dict(sorted(found.items()))


def _changed(path: Path) -> InputError:
    return InputError(f"{path}: expected the file to stay as it is while it is read, got another content")


class Access(NamedTuple):
    """What the user allows besides reading the named file.

    external: other files under any name, not only below the file's own folder. fill: values that were never written,
    as their fill value. links: where other files are noted; None where nobody asks for them.
    """

    external: bool = False
    fill: bool = False
    links: Links | None = None

    def note(self, path: Path, where: object) -> None:
        """Notes another file that is going to be read; raises as `Links.note`."""
        if self.links is not None:
            self.links.note(path, where)


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
