"""A crop is the same bit for bit on every instruction set, whatever its numbers, and in any mode of the processor.

`tests/native/aarch64.sh` holds the same calls against the kernel for aarch64.
"""

from __future__ import annotations

import ctypes
import ctypes.util
import platform

import numpy as np
import pytest

from tests.native.calls import RANDOM_CALLS, corpus_calls, random_calls
from tests.native.pooling import pool, pyramid, random_rois, work

FE_UPWARD = {"x86_64": 0x800, "aarch64": 0x400000}
FE_TONEAREST = 0


def crops_by_isa(native, monkeypatch, call, dtype):
    """The bytes of the crops with each copy of the kernel."""
    crops = []
    for name in native.usable_isas():
        monkeypatch.setenv("MSROI_ISA", name)
        crops.append(pool(call, dtype=dtype).tobytes())
    return crops


def test_the_corpus(native, monkeypatch):
    for call, dtype in corpus_calls():
        assert len(set(crops_by_isa(native, monkeypatch, call, dtype))) == 1


def test_random_calls(native, monkeypatch):
    for number, (call, dtype) in enumerate(random_calls(RANDOM_CALLS)):
        assert len(set(crops_by_isa(native, monkeypatch, call, dtype))) == 1, f"call {number}"


@pytest.mark.parametrize("dtype", ["f2", "f4", "f8"])
@pytest.mark.parametrize("channels", [1, 3, 16, 20])
def test_one_nan(isa, channels, dtype):
    """Whatever bits a NaN of the features has, and where infinities cancel, crops hold NumPy's own NaN."""
    maps = pyramid(channels, dtype=dtype)
    for array in maps:
        array[:, :, ::3, ::4] = -np.nan
        array[:, :, 1::3, 1::4], array[:, :, 1::3, 2::4] = np.inf, -np.inf
    for out in ("f2", "f4", "f8"):
        crops = pool(work(maps, random_rois(60)), dtype=out)
        nans = crops[np.isnan(crops)]
        assert nans.size
        assert set(nans.view(f"u{nans.itemsize}").tolist()) == {int(np.array(np.nan, out).view(f"u{nans.itemsize}"))}


@pytest.mark.skipif(platform.machine() not in FE_UPWARD, reason="no number of the rounding mode")
@pytest.mark.parametrize("threads", [1, 2])
def test_the_callers_rounding_mode(isa, threads):
    call = work(pyramid(19), random_rois(60), 7, 3)
    expected = pool(call).tobytes()
    libm = ctypes.CDLL(ctypes.util.find_library("m"))
    out = np.zeros((60, 19, 7, 7), np.float32)
    assert libm.fesetround(FE_UPWARD[platform.machine()]) == 0
    try:
        pool(call, out=out, threads=threads)
        assert libm.fegetround() == FE_UPWARD[platform.machine()]
    finally:
        libm.fesetround(FE_TONEAREST)
    assert out.tobytes() == expected
