"""CSV read by the native extension: what the slow twin reads, or nothing where that one has something to say."""

from __future__ import annotations

import gzip
import io
import math

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from msroi_cli.errors import InputError
from msroi_cli.io.boxes.open import parse
from msroi_cli.io.boxes.pieces import csv_text
from msroi_cli.io.boxes.pieces import rows as rows_module
from msroi_cli.io.boxes.pieces import text as text_module
from msroi_cli.io.boxes.pieces.csv_text import csv_table
from msroi_cli.io.boxes.pieces.text import Raw, Text
from msroi_cli.io.boxes.tabular.csv_file import parse_csv

pytestmark = pytest.mark.skipif(not csv_text.NATIVE, reason="built without a compiler")

HEADER = "image_id,x1,y1,x2,y2,score,category_id,note\n"
ROWS = "17,1,2.5,3e1,-0.0,0.25,3,a b\n4,.5,1.,+7,258.15374755859375,1,-4,\n17,,nan,inf,-Infinity,NaN,3,x\n"


def slowly(content, given=None):
    """The table, or the text of the error."""
    try:
        return parse_csv("b.csv", content, given)
    except InputError as error:
        return str(error)


def quickly(content, given=None):
    text = Text(Raw(io.BytesIO(content), len(content)))
    text.more()
    try:
        return csv_table("b.csv", text, given)
    except InputError as error:
        return str(error)


def names_of(table):
    return table.image.tolist() if table.image_ids is None else [table.image_ids[code] for code in table.image]


def assert_alike(one, other):
    """Two tables, bit for bit, or two errors."""
    if isinstance(one, str) or isinstance(other, str):
        assert one == other
        return
    assert one.boxes.dtype == other.boxes.dtype
    assert one.boxes.tobytes() == other.boxes.tobytes()
    assert names_of(one) == names_of(other)
    assert list(one.columns) == list(other.columns)
    for name, values in one.columns.items():
        assert values.dtype == other.columns[name].dtype
        assert values.tobytes() == other.columns[name].tobytes()
    for name in ("kind", "box_format", "image_ids", "file_names", "rows"):
        assert getattr(one, name) == getattr(other, name), name


def check(content, given=None):
    """Whether the fast way read it, which must then be as the slow way."""
    found = quickly(content, given)
    if found is not None:
        assert_alike(found, slowly(content, given))
    return found is not None


READ = {
    "numbers": HEADER + ROWS.replace(",-Infinity", ",-inf"),
    "no end": (HEADER + ROWS)[:-1].replace(",-Infinity", ",-inf"),
    "none": HEADER,
    "header alone": HEADER[:-1],
    "crlf": (HEADER + "17,1,2,3,4,5,6,7\n").replace("\n", "\r\n"),
    "blank lines": "\n\r\n" + HEADER + "\n\n17,1,2,3,4,5,6,7\r\n\r\n",
    "byte order mark": "\ufeff" + HEADER + "17,1,2,3,4,5,6,7\n",
    "quotes": HEADER.replace("note", '"no,te"') + '"1,7","1"," 2 ","3",4,"5","6","7,,"\n"17",1,"",3,4,5,6,""\n',
    "spaces": HEADER + " a , 1,2 , 3 ,  , 5, 6 ,7\n",
    "other letters": HEADER + "\u00e9\u4e2d.jpg,1,2,3,4,5,6,\U0001f600\n",
    "whole floats": HEADER + "17,1,2,3,4,5,6.0,7\n17,1,2,3,4,5,7e2,7\n17,1,2,3,4,5,9007199254740991,7\n",
    "large": HEADER + "17,1,2,3,4,5,123456789012345678,7\n17,1,2,3,4,5,-0,7\n",
    "-0": HEADER + "17,-0,-0.0,0,-00,-0,-0,7\n17,1,2,3,4,-0.0,-0,7\n",
    "index": "image_index,x1,y1,x2,y2,id\n3,1,2,3,4,5\n-1,1,2,3,4,5\n2147483647,1,2,3,4,5\n",
    "names": "file_name,x,y,w,h\na/1.jpg,1,2,3,4\nb.jpg,1,2,3,4\na/1.jpg,1,2,3,4\n",
    "both": "id,image_id,file_name,cx,cy,w,h\n9,17,a/1.jpg,1,2,3,4\n8,4,b.jpg,1,2,3,4\n7,17,a/1.jpg,0,0,1,1\n",
    "two names": "image_id,file_name,x1,y1,x2,y2\n1,a,1,2,3,4\n1,b,1,2,3,4\n",
    "tabs": (HEADER + "17,1,2,3,4,5,6,7\n").replace(",", "\t"),
}


