"""Values that stand in the file as they are: small maps that lie close together are read in one go."""

from __future__ import annotations

import os

import h5py
import numpy as np
import pytest

from msroi_cli.errors import InputError, RunError
from msroi_cli.io.features import contiguous as raw
from msroi_cli.io.features.contiguous import ContiguousMap, RawFile
from msroi_cli.io.features.reading import read_maps, small_maps
from msroi_cli.io.features.source import ArrayMap, ReadRequest
from msroi_cli.io.pyramid.open import open_pyramid

COUNT = 40


def write(path, side=6, dtype="<f4"):
    """Images of different sizes, each with levels p2 and p3."""
    rng = np.random.default_rng(0)
    images = {}
    with h5py.File(path, "w") as file:
        for number in range(COUNT):
            for level in (2, 3):
                values = rng.standard_normal((3, side + number % 5, side >> level - 2)).astype(dtype)
                images[number, level - 2] = values
                file.create_dataset(f"{number:02}/p{level}", data=values).attrs["stride"] = 1 << level
    return images


@pytest.fixture
def reads(monkeypatch):
    """The number of buffers of each read."""
    counts, preadv = [], os.preadv

    def counted(descriptor, buffers, offset):
        counts.append(len(buffers))
        return preadv(descriptor, buffers, offset)

    monkeypatch.setattr(raw.os, "preadv", counted)
    return counts


def fetched(path, wanted, channels=range(3), runs=None):
    """The `wanted` maps, read in one go."""
    with open_pyramid(str(path)) as pyramid:
        sources = pyramid.sources(wanted)
        assert all(isinstance(source, ContiguousMap) for source in sources)
        outs = [np.full((len(channels), *source.shape[1:]), np.nan, source.dtype) for source in sources]
        rows = runs or [[(0, source.shape[1])] for source in sources]
        read_maps([ReadRequest(*one) for one in zip(sources, outs, rows, strict=True)], channels[0])
    return outs


@pytest.mark.parametrize("channels", [range(3), range(1, 3), range(2, 3)])
@pytest.mark.parametrize("dtype", ["<f4", ">f2"])
@pytest.mark.parametrize("order", [1, -1])
@pytest.mark.sampled(5)
def test_small_maps_are_read_in_one_go(tmp_path, reads, channels, dtype, order):
    images = write(tmp_path / "p.h5", dtype=dtype)
    wanted = list(images)[::order]
    for out, key in zip(fetched(tmp_path / "p.h5", wanted, channels), wanted, strict=True):
        np.testing.assert_array_equal(out, images[key][channels.start :])
    assert len(reads) < 16  # without the extension, headers of groups are read so, too
    assert sum(reads) > len(wanted)


@pytest.mark.parametrize("dtype", ["<f4", ">f2", "<f8"])
@pytest.mark.parametrize("gap", [-1, 100, 16 << 10])
@pytest.mark.sampled(3)
def test_whole_small_maps(tmp_path, monkeypatch, dtype, gap):
    """The twin of `read_maps`, for maps in any order, some of them twice."""
    monkeypatch.setattr(raw, "SMALL_GAP", gap)
    images = write(tmp_path / "p.h5", dtype=dtype)
    wanted = [list(images)[place] for place in np.random.default_rng(0).integers(0, len(images), 50)]
    with open_pyramid(str(tmp_path / "p.h5")) as pyramid:
        sources = pyramid.sources(wanted)
        whole = small_maps(sources, 1 << 20)
        assert small_maps(sources, sum(source.size for source in sources) - 1) == []
    assert [one.dtype for one in whole] == [np.dtype(dtype)] * 50
    for one, key in zip(whole, wanted, strict=True):
        np.testing.assert_array_equal(one[0], images[key])


def test_a_small_map_that_cannot_be_read_is_left_to_those_who_name_it(tmp_path):
    write(tmp_path / "p.h5")
    with open_pyramid(str(tmp_path / "p.h5")) as pyramid:
        sources = pyramid.sources([(0, 0), (COUNT - 1, 1)])
        os.truncate(tmp_path / "p.h5", sources[1].offset + 4)
        assert small_maps(sources, 1 << 20) == []
        assert len(small_maps(sources[:1], 1 << 20)) == 1


