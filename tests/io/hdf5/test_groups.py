"""Groups that are told by their bytes have the members that HDF5 finds in them; all others are left to HDF5."""

from __future__ import annotations

import random

import h5py
import numpy as np
import pytest

from msroi_cli.io.hdf5.read import member_links
from msroi_cli.io.hdf5.structure import extents as extents_module
from msroi_cli.io.hdf5.structure.extents import Extents
from msroi_cli.io.hdf5.structure.groups import UNKNOWN, Groups

NAMES = ("p2", "p3")
COUNT = 40


def write(path, *, names=NAMES, libver=None, attribute=None):
    with h5py.File(path, "w", libver=libver) as file:
        for image in range(COUNT):
            group = file.create_group(f"{image}")
            if attribute is not None:
                group.attrs[attribute] = image
            for name in names:
                group[name] = np.full((2, 3, 3), image, "f4")
    return path


def found(path, learned=0):
    """Where each group's header is, what HDF5 says of its members, and what its bytes say."""
    with h5py.File(path) as file, path.open("rb") as raw:
        places = member_links(file.id, path)
        members = {name: member_links(file[name].id, path) for name in places}
        groups = Groups(Extents(raw.fileno()), NAMES)
        first = list(places)[learned]
        groups.learn(places[first], members[first])
        addresses = np.array(list(places.values()))
        return [[links.get(name) for name in NAMES] for links in members.values()], groups.find(addresses).tolist()


def test_alike(tmp_path):
    expected, actual = found(write(tmp_path / "a.h5"))
    assert actual == expected


@pytest.mark.parametrize(
    "options",
    [{"libver": "latest"}, {"attribute": "size"}, {"names": [*NAMES, *(f"q{number}" for number in range(20))]}],
    ids=["of the new kind", "with an attribute", "with many members"],
)
def test_left_to_hdf5(tmp_path, options):
    _, actual = found(write(tmp_path / "a.h5", **options))
    assert actual == [[UNKNOWN, UNKNOWN]] * COUNT


@pytest.mark.parametrize(
    "edit",
    [
        lambda group: group.create_dataset("p4", data=np.ones(3)),
        lambda group: group.move("p3", "p9"),
        lambda group: group.__delitem__("p3"),
        lambda group: group.attrs.__setitem__("scale_factor", (2.0, 2.0)),
        lambda group: (group.__delitem__("p3"), group.__setitem__("p3", h5py.SoftLink("/7/p3"))),
        lambda group: (group.__delitem__("p3"), group.create_group("p3")),
    ],
    ids=["a member more", "another name", "a member less", "an attribute", "a soft link", "a group"],
)
def test_one_that_differs(tmp_path, edit):
    path = write(tmp_path / "a.h5")
    with h5py.File(path, "a") as file:
        edit(file["8"])
    expected, actual = found(path)
    with h5py.File(path) as file:
        odd = list(file).index("8")
    assert actual[odd] == [UNKNOWN, UNKNOWN]
    assert actual[:odd] + actual[odd + 1 :] == expected[:odd] + expected[odd + 1 :]


def test_damage_is_never_taken_for_another_group(tmp_path):
    """Whatever byte changes, a group has the members that HDF5 finds, or is left to it."""
    path = write(tmp_path / "a.h5")
    whole = path.read_bytes()
    rng = random.Random(0)
    for _ in range(300):
        content = bytearray(whole)
        content[rng.randrange(len(whole))] = rng.randrange(256)
        path.write_bytes(content)
        try:
            with h5py.File(path) as file:
                expected = [
                    [links.get(name) for name in NAMES]
                    for links in (member_links(file[str(image)].id, path) for image in range(COUNT))
                ]
                places = np.array([member_links(file.id, path)[str(image)] for image in range(COUNT)])
                with path.open("rb") as raw:
                    groups = Groups(Extents(raw.fileno()), NAMES)
                    groups.learn(int(places[0]), member_links(file["0"].id, path))
                    actual = groups.find(places).tolist()
        except (OSError, KeyError, ValueError, RuntimeError):
            continue
        assert all(one in (other, [UNKNOWN, UNKNOWN]) for one, other in zip(actual, expected, strict=True))


class TestExtents:
    CONTENT = bytes(random.Random(1).randbytes(1000))

    @pytest.fixture(params=[0, 10, 1000])
    def extents(self, tmp_path, monkeypatch, request):
        monkeypatch.setattr(extents_module, "GAP", request.param)
        monkeypatch.setattr(extents_module, "AHEAD", request.param // 5)
        path = tmp_path / "bytes"
        path.write_bytes(self.CONTENT)
        with path.open("rb") as file:
            yield Extents(file.fileno())

    def test_bytes_at_some_places(self, extents):
        rng = np.random.default_rng(0)
        for _ in range(20):
            width = int(rng.integers(1, 40))
            addresses = rng.integers(0, 1000 - width + 1, rng.integers(0, 9))
            rows, there = extents.rows(addresses, width)
            assert there.all()
            assert [row.tobytes() for row in rows] == [self.CONTENT[at : at + width] for at in addresses.tolist()]

    def test_places_beyond_the_file(self, extents):
        addresses = np.array([-1, 995, 990, 1000, 2**63 - 1, -(2**63)])
        rows, there = extents.rows(addresses, 10)
        assert there.tolist() == [False, False, True, False, False, False]
        assert rows[2].tobytes() == self.CONTENT[990:]

    def test_an_empty_file(self, tmp_path):
        path = tmp_path / "none"
        path.touch()
        with path.open("rb") as file:
            rows, there = Extents(file.fileno()).rows(np.array([0, 5]), 4)
        assert rows.shape == (2, 4)
        assert not there.any()
