"""Formats of other tools: each gives the boxes that were written, row for row."""

from __future__ import annotations

import gzip
import io
import json
import os
import threading

import numpy as np
import pytest

from msroi_cli.errors import InputError, UsageError
from msroi_cli.io.boxes.open import BoxFileOptions, parse, read_boxes
from msroi_cli.io.boxes.pieces import csv_text
from tests.builders import coco, write_json
from tests.io.boxes.test_boxes import BOXES, CATEGORIES, INDEX, KEYS, SCORES, assert_boxes, keys_of

XYWH = np.hstack([BOXES[:, :2], BOXES[:, 2:] - BOXES[:, :2]])
CENTERED = np.hstack([(BOXES[:, :2] + BOXES[:, 2:]) / 2, XYWH[:, 2:]])


def table_text(header, boxes, delimiter=",", images=KEYS):
    """CSV of the boxes with their scores and categories."""
    lines = [delimiter.join(["image_id", *header, "score", "category_id"])]
    for image, box, score, category in zip(images, boxes.tolist(), SCORES.tolist(), CATEGORIES.tolist(), strict=True):
        lines.append(delimiter.join([image, *map(repr, box), repr(score), str(category)]))
    return ("\n".join(lines) + "\n").encode()


def assert_columns(table):
    assert table.columns["score"].tolist() == SCORES.tolist()
    assert table.columns["category_id"].tolist() == CATEGORIES.tolist()


@pytest.fixture(params=["native", "rows"])
def reader(request, monkeypatch):
    """CSV by the native extension, and without it."""
    if request.param == "rows":
        monkeypatch.setattr(csv_text, "NATIVE", False)


HEADERS = {
    "xyxy": (("x1", "y1", "x2", "y2"), BOXES),
    "xmin": (("xmin", "ymin", "xmax", "ymax"), BOXES),
    "xywh": (("x", "y", "w", "h"), XYWH),
    "width": (("x", "y", "Width", "Height"), XYWH),
    "cxcywh": (("cx", "cy", "w", "h"), CENTERED),
}


@pytest.mark.usefixtures("reader")
@pytest.mark.parametrize("delimiter", [",", "\t", ";"])
@pytest.mark.parametrize("header", HEADERS)
def test_csv(header, delimiter):
    names, boxes = HEADERS[header]
    table = parse("b.csv", table_text(names, boxes, delimiter))
    assert table.box_format == {"xmin": "xyxy", "width": "xywh"}.get(header, header)
    np.testing.assert_array_equal(table.boxes, boxes)
    assert keys_of(table) == KEYS
    assert table.columns["score"].tolist() == SCORES.tolist()
    assert table.columns["category_id"].tolist() == CATEGORIES.tolist()


@pytest.mark.usefixtures("reader")
def test_csv_with_a_byte_order_mark_crlf_quotes_and_blank_lines():
    text = '\ufeff"image_id","x1","y1","x2","y2"\r\n"a,b",1,2,3,4\r\n\r\n"c ""d""",5,6,7,8.5\r\n'
    table = parse("b.csv", text.encode())
    assert (keys_of(table), table.boxes.tolist()) == (["a,b", 'c "d"'], [[1, 2, 3, 4], [5, 6, 7, 8.5]])


@pytest.mark.usefixtures("reader")
def test_csv_by_file_name_beside_ids():
    text = b"id,image_id,file_name,x1,y1,x2,y2\n9,17,a/1.jpg,1,2,3,4\n8,4,b.jpg,1,2,3,4\n7,17,a/1.jpg,0,0,1,1\n"
    table = parse("b.csv", text)
    assert (keys_of(table), table.file_names) == (["17", "4", "17"], {"17": "a/1.jpg", "4": "b.jpg"})
    assert table.columns["annotation_id"].tolist() == [9, 8, 7]
    assert keys_of(parse("b.csv", b"file_name,x1,y1,x2,y2\na.jpg,1,2,3,4\n")) == ["a.jpg"]
    assert parse("b.csv", b"image_index,x1,y1,x2,y2\n2,1,2,3,4\n").image.tolist() == [2]


