"""A crop is the same bit for bit whatever else is pooled, however it is stored and whoever pools it."""

from __future__ import annotations

import numpy as np
import pytest

from msroi_cli.core.backends.call import PoolCall
from tests.native.pooling import pool, pyramid, random_rois, work

SIZES = [(7, 2), (7, 0), ((3, 5), 0), (1, 0), (14, 2), ((20, 3), 3)]


def rows_of(call, rows):
    """The same call for some of its boxes."""
    return PoolCall(call.maps, call.batch[rows], call.boxes[rows], call.levels[rows], call.spec)


def channels_of(call, channels):
    return PoolCall([m[:, channels] for m in call.maps], call.batch, call.boxes, call.levels, call.spec)


@pytest.fixture(params=["f2", "f4", "f8"])
def dtype(request):
    return request.param


@pytest.mark.parametrize(("size", "ratio"), SIZES)
def test_threads(isa, dtype, size, ratio):
    call = work(pyramid(33, dtype=dtype), random_rois(150), size, ratio)
    one = pool(call, threads=1)
    for threads in (2, 3, 7):
        assert pool(call, threads=threads).tobytes() == one.tobytes()


@pytest.mark.parametrize(("size", "ratio"), SIZES)
@pytest.mark.parametrize("channels", [1, 3, 16, 20])
@pytest.mark.sampled(5)
def test_box_by_box(isa, dtype, size, ratio, channels):
    """Many boxes share packed rows, one packs its window or none at all."""
    call = work(pyramid(channels, dtype=dtype), random_rois(200), size, ratio)
    together = pool(call)
    for k in range(0, 200, 7):
        assert pool(rows_of(call, [k])).tobytes() == together[k].tobytes()
    some = np.arange(0, 200, 9)[::-1]
    assert pool(rows_of(call, some)).tobytes() == together[some].tobytes()


@pytest.mark.parametrize(("size", "ratio"), SIZES)
def test_channel_by_channel(isa, dtype, size, ratio):
    """A channel of its own has columns in the lanes where others have channels."""
    call = work(pyramid(35, dtype=dtype), random_rois(60), size, ratio)
    together = pool(call)
    for channels in (slice(0, 1), slice(16, 17), slice(34, 35), slice(3, 19), slice(5, 35), slice(0, 7)):
        assert pool(channels_of(call, channels)).tobytes() == together[:, channels].tobytes()


def test_strides_and_byte_order(isa, dtype):
    maps = pyramid(19, dtype=dtype)
    rois = random_rois(80)
    plain = pool(work(maps, rois)).tobytes()
    ways = {
        "channels last": lambda m: np.ascontiguousarray(m.transpose(0, 2, 3, 1)).transpose(0, 3, 1, 2),
        "transposed": lambda m: np.ascontiguousarray(m.swapaxes(2, 3)).swapaxes(2, 3),
        "backwards": lambda m: np.ascontiguousarray(m[::-1, ::-1, ::-1, ::-1])[::-1, ::-1, ::-1, ::-1],
        "byte-swapped": lambda m: m.astype(m.dtype.newbyteorder()),
        "unaligned": lambda m: np.frombuffer(b"\0" + m.tobytes(), m.dtype, offset=1).reshape(m.shape),
        "rows apart": lambda m: np.pad(m, ((0, 1), (0, 2), (0, 3), (0, 5)))[:-1, :-2, :-3, :-5],
        "every other": lambda m: np.repeat(m, 2, axis=3)[..., ::2],
    }
    for name, way in ways.items():
        assert pool(work([way(m) for m in maps], rois)).tobytes() == plain, name
    mixed = [way(m) for way, m in zip(list(ways.values())[:4], maps, strict=True)]
    assert pool(work(mixed, rois)).tobytes() == plain


def channels_last(maps):
    """The same levels, whose memory is (N, H, W, C)."""
    return [np.ascontiguousarray(m.transpose(0, 2, 3, 1)).transpose(0, 3, 1, 2) for m in maps]


