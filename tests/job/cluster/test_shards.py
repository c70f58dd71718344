"""Images are dealt out whole, all of them, balanced, and the same way everywhere."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from msroi_cli.core import arrays
from msroi_cli.errors import UsageError
from msroi_cli.job.cluster.environment import shards_from
from msroi_cli.job.shards import Shard, bounds, image_work

WORK = st.lists(st.integers(0, 2**40), max_size=60).map(lambda values: np.array(values, np.int64))


@given(WORK, st.integers(1, 70))
def test_bounds_deal_out_every_image_once_and_evenly(work, count):
    edges = bounds(work, count)
    assert (edges[0], edges[-1], len(edges)) == (0, len(work), count + 1)
    assert (np.diff(edges) >= 0).all()
    total, largest = int(work.sum()), int(work.max(initial=0))
    for start, stop in zip(edges[:-1].tolist(), edges[1:].tolist(), strict=True):
        assert int(work[start:stop].sum()) * count <= total + (largest + 1) * count


def test_bounds_of_equal_images():
    assert bounds(np.full(12, 5), 4).tolist() == [0, 3, 6, 9, 12]


def test_bounds_of_fewer_images_than_shards():
    edges = bounds(np.full(2, 7), 5)
    assert np.diff(edges).sum() == 2
    assert edges[-1] == 2


def test_work_counts_each_level_of_an_image_once_and_every_crop():
    image = np.array([0, 0, 0, 2, -1])
    level = np.array([0, 0, 1, 1, -1])
    work = image_work(image, level, np.array([100, 10]), 3, 3)
    assert work.tolist() == [100 + 10 + 9, 0, 10 + 3, 3]


def test_work_does_not_depend_on_the_order_of_boxes(monkeypatch):
    """Image after image, boxes are looked at in runs."""
    monkeypatch.setattr(arrays, "AT_ONCE", 1000)
    rng = np.random.default_rng(0)
    image, level = np.sort(rng.integers(-1, 40, 5000)), rng.integers(-1, 3, 5000).astype(np.int8)
    level[image == 7] = -1
    level[image == 8] = 2
    order = rng.permutation(5000)
    sizes, expected = np.array([100, 10, 1]), np.bincount(np.where(image < 0, 40, image), minlength=41) * 1000
    for one, of in {*zip(image.tolist(), level.tolist(), strict=True)}:
        expected[one] += sizes[of] if of >= 0 else 0
    assert image_work(image, level, sizes, 1000, 40).tolist() == expected.tolist()
    assert image_work(image[order], level[order], sizes, 1000, 40).tolist() == expected.tolist()


SLURM = {f"SLURM_ARRAY_TASK_{name}": value for name, value in (("ID", "7"), ("MIN", "1"), ("MAX", "9"), ("COUNT", "9"))}


@pytest.mark.parametrize(
    ("text", "environment", "expected"),
    [
        ("3/40", {}, [(3, 40)]),
        ("3,7,11/40", {}, [(3, 40), (7, 40), (11, 40)]),
        ("1/1", {}, [(1, 1)]),
        ("auto", SLURM, [(7, 9)]),
        ("auto", {**SLURM, "SLURM_ARRAY_TASK_MIN": "0", "SLURM_ARRAY_TASK_MAX": "8"}, [(8, 9)]),
        ("auto/40", SLURM, [(7, 40)]),
        ("auto+1000/4000", SLURM, [(1007, 4000)]),
        ("auto/4", {"JOB_COMPLETION_INDEX": "0"}, [(1, 4)]),
        ("auto/4", {"PBS_ARRAY_INDEX": "4"}, [(4, 4)]),
        ("auto+1/4", {"PBS_ARRAYID": "0"}, [(1, 4)]),
    ],
)
def test_shards(text, environment, expected):
    assert [(shard.index, shard.count) for shard in shards_from(text, environment)] == expected


@pytest.mark.parametrize(
    ("text", "environment", "message"),
    [
        ("0/4", {}, "expected a shard from 1 to 4, got 0"),
        ("5/4", {}, "expected a shard from 1 to 4, got 5"),
        ("1/0", {}, "expected 1 to 99,999 shards, got 0"),
        ("1/100000", {}, "expected 1 to 99,999 shards"),
        ("2,2/4", {}, "got one of them twice"),
        ("٣/4", {}, "expected I/N"),
        ("1/4/4", {}, "expected I/N"),
        ("", {}, "expected I/N"),
        ("auto", {}, "got none of them"),
        ("auto/4", {"SLURM_ARRAY_TASK_ID": "1", "PBS_ARRAY_INDEX": "1"}, "got SLURM_ARRAY_TASK_ID and PBS_ARRAY_INDEX"),
        ("auto", {"JOB_COMPLETION_INDEX": "1"}, "use --shard auto/N"),
        ("auto", {**SLURM, "SLURM_ARRAY_TASK_COUNT": "2"}, "without gaps, got 2 tasks from 1 to 9"),
        ("auto", {**SLURM, "SLURM_ARRAY_TASK_MIN": "7", "SLURM_ARRAY_TASK_COUNT": "3"}, "without gaps"),
        ("auto/4", SLURM, "got 7 from SLURM_ARRAY_TASK_ID"),
        ("auto/4", {"PBS_ARRAY_INDEX": "0"}, "auto+OFFSET/N"),
        ("auto/4", {"SLURM_ARRAY_TASK_ID": "x"}, "expected a whole number, got 'x'"),
    ],
)
def test_shards_that_are_refused(text, environment, message):
    with pytest.raises(UsageError) as refused:
        shards_from(text, environment)
    assert message in str(refused.value)


def test_a_shard_says_which_it_is():
    assert str(Shard(3, 40)) == "3/40"
