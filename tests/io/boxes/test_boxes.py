"""Box files: every format gives the same table, row for row as the file has them."""

from __future__ import annotations

import io
import json
import sys
import tracemalloc

import h5py
import numpy as np
import pytest

from msroi_cli.errors import InputError
from msroi_cli.io.boxes.json_file import parse_boxes
from msroi_cli.io.boxes.open import read_boxes
from tests.builders import IDS, coco, extracted, random_boxes, random_rows, write_batched, write_json

COUNT = 12
BOXES = random_boxes(COUNT)
INDEX = np.random.default_rng(3).integers(0, 3, COUNT)
KEYS = [IDS[number] for number in INDEX]
BY_IMAGE = {key: [box.tolist() for box, k in zip(BOXES, KEYS, strict=True) if k == key] for key in IDS}
BY_IMAGE_ORDER = [row for key in IDS for row in range(COUNT) if KEYS[row] == key]
SCORES = np.linspace(0.1, 0.9, COUNT)
CATEGORIES = np.arange(COUNT) * 7 % 5
ANNOTATIONS = 9000 - np.arange(COUNT)


def records(**columns):
    """COCO results of the boxes."""
    return coco(BOXES, [int(key) for key in KEYS], **{name: values.tolist() for name, values in columns.items()})[
        "annotations"
    ]


def parsed(data):
    """The table of a document, or of text as it stands."""
    return parse_boxes("boxes.json", data if isinstance(data, bytes) else json.dumps(data).encode())


def written(path, **datasets):
    """An HDF5 file of datasets by path."""
    with h5py.File(path, "w") as file:
        for name, values in datasets.items():
            file[name] = values
    return read_boxes(str(path))[0]


def lines(rows, end="\n"):
    """JSON Lines."""
    return (end.join(json.dumps(row) for row in rows) + end).encode()


def keys_of(table):
    """The image of each box: its id, or its index."""
    return table.image.tolist() if table.image_ids is None else [table.image_ids[i] for i in table.image]


def assert_boxes(table, keys=KEYS, order=slice(None), rtol=0.0):
    """Asserts that a table has the boxes above, whatever its box format, in the order `order`."""
    boxes = table.boxes
    if table.box_format == "xywh":
        boxes = np.concatenate([boxes[:, :2], boxes[:, :2] + boxes[:, 2:]], axis=1)
    assert boxes.dtype == np.float64
    np.testing.assert_allclose(boxes, BOXES[order], rtol=rtol, atol=1e-12)
    assert keys_of(table) == [keys[row] for row in np.arange(COUNT)[order]]


ROWS = np.column_stack([INDEX, BOXES])


def test_rows():
    assert_boxes(parsed(ROWS.tolist()), INDEX.tolist())


def test_rows_as_lines():
    assert_boxes(parsed(lines(ROWS.tolist())), INDEX.tolist())


def test_coco_data_set():
    assert_boxes(parsed(coco(BOXES, KEYS)))


def test_coco_results():
    assert_boxes(parsed(records()))


def test_coco_results_as_lines():
    assert_boxes(parsed(lines(records())))


def test_boxes_by_image():
    assert_boxes(parsed(BY_IMAGE), order=BY_IMAGE_ORDER)


def test_hdf5_rois(tmp_path):
    assert_boxes(written(tmp_path / "b.h5", rois=ROWS), INDEX.tolist())


def test_hdf5_boxes_with_index(tmp_path):
    assert_boxes(written(tmp_path / "b.h5", boxes=BOXES, image_index=INDEX), INDEX.tolist())


@pytest.mark.parametrize("ids", [KEYS, [int(key) for key in KEYS]], ids=["strings", "integers"])
def test_hdf5_boxes_with_ids(tmp_path, ids):
    assert_boxes(written(tmp_path / "b.h5", boxes=BOXES, image_ids=ids))


def test_hdf5_boxes_with_index_into_ids(tmp_path):
    assert_boxes(written(tmp_path / "b.h5", boxes=BOXES, image_index=INDEX, image_ids=IDS))


