"""The header of a NumPy array in a file, compared with the bytes that follow it before memory is made for them."""

from __future__ import annotations

import math
from typing import IO, Any

import numpy as np
from numpy.lib import format as npy

from msroi_cli.errors import InputError


def npy_header(file: IO[bytes], size: int, where: str) -> tuple[tuple[int, ...], bool, np.dtype[Any]]:
    """The shape of an array, whether it is in Fortran order, and its dtype; `file` is then at its values.

    size: the bytes of header and values. Raises InputError where they are not as many as the header says, and what
    NumPy and the file raise for what is no header.
    """
    read = npy.read_array_header_1_0 if npy.read_magic(file) == (1, 0) else npy.read_array_header_2_0
    shape, fortran, dtype = read(file)
    values = size - file.tell()
    if dtype.hasobject:
        raise InputError(f"{where}: expected numbers or text in NumPy's format, got an array of objects")
    if min(shape, default=0) < 0 or math.prod(shape) * dtype.itemsize != values:
        raise InputError(f"{where}: expected {values} bytes of values, got a header of {str(shape)[:60]} {dtype}")
    return shape, fortran, dtype
