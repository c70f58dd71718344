"""Chunks: found, fetched once for all maps that they hold, and left to h5py where they are not what they should be."""

from __future__ import annotations

import h5py
import numpy as np
import pytest

from msroi_cli.errors import InputError
from msroi_cli.extension import NATIVE
from msroi_cli.io.features import chunks
from msroi_cli.io.features.chunks import ChunkedMap
from msroi_cli.io.features.reading import read_maps
from msroi_cli.io.features.source import ReadRequest
from msroi_cli.io.files.access import Access
from msroi_cli.io.hdf5 import chunk_index
from msroi_cli.io.pyramid.levels import LevelChoice
from msroi_cli.io.pyramid.open import open_pyramid

SHAPE = (5, 7, 20, 30)
MAPS = np.maximum(np.random.default_rng(0).standard_normal(SHAPE), 0).astype("f4")


def write(path, data=MAPS, **options):
    """A pyramid of one level, in chunks that fit nowhere."""
    with h5py.File(path, "w") as file:
        given = {"chunks": (2, 3, 8, 11), "compression": "gzip", "shuffle": True, **options}
        file.create_dataset("p2", data=data, **given).attrs["stride"] = 4
    return path


@pytest.fixture
def decoded_chunks(monkeypatch):
    """The sizes of the chunks that were decoded."""
    sizes = []
    decode = chunks.decoded

    def counted(content, filters, size):
        sizes.append(size)
        return decode(content, filters, size)

    monkeypatch.setattr(chunks, "decoded", counted)
    return sizes


def read_together(path, images, channels, runs, fill=False):
    """The channels of some images, read in one go."""
    with open_pyramid(str(path), LevelChoice(access=Access(fill=fill))) as pyramid:
        sources = pyramid.sources([(image, 0) for image in images])
        # LZF is decoded by the native extension, and without it by h5py.
        assert not NATIVE or all(isinstance(source, ChunkedMap) for source in sources)
        outs = [np.full((len(channels), *SHAPE[2:]), -1, "f4") for _ in images]
        read_maps([ReadRequest(*one) for one in zip(sources, outs, runs, strict=True)], channels[0])
    return outs


@pytest.mark.parametrize("channels", [range(7), range(3, 6), range(2, 7), range(6, 7)])
@pytest.mark.parametrize("images", [[0], [1], [4], [0, 1], [1, 2], [0, 1, 2, 3, 4]])
@pytest.mark.parametrize("options", [{}, {"compression": "lzf"}, {"compression": None, "shuffle": None}])
@pytest.mark.sampled(5)
def test_images_that_share_chunks(tmp_path, images, channels, options):
    path = write(tmp_path / "p.h5", **options)
    outs = read_together(path, images, channels, [[(0, 20)]] * len(images))
    for out, image in zip(outs, images, strict=True):
        np.testing.assert_array_equal(out, MAPS[image, channels.start : channels.stop])


def test_each_map_gets_the_rows_it_wants(tmp_path):
    path = write(tmp_path / "p.h5")
    runs = [[(0, 3), (18, 20)], [(9, 10)]]
    for out, image, wanted in zip(read_together(path, [0, 1], range(7), runs), [0, 1], runs, strict=True):
        for start, stop in wanted:
            np.testing.assert_array_equal(out[:, start:stop], MAPS[image, :, start:stop])


@pytest.mark.parametrize(
    ("images", "runs", "count"),
    [
        ([0, 1], [(0, 20)], 3 * 3 * 3),
        ([0, 1, 2], [(0, 20)], 2 * 3 * 3 * 3),
        ([0, 1], [(0, 8)], 3 * 1 * 3),
        ([0, 1], [(7, 9)], 3 * 2 * 3),
    ],
)
def test_a_chunk_is_decoded_once(tmp_path, decoded_chunks, images, runs, count):
    read_together(write(tmp_path / "p.h5"), images, range(7), [runs] * len(images))
    assert decoded_chunks == [2 * 3 * 8 * 11 * 4] * count


