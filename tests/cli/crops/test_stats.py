"""`msroi stats`: the statistics of a crops file once more, as table, JSON and chart."""

from __future__ import annotations

import json
import sys

import h5py
import numpy as np
import pytest
from PIL import Image

from msroi_cli import open_crops
from msroi_cli.cli.output import level_table
from msroi_cli.io.crops import reader as crops_reader
from msroi_cli.job.stats import distributions, recomputed
from msroi_cli.preview.drawing.colours import level_colour
from msroi_cli.preview.drawing.text import shortened, text_width
from tests.builders import (
    SAMPLE_DATA,
    SPREAD,
    batch_maps,
    extracted,
    random_rows,
    refused,
    run,
    write_batched,
    write_json,
)
from tests.pictures import has_colour, margin

pytest.importorskip("matplotlib")
ROWS = random_rows(70)


def drawn(path):
    """The pixels of a chart, (H, W, 3)."""
    with Image.open(path) as picture:
        assert picture.format == "PNG"
        return np.array(picture.convert("RGB"))


@pytest.fixture
def made(tmp_path):
    """A crops file and the statistics that `extract` wrote of it."""
    boxes = write_json(tmp_path / "b.json", [*ROWS.tolist(), [0, 9, 1, 1, 9], [7, 1, 1, 9, 9]])
    extracted(
        tmp_path / "o.h5",
        write_batched(tmp_path / "p.h5"),
        boxes,
        *SPREAD,
        "--on-unknown-image",
        "skip",
        "--on-bad-box",
        "zero",
        "--stats",
        tmp_path / "s.json",
    )
    return tmp_path / "o.h5", json.loads((tmp_path / "s.json").read_text())


def without_times(report):
    for entry in [*report["levels"], report["total"]]:
        entry.pop("seconds")
        entry.pop("elapsed", None)
    return report


def assert_close(got, expected):
    if isinstance(expected, dict):
        assert set(got) == set(expected)
        for name in expected:
            assert_close(got[name], expected[name])
    elif isinstance(expected, list):
        assert len(got) == len(expected)
        for one, other in zip(got, expected, strict=True):
            assert_close(one, other)
    elif isinstance(expected, float):
        assert got == pytest.approx(expected, rel=1e-9, abs=1e-12)
    else:
        assert got == expected


@pytest.mark.parametrize("block_bytes", [1, 5000, 1 << 20])
def test_they_are_what_extract_said(made, monkeypatch, block_bytes):
    path, expected = made
    monkeypatch.setattr(crops_reader.Crops.blocks, "__defaults__", (block_bytes,))
    result = run("stats", path, "--json")
    assert (result.exit_code, result.stderr) == (0, "")
    got = json.loads(result.stdout)
    assert [entry["seconds"] for entry in [*got["levels"], got["total"]]] == [None] * 4
    assert got["invalid_boxes"] == {"x2 < x1": 1, "image unknown": 1}
    assert_close(without_times(got), without_times(expected))


def test_compressed_crops(tmp_path, made):
    path = tmp_path / "c.h5"
    extracted(path, tmp_path / "p.h5", write_json(tmp_path / "c.json", ROWS.tolist()), *SPREAD, "--compression", "gzip")
    extracted(tmp_path / "d.h5", tmp_path / "p.h5", tmp_path / "c.json", *SPREAD)
    assert run("stats", path, "--json").stdout == run("stats", tmp_path / "d.h5", "--json").stdout


def test_the_table(made):
    lines = run("stats", made[0]).stdout.splitlines()
    assert lines[0].split()[-4:] == ["mean", "std", "zeros", "nonfinite"]
    assert [line.split()[0] for line in lines[1:]] == ["p2", "p3", "p4", "all"]
    assert lines[-1].split()[1] == "70"


def test_the_table_of_a_job_whose_workers_told_no_times(made):
    summary = recomputed(open_crops(made[0])).summary._replace(elapsed=2.0)
    assert level_table(summary).splitlines()[0].endswith("nonfinite")
    assert "nan " not in level_table(summary)
    timed = summary.total._replace(seconds=1.5)
    assert level_table(summary._replace(total=timed, levels=[timed] * 3)).splitlines()[-1].endswith("1.50 s")


def test_bounds_and_distributions(made):
    crops = open_crops(made[0])
    found = recomputed(crops)
    spread = distributions(crops, found)
    pooled = crops.status == 0
    for level, one in enumerate(spread):
        values = crops[pooled & (crops.level == level)].astype(np.float64)
        inside = (values >= one.edges[0]) & (values <= one.edges[-1])
        assert one.total == values.size
        assert one.counts.sum() == inside.sum()
        np.testing.assert_array_equal(one.counts, np.histogram(values, one.edges)[0])
    np.testing.assert_allclose(found.bounds, [16, 32], rtol=1e-4)
    for level in range(3):
        mine = found.sizes[found.level == level]
        assert np.searchsorted(found.bounds, mine, "right").tolist() == [level] * len(mine)


@pytest.mark.slow
def test_the_chart(made, tmp_path):
    result = run("stats", made[0], "--plot", tmp_path / "s.png")
    assert result.exit_code == 0
    assert result.stdout == run("stats", made[0]).stdout
    assert result.stderr.splitlines() == [f"{tmp_path / 's.png'}: written"]
    pixels = drawn(tmp_path / "s.png")
    assert pixels.shape[1] == 1080
    assert margin(pixels) >= 8
    for level in range(3):
        assert has_colour(pixels, level_colour(level)) > 500
    refused(run("stats", made[0], "--plot", tmp_path / "s.png"), 2, "exists already; --overwrite")
    assert run("stats", made[0], "--plot", tmp_path / "s.png", "--overwrite", "-q").stderr == ""


