"""Values of files in messages: on one line, short, and text is seen to be text."""

from __future__ import annotations

import numpy as np
import pytest

from msroi_cli.io.messages import value_text


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        (4, "4"),
        (np.float32(0.5), "0.5"),
        (np.nan, "nan"),
        (np.True_, "True"),
        ("4", "'4'"),
        (b"four", "'four'"),
        (np.bytes_(b"\xff4"), "'\N{REPLACEMENT CHARACTER}4'"),
        ("two\nlines", r"'two\nlines'"),
        (np.array([b"4", b"8"]), "['4', '8']"),
        (np.array(["4", b"8"], object), "['4', '8']"),
        (np.ones((2, 2), int), "[[1, 1], [1, 1]]"),
        (np.empty(0), "[]"),
        ({"p2": [4]}, "{'p2': [4]}"),
        (None, "none"),
        (np.zeros((8, 8), "f4"), "values of shape (8, 8) and type float32"),
        ("x" * 99, "'" + "x" * 59 + "..."),
    ],
)
def test_value_text(value, expected):
    assert value_text(value) == expected
