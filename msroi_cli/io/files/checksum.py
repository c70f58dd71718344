"""CRC32, zlib's: of rows of an array, by the native extension where it is there, else by zlib."""

from __future__ import annotations

import zlib
from typing import Any

import numpy as np
from numpy.typing import NDArray

from msroi_cli.extension import NATIVE, native


def row_checksums(rows: NDArray[Any]) -> NDArray[np.uint32]:
    """The CRC32 of each of `rows` (k, ...), of any dtype; (k,). They are C-contiguous, or bytes (k, n) apart."""
    content = rows.reshape(len(rows), -1).view(np.uint8) if rows.size else np.empty((len(rows), 0), np.uint8)
    return ROW_CHECKSUMS(content)


def native_checksums(rows: NDArray[np.uint8]) -> NDArray[np.uint32]:
    """The checksum of each of `rows` (k, n), by the native extension."""
    sums = np.empty(len(rows), np.uint32)
    native.row_checksums(sums, rows)
    return sums


def zlib_checksums(rows: NDArray[np.uint8]) -> NDArray[np.uint32]:
    """The checksum of each of `rows` (k, n), by zlib: the twin."""
    return np.fromiter((zlib.crc32(row.data) for row in rows), np.uint32, len(rows))


ROW_CHECKSUMS = native_checksums if NATIVE else zlib_checksums