@pytest.mark.parametrize("most", [0, 1 << 18], ids=["asked one by one", "asked all at once"])
@pytest.mark.parametrize("libver", ["earliest", "latest"])
def test_chunks_that_were_never_written(tmp_path, monkeypatch, most, libver):
    monkeypatch.setattr(chunk_index, "MOST_INDEXED", most)
    with h5py.File(tmp_path / "p.h5", "w", libver=libver) as file:
        dataset = file.create_dataset("p2", SHAPE, "f4", chunks=(2, 3, 8, 11), fillvalue=7, compression="gzip")
        dataset.attrs["stride"] = 4
        dataset[1, 3:6, 8:16] = MAPS[1, 3:6, 8:16]
        expected = dataset[:]
    with pytest.raises(InputError, match=r"/p2: expected \d+ chunks, got \d+: values were never written; --allow-fill"):
        read_together(tmp_path / "p.h5", range(5), range(7), [[(0, 20)]] * 5)
    outs = read_together(tmp_path / "p.h5", range(5), range(7), [[(0, 20)]] * 5, fill=True)
    np.testing.assert_array_equal(outs, expected)


@pytest.mark.parametrize("most", [0, 1 << 18], ids=["asked one by one", "asked all at once"])
def test_filters_that_a_chunk_went_past(tmp_path, monkeypatch, most):
    """A filter that gains nothing is left out, which the chunk's filter mask says."""
    monkeypatch.setattr(chunk_index, "MOST_INDEXED", most)
    path = write(tmp_path / "p.h5", np.zeros(SHAPE, "f4"))
    with h5py.File(path, "a") as file:
        chunk = np.arange(2 * 3 * 8 * 11, dtype="f4")
        file["p2"].id.write_direct_chunk((0, 3, 8, 11), chunk.tobytes(), filter_mask=3)
        file["p2"].id.write_direct_chunk((2, 0, 0, 0), chunk.view("u1").reshape(-1, 4).T.tobytes(), filter_mask=2)
        expected = file["p2"][:]
    assert expected[0, 3, 8, 11:22].tolist() == list(range(11))
    outs = read_together(path, range(5), range(7), [[(0, 20)]] * 5)
    np.testing.assert_array_equal(outs, expected)


@pytest.mark.parametrize("options", [{}, {"compression": "lzf"}, {"fletcher32": True}])
@pytest.mark.parametrize("damage", [b"\0" * 40, b"\xff" * 40])
def test_a_damaged_chunk_is_refused(tmp_path, options, damage):
    path = write(tmp_path / "p.h5", **options)
    with h5py.File(path) as file:
        info = file["p2"].id.get_chunk_info_by_coord((0, 3, 8, 11))
    with path.open("r+b") as file:
        file.seek(info.byte_offset)
        file.write(damage)
    with pytest.raises(InputError, match="/p2: cannot be read"):
        read_together(path, [0], range(7), [[(0, 20)]])
    np.testing.assert_array_equal(read_together(path, [2], range(7), [[(0, 20)]])[0], MAPS[2])


def test_other_filters_are_left_to_h5py(tmp_path):
    with h5py.File(tmp_path / "p.h5", "w") as file:
        plist = h5py.h5p.create(h5py.h5p.DATASET_CREATE)
        plist.set_chunk((2, 3, 8, 11))
        plist.set_deflate(4)
        plist.set_shuffle()
        space = h5py.h5s.create_simple(SHAPE)
        dataset = h5py.Dataset(h5py.h5d.create(file.id, b"p2", h5py.h5t.IEEE_F32LE, space, plist))
        dataset[:] = MAPS
        dataset.attrs["stride"] = 4
    with open_pyramid(str(tmp_path / "p.h5")) as pyramid:
        assert not isinstance(pyramid.source(0, 0), ChunkedMap)
        np.testing.assert_array_equal(pyramid.read(3)[0][0], MAPS[3])


@pytest.mark.parametrize("most", [0, 1 << 18], ids=["asked one by one", "asked all at once"])
def test_a_damaged_index_of_chunks(tmp_path, monkeypatch, most):
    monkeypatch.setattr(chunk_index, "MOST_INDEXED", most)
    path = write(tmp_path / "p.h5")
    content = path.read_bytes()
    damaged = content.count(b"TREE")
    path.write_bytes(content[:1000] + content[1000:].replace(b"TREE", b"EERT"))
    assert damaged > 1
    with pytest.raises(InputError, match="/p2: cannot be read"):
        read_together(path, [0], range(7), [[(0, 20)]])
