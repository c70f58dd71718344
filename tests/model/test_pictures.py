"""Pictures are found by their stems, read ahead in order, and upright."""

from __future__ import annotations

import io
import os
import random
import sys
import threading

import pytest

from msroi_cli.errors import InputError, UsageError
from msroi_cli.io.files.picture import check_picture, picture_size, read_picture
from msroi_cli.model.pictures import ahead, find_pictures
from tests.model.test_preprocessing import random_picture


def test_a_folder_a_pattern_and_a_list_hold_the_same_pictures(pictures):
    listed = pictures.parent / "list.txt"
    listed.write_text("pictures/9.png\n\npictures/10.png\npictures/2.png\n")
    for text in (str(pictures), f"{pictures}/*.png", f"{pictures.parent}/**/*.png", f"@{listed}"):
        found = find_pictures(text)
        assert list(found) == ["2", "9", "10"]
        assert all(path.samefile(pictures / f"{key}.png") for key, path in found.items())


def test_a_list_may_begin_with_a_byte_order_mark(pictures):
    listed = pictures.parent / "list.txt"
    listed.write_bytes(b"\xef\xbb\xbfpictures/2.png\r\npictures/9.png\r\n")
    assert [path.is_file() for path in find_pictures(f"@{listed}").values()] == [True, True]


def test_one_picture_is_enough(pictures):
    assert list(find_pictures(str(pictures / "9.png"))) == ["9"]


def test_pictures_of_one_stem_are_refused(pictures):
    random_picture((3, 3)).save(pictures / "9.jpg")
    with pytest.raises(InputError, match=r"different stems, got .*9\.(png|jpg) and .*9\.(png|jpg)"):
        find_pictures(str(pictures))


@pytest.mark.parametrize(
    ("text", "kind", "message"),
    [
        ("none", UsageError, "nothing of that name"),
        ("*.png", InputError, "got none"),
        ("@none", InputError, "none: cannot"),
    ],
)
def test_no_pictures_are_refused(tmp_path, monkeypatch, text, kind, message):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(kind, match=message):
        find_pictures(text)


def test_an_empty_folder_is_refused(tmp_path):
    with pytest.raises(InputError, match="expected pictures"):
        find_pictures(str(tmp_path))


@pytest.mark.skipif(sys.platform != "linux", reason="threads have no priorities of their own")
def test_readers_give_way_to_other_threads():
    def nice(_):
        return os.getpriority(os.PRIO_PROCESS, threading.get_native_id())

    before = nice(0)
    assert [own for _, own in ahead(nice, range(8), 2)] == [min(before + 5, 19)] * 8
    assert nice(0) == before


def test_items_are_made_ahead_in_order():
    made = []

    def double(item):
        made.append(item)
        return item * 2

    taken = []
    for item, doubled in ahead(double, range(50), 2):
        taken.append((item, doubled))
        assert len(made) <= len(taken) + 4
    assert taken == [(item, item * 2) for item in range(50)]


def test_an_error_comes_in_its_place():
    items = ahead(lambda item: 1 // item, [1, 1, 0, 1], 3)
    assert [next(items), next(items)] == [(1, 1), (1, 1)]
    with pytest.raises(ZeroDivisionError):
        next(items)


@pytest.mark.parametrize("content", [b"", b"GIF89a", b"no picture"])
def test_what_is_no_picture_has_no_size(tmp_path, content):
    (tmp_path / "p.png").write_bytes(content)
    with pytest.raises(InputError, match=r"p\.png"):
        picture_size(tmp_path / "p.png")


@pytest.mark.parametrize(
    ("kind", "options"),
    [("JPEG", {}), ("JPEG", {"progressive": True}), ("JPEG", {"exif": b"Exif\0\0MM\0*\0\0\0\x08"}), ("PNG", {})],
    ids=["baseline", "progressive", "damaged exif", "png"],
)
@pytest.mark.sampled(2)
def test_a_picture_is_refused_by_its_check_if_it_cannot_be_read(tmp_path, kind, options):
    """Truncated and damaged ones: the check that decodes less finds what reading finds."""
    buffer, chance, path = io.BytesIO(), random.Random(0), tmp_path / "p.png"
    random_picture((90, 70)).resize((180, 140)).save(buffer, kind, **options)
    outcomes = set()
    for _ in range(150):
        content = bytearray(buffer.getvalue())
        if chance.random() < 0.4:
            del content[chance.randrange(len(content)) :]
        else:
            for _ in range(chance.randrange(12)):
                content[chance.randrange(len(content))] = chance.randrange(256)
        path.write_bytes(content)
        expected = outcome(read_picture, path)
        assert outcome(check_picture, path) == expected
        outcomes.add(expected is None)
    assert outcomes == {True, False}


def outcome(function, path):
    """The message of the InputError that a function raises for a path, None if it raises none."""
    try:
        function(path)
    except InputError as error:
        return str(error)
    return None
