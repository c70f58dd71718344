"""Text in pictures: every character is drawn or escaped, none is a box that stands for nothing."""

from __future__ import annotations

import numpy as np
import pytest
from PIL import Image, ImageDraw, features

from msroi_cli.preview.drawing import text
from msroi_cli.preview.drawing.text import (
    Run,
    draw_text,
    font_files,
    has_glyph,
    line_height,
    runs_of,
    shortened,
    shortened_inside,
    text_width,
)

SCRIPTS = {
    "Latin": "café Łódź",
    "Cyrillic": "картина",
    "Greek": "εικόνα",
    "Hebrew": "תמונה",
    "Arabic": "صورة",
    "Devanagari": "चित्र",
    "Thai": "ภาพ",
    "Georgian": "სურათი",
    "Chinese": "图片",
    "Japanese": "写真の",
    "Korean": "사진",
}


@pytest.fixture
def no_fonts(monkeypatch):
    """As without the extra."""
    monkeypatch.setattr(text, "font_files", tuple)
    text.runs_of.cache_clear()
    yield
    text.runs_of.cache_clear()


@pytest.fixture
def fonts():
    """The fonts of the extra."""
    for package in text.FONT_PACKAGES:
        pytest.importorskip(package)
    if not features.check("raqm"):
        pytest.skip("this Pillow cannot lay out scripts that are written from right to left")


def drawn(line, size=16):
    """The ink of a line, (H, W)."""
    picture = Image.new("RGB", (text_width(line, size) + 20, line_height(size)), (255, 255, 255))
    draw_text(ImageDraw.Draw(picture), (10, 0), line, size)
    return 255 - np.asarray(picture.convert("L"))


@pytest.mark.parametrize("script", SCRIPTS)
def test_other_scripts_are_escaped_without_fonts(script, no_fonts):
    line = f"a {SCRIPTS[script]} 1"
    shown = "".join(run.text for run in runs_of(line))
    assert all(has_glyph(None, character) for character in shown)
    assert shown.encode().decode("unicode_escape") == line


@pytest.mark.parametrize("script", SCRIPTS)
def test_fonts_show_every_script(script, fonts):
    line = SCRIPTS[script]
    assert "".join(run.text for run in runs_of(line)) == line
    assert all(has_glyph(run.file, character) for run in runs_of(line) for character in run.text)


@pytest.mark.parametrize("line", ["a\nb", "a\x1b[31mb", "a\u202eb", "\ud800", "\U0010fffe", "\0"])
def test_what_controls_a_line_or_is_no_character_is_escaped(line):
    shown = "".join(run.text for run in runs_of(line))
    assert shown == "".join(c if c in "ab[31m" else c.encode("unicode_escape").decode() for c in line)
    assert drawn(line).any()


def test_nothing_is_drawn_of_no_text():
    assert text_width("", 14) == 0
    assert not drawn("").any()


@pytest.mark.parametrize("line", ["gjpqy", "ÅÉ|", "x" * 50, "图片 and صورة"])
def test_a_line_stays_in_its_room(line):
    ink = drawn(line)
    assert not ink[:, :9].any()
    assert not ink[:, -9:].any()
    assert not ink[-1].any()
    assert ink.any()


def test_scripts_may_be_mixed(fonts):
    runs = runs_of("image 图片 صورة 7")
    assert "".join(run.text for run in runs) == "image 图片 صورة 7"
    assert len({run.file for run in runs}) >= 3
    # Numbers behind words that are written from right to left stay behind them; those between such words do not.
    assert runs[-1] == Run(" 7", None)
    assert "صورة 3 صورة" in {run.text for run in runs_of("图 صورة 3 صورة")}


def test_fonts_are_read_from_packages(fonts):
    names = [file.name for file in font_files()]
    assert any(name.startswith("NotoSansCJK") for name in names)
    assert not any("Italic" in name for name in names)


@pytest.mark.parametrize("width", [40, 100, 200])
@pytest.mark.parametrize("line", ["17", "COCO_train2014_000000397133", "a/b/c/" * 200 + "000017.jpg"])
def test_ids_are_shortened_inside(line, width):
    cut = shortened_inside(line, 12, width)
    assert text_width(cut, 12) <= width
    if cut != line:
        head, tail = cut.split("...")
        assert line.startswith(head)
        assert line.endswith(tail)
        assert len(head) == (len(head) + len(tail)) // 3 > 0


@pytest.mark.parametrize("width", [0, 10, 30, 200])
@pytest.mark.parametrize("line", ["", "short", "a very long name indeed " * 9, "图" * 5000])
def test_a_long_line_is_shortened(line, width):
    cut = shortened(line, 14, width)
    assert text_width(cut, 14) <= max(width, text_width("...", 14))
    if cut != line:
        assert cut.endswith("...")
        longer = line[: len(cut) - 3 + 1] + "..."
        assert len(cut) == text.LONGEST + 3 or text_width(longer, 14) > width
