"""Moments and checksums of rows: the same bits on every instruction set, NumPy and zlib being the twins."""

from __future__ import annotations

import zlib

import numpy as np
import pytest

from msroi_cli.core.backends.dispatch import digests_of, moments_of
from msroi_cli.core.stats import CropMoments
from msroi_cli.io.files import checksum

LENGTHS = [0, 1, 2, 3, 7, 15, 16, 17, 31, 33, 63, 64, 65, 79, 80, 127, 128, 129, 1000, 12544, 12545]
SPECIAL = (np.nan, -np.nan, np.inf, -np.inf, 0.0, -0.0, 6e-8)


def rows_of(length, dtype, spoilt=False, seed=0):
    """Rows (9, length) of numbers far from and near 0, some of them not finite."""
    rng = np.random.default_rng(seed + length)
    values = rng.standard_normal((9, length)) * 10.0 ** rng.integers(-3, 3, (9, 1)) + rng.choice([0, 1000], (9, 1))
    values[:, ::5] = 0
    if spoilt and length:
        places = rng.integers(0, values.size, 1 + values.size // 50)
        values.flat[places] = rng.choice(SPECIAL, len(places))
    return values.astype(dtype)


def native_moments(native, rows):
    counts, values = np.zeros((len(rows), 3), np.int64), np.zeros((len(rows), 4))
    native.row_moments(counts, values, rows)
    return counts, values


@pytest.mark.parametrize("dtype", ["f2", "f4", "f8"])
@pytest.mark.parametrize("spoilt", [False, True])
def test_moments_are_the_same_bits_everywhere(native, monkeypatch, dtype, spoilt):
    for length in LENGTHS:
        rows = rows_of(length, dtype, spoilt)
        found = []
        for isa in native.usable_isas():
            monkeypatch.setenv("MSROI_ISA", isa)
            moments = moments_of(rows)
            found.append(b"".join(getattr(moments, name).tobytes() for name in moments._fields))
        assert len(set(found)) == 1, length


@pytest.mark.parametrize("dtype", ["f2", "f4", "f8"])
@pytest.mark.parametrize("spoilt", [False, True])
def test_moments_are_those_of_numpy(isa, dtype, spoilt):
    for length in LENGTHS:
        rows = rows_of(length, dtype, spoilt)
        ours, theirs = moments_of(rows), CropMoments.of(rows)
        for name in ("finite", "low", "high", "zeros", "nonfinite"):
            np.testing.assert_array_equal(getattr(ours, name), getattr(theirs, name))
        np.testing.assert_allclose(ours.mean, theirs.mean, rtol=1e-12, atol=1e-10)
        np.testing.assert_allclose(ours.squares, theirs.squares, rtol=1e-9, atol=1e-9)


def test_moments_do_not_depend_on_where_a_row_lies(native):
    for length in LENGTHS[1:]:
        rows = rows_of(length, "f4", True)
        expected = native_moments(native, rows)
        padded = np.pad(rows, ((0, 0), (0, 3)))[:, :length]
        moved = np.frombuffer(b"\0" + rows.tobytes(), "f4", offset=1).reshape(rows.shape)
        for other in (padded, moved, rows[::-1][::-1]):
            for got, wanted in zip(native_moments(native, other), expected, strict=True):
                assert got.tobytes() == wanted.tobytes()


def test_values_that_overflow_their_squares(isa):
    rows = np.full((1, 40), 1e200)
    rows[0, 7] = -1e300
    moments = moments_of(rows)
    assert moments.finite[0] == 40
    assert (moments.low[0], moments.high[0]) == (-1e300, 1e200)


@pytest.mark.parametrize("length", [*range(200), 255, 256, 257, 1023, 4096, 4097, 100_003])
@pytest.mark.sampled(5)
def test_checksums_are_those_of_zlib(native, length):
    content = np.random.default_rng(length).integers(0, 256, (3, length + 5), dtype=np.uint8)
    for start in (0, 1, 3):
        rows = content[:, start : start + length]
        sums = np.zeros(3, np.uint32)
        native.row_checksums(sums, rows)
        assert sums.tolist() == [zlib.crc32(row.tobytes()) for row in rows]


def test_checksums_of_any_rows():
    for dtype in ("u1", "f2", "f4", ">f8"):
        for shape in ((0, 3), (3, 0), (2, 3, 4, 5), (5, 1)):
            rows = np.random.default_rng(1).random(shape).astype(dtype)
            content = np.ascontiguousarray(rows).reshape(len(rows), -1) if rows.size else rows
            assert checksum.row_checksums(rows).tolist() == [zlib.crc32(row.tobytes()) for row in content]
    assert checksum.ROW_CHECKSUMS is checksum.native_checksums


@pytest.mark.parametrize("dtype", ["f2", "f4", "f8"])
def test_both_in_one_pass(isa, dtype):
    crops = rows_of(3 * 49, dtype, spoilt=True).reshape(9, 3, 7, 7)
    moments, checksums = digests_of(crops)
    alone = moments_of(crops)
    for name in alone._fields:
        assert getattr(moments, name).tobytes() == getattr(alone, name).tobytes()
    assert checksums.tolist() == checksum.zlib_checksums(crops.reshape(9, -1).view(np.uint8)).tolist()


def test_numpy_has_no_checksums(monkeypatch):
    monkeypatch.setenv("MSROI_BACKEND", "numpy")
    assert digests_of(np.zeros((2, 3, 7, 7), np.float32))[1] is None


BAD = {
    "counts": lambda c, v, s, r: (c[:1], v, s, r),
    "values": lambda c, v, s, r: (c, v[:, :3], s, r),
    "sums": lambda c, v, s, r: (c, v, s.astype(np.int32), r),
    "short sums": lambda c, v, s, r: (c, v, s[:1], r),
    "rows apart": lambda c, v, s, r: (c, v, s, r[:, ::2]),
    "swapped": lambda c, v, s, r: (c, v, s, r.astype(">f4")),
    "integers": lambda c, v, s, r: (c, v, s, r.astype("i4")),
    "axes": lambda c, v, s, r: (c, v, s, r[0]),
}


@pytest.mark.parametrize("break_", BAD.values(), ids=BAD)
def test_wrong_arrays_are_refused(native, break_):
    good = np.zeros((2, 3), np.int64), np.zeros((2, 4)), np.zeros(2, np.uint32), np.ones((2, 8), np.float32)
    native.row_digests(*good)
    with pytest.raises(ValueError, match="expected"):
        native.row_digests(*break_(*good))
