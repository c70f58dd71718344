"""What the kernel keeps within: the caller's memory, its own memory, and a few roundings."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from msroi_cli.core.backends.call import PoolCall
from msroi_cli.core.backends.numpy_pool import axes_of
from msroi_cli.core.weights import axis_weights
from tests.native.pooling import pool, pyramid, random_rois, work

ROOT = Path(__file__).parents[2]
MEGABYTES = 2**20


@pytest.mark.slow
def test_not_a_byte_beyond_the_arrays():
    run = subprocess.run([sys.executable, "-m", "tests.native.guarded"], cwd=ROOT, capture_output=True, text=True)
    assert run.returncode == 0, run.stderr or f"ended by signal {-run.returncode}"


@pytest.mark.slow
def test_scratch_memory_is_bounded(native):
    """A map of 3000 x 1500 cells, whose packed planes take 288 MB, under small boxes, tall ones, and a whole one."""
    maps = [np.broadcast_to(np.float32(1), (1, 18, 3000, 1500))]
    rois = random_rois(300, images=1, height=12_000, width=6_000, low=50, high=12_000)
    rois = np.concatenate([rois, [[0, 0, 0, 6_000, 12_000], [0, 500, 0, 520, 12_000]]])
    for size, ratio in ((7, 2), (7, 0), (1, 0), (70, 2)):
        call = work(maps, rois, size, ratio, scales=(0.25,))
        pool(call)
        pool(PoolCall([m.astype("f2") for m in maps], call.batch, call.boxes, call.levels, call.spec))
    assert 0 < native.peak_scratch_bytes() <= 8 * MEGABYTES


def oracle(call, box):
    """One crop (C, Ho, Wo) in float64, given the samples; and the largest number of the map under each bin."""
    feature = call.maps[call.levels[box]][call.batch[box]].astype(np.float64)
    across, down = axes_of(call.spec, call.levels[box], *feature.shape[1:])
    x1, y1, x2, y2 = call.boxes[box]
    x, y = axis_weights(np.array([x1]), np.array([x2]), across), axis_weights(np.array([y1]), np.array([y2]), down)
    rows, ay = y.band(0)
    columns, ax = x.band(0)
    window = feature[:, rows][:, :, columns]
    largest = np.zeros((len(feature), *call.spec.output_size))
    for p, q in np.ndindex(*call.spec.output_size):
        cells = feature[:, y.taps(0, p)[0]][:, :, x.taps(0, q)[0]]
        largest[:, p, q] = np.abs(cells).max(axis=(1, 2), initial=0)
    return ay @ window @ ax.T, largest


@pytest.mark.slow
@pytest.mark.parametrize("channels", [1, 16])
@pytest.mark.parametrize(("size", "ratio"), [(7, 2), (7, 0), (14, 2), (14, 0), (1, 0), (2, 0), (3, 5)])
def test_within_4_ulp_on_ordinary_features(isa, size, ratio, channels):
    """In units in the last place of the largest number under the bin; also where all numbers have one sign."""
    worst = 0.0
    for seed, shift in ((0, 0), (1, 10), (2, 1000)):
        maps = [(m + np.float32(shift)) for m in pyramid(channels, height=200, width=336, seed=seed)]
        call = work(maps, random_rois(60, height=800, width=1344, high=1300, seed=seed), size, ratio)
        crops = pool(call).astype(np.float64)
        for k in range(len(crops)):
            exact, largest = oracle(call, k)
            worst = max(worst, float((np.abs(crops[k] - exact) / np.spacing(largest.astype(np.float32))).max()))
    assert worst <= 4


FREED = """
from pathlib import Path
from msroi_cli.core.backends.environment import give_back_freed_memory, keep_freed_memory

def resident():
    return int(Path("/proc/self/statm").read_text().split()[1]) * 4096 >> 20

keep_freed_memory()
blocks = [b"x" * 2**20 for _ in range(128)]
del blocks
kept = resident()
give_back_freed_memory()
print(kept - resident())
"""


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="reads /proc; only glibc keeps memory")
def test_freed_memory_is_kept_and_given_back(native):
    run = subprocess.run([sys.executable, "-c", FREED], capture_output=True, text=True, check=True, cwd=ROOT)
    assert int(run.stdout) > 100
