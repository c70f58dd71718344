"""Writing HDF5 files so that no failed write goes unnoticed.

HDF5 writes some of its metadata when handles are closed, and h5py closes many of them where an exception cannot be
raised: a full disk may then go by with a message and a file that is not whole. Here HDF5 writes through a Python file
that reports success to HDF5, and keeps the first error to be raised when the file is closed.
"""

from __future__ import annotations

import io
import os
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import h5py
import numpy as np
from numpy.typing import NDArray

from msroi_cli.errors import InputError
from msroi_cli.io.files.durability import write_all
from msroi_cli.io.files.work import reopen


@contextmanager
def hdf5_file(path: Path) -> Iterator[h5py.File]:
    """Yields the HDF5 file `path`, a file that is there and is emptied, to write to.

    Raises OSError at the end if any write failed.
    """
    file = _ErrorLatchingFile(path)
    try:
        with h5py.File(file, "w") as written:
            yield written
    except Exception as error:
        if file.error is not None:
            raise file.error from error
        raise
    finally:
        file.close()
    if file.error is not None:
        raise file.error


class _ErrorLatchingFile(io.RawIOBase):
    """A file to read and write; `error` is the first OSError of a write or a change of length."""

    def __init__(self, path: Path) -> None:
        self._descriptor = reopen(path, os.O_TRUNC)
        self._position = 0
        self.error: OSError | None = None

    def readable(self) -> bool:
        """True."""
        return True

    def writable(self) -> bool:
        """True."""
        return True

    def seekable(self) -> bool:
        """True."""
        return True

    def seek(self, offset: int, whence: int = os.SEEK_SET) -> int:
        """Sets the position; see `io.IOBase.seek`."""
        base = {os.SEEK_SET: 0, os.SEEK_CUR: self._position, os.SEEK_END: os.fstat(self._descriptor).st_size}
        self._position = base[whence] + offset
        return self._position

    def readinto(self, buffer: Any) -> int:
        """Reads at the position."""
        count = os.preadv(self._descriptor, [buffer], self._position)
        self._position += count
        return count

    def write(self, content: Any) -> int:
        """Writes at the position; keeps the error if that fails."""
        size = memoryview(content).nbytes
        try:
            write_all(self._descriptor, content, self._position)
        except OSError as error:
            self.error = self.error or error
        self._position += size
        return size

    def truncate(self, size: int | None = None) -> int:
        """Sets the length; keeps the error if that fails."""
        length = self._position if size is None else size
        try:
            os.ftruncate(self._descriptor, length)
        except OSError as error:
            self.error = self.error or error
        return length

    def close(self) -> None:
        """Closes the descriptor."""
        if not self.closed:
            os.close(self._descriptor)
        super().close()


# In bytes of UTF-8. Every id takes as much room as the longest one.
LONGEST_TEXT = 1024

# An attribute of fixed length lies in a header, which has at most 64 KiB.
LONGEST_IN_HEADER = 60_000


def set_texts(item: h5py.HLObject, values: Mapping[str, str]) -> None:
    """Sets attributes to texts of fixed length, which no damage can make HDF5 look for elsewhere.

    One that is too long for that has a variable length.
    """
    for name, text in values.items():
        content = text.encode()
        if len(content) > LONGEST_IN_HEADER:
            item.attrs[name] = text
        else:
            kind = h5py.string_dtype("utf-8", max(1, len(content)))
            item.attrs.create(name, np.array(content, kind), dtype=kind)


def fixed_texts(where: object, texts: Sequence[str]) -> NDArray[Any]:
    """Texts (N,) as strings of one length, in UTF-8; raises InputError for those that cannot be such strings."""
    content = [_fixed(where, text) for text in texts]
    return np.array(content, h5py.string_dtype("utf-8", max(1, *map(len, content), 1)))


def _fixed(where: object, text: str) -> bytes:
    try:
        content = text.encode()
    except UnicodeEncodeError as error:
        raise InputError(f"{where}: expected ids that UTF-8 can express, got {text[:60]!r}") from error
    if len(content) > LONGEST_TEXT:
        raise InputError(
            f"{where}: expected ids of at most {LONGEST_TEXT:,} bytes, got {len(content):,}: {text[:60]!r} ..."
        )
    if text.endswith("\0"):
        raise InputError(f"{where}: expected ids that do not end with a NUL character, got {text[:60]!r}")
    return content


def reserved_dataset(group: h5py.Group, name: str, shape: tuple[int, ...], dtype: np.dtype[Any]) -> h5py.Dataset:
    """A contiguous dataset whose bytes have their place in the file, but no values yet."""
    plist = h5py.h5p.create(h5py.h5p.DATASET_CREATE)
    plist.set_layout(h5py.h5d.CONTIGUOUS)
    plist.set_alloc_time(h5py.h5d.ALLOC_TIME_EARLY)
    plist.set_fill_time(h5py.h5d.FILL_TIME_NEVER)
    plist.set_obj_track_times(False)
    kind = h5py.h5t.py_create(dtype, logical=True)
    return h5py.Dataset(h5py.h5d.create(group.id, name.encode(), kind, h5py.h5s.create_simple(shape), plist))
