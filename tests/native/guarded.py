"""Pools between pages that may not be touched: `python -m tests.native.guarded`. A byte too far ends the process."""

from __future__ import annotations

import ctypes
import mmap

import numpy as np

from msroi_cli.core.backends import environment
from msroi_cli.core.backends.call import PoolCall
from msroi_cli.extension import native
from tests.native.pooling import pool, pyramid, random_rois, work

PAGE = mmap.PAGESIZE
libc = ctypes.CDLL(None, use_errno=True)


def guarded(array, at_end):
    """A copy of `array` that ends, or else begins, where a page begins that may not be touched; and what keeps it."""
    pages = -(-array.nbytes // PAGE)
    memory = mmap.mmap(-1, (pages + 2) * PAGE)
    start = ctypes.addressof(ctypes.c_char.from_buffer(memory))
    for page in (0, pages + 1):
        if libc.mprotect(ctypes.c_void_p(start + page * PAGE), PAGE, mmap.PROT_READ & 0):
            raise OSError(ctypes.get_errno(), "mprotect")
    offset = (pages + 1) * PAGE - array.nbytes if at_end else PAGE
    copy = np.frombuffer(memory, array.dtype, array.size, offset).reshape(array.shape)
    copy[...] = array
    return copy


def check(channels, dtype, out_dtype, size, ratio, count, at_end):
    maps = pyramid(channels, images=1, height=23, width=37, levels=3, dtype=dtype)
    call = work(maps, random_rois(count, images=1, height=92, width=148), size, ratio, scales=(1 / 4, 1 / 8, 1 / 16))
    expected = pool(call, dtype=out_dtype)
    last = [m.transpose(0, 2, 3, 1) for m in maps]
    for fences in (
        [guarded(m, at_end) for m in maps],
        [guarded(m, at_end).transpose(0, 3, 1, 2) for m in last],
    ):
        fenced = PoolCall(fences, call.batch, call.boxes, call.levels, call.spec)
        out = guarded(np.zeros_like(expected), at_end)
        pool(fenced, out=out)
        np.testing.assert_array_equal(out, expected)


def main():
    for isa in native.usable_isas():
        native.choose_isa(isa)
        for at_end in (False, True):
            for channels in (1, 3, 8, 16, 19):
                for dtype, out_dtype in (("f4", "f4"), ("f2", "f2"), ("f8", "f8"), (">f4", ">f4"), ("f4", "f8")):
                    for size, ratio in ((7, 2), (1, 0), ((3, 2), 0), (30, 1)):
                        for count in (1, 60):
                            check(channels, dtype, out_dtype, size, ratio, count, at_end)
    # Crops that outgrow the caches are written another way.
    for at_end in (False, True):
        check(19, "f4", "f4", 7, 2, 5000, at_end)


if __name__ == "__main__":
    environment.os.environ.pop("MSROI_ISA", None)
    environment._choose_isa = lambda name: None
    main()
