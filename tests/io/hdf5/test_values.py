"""Records of HDF5 whose members would be read over each other are refused."""

from __future__ import annotations

from contextlib import closing

import h5py
import numpy as np
import pytest

from msroi_cli.errors import InputError
from msroi_cli.io.files.location import Location
from msroi_cli.io.hdf5.read import dataset_in, open_group
from msroi_cli.io.hdf5.values import read

BIAS = 1007  # of the exponent; that of a double is 1023


def unusual_float():
    kind = h5py.h5t.IEEE_F64LE.copy()
    kind.set_ebias(BIAS)
    return kind


def file_with(path, kind, size):
    with h5py.File(path, "w") as file:
        space = h5py.h5s.create_simple((4,))
        h5py.h5d.create(file.id, b"values", kind, space).write(
            h5py.h5s.ALL, h5py.h5s.ALL, np.zeros((4, size), np.uint8), kind
        )
    return path


def values_of(path):
    location = Location(path)
    with closing(open_group(location, "a file")) as root:
        return read(dataset_in(root, "values", "values", "a dataset"), "values")


@pytest.mark.parametrize("place", [0, 8, 16])
def test_a_member_that_is_read_longer_than_it_is(tmp_path, place):
    kind = h5py.h5t.create(h5py.h5t.COMPOUND, 24)
    for number in range(3):
        member = unusual_float() if 8 * number == place else h5py.h5t.IEEE_F64LE
        kind.insert(b"abc"[number : number + 1], 8 * number, member)
    # NumPy itself refuses a last member that reaches behind the record.
    expected = "members one after another" if place < 16 else "numbers, got a type that cannot be read"
    with pytest.raises(InputError, match=f"values: expected {expected}"):
        values_of(file_with(tmp_path / "f.h5", kind, 24))


def test_a_member_of_a_member(tmp_path):
    inner = h5py.h5t.create(h5py.h5t.COMPOUND, 16)
    inner.insert(b"a", 0, unusual_float())
    inner.insert(b"b", 8, h5py.h5t.IEEE_F64LE)
    outer = h5py.h5t.create(h5py.h5t.COMPOUND, 40)
    outer.insert(b"inner", 0, h5py.h5t.array_create(inner, (2,)))
    outer.insert(b"c", 32, h5py.h5t.IEEE_F64LE)
    with pytest.raises(InputError, match="values: expected members one after another"):
        values_of(file_with(tmp_path / "f.h5", outer, 40))


def test_records_with_gaps_are_read(tmp_path):
    kind = h5py.h5t.create(h5py.h5t.COMPOUND, 32)
    kind.insert(b"b", 20, h5py.h5t.IEEE_F64LE)
    kind.insert(b"a", 4, h5py.h5t.IEEE_F64LE)
    assert values_of(file_with(tmp_path / "f.h5", kind, 32)).dtype.names == ("b", "a")


def test_an_unusual_float_alone_is_read(tmp_path):
    assert (values_of(file_with(tmp_path / "f.h5", unusual_float(), 8)) == 0).all()
