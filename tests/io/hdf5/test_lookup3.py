"""The checksum of HDF5's metadata."""

from __future__ import annotations

from msroi_cli.io.hdf5.structure.lookup3 import checksums


def test_the_value_that_the_author_gives():
    assert checksums([b"Four score and seven years ago"]).tolist() == [0x17770551]


def test_many_are_those_of_each():
    for length in (1, 3, 4, 11, 12, 13, 24, 264):
        blocks = [bytes((index * 37 + byte) % 256 for byte in range(length)) for index in range(5)]
        assert checksums(blocks).tolist() == [checksums([block]).item() for block in blocks]
        assert len(set(checksums(blocks).tolist())) == 5