def test_hdf5_boxes_by_image(tmp_path):
    table = written(tmp_path / "b.h5", **{f"{key}/boxes": BY_IMAGE[key] for key in IDS}, note="not an image")
    order = [row for key in sorted(IDS) for row in range(COUNT) if KEYS[row] == key]
    assert_boxes(table, order=order)


def test_hdf5_group_inside_a_file(tmp_path):
    with h5py.File(tmp_path / "b.h5", "w") as file:
        file["a/val/rois"] = ROWS
    assert_boxes(read_boxes(f"{tmp_path / 'b.h5'}::/a/val")[0], INDEX.tolist())


@pytest.mark.parametrize("dtype", ["f4", ">f8", "i4", "u1", "f2"])
def test_hdf5_numbers_of_any_type(tmp_path, dtype):
    rois = np.array([[0, 1, 2, 30, 40], [1, 5, 6, 70, 80]], dtype)
    table = written(tmp_path / "b.h5", rois=rois)
    np.testing.assert_array_equal(table.boxes, rois[:, 1:].astype(float))
    assert table.image.tolist() == [0, 1]


def test_hdf5_behind_a_user_block(tmp_path):
    with h5py.File(tmp_path / "b.h5", "w", userblock_size=1024) as file:
        file["rois"] = ROWS
    assert_boxes(read_boxes(str(tmp_path / "b.h5"))[0], INDEX.tolist())


def test_crops_file_as_boxes(tmp_path):
    pyramid = write_batched(tmp_path / "p.h5", ids=IDS)
    boxes = write_json(tmp_path / "b.json", {**coco(BOXES, KEYS, id=ANNOTATIONS.tolist(), score=SCORES.tolist())})
    first = extracted(tmp_path / "1.h5", pyramid, boxes)
    again = extracted(tmp_path / "2.h5", pyramid, tmp_path / "1.h5")
    np.testing.assert_array_equal(first[:], again[:])
    for name in ("boxes", "image_index", "level", "score", "annotation_id", "box_index"):
        np.testing.assert_array_equal(getattr(first, name), getattr(again, name), err_msg=name)


SKIP = ("--on-unknown-image", "skip")


def test_crops_file_with_unknown_images_as_boxes(tmp_path):
    """The boxes it could not place are boxes of unknown images once more."""
    pyramid = write_batched(tmp_path / "p.h5", ids=IDS)
    boxes = write_json(tmp_path / "b.json", {"17": [[1, 2, 30, 40]], "nobody": [[1, 2, 3, 4]]})
    extracted(tmp_path / "1.h5", pyramid, boxes, *SKIP, "--on-bad-box", "zero")
    again = extracted(tmp_path / "2.h5", pyramid, tmp_path / "1.h5", *SKIP)
    assert again.box_index.tolist() == [0]


def test_columns_travel_from_coco():
    table = parsed(coco(BOXES, KEYS, score=SCORES.tolist(), category_id=CATEGORIES.tolist(), id=ANNOTATIONS.tolist()))
    np.testing.assert_array_equal(table.columns["score"], SCORES)
    np.testing.assert_array_equal(table.columns["category_id"], CATEGORIES)
    np.testing.assert_array_equal(table.columns["annotation_id"], ANNOTATIONS)
    assert [values.dtype for values in table.columns.values()] == ["f8", "i8", "i8"]


@pytest.mark.parametrize("form", [lambda data: data, lines], ids=["list", "lines"])
def test_columns_travel_from_results(form):
    table = parsed(form(records(score=SCORES, category_id=CATEGORIES)))
    np.testing.assert_array_equal(table.columns["score"], SCORES)
    np.testing.assert_array_equal(table.columns["category_id"], CATEGORIES)
    assert list(table.columns) == ["score", "category_id"]


def test_columns_travel_from_hdf5(tmp_path):
    columns = {"score": SCORES, "category_id": CATEGORIES, "annotation_id": ANNOTATIONS}
    table = written(tmp_path / "b.h5", rois=ROWS, **columns)
    for name, values in columns.items():
        np.testing.assert_array_equal(table.columns[name], values)


