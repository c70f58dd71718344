"""Blocks of a file at some places are read alike with the extension and without."""

from __future__ import annotations

import random

import numpy as np
import pytest

from msroi_cli.extension import NATIVE
from msroi_cli.io.hdf5.structure import blocks

CONTENT = random.Random(2).randbytes(1000)
WAYS = [
    pytest.param(blocks.single_blocks, id="one by one"),
    pytest.param(blocks.native_blocks, id="native", marks=pytest.mark.skipif(not NATIVE, reason="not built")),
]


@pytest.fixture
def descriptor(tmp_path):
    (tmp_path / "bytes").write_bytes(CONTENT)
    with (tmp_path / "bytes").open("rb") as file:
        yield file.fileno()


@pytest.mark.parametrize("way", WAYS)
def test_bytes_at_some_places(descriptor, way):
    places = np.array([0, 990, 17, 17, 991, 1000, -1, 2**63 - 1, -(2**63), 2**63 - 10])
    found = np.empty((len(places), 10), np.uint8)
    assert way(descriptor, places, found).tolist() == [True] * 4 + [False] * 6
    assert [row.tobytes() for row in found[:4]] == [CONTENT[at : at + 10] for at in (0, 990, 17, 17)]


@pytest.mark.parametrize("way", WAYS)
def test_none(descriptor, way):
    assert way(descriptor, np.empty(0, np.int64), np.empty((0, 10), np.uint8)).shape == (0,)


@pytest.mark.parametrize("way", WAYS)
def test_what_cannot_be_read(tmp_path, way):
    with (tmp_path / "written").open("wb") as file:
        assert not way(file.fileno(), np.array([0]), np.empty((1, 1), np.uint8)).any()
