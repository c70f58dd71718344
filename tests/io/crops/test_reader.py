"""`open_crops` as the sequence that a data loader wants: any index, any process, any storage."""

from __future__ import annotations

import multiprocessing
import os
import pickle
import shutil

import h5py
import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from msroi_cli import open_crops
from msroi_cli.errors import InputError
from msroi_cli.io.crops.rows import ChunkedRows, MappedRows
from tests.builders import IDS, SPREAD, extracted, random_boxes, write_batched, write_json

COUNT = 23
STORAGES = {
    "contiguous": None,
    "chunks of one": {"chunks": (1, 3, 2, 2)},
    "chunks of five": {"chunks": (5, 3, 2, 2), "compression": "gzip", "shuffle": True},
    "chunks of channels": {"chunks": (4, 1, 2, 1), "compression": "lzf"},
    "checksums": {"chunks": (40, 3, 2, 2), "maxshape": (None, 3, 2, 2), "fletcher32": True},
}


def restored(path, storage):
    """The same crops file with its crops stored in another way."""
    with h5py.File(path, "a") as file:
        crops = file["crops"][:]
        del file["crops"]
        file.create_dataset("crops", data=crops, **storage)


@pytest.fixture(scope="module")
def files(tmp_path_factory):
    """One crops file in every storage, and its crops as h5py reads them."""
    folder = tmp_path_factory.mktemp("crops")
    boxes = {key: random_boxes(COUNT, seed)[seed::3].tolist() for seed, key in enumerate(IDS)}
    pyramid = write_batched(folder / "p.h5", ids=IDS)
    extracted(folder / "contiguous.h5", pyramid, write_json(folder / "b.json", boxes), *SPREAD, "--output-size", "2")
    for name, storage in STORAGES.items():
        if storage:
            shutil.copy(folder / "contiguous.h5", folder / f"{name}.h5")
            restored(folder / f"{name}.h5", storage)
    with h5py.File(folder / "contiguous.h5") as file:
        return folder, file["crops"][:]


@pytest.fixture(params=STORAGES)
def opened(request, files):
    """Crops in one storage, and what they must be."""
    folder, expected = files
    with open_crops(folder / f"{request.param}.h5") as crops:
        yield crops, expected


INDICES = [
    0,
    -1,
    np.int64(7),
    np.uint8(7),
    slice(None),
    slice(3, 9),
    slice(9, 3),
    slice(-4, None),
    slice(1, 20, 4),
    slice(None, None, -1),
    slice(100, 200),
    ...,
    [],
    [4],
    [9, 2, 2, -1, 0, 9],
    (),
    np.array([3, 1], np.uint16),
    np.array([[3, 1, 0], [-1, 3, 3]]),
    range(5, 1, -1),
    (3, 1),
    (slice(2, 5), 1),
    ([4, 0, 4], slice(None), 1),
    (..., 0),
    (2, ..., 1),
    (slice(None), slice(0, 2), 1, -1),
]


@pytest.mark.parametrize("index", INDICES, ids=repr)
@pytest.mark.sampled(3)
def test_every_index_is_numpys(opened, index):
    crops, expected = opened
    wanted = expected[list(index) if isinstance(index, range) else index]
    got = crops[index]
    assert (got.shape, got.dtype) == (wanted.shape, wanted.dtype)
    np.testing.assert_array_equal(got, wanted)


def test_masks(opened):
    crops, expected = opened
    for mask in (crops.level == 1, (crops.level < 0).tolist(), np.ones(len(crops), bool)):
        np.testing.assert_array_equal(crops[mask], expected[np.asarray(mask)])


@settings(max_examples=40, suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None)
@given(index=st.data())
def test_any_rows(opened, index):
    crops, expected = opened
    some = st.integers(-len(expected), len(expected) - 1)
    rows = index.draw(st.lists(some, max_size=60) | st.slices(len(expected)))
    np.testing.assert_array_equal(crops[rows], expected[rows])


NO_ROWS = [
    1000,
    -1000,
    [0, 1000],
    [-1000],
    1.0,
    [0.5],
    "a",
    None,
    True,
    np.True_,
    [True, False],
    (3, None),
    (3, [0, 1]),
    (None, 1),
    {},
    (0, 9),
]


