"""Scale factors, sizes and offsets that are read from headers are those that HDF5 finds; anything odd is left to it."""

from __future__ import annotations

import random

import h5py
import numpy as np
import pytest

from msroi_cli.errors import MsroiError
from msroi_cli.io.pyramid.base import Pyramid
from msroi_cli.io.pyramid.hdf5.group_pairs import MOST_STENCILS, GroupPairs
from msroi_cli.io.pyramid.hdf5.levels import MEMBERS_SAMPLED
from msroi_cli.io.pyramid.levels import LevelChoice
from msroi_cli.io.pyramid.open import open_pyramid
from tests.builders import STRIDES, image_maps, write_per_image

COUNT = 70


def pyramid_of(path, edit, libver=None):
    """Groups of one image each; edit: (group, number) says what it is."""
    with h5py.File(path, "w", libver=libver) as file:
        for number in range(COUNT):
            group = file.create_group(str(number))
            edit(group, number)
            for name, array in image_maps(number).items():
                group[name] = array
                group[name].attrs["stride"] = STRIDES[name]
    return path


def both(group, number):
    group.attrs["scale_factor"] = (1 + number / 64, 1.25)
    group.attrs["image_size"] = np.array([640, 480 + number])


def with_offset(group, number):
    both(group, number)
    group.attrs["offset"] = (float(number), -3.5)


def with_texts(group, number):
    group.attrs["file_name"] = f"picture {number:06}.jpg"
    group.attrs["scale_factor"] = np.array([1.5, 1 + number], np.float32)


def two_orders(group, number):
    for name in ("scale_factor", "image_size")[:: 1 if number % 2 else -1]:
        group.attrs[name] = (1.5, 1 + number)


def some_without(group, number):
    if number % 3:
        both(group, number)


def many_attributes(group, number):
    for index in range(40):
        group.attrs[f"note {index}"] = np.full(index, number)
    both(group, number)


def one_number(group, number):
    group.attrs["scale_factor"] = 1.5 + number


CASES = {
    "two attributes": (both, COUNT),
    "three attributes": (with_offset, COUNT),
    "texts beside them": (with_texts, COUNT),
    "in two orders": (two_orders, COUNT),
    "not on all": (some_without, COUNT),
    "none": (lambda group, number: None, COUNT),
    "many blocks": (many_attributes, COUNT),
    "one number": (one_number, 0),
}


def contents(pyramid):
    """What the pyramid says of all images at once, or the error."""
    try:
        return [*pyramid.factors_of(np.arange(COUNT)), pyramid.image_sizes_of(np.arange(COUNT))]
    except MsroiError as error:
        return [np.array(str(error))]


def slowly(pyramid):
    """The same, image by image."""
    try:
        return [*Pyramid.factors_of(pyramid, np.arange(COUNT)), Pyramid.image_sizes_of(pyramid, np.arange(COUNT))]
    except MsroiError as error:
        return [np.array(str(error))]


def same(found, expected):
    assert len(found) == len(expected)
    for one, other in zip(found, expected, strict=True):
        assert one.dtype == other.dtype
        assert one.tobytes() == other.tobytes()


@pytest.fixture
def counted(monkeypatch):
    """How many images each call has read without opening them, and how many groups were learned from."""
    read, learned = GroupPairs.read, GroupPairs._learned
    seen = {"read": [], "learned": 0}

    def reading(self, *given):
        known, found = read(self, *given)
        seen["read"].append(int(known.sum()))
        return known, found

    def learning(self, *rest):
        seen["learned"] += 1
        return learned(self, *rest)

    monkeypatch.setattr(GroupPairs, "read", reading)
    monkeypatch.setattr(GroupPairs, "_learned", learning)
    return seen


@pytest.mark.parametrize("case", CASES)
def test_what_hdf5_finds(tmp_path, counted, case):
    edit, most = CASES[case]
    with open_pyramid(str(pyramid_of(tmp_path / "p.h5", edit))) as pyramid:
        same(contents(pyramid), slowly(pyramid))
    assert counted["read"] == [most, most]
    assert counted["learned"] <= 2 * MOST_STENCILS


def test_later_headers_are_left_to_hdf5(tmp_path, counted):
    with open_pyramid(str(pyramid_of(tmp_path / "p.h5", both, "latest"))) as pyramid:
        same(contents(pyramid), slowly(pyramid))
    assert counted["read"] == [0, 0]


def test_groups_that_lie_deeper(tmp_path, counted):
    images = {str(number): image_maps(number) for number in range(COUNT)}
    write_per_image(tmp_path / "p.h5", images, inside="a", factors={key: (1.5, float(key) + 1) for key in images})
    with open_pyramid(str(tmp_path / "p.h5"), LevelChoice(group="a/{id}")) as pyramid:
        same(contents(pyramid), slowly(pyramid))
    assert counted["read"] == [COUNT, COUNT]


@pytest.mark.parametrize("value", [(0.0, 1.0), (np.nan, 1.0), (1.0, np.inf), (-1.0, 1.0)])
def test_what_is_no_factor_is_named(tmp_path, value):
    path = pyramid_of(tmp_path / "p.h5", both)
    with h5py.File(path, "a") as file:
        file["17"].attrs.modify("scale_factor", value)
    with open_pyramid(str(path)) as pyramid:
        same(contents(pyramid), slowly(pyramid))
        assert "17: scale_factor: expected one or two numbers above 0" in str(contents(pyramid)[0])


def test_few_of_many_images(tmp_path, counted):
    with open_pyramid(str(pyramid_of(tmp_path / "p.h5", both))) as pyramid:
        factors, _ = pyramid.factors_of(np.array([5, 3]))
    assert factors[:, 0].tolist() == [1 + 5 / 64, 1 + 3 / 64]
    assert counted["read"] == [2]


@pytest.mark.sampled(4)
@pytest.mark.parametrize("seed", range(10))
def test_a_byte_that_differs_is_never_overlooked(tmp_path, seed):
    """One bit in the header of many images is another; HDF5 finds what is read of those that are alike."""
    chosen = random.Random(seed)
    path = pyramid_of(tmp_path / "p.h5", both)
    found = {}
    with h5py.File(path) as file:
        file.id.links.iterate(lambda name, info: found.__setitem__(name.decode(), info.u), info=True)
    content = bytearray(path.read_bytes())
    # The first ones, as HDF5 and as the pyramid lists them, are looked at when it is opened.
    for name in sorted(found)[MEMBERS_SAMPLED:]:
        if len(name) == 1:
            continue
        # The header is 40 bytes; its second block has all attributes.
        address = found[name]
        block = int.from_bytes(content[address + 24 : address + 32], "little")
        size = int.from_bytes(content[address + 32 : address + 40], "little")
        place = chosen.choice([*range(address, address + 40), *range(block, block + size)])
        content[place] ^= 1 << chosen.randrange(8)
    path.write_bytes(content)
    with open_pyramid(str(path)) as pyramid:
        known, pairs = pyramid._geometry_of(np.arange(COUNT))
        for image in np.flatnonzero(known).tolist():
            one = np.array([image])
            try:
                expected = [Pyramid.factors_of(pyramid, one)[0], Pyramid.image_sizes_of(pyramid, one)]
            except MsroiError:
                # What is damaged is of the maps, and found when these are looked for.
                with pytest.raises(MsroiError):
                    pyramid.check(image)
            else:
                same([pairs["scale_factor"][one], pairs["image_size"][one]], expected)
