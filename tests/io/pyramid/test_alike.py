"""What is assumed of all images is checked for every image that is used, however many come before it."""

from __future__ import annotations

from collections import Counter
from functools import cache

import h5py
import numpy as np
import pytest

from msroi_cli.io.features import headers as known_headers
from msroi_cli.io.features.contiguous import ContiguousMap
from msroi_cli.io.features.headers import Headers
from msroi_cli.io.features.reading import read_map
from msroi_cli.io.hdf5.read import open_dataset, open_group_at
from msroi_cli.io.hdf5.structure.lookup3 import checksums
from msroi_cli.io.pyramid.hdf5.alike import ImageReader
from msroi_cli.io.pyramid.levels import LevelChoice
from msroi_cli.io.pyramid.open import open_pyramid
from tests.builders import refused, run, write_json

STRIDES = {"p2": 4, "p3": 8, "p4": 16}
COUNT = 300
BOX = [1, 1, 9, 9]
MAPS = {name: np.ones((2, 64 // stride, 64 // stride), "f4") for name, stride in STRIDES.items()}
GZIP = {"compression": "gzip", "chunks": True}


def write(path, *, libver=None, **storage):
    """Small images 0 to 299, all alike."""
    with h5py.File(path, "w", libver=libver) as file:
        for image in range(COUNT):
            for name, stride in STRIDES.items():
                file.create_dataset(f"{image}/{name}", data=MAPS[name], **storage).attrs["stride"] = stride
    return path


def change(path, edit):
    with h5py.File(path, "a") as file:
        edit(file)
    return path


def replaced(name, values, stride):
    def edit(file):
        del file[name]
        file.create_dataset(name, data=values).attrs["stride"] = stride

    return edit


def attribute(name, key, value):
    return lambda file: file[name].attrs.__setitem__(key, value)


ODD = {
    "stride": (attribute("280/p3", "stride", 16), "280/p3: expected stride 8 x 8 as on other images, got 16 x 16"),
    "stride of a level without boxes": (attribute("280/p4", "stride", 32), "280/p4: expected stride 16 x 16"),
    "stride of another type": (attribute("280/p2", "stride", 4.5), "280/p2: expected stride 4 x 4"),
    "scale beside the stride": (
        attribute("280/p2", "spatial_scale", 0.5),
        "expected stride and spatial_scale to agree",
    ),
    "a pair": (attribute("280/p2", "stride", (4, 8)), "280/p2: expected stride 4 x 4"),
    "level more": (
        lambda file: file.create_dataset("280/p5", data=MAPS["p4"][:, ::2, ::2]),
        "280/p5: expected the levels p2, p3, p4 .*--levels",
    ),
    "level less": (lambda file: file.__delitem__("280/p4"), "280/p4: expected a dataset"),
    "channels": (replaced("280/p3", np.ones((3, 8, 8), "f4"), 8), "280/p3: expected \\(2, H, W\\)"),
    "dtype": (replaced("280/p4", np.ones((2, 4, 4), "f2"), 16), "280/p4: expected float32 like"),
    "no float": (replaced("280/p4", np.ones((2, 4, 4), "i4"), 16), "280/p4: expected float32 like"),
    "scale factor": (attribute("280", "scale_factor", (2, 2)), "280: expected no scale_factor as on image 0, got one"),
    "two entries": (replaced("280/p3", np.ones((2, 2, 8, 8), "f4"), 8), "280/p3: expected \\(1, 2, H, W\\)"),
}


@pytest.fixture(scope="module")
def stored(tmp_path_factory):
    """The bytes of the same images, contiguous or compressed, or in the newest version of the format: by name."""
    folder = tmp_path_factory.mktemp("alike")
    options = {"contiguous": {}, "gzip": GZIP, "latest": {"libver": "latest"}}
    return cache(lambda name: write(folder / f"{name}.h5", **options[name]).read_bytes())


@pytest.mark.slow
@pytest.mark.parametrize(
    ("case", "storage"), [*((case, "contiguous") for case in ODD), ("stride", "gzip"), ("stride", "latest")]
)
def test_an_image_that_is_not_like_the_first(tmp_path, stored, case, storage):
    edit, pattern = ODD[case]
    path = tmp_path / "p.h5"
    path.write_bytes(stored(storage))
    change(path, edit)
    boxes = write_json(tmp_path / "b.json", [[image, *BOX] for image in range(COUNT)])
    refused(run("extract", path, boxes, "-o", tmp_path / "o.h5", "-q"), 3, pattern)
    assert not (tmp_path / "o.h5").exists()
    refused(run("extract", path, boxes, "-o", tmp_path / "o.h5", "--dry-run"), 3, pattern)
    assert run("validate", path, boxes).exit_code == 3
    without = write_json(tmp_path / "c.json", [[image, *BOX] for image in range(COUNT) if image != 280])
    assert run("extract", path, without, "-o", tmp_path / "o.h5", "-q").exit_code == 0


@pytest.mark.parametrize("case", ["scale factor", "level more"])
@pytest.mark.sampled(3)
def test_an_option_settles_it(tmp_path, stored, case):
    path = tmp_path / "p.h5"
    path.write_bytes(stored("contiguous"))
    change(path, ODD[case][0])
    boxes = write_json(tmp_path / "b.json", [[280, *BOX]])
    option = {"scale factor": ("--box-space", "input"), "level more": ("--levels", "p2,p3,p4")}[case]
    assert run("extract", path, boxes, "-o", tmp_path / "o.h5", *option).exit_code == 0


def test_scale_factors_that_a_late_image_lacks(tmp_path, stored):
    path = tmp_path / "p.h5"
    path.write_bytes(stored("contiguous"))
    change(path, lambda file: [file[str(n)].attrs.__setitem__("scale_factor", 2.0) for n in range(COUNT) if n != 280])
    boxes = write_json(tmp_path / "b.json", [[280, *BOX]])
    result = run("extract", path, boxes, "-o", tmp_path / "o.h5", "--box-space", "original")
    refused(result, 3, "280: expected a scale_factor as on other images, got none")


@pytest.mark.parametrize("storage", ["contiguous", "latest", "gzip"])
@pytest.mark.sampled(2)
def test_maps_known_by_their_headers_are_those_that_hdf5_opens(tmp_path, stored, storage, monkeypatch):
    """The twin: the same maps where no header and no group is known."""
    path = tmp_path / "p.h5"
    path.write_bytes(stored(storage))
    change(path, replaced("7/p2", MAPS["p2"] * 7, 4))
    wanted = [(image, level) for image in range(40) for level in range(3)]
    with open_pyramid(str(path)) as pyramid:
        fast = pyramid.sources(wanted)
        fast_values = list(map(read_map, fast))
    monkeypatch.setattr(Headers, "find", lambda self, address: None)
    monkeypatch.setattr(Headers, "find_all", lambda self, addresses, extents: np.full((2, len(addresses)), -1))
    with open_pyramid(str(path)) as pyramid:
        slow = [pyramid.source(image, level) for image, level in wanted]
        slow_values = list(map(read_map, slow))
    for one, other in zip(fast, slow, strict=True):
        assert (one.shape, one.dtype, one.where, type(one)) == (other.shape, other.dtype, other.where, type(other))
        if isinstance(one, ContiguousMap):
            assert one.offset == other.offset
    for one, other in zip(fast_values, slow_values, strict=True):
        np.testing.assert_array_equal(one, other)


@pytest.mark.parametrize("storage", ["contiguous", "latest"])
def test_contiguous_images_are_known_by_their_headers(tmp_path, stored, monkeypatch, storage):
    """Few datasets are opened: this is what keeps many small images quick."""
    path = tmp_path / "p.h5"
    path.write_bytes(stored(storage))
    opened = []
    monkeypatch.setattr(
        "msroi_cli.io.pyramid.hdf5.alike.open_dataset",
        lambda root, inside, *rest: opened.append(inside) or open_dataset(root, inside, *rest),
    )
    with open_pyramid(str(path)) as pyramid:
        for image in range(COUNT):
            pyramid.check(image)
    assert len(opened) <= 6


@pytest.mark.parametrize("group", [None, "{id}", "/maps/{id}"])
def test_groups_of_images_are_known_by_their_bytes(tmp_path, monkeypatch, group):
    """Of many images that are asked for together, one group is opened."""
    path = write(tmp_path / "p.h5")
    if group == "/maps/{id}":
        change(path, lambda file: [file.move(str(image), f"maps/{image}") for image in range(COUNT)])
    opened = []
    monkeypatch.setattr(
        "msroi_cli.io.pyramid.hdf5.alike.open_group_at",
        lambda root, inside, *rest: opened.append(inside) or open_group_at(root, inside, *rest),
    )
    with open_pyramid(str(path), LevelChoice(group=group)) as pyramid:
        sources = pyramid.sources([(image, 1) for image in range(COUNT)])
    assert len(opened) == 1
    assert [source.where.split("/")[-2:] for source in sources] == [[str(image), "p3"] for image in range(COUNT)]


class TestHeaders:
    """Headers that differ in anything but the address of the values are not taken for one another."""

    HEADER = bytes([1, 0, 2, 0, 1, 0, 0, 0, 32, 0, 0, 0, 0, 0, 0, 0]) + bytes(range(100, 116)) + bytes(16)

    def known(self, tmp_path, *headers):
        path = tmp_path / "headers"
        path.write_bytes(b"".join(header.ljust(64, b"\0") for header in headers) + bytes(64))
        self.file = path.open("rb")
        return Headers(self.file.fileno())

    def teardown_method(self):
        self.file.close()

    def with_offset(self, offset, at=40):
        return self.HEADER[:at] + offset.to_bytes(8, "little") + self.HEADER[at + 8 :]

    def test_another_address_of_values(self, tmp_path):
        headers = self.known(tmp_path, self.with_offset(4096), self.with_offset(8192))
        headers.learn(0, 4096, "map")
        assert headers.find(0) == (4096, "map")
        assert headers.find(64) == (8192, "map")

    @pytest.mark.parametrize("byte", [2, 4, 17, 31, 33, 39])
    def test_any_other_byte(self, tmp_path, byte):
        other = bytearray(self.with_offset(8192))
        other[byte] ^= 1
        headers = self.known(tmp_path, self.with_offset(4096), bytes(other))
        headers.learn(0, 4096, "map")
        assert headers.find(64) is None

    def test_values_that_have_no_place_yet(self, tmp_path):
        headers = self.known(tmp_path, self.with_offset(4096), self.with_offset(2**64 - 1))
        headers.learn(0, 4096, "map")
        assert headers.find(64) is None

    def test_an_address_that_occurs_twice_is_not_learned(self, tmp_path):
        headers = self.known(tmp_path, self.with_offset(4096)[:32] + (4096).to_bytes(8, "little") * 2)
        headers.learn(0, 4096, "map")
        assert headers.find(0) is None

    def test_no_more_than_are_worth_it(self, tmp_path, monkeypatch):
        monkeypatch.setattr(known_headers, "MOST_KNOWN", 1)
        headers = self.known(tmp_path, self.with_offset(4096), self.with_offset(8192))
        headers.learn(0, 4096, "map")
        headers.learn(64, 8192, "another")
        assert headers.meanings == ["map"]
        assert headers.find(0) == (4096, "map")

    @pytest.mark.parametrize("address", [150, 10**9, 2**63 - 1])
    def test_no_header(self, tmp_path, address):
        headers = self.known(tmp_path, self.with_offset(4096))
        headers.learn(0, 4096, "map")
        assert headers.find(address) is None

    def test_other_versions_and_long_headers(self, tmp_path):
        second = b"OHDR" + self.with_offset(4096)[4:]
        long = self.with_offset(4096)[:8] + (5000).to_bytes(4, "little") + self.with_offset(4096)[12:]
        headers = self.known(tmp_path, second, long)
        headers.learn(0, 4096, "map")
        headers.learn(64, 4096, "map")
        assert (headers.find(0), headers.find(64)) == (None, None)


def _second(offset, flags=1):
    """A header of version 2 with the address of its values behind 40 bytes of messages."""
    prefix = b"OHDR\x02" + bytes([flags]) + (bytes(16) if flags & 0x20 else b"") + (bytes(4) if flags & 0x10 else b"")
    body = prefix + (60).to_bytes(1 << (flags & 3), "little") + bytes(range(100, 140)) + offset.to_bytes(8, "little")
    body += bytes(12)
    return body + int(checksums([body])[0]).to_bytes(4, "little")


class TestHeadersOfVersion2:
    def found(self, tmp_path, first, second):
        path = tmp_path / "headers"
        path.write_bytes(first.ljust(128, b"\0") + second.ljust(128, b"\0") + bytes(1024))
        with path.open("rb") as file:
            headers = Headers(file.fileno())
            headers.learn(0, 4096, "map")
            return headers.find(0), headers.find(128)

    @pytest.mark.parametrize("flags", [0, 1, 2, 3, 0x21, 0x31, 0x10])
    def test_another_address_of_values(self, tmp_path, flags):
        assert self.found(tmp_path, _second(4096, flags), _second(8192, flags)) == ((4096, "map"), (8192, "map"))

    @pytest.mark.parametrize("byte", [4, 5, 6, 20, 47, 55, 68, 71])
    def test_a_damaged_one_is_left_to_hdf5(self, tmp_path, byte):
        damaged = bytearray(_second(8192))
        damaged[byte] ^= 1
        assert self.found(tmp_path, _second(4096), bytes(damaged)) == ((4096, "map"), None)
        assert self.found(tmp_path, bytes(damaged), _second(8192)) == (None, None)


def test_images_of_a_small_job_are_opened_once(tmp_path, monkeypatch):
    """Every check before the work asks for the levels of the first images that have boxes, and the work for all."""
    write(tmp_path / "p.h5", **GZIP)
    write_json(tmp_path / "b.json", {str(image): [BOX] for image in range(0, COUNT, 20)})
    opened = Counter()
    open_images = ImageReader.open

    def counted(reader, paths, places):
        opened.update(paths)
        return open_images(reader, paths, places)

    monkeypatch.setattr(ImageReader, "open", counted)
    assert run("extract", tmp_path / "p.h5", tmp_path / "b.json", "-o", tmp_path / "o.h5").exit_code == 0
    assert opened == Counter(str(image) for image in range(0, COUNT, 20))