def test_torchvisions_names_of_columns_are_read_from_hdf5(tmp_path):
    table = written(tmp_path / "b.h5", rois=ROWS, scores=SCORES, labels=CATEGORIES)
    np.testing.assert_array_equal(table.columns["score"], SCORES)
    np.testing.assert_array_equal(table.columns["category_id"], CATEGORIES)
    grouped = {"17/boxes": BOXES[:2], "17/scores": [0.5, 0.25], "17/labels": [3, 1]}
    assert written(tmp_path / "g.h5", **grouped).columns["score"].tolist() == [0.5, 0.25]


@pytest.mark.parametrize("names", [("score", "scores"), ("category_id", "labels")])
def test_two_names_of_one_column_are_refused(tmp_path, names):
    with pytest.raises(InputError, match=f"expected one of {names[0]} and {names[1]}, got both"):
        written(tmp_path / "b.h5", rois=ROWS, **dict.fromkeys(names, CATEGORIES))


@pytest.mark.parametrize(("name", "values"), [("scores", SCORES[:-1]), ("labels", CATEGORIES + 0.5)])
def test_torchvisions_columns_are_checked(tmp_path, name, values):
    with pytest.raises(InputError, match=rf"b\.h5:/{name}: "):
        written(tmp_path / "b.h5", rois=ROWS, **{name: values})


def test_columns_travel_from_hdf5_groups(tmp_path):
    table = written(
        tmp_path / "b.h5",
        **{"17/boxes": BOXES[:2], "17/score": [0.5, 0.25], "4/boxes": BOXES[2:3], "4/score": [0.75]},
    )
    assert keys_of(table) == ["17", "17", "4"]
    assert table.columns["score"].tolist() == [0.5, 0.25, 0.75]


@pytest.mark.parametrize("value", [True, False])
@pytest.mark.parametrize("key", ["score", "category_id", "id"])
def test_truth_values_are_no_numbers(key, value):
    record = {"id": 1, "image_id": "17", "bbox": [1, 1, 8, 8], "category_id": 1, "score": 0.5, key: value}
    for data in ({"images": [{"id": "17"}], "annotations": [record]}, [record]):
        with pytest.raises(InputError, match=rf"row 0: expected {key} to be a number, .*got {str(value).lower()}"):
            parsed(data)


@pytest.mark.parametrize("name", ["boxes", "score"])
@pytest.mark.parametrize("suffix", [".h5", ".npz"])
def test_a_signalling_nan_is_a_nan(tmp_path, name, suffix):
    """NumPy warns where it converts one, and only then."""
    signalling = np.full(3, 0x7F800001, np.uint32).view(np.float32)
    arrays = {"boxes": np.ones((3, 4), np.float32), "image_index": np.zeros(3, np.int64), "score": np.ones(3, "f4")}
    arrays[name] = np.repeat(signalling[:, None], 4, 1) if name == "boxes" else signalling
    path = tmp_path / f"b{suffix}"
    if suffix == ".h5":
        with h5py.File(path, "w") as file:
            for key, values in arrays.items():
                file[key] = values
    else:
        np.savez(path, **arrays)
    table, _ = read_boxes(str(path))
    assert np.isnan(table.boxes if name == "boxes" else table.columns["score"]).all()


def test_rows_have_no_columns():
    table = parsed(ROWS.tolist())
    assert (len(table.columns), table.image_ids) == (0, None)


def test_ids_up_to_64_bits_are_exact():
    big = 2**63 - 1
    table = parsed({"annotations": [{"image_id": 2**70, "bbox": [1, 2, 3, 4], "id": big, "category_id": 2**53 + 1}]})
    assert (table.columns["annotation_id"].tolist(), table.columns["category_id"].tolist()) == ([big], [2**53 + 1])
    assert table.image_ids == [str(2**70)]


HUGE = 10**400


