"""The kernel beside its slow twin, over the corpus of awkward arrays and boxes."""

from __future__ import annotations

import numpy as np
import pytest

from tests.corpus import FAR_BOXES, MAPS, SCALE, boxes, rois
from tests.native.pooling import pool, pyramid, random_rois, tolerance, work

ROIS = rois({**boxes(), **FAR_BOXES})


def assert_close(ours, theirs, atol):
    """Equal within `atol`, and NaN and infinite in the same places."""
    np.testing.assert_array_equal(np.isnan(ours), np.isnan(theirs))
    with np.errstate(invalid="ignore"):
        np.testing.assert_allclose(ours, theirs, rtol=0, atol=atol)


@pytest.mark.parametrize("aligned", [False, True])
@pytest.mark.parametrize(("size", "ratio"), [(7, 2), (7, 0), ((3, 5), 1), (1, 0), ((2, 9), 4)])
@pytest.mark.parametrize("name", MAPS)
@pytest.mark.sampled(7)
def test_corpus(isa, name, size, ratio, aligned):
    call = work([MAPS[name]], ROIS, size, ratio, scales=(SCALE,), aligned=aligned)
    ours, theirs = pool(call), pool(call, "numpy")
    assert_close(ours, theirs, tolerance(call))
    for k in range(0, len(ROIS), 5):
        one = work([MAPS[name]], ROIS[k : k + 1], size, ratio, scales=(SCALE,), aligned=aligned)
        np.testing.assert_array_equal(pool(one)[0], ours[k])


@pytest.mark.parametrize("dtype", ["f2", "f4", "f8", ">f4"])
@pytest.mark.parametrize("channels", [1, 2, 3, 4, 5, 15, 16, 17, 33])
@pytest.mark.sampled(5)
def test_pyramids(isa, channels, dtype):
    call = work(pyramid(channels, dtype=dtype), random_rois(100), 7, 0)
    assert_close(pool(call), pool(call, "numpy"), tolerance(call))


@pytest.mark.parametrize("size", [1, 2, (1, 40), 28, 56, (3, 1100), (1100, 1), 70])
def test_output_sizes(isa, size):
    call = work(pyramid(17), random_rois(4), size, 2)
    assert_close(pool(call), pool(call, "numpy"), tolerance(call))


def test_a_very_wide_map_with_few_wide_bins(isa):
    maps = [np.random.default_rng(0).standard_normal((1, 2, 3, 70_000)).astype("f4")]
    call = work(maps, [[0, 0, 0, 280_000, 12], [0, 9, 0, 200_000, 7]], (2, 3), 0, scales=(0.25,))
    assert_close(pool(call), pool(call, "numpy"), 1e-5)


@pytest.mark.parametrize("dtype", ["f2", "f4", "f8", ">f2", ">f4", ">f8"])
@pytest.mark.parametrize("source", ["f2", "f4", "f8"])
def test_out_of_any_type_and_strides(isa, source, dtype):
    call = work(pyramid(19, dtype=source), random_rois(40))
    exact = pool(call, dtype="f8")
    expected = exact.astype(dtype)
    shape = exact.shape
    ways = {
        "plain": np.zeros(shape, dtype),
        "backwards": np.zeros(shape, dtype)[::-1, ::-1, ::-1, ::-1],
        "channels last": np.zeros((shape[0], *shape[2:], shape[1]), dtype).transpose(0, 3, 1, 2),
        "in the middle": np.zeros((shape[0], shape[1] + 5, *shape[2:]), dtype)[:, 2:-3],
        "every other": np.zeros((*shape[:-1], 2 * shape[-1]), dtype)[..., ::2],
        "unaligned": np.frombuffer(bytearray(1 + exact.astype(dtype).nbytes), dtype, offset=1).reshape(shape),
    }
    for name, out in ways.items():
        pool(call, out=out)
        np.testing.assert_array_equal(out, expected, err_msg=name)


def test_only_the_view_is_written(isa):
    call = work(pyramid(19), random_rois(40))
    whole = np.full((42, 24, 9, 9), 7, np.float32)
    pool(call, out=whole[1:-1, 2:-3, 1:-1, 1:-1])
    untouched = np.ones(whole.shape, bool)
    untouched[1:-1, 2:-3, 1:-1, 1:-1] = False
    assert (whole[untouched] == 7).all()


def test_out_in_a_mapped_file(isa, tmp_path):
    call = work(pyramid(19), random_rois(40))
    expected = pool(call)
    mapped = np.memmap(tmp_path / "crops", "f4", "w+", 128, expected.shape)
    pool(call, out=mapped)
    mapped.flush()
    assert np.fromfile(tmp_path / "crops", "f4", offset=128).tobytes() == expected.tobytes()


@pytest.mark.parametrize("channels", [1, 16, 17])
def test_no_boxes_no_channels_no_images(isa, channels):
    assert pool(work(pyramid(channels), [])).shape == (0, channels, 7, 7)
    assert pool(work(pyramid(0), random_rois(3))).shape == (3, 0, 7, 7)
    assert pool(work(pyramid(channels, images=0), [])).shape == (0, channels, 7, 7)


@pytest.mark.parametrize("channels", [1, 16])
def test_half_floats_round_once(isa, channels):
    """Every half goes in and comes out unchanged: a box of one bin on one cell."""
    halves = np.arange(2**16, dtype=np.uint16).view(np.float16)
    maps = [np.broadcast_to(halves[:, None, None, None], (2**16, channels, 1, 1))]
    call = work(maps, np.column_stack([np.arange(2**16), np.tile([0, 0, 1, 1], (2**16, 1))]), 1, 1, scales=(1.0,))
    crops = pool(call)[:, :, 0, 0]
    for channel in crops.T:
        np.testing.assert_array_equal(channel, np.where(halves == 0, np.float16(0), halves))


@pytest.mark.parametrize("channels", [1, 8])
def test_doubles_round_once_to_half(isa, channels):
    """Through float32, 1 + 2**-11 + 2**-40 would become the even half below instead of the one above."""
    values = np.array([1 + 2**-11 + 2**-40, 1 + 2**-11 - 2**-40, 2**-24 * 0.5 * (1 + 2**-40), 65519.999999, -65520.0])
    maps = [np.broadcast_to(values[:, None, None, None], (5, channels, 1, 1))]
    call = work(maps, np.column_stack([np.arange(5), np.tile([0, 0, 1, 1], (5, 1))]), 1, 1, scales=(1.0,))
    with np.errstate(over="ignore"):
        expected = values.astype(np.float16)
    np.testing.assert_array_equal(pool(call, dtype="f2")[:, 0, 0, 0], expected)
