"""The checksum of HDF5's metadata, in both ways."""

from __future__ import annotations

import h5py
import numpy as np
import pytest

from msroi_cli.extension import NATIVE
from msroi_cli.io.hdf5.structure import lookup3

WAYS = [
    pytest.param(lookup3.numpy_checksums, id="numpy"),
    pytest.param(lookup3.native_checksums, id="native", marks=pytest.mark.skipif(not NATIVE, reason="not built")),
]


@pytest.fixture(params=WAYS)
def checksums(request):
    return request.param


def test_the_value_that_the_author_gives(checksums):
    assert checksums([b"Four score and seven years ago"]) == [0x17770551]


def test_many_are_those_of_each(checksums):
    for length in (1, 3, 4, 11, 12, 13, 24, 264):
        blocks = [bytes((index * 37 + byte) % 256 for byte in range(length)) for index in range(5)]
        assert checksums(blocks) == [checksums([block])[0] for block in blocks]
        assert len(set(checksums(blocks))) == 5


@pytest.mark.skipif(not NATIVE, reason="not built")
def test_both_ways_are_the_same():
    rng = np.random.default_rng(0)
    for length in (*range(1, 80), 1000, 1020, 4099):
        blocks = [rng.bytes(length) for _ in range(3)]
        assert lookup3.native_checksums(blocks) == lookup3.numpy_checksums(blocks)


def test_the_way_in_use(checksums):
    assert lookup3.CHECKSUMS is (lookup3.native_checksums if NATIVE else lookup3.numpy_checksums)


def test_headers_of_hdf5(tmp_path, checksums):
    """Those that HDF5 itself has written."""
    with h5py.File(tmp_path / "f.h5", "w", libver="latest") as file:
        for number in range(20):
            file.create_dataset(f"d{number}", data=np.zeros(number + 1)).attrs["stride"] = number
    content = (tmp_path / "f.h5").read_bytes()
    found = 0
    start = content.find(b"OHDR\x02")
    while start >= 0:
        flags = content[start + 5]
        begin = start + 6 + (16 if flags & 32 else 0) + (4 if flags & 16 else 0)
        width = 1 << (flags & 3)
        end = begin + width + int.from_bytes(content[begin : begin + width], "little")
        found += checksums([content[start:end]]) == [int.from_bytes(content[end : end + 4], "little")]
        start = content.find(b"OHDR\x02", start + 1)
    assert found == 21
