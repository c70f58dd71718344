"""Values behind the end that a file states are not read: HDF5 refuses them, too."""

from __future__ import annotations

import h5py
import numpy as np
import pytest

from msroi_cli.errors import InputError
from msroi_cli.io.hdf5.structure.superblock import PLACES, end_of
from msroi_cli.io.pyramid.open import open_pyramid

STORAGE = {"contiguous": {}, "chunks": {"chunks": (1, 8, 8)}, "gzip": {"chunks": (3, 8, 8), "compression": "gzip"}}


def write(path, libver, **storage):
    """Three images, whose last values end the file."""
    rng = np.random.default_rng(0)
    with h5py.File(path, "w", libver=libver) as file:
        for image in range(3):
            file.create_dataset(f"{image}/p2", data=rng.random((3, 8, 8), np.float32), **storage).attrs["stride"] = 4
    return path


def lowered(path, count):
    """The same file, which states an end `count` bytes before the last value's."""
    with h5py.File(path) as file:
        dataset = file["2/p2"].id
        if file["2/p2"].chunks:
            last = dataset.get_chunk_info(dataset.get_num_chunks() - 1)
            end = last.byte_offset + last.size - count
        else:
            end = dataset.get_offset() + dataset.get_storage_size() - count
    content = bytearray(path.read_bytes())
    place = PLACES[content[8]][2]
    content[place : place + 8] = end.to_bytes(8, "little")
    path.write_bytes(content)
    return end


@pytest.mark.parametrize("libver", ["earliest", "v108", "latest"])
def test_the_end_is_that_of_the_file(tmp_path, libver):
    path = write(tmp_path / "p.h5", libver)
    assert end_of(path) == path.stat().st_size
    with path.open("ab") as file:
        file.write(bytes(100))
    assert end_of(path) == path.stat().st_size - 100
    with open_pyramid(str(path)) as pyramid:
        assert pyramid.read(2)[0].shape == (1, 3, 8, 8)


def test_a_user_block_counts_with_its_file(tmp_path):
    with h5py.File(tmp_path / "u.h5", "w", userblock_size=512) as file:
        file["p2"] = np.ones((1, 3, 8, 8), np.float32)
        file["p2"].attrs["stride"] = 4
    assert end_of(tmp_path / "u.h5") == (tmp_path / "u.h5").stat().st_size
    with open_pyramid(str(tmp_path / "u.h5")) as pyramid:
        assert (pyramid.read(0)[0] == 1).all()


@pytest.mark.parametrize("storage", STORAGE)
def test_values_behind_the_end_are_refused(tmp_path, storage):
    path = write(tmp_path / "p.h5", "earliest", **STORAGE[storage])
    # Version 0 has no checksum of its superblock.
    lowered(path, 1)
    with h5py.File(path) as file, pytest.raises((OSError, KeyError)):
        file["2/p2"][:]
    with pytest.raises(InputError, match=r"2/p2: cannot be (read|opened): "), open_pyramid(str(path)) as pyramid:
        pyramid.read(2)


def test_a_base_that_is_not_where_the_superblock_is(tmp_path):
    """HDF5 moves the end by as much."""
    path = write(tmp_path / "p.h5", "earliest", **STORAGE["gzip"])
    content = bytearray(path.read_bytes())
    content[PLACES[0][1]] = 1
    path.write_bytes(content)
    assert end_of(path) == path.stat().st_size - 1
