"""Hostile box files: JSON, JSON Lines, COCO and HDF5."""

from __future__ import annotations

import os
from pathlib import Path

import h5py
import numpy as np

from tests.builders import random_rows, write_json
from tests.hostile.corpus.case import case, cases

NAN = float("nan")
BIG = "9" * 5000
LONG = "x" * 200_000
ROW = {"image_id": 17, "bbox": [1, 2, 3, 4]}


def text(data):
    """A maker: a file of this text, or these bytes."""

    def make(folder: Path) -> Path:
        path = folder / "boxes.json"
        path.write_bytes(data if isinstance(data, bytes) else data.encode())
        return path

    return make


def data(value):
    """A maker: a file of this JSON value."""
    return lambda folder: write_json(folder / "boxes.json", value)


def depth(count):
    return "[" * count + "]" * count


cases(
    "boxes",
    "nesting of any depth is refused in one line",
    {
        **{f"nested {count} deep": text(depth(count)) for count in (900, 976, 977, 978, 979, 990, 1000, 100_000)},
        "objects nested 100,000 deep": text('{"a":' * 100_000),
        "a first line nested 100,000 deep": text(depth(100_000) + "\n[0, 1, 2, 3, 4]\n"),
        "a first line nested 978 deep": text(depth(978) + "\n[0, 1, 2, 3, 4]\n"),
        "a second line nested 100,000 deep": text("[0, 1, 2, 3, 4]\n" + depth(100_000) + "\n"),
        "a row nested 100,000 deep": text("[[0, 1, 2, 3, " + depth(100_000) + "]]"),
        "a row nested 970 deep": text("[[0, 1, 2, 3, " + depth(970) + "]]"),
        "a bbox nested 965 deep": text('[{"image_id": 1, "bbox": ' + depth(965) + "}]"),
        "an outline nested 100,000 deep": text('[{"image_id": 1, "segmentation": ' + depth(100_000) + "}]"),
    },
)
cases(
    "boxes",
    "a number of any length is refused in one line",
    {
        "a coordinate of 5,000 digits": text(f"[[0, 1, 2, 3, {BIG}]]"),
        "a negative coordinate of 5,000 digits": text(f"[[0, 1, 2, 3, -{BIG}]]"),
        "an image of 5,000 digits": text(f"[[{BIG}, 1, 2, 3, 4]]"),
        "an image of 400 digits": text(f"[[{BIG[:400]}, 1, 2, 3, 4]]"),
        "a line with 5,000 digits": text(f"[0, 1, 2, 3, 4]\n[0, 1, 2, 3, {BIG}]\n"),
        "a first line with 5,000 digits": text(f"[0, 1, 2, 3, {BIG}]\n[0, 1, 2, 3, 4]\n"),
        "an image id of 5,000 digits": text(f'[{{"image_id": {BIG}, "bbox": [1, 2, 3, 4]}}]'),
        "a category of 400 digits": text(f'[{{"image_id": 1, "bbox": [1, 2, 3, 4], "category_id": {BIG[:400]}}}]'),
        "an id of 400 digits": text(f'[{{"image_id": 1, "bbox": [1, 2, 3, 4], "id": {BIG[:400]}}}]'),
        "a score of 400 digits": text(f'[{{"image_id": 1, "bbox": [1, 2, 3, 4], "score": {BIG[:400]}}}]'),
        "a width of 5,000 digits": text(f'{{"images": [{{"id": 1, "width": {BIG}, "height": 1}}], "annotations": []}}'),
        "a width of 400 digits": text(
            f'{{"images": [{{"id": 1, "width": {BIG[:400]}, "height": 1}}], "annotations": []}}'
        ),
    },
)


def no_such(folder: Path) -> Path:
    return folder / "none.json"


def is_folder(folder: Path) -> Path:
    (folder / "boxes.json").mkdir()
    return folder / "boxes.json"


def not_utf8(folder: Path) -> Path:
    return folder / os.fsdecode(b"caf\xe9.json")


