"""Opens crops files that are alike much faster than HDF5 does, which takes some milliseconds for each.

A file that is not like one that is known is opened by way of HDF5. What the others say is read many files at a time.
"""

from __future__ import annotations

import os
from collections import defaultdict
from collections.abc import Sequence
from pathlib import Path

from msroi_cli.io.crops.folder.kinds import Kind, kind_like
from msroi_cli.io.crops.folder.part_file import PartFile
from msroi_cli.io.crops.folder.side_by_side import ReadFile, parts_of_kind

# So many kinds of files of one size, and of compressed ones of any size, are known at a time.
MOST_KINDS = 16

# Of files that wait for others of their kind.
WAITING_BYTES = 8 << 20


class AlikeFiles:
    """Opens parts, most of which are like one that was opened before."""

    def __init__(self) -> None:
        # Of files without compression by their size, and of all others.
        self._kinds: defaultdict[int, list[Kind]] = defaultdict(list)
        self._compressed: list[Kind] = []
        self._waiting: defaultdict[Kind, list[tuple[int, ReadFile]]] = defaultdict(list)
        self._bytes = 0
        self._found: dict[int, PartFile] = {}

    def open(self, paths: Sequence[Path]) -> list[PartFile]:
        """Parts; raises InputError as `Crops` does."""
        self._found = {}
        for number, path in enumerate(paths):
            self._open(number, path)
            if self._bytes >= WAITING_BYTES:
                self._read_waiting()
        self._read_waiting()
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
        finally:
            os.close(descriptor)

    def _is_known(self, number: int, path: Path, descriptor: int) -> bool:
        """Whether a file is of a kind that is known; it then waits for others."""
        status = os.fstat(descriptor)
        size = status.st_size
        crops, content = None, b""
        for kinds in (self._kinds[size], self._compressed):
            for place, kind in enumerate(kinds):
                if kind.crops != crops:
                    crops, content = kind.crops, kind.content(descriptor, size)
                if kind.has(content):
                    # Files that follow each other are alike: the next one is compared with this kind first.
                    kinds.insert(0, kinds.pop(place))
                    self._waiting[kind].append((number, ReadFile(path, status, content)))
                    self._bytes += len(content)
                    return True
        return False

    def _read_waiting(self) -> None:
        """Reads what the files say that wait; one with anything wrong goes by way of HDF5, which says what."""
        for kind, waiting in self._waiting.items():
            parts = parts_of_kind(kind, [file for _, file in waiting])
            for (number, file), part in zip(waiting, parts, strict=True):
                self._found[number] = part or PartFile.opened(file.path)
        self._waiting.clear()
        self._bytes = 0

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
