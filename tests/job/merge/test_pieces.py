"""The plan of a merge has every row of every part once, in pieces of bounded size."""

from __future__ import annotations

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from msroi_cli.job.merge import pieces
from msroi_cli.job.merge.pieces import PIECE_BYTES


@given(st.lists(st.integers(0, 9), max_size=6), st.sampled_from([0, 1, PIECE_BYTES // 4, PIECE_BYTES, 2 * PIECE_BYTES]))
def test_every_row_is_in_one_piece(lengths, row_bytes):
    rows = np.random.default_rng(sum(lengths)).permutation(sum(lengths))
    of_parts = np.split(rows, np.cumsum(lengths)[:-1]) if lengths else []
    plan = list(pieces.pieces(of_parts, row_bytes))
    assert [piece.number for piece in plan] == list(range(len(plan)))
    assert [row for piece in plan for row in piece.rows] == rows.tolist()
    for piece in plan:
        assert (of_parts[piece.part][piece.start : piece.stop] == piece.rows).all()
        assert len(piece.rows) == piece.stop - piece.start > 0
        assert len(piece.rows) == 1 or len(piece.rows) * row_bytes <= PIECE_BYTES