cases(
    "boxes",
    "what is no box file is refused",
    {
        "empty": text(""),
        "blank": text(" \n\t\n"),
        "a byte order mark alone": text(b"\xef\xbb\xbf"),
        "no such file": no_such,
        "no such file, named in no encoding": not_utf8,
        "a folder": is_folder,
        "zeros": text(bytes(10_000)),
        "not UTF-8": text(b"[[0, 1, 2, 3, 4], \xff\xfe]"),
        "UTF-16 cut short": text("[[0, 1, 2, 3, 4]]".encode("utf-16")[:-3]),
        "cut short": text("[[0, 1, 2, 3, 4], [0, 1, 2"),
        "one number": text("7"),
        "one word": text('"boxes"'),
        "null": text("null"),
        "rows of words": data([["0", "1", "2", "3", "4"]]),
        "rows of truth values": data([[True, 1, 2, 3, 4]]),
        "rows of other lengths": data([[0, 1, 2, 3, 4], [0, 1, 2, 3]]),
        "rows and objects": data([[0, 1, 2, 3, 4], ROW]),
        "images that are fractions": data([[0.5, 1, 2, 3, 4]]),
        "images of null": data([[None, 1, 2, 3, 4]]),
        "NaN as an image": text("[[NaN, 1, 2, 3, 4]]"),
        "an unknown object": data({"boxes": 3}),
        "a list of lists of lists": data([[[0, 1, 2, 3, 4]]]),
    },
)
cases(
    "boxes",
    "records are what COCO says they are",
    {
        "no bbox": data([{"image_id": 17}]),
        "no image": data([{"bbox": [1, 2, 3, 4]}]),
        "an image that is a list": data([{"image_id": [17], "bbox": [1, 2, 3, 4]}]),
        "an image that is a truth value": data([{"image_id": True, "bbox": [1, 2, 3, 4]}]),
        "bbox of words": data([{**ROW, "bbox": ["1", "2", "3", "4"]}]),
        "bbox of an object": data([{**ROW, "bbox": {"x": 1}}]),
        "bbox of 100,000 numbers": data([{**ROW, "bbox": [1] * 100_000}]),
        "bbox of a long word": data([{**ROW, "bbox": LONG}]),
        "score of a word": data([{**ROW, "score": "high"}]),
        "score of a list": data([{**ROW, "score": [1]}]),
        "score in some records": data([{**ROW, "score": 1}, ROW]),
        "category of a fraction": data([{**ROW, "category_id": 1.5}]),
        "category of a long word": data([{**ROW, "category_id": LONG}]),
        "category beyond 64 bits": data([{**ROW, "category_id": 2**63}]),
        "id beyond 64 bits": data([{**ROW, "id": 2**64}]),
        "annotations of a word": data({"annotations": "none", "images": []}),
        "annotations of null": data({"annotations": None}),
        "annotations of numbers": data({"annotations": [1, 2]}),
        "annotations of an object": data({"annotations": {}}),
        "images of numbers": data({"annotations": [ROW], "images": [1]}),
        "a COCO image twice": data({"annotations": [ROW], "images": [{"id": 17}, {"id": 17}]}),
        "a width of 0": data({"annotations": [ROW], "images": [{"id": 17, "width": 0, "height": 2}]}),
        "a width of a word": data({"annotations": [ROW], "images": [{"id": 17, "width": "9", "height": 2}]}),
        "a list with a number in it": data([ROW, 3]),
        "a list with null in it": data([ROW, None]),
    },
)
cases(
    "boxes",
    "boxes by image are lists of four numbers",
    {
        "rows of three": data({"17": [[1, 2, 3]]}),
        "rows of words by image": data({"17": [["1", "2", "3", "4"]]}),
        "rows that are objects": data({"17": [{}]}),
        "one row that is not in a list": data({"17": [1, 2, 3, 4]}),
        "an image twice": text('{"17": [[1, 2, 3, 4]], "17": [[5, 6, 7, 8]]}'),
        "60,000 images and one twice": text(
            "{" + ", ".join(f'"{number}": []' for number in range(60_000)) + ', "59999": [[1, 2, 3, 4]]}'
        ),
        "an image of 200 kB twice": text(f'{{"{LONG}": [], "{LONG}": []}}'),
        "an image of 200 kB with a bad row": data({LONG: [[1, 2]]}),
    },
)
cases(
    "boxes",
    "boxes that cannot be pooled are refused",
    {
        "NaN": text("[[0, 1, 2, NaN, 4]]"),
        "infinity": text("[[0, 1, 2, Infinity, 4]]"),
        "1e999": text("[[0, 1, 2, 1e999, 4]]"),
        "the wrong way round": data([[0, 30, 30, 10, 10]]),
        "a coordinate of null": data([[0, 1, 2, None, 4]]),
        "beyond float32": data([[0, 1, 2, 1e300, 4]]),
        "beyond 2**30": data([[0, 1, 2, 1e10, 4]]),
        "rows of 400 digits as boxes by image": text(f'{{"17": [[1, 2, 3, {BIG[:400]}]]}}'),
        "an exponent of 5,000 digits": text(f"[[0, 1, 2, 3, 1e{BIG}]]"),
    },
    only=("extract", "validate", "assign"),
)
cases(
    "boxes",
    "images that the pyramid does not have are refused",
    {
        "an image that is not there": data([[99, 1, 2, 3, 4]]),
        "a negative image": data([[-1, 1, 2, 3, 4]]),
        "an image beyond 2**53": data([[2**60, 1, 2, 3, 4]]),
        "an image of 200 kB": data([{"image_id": LONG, "bbox": [1, 2, 3, 4]}]),
        "an image whose id has a line in it": data([{"image_id": "a\nb", "bbox": [1, 2, 3, 4]}]),
        "an image whose id commands a terminal": data([{"image_id": "\x1b[2J\x07", "bbox": [1, 2, 3, 4]}]),
        "an image of a lone surrogate": text('[{"image_id": "\\ud800", "bbox": [1, 2, 3, 4]}]'),
    },
    only=("extract", "validate"),
)