@pytest.mark.usefixtures("reader")
def test_csv_whose_columns_have_names_of_their_own():
    text = b"pic|left|top|right|bottom|p|class\nu|1|2|3|4|0.5|dog\n"
    given = {"image_id": "pic", "x1": "left", "y1": "top", "x2": "right", "y2": "bottom", "score": "p"}
    table = parse("b.csv", text, BoxFileOptions({**given, "category_id": "", "delimiter": "|"}))
    assert (keys_of(table), table.boxes.tolist(), table.columns["score"].tolist()) == (["u"], [[1, 2, 3, 4]], [0.5])
    assert "category_id" not in table.columns


@pytest.mark.usefixtures("reader")
def test_csv_without_rows_and_with_missing_numbers():
    assert len(parse("b.csv", b"image_id,x1,y1,x2,y2\n").boxes) == 0
    assert np.isnan(parse("b.csv", b"image_id,x1,y1,x2,y2\na,1,,3,4\n").boxes[0, 1])


BAD_TABLES = {
    "no image": (b"x1,y1,x2,y2\n", "b.csv:1: expected a header.*no column for the image among x1, y1"),
    "no box": (b"image_id,x1,y1,x2\n", "b.csv:1: .*no four columns of a box among image_id, x1, y1, x2"),
    "two boxes": (b"image_id,x1,y1,x2,y2,x,y,w,h\n", "b.csv:1: expected the columns of one box format, got .*xyxy and"),
    "column twice": (b"image_id,xmin,x_min,y1,x2,y2\n", "b.csv:1: expected one column for x1, got xmin, x_min; --col"),
    "same name": (b"image_id,x1,x1,y1,x2,y2\n", "b.csv:1: expected different names"),
    "index and id": (b"image_id,image_index,x1,y1,x2,y2\n", "expected image_index or image ids, got both"),
    "short row": (b"image_id,x1,y1,x2,y2\na,1,2,3\n", "b.csv:2: expected 5 columns as in the header, got 4"),
    "word": (b"image_id,x1,y1,x2,y2\na,1,2,3,4\nb,1,two,3,4\n", "b.csv:3: expected a number as box, got 'two'"),
    "underscore": (b"image_id,x1,y1,x2,y2\na,1_0,2,3,4\n", "b.csv:2: expected a number as box, got '1_0'"),
    "no score": (b"image_id,x1,y1,x2,y2,score\na,1,2,3,4,\n", "b.csv:2: expected a number as score, got ''"),
    "class name": (b"image_id,x1,y1,x2,y2,class\na,1,2,3,4,dog\n", "b.csv:2: .*category_id, got 'dog'; --columns cat"),
    "half a class": (b"image_id,x1,y1,x2,y2,class\na,1,2,3,4,1.5\n", "row 0: expected a whole number as category_id"),
    "no id": (b"image_id,x1,y1,x2,y2\n,1,2,3,4\n", "b.csv:2: expected an image as image_id, got ''"),
    "two names": (
        b"image_id,file_name,x1,y1,x2,y2\n1,a,1,2,3,4\n1,b,1,2,3,4\n",
        "expected one file_name for image '1', got 'a' and 'b'",
    ),
    "latin-1": (b"image_id,x1,y1,x2,y2\n\xe9,1,2,3,4\n", "b.csv:2: expected UTF-8"),
    "unknown text": (b"hello world\n1 2 3\n", r"expected JSON or JSON Lines .*CSV.*YOLO.*begins 'hello world'"),
}


@pytest.mark.usefixtures("reader")
@pytest.mark.parametrize("case", BAD_TABLES)
def test_bad_tables(case):
    content, pattern = BAD_TABLES[case]
    with pytest.raises(InputError, match=pattern):
        parse("b.csv", content)


def test_named_columns_that_are_not_there():
    with pytest.raises(UsageError, match=r"x1: expected a column of b\.csv:1, got 'left'; it has image_id, x1"):
        parse("b.csv", b"image_id,x1,y1,x2,y2\n", BoxFileOptions({"x1": "left"}))
    with pytest.raises(UsageError, match=r"--columns: expected image_id, .*got 'colour'"):
        parse("b.csv", b"image_id,x1,y1,x2,y2\n", BoxFileOptions({"colour": "x1"}))


