"""Files of features that are opened by name when they are read."""

from __future__ import annotations

import os
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from typing import Any

from msroi_cli.errors import InputError, RunError, unreadable
from msroi_cli.io.features.contiguous import RawFile
from msroi_cli.io.features.trips import trips_of_device
from msroi_cli.io.files.access import FileState
from msroi_cli.io.files.handles import Handles

NOT_OPEN = -1


@dataclass(slots=True, eq=False)
class OpenedByName(RawFile):
    """A file that is open while it is read, and as long as `descriptors` has room for it.

    state: what the file was when its maps were located; a file that has changed since is not read.
    """

    state: FileState
    descriptors: Handles[str, int]

    @classmethod
    def of(cls, name: str, descriptors: Handles[str, int]) -> OpenedByName:
        """The file as it is now; raises InputError if there is none."""
        try:
            found = os.stat(name)  # noqa: PTH116
            return cls(NOT_OPEN, name, FileState.of(found), descriptors, trips=trips_of_device(found.st_dev))
        except OSError as error:
            raise unreadable(name, error) from error

    def expect(self, start: int, stop: int) -> None:
        """As for an open file; what cannot be opened, whoever reads it says so."""
        with suppress(RunError), self.descriptors.using(self.name) as descriptor:
            RawFile(descriptor, self.name).expect(start, stop)

    def read_into(self, buffers: Sequence[Any], offset: int, where: str) -> None:
        """As for an open file; raises InputError where it has changed, RunError where it cannot be opened."""
        with self.descriptors.using(self.name) as descriptor:
            if FileState.of(os.fstat(descriptor)) != self.state:
                raise InputError(
                    f"{where}: expected {self.name} to stay as it is while it is read, got another content"
                )
            RawFile(descriptor, self.name).read_into(buffers, offset, where)


def descriptor_pool() -> Handles[str, int]:
    """A bounded number of descriptors by file name."""
    return Handles(_open, os.close)


def _open(name: str) -> int:
    try:
        return os.open(name, os.O_RDONLY)
    except OSError as error:
        raise RunError(f"{name}: cannot be read: {error.strerror or error}") from error
