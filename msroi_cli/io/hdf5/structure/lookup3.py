"""The checksum of HDF5's metadata, by the native extension where it is there, else of many blocks at once by NumPy.

Source: HDF5 file format specification, version 3.0, appendix "Checksum"; Bob Jenkins, "lookup3" (2006), `hashlittle`.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from msroi_cli.extension import NATIVE, native

Words = NDArray[np.uint32]

START = 0xDEADBEEF


def checksums(blocks: Sequence[bytes]) -> list[int]:
    """The checksums of blocks that are equally long, at least one byte."""
    return CHECKSUMS(blocks)


def native_checksums(blocks: Sequence[bytes]) -> list[int]:
    """The same, block by block."""
    return list(map(native.lookup3, blocks))


def numpy_checksums(blocks: Sequence[bytes]) -> list[int]:
    """The same, of all blocks word by word: the twin."""
    length = len(blocks[0])
    padded = b"".join(block.ljust(-(-length // 12) * 12, b"\0") for block in blocks)
    words = np.frombuffer(padded, "<u4").astype(np.uint32).reshape(len(blocks), -1, 3)
    a = b = c = np.full(len(blocks), (START + length) & 0xFFFFFFFF, np.uint32)
    for number in range(words.shape[1]):
        a, b, c = (state + words[:, number, index] for index, state in enumerate((a, b, c)))
        if number < words.shape[1] - 1:
            a, b, c = _mixed(a, b, c)
    found: list[int] = _ended(a, b, c).tolist()
    return found


def _rotated(words: Words, bits: int) -> Words:
    return (words << np.uint32(bits)) | (words >> np.uint32(32 - bits))


def _mixed(a: Words, b: Words, c: Words) -> tuple[Words, Words, Words]:
    """Mixes the state after each twelve bytes but the last: six turns, in which a, b and c change places."""
    for bits in (4, 6, 8, 16, 19, 4):
        a, c = (a - c) ^ _rotated(c, bits), c + b
        a, b, c = b, c, a
    return a, b, c


def _ended(a: Words, b: Words, c: Words) -> Words:
    """Mixes the state after the last bytes: seven turns, in which c, a and b change places."""
    for bits in (14, 11, 25, 16, 4, 14, 24):
        c = (c ^ b) - _rotated(b, bits)
        a, b, c = b, c, a
    return b


CHECKSUMS = native_checksums if NATIVE else numpy_checksums
