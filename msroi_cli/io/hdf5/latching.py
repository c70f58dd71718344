"""A file for h5py to write to that keeps the first failed write, which HDF5 itself may overlook.

HDF5 writes some of its metadata when handles are closed, and h5py closes many of them where an exception cannot be
raised: a full disk may then go by with a message and a file that is not whole.
"""

from __future__ import annotations

import io
import os
from typing import Any

import numpy as np
from numpy.typing import NDArray

from msroi_cli.io.files.durability import sync_data, write_all


class LatchingFile(io.RawIOBase):
    """A file that gets its length when it is closed as whole.

    descriptor: of a file open to read and write; it is owned. size: the bytes that h5py finds in it. Large arrays may
    be `put` beside HDF5, to the places that HDF5 has set aside for them. `put`, `sync` and `close` raise the first
    OSError of a write.
    """

    def __init__(self, descriptor: int, size: int = 0) -> None:
        self._descriptor = descriptor
        self._position = 0
        self._size = size
        self.failure: OSError | None = None

    def readable(self) -> bool:
        """It is."""
        return True

    def writable(self) -> bool:
        """It is."""
        return True

    def seekable(self) -> bool:
        """It is."""
        return True

    def seek(self, offset: int, whence: int = os.SEEK_SET) -> int:
        """Moves to `offset` from the start, from here or from the end."""
        self._position = {os.SEEK_SET: 0, os.SEEK_CUR: self._position, os.SEEK_END: self._size}[whence] + offset
        return self._position

    def readinto(self, buffer: Any) -> int:
        """Reads where it is."""
        count = os.preadv(self._descriptor, [buffer], self._position)
        self._position += count
        return count

    def write(self, content: Any) -> int:
        """Writes where it is, or keeps why that failed."""
        size = memoryview(content).nbytes
        try:
            write_all(self._descriptor, content, self._position)
        except OSError as error:
            self.failure = self.failure or error
        self._position += size
        self._size = max(self._size, self._position)
        return size

    def truncate(self, size: int | None = None) -> int:
        """Sets the length that the file will have once it is whole."""
        self._size = self._position if size is None else size
        return self._size

    def put(self, offset: int, array: NDArray[Any]) -> None:
        """Writes the values of an array, C-contiguous, at `offset`; raises OSError."""
        self._raise_failure()
        if array.size:
            write_all(self._descriptor, array.reshape(-1).view(np.uint8), offset)

    def sync(self) -> None:
        """Has the disk take all that was put; raises OSError."""
        self._raise_failure()
        sync_data(self._descriptor)

    def close(self, whole: bool = False) -> None:
        """Closes the file. whole: it gets its length, and a failed write is raised as OSError."""
        if not self.closed:
            try:
                if whole:
                    self._raise_failure()
                    os.ftruncate(self._descriptor, self._size)
            finally:
                os.close(self._descriptor)
                super().close()

    def _raise_failure(self) -> None:
        if self.failure is not None:
            raise self.failure