@pytest.mark.slow
@pytest.mark.parametrize("channels", [1, 2, 15, 16, 17, 33, 64, 100, 257, 300])
@pytest.mark.parametrize("count", [1, 40, 200])
def test_channels_last(isa, dtype, channels, count):
    """Cells are read where they lie, or packed, for many channels at once, as many as fit."""
    maps = pyramid(channels, dtype=dtype)
    for size, ratio in ((7, 2), ((3, 5), 0)):
        call, last = (work(levels, random_rois(count), size, ratio) for levels in (maps, channels_last(maps)))
        expected = pool(call).tobytes()
        assert pool(last).tobytes() == expected
        assert pool(last, threads=5).tobytes() == expected
    mixed = [*maps[:2], *channels_last(maps[2:])]
    assert pool(work(mixed, random_rois(count))).tobytes() == pool(work(maps, random_rois(count))).tobytes()


@pytest.mark.parametrize("step", [1, 2])
def test_some_of_the_channels_of_channels_last(isa, dtype, step):
    """A view of some channels, or tokens (N, T, C) as a map behind a class token."""
    maps = channels_last(pyramid(40, dtype=dtype))
    views = [m[:, 3:37:step] for m in maps]
    expected = pool(work([np.ascontiguousarray(v) for v in views], random_rois(60))).tobytes()
    assert pool(work(views, random_rois(60))).tobytes() == expected
    tokens = np.random.default_rng(0).standard_normal((2, 1 + 12 * 18, 40)).astype(dtype)
    view = tokens[:, 1:].reshape(2, 12, 18, 40).transpose(0, 3, 1, 2)
    assert np.shares_memory(view, tokens)
    call = work([np.ascontiguousarray(view)], random_rois(60), scales=(1 / 16,))
    assert pool(work([view], random_rois(60), scales=(1 / 16,))).tobytes() == pool(call).tobytes()


def test_windows_of_channels_last_too_large_for_all_channels(isa):
    maps = pyramid(300, images=1, height=150, width=90, levels=1)
    rois = [[0, 0, 0, 360, 600], [0, 3, 5, 350, 590], [0, 10, 20, 60, 50]]
    for size, ratio in ((7, 2), (7, 0), (1, 0)):
        assert (
            pool(work(channels_last(maps), rois, size, ratio)).tobytes()
            == pool(work(maps, rois, size, ratio)).tobytes()
        )


@pytest.mark.parametrize("out", ["f2", "f4", "f8"])
@pytest.mark.parametrize("size", [56, (30, 400), (2, 1000), (2, 1030)])
def test_many_bins_of_channels_last(isa, size, out):
    """Crops of which the scratch memory holds some bin rows of some channels at a time, or none."""
    maps = pyramid(70, images=1, height=40, width=90, levels=1)
    rois = [[0, 0, 0, 360, 160], [0, 3, 5, 35, 190], [0, -90, -90, -50, -50]]
    crops = (pool(work(levels, rois, size, 2), dtype=out) for levels in (maps, channels_last(maps)))
    expected, last = (crop.tobytes() for crop in crops)
    assert last == expected


def test_windows_too_large_to_pack(isa):
    """A map of 700 x 400 cells outgrows the scratch memory; a channel of its own does not."""
    rois = [[0, 0, 0, 1600, 2800], [0, 3, 5, 1599, 2790], [0, 10, 20, 60, 50]]
    maps = pyramid(18, images=1, height=700, width=400, levels=1)
    call = work(maps, rois, 7, 0)
    together = pool(call)
    assert pool(channels_of(call, slice(17, 18))).tobytes() == together[:, 17:].tobytes()
    cropped = PoolCall([np.ascontiguousarray(m[:, :, :40, :40]) for m in maps], *_box(call, 2))
    assert pool(cropped).tobytes() == together[2].tobytes()


def _box(call, row):
    return call.batch[[row]], call.boxes[[row]], call.levels[[row]], call.spec
