"""Maps that are stored channels last read as those that are stored channels first: the same values, in any part."""

from __future__ import annotations

import os

import numpy as np
import pytest

from msroi_cli.errors import InputError
from msroi_cli.extension import NATIVE
from msroi_cli.io.features import chunks
from msroi_cli.io.features import contiguous as raw
from msroi_cli.io.features.channels_last import ChannelsLastMap, whole_runs
from msroi_cli.io.features.chunks import ChunkedMap
from msroi_cli.io.features.contiguous import ContiguousMap
from msroi_cli.io.features.layouts import axes, channels_first, layout_from
from msroi_cli.io.features.reading import read_map, read_maps, small_maps
from msroi_cli.io.features.source import LibraryMap, ReadRequest
from msroi_cli.io.pyramid.open import open_pyramid
from tests.builders import batch_maps, channels_last, write_batched, write_per_image

SHAPE = (5, 7, 20, 30)
MAPS = np.random.default_rng(0).standard_normal(SHAPE).astype("f4")
CHUNKS = {"chunks": (2, 3, 8, 11)}
# The options of the dataset and of the file, and the class of what is then stored.
STORED = {
    "contiguous": ({}, {}, ContiguousMap),
    "chunked": (CHUNKS, {}, ChunkedMap),
    "gzip and shuffle": ({**CHUNKS, "compression": "gzip", "shuffle": True}, {}, ChunkedMap),
    "lzf": ({**CHUNKS, "compression": "lzf"}, {}, ChunkedMap if NATIVE else LibraryMap),
    "behind a user block": ({}, {"userblock_size": 512}, LibraryMap),
}


def write(path, storage="contiguous", dtype="<f4"):
    """A batch of one level, channels last."""
    options, driver, _ = STORED[storage]
    write_batched(path, {"p2": MAPS.astype(dtype)}, storage=options, driver=driver)
    return channels_last(path)


@pytest.mark.parametrize("storage", STORED)
@pytest.mark.parametrize("dtype", ["<f4", ">f2", "<f8"])
@pytest.mark.parametrize("channels", [range(7), range(2, 5), range(6, 7)])
@pytest.mark.parametrize("runs", [[(0, 20)], [(3, 4), (7, 9), (19, 20)]])
@pytest.mark.sampled(4)
def test_any_part_in_any_storage(tmp_path, storage, dtype, channels, runs):
    """Into memory that lies as the file does, and into memory that does not."""
    path = write(tmp_path / "p.h5", storage, dtype)
    with open_pyramid(str(path)) as pyramid:
        sources = pyramid.sources([(image, 0) for image in (3, 0, 1)])
        assert {type(source.stored) for source in sources} == {STORED[storage][2]}
        assert {(source.shape, source.channels_at_once) for source in sources} == {((7, 20, 30), 7)}
        for in_place in (True, False):
            memory = [np.zeros(len(channels) * 600, dtype) for _ in sources]
            pairs = list(zip(sources, memory, strict=True))
            outs = [source.block(one, len(channels)) if in_place else one.reshape(-1, 20, 30) for source, one in pairs]
            read_maps([ReadRequest(*one, runs) for one in zip(sources, outs, strict=True)], channels[0])
            for image, out in zip((3, 0, 1), outs, strict=True):
                for start, stop in runs:
                    expected = MAPS[image, channels[0] : channels[-1] + 1, start:stop].astype(dtype)
                    np.testing.assert_array_equal(out[:, start:stop], expected)


def test_all_channels_lie_as_in_the_file(tmp_path):
    """So that the kernel pools them in place."""
    with open_pyramid(str(write(tmp_path / "p.h5"))) as pyramid:
        source = pyramid.source(0, 0)
        assert source.block(np.zeros(7 * 600, "f4"), 7).transpose(1, 2, 0).flags.c_contiguous
        assert source.block(np.zeros(3 * 600, "f4"), 3).flags.c_contiguous


def test_only_the_rows_that_are_wanted_are_read(tmp_path, monkeypatch):
    path = write(tmp_path / "p.h5")
    sizes, preadv = [], os.preadv
    monkeypatch.setattr(raw, "SMALL_GAP", 0)
    monkeypatch.setattr(raw.Trips, "worth_reading", lambda self: 0)
    with open_pyramid(str(path)) as pyramid:
        source = pyramid.source(2, 0)
        block = source.block(np.zeros(7 * 600, "f4"), 7)
        monkeypatch.setattr(
            raw.os,
            "preadv",
            lambda file, buffers, at: (sizes.append(sum(map(len, buffers))), preadv(file, buffers, at))[1],
        )
        read_maps([ReadRequest(source, block, [(1, 3), (10, 11)])], 0)
    assert sizes == [2 * 30 * 7 * 4, 30 * 7 * 4]