def test_parquet(tmp_path):
    pa = pytest.importorskip("pyarrow", reason="pyarrow is an optional extra")
    from pyarrow import parquet

    columns = {"image_id": [int(key) for key in KEYS], "score": SCORES, "category_id": CATEGORIES}
    flat = dict(zip(("x1", "y1", "x2", "y2"), BOXES.T, strict=True))
    parquet.write_table(pa.table({**columns, **flat}), tmp_path / "flat.parquet", row_group_size=5)
    nested = pa.FixedSizeListArray.from_arrays(pa.array(BOXES.reshape(-1)), 4)
    parquet.write_table(pa.table({**columns, "box": nested}), tmp_path / "nested.parquet", row_group_size=5)
    for name in ("flat", "nested"):
        table, source = read_boxes(str(tmp_path / f"{name}.parquet"))
        assert_boxes(table)
        assert_columns(table)
        assert source.size == (tmp_path / f"{name}.parquet").stat().st_size


def test_parquet_of_other_columns(tmp_path):
    pa = pytest.importorskip("pyarrow", reason="pyarrow is an optional extra")
    from pyarrow import parquet

    cases = {
        "expected a column of numbers, got string": {"image_id": [1], "x1": ["a"], "y1": [1], "x2": [2], "y2": [3]},
        "expected an image in each row, got 1": {"image_id": ["a", None], "box": [[1.0, 2.0, 3.0, 4.0]] * 2},
        "expected lists of 4 numbers": {"image_id": [1], "box": [[1.0, 2.0]]},
        "whole numbers or texts, got double": {"image_id": [1.5], "box": [[1.0, 2.0, 3.0, 4.0]]},
    }
    for pattern, columns in cases.items():
        parquet.write_table(pa.table(columns), tmp_path / "b.parquet")
        with pytest.raises(InputError, match=pattern):
            read_boxes(str(tmp_path / "b.parquet"))
    (tmp_path / "b.parquet").write_bytes(b"PAR1 and no more")
    with pytest.raises(InputError, match="expected a Parquet file"):
        read_boxes(str(tmp_path / "b.parquet"))


def test_npy_and_npz(tmp_path):
    rows = np.hstack([INDEX[:, None], BOXES])
    np.save(tmp_path / "b.npy", rows)
    assert_boxes(read_boxes(str(tmp_path / "b.npy"))[0], INDEX.tolist())
    np.savez(tmp_path / "rois.npz", rois=rows.astype(np.float32))
    assert_boxes(read_boxes(str(tmp_path / "rois.npz"))[0], INDEX.tolist(), rtol=1e-6)
    np.savez(tmp_path / "b.npz", boxes=BOXES, image_ids=KEYS, scores=SCORES, labels=CATEGORIES)
    table = read_boxes(str(tmp_path / "b.npz"))[0]
    assert_boxes(table)
    assert_columns(table)
    np.savez(tmp_path / "b.npz", boxes=BOXES, image_index=INDEX)
    assert_boxes(read_boxes(str(tmp_path / "b.npz"))[0], INDEX.tolist())


BAD_ARRAYS = {
    "neither": ({"p2": BOXES}, "expected rois .*got p2"),
    "both": ({"rois": BOXES, "boxes": BOXES}, "expected rois or boxes, got both"),
    "no image": ({"boxes": BOXES}, "expected image_ids or image_index .*got none"),
    "two images": ({"boxes": BOXES, "image_ids": KEYS, "image_index": INDEX}, "got image_ids and image_index"),
    "short": ({"boxes": BOXES, "image_index": INDEX[1:]}, r"expected \(12,\) values, one a box"),
    "width": ({"rois": BOXES}, r"expected \(K, 5\) numbers"),
    "objects": ({"rois": np.array([None] * 3)}, "in NumPy's format"),
    "half an image": ({"rois": np.full((1, 5), 0.5)}, "row 0: expected a whole number as image index"),
}