@pytest.mark.parametrize("index", NO_ROWS, ids=repr)
@pytest.mark.sampled(3)
def test_what_is_no_index(opened, index):
    with pytest.raises(IndexError):
        opened[0][index]


def test_iteration_and_length(opened):
    crops, expected = opened
    assert len(crops) == len(expected) == len(list(crops))
    for got, wanted in zip(crops, expected, strict=True):
        np.testing.assert_array_equal(got, wanted)
    for size in (1, 100, 10**6):
        blocks = list(crops.blocks(size))
        np.testing.assert_array_equal(np.concatenate([block for _, block in blocks]), expected)
        assert [row for rows, _ in blocks for row in range(len(crops))[rows]] == list(range(len(crops)))
    # What Python does with anything that has __getitem__: counts up until IndexError.
    np.testing.assert_array_equal(list(map(crops.__getitem__, range(len(crops)))), expected)


def test_as_an_array(opened):
    crops, expected = opened
    np.testing.assert_array_equal(np.asarray(crops), expected)
    assert np.asarray(crops, dtype="f8").dtype == np.float64
    own = np.array(crops)
    own[:] = 0
    np.testing.assert_array_equal(crops[:], expected)
    assert np.asarray(crops).shape == crops.shape


@pytest.mark.skipif(np.lib.NumpyVersion(np.__version__) < "2.0.0", reason="NumPy 1 knows no copy=False")
def test_without_a_copy(files):
    folder, _ = files
    assert not np.asarray(open_crops(folder / "contiguous.h5"), copy=False).flags.owndata
    for name, dtype in (("chunks of five", None), ("contiguous", "f8")):
        with pytest.raises(ValueError, match="without a copy"):
            np.asarray(open_crops(folder / f"{name}.h5"), dtype=dtype, copy=False)


def test_what_is_given_may_be_written_to_only_where_it_is_a_copy(opened):
    crops, expected = opened
    for view in (crops[3], crops[2:4], crops[-1]):
        with pytest.raises(ValueError, match="read-only"):
            view[:] = 1
    crops[[3, 4]][:] = 1
    crops[3].copy()[:] = 1
    np.testing.assert_array_equal(crops[:], expected)


def test_by_image(opened):
    crops, expected = opened
    for number, key in enumerate(IDS):
        rows = np.flatnonzero(crops.image_index == number)
        assert crops.rows_of(key).tolist() == rows.tolist()
        np.testing.assert_array_equal(crops.by_image(int(key)), expected[rows])
    with pytest.raises(KeyError, match="nobody"):
        crops.by_image("nobody")


def test_reading_is_lazy(files, monkeypatch):
    folder, _ = files
    reads = []
    monkeypatch.setattr(ChunkedRows, "slice", lambda self, start, stop: reads.append((start, stop)) or np.zeros(1))
    crops = open_crops(folder / "chunks of five.h5")
    assert not reads
    crops[11]
    crops[3:20]
    assert reads == [(11, 12), (3, 20)]


def test_a_chunk_is_read_once(files, monkeypatch):
    folder, expected = files
    reads, slice_of = [], ChunkedRows.slice
    monkeypatch.setattr(
        ChunkedRows, "slice", lambda self, start, stop: reads.append((start, stop)) or slice_of(self, start, stop)
    )
    rows = [22, 0, 11, 14, 0, 13, -23]
    np.testing.assert_array_equal(open_crops(folder / "chunks of five.h5")[rows], expected[rows])
    assert reads == [(0, 1), (11, 15), (22, 23)]


def test_contiguous_crops_are_mapped(files):
    folder, _ = files
    crops = open_crops(folder / "contiguous.h5")
    assert isinstance(crops._source(), MappedRows)
    assert crops[2:5].base is not None


def test_pickles_are_small_and_open_the_file_anew(opened, tmp_path, monkeypatch):
    crops, expected = opened
    crops[0]
    text = pickle.dumps(crops)
    assert len(text) < 1000
    monkeypatch.chdir(tmp_path)
    again = pickle.loads(text)
    np.testing.assert_array_equal(again[[3, 1]], expected[[3, 1]])
    assert again.parameters == crops.parameters


