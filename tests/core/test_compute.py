"""How the work is done must not show: memory, pieces, threads and processes."""

from __future__ import annotations

import os
import subprocess
import sys
import tracemalloc
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest

from msroi_cli import multi_scale_roi_align
from msroi_cli.core.backends import numpy_pool
from msroi_cli.core.backends.call import PoolCall
from msroi_cli.core.backends.dispatch import BACKENDS, backend_name, pool_into
from msroi_cli.core.spec import PoolSpec
from tests.corpus import FAR_BOXES, MAPS, SCALE, boxes, random, rois

ALL_BOXES = rois(boxes() | FAR_BOXES)

# Prints the crops of large boxes, whose sums are long enough that it could matter how they are shared out.
LARGE_BOXES = """
import sys
import numpy as np
from msroi_cli.core.backends import dispatch as backends
from msroi_cli import multi_scale_roi_align
backends.backend_name = lambda: sys.argv[1]
feature = np.random.default_rng(0).standard_normal((1, 2, 900, 1000)).astype(np.float32)
rois = [[0, 0, 0, 1000, 900], [0, 3, 5, 600, 800], [0, 100, 0, 160, 900]]
for size in (1, (1, 7), (7, 1), 7, (60, 80)):
    sys.stdout.buffer.write(multi_scale_roi_align([feature], rois, [1], size).tobytes())
"""


def test_a_backend_is_named():
    assert backend_name() in BACKENDS


@pytest.mark.slow
@pytest.mark.parametrize("name", sorted(BACKENDS))
def test_the_number_of_threads_of_the_libraries_below_changes_no_bit(name):
    libraries = ("OPENBLAS_NUM_THREADS", "OMP_NUM_THREADS", "MKL_NUM_THREADS", "VECLIB_MAXIMUM_THREADS")
    one, many = (
        subprocess.run(
            [sys.executable, "-c", LARGE_BOXES, name],
            env=os.environ | dict.fromkeys(libraries, threads),
            check=True,
            capture_output=True,
        ).stdout
        for threads in ("1", "4")
    )
    assert one == many


@pytest.mark.usefixtures("backend")
class TestPooling:
    @pytest.mark.parametrize("sampling_ratio", [0, 2])
    def test_far_boxes_cost_what_the_map_costs(self, sampling_ratio):
        tracemalloc.start()
        multi_scale_roi_align([MAPS["plain"]], rois(FAR_BOXES), [SCALE], 7, sampling_ratio)
        peak = tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()
        assert peak < 32e6

    @pytest.mark.parametrize("order", ["=", "S"])
    def test_a_large_map_is_not_copied(self, order):
        cell = np.ones((1, 1, 1, 1), np.dtype("f4").newbyteorder(order))
        large = np.broadcast_to(cell, (1, 64, 2000, 2000))
        tracemalloc.start()
        crops = multi_scale_roi_align([large], [[0, 100, 100, 200, 200]], [1], 7)
        peak = tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()
        np.testing.assert_allclose(crops, 1, rtol=1e-6)
        assert peak < 32e6

    def test_calls_from_many_threads_at_once(self):
        maps = [random(2, 8, 40, 60, seed=level) for level in range(8)]
        alone = [multi_scale_roi_align([feature], ALL_BOXES, [SCALE], 7, 2) for feature in maps]
        with ThreadPoolExecutor(4) as pool:
            together = list(
                pool.map(lambda feature: multi_scale_roi_align([feature], ALL_BOXES, [SCALE], 7, 2, threads=2), maps)
            )
        np.testing.assert_array_equal(together, alone)

    def test_seconds_are_added_level_by_level(self):
        spec = PoolSpec.resolve([SCALE, SCALE / 2], 3)
        corners = ALL_BOXES[:, 1:]
        work = PoolCall(
            [MAPS["plain"], MAPS["plain"]],
            ALL_BOXES[:, 0].astype(np.int64),
            corners,
            np.zeros(len(corners), np.int64),
            spec,
        )
        seconds = np.array([1.0, 1.0])
        pool_into(np.empty((len(corners), 3, 3, 3), np.float32), work, 1, seconds)
        assert seconds[0] > 1
        assert 1 <= seconds[1] < seconds[0]


@pytest.mark.parametrize("samples", [1, 100, 1000])
@pytest.mark.parametrize("sampling_ratio", [0, 3])
def test_numpy_pools_the_same_in_pieces_of_any_size(monkeypatch, sampling_ratio, samples):
    monkeypatch.setattr("msroi_cli.core.backends.dispatch.backend_name", lambda: "numpy")
    whole = multi_scale_roi_align([MAPS["spoilt"]], ALL_BOXES, [SCALE], (3, 5), sampling_ratio)
    monkeypatch.setattr(numpy_pool, "SAMPLES_AT_ONCE", samples)
    pieces = multi_scale_roi_align([MAPS["spoilt"]], ALL_BOXES, [SCALE], (3, 5), sampling_ratio)
    assert pieces.tobytes() == whole.tobytes()
