"""The columns that travel with boxes: one definition, taken and joined without mixing rows."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from msroi_cli.io.columns import BOX_COLUMNS, BoxColumns
from msroi_cli.io.crops.schema import COLUMNS

NAMES = [column.name for column in BOX_COLUMNS]


def columns(count, names=NAMES, offset=0):
    return BoxColumns({name: np.arange(offset, offset + count) * (1 + NAMES.index(name)) for name in names})


def test_a_crops_file_has_them_all():
    assert {name: np.dtype(COLUMNS[name]) for name in NAMES} == {column.name: column.dtype for column in BOX_COLUMNS}


def test_order_is_that_of_the_definition():
    assert list(columns(2, NAMES[::-1])) == NAMES


def test_other_names_are_refused():
    with pytest.raises(TypeError, match="expected columns of boxes, got scores"):
        BoxColumns({"scores": np.zeros(1)})


@given(st.permutations(range(6)), st.integers(0, 6))
def test_rows_stay_together(order, count):
    rows = np.array(order[:count], np.int64)
    taken = columns(6).take(rows)
    for name, values in columns(6).items():
        np.testing.assert_array_equal(taken[name], values[rows])


@given(st.integers(0, 5), st.integers(0, 5))
def test_joined_parts_are_the_whole(first, second):
    joined = BoxColumns.joined([columns(first), columns(second, offset=first)])
    for name, values in columns(first + second).items():
        np.testing.assert_array_equal(joined[name], values)


def test_joined_have_what_every_part_has():
    assert list(BoxColumns.joined([columns(1), columns(1, NAMES[:1])])) == NAMES[:1]
    assert len(BoxColumns.joined([])) == 0