def hdf5(change):
    """A maker: an HDF5 file that `change` fills."""

    def make(folder: Path) -> Path:
        with h5py.File(folder / "boxes.h5", "w") as file:
            change(file)
        return folder / "boxes.h5"

    return make


def datasets(**values):
    return hdf5(lambda file: [file.create_dataset(name, data=value) for name, value in values.items()])


BOX = np.array([[1, 2, 30, 40]] * 3, "f4")
cases(
    "boxes",
    "HDF5 boxes are of the shapes and types they should be",
    {
        "rois of four columns": datasets(rois=np.zeros((3, 4))),
        "rois of words": datasets(rois=[[b"0", b"1", b"2", b"3", b"4"]]),
        "rois of four axes": datasets(rois=np.zeros((3, 5, 1, 1), "i4")),
        "rois of a compound": datasets(rois=np.zeros(3, [("a", "f4"), ("b", "i4")])),
        "rois that are a group": hdf5(lambda file: file.create_group("rois")),
        "rois without a space": datasets(rois=h5py.Empty("f4")),
        "rois of a scalar": datasets(rois=3.0),
        "rois with images of fractions": datasets(rois=random_rows(3) + np.array([0.5, 0, 0, 0, 0])),
        "rois of complex numbers": datasets(rois=np.zeros((3, 5), "c8")),
        "boxes without images": datasets(boxes=BOX),
        "boxes with too few images": datasets(boxes=BOX, image_index=[0, 1]),
        "boxes with images beyond the ids": datasets(boxes=BOX, image_index=[0, 1, 7], image_ids=["17", "4"]),
        "boxes with an image of -2": datasets(boxes=BOX, image_index=[0, 1, -2], image_ids=["17", "4"]),
        "boxes with an image beyond 64 bits": datasets(
            boxes=BOX, image_index=np.array([0, 1, 2**64 - 1], "u8"), image_ids=["17", "4"]
        ),
        "boxes with a category beyond 64 bits": datasets(
            boxes=BOX, image_ids=["17"] * 3, category_id=np.array([0, 1, 2**64 - 1], "u8")
        ),
        "boxes with an id beyond 64 bits": datasets(
            boxes=BOX, image_ids=["17"] * 3, annotation_id=np.array([0, 1, 2**63], "u8")
        ),
        "boxes with ids that are not UTF-8": datasets(boxes=BOX, image_ids=np.array([b"\xff\xfe"] * 3)),
        "boxes with ids of floats": datasets(boxes=BOX, image_ids=np.zeros(3)),
        "boxes with scores of words": datasets(boxes=BOX, image_ids=["17"] * 3, score=["a", "b", "c"]),
        "boxes with too few scores": datasets(boxes=BOX, image_ids=["17"] * 3, score=[0.5]),
        "boxes with a score that is a group": hdf5(
            lambda file: (
                file.create_dataset("boxes", data=BOX),
                file.create_dataset("image_ids", data=["17"] * 3),
                file.create_group("score"),
            )
        ),
        "groups of other columns": hdf5(
            lambda file: [
                file.create_dataset(f"{name}/{column}", data=value)
                for name, columns in {"17": {"boxes": BOX, "score": [1, 2, 3]}, "4": {"boxes": BOX}}.items()
                for column, value in columns.items()
            ]
        ),
        "nothing": hdf5(lambda file: None),
        "a soft link to itself": hdf5(lambda file: file.__setitem__("rois", h5py.SoftLink("/rois"))),
        "a soft link to nothing": hdf5(lambda file: file.__setitem__("boxes", h5py.SoftLink("/none"))),
        "references": hdf5(lambda file: file.create_dataset("rois", (3, 5), h5py.ref_dtype)),
        "variable-length rows": hdf5(lambda file: file.create_dataset("rois", (5,), h5py.vlen_dtype("f4"))),
        "strings of variable length": hdf5(lambda file: file.create_dataset("rois", (5, 5), h5py.string_dtype())),
    },
)


