"""Groups that are listed by their bytes have the members that HDF5 finds; all others are left to it."""

from __future__ import annotations

import random

import h5py
import numpy as np
import pytest

from msroi_cli.errors import InputError
from msroi_cli.io.hdf5.read import member_links
from msroi_cli.io.hdf5.structure.listing import listed


def write(path, names, **options):
    with h5py.File(path, "w", **options) as file:
        for name in names:
            file.create_group(name.encode("utf-8", "surrogateescape"))
    return path


def both(path, group="/"):
    """What HDF5 says of the members of a group, and what its bytes say."""
    with h5py.File(path) as file, path.open("rb") as raw:
        identifier = file[group].id
        return member_links(identifier, path), listed(raw.fileno(), h5py.h5o.get_info(identifier).addr)


def shuffled(count, width=0):
    names = [f"{number:0{width}}" for number in range(count)]
    random.Random(0).shuffle(names)
    return names


@pytest.mark.parametrize(
    "names",
    [
        ["17"],
        shuffled(7),
        shuffled(3000),
        [f"{number:08}" for number in range(700)],
        ["", "a"][1:],
        ["é", "z" * 47, "\udcff", "日本", "a b"],
    ],
    ids=["one", "a leaf", "two levels", "ascending", "a", "any texts"],
)
def test_members_are_those_of_hdf5(tmp_path, names):
    expected, actual = both(write(tmp_path / "a.h5", names))
    assert actual == expected
    assert list(actual) == list(expected)
    assert len(actual) == len(names)


def test_after_some_are_gone(tmp_path):
    path = write(tmp_path / "a.h5", shuffled(1000))
    with h5py.File(path, "a") as file:
        for number in range(0, 1000, 3):
            del file[str(number)]
        for number in range(1000, 1200):
            file[str(number)] = 1.5
        file["soft"] = h5py.SoftLink("/7")
        file["hard"] = file["8"]
    expected, actual = both(path)
    assert actual == expected
    assert actual["soft"] is None
    assert actual["hard"] == actual["8"]


def test_a_group_that_lies_deeper(tmp_path):
    path = write(tmp_path / "a.h5", [f"images/{name}" for name in shuffled(200)])
    expected, actual = both(path, "images")
    assert actual == expected


@pytest.mark.parametrize(
    ("names", "options"),
    [([], {}), (["a"], {"libver": "latest"}), (["a", "z" * 48], {}), (["a"], {"track_order": True})],
    ids=["empty", "of the new kind", "a long name", "in the order of making"],
)
def test_left_to_hdf5(tmp_path, names, options):
    expected, actual = both(write(tmp_path / "a.h5", names, **options))
    assert actual is None
    assert list(expected) == names


@pytest.mark.sampled(3)
@pytest.mark.parametrize("seed", range(9))
def test_damage_is_never_taken_for_other_members(tmp_path, seed):
    """Whatever byte changes, the members are those that HDF5 finds, or are left to it."""
    path = write(tmp_path / "a.h5", shuffled(90))
    whole = path.read_bytes()
    rng = random.Random(seed)
    seen = 0
    for _ in range(200):
        content = bytearray(whole)
        content[rng.randrange(len(whole))] = rng.randrange(256)
        path.write_bytes(content)
        try:
            expected, actual = both(path)
        except (OSError, KeyError, ValueError, RuntimeError, InputError):
            continue
        assert actual in (None, expected)
        seen += actual is not None
    assert seen > 50


def test_a_file_that_ends_early(tmp_path):
    path = write(tmp_path / "a.h5", shuffled(200))
    with h5py.File(path) as file:
        address = h5py.h5o.get_info(file.id).addr
    whole = path.read_bytes()
    for size in np.linspace(0, len(whole) - 1, 60).astype(int).tolist():
        path.write_bytes(whole[:size])
        with path.open("rb") as raw:
            found = listed(raw.fileno(), address)
        assert found is None or len(found) == 200
