"""Damaged files that a fuzzer found: each was read, hung or ended in a traceback once."""

from __future__ import annotations

import struct

import h5py
import pytest

from tests.builders import run


def boxes_by_image(path):
    with h5py.File(path, "w") as file:
        for key in ("aaaa", "bbbb"):
            file[f"{key}/boxes"] = [[1.0, 2, 30, 40]]
    return path


def edited(path, old, new):
    content = path.read_bytes()
    assert content.count(old) == 1
    path.write_bytes(content.replace(old, new))
    return path


def refused(*command):
    result = run(*command)
    assert result.exit_code == 3, result.output
    assert len(result.stderr.splitlines()) == 1
    return result.stderr


@pytest.mark.parametrize("name", [b"aaaa", bytes(4)], ids=["twice", "empty"])
def test_names_of_members(name, tmp_path):
    path = edited(boxes_by_image(tmp_path / "b.h5"), b"bbbb", name)
    refused("assign", path, "--strides", "4", "-q")


def test_a_root_that_cannot_be_opened(tmp_path):
    path = boxes_by_image(tmp_path / "b.h5")
    content = bytearray(path.read_bytes())
    # The superblock, version 0, has the address of the root's header at byte 64: its first message becomes another.
    (header,) = struct.unpack_from("<Q", content, 64)
    content[header + 16 : header + 18] = b"\xff\xff"
    path.write_bytes(content)
    refused("assign", path, "--strides", "4", "-q")


def test_damage_that_hdf5_finds_once(tmp_path):
    path = boxes_by_image(tmp_path / "b.h5")
    content = bytearray(path.read_bytes())
    # Local heaps: "HEAP", a version, the size of the data, the first free block, the address of the data.
    heap = content.find(b"HEAP")
    while heap >= 0:
        free, address = struct.unpack_from("<QQ", content, heap + 16)
        struct.pack_into("<Q", content, address + free, 0)  # the next free block
        heap = content.find(b"HEAP", heap + 1)
    path.write_bytes(content)
    assert "free block" in refused("assign", path, "--strides", "4", "-q")