@pytest.mark.parametrize("case", READ)
def test_read(case):
    content = READ[case].encode()
    assert check(content)
    assert_alike(parse("b.csv", content) if case != "two names" else slowly(content), slowly(content))
    assert_alike(quickly(gzip.compress(content)), quickly(content))


ROW = "17,1,2,3,4,5,6,7\n"
GIVEN_UP = {
    "short": "17,1,2\n",
    "long": "17,1,2,3,4,5,6,7,8\n",
    "underscore": "17,1_0,2,3,4,5,6,7\n",
    "word": "17,one,2,3,4,5,6,7\n",
    "no id": ",1,2,3,4,5,6,7\n",
    "no score": "17,1,2,3,4,,6,7\n",
    "no category": "17,1,2,3,4,5,,7\n",
    "half a category": "17,1,2,3,4,5,1.5,7\n",
    "category nan": "17,1,2,3,4,5,nan,7\n",
    "category of 20 digits": "17,1,2,3,4,5,12345678901234567890,7\n",
    "categories that are no doubles": "17,1,2,3,4,5,9007199254740993,7\n17,1,2,3,4,5,1.0,7\n",
    "the same in another order": "17,1,2,3,4,5,1.0,7\n17,1,2,3,4,5,9007199254740993,7\n",
    "lone return": "17,1,2,3,4,5,6,7\r17,1,2,3,4,5,6,7\n",
    "quote inside": '1"7,1,2,3,4,5,6,7\n',
    "quotes inside quotes": '"1""7",1,2,3,4,5,6,7\n',
    "open quote": '"17,1,2,3,4,5,6,7\n',
    "line in quotes": '17,1,2,3,4,5,6,"7\n8"\n',
    "behind quotes": '"17"x,1,2,3,4,5,6,7\n',
    "control character": "17,1,2,3,4,5,6,\x01\n",
    "no character": "17,1,2,3,4,5,6,\0\n",
    "other digits": "17,\u0663,2,3,4,5,6,7\n",
    "spaces alone": "  \n",
    "-nan": "17,-nan,2,3,4,5,6,7\n",
    "infinity": "17,infinity,2,3,4,5,6,7\n",
    "very many digits": "17," + "1" * 80 + ",2,3,4,5,6,7\n",
    "a long cell": "17,1,2,3,4,5,6," + "x" * 140_000 + "\n",
    "power": "17,1e,2,3,4,5,6,7\n",
    "point": "17,.,2,3,4,5,6,7\n",
    "sign": "17,-,2,3,4,5,6,7\n",
    "hexadecimal": "17,0x10,2,3,4,5,6,7\n",
}


@pytest.mark.parametrize("case", GIVEN_UP)
def test_given_up(case):
    content = (HEADER + ROW + GIVEN_UP[case]).encode()
    assert quickly(content) is None
    expected = slowly(content)
    try:
        assert_alike(parse("b.csv", content), expected)
    except InputError as error:
        assert str(error) == expected  # noqa: PT017