@pytest.mark.parametrize(
    "data",
    [
        [{"image_id": 1, "bbox": [1, 2, 3, 4], "score": HUGE}],
        [{"image_id": 1, "bbox": [1, 2, 3, 4], "category_id": HUGE}],
        {"annotations": [{"image_id": 1, "bbox": [1, 2, 3, 4], "id": HUGE}]},
        {"annotations": [], "images": [{"id": 1, "width": HUGE, "height": 3}]},
        [[0, 1, 2, 3, HUGE]],
        [[HUGE, 1, 2, 3, 4]],
    ],
    ids=["score", "category", "id", "width", "coordinate", "index"],
)
def test_numbers_beyond_all_floats_are_refused(data):
    with pytest.raises(InputError, match=r"boxes\.json: "):
        parsed(data)


def test_coordinates_keep_all_their_digits():
    table = parsed(b"[[0, 0.1, 1e-300, 16777217, 12345678901.125]]")
    assert table.boxes.tolist() == [[0.1, 1e-300, 16777217, 12345678901.125]]


def test_nan_and_infinity_in_json_are_read_and_judged_later():
    table = parsed(b"[[0, NaN, -Infinity, Infinity, 4]]")
    np.testing.assert_array_equal(table.boxes, [[np.nan, -np.inf, np.inf, 4]])


def test_image_ids_in_unicode():
    table = parsed({"日本/ü 1.jpg": [[1, 2, 3, 4]], "\U0001f600": [[1, 2, 3, 4]]})
    assert keys_of(table) == ["日本/ü 1.jpg", "\U0001f600"]


EMPTY = {
    "rows": [],
    "map": {},
    "map of empty lists": {"17": [], "4": []},
    "data set": {"annotations": []},
    "data set with images": {"annotations": [], "images": [{"id": 1}]},
}


@pytest.mark.parametrize("data", EMPTY.values(), ids=EMPTY)
def test_no_boxes_in_json(data):
    table = parsed(data)
    assert (table.boxes.shape, table.image.shape) == ((0, 4), (0,))


@pytest.mark.parametrize(
    "datasets",
    [
        {"rois": np.zeros((0, 5))},
        {"rois": np.zeros(0)},
        {"boxes": np.zeros((0, 4)), "image_index": np.zeros(0, int)},
        {"boxes": np.zeros((0, 4)), "image_ids": np.zeros(0, "S1")},
        {"17/boxes": np.zeros((0, 4))},
    ],
    ids=["rois", "flat rois", "index", "ids", "groups"],
)
def test_no_boxes_in_hdf5(tmp_path, datasets):
    table = written(tmp_path / "b.h5", **datasets)
    assert (table.boxes.shape, table.image.shape) == ((0, 4), (0,))


ROW = [0, 1, 2, 3, 4]
TWO = [ROW, [1, 5, 6, 7, 8]]
TEXTS = {
    "one line": (lines([ROW]), [ROW]),
    "one line without an end": (b"[0, 1, 2, 3, 4]", [ROW]),
    "no newline at the end": (lines(TWO).rstrip(), TWO),
    "blank lines": (b"\n" + lines(TWO, "\n\n  \n") + b"\n", TWO),
    "CRLF": (lines(TWO, "\r\n"), TWO),
    "byte order mark": (b"\xef\xbb\xbf" + lines(TWO), TWO),
    "one line and a byte order mark": (b"\xef\xbb\xbf" + lines([ROW]), [ROW]),
    "document and a byte order mark": (b"\xef\xbb\xbf" + json.dumps(TWO).encode(), TWO),
    "document in UTF-16": (json.dumps(TWO).encode("utf-16"), TWO),
    "document on many lines": (json.dumps(TWO, indent=1).encode(), TWO),
    "document after blank lines": (b"\n\n" + json.dumps(TWO).encode() + b"\n\n", TWO),
}


@pytest.mark.parametrize("text", TEXTS)
def test_texts(text):
    content, rows = TEXTS[text]
    table = parsed(content)
    assert np.column_stack([table.image, table.boxes]).tolist() == rows