@pytest.mark.parametrize(("suffix", "begins"), [(".svg", b"<?xml"), (".PDF", b"%PDF"), (".png", b"\x89PNG")])
@pytest.mark.sampled(3)
def test_the_suffix_names_the_format(made, tmp_path, suffix, begins):
    paths = [tmp_path / f"{name}{suffix}" for name in "ab"]
    for path in paths:
        assert run("stats", made[0], "--plot", path, "-q").exit_code == 0
    assert paths[0].read_bytes().startswith(begins)
    assert paths[0].read_bytes() == paths[1].read_bytes()


def test_other_suffixes_are_refused(made, tmp_path):
    refused(run("stats", made[0], "--plot", tmp_path / "s.gif"), 2, "ends in .png, .svg or .pdf, got 's.gif'")
    assert not (tmp_path / "s.gif").exists()


def test_without_matplotlib(made, tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "matplotlib.figure", None)
    refused(run("stats", made[0], "--plot", tmp_path / "s.png"), 2, r"pip install 'msroi\[plot\]'")


def spoilt(value):
    maps = batch_maps()
    maps["p2"][:] = value
    return maps


CHARTS = {
    "no boxes": (batch_maps(), []),
    "one box": (batch_maps(), [[0, 3, 3, 20, 20]]),
    "a point": (batch_maps(), [[0, 3, 3, 3, 3]]),
    "a box of 2e9": (batch_maps(), [[0, -1e9, -1e9, 1e9, 1e9]]),
    "one value": (spoilt(2.5), [[0, 3, 3, 9, 9]]),
    "zeros": (spoilt(0), [[0, 3, 3, 9, 9]]),
    "nan": (spoilt(np.nan), [[0, 3, 3, 9, 9]]),
    "infinite": (spoilt(np.inf), [[0, 3, 3, 9, 9]]),
    "large": (spoilt(3e38), [[0, 3, 3, 9, 9]]),
    "tiny": (spoilt(1e-40), [[0, 3, 3, 9, 9]]),
}


@pytest.mark.slow
@pytest.mark.parametrize("case", CHARTS)
def test_charts_of_odd_files(tmp_path, case):
    maps, boxes = CHARTS[case]
    pyramid = write_batched(tmp_path / "p.h5", maps)
    extracted(tmp_path / "o.h5", pyramid, write_json(tmp_path / "b.json", boxes), *SPREAD)
    result = run("stats", tmp_path / "o.h5", "--plot", tmp_path / "s.png")
    assert result.exit_code == 0, result.exception
    assert margin(drawn(tmp_path / "s.png")) >= 5


@pytest.mark.slow
@pytest.mark.parametrize("count", [1, 2, 9])
def test_charts_of_any_number_of_levels(tmp_path, count):
    names = [f"a level with a long name {level}" for level in range(count)]
    size = 2**count
    maps = {name: np.ones((1, 1, size >> level, size >> level), "f4") for level, name in enumerate(names)}
    pyramid = write_batched(tmp_path / "p.h5", maps, strides={name: 4 << level for level, name in enumerate(names)})
    boxes = write_json(tmp_path / "b.json", [[0, 0, 0, 2**k, 2**k] for k in range(13)])
    extracted(tmp_path / "o.h5", pyramid, boxes)
    assert run("stats", tmp_path / "o.h5", "--plot", tmp_path / "s.png").exit_code == 0
    pixels = drawn(tmp_path / "s.png")
    assert margin(pixels) >= 5
    assert has_colour(pixels, level_colour(0))


def test_text_that_is_too_long_is_shortened():
    assert shortened("short", 14, 200) == "short"
    cut = shortened("a very long name indeed " * 9, 14, 200)
    assert cut.endswith("...")
    assert text_width(cut, 14) <= 200


def spoil_parameters(change):
    def spoil(file):
        parameters = json.loads(file.attrs["parameters"])
        change(parameters)
        file.attrs["parameters"] = json.dumps(parameters)

    return spoil


def spoil_levels(file):
    file["level"][...] = 9


SPOILT = {
    "no scales": (spoil_parameters(lambda p: p.pop("spatial_scales")), "expected spatial_scales, got none"),
    "no names": (spoil_parameters(lambda p: p.pop("levels")), "expected levels, got none"),
    "names": (spoil_parameters(lambda p: p.update(levels=["a"])), "expected 3 names of levels, got 1"),
    "compat": (spoil_parameters(lambda p: p.update(compat="x")), "parameters: compat: expected"),
    "levels": (spoil_levels, "level: expected 0 to 2"),
}


@pytest.mark.parametrize("case", SPOILT)
def test_spoilt_files(made, case):
    change, pattern = SPOILT[case]
    with h5py.File(made[0], "a") as file:
        change(file)
    refused(run("stats", made[0]), 3, pattern)


def test_other_files(tmp_path):
    refused(run("stats", SAMPLE_DATA / "pyramid.h5"), 3, "expected a crops file")
    refused(run("stats", tmp_path / "none.h5"), 3, "expected a crops file")


def test_a_chart_that_cannot_be_written(made, tmp_path):
    refused(run("stats", made[0], "--plot", tmp_path / "no" / "s.png"), 2, "existing folder")


@pytest.mark.parametrize("quiet", [(), ("-q",)])
def test_of_vectors_is_said(tmp_path, quiet):
    path = tmp_path / "o.h5"
    given = (SAMPLE_DATA / "pyramid.h5", SAMPLE_DATA / "words.json", "--box-space", "original", "-o", path, "-q")
    assert run("extract", *given, "--reduce", "max").exit_code == 0
    result = run("stats", path, *quiet)
    assert ("of vectors (--reduce max)" in result.stderr) == (not quiet)