@pytest.mark.parametrize(
    ("content", "given"),
    [
        (HEADER.encode() + b"17,1,2,3,4,5,6,\xe9\n", None),
        (HEADER.encode() + b"\xff,1,2,3,4,5,6,7\n", None),
        (HEADER.replace("\n", "\r").encode() + b"17,1,2,3,4,5,6,7\r", None),
        (b'image_id,"x1"z,y1,x2,y2\na,1,2,3,4\n', {"x1": "x1z"}),
        (b"image_id x1 y1 x2 y2\na 1 2 3 4\n", {"delimiter": " "}),
        (b"image_index,x1,y1,x2,y2\n2147483648,1,2,3,4\n", None),
        (b"hello world\n", None),
        (HEADER.replace("note", "n" * 70_000).encode() + ROW.encode(), None),
    ],
)
def test_other_texts_are_given_up(content, given):
    assert quickly(content, given) is None
    slowly(content, given)


def test_lines_that_end_with_a_return():
    content = HEADER + "17,1,2.5,3e1,-0.0,0.25,3,a b\n4,.5,1.,+7,258.15374755859375,1,-4,\n"
    assert_alike(parse("b.csv", content.replace("\n", "\r").encode()), quickly(content.encode()))


def test_named_columns():
    text = b"pic|left|top|right|bottom|p|class\nu|1|2|3|4|0.5|dog\n"
    given = {"image_id": "pic", "x1": "left", "y1": "top", "x2": "right", "y2": "bottom", "score": "p"}
    assert check(text, {**given, "category_id": "", "delimiter": "|"})


def test_without_the_extension(monkeypatch):
    monkeypatch.setattr(csv_text, "NATIVE", False)
    assert quickly((HEADER + ROW).encode()) is None


@pytest.mark.parametrize("size", [1, 3, 50, 1000])
def test_pieces_end_anywhere(monkeypatch, size):
    content = ("\ufeff\n" + HEADER + ROWS.replace(",-Infinity", ",-inf") * 20 + "\u00e9,1,2,3,4,5,6,7").encode()
    header = len(("\ufeff\n" + HEADER).encode())
    whole = quickly(content)
    assert len(whole.boxes) == 61
    monkeypatch.setattr(text_module, "PIECE", header + size)
    monkeypatch.setattr(rows_module, "FIRST", 1)
    monkeypatch.setattr(rows_module, "FEWEST_BYTES", 1)
    assert check(content)
    assert_alike(quickly(gzip.compress(content)), whole)


cells = st.one_of(
    st.sampled_from(["", "1", "2.5", "-3e2", "nan", "inf", "1_0", "x", " 7", "0x1", "1e999", "٣", "007", '"', "-0"]),
    st.floats(width=64).map(repr),
    st.integers(-(10**20), 10**20).map(str),
    st.text(st.sampled_from('0123456789.eE+-, "\r\nnaif'), max_size=6),
)
ids = st.sampled_from(["", "a", "17", "007", "1.0", "é", "NA", "null", " b", '"q"', '"a,b"', "\t"])


@settings(deadline=None)
@given(st.lists(st.tuples(ids, cells, cells, cells, cells, cells, cells), max_size=4))
def test_random_tables(rows):
    header = "image_id,x1,y1,x2,y2,score,category_id"
    check("\n".join([header, *(",".join(row) for row in rows), ""]).encode())


@settings(deadline=None)
@given(st.floats(width=64), st.sampled_from(["%r", "%.3f", "%.17g", "%.25g", "%e", "+%r", "0%r"]))
def test_random_numbers(number, form):
    cell = form % number
    content = f"image_id,x1,y1,x2,y2,score\na,{cell},1,2,3,{cell}\n".encode()
    read = check(content)
    assert read or form not in ("%r", "%e") or not math.isfinite(number)


@settings(deadline=None)
@given(st.data())
def test_changed_characters(data):
    content = HEADER + ROWS
    place = data.draw(st.integers(len(HEADER), len(content) - 1))
    put = data.draw(st.sampled_from(["", *'0-.eE+,"\n\r\t ', "\x00", "é"]))
    check((content[:place] + put + content[place + 1 :]).encode())
