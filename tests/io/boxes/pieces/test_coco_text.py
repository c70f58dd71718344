"""COCO boxes read by the native extension: what the slow twin reads, or nothing where that one has something to say."""

from __future__ import annotations

import gzip
import io
import json
import math
import time
import tracemalloc

import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from msroi_cli.errors import InputError
from msroi_cli.io.boxes.json_file import box_document, boxes_of
from msroi_cli.io.boxes.open import parse, read_boxes
from msroi_cli.io.boxes.pieces import coco_text
from msroi_cli.io.boxes.pieces import rows as rows_module
from msroi_cli.io.boxes.pieces import text as text_module
from msroi_cli.io.boxes.pieces.coco_text import coco_table
from msroi_cli.io.boxes.pieces.text import Raw, Text

pytestmark = pytest.mark.skipif(not coco_text.NATIVE, reason="built without a compiler")

RECORD = {"image_id": 7, "bbox": [1, 2.5, 3e1, 0.1], "score": 0.25, "category_id": 3, "id": 9}
RESULTS = [RECORD, {**RECORD, "image_id": "a", "bbox": [-0.0, 0, -1.5, 258.15374755859375], "id": -4}]
DATA_SET = {
    "info": {"year": 2026, "url": None, "nested": [[], {}, [True, False, {"a": "\\"}]]},
    "images": [{"id": 7, "file_name": "7.jpg", "width": 40, "height": 30}, {"id": "a", "file_name": "a.jpg"}],
    "annotations": [{**one, "segmentation": [[1.5, 2, 3]], "iscrowd": 0} for one in RESULTS],
    "categories": [{"id": 3, "name": "café"}],
}


def slowly(content):
    """The table, or the text of the error."""
    try:
        return boxes_of("b.json", box_document("b.json", content))
    except InputError as error:
        return str(error)


def quickly(content):
    text = Text(Raw(io.BytesIO(content), len(content)))
    text.more()
    try:
        return coco_table("b.json", text)
    except InputError as error:
        return str(error)


def assert_alike(one, other):
    """Two tables, bit for bit, or two errors."""
    if isinstance(one, str) or isinstance(other, str):
        assert one == other
        return
    assert one.boxes.dtype == other.boxes.dtype
    assert one.boxes.tobytes() == other.boxes.tobytes()
    assert one.image.tolist() == other.image.tolist()
    assert list(one.columns) == list(other.columns)
    for name, values in one.columns.items():
        assert values.dtype == other.columns[name].dtype
        assert values.tobytes() == other.columns[name].tobytes()
    own = ("kind", "box_format", "image_ids", "file_names", "image_sizes", "category_names", "listed_ids", "rows")
    for name in own:
        assert getattr(one, name) == getattr(other, name), name


def check(content):
    """Whether the fast way read it, which must then be as the slow way."""
    found = quickly(content)
    if found is not None:
        assert_alike(found, slowly(content))
    return found is not None


@pytest.mark.parametrize("indent", [None, 1, "\t"])
@pytest.mark.parametrize("data", [RESULTS, DATA_SET], ids=["results", "data set"])
def test_documents(data, indent):
    ascii_only = json.dumps(data, indent=indent).encode()
    assert check(ascii_only)
    assert check(b" \n" + ascii_only + b"\r\n\t ")
    assert_alike(quickly(ascii_only), read_table(ascii_only))


SCRIPTS = "café 東京 \u0080\u07ff\u0800\ud7ff\ue000\uffff\U00010000\U0010ffff"


def in_other_scripts():
    images = [{"id": SCRIPTS, "file_name": f"{SCRIPTS}.jpg", "width": 40, "height": 30}]
    data = {**DATA_SET, "images": images, "annotations": [{**RECORD, "image_id": SCRIPTS, SCRIPTS: [SCRIPTS, {}]}]}
    return json.dumps(data, ensure_ascii=False).encode()


def test_other_scripts():
    assert check(in_other_scripts())
    table = quickly(in_other_scripts())
    assert table.image_ids == [SCRIPTS]
    assert table.category_names == {3: "café"}
    assert check(json.dumps([{**RECORD, "image_id": SCRIPTS}], ensure_ascii=False).encode())


