"""The bytes of a box file, wherever they come from: a file, standard input, a pipe, gzipped or not."""

from __future__ import annotations

import sys
import zlib

from msroi_cli.errors import InputError
from msroi_cli.io.files.location import HDF5_SIGNATURE, Location

GZIP_SIGNATURE = b"\x1f\x8b"
NPY_SIGNATURE = b"\x93NUMPY"
NPZ_SIGNATURE = b"PK\x03\x04"
PARQUET_SIGNATURE = b"PAR1"


def is_stream(location: Location) -> bool:
    """Whether something can only be read once, from its start: standard input, a FIFO, `/dev/fd/63` of `<(...)`."""
    path = location.path
    return str(path) == "-" or (path.exists() and not path.is_file() and not path.is_dir())


def read_content(location: Location) -> bytes:
    """The bytes of a file or stream, read once; raises InputError."""
    if str(location.path) == "-":
        if not sys.stdin:
            raise InputError("-: expected boxes on standard input, got none: it is closed")
        return sys.stdin.buffer.read()
    return location.content()


def unpacked(name: str, content: bytes) -> bytes:
    """The content of a gzip file, or what is not gzipped as it is; raises InputError for damaged gzip."""
    if not content.startswith(GZIP_SIGNATURE):
        return content
    try:
        import gzip

        return gzip.decompress(content)
    except (OSError, EOFError, zlib.error) as error:
        raise InputError(f"{name}: expected a whole gzip file, got: {error}") from error


def refuse_binary(name: str, content: bytes) -> None:
    """Raises InputError for formats that are read from files only."""
    for signature, kind in ((HDF5_SIGNATURE, "HDF5"), (PARQUET_SIGNATURE, "Parquet")):
        if content.startswith(signature):
            raise InputError(f"{name}: expected text, NPY or NPZ from a pipe, got {kind}; name the file instead")