@pytest.mark.parametrize("case", BAD_ARRAYS)
def test_bad_arrays(tmp_path, case):
    arrays, pattern = BAD_ARRAYS[case]
    np.savez(tmp_path / "b.npz", **arrays)
    with pytest.raises(InputError, match=pattern):
        read_boxes(str(tmp_path / "b.npz"))


def detections(**extra):
    """Two entries of image 17, none of 230, in the order 17, 230, 17."""
    return [
        {"image_id": 17, "boxes": BOXES[:2].tolist(), "scores": [0.5, 0.25], "labels": [1, 2], **extra},
        {"image_id": 230, "boxes": [], "scores": [], "labels": [], **extra},
        {"image_id": 17, "boxes": BOXES[2:3].tolist(), "scores": [1], "labels": [3], **extra},
    ]


@pytest.mark.parametrize("end", ["list", "lines"])
def test_lists_of_detections(end):
    content = json.dumps(detections()) if end == "list" else "\n".join(map(json.dumps, detections()))
    table = parse("d.json", content.encode())
    assert (keys_of(table), table.columns["score"].tolist(), table.columns["category_id"].tolist()) == (
        ["17"] * 3,
        [0.5, 0.25, 1],
        [1, 2, 3],
    )
    np.testing.assert_array_equal(table.boxes, BOXES[:3])


def test_detections_without_ids_are_numbered():
    data = [{"boxes": BOXES[:1].tolist()}, {"boxes": []}, {"boxes": BOXES[1:3].tolist()}]
    table = parse("d.json", json.dumps(data).encode())
    assert (table.image_ids, table.image.tolist(), len(table.columns)) == (None, [0, 2, 2], 0)


@pytest.mark.parametrize(
    ("entry", "pattern"),
    [
        ({"image_id": 1}, "entry 1: expected an object with boxes"),
        ({"boxes": []}, "entry 1: expected image_id"),
        ({"image_id": 1, "boxes": [[1, 2, 3]]}, "entry 1: row 0"),
        ({"image_id": 1, "boxes": [[1, 2, 3, 4]], "scores": []}, "entry 1: expected 1 numbers as scores"),
        ({"image_id": 1, "boxes": [[1, 2, 3, 4]]}, "entry 1: expected 1 numbers as scores, got null"),
    ],
)
def test_bad_detections(entry, pattern):
    first = {"image_id": 0, "boxes": [[1, 2, 3, 4]], "scores": [1]}
    with pytest.raises(InputError, match=pattern):
        parse("d.json", json.dumps([first, entry]).encode())


def write_labels(folder, lines):
    folder.mkdir()
    for name, text in lines.items():
        (folder / name).write_text(text)
    return str(folder)


def test_yolo_labels(tmp_path):
    lines = {"img10.txt": "3 0.5 0.5 0.2 0.4 0.9\n", "img9.txt": "0 .1 .2 .1 .1 .5\n\n1 0.3 0.3 0.1 0.1 1\n"}
    table, source = read_boxes(write_labels(tmp_path / "labels", {**lines, "empty.txt": "", "classes.txt": "a\nb\n"}))
    assert keys_of(table) == ["img9", "img9", "img10"]
    assert (table.box_format, table.normalized, table.columns["category_id"].tolist()) == ("cxcywh", True, [0, 1, 3])
    assert table.columns["score"].tolist() == [0.5, 1, 0.9]
    assert table.boxes[2].tolist() == [0.5, 0.5, 0.2, 0.4]
    assert source.name == "labels"


@pytest.mark.parametrize(
    ("text", "pattern"),
    [
        ("0 0.5 0.5 0.2\n", "a.txt:1: expected class cx cy w h.*got '0 0.5 0.5 0.2'"),
        ("0 1 0 1 1 0 1 0 0\n", "a.txt:1: expected .*an outline or a rotated box"),
        ("\n0 50 40 20 30\n", "a.txt:2: expected fractions of the picture"),
        ("0.5 0.5 0.5 0.2 0.2\n", "whole number as class"),
        ("person 0.5 0.5 0.2 0.2\n", "a.txt:1: expected class"),
    ],
)
def test_bad_yolo_labels(tmp_path, text, pattern):
    with pytest.raises(InputError, match=pattern):
        read_boxes(write_labels(tmp_path / "labels", {"a.txt": text}))


