"""Parts that are opened by the places of another one say what HDF5 reads of them; any other goes by way of HDF5."""

from __future__ import annotations

import json
from dataclasses import asdict
from pathlib import Path

import h5py
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from msroi_cli import open_crops
from msroi_cli.errors import InputError
from msroi_cli.io.crops.folder.alike import AlikeFiles
from msroi_cli.io.crops.folder.part_file import PartFile
from msroi_cli.io.crops.parts import Part
from msroi_cli.io.crops.schema import TEXT_MOMENTS_DTYPE
from tests.bench.parts import write_parts

ROWS = [3, 3, 0, 4, 3, 1, 0, 4, 3, 3]


@pytest.fixture(params=[("input", None), ("input", 1), ("image", 1)], ids=["plain", "a chunk a row", "one chunk"])
def parts(request, tmp_path):
    order, gzip = request.param
    write_parts(tmp_path / "parts", ROWS, (2, 7, 7), order, gzip)
    return sorted((tmp_path / "parts").iterdir())


def same(one, other):
    for name in ("path", "identity", "part", "shape", "dtype", "image_ids", "rows_per_block", "first", "compression"):
        assert getattr(one, name) == getattr(other, name), name
    for name in ("parameters", "sources", "warnings"):
        assert getattr(one, name) == getattr(other, name), name
    assert list(one.columns) == list(other.columns)
    for name in one.columns:
        assert one.columns[name].dtype == other.columns[name].dtype
        assert one.columns[name].shape == other.columns[name].shape
        assert one.columns[name].tobytes() == other.columns[name].tobytes()
    assert one.checksums.tobytes() == other.checksums.tobytes()
    assert (one.moments is None) == (other.moments is None)
    assert one.moments is None or one.moments.tobytes() == other.moments.tobytes()


def test_what_hdf5_reads(parts):
    found = AlikeFiles().open(parts)
    for one, path in zip(found, parts, strict=True):
        same(one, PartFile.opened(path))
    assert sum(one.checked for one in found) >= 2, "no part was like another"


def test_older_parts():
    """Whose exact sums are texts."""
    paths = sorted((Path(__file__).parents[3] / "data" / "parts-text-moments").iterdir())
    for one, path in zip(AlikeFiles().open(paths), paths, strict=True):
        assert one.moments.dtype == TEXT_MOMENTS_DTYPE
        same(one, PartFile.opened(path))


NUMBERS = st.integers(0, 2**63 - 1) | st.integers(-2, 12)


@given(st.builds(Part, NUMBERS, NUMBERS, NUMBERS, NUMBERS, NUMBERS), st.data())
def test_parts_are_stated_in_any_json(part, data):
    text = part.as_json()
    place = data.draw(st.integers(0, len(text) - 1))
    for stated in (
        text,
        json.dumps(asdict(part), indent=1),
        text[:place] + data.draw(st.sampled_from(" 0}x")) + text[place + 1 :],
    ):
        try:
            values = json.loads(stated)
            expected = Part(*(values[name] for name in ("index", "count", "first_image", "images", "rows")))
        except (ValueError, KeyError):
            expected = None
        if expected is None or min(asdict(expected).values()) < 0:
            with pytest.raises(InputError, match="attribute part: expected the part of a job"):
                Part.parse("here", stated)
        else:
            assert Part.parse("here", stated) == expected


def test_numbers_of_other_lengths_make_no_other_kind(tmp_path, monkeypatch):
    opened, with_hdf5 = [], PartFile.opened
    monkeypatch.setattr(PartFile, "opened", lambda path: (opened.append(path.name), with_hdf5(path))[1])
    write_parts(tmp_path / "parts", [9] * 13, (2, 7, 7))
    found = AlikeFiles().open(sorted((tmp_path / "parts").iterdir()))
    assert opened == ["part-00001-of-00013.h5"]
    assert all(one.checked for one in found)
    assert [one.part.first_image for one in found] == list(range(0, 117, 9))


