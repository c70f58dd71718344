"""Blocks of a file that lie apart, all of one length: by the native extension where it is there, else one by one."""

from __future__ import annotations

import os
from typing import Any

import numpy as np
from numpy.typing import NDArray

from msroi_cli.extension import NATIVE, native

Bytes = NDArray[np.uint8]
Places = NDArray[np.int64]


def blocks_at(descriptor: int, places: Places, width: int) -> tuple[NDArray[np.bool_], Bytes]:
    """The bytes of an open file at some places (n,): whether it has them all, (n,), and the bytes, (n, width).

    They are undefined where it has not.
    """
    found: NDArray[Any] = np.empty((len(places), width), np.uint8)
    return BLOCKS(descriptor, places, found), found


def native_blocks(descriptor: int, places: Places, found: Bytes) -> NDArray[np.bool_]:
    """Reads to `found` (n, width) without the interpreter; whether the file has all, (n,)."""
    whole = np.empty(len(places), np.uint8)
    native.read_blocks(whole, found, descriptor, places)
    return whole.view(np.bool_)


def single_blocks(descriptor: int, places: Places, found: Bytes) -> NDArray[np.bool_]:
    """The same, block by block: the twin."""
    whole = np.zeros(len(places), np.bool_)
    for number, place in enumerate(places.tolist()):
        try:
            # To the system, -1 is the file's own position.
            whole[number] = place >= 0 and os.preadv(descriptor, [found[number].data], place) == found.shape[1]
        except (OSError, OverflowError):
            continue
    return whole


BLOCKS = native_blocks if NATIVE else single_blocks