def test_maps_that_are_not_small_or_aligned_or_in_one_file(tmp_path):
    one, other = (RawFile(0, name) for name in ("one", "other"))
    shape, f4 = (1, 2, 2), np.dtype("f4")
    small = ContiguousMap(shape, f4, "", one, 8)
    odd = [
        ContiguousMap(shape, f4, "", one, 10),
        ContiguousMap(shape, f4, "", other, 8),
        ContiguousMap((1, 200, 200), f4, "", one, 8),
        ArrayMap(shape, f4, "", np.ones(shape, f4)),
    ]
    for source in odd:
        assert small_maps([small, source], 1 << 20) == []


@pytest.mark.parametrize(
    ("name", "value", "most"), [("SMALL_GAP", -1, 1), ("SMALL_READ", 10, 1), ("BUFFERS_AT_ONCE", 3, 3)]
)
def test_limits_of_a_read(tmp_path, monkeypatch, reads, name, value, most):
    monkeypatch.setattr(raw, name, value)
    images = write(tmp_path / "p.h5")
    for out, key in zip(fetched(tmp_path / "p.h5", list(images)), images, strict=True):
        np.testing.assert_array_equal(out, images[key])
    assert max(reads) == most


def test_the_same_map_twice_and_some_rows(tmp_path):
    images = write(tmp_path / "p.h5")
    wanted = [(0, 0), (1, 0), (0, 0), (2, 0)]
    runs = [[(0, 6)], [(1, 2), (4, 5)], [(0, 6)], [(0, 8)]]
    outs = fetched(tmp_path / "p.h5", wanted, runs=runs)
    for out, key, rows in zip(outs, wanted, runs, strict=True):
        for start, stop in rows:
            np.testing.assert_array_equal(out[:, start:stop], images[key][:, start:stop])


@pytest.mark.parametrize("most", [1, 7, 100])
def test_a_read_that_gives_less_is_gone_on_with(tmp_path, monkeypatch, most):
    images, preadv = write(tmp_path / "p.h5"), os.preadv

    def little(descriptor, buffers, offset):
        return preadv(descriptor, [memoryview(buffers[0])[:most]], offset)

    monkeypatch.setattr(raw.os, "preadv", little)
    wanted = list(images)[:6]
    for out, key in zip(fetched(tmp_path / "p.h5", wanted), wanted, strict=True):
        np.testing.assert_array_equal(out, images[key])


def test_the_map_that_cannot_be_read_is_named(tmp_path, monkeypatch):
    write(tmp_path / "p.h5")
    with open_pyramid(str(tmp_path / "p.h5")) as pyramid:
        end = pyramid.source(5, 0).start_of(2)
    preadv = os.preadv

    def cut_short(descriptor, buffers, offset):
        return preadv(descriptor, [memoryview(buffers[0])[: max(0, end - offset)]], offset)

    monkeypatch.setattr(raw.os, "preadv", cut_short)
    with pytest.raises(InputError, match=r"/05/p2: expected \d+ bytes more at \d+, got the end of "):
        fetched(tmp_path / "p.h5", [(number, 0) for number in range(8)])

    def broken(descriptor, buffers, offset):
        if offset <= end < offset + sum(memoryview(buffer).nbytes for buffer in buffers):
            raise OSError(5, "Input/output error")
        return preadv(descriptor, buffers, offset)

    monkeypatch.setattr(raw.os, "preadv", broken)
    with pytest.raises(RunError, match="/05/p2: cannot be read: Input/output error"):
        fetched(tmp_path / "p.h5", [(number, 0) for number in range(8)])


def test_buffers_without_bytes(tmp_path):
    (tmp_path / "f").write_bytes(b"0123456789")
    with (tmp_path / "f").open("rb") as file:
        buffers = [bytearray(0), bytearray(2), bytearray(0), bytearray(3), bytearray(0)]
        RawFile(file.fileno(), "f").read_into(buffers, 4, "here")
        assert b"|".join(buffers) == b"|45||678|"
        with pytest.raises(InputError, match="here: expected 1 bytes more at 10, got the end of f"):
            RawFile(file.fileno(), "f").read_into([bytearray(3)], 8, "here")