def test_a_pickle_from_a_relative_path(files, monkeypatch, tmp_path):
    folder, expected = files
    monkeypatch.chdir(folder)
    text = pickle.dumps(open_crops("contiguous.h5"))
    monkeypatch.chdir(tmp_path)
    np.testing.assert_array_equal(pickle.loads(text)[1], expected[1])


def sums(crops, rows):
    """The sum of each of some crops, reckoned in another process."""
    return os.getpid(), [float(crops[row].sum()) for row in rows]


METHODS = [name for name in ("fork", "spawn", "forkserver") if name in multiprocessing.get_all_start_methods()]


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("storage", ["contiguous", "chunks of five"])
@pytest.mark.filterwarnings("ignore:.*fork.*:DeprecationWarning")
@pytest.mark.sampled(6)
def test_other_processes(files, storage, method):
    folder, expected = files
    crops = open_crops(folder / f"{storage}.h5")
    crops[0]
    with multiprocessing.get_context(method).Pool(2) as pool:
        parts = [range(start, len(crops), 4) for start in range(4)]
        results = pool.starmap(sums, [(crops, part) for part in parts])
    for part, (process, values) in zip(parts, results, strict=True):
        assert process != os.getpid()
        assert values == [float(expected[row].sum()) for row in part]
    np.testing.assert_array_equal(crops[:], expected)


@pytest.mark.skipif(not hasattr(os, "fork"), reason="no fork here")
@pytest.mark.filterwarnings("ignore:.*fork.*:DeprecationWarning")
@pytest.mark.parametrize("storage", ["contiguous", "chunks of five"])
def test_a_fork_in_the_middle_of_reading(files, storage):
    folder, expected = files
    crops = open_crops(folder / f"{storage}.h5")
    np.testing.assert_array_equal(crops[:3], expected[:3])
    child = os.fork()
    if not child:
        same = np.array_equal(crops[::-1], expected[::-1]) and np.array_equal(crops[5], expected[5])
        crops.close()
        os._exit(0 if same else 1)
    np.testing.assert_array_equal(crops[3:], expected[3:])
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
    np.testing.assert_array_equal(crops[:], expected)


def test_closed_crops(opened):
    crops, expected = opened
    kept = crops[2:4]
    with crops:
        pass
    crops.close()
    np.testing.assert_array_equal(kept, expected[2:4])
    with pytest.raises(ValueError, match="closed"):
        crops[0]
    assert len(crops) == len(expected)
    assert repr(crops).startswith("<Crops ")


def test_a_file_that_was_replaced_meanwhile(files, tmp_path):
    folder, expected = files
    for name in ("contiguous", "chunks of five"):
        shutil.copy(folder / f"{name}.h5", tmp_path / "x.h5")
        crops = open_crops(tmp_path / "x.h5")
        shutil.copy(folder / "chunks of one.h5", tmp_path / "y.h5")
        (tmp_path / "y.h5").replace(tmp_path / "x.h5")
        if name == "contiguous":
            np.testing.assert_array_equal(crops[:], expected)
        else:
            with pytest.raises(InputError, match="changed"):
                crops[0]


def without(name):
    def change(file):
        del file[name]

    return change


def replaced(name, values):
    def change(file):
        del file[name]
        file[name] = values

    return change


def attribute(name, value):
    def change(file):
        del file.attrs[name]
        if value is not None:
            file.attrs[name] = value

    return change