@pytest.mark.parametrize(("runs", "count"), [([(0, 20)], 3 * 3 * 3), ([(8, 9)], 3 * 3), ([(7, 9)], 2 * 3 * 3)])
def test_a_chunk_of_several_images_is_decoded_once(tmp_path, monkeypatch, runs, count):
    path = write(tmp_path / "p.h5", "gzip and shuffle")
    decoded, decode = [], chunks.decoded
    monkeypatch.setattr(chunks, "decoded", lambda *given: (decoded.append(1), decode(*given))[1])
    with open_pyramid(str(path)) as pyramid:
        sources = pyramid.sources([(0, 0), (1, 0)])
        assert sources[0].batch_key == sources[1].batch_key
        outs = [source.block(np.zeros(7 * 600, "f4"), 7) for source in sources]
        read_maps([ReadRequest(*one, runs) for one in zip(sources, outs, strict=True)], 0)
    assert len(decoded) == count


def test_small_maps_in_one_go(tmp_path):
    """Of levels of both layouts, each as it should be."""
    maps = {f"image {n}": {name: MAPS[n, :3, :side, :side] for name, side in (("p2", 9), ("p3", 5))} for n in range(5)}
    path = channels_last(write_per_image(tmp_path / "p.h5", maps), lambda name: name.endswith("p3"))
    wanted = [(image, level) for image in range(5) for level in range(2)]
    with open_pyramid(str(path)) as pyramid:
        sources = pyramid.sources(wanted)
        whole = small_maps(sources, 1 << 20)
        assert [isinstance(source, ChannelsLastMap) for source in sources] == [False, True] * 5
    assert len(whole) == len(wanted)
    for (image, level), values in zip(wanted, whole, strict=True):
        np.testing.assert_array_equal(values[0], maps[f"image {image}"][f"p{level + 2}"])


def test_what_cannot_be_read_is_named(tmp_path):
    path = channels_last(write_batched(tmp_path / "p.h5", batch_maps()))
    with open_pyramid(str(path)) as pyramid:
        source = pyramid.source(2, 1)
        os.truncate(path, source.stored.offset + 8)
        with pytest.raises(InputError, match=r"/p3: expected \d+ bytes more at \d+, got the end of "):
            read_map(source)


@pytest.mark.parametrize(
    ("rows", "deep", "height", "runs"),
    [
        ([(0, 20)], 1, 20, [(0, 20)]),
        ([(3, 4), (7, 9)], 1, 20, [(3, 4), (7, 9)]),
        ([(3, 4), (7, 9)], 8, 20, [(0, 16)]),
        ([(19, 20), (0, 1)], 8, 20, [(0, 8), (16, 20)]),
        ([(5, 6), (4, 9), (0, 2)], 1, 20, [(0, 2), (4, 9)]),
        ([], 4, 20, []),
    ],
)
def test_runs_of_whole_rows_of_chunks(rows, deep, height, runs):
    assert whole_runs(rows, deep, height) == runs


@pytest.mark.parametrize(
    "value",
    ["hwc", b"hwc", np.bytes_("hwc"), np.str_("hwc"), np.array(["hwc"]), np.array("hwc", "S8"), np.array([b"hwc"])],
)
def test_any_text_states_a_layout(value):
    assert layout_from(value, "here") == "hwc"


@pytest.mark.parametrize("value", ["HWC", "nhwc", "", b"\xff", 3, np.array(["hwc", "hwc"]), np.zeros(0), ["hwc"], True])
def test_anything_else_is_refused(value):
    with pytest.raises(InputError, match=r'here: layout: expected "chw" or "hwc", got .'):
        layout_from(value, "here")


def test_layouts_in_words_and_shapes():
    assert layout_from(None, "") == layout_from("chw", "") == "chw"
    assert channels_first((9, 2, 3, 4), "hwc") == (9, 4, 2, 3)
    assert channels_first((2, 3, 4), "chw") == (2, 3, 4)
    assert channels_first((2, 3), "hwc") == (2, 3)
    assert (axes("hwc", 7), axes("chw"), axes("chw", 7)) == ("H, W, 7", "C, H, W", "7, H, W")
