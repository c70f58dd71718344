"""The plan: a pure function, held to what its docstrings promise."""

from __future__ import annotations

from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from msroi_cli import assign_levels
from msroi_cli.core.spec import PoolSpec
from msroi_cli.job.extract.plan import NO_IMAGE, BatchSize, make_plan

SCALES = (0.25, 0.125, 0.0625)
SPEC = PoolSpec.resolve(SCALES, 7)
FIVE = BatchSize(5, 5)
SIDES = st.floats(0, 2000, width=32)


@st.composite
def box_tables(draw):
    """Boxes (K, 4) float32, the image of each, and which of them are good."""
    count = draw(st.integers(0, 60))
    corners = draw(st.lists(st.tuples(SIDES, SIDES, SIDES, SIDES), min_size=count, max_size=count))
    table = np.array(corners, np.float32).reshape(count, 4)
    table[:, 2:] += table[:, :2]
    good = np.array(draw(st.lists(st.booleans(), min_size=count, max_size=count)), bool)
    image = np.array(draw(st.lists(st.integers(0, 7), min_size=count, max_size=count)), np.int64)
    image[~good] = draw(st.sampled_from([-1, 0]))
    table[~good, 0] = np.nan
    return table, image, good


@given(box_tables(), st.booleans())
def test_rows_are_those_of_the_file_in_its_order(table, drop):
    boxes, image, good = table
    plan = make_plan(boxes, image, good, SPEC, drop)
    expected = np.flatnonzero(good) if drop else np.arange(len(boxes))
    np.testing.assert_array_equal(plan.box_index, expected)
    np.testing.assert_array_equal(plan.boxes, boxes[expected])
    np.testing.assert_array_equal(plan.image, image[expected])
    np.testing.assert_array_equal(plan.pooled, good[expected])
    assert len(plan) == len(expected)


@given(box_tables(), st.booleans())
def test_levels_are_the_librarys(table, drop):
    boxes, image, good = table
    plan = make_plan(boxes, image, good, SPEC, drop)
    np.testing.assert_array_equal(plan.level[plan.pooled], assign_levels(plan.boxes[plan.pooled], SCALES))
    assert (plan.level[~plan.pooled] == -1).all()


def batch_sizes():
    """Sizes of batches: `enough` at most `limit`, which is a multiple of `multiple`."""
    parts = st.tuples(st.integers(1, 9), st.integers(1, 9), st.integers(1, 4), st.integers(1, 4))
    return parts.map(lambda part: BatchSize(min(part[0], part[1] * part[2]), part[1] * part[2], *part[2:]))


@pytest.mark.slow
@given(box_tables(), st.booleans(), batch_sizes())
def test_batches(table, drop, size):
    """What the docstring of `Plan.batches` says, sentence by sentence."""
    plan = make_plan(*table, SPEC, drop)
    batches = list(plan.batches(size))
    assert [batch.number for batch in batches] == list(range(len(batches)))
    seen = np.concatenate([np.empty(0, np.int64), *(batch.rows for batch in batches)])
    np.testing.assert_array_equal(seen, plan.order)
    np.testing.assert_array_equal(np.sort(seen), np.arange(len(plan)))
    start = 0
    for batch in batches:
        assert start % size.multiple == 0
        assert 1 <= len(batch.rows) <= size.limit
        start += len(batch.rows)
        for segment in batch.segments:
            image = np.where(plan.pooled, plan.image, NO_IMAGE)[segment.rows]
            assert len(image)
            assert (image == segment.image).all()
            assert (np.diff(segment.rows) > 0).all()
    assert list(map(str, plan.batches(size))) == list(map(str, batches))


@pytest.mark.slow
@given(box_tables(), batch_sizes())
def test_batches_split_an_image_only_where_they_must(table, size):
    plan = make_plan(*table, SPEC, drop=False)
    batches = list(plan.batches(BatchSize(size.target_rows, size.limit)))
    for batch, following in pairwise(batches):
        last, first = batch.segments[-1], following.segments[0]
        if last.image == first.image:
            boxes = int((np.where(plan.pooled, plan.image, NO_IMAGE) == last.image).sum())
            assert boxes > size.limit
            assert len(batch.rows) == size.limit or len(batch.segments) == 1
        else:
            assert len(batch.rows) >= size.target_rows or len(batch.rows) + len(first.rows) > size.limit


@pytest.mark.slow
@given(box_tables(), batch_sizes())
def test_batches_split_images_that_are_stored_together_only_where_they_must(table, size):
    plan = make_plan(*table, SPEC, drop=False)
    images = np.where(plan.pooled, plan.image, NO_IMAGE) // size.images
    for batch, following in pairwise(plan.batches(BatchSize(size.target_rows, size.limit, images=size.images))):
        last, first = batch.segments[-1].image // size.images, following.segments[0].image // size.images
        if last == first:
            assert (images == last).sum() > size.limit


@pytest.mark.parametrize("drop", [False, True])
def test_no_boxes(drop):
    empty = np.empty((0, 4), np.float32), np.empty(0, np.int64), np.empty(0, bool)
    plan = make_plan(*empty, SPEC, drop)
    assert (len(plan), list(plan.batches(FIVE)), plan.images().tolist()) == (0, [], [])


def test_no_good_boxes():
    plan = make_plan(np.full((3, 4), np.nan, np.float32), np.full(3, -1), np.zeros(3, bool), SPEC, drop=False)
    (batch,) = plan.batches(FIVE)
    assert [(segment.image, segment.rows.tolist()) for segment in batch.segments] == [(NO_IMAGE, [0, 1, 2])]
    assert plan.level.tolist() == [-1, -1, -1]


def test_images_taken_by_turns_are_read_once_each():
    boxes = np.tile(np.array([[0, 0, 10, 10]], np.float32), (100, 1))
    plan = make_plan(boxes, np.arange(100) % 4, np.ones(100, bool), SPEC, drop=False)
    batches = plan.batches(BatchSize(30, 1000))
    assert [[segment.image for segment in batch.segments] for batch in batches] == [[0, 1], [2, 3]]
