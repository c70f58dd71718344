"""Memory of results is used again, and never while anybody looks into it."""

from __future__ import annotations

import os
import threading

import numpy as np
import pytest

from msroi_cli import multi_scale_roi_align
from msroi_cli.core import results
from msroi_cli.core.results import ResultMemory

F4 = np.dtype(np.float32)
SHAPE = (5, 1 << 20)

pytestmark = pytest.mark.skipif(not results.COUNTED, reason="references are not counted exactly here")


def address(array):
    return array.__array_interface__["data"][0]


def test_memory_that_nobody_uses_is_used_again():
    memory = ResultMemory()
    first = memory.empty(SHAPE, F4)
    where = address(first)
    assert first.shape == SHAPE
    assert first.dtype == F4
    assert first.flags.c_contiguous
    assert first.flags.writeable
    del first
    assert address(memory.empty(SHAPE, F4)) == where


@pytest.mark.parametrize(
    "keep", [lambda a: a, lambda a: a[3, 7:9], lambda a: memoryview(a), lambda a: a.T.view(np.int32)]
)
def test_memory_that_is_looked_into_is_not_given_out(keep):
    memory = ResultMemory()
    first = memory.empty(SHAPE, F4)
    where = address(first)
    kept = keep(first)
    del first
    others = [memory.empty(SHAPE, F4) for _ in range(4)]
    assert where not in map(address, others)
    assert len(set(map(address, others))) == 4
    del kept


def test_few_blocks_of_bounded_size_are_kept():
    memory = ResultMemory()
    for count in range(5, 40):
        memory.empty((count, 1 << 20), F4)
    assert len(memory._blocks) <= results.BLOCKS
    assert memory.empty((1,), F4).base is None
    assert memory.empty((0, 3), F4).shape == (0, 3)
    small = memory.empty((2, 1 << 20), F4)
    assert small.base is None or small.base.nbytes <= 2 * small.nbytes


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
    memory = ResultMemory()
    troubles = []

    def work(value):
        for _ in range(30):
            array = memory.empty(SHAPE, F4)
            array[:, ::4096] = value
            if not (array[:, ::4096] == value).all():
                troubles.append(value)

    threads = [threading.Thread(target=work, args=(value,)) for value in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert troubles == []


@pytest.mark.skipif(not hasattr(os, "fork"), reason="needs fork")
def test_fork_while_the_lock_is_held():
    memory = ResultMemory()
    with memory._lock:
        child = os.fork()
        if not child:
            os._exit(0 if memory.empty(SHAPE, F4).shape == SHAPE else 1)
        assert os.waitpid(child, 0)[1] == 0