def test_yolo_labels_with_confidences_in_some_files(tmp_path):
    folder = write_labels(tmp_path / "labels", {"a.txt": "0 .5 .5 .2 .2 .9\n", "b.txt": "0 .5 .5 .2 .2\n"})
    with pytest.raises(InputError, match=r"b\.txt: expected a confidence in each line"):
        read_boxes(folder)
    with pytest.raises(InputError, match=r"expected a folder of YOLO labels.*got none"):
        read_boxes(write_labels(tmp_path / "none", {}))


def test_coco_results_with_their_data_set(tmp_path):
    results = coco(BOXES, [int(key) for key in KEYS], score=SCORES.tolist())["annotations"]
    images = [{"id": int(key), "file_name": f"{key}.jpg", "width": 96, "height": 64} for key in set(KEYS)]
    dataset = write_json(tmp_path / "instances.json", {"images": images, "categories": [{"id": 1, "name": "dog"}]})
    path = write_json(tmp_path / "results.json", results)
    table, _ = read_boxes(str(path), BoxFileOptions(coco_images=str(dataset)))
    assert table.file_names == {key: f"{key}.jpg" for key in set(KEYS)}
    assert (table.category_names, table.image_sizes["17"]) == ({1: "dog"}, (96, 64))
    lacking = write_json(tmp_path / "lacking.json", {"images": images[:1]})
    with pytest.raises(InputError, match=r"lacking\.json: images: expected the images of the boxes, got none"):
        read_boxes(str(path), BoxFileOptions(coco_images=str(lacking)))
    rows = write_json(tmp_path / "rows.json", [[0, 1, 2, 3, 4]])
    with pytest.raises(UsageError, match="--coco-images: expected with COCO results, got rows"):
        read_boxes(str(rows), BoxFileOptions(coco_images=str(dataset)))


TEXTS = {
    "rows.json": json.dumps(np.hstack([INDEX[:, None], BOXES]).tolist()).encode(),
    "b.csv": table_text(*HEADERS["xyxy"]),
}


@pytest.mark.parametrize("name", TEXTS)
def test_gzipped_texts(tmp_path, name):
    path = tmp_path / f"{name}.gz"
    path.write_bytes(gzip.compress(TEXTS[name]))
    table, source = read_boxes(str(path))
    assert_boxes(table, KEYS if name == "b.csv" else INDEX.tolist())
    assert (source.name, source.size) == (path.name, path.stat().st_size)
    path.write_bytes(gzip.compress(TEXTS[name])[:-12])
    with pytest.raises(InputError, match=r"expected a whole gzip file"):
        read_boxes(str(path))


@pytest.mark.parametrize("name", TEXTS)
def test_fifo(tmp_path, name):
    path = tmp_path / name
    os.mkfifo(path)
    writer = threading.Thread(target=path.write_bytes, args=(TEXTS[name],))
    writer.start()
    table, source = read_boxes(str(path))
    writer.join()
    assert_boxes(table, KEYS if name == "b.csv" else INDEX.tolist())
    assert source.size == len(TEXTS[name])


def test_binary_arrays_from_a_pipe(monkeypatch):
    file = io.BytesIO()
    np.save(file, np.hstack([INDEX[:, None], BOXES]))
    monkeypatch.setattr("sys.stdin", io.TextIOWrapper(io.BytesIO(file.getvalue())))
    assert_boxes(read_boxes("-")[0], INDEX.tolist())
    monkeypatch.setattr("sys.stdin", io.TextIOWrapper(io.BytesIO(b"\x89HDF\r\n\x1a\n")))
    with pytest.raises(InputError, match="from a pipe, got HDF5; name the file instead"):
        read_boxes("-")
