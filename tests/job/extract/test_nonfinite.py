"""Crops with NaN or infinities are counted per level, named in a warning, and refused where that is asked for."""

from __future__ import annotations

import json
import shutil

import h5py
import numpy as np
import pytest

from msroi_cli import extract as extract_function
from msroi_cli import open_crops
from msroi_cli.errors import InputError
from msroi_cli.io.crops.contiguous import PlainWriter
from msroi_cli.io.crops.record import NonfiniteRows
from tests.builders import IDS, SPREAD, batch_maps, random_rows, refused, run, write_batched, write_json

COUNT = 60
CHECK = "crops not finite"


def maps_with_nan():
    """Maps whose second image is NaN in one channel of the finest level, and infinite in the third's coarsest."""
    maps = batch_maps()
    finest, *_, coarsest = maps
    maps[finest][1, 0] = np.nan
    maps[coarsest][2, 1] = np.inf
    return maps


@pytest.fixture
def job(tmp_path, monkeypatch):
    """Inputs of many batches, some of whose crops are not finite."""
    monkeypatch.setattr("msroi_cli.job.extract.memory.SMALLEST_BATCH", 4000)
    pyramid = write_batched(tmp_path / "p.h5", maps_with_nan(), ids=IDS)
    return pyramid, write_json(tmp_path / "b.json", random_rows(COUNT).tolist())


def extract(folder, job, *options, name="o.h5"):
    return run("extract", *job, "-o", folder / name, *SPREAD, *options)


def counted(path):
    """What the crops themselves say: values a level that are not finite, and the rows that have some."""
    with open_crops(path) as crops:
        bad = ~np.isfinite(crops[:])
        values = [int(bad[crops.level == level].sum()) for level in range(len(crops.stats))]
        return values, np.flatnonzero(bad.any(axis=(1, 2, 3))).tolist()


def content(path):
    with h5py.File(path) as file:
        return {name: file[name][()].tobytes() for name in file if name != "image_ids"}, file.attrs["warnings"]


def test_counts_rows_and_words(tmp_path, job):
    stats = tmp_path / "s.json"
    result = extract(tmp_path, job, "--stats", stats)
    assert result.exit_code == 0
    values, rows = counted(tmp_path / "o.h5")
    assert len(rows) > 5
    assert sum(value > 0 for value in values) == 2
    told = json.loads(stats.read_text())
    assert [level["crop"]["nonfinite"] for level in told["levels"]] == values
    assert told["total"]["crop"]["nonfinite"] == sum(values)
    (warning,) = [entry for entry in told["warnings"] if entry["check"] == CHECK]
    assert (warning["count"], warning["of"], warning["rows"]) == (len(rows), COUNT, rows[:5])
    assert f"warning: {CHECK}: {len(rows)} of {COUNT} crops" in result.stderr
    assert f"row {rows[0]}: image " in result.stderr
    header, *lines = result.stderr[result.stderr.index("level  stride") :].splitlines()
    assert header.split()[-2:] == ["nonfinite", "time"]
    assert [line.split()[-3] for line in lines[: len(values)]] == [f"{value:,}" for value in values]
    with open_crops(tmp_path / "o.h5") as crops:
        assert crops.stats["nonfinite"].tolist() == values
        assert crops.warnings == told["warnings"]


def test_quiet_says_nothing_and_the_file_does(tmp_path, job):
    result = extract(tmp_path, job, "-q")
    assert (result.exit_code, result.stderr) == (0, "")
    with h5py.File(tmp_path / "o.h5") as file:
        assert [entry["check"] for entry in json.loads(file.attrs["warnings"])][-1] == CHECK


@pytest.mark.parametrize("options", [("--reduce", "mean"), ("--reduce", "max")])
def test_vectors_are_named_by_their_crops(tmp_path, job, options):
    assert extract(tmp_path, job).exit_code == 0
    assert extract(tmp_path, job, *options, name="v.h5").exit_code == 0
    with open_crops(tmp_path / "o.h5") as crops, open_crops(tmp_path / "v.h5") as vectors:
        assert crops.warnings == vectors.warnings
        assert crops.stats["nonfinite"].tolist() == vectors.stats["nonfinite"].tolist()


