"""Opens crops files that are alike much faster than HDF5 does, which takes some milliseconds for each.

A file that is not like one that is known is opened by way of HDF5. What the others say is taken many files at a time.
"""

from __future__ import annotations

import os
from collections import defaultdict
from collections.abc import Sequence
from pathlib import Path

from msroi_cli.io.crops.folder.kinds import Kind, kind_like
from msroi_cli.io.crops.folder.part_file import PartFile
from msroi_cli.io.crops.folder.side_by_side import FilesOfKind

# So many kinds of files of one size, and of compressed ones of any size, are known at a time.
MOST_KINDS = 16

# Of the buffers of all kinds. Of a kind's own: the rest of the work on its files then finds them in the cache.
BUFFER_BYTES, KIND_BYTES = 16 << 20, 1 << 20


class AlikeFiles:
    """Opens parts, most of which are like one that was opened before."""

    def __init__(self) -> None:
        # Of files without compression by their size, and of all others.
        self._kinds: defaultdict[int, list[Kind]] = defaultdict(list)
        self._compressed: list[Kind] = []
        self._read: dict[Kind, FilesOfKind] = {}
        self._found: dict[int, PartFile] = {}

    def open(self, paths: Sequence[Path]) -> list[PartFile]:
        """Parts; raises InputError as `Crops` does."""
        self._found = {}
        for number, path in enumerate(paths):
            self._open(number, path)
        self._take_all()
        return [self._found[number] for number in range(len(paths))]

    def _open(self, number: int, path: Path) -> None:
        """Reads a file of a kind that is known, and opens any other."""
        try:
            descriptor = os.open(path, os.O_RDONLY | getattr(os, "O_CLOEXEC", 0))
        except OSError:
            self._found[number] = PartFile.opened(path)
            return
        try:
            if not self._is_known(number, path, descriptor):
                self._found[number] = self._new(path, descriptor)
                # If it is now, it is compared with its checksums.
                self._is_known(number, path, descriptor)
        finally:
            os.close(descriptor)

    def _is_known(self, number: int, path: Path, descriptor: int) -> bool:
        """Whether a file is of a kind that is known; it is then among the files of this kind."""
        status = os.fstat(descriptor)
        for kinds in (self._kinds[status.st_size], self._compressed):
            for place, kind in enumerate(kinds):
                files = self._read.get(kind) or self._room_for(kind)
                if files.add(number, path, descriptor, status):
                    # Files that follow each other are alike: the next one is compared with this kind first.
                    if place:
                        kinds.insert(0, kinds.pop(place))
                    if files.full:
                        self._take(files)
                    return True
        return False

    def _room_for(self, kind: Kind) -> FilesOfKind:
        """A buffer for files of a kind, in place of all others where there are too many."""
        files = FilesOfKind(kind, max(1, KIND_BYTES // kind.size))
        if sum(other.size for other in self._read.values()) + files.size > BUFFER_BYTES:
            self._take_all()
        self._read[kind] = files
        return files

    def _take_all(self) -> None:
        for files in self._read.values():
            self._take(files)
        self._read.clear()

    def _take(self, files: FilesOfKind) -> None:
        """Takes what the files say; one with anything wrong goes by way of HDF5, which says what."""
        for number, path, part in files.take():
            self._found[number] = part or self._found.get(number) or PartFile.opened(path)

    def _new(self, path: Path, descriptor: int) -> PartFile:
        """Opens a file by way of HDF5, and remembers its kind."""
        found = PartFile.opened(path)
        size = os.fstat(descriptor).st_size
        plain = found.first is not None or not found.size
        kinds = self._kinds[size] if plain else self._compressed
        if plain or found.compression is not None:
            kind = kind_like(path, found, descriptor, size)
            if kind is not None:
                # In place of the kind that was met longest ago.
                kinds.insert(0, kind)
                del kinds[MOST_KINDS:]
        return found
