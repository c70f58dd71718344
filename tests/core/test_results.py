"""Memory of results is used again, and never while anything refers to it."""

from __future__ import annotations

import gc
import os
import subprocess
import sys
import threading

import numpy as np
import pytest

from msroi_cli import multi_scale_roi_align
from msroi_cli.core.backends import results
from msroi_cli.core.backends.results import empty_result

F4 = np.dtype(np.float32)
SHAPE = (5, 1 << 20)
MEGABYTE = 1 << 20

native = pytest.mark.skipif(not results.NATIVE, reason="memory is used again by the native extension alone")


def address(array):
    return array.__array_interface__["data"][0]


def drain():
    """Takes the blocks that earlier tests left, and frees them for good by filling the places with small ones."""
    for _ in range(2):
        kept = [empty_result((1, 1 << 20), F4) for _ in range(6)]
        del kept
    gc.collect()


@native
def test_memory_that_nothing_refers_to_is_used_again():
    drain()
    first = empty_result(SHAPE, F4)
    where = address(first)
    assert first.shape == SHAPE
    assert first.dtype == F4
    assert first.flags.c_contiguous
    assert first.flags.writeable
    assert where % 64 == 0
    del first
    assert address(empty_result(SHAPE, F4)) == where


KEEPERS = {
    "the array": lambda a: a,
    "a view": lambda a: a[3, 7:9],
    "a view of a view": lambda a: a[1:][0].reshape(2, -1)[1, ::3],
    "another type": lambda a: a.T.view(np.int32),
    "a buffer": memoryview,
    "a buffer of a view": lambda a: memoryview(a[2:4]),
    "DLPack": lambda a: np.from_dlpack(a),
    "the interface": lambda a: np.asarray(type("Holder", (), {"__array_interface__": a.__array_interface__, "a": a})()),
    "only the base": lambda a: a.base,
}


@pytest.mark.slow
@native
@pytest.mark.parametrize("keep", KEEPERS.values(), ids=KEEPERS)
def test_memory_that_is_looked_into_is_not_given_out(keep):
    drain()
    first = empty_result(SHAPE, F4)
    first[...] = 3
    where = address(first)
    kept = keep(first)
    del first
    others = [empty_result(SHAPE, F4) for _ in range(4)]
    assert where not in map(address, others)
    assert len(set(map(address, others))) == 4
    for other in others:
        other[...] = 7
    values = np.asarray(kept)
    assert (values.view(F4) == 3).all()


@native
def test_the_last_base_owns_the_memory():
    """And is no array: what frees the memory is the end of that object, not a count of names."""
    array = empty_result(SHAPE, F4)
    base = array
    while isinstance(base, np.ndarray) and base.base is not None:
        base = base.base
    assert not isinstance(base, np.ndarray)


@native
def test_unused_memory_is_bounded():
    native_module = results.native
    for count in range(5, 40):
        empty_result((count, 1 << 20), F4)
    many = [empty_result(SHAPE, F4) for _ in range(12)]
    assert len(set(map(address, many))) == 12
    del many
    assert native_module.unused_result_bytes() <= 2 * 160 * MEGABYTE
    small = empty_result((2, 1 << 20), F4)
    assert small.nbytes == 8 * MEGABYTE


def test_small_and_huge_results_are_plain_arrays():
    assert empty_result((1,), F4).base is None
    assert empty_result((0, 3), F4).shape == (0, 3)


def test_results_in_a_loop_and_results_that_are_kept():
    rng = np.random.default_rng(0)
    maps = [rng.standard_normal((1, 512, 8, 8), dtype=np.float32)]
    rois = [[0, 0, 0, n % 8, 8] for n in range(60)]
    kept = [multi_scale_roi_align(maps, rois, [1], 7) for _ in range(4)]
    copies = [crop.copy() for crop in kept]
    for _ in range(4):
        multi_scale_roi_align([-maps[0]], rois, [1], 7)
    for crop, copy in zip(kept, copies, strict=True):
        np.testing.assert_array_equal(crop, copy)


def test_threads_get_memory_of_their_own():
    overwritten = []

    def work(value):
        for _ in range(30):
            array = empty_result(SHAPE, F4)
            array[:, ::4096] = value
            if not (array[:, ::4096] == value).all():
                overwritten.append(value)

    threads = [threading.Thread(target=work, args=(value,)) for value in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert overwritten == []


@native
@pytest.mark.skipif(not hasattr(os, "fork"), reason="needs fork")
@pytest.mark.slow
def test_after_a_fork():
    """The child has results and unused memory of its own, also while a thread of the parent takes and gives back."""
    code = """
import os, sys, threading
import numpy as np
from msroi_cli.core.backends.results import empty_result
F4, SHAPE = np.dtype("f4"), (5, 1 << 20)
stop = threading.Event()
def churn():
    while not stop.is_set():
        empty_result(SHAPE, F4)
threads = [threading.Thread(target=churn) for _ in range(2)]
for thread in threads: thread.start()
kept = empty_result(SHAPE, F4)
kept[...] = 1
failed = 0
for _ in range(20):
    child = os.fork()
    if not child:
        mine = [empty_result(SHAPE, F4) for _ in range(3)]
        for array in mine: array[...] = 2
        os._exit(0 if (kept == 1).all() else 1)
    failed |= os.waitpid(child, 0)[1]
stop.set()
for thread in threads: thread.join()
print("failed" if failed or not (kept == 1).all() else "fine")
"""
    run = subprocess.run([sys.executable, "-W", "ignore", "-c", code], capture_output=True, text=True, timeout=120)
    assert (run.stdout, run.returncode) == ("fine\n", 0), run.stderr


@native
def test_results_that_live_until_the_interpreter_ends():
    code = """
import sys, atexit
import numpy as np
from msroi_cli.core.backends.results import empty_result
kept = empty_result((5, 1 << 20), np.dtype("f4"))
sys.kept = [kept.T, kept]
cycle = [kept]; cycle.append(cycle)
atexit.register(lambda held: held.fill(1), kept)
print("end")
"""
    run = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60)
    assert (run.stdout, run.stderr, run.returncode) == ("end\n", "", 0)