@pytest.mark.parametrize("size", [1, 2, 3, 5])
def test_pieces_end_within_a_character(small_pieces, size):
    content = in_other_scripts()
    small_pieces(size)
    assert check(content)
    for end in range(len(content)):
        assert quickly(content[:end]) is None


@pytest.mark.parametrize(
    "text",
    [
        *(b"\x80", b"\xbf", b"\xc0\x80", b"\xc1\xbf", b"\xc2", b"\xc2\x7f", b"\xc2\xc0", b"\xdf\x20"),
        *(b"\xe0\x9f\xbf", b"\xe0\xa0", b"\xed\xa0\x80", b"\xed\xbf\xbf", b"\xef\xbf", b"\xe1\x80\xc0"),
        *(b"\xf0\x8f\xbf\xbf", b"\xf0\x90\x80", b"\xf4\x90\x80\x80", b"\xf5\x80\x80\x80", b"\xff", b"\xfe"),
    ],
)
def test_what_is_no_utf8_is_given_up(text):
    for content in (
        b'[{"image_id": 1, "bbox": [1, 2, 3, 4], "a": "%s"}]',
        b'[{"image_id": "%s", "bbox": [1, 2, 3, 4]}]',
    ):
        assert quickly(content % text) is None


def read_table(content):
    return parse("b.json", content)


@pytest.fixture
def small_pieces(monkeypatch):
    """Pieces of some bytes, and room for few rows, so that both end everywhere."""

    def of(size):
        monkeypatch.setattr(text_module, "PIECE", size)
        monkeypatch.setattr(rows_module, "FIRST", 1)
        monkeypatch.setattr(rows_module, "FEWEST_BYTES", 1)

    return of


LONG = [
    {"bbox": [number, -0.0, 1e-3 * number, 123456.789], "image_id": f"{number}", "a": {"b": [None, True, 'x]}"']}}
    for number in range(120, 100, -1)
]