def test_lines_with_strange_separators_inside_strings():
    content = '{"image_id": "17", "bbox": [1, 2, 3, 4], "text": "\u2028\u0085"}\n{"image_id": 4, "bbox": [1, 2, 3, 4]}'
    assert keys_of(parsed(content.encode())) == ["17", "4"]


def test_one_line_of_results():
    table = parsed(b'{"image_id": 17, "bbox": [1, 2, 3, 4], "score": 0.5}\n')
    assert (keys_of(table), table.columns["score"].tolist()) == (["17"], [0.5])


@pytest.mark.parametrize("command", [lines(ROWS.tolist()), json.dumps(ROWS.tolist()).encode()], ids=["lines", "list"])
def test_standard_input(monkeypatch, command):
    monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(command)))
    table, source = read_boxes("-")
    assert_boxes(table, INDEX.tolist())
    assert (source.name, source.size) == ("-", len(command))


def test_source_of_a_file(tmp_path):
    path = write_json(tmp_path / "b.json", [ROW])
    _, source = read_boxes(str(path))
    assert (source.name, source.size) == ("b.json", path.stat().st_size)
    path.write_text(json.dumps([[0, 1, 2, 3, 5]]))
    assert read_boxes(str(path))[1].fingerprint != source.fingerprint


def test_file_names_and_sizes_of_a_data_set():
    images = [{"id": 17, "file_name": "a/b.jpg", "width": 64, "height": 48}, {"id": "4", "width": None}, {"id": 5}]
    table = parsed({"images": images, "annotations": [{"image_id": 17, "bbox": [1, 2, 3, 4]}]})
    assert (table.file_names, table.image_sizes) == ({"17": "a/b.jpg"}, {"17": (64, 48)})


def test_rows_of_many_boxes_keep_their_order():
    rows = random_rows(20000, images=1000)
    table = parsed(rows.tolist())
    np.testing.assert_array_equal(table.image, rows[:, 0])
    np.testing.assert_array_equal(table.boxes, rows[:, 1:])


BAD = {
    "repeated key": (b'{"17": [[1, 2, 3, 4]], "17": [[5, 6, 7, 8]]}', "'17'"),
    "coordinates as words": ([[0, "1", "2", "3", "4"]], "row 0"),
    "coordinates as truth values": ([[0, True, 2, 3, 4]], "row 0"),
    "bbox of words": ([{"image_id": 17, "bbox": ["1", "2", "3", "4"]}], "row 0.*bbox"),
    "images repeated": (
        {
            "images": [{"id": 1, "file_name": "a.jpg"}, {"id": 1, "file_name": "b.jpg"}],
            "annotations": [{"image_id": 1, "bbox": [1, 2, 3, 4]}],
        },
        "images: row 1: .*1",
    ),
}


@pytest.mark.parametrize("case", BAD)
def test_what_would_be_misread_in_silence_is_refused(case):
    data, pattern = BAD[case]
    with pytest.raises(InputError, match=pattern):
        parsed(data)


def test_bad_line_is_named_by_line_and_column():
    with pytest.raises(InputError, match=r"^boxes\.json:3:8: expected JSON"):
        parsed(b"[0, 1, 2, 3, 4]\n[0, 1, 2, 3, 4]\n[0, 1, \n[0, 1, 2, 3, 4]")


@pytest.mark.slow
def test_what_an_annotation_has_besides_its_box_is_not_kept(tmp_path):
    many = [
        {"id": i, "image_id": i % 3, "bbox": [i, 1, 2, 3], "category_id": 1, "segmentation": [[0.5] * 400]}
        for i in range(3000)
    ]
    path = write_json(tmp_path / "coco.json", {"images": [], "annotations": many})
    tracemalloc.start()
    table, _ = read_boxes(str(path))
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert table.boxes[:, 0].tolist() == list(range(3000))
    # The text twice; the outlines alone would be 8 bytes and more for every 5 of it.
    assert peak < 2.2 * path.stat().st_size