def declared(**shapes):
    """A maker: datasets that are huge as their headers have them, and take no room."""
    return hdf5(lambda file: [file.create_dataset(name, shape, "f4", chunks=True) for name, shape in shapes.items()])


cases(
    "boxes",
    "memory follows the size of the file, not what its headers declare",
    {
        "2^25 declared rois": declared(rois=(2**25, 5)),
        "2^40 declared rois": declared(rois=(2**40, 5)),
        "2^62 declared boxes": declared(boxes=(2**60, 4), image_index=(2**60,)),
    },
)


def foreign(link):
    def make(folder: Path) -> Path:
        with h5py.File(folder.parent / "secret.h5", "w") as file:
            file["rois"] = random_rows(5)
        with h5py.File(folder / "boxes.h5", "w") as file:
            link(file, folder.parent / "secret.h5")
        return folder / "boxes.h5"

    return make


def virtual_rois(file, secret):
    layout = h5py.VirtualLayout((5, 5), "f8")
    layout[:] = h5py.VirtualSource(str(secret), "rois", (5, 5))
    file.create_virtual_dataset("rois", layout)


def external_rois(file, secret):
    file.create_dataset("rois", (5, 5), "f8", external=[(str(secret), 0, h5py.h5f.UNLIMITED)])


cases(
    "boxes",
    "only files below the folder of the input, by relative names, are read",
    {
        "a link elsewhere": foreign(
            lambda file, secret: file.__setitem__("rois", h5py.ExternalLink(str(secret), "rois"))
        ),
        "a link that climbs": foreign(
            lambda file, secret: file.__setitem__("rois", h5py.ExternalLink("../secret.h5", "rois"))
        ),
        "a virtual dataset elsewhere": foreign(virtual_rois),
        "external storage elsewhere": foreign(external_rois),
    },
)
cases(
    "boxes",
    "a missing value is not a zero",
    {
        "rois that were never written": hdf5(lambda file: file.create_dataset("rois", (5, 5), "f4", chunks=(5, 5))),
        "contiguous rois that were never written": hdf5(lambda file: file.create_dataset("rois", (5, 5), "f4")),
    },
)


@case("boxes", "an HDF5 file cut to its half", "a damaged file is refused")
def cut(folder: Path) -> Path:
    path = datasets(rois=random_rows(500))(folder)
    os.truncate(path, path.stat().st_size // 2)
    return path


@case("boxes", "deflated rois with a wrong byte", "a damaged chunk is refused")
def damaged(folder: Path) -> Path:
    path = hdf5(lambda file: file.create_dataset("rois", data=random_rows(64), chunks=(64, 5), compression="gzip"))(
        folder
    )
    with h5py.File(path, "r+") as file:
        dataset = file["rois"].id
        mask, content = dataset.read_direct_chunk((0, 0))
        dataset.write_direct_chunk((0, 0), content[:40] + b"\xff\xff\xff\xff" + content[44:], mask)
    return path