def test_filled_crops_are_not_meant(tmp_path):
    rows = random_rows(4).tolist()
    rows[1][3:] = [0.0, 0.0]
    rows[1][1:3] = [9.0, 9.0]
    job = write_batched(tmp_path / "p.h5"), write_json(tmp_path / "b.json", rows)
    assert extract(tmp_path, job, "--on-bad-box", "nan", "--on-nonfinite", "error").exit_code == 0
    with open_crops(tmp_path / "o.h5") as crops:
        assert np.isnan(crops[1]).all()
        assert crops.stats["nonfinite"].sum() == 0


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_features_too_large_for_float16_count(tmp_path, dtype):
    maps = {name: values * 1e6 for name, values in batch_maps(dtype=dtype).items()}
    job = write_batched(tmp_path / "p.h5", maps), write_json(tmp_path / "b.json", random_rows(5).tolist())
    result = extract(tmp_path, job, "--dtype", "float16")
    count = len(counted(tmp_path / "o.h5")[1])
    assert count > 2
    assert f"warning: {CHECK}: {count} of 5 crops" in result.stderr
    assert "--dtype" in result.stderr
    refused(extract(tmp_path, job, "--dtype", "float16", "--on-nonfinite", "error", name="e.h5"), 3, "expected finite")
    assert extract(tmp_path, job, "--on-nonfinite", "error", name="f.h5").exit_code == 0


@pytest.mark.parametrize("options", [(), ("--compression", "gzip:1"), ("--threads", "1"), ("--threads", "3")])
def test_same_file_with_and_without_interruption(tmp_path, job, options):
    assert extract(tmp_path, job, name="whole.h5").exit_code == 0
    stopped = extract(tmp_path, job, "--on-nonfinite", "error", *options)
    refused(stopped, 3, r"o\.h5: expected finite crops, got \d+ with NaN or infinities so far: row \d+: image")
    assert not (tmp_path / "o.h5").exists()
    assert "--resume --on-nonfinite warn" in stopped.stderr
    refused(extract(tmp_path, job, "--on-nonfinite", "error", "--resume", *options), 3, "expected finite crops")
    assert extract(tmp_path, job, "--resume", *options).exit_code == 0
    assert content(tmp_path / "o.h5") == content(tmp_path / "whole.h5")
    refused(extract(tmp_path, job, "--on-nonfinite", "error", "--resume", *options), 3, "expected finite crops")


def test_finished_twice_is_the_same_file(tmp_path, job, monkeypatch):
    """A kill after the warnings were written, before the file had its name: the last batch is made again."""
    assert extract(tmp_path, job, name="whole.h5").exit_code == 0
    with monkeypatch.context() as patch:
        patch.setattr("msroi_cli.io.crops.contiguous.publish", lambda *names: (_ for _ in ()).throw(KeyboardInterrupt))
        extract(tmp_path, job, "--threads", "1")
    assert not (tmp_path / "o.h5").exists()
    calls = []
    write = PlainWriter.write
    monkeypatch.setattr(PlainWriter, "write", lambda *values: calls.append(1) or write(*values))
    assert extract(tmp_path, job, "--resume").exit_code == 0
    assert calls == [1]
    assert content(tmp_path / "o.h5") == content(tmp_path / "whole.h5")


@pytest.mark.parametrize("options", [(), ("--order", "image")])
def test_parts_merged_are_the_file_of_one_job(tmp_path, job, options):
    assert extract(tmp_path, job, *options, name="whole.h5").exit_code == 0
    for shard in ("2/3", "1/3", "3/3"):
        assert extract(tmp_path, job, "--shard", shard, *options, name="parts").exit_code == 0
    with open_crops(tmp_path / "parts") as parts, open_crops(tmp_path / "whole.h5") as whole:
        assert parts.warnings == whole.warnings
    assert run("merge", tmp_path / "parts", "-o", tmp_path / "merged.h5").exit_code == 0
    assert content(tmp_path / "merged.h5") == content(tmp_path / "whole.h5")
    refused(
        extract(tmp_path, job, "--shard", "2/3", "--on-nonfinite", "error", "--resume", *options, name="parts"),
        3,
        "part-00002-of-00003.h5: expected finite crops",
    )


