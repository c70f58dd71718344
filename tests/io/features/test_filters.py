"""Filters backwards: what HDF5 made of bytes becomes those bytes again, and each native piece is its twin in NumPy."""

from __future__ import annotations

from contextlib import suppress

import h5py
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from msroi_cli.io.features import filters
from msroi_cli.io.features.filters import (
    FLETCHER32,
    LZF,
    UndecodableError,
    decodable,
    decoded,
    elements_into,
    is_shuffled,
)

DTYPES = ["<f2", ">f2", "<f4", ">f4", "<f8", ">f8"]
native = pytest.mark.skipif(not filters.NATIVE, reason="msroi was built without a compiler")


def values_of(kind, count, dtype="<f4"):
    """Features that compress in different ways."""
    rng = np.random.default_rng(count)
    values = {
        "noise": rng.standard_normal(count),
        "relu": np.maximum(rng.standard_normal(count), 0),
        "zeros": np.zeros(count),
        "steps": np.arange(count) // 50,
        "one": np.ones(count),
    }
    return values[kind].astype(dtype)


def stored(tmp_path, values, **storage):
    """The bytes of the one chunk that HDF5 makes of `values`, and its filter mask."""
    with h5py.File(tmp_path / "c.h5", "w") as file:
        dataset = file.create_dataset("c", data=values, chunks=values.shape, **storage)
        return dataset.id.read_direct_chunk((0,) * values.ndim)[::-1]


def shuffled(values):
    """The bytes of `values` as the shuffle filter leaves them, written as its definition reads."""
    return values.view(np.uint8).reshape(values.size, values.itemsize).T.tobytes()


@pytest.mark.parametrize("dtype", DTYPES)
def test_shuffle_is_that_of_hdf5(tmp_path, dtype):
    values = values_of("noise", 77, dtype)
    content, _ = stored(tmp_path, values, shuffle=True)
    assert bytes(content) == shuffled(values)


UNSHUFFLERS = {"NumPy": filters.unshuffle_into, **({"native": filters.UNSHUFFLE} if filters.NATIVE else {})}


@pytest.mark.parametrize("unshuffle", UNSHUFFLERS.values(), ids=UNSHUFFLERS)
@pytest.mark.parametrize("dtype", DTYPES)
@given(
    chunk=st.tuples(st.integers(1, 4), st.integers(1, 5), st.integers(1, 40)),
    image=st.integers(0, 2),
    part=st.tuples(st.integers(0, 3), st.integers(0, 4), st.integers(0, 40)),
    order=st.permutations([0, 1, 2]),
)
@pytest.mark.sampled(5)
def test_windows_of_shuffled_chunks(unshuffle, dtype, chunk, image, part, order):
    """Any window of any image of a chunk, into memory of any strides."""
    values = values_of("noise", 3 * int(np.prod(chunk)), dtype).reshape(3, *chunk)
    first, height, width = min(part[0], chunk[0]), min(part[1], chunk[1]), min(part[2], chunk[2])
    expected = values[image, first:, :height, :width]
    out = np.zeros([expected.shape[axis] for axis in order], dtype).transpose(np.argsort(order))
    start = int(np.prod(chunk)) * image + first * chunk[1] * chunk[2]
    unshuffle(out, shuffled(values), start, *chunk[1:])
    np.testing.assert_array_equal(out, expected)


@native
@pytest.mark.parametrize(
    ("shape", "start"),
    [((2, 3, 4), 1), ((3, 3, 4), 0), ((1, 4, 4), 0), ((1, 3, 5), 0), ((1, 3, 4), -1), ((1, 1, 1), 25)],
)
def test_windows_beyond_the_chunk_are_refused(shape, start):
    content = shuffled(np.zeros((2, 3, 4), "<f4"))
    with pytest.raises(ValueError, match="out: expected a window of the chunk"):
        filters.UNSHUFFLE(np.zeros(shape, "<f4"), content, start, 3, 4)


@pytest.mark.parametrize("kind", ["noise", "relu", "zeros", "steps", "one"])
@pytest.mark.parametrize("count", [1, 5, 64, 10_000])
@pytest.mark.parametrize("shuffle", [False, True])
@pytest.mark.parametrize("fletcher32", [False, True])
@pytest.mark.parametrize("compression", [None, "gzip", "lzf"])
@pytest.mark.sampled(7)
def test_chunks_that_hdf5_made(tmp_path, kind, count, shuffle, fletcher32, compression):
    if compression == "lzf" and not filters.NATIVE:
        pytest.skip("LZF is decoded by the native extension or by h5py")
    values = values_of(kind, count)
    content, mask = stored(tmp_path, values, shuffle=shuffle, fletcher32=fletcher32, compression=compression)
    with h5py.File(tmp_path / "c.h5") as file:
        plist = file["c"].id.get_create_plist()
        codes = [plist.get_filter(index)[0] for index in range(plist.get_nfilters())]
    applied = [code for index, code in enumerate(codes) if not mask >> index & 1]
    assert decodable(codes)
    out = np.zeros((1, 1, count), "<f4")
    content = decoded(np.frombuffer(content, np.uint8), applied, values.nbytes)
    elements_into(out, content, is_shuffled(applied), 0, (1, count))
    np.testing.assert_array_equal(out[0, 0], values)


@given(st.binary(max_size=300))
def test_fletcher32_is_its_twin(content):
    assert filters.CHECKSUM(content) == filters.fletcher32(content)


@pytest.mark.parametrize("length", [1 << 17, (1 << 17) + 1, 400_000])
@pytest.mark.parametrize("byte", [0, 255])
def test_fletcher32_of_much(length, byte):
    content = bytes([byte]) * length
    assert filters.CHECKSUM(content) == filters.fletcher32(content)


@pytest.mark.parametrize("code", [filters.DEFLATE, FLETCHER32, *([LZF] if filters.NATIVE else [])])
@given(content=st.binary(max_size=200), size=st.integers(0, 400))
def test_bytes_that_are_no_chunk(code, content, size):
    """Never a crash, and bytes are returned only if they are as many as they must be."""
    array = np.frombuffer(content, np.uint8)
    with suppress(UndecodableError):
        assert len(decoded(array, [code], size)) == size


@native
@pytest.mark.parametrize("kind", ["noise", "relu", "steps"])
def test_lzf_streams_cut_short_or_changed(tmp_path, kind):
    values = np.repeat(values_of(kind, 500), 3)
    content, _ = stored(tmp_path, values, compression="lzf")
    for length in range(0, len(content), 7):
        with pytest.raises(UndecodableError):
            decoded(np.frombuffer(content[:length], np.uint8), [LZF], values.nbytes)
    changed = np.frombuffer(content, np.uint8).copy()
    for place in range(0, len(changed), 3):
        changed[place] ^= 0xFF
        with suppress(UndecodableError):
            assert len(decoded(changed, [LZF], values.nbytes)) == values.nbytes
        changed[place] ^= 0xFF


@pytest.mark.parametrize(
    ("codes", "ours"),
    [
        ([], True),
        ([1], True),
        ([2, 1, 3], True),
        ([3], True),
        ([1, 2], False),
        ([2, 2], False),
        ([305], False),
        ([2, 4], False),
    ],
)
def test_which_filters_are_decoded(codes, ours):
    assert decodable(codes) == ours
    assert decodable(tuple(codes)) == ours
