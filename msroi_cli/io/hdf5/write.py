"""Writing HDF5 files so that no failed write goes unnoticed, and texts so that no damage to them misleads HDF5."""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import h5py
import numpy as np
from numpy.typing import NDArray

from msroi_cli.errors import InputError
from msroi_cli.io.files.work import reopen
from msroi_cli.io.hdf5.latching import LatchingFile

# The bytes of a page of memory, and of a block of most file systems, which can share whole blocks between files.
ALIGNMENT = 4096


@contextmanager
def hdf5_file(path: Path | int, aligned: int | None = None) -> Iterator[h5py.File]:
    """Yields the HDF5 file `path`, a file that is there, to write to: emptied, or, if `aligned`, to go on with.

    It is a path, or the descriptor of a file that is open to read and write, which stays open.

    aligned: what has so many bytes or more begins at a multiple of ALIGNMENT, metadata of HDF5 too.
    Raises the first OSError of a write, at the end if not before.
    """
    again = aligned is not None
    descriptor = os.dup(path) if isinstance(path, int) else reopen(path)
    if not again:
        os.ftruncate(descriptor, 0)
    file = LatchingFile(descriptor, os.fstat(descriptor).st_size)
    try:
        options = {"alignment_threshold": aligned, "alignment_interval": ALIGNMENT} if again else {}
        with h5py.File(file, "r+" if again else "w", **options) as written:
            yield written
        file.close(whole=True)
    except Exception as error:
        if file.failure not in (None, error):
            raise file.failure from error
        raise
    finally:
        file.close()


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
    try:
        content = [text.encode() for text in texts]
    except UnicodeEncodeError:
        content = [_fixed(where, text) for text in texts]
    if max(map(len, content), default=0) > LONGEST_TEXT or "\0" in "".join(texts):
        # One by one, to name the text that cannot be.
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