@pytest.mark.parametrize("size", [1, 2, 3, 7, 64, 1000])
@pytest.mark.parametrize("data", [LONG, DATA_SET, {**DATA_SET, "annotations": LONG}], ids=["results", "set", "long"])
def test_pieces_end_anywhere(small_pieces, data, size):
    content = json.dumps(data).encode()
    whole = quickly(content)
    small_pieces(size)
    assert check(content)
    assert check(content + b" \n ")
    assert_alike(quickly(gzip.compress(content)), whole)
    assert quickly(content + b"x") is None
    for end in range(0, len(content), 1 + len(content) // 50):
        assert quickly(content[:end]) is None


def test_ids_that_a_piece_cuts_off_are_none(small_pieces):
    """12 of 123 is no image."""
    small_pieces(1)
    table = quickly(json.dumps([{"image_id": number, "bbox": [1, 2, 3, 4]} for number in (123, 1234)]).encode())
    assert table.image_ids == ["123", "1234"]


def test_a_key_that_is_too_long_for_its_room(small_pieces):
    small_pieces(100)
    content = json.dumps({**DATA_SET, "x" * 10_000: 1}).encode()
    assert quickly(content) is None


def with_record(**values):
    return json.dumps([RECORD, {**RECORD, **values}]).encode()


@pytest.mark.parametrize(
    "content",
    [
        with_record(score=None),
        with_record(score=True),
        with_record(score="0.5"),
        with_record(category_id=1.0),
        with_record(category_id=10**18),
        with_record(id=None),
        with_record(image_id=None),
        with_record(image_id=1.5),
        with_record(image_id='"'),
        with_record(bbox=[1, 2, 3]),
        with_record(bbox=[1, 2, 3, 4, 5]),
        with_record(bbox=[1, 2, 3, None]),
        with_record(bbox=[1, 2, 3, True]),
        with_record(bbox=[1, 2, 3, "4"]),
        with_record(bbox=None),
        with_record(bbox=[1, 2, 3, math.nan]),
        with_record(bbox=[1, 2, math.inf, 1]),
        with_record(bbox=[[1, 2, 3, 4]]),
        with_record(boxes=[]),
        with_record(more={str(number): 0 for number in range(100)}),
        json.dumps([RECORD, {"image_id": 1}]).encode(),
        json.dumps([RECORD, {"bbox": [1, 2, 3, 4]}]).encode(),
        json.dumps([RECORD, [1, 2, 3, 4, 5]]).encode(),
        json.dumps([{name: RECORD[name] for name in ("image_id", "bbox")}, RECORD]).encode(),
        b"[]",
        b"{}",
        b'{"annotations": []}',
        b'{"images": []}',
        b'{"annotations": {}}',
        b'{"annotations": 1, "annotations": ' + json.dumps(RESULTS).encode() + b"}",
        b'{"a": 1, "a": 1, "annotations": ' + json.dumps(RESULTS).encode() + b"}",
        b'{"a": {"b": 1, "b": 2}, "annotations": ' + json.dumps(RESULTS).encode() + b"}",
        b'{"bbox": [1, 2, 3, 4], "annotations": ' + json.dumps(RESULTS).encode() + b"}",
        b'{"annotations": ' + json.dumps(RESULTS).encode() + b', "a": 01}',
        b'[{"image_id": 1, "bbox": [1, 2, 3, 4], "bbox": [1, 2, 3, 4]}]',
        b'[{"image_id": 1, "bbox": [1, 2, 3, 4], "a": {"b": 1, "b": 1}}]',
        b'[{"image_id": 1, "\\u0062box": [1, 2, 3, 4]}]',
        b'[{"image_id": -0, "bbox": [1, 2, 3, 4]}]',
        b'[{"image_id": 1, "bbox": [01, 2, 3, 4]}]',
        b'[{"image_id": 1, "bbox": [1., 2, 3, 4]}]',
        b'[{"image_id": 1, "bbox": [+1, 2, 3, 4]}]',
        b'[{"image_id": 1, "bbox": [.5, 2, 3, 4]}]',
        b'[{"image_id": 1, "bbox": [1e, 2, 3, 4]}]',
        b'[{"image_id": 1, "bbox": [-, 2, 3, 4]}]',
        b'[{"image_id": 1, "bbox": [1 2, 3, 4]}]',
        b'[{"image_id": 1, "bbox": [1, 2, 3, 4,]}]',
        b'[{"image_id": 1, "bbox": [1, 2, 3, ' + b"9" * 70 + b"]}]",
        b'[{"image_id": 1, "bbox": [1, 2, 3, 4]},]',
        b'[{"image_id": 1, "bbox": [1, 2, 3, 4]}] x',
        b'[{"image_id": 1, "bbox": [1, 2, 3, 4], "a": "\x01"}]',
        b'[{"image_id": 1, "bbox": [1, 2, 3, 4], "a": "\\x"}]',
        b'[{"image_id": 1, "bbox": [1, 2, 3, 4], "a": "\\u12g4"}]',
        b'[{"image_id": 1, "bbox": [1, 2, 3, 4], "a": "\xff"}]',
        b'[{"image_id": 1, "bbox": [1, 2, 3, 4], "a": ' + b"[" * 200 + b"]" * 200 + b"}]",
        b'[{"image_id": 1, "bbox": [1, 2, 3, 4], "a": tru}]',
        b'[{"image_id": 1, "bbox": [1, 2, 3, 4], "a": NaN}]',
        b"\xef\xbb\xbf" + json.dumps(RESULTS).encode(),
        json.dumps(RESULTS).encode("utf-16"),
        b'{"image_id": 1, "bbox": [1, 2, 3, 4]}\n{"image_id": 1, "bbox": [1, 2, 3, 4]}',
    ],
)
def test_given_up(content):
    assert quickly(content) is None
    expected = slowly(content)
    try:
        assert_alike(read_table(content), expected)
    except InputError as error:
        assert str(error) == expected  # noqa: PT017


@pytest.mark.parametrize(
    "text",
    [
        *("0", "-0", "0.0", "-0.0", "1e5", "1E+5", "1.5e-5", "9007199254740993", "123456789012345678", "0.1"),
        *("1234567890123456789", "258.15374755859375", "1e22", "1e23", "1e-22", "1e-23", "5e-324", "1e400", "1e-400"),
        *("0.000000000000000000000000000001", "179769313486231570e291", "2.2250738585072011e-308", "1.0e99999"),
        *("0e5", "00000.5"[4:], "8.98846567431158e307", "72057594037927935", "0.30000000000000004"),
    ],
)
def test_numbers_are_rounded_as_by_python(text):
    content = f'[{{"image_id": 1, "bbox": [{text}, {text}, 3, 4], "score": {text}}}]'.encode()
    assert check(content)
    (box,) = quickly(content).boxes.tolist()
    assert math.copysign(1, box[0]) == math.copysign(1, float(json.loads(text)))
    assert box[0] == float(json.loads(text))


def object_text(fields, space=""):
    return "{" + ",".join(f"{space}{key}{space}:{space}{value}" for key, value in fields.items()) + "}"


NUMBERS = st.floats(allow_nan=False, width=64).map(lambda value: json.dumps(value) if math.isfinite(value) else "1e999")
WHOLE = st.integers(-(10**19), 10**19).map(str)
SPACES = st.sampled_from(["", " ", "\n", "\t\r "])
TEXTS = st.text(st.characters(exclude_categories=["Cs"]), max_size=5).map(
    lambda text: json.dumps(text, ensure_ascii=False)
)
OTHERS = st.recursive(
    st.one_of(NUMBERS, WHOLE, TEXTS, st.sampled_from(["true", "false", "null"])),
    lambda inner: st.one_of(
        st.lists(inner, max_size=3).map(lambda some: f"[{','.join(some)}]"),
        st.dictionaries(TEXTS, inner, max_size=3).map(object_text),
    ),
    max_leaves=6,
)


@st.composite
def record_texts(draw):
    fields = {
        '"image_id"': draw(st.one_of(st.integers(-3, 3).map(str), st.sampled_from(['"a"', '"1"', '""']))),
        '"bbox"': "[" + ",".join(draw(st.lists(st.one_of(NUMBERS, WHOLE), min_size=4, max_size=4))) + "]",
        **dict.fromkeys(draw(st.sampled_from([(), ('"score"',), ('"id"', '"category_id"')])), "1"),
        **draw(st.dictionaries(st.sampled_from(['"a"', '"segmentation"', '"boxen"']), OTHERS, max_size=2)),
    }
    order = draw(st.permutations(list(fields)))
    return object_text({key: fields[key] for key in order}, draw(SPACES))


@settings(deadline=None)
@given(st.lists(record_texts(), min_size=1, max_size=5), st.booleans(), st.data())
def test_random_documents(records, data_set, data):
    """As they are, and with a character changed or left out."""
    listed = f"[{','.join(records)}]"
    text = f'{{"images": [], "annotations": {listed}, "a": null}}' if data_set else listed
    check(text.encode())
    place = data.draw(st.integers(0, len(text) - 1))
    put = data.draw(st.sampled_from(["", *'0-.eE+,:[]{}"\\ n', "\x7f", "\x00", "é"]))
    check((text[:place] + put + text[place + 1 :]).encode())


@settings(deadline=None)
@given(NUMBERS)
@example("1.7976931348623157e308")
def test_random_numbers(text):
    check(f'[{{"image_id": 1, "bbox": [{text}, 2, 3, 4]}}]'.encode())


def test_image_facts_are_refused_alike():
    for images in ([{"id": 1}, {"id": 1}], [{"id": 7, "width": -1, "height": 3}], [{"id": None}], {}):
        content = json.dumps({**DATA_SET, "images": images}).encode()
        assert isinstance(quickly(content), str)
        assert_alike(quickly(content), slowly(content))


def test_without_the_extension(monkeypatch):
    monkeypatch.setattr(coco_text, "NATIVE", False)
    assert quickly(json.dumps(RESULTS).encode()) is None


@pytest.mark.slow
def test_time_and_memory(tmp_path):
    """At most half as long again as json.load, and a third of its memory."""
    rng = np.random.default_rng(0)
    rows = rng.uniform(0, 500, (200_000, 5)).round(2).tolist()
    results = [
        {"image_id": number // 20, "category_id": number % 80, "bbox": row[:4], "score": row[4]}
        for number, row in enumerate(rows)
    ]
    path = tmp_path / "results.json"
    path.write_text(json.dumps(results))
    spent, peaks = {}, {}
    for name, call in {"json": lambda: json.loads(path.read_text()), "boxes": lambda: read_boxes(str(path))}.items():
        times = []
        for _ in range(3):
            started = time.process_time()
            call()
            times.append(time.process_time() - started)
        spent[name] = min(times)
        tracemalloc.start()
        call()
        peaks[name] = tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()
    assert spent["boxes"] < 1.5 * spent["json"]
    assert peaks["boxes"] < peaks["json"] / 3