@pytest.mark.slow
def test_workers(tmp_path, job):
    assert extract(tmp_path, job, name="whole.h5").exit_code == 0
    result = extract(tmp_path, job, "--workers", "2")
    assert f"warning: {CHECK}" in result.stderr
    assert content(tmp_path / "o.h5") == content(tmp_path / "whole.h5")


def test_inspect_stats_and_verify(tmp_path, job):
    out = tmp_path / "o.h5"
    assert extract(tmp_path, job).exit_code == 0
    values, rows = counted(out)
    shown = run("inspect", out).stdout
    assert f"warning: {CHECK}: {len(rows)} of {COUNT} crops" in shown
    assert [line.split()[-1] for line in shown.splitlines()[-len(values) :]] == [f"{value:,}" for value in values]
    assert [row["nonfinite"] for row in json.loads(run("inspect", "--json", out).stdout)["levels"]] == values
    told = json.loads(run("stats", "--json", out).stdout)
    assert [level["crop"]["nonfinite"] for level in told["levels"]] == values
    assert [warning["check"] for warning in told["warnings"]][-1] == CHECK
    result = run("verify", out)
    assert result.exit_code == 0
    assert f"passed; {sum(values):,} values not finite: {values[0]:,} on level 0" in result.stderr


def test_verify_finds_wrong_counts(tmp_path, job):
    assert extract(tmp_path, job).exit_code == 0
    with h5py.File(tmp_path / "o.h5", "r+") as file:
        stats = file["stats"][()]
        stats["nonfinite"][0] += 1
        file["stats"][...] = stats
    result = run("verify", tmp_path / "o.h5")
    assert result.exit_code == 3
    assert "values a level that are not finite" in result.stdout


def test_files_from_before_stay_readable(tmp_path):
    old = tmp_path / "old.h5"
    shutil.copy("tests/data/crops-v1-plain.h5", old)
    with open_crops(old) as crops:
        assert crops.warnings == []
        assert "nonfinite" not in crops.stats.dtype.names
    assert run("verify", old).exit_code == 0
    assert "nonfinite" in run("inspect", old).stdout


@pytest.mark.parametrize("text", ["{}", "[1]", "no JSON"])
def test_warnings_that_are_none(tmp_path, job, text):
    assert extract(tmp_path, job).exit_code == 0
    with h5py.File(tmp_path / "o.h5", "r+") as file:
        file.attrs["warnings"] = text
    refused(run("inspect", tmp_path / "o.h5"), 3, "attribute warnings: expected a JSON list of objects")


def test_function(tmp_path, job):
    pyramid, boxes = job
    options = {"canonical_scale": 16, "canonical_level": 1}
    summary = extract_function(pyramid, boxes, tmp_path / "o.h5", **options)
    assert [warning.check for warning in summary.warnings][-1] == CHECK
    assert [level.nonfinite for level in summary.levels] == counted(tmp_path / "o.h5")[0]
    with pytest.raises(InputError, match="expected finite crops"):
        extract_function(pyramid, boxes, tmp_path / "e.h5", on_nonfinite="error", **options)
    with pytest.raises(ValueError, match="on_nonfinite: expected one of warn, error"):
        extract_function(pyramid, boxes, tmp_path / "e.h5", on_nonfinite="stop", **options)


def test_rows_are_joined_in_order():
    some, more = NonfiniteRows.of(np.array([9, 3, 70, 5, 6, 4])), NonfiniteRows.of(np.array([1, 8]))
    assert some == NonfiniteRows(6, (3, 4, 5, 6, 9))
    assert NonfiniteRows.joined([some, more]) == NonfiniteRows(8, (1, 3, 4, 5, 6))
    assert NonfiniteRows.joined([]) == NonfiniteRows()