@pytest.mark.parametrize(("kind_bytes", "buffer_bytes"), [(1, 1), (1, 1 << 20), (60_000, 100_000)])
def test_buffers_that_are_full(parts, monkeypatch, kind_bytes, buffer_bytes):
    monkeypatch.setattr("msroi_cli.io.crops.folder.alike.KIND_BYTES", kind_bytes)
    monkeypatch.setattr("msroi_cli.io.crops.folder.alike.BUFFER_BYTES", buffer_bytes)
    for one, path in zip(AlikeFiles().open(parts), parts, strict=True):
        same(one, PartFile.opened(path))


@pytest.mark.parametrize("name", ["boxes", "image_index", "checksums", "stats", "moments", "image_ids", "box_index"])
@pytest.mark.sampled(3)
def test_a_changed_value_goes_by_way_of_hdf5(parts, name):
    with h5py.File(parts[1]) as file:
        place = file[name].id.get_offset()
    content = bytearray(parts[1].read_bytes())
    content[place] ^= 1
    parts[1].write_bytes(content)
    _, changed = AlikeFiles().open(parts[:2])
    assert changed.checked == (name == "checksums")  # which have no checksum themselves
    same(changed, PartFile.opened(parts[1]))


@pytest.mark.slow
def test_every_byte_that_changes_gives_what_hdf5_gives(parts):
    """Or its error; nothing but values and texts is taken from a file that HDF5 has not opened."""
    rng = np.random.default_rng(0)
    whole = parts[1].read_bytes()
    for place in rng.integers(0, len(whole), 300).tolist():
        content = bytearray(whole)
        content[place] ^= 1 << int(rng.integers(8))
        parts[1].write_bytes(content)
        try:
            expected = PartFile.opened(parts[1])
        except InputError:
            with pytest.raises(InputError):
                AlikeFiles().open(parts[:2])
        else:
            same(AlikeFiles().open(parts[:2])[1], expected)


def test_a_file_that_is_replaced_after_it_was_opened(parts):
    with open_crops(parts[0].parent) as crops:
        content = parts[3].read_bytes()
        parts[3].unlink()
        parts[3].write_bytes(content)
        with pytest.raises(InputError, match=r"part-00004-of-00010\.h5: expected the file that was opened, got one"):
            crops[:]


def test_merged_rows_are_those_of_the_parts(parts, tmp_path):
    with open_crops(parts[0].parent) as crops:
        assert len(crops) == sum(ROWS)
        rows = crops[:]
        found = {}
        for path in parts:
            with h5py.File(path) as file:
                found.update(zip(file["box_index"][:].tolist(), file["crops"][:], strict=True))
    assert np.array_equal(rows, np.stack([found[index] for index in range(len(rows))]))


def test_chunks_are_found_as_hdf5_finds_them(tmp_path):
    write_parts(tmp_path / "parts", ROWS, (2, 7, 7), "input", 1)
    with open_crops(tmp_path / "parts") as crops:
        known = [place for place in crops.places if place.chunks is not None]
        assert len(known) >= 2
        for place in known:
            with h5py.File(place.path) as file:
                dataset = file["crops"].id
                infos = [dataset.get_chunk_info(number) for number in range(dataset.get_num_chunks())]
            assert [(info.byte_offset, info.size, info.filter_mask) for info in infos] == list(place.chunks)


def test_a_compressed_part_that_changes_while_it_is_read(tmp_path):
    write_parts(tmp_path / "parts", [3, 3, 3], (2, 7, 7), "image", 1)
    with open_crops(tmp_path / "parts") as crops:
        place = crops.places[1]
        assert place.chunks is not None
        first = crops[3:6].copy()
        content = bytearray(place.path.read_bytes())
        start = place.chunks[0].offset
        content[start : start + 8] = bytes(8)
        place.path.write_bytes(content)
        with pytest.raises(InputError, match=r"part-00002-of-00003\.h5:/crops: cannot be read: chunk of row 0"):
            crops[3:6]
        place.path.write_bytes(content[: start + 8])
        with pytest.raises(InputError, match=r"part-00002-of-00003\.h5: expected [0-9]+ bytes, got fewer"):
            crops[3:6]
    assert first.any()
    with pytest.raises(InputError, match="part-00002-of-00003"):
        open_crops(tmp_path / "parts")
