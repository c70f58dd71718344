"""Files that declare or become gigabytes, or that make HDF5 loop, are refused in little memory and time."""

from __future__ import annotations

import os
import struct
import zlib

import h5py
import numpy as np
import pytest

from tests.builders import IDS, extracted
from tests.hostile.commands import good_files
from tests.hostile.corpus.damage import deflated_zeros
from tests.hostile.limits import limited_runs

pytestmark = pytest.mark.skipif(not hasattr(os, "fork"), reason="runs in the child of a fork")
ROWS = 1 << 25
# 800 kB that become 768 MB: not too many bytes for a chunk that is meant to have 1 MB.
BOMB = deflated_zeros(768 << 20)


@pytest.fixture(scope="module")
def good(tmp_path_factory):
    return good_files(tmp_path_factory.mktemp("good"))


def test_a_bomb_is_whole():
    assert zlib.decompress(deflated_zeros(4 << 20)) == bytes(4 << 20)


def refused(*command):
    (ending,) = limited_runs([command])
    assert ending.code == 3, ending.stderr[-500:]
    assert len(ending.stderr.splitlines()) == 1, ending.stderr
    assert ending.seconds < 2
    return ending.stderr


def with_chunks(path, name, shape, chunks, content, **storage):
    """A dataset whose chunks all hold `content` as it lies in the file."""
    with h5py.File(path, "a") as file:
        dataset = file.create_dataset(name, shape, "f4", chunks=chunks, **storage)
        for row in range(0, shape[0], chunks[0]):
            dataset.id.write_direct_chunk((row, *(0,) * (len(shape) - 1)), content)


BOXES = {
    "one chunk that becomes 640 MB": ((ROWS, 5), (ROWS, 5), zlib.compress(bytes(100)), {"compression": "gzip"}),
    "scale-offset of one value": ((ROWS, 5), (ROWS // 64, 5), bytes(21), {"scaleoffset": 2}),
    "a chunk that becomes 768 MB": (
        *((50_000, 5), (50_000, 5)),
        BOMB,
        {"compression": "gzip"},
    ),
}


@pytest.mark.parametrize("name", BOXES)
@pytest.mark.sampled(3)
def test_boxes(name, good, tmp_path):
    with_chunks(tmp_path / "b.h5", "rois", *BOXES[name][:3], **BOXES[name][3])
    refused("assign", tmp_path / "b.h5", "--strides", "4,8,16", "-q")
    refused("extract", good.pyramid, tmp_path / "b.h5", "-o", tmp_path / "o.h5", "-q")


@pytest.mark.parametrize("filters", [{}, {"shuffle": True}, {"fletcher32": True}])
@pytest.mark.parametrize("command", [("verify",), ("stats", "--json"), ("export", "--layout", "ragged")])
@pytest.mark.slow
def test_a_compressed_crop_that_becomes_a_gigabyte(command, filters, good, tmp_path):
    path = tmp_path / "crops.h5"
    extracted(tmp_path / "small.h5", good.pyramid, good.boxes, "-q", "--output-size", "96")
    with h5py.File(tmp_path / "small.h5") as old, h5py.File(path, "w") as new:
        new.attrs.update(old.attrs)
        for name in old:
            if name != "crops":
                old.copy(name, new)
        shape = old["crops"].shape
    with_chunks(path, "crops", shape, shape, BOMB, compression="gzip", **filters)
    name, *options = command
    out = [tmp_path / "o.h5"] if name == "export" else []
    (ending,) = limited_runs([[name, path, *out, *options, "-q"]])
    assert ending.code == 3, ending.stderr
    assert ending.seconds < 2


def test_a_feature_map_that_becomes_a_gigabyte(good, tmp_path):
    path = tmp_path / "maps.h5"
    with h5py.File(path, "w", userblock_size=512) as file:
        file.create_dataset("p2", (len(IDS), 3, 160, 240), "f4", chunks=(len(IDS), 3, 160, 240), compression="gzip")
        file["p2"].attrs["stride"] = 4
        file["p2"].id.write_direct_chunk((0, 0, 0, 0), BOMB)
        file["image_ids"] = np.array(IDS, "S")
    refused("extract", path, good.boxes, "-o", tmp_path / "o.h5", "-q")


def damaged_heap(path, index, size):
    """Gives the first object of each global heap another index and size."""
    content = bytearray(path.read_bytes())
    at = content.find(b"GCOL\x01")
    assert at >= 0
    while at >= 0:
        struct.pack_into("<H", content, at + 16, index)
        struct.pack_into("<Q", content, at + 24, size)
        at = content.find(b"GCOL\x01", at + 1)
    path.write_bytes(content)


@pytest.mark.parametrize(("index", "size"), [(0, 0), (1, 2**64 - 16), (1, 2**63), (0, 2**64 - 8)])
@pytest.mark.sampled(2)
def test_strings_that_made_hdf5_loop(index, size, good, tmp_path):
    crops = tmp_path / "crops.h5"
    with h5py.File(crops, "w") as file:
        file.attrs["format"] = "msroi-crops"
    damaged_heap(crops, index, size)
    for command in (("stats",), ("inspect",), ("verify",)):
        refused(*command, crops)
    boxes = tmp_path / "boxes.h5"
    with h5py.File(boxes, "w") as file:
        file["boxes"] = np.zeros((2, 4))
        file["image_ids"] = ["one", "two"]
    damaged_heap(boxes, index, size)
    assert "global heap" in refused("assign", boxes, "--strides", "4")


def test_ids_that_are_all_one_long_text(tmp_path):
    path = tmp_path / "boxes.h5"
    count = 20_000
    with h5py.File(path, "w") as file:
        file["boxes"] = np.zeros((count, 4))
        file.create_dataset("image_ids", data=["x" * 60_000, *["y"] * (count - 1)], dtype=h5py.string_dtype())
        place = file["image_ids"].id.get_offset()
    content = bytearray(path.read_bytes())
    content[place : place + 16 * count] = content[place : place + 16] * count
    path.write_bytes(content)
    assert "room" in refused("assign", path, "--strides", "4")
