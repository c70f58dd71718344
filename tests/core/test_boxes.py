"""Which boxes are good, and which of the reasons against a bad one is given."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from msroi_cli.core.boxes import BOX_FORMATS, MAX_COORDINATE, REASONS, check_boxes, invalid_box_reasons
from msroi_cli.errors import ArgumentError
from tests.corpus import FAR_BOXES, boxes

NAN, INF = np.nan, np.inf
FAR = 2 * MAX_COORDINATE

anything = st.lists(st.tuples(*[st.floats(width=32)] * 4), max_size=8).map(
    lambda rows: np.array(rows, np.float32).reshape(-1, 4)
)


@pytest.mark.parametrize(
    ("box", "reason"),
    [
        ((NAN, 0, 1, 1), "not finite"),
        ((0, 0, 1, INF), "not finite"),
        ((0, -INF, 1, 1), "not finite"),
        ((2, 1, 1, 2), "x2 < x1"),
        ((1, 2, 2, 1), "y2 < y1"),
        ((0, 0, 1, FAR), "too far out"),
        ((-FAR, 0, 1, 1), "too far out"),
        ((2, 2, 1, NAN), "not finite"),
        ((2, 2, 1, 1), "x2 < x1"),
        ((0, FAR, 1, 1), "y2 < y1"),
    ],
)
def test_the_first_reason_counts(box, reason):
    good = (0, 0, 1, 1)
    assert invalid_box_reasons(np.float32([good, box, good])).tolist() == [0, 1 + REASONS.index(reason), 0]


def test_the_awkward_boxes_of_the_corpus_are_good():
    assert not invalid_box_reasons(np.float32(list((boxes() | FAR_BOXES).values()))).any()


@given(anything)
def test_a_box_is_good_or_there_is_a_reason(rows):
    trouble = invalid_box_reasons(rows)
    assert trouble.shape == (len(rows),)
    assert trouble.max(initial=0) <= len(REASONS)
    for (x1, y1, x2, y2), code in zip(rows.tolist(), trouble, strict=True):
        good = -MAX_COORDINATE <= x1 <= x2 <= MAX_COORDINATE and -MAX_COORDINATE <= y1 <= y2 <= MAX_COORDINATE
        assert (code == 0) == good


@given(anything)
def test_the_first_bad_row_is_named(rows):
    bad = np.flatnonzero(invalid_box_reasons(rows))
    if bad.size:
        with pytest.raises(ArgumentError, match=rf"^boxes\[{bad[0]}\]: "):
            check_boxes("boxes", rows)
    else:
        assert check_boxes("boxes", rows) is rows


def test_a_box_is_judged_as_it_is_pooled():
    almost = np.array([[1 + 1e-12, 0, 1, 1]])
    assert check_boxes("boxes", almost).tolist() == [[1, 0, 1, 1]]


@pytest.mark.parametrize("box_format", BOX_FORMATS)
def test_formats_describe_the_same_box(box_format):
    written = {"xyxy": (3, 5, 10, 25), "xywh": (3, 5, 7, 20), "cxcywh": (6.5, 15, 7, 20)}[box_format]
    array = np.array([written, written], np.float64)
    assert BOX_FORMATS[box_format](array).tolist() == [[3, 5, 10, 25]] * 2
    assert BOX_FORMATS[box_format](array[:0]).shape == (0, 4)
    assert array.tolist() == [list(written)] * 2