SPOILT = {
    "no format": (attribute("format", None), "format msroi-crops"),
    "numbers for a format": (attribute("format", np.arange(3.0)), "format msroi-crops"),
    "no version": (attribute("format_version", None), "version 1, got None"),
    "no parameters": (attribute("parameters", None), "parameters.*got none"),
    "parameters cut short": (attribute("parameters", '{"a": '), "parameters.*JSON object"),
    "parameters a list": (attribute("parameters", "[]"), "parameters.*JSON object"),
    "parameters a number": (attribute("parameters", 3), "parameters.*JSON object"),
    "no sources": (attribute("sources", None), "sources.*got none"),
    "no crops": (without("crops"), "crops: expected a dataset"),
    "crops of whole numbers": (replaced("crops", np.zeros((COUNT, 1, 2, 2), "i4")), "crops: expected float"),
    "crops without rows": (replaced("crops", 1.0), "crops: expected float"),
    "no boxes": (without("boxes"), "boxes: expected a dataset"),
    "boxes of another length": (replaced("boxes", np.zeros((2, 4), "f4")), r"boxes: expected \(\d+, 4\)"),
    "levels of another length": (replaced("level", np.zeros(2, "i1")), r"level: expected \(\d+,\)"),
    "levels as text": (replaced("level", [b"a"] * COUNT), r"level: expected"),
    "image beyond the ids": (replaced("image_index", np.full(COUNT, 3)), "image_index: expected -1 or indices"),
    "no ids": (without("image_ids"), "image_ids: expected a dataset"),
    "no stats": (without("stats"), "stats: expected a dataset"),
}


@pytest.mark.parametrize("case", SPOILT)
def test_spoilt_files_are_bad_input(files, tmp_path, case):
    change, pattern = SPOILT[case]
    shutil.copy(files[0] / "contiguous.h5", tmp_path / "x.h5")
    with h5py.File(tmp_path / "x.h5", "a") as file:
        if file["crops"].shape[0] != COUNT:
            pytest.fail("COUNT must be the number of boxes")
        change(file)
    with pytest.raises(InputError, match=rf"x\.h5.*{pattern}"):
        open_crops(tmp_path / "x.h5")


def test_a_chunk_that_does_not_decode(files, tmp_path):
    shutil.copy(files[0] / "checksums.h5", tmp_path / "x.h5")
    with h5py.File(tmp_path / "x.h5") as file:
        chunk = file["crops"].id.get_chunk_info(0)
    with (tmp_path / "x.h5").open("r+b") as raw:
        raw.seek(chunk.byte_offset)
        raw.write(b"spoilt")
    crops = open_crops(tmp_path / "x.h5")
    with pytest.raises(InputError, match=r"x\.h5:/crops: cannot be read"):
        crops[0]


def test_the_recipe_for_torch(files):
    torch = pytest.importorskip("torch")
    folder, expected = files

    class CropsDataset(torch.utils.data.Dataset):
        def __init__(self, path):
            self.crops = open_crops(path)

        def __len__(self):
            return len(self.crops)

        def __getitem__(self, row):
            return torch.from_numpy(self.crops[row].copy()), int(self.crops.level[row])

        def __getitems__(self, rows):
            return list(zip(torch.from_numpy(self.crops[rows]), self.crops.level[rows].tolist(), strict=True))

    for name in ("contiguous", "chunks of five"):
        loader = torch.utils.data.DataLoader(CropsDataset(folder / f"{name}.h5"), batch_size=4, num_workers=2)
        batches = list(loader)
        np.testing.assert_array_equal(np.concatenate([crops.numpy() for crops, _ in batches]), expected)


@pytest.mark.parametrize(
    ("place", "name", "value", "message"),
    [
        ("/", "parameters", np.eye(2), r"parameters: expected a JSON object, got \[\[1.0, 0.0\], \[0.0, 1.0\]\]$"),
        ("/", "warnings", "none", "warnings: expected a JSON list of objects, got 'none'$"),
        ("checksums", "rows_per_block", np.ones((2, 1), int), r"expected a number of rows.*, got \[\[1\], \[1\]\]$"),
        ("checksums", "rows_per_block", "1", "expected a number of rows.*, got '1'$"),
    ],
)
def test_attributes_of_a_wrong_type_are_shown_on_one_line(files, tmp_path, place, name, value, message):
    path = tmp_path / "o.h5"
    shutil.copy(files[0] / "contiguous.h5", path)
    with h5py.File(path, "a") as file:
        file[place].attrs[name] = value
    with pytest.raises(InputError, match=message) as caught:
        open_crops(path)
    assert "\n" not in str(caught.value)
