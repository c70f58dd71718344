"""Opens what an HDF5 file holds, and follows links to other files only where that is allowed.

HDF5 follows links by itself, and looks for their files in more than one folder. It is therefore given a way to open
linked files that always fails; what fails is opened again here, name by name, and each link is checked before its file
is opened.
"""

from __future__ import annotations

import atexit
import io
import os
from collections.abc import Iterator
from functools import cached_property
from pathlib import Path
from typing import Any, NamedTuple

import h5py

from msroi_cli.errors import InputError
from msroi_cli.io.files.access import Access, linked_path
from msroi_cli.io.files.system.lock import NO_LOCKS
from msroi_cli.io.hdf5.structure.heaps import check_heap_of, check_heaps
from msroi_cli.io.hdf5.structure.superblock import end_of

# As many links may follow on each other, which is HDF5's own limit.
MOST_LINKS = 16


class InputFile:
    """An HDF5 file open for reading, and the files that it links to, opened when they are needed first."""

    def __init__(self, path: Path, access: Access) -> None:
        self.path = path
        self.access = access
        self.file = opened(path)
        self._linked: dict[Path, InputFile] = {}
        self._named: dict[str, InputFile] = {}
        self._heaps_are_sound = False
        self._sound_heaps: set[int] = set()

    @cached_property
    def end(self) -> int:
        """The bytes of the file that HDF5 reads; values lie before."""
        return end_of(self.path)

    def linked(self, name: str, where: object) -> InputFile:
        """The file of a link; raises InputError if it may not be read, and what h5py raises if it cannot be opened."""
        known = self._named.get(name)
        path = linked_path(self.path.parent, name, self.access, where) if known is None else known.path
        self.access.note(path, where)
        if known is None:
            if path not in self._linked:
                self._linked[path] = InputFile(path, self.access)
            self._named[name] = known = self._linked[path]
        return known

    def check_heaps(self) -> None:
        """Checks, once, what holds strings of variable length; raises InputError, OSError as reading does."""
        if not self._heaps_are_sound:
            check_heaps(self.path)
            self._heaps_are_sound = True

    def check_heap_of(self, item: Any, name: bytes) -> None:
        """Checks what holds the text of an attribute of an object of this file; raises as `check_heaps` does."""
        plain = not self._heaps_are_sound and self.file.userblock_size == 0
        if not plain or not check_heap_of(self.path, h5py.h5o.get_info(item).addr, name, self._sound_heaps):
            self.check_heaps()

    def linked_paths(self) -> Iterator[Path]:
        """The linked files that are open, and those that they link to."""
        for path, file in self._linked.items():
            yield path
            yield from file.linked_paths()

    def close(self) -> None:
        """Closes the file and those that it links to."""
        for file in self._linked.values():
            file.close()
        self.file.close()


def opened(path: Path) -> h5py.File:
    """Opens a file for reading, without a lock where the file system has none; raises what h5py raises."""
    try:
        return h5py.File(path, "r")
    except OSError as error:
        if error.errno not in NO_LOCKS or "lock" not in str(error):
            raise
    return h5py.File(path, "r", locking=False)


class Found(NamedTuple):
    """An open object, and the file that it lies in."""

    object: Any
    file: InputFile


class _NoFile(io.RawIOBase):
    """Has no content: HDF5 finds no file in it."""

    def readinto(self, buffer: Any) -> int:
        """Reads nothing."""
        return 0

    def seek(self, offset: int, whence: int = os.SEEK_SET) -> int:
        """Stays."""
        return 0


def _within_one_file() -> h5py.h5p.PropLAID:
    """Link access in which no other file can be opened."""
    no_file = h5py.h5p.create(h5py.h5p.FILE_ACCESS)
    no_file.set_fileobj_driver(h5py.h5fd.fileobj_driver, _NoFile())
    access = h5py.h5p.create(h5py.h5p.LINK_ACCESS)
    access.set_elink_fapl(no_file)
    # Both hold a Python object, which HDF5 must not release after Python has ended.
    atexit.register(lambda: (access._close(), no_file._close()))
    return access


WITHIN_ONE_FILE = _within_one_file()


def open_object(group: Any, name: bytes, file: InputFile, where: object) -> Found | None:
    """The object `name` of the group with the HDF5 identifier `group` in `file`; None if there is none.

    Raises InputError for a link that may not be followed or leads nowhere, and what h5py raises for damaged ones.
    """
    try:
        return Found(h5py.h5o.open(group, name, WITHIN_ONE_FILE), file)
    except (KeyError, OSError, RuntimeError, ValueError):
        found = _walk(Found(group, file), name, where, MOST_LINKS)
        if found is not None and found.file is file:
            # No link led elsewhere: HDF5 found damage, which it may not find a second time.
            raise
    return found


def _walk(start: Found, path: bytes, where: object, links: int) -> Found | None:
    """Follows `path` name by name; None if one of them does not exist."""
    found: Found | None = start
    if path.startswith(b"/"):
        found = Found(h5py.h5o.open(start.file.file.id, b"/", WITHIN_ONE_FILE), start.file)
    for name in path.split(b"/"):
        if found is None or name in (b"", b"."):
            continue
        found = _step(found, name, where, links)
    return found


def _step(at: Found, name: bytes, where: object, links: int) -> Found | None:
    if not isinstance(at.object, h5py.h5g.GroupID) or not at.object.links.exists(name):
        return None
    kind = at.object.links.get_info(name).type
    if kind == h5py.h5l.TYPE_HARD:
        return Found(h5py.h5o.open(at.object, name, WITHIN_ONE_FILE), at.file)
    if not links:
        raise InputError(f"{where}: cannot be opened: more than {MOST_LINKS} links follow on each other")
    target = at.object.links.get_val(name)
    if kind == h5py.h5l.TYPE_SOFT:
        found = _walk(at, target, where, links - 1)
    elif kind == h5py.h5l.TYPE_EXTERNAL:
        linked = at.file.linked(os.fsdecode(target[0]), where)
        found = _walk(Found(linked.file.id, linked), b"/" + target[1], where, links - 1)
    else:
        raise InputError(f"{where}: cannot be opened: a link of a kind that is not supported")
    if found is None:
        raise InputError(f"{where}: expected a group or dataset, got a link to something that is not there")
    return found
