"""Jobs that are cut short and go on: nothing recorded is done twice, and the output is what it would have been."""

from __future__ import annotations

import json
import os
import time

import h5py
import numpy as np
import pytest

from msroi_cli import open_crops
from msroi_cli.extension import NATIVE
from msroi_cli.io.crops.compressed import SpoolWriter
from msroi_cli.io.crops.contiguous import PlainWriter
from msroi_cli.io.files.journal import Journal
from tests.builders import IDS, SPREAD, random_rows, refused, run, write_batched, write_json

COUNT = 60
JOURNAL, PARTIAL, SPOOL = ".o.h5.journal", ".o.h5.partial", ".o.h5.spool"
WAYS = {"plain": ((), PlainWriter), "gzip": (("--compression", "gzip:1"), SpoolWriter)}
WAYS["lzf"] = (("--compression", "lzf"), SpoolWriter)


class Cut(BaseException):
    """Stands for a kill: nothing in the job catches it."""


@pytest.fixture
def job(tmp_path, monkeypatch):
    """Inputs of many batches."""
    monkeypatch.setattr("msroi_cli.job.extract.memory.SMALLEST_BATCH", 4000)
    pyramid = write_batched(tmp_path / "p.h5", ids=IDS)
    return pyramid, write_json(tmp_path / "b.json", random_rows(COUNT).tolist())


def extract(folder, job, *options, name="o.h5"):
    return run("extract", *job, "-o", folder / name, "-q", *SPREAD, *options)


def files(folder):
    return sorted(path.name for path in folder.iterdir() if "o.h5" in path.name)


def cut_short(folder, job, monkeypatch, way="plain", after=2):
    """Runs a job that dies when it has recorded `after` batches, and leaves everything as it lies."""
    options, writer = WAYS[way]
    with monkeypatch.context() as patch:
        commit = writer.commit

        def dies(self, records):
            commit(self, records[: after - len(self.records)])
            if len(self.records) >= after:
                raise Cut

        patch.setattr(writer, "commit", dies)
        with pytest.raises(Cut):
            extract(folder, job, "--threads", "1", *options)


def contents(path):
    with h5py.File(path) as file:
        return {name: file[name][()].tobytes() for name in file if name != "image_ids"}


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("after", [1, 2])
@pytest.mark.sampled(3)
def test_resumed_output_is_that_of_an_undisturbed_job(tmp_path, job, monkeypatch, way, after):
    options, writer = WAYS[way]
    assert extract(tmp_path, job, *options, name="whole.h5").exit_code == 0
    cut_short(tmp_path, job, monkeypatch, way, after)
    assert files(tmp_path) == [JOURNAL, PARTIAL if way == "plain" else SPOOL]
    before = sum(record["rows"] for record in recorded(tmp_path))
    written = []
    write = writer.write
    monkeypatch.setattr(
        writer, "write", lambda self, rows, *values: written.extend(rows.tolist()) or write(self, rows, *values)
    )
    assert extract(tmp_path, job, *options, "--resume").exit_code == 0
    assert 0 < before < COUNT
    assert len(set(written)) == len(written) == COUNT - before
    assert files(tmp_path) == ["o.h5"]
    assert contents(tmp_path / "o.h5") == contents(tmp_path / "whole.h5")


def recorded(folder):
    """The batches in a journal."""
    journal = Journal(folder / "o.h5")
    journal.release()
    return [record for record in journal.records if "batch" in record]


def test_compressed_crops_are_the_plain_ones(tmp_path, job):
    plain, *others = (tmp_path / f"{way}.h5" for way in WAYS)
    for way, (options, _) in WAYS.items():
        assert extract(tmp_path, job, *options, name=f"{way}.h5").exit_code == 0
    for other in others:
        assert contents(other) == contents(plain)
        with h5py.File(other) as file:
            assert file["crops"].chunks[1:] == file["crops"].shape[1:]
            assert file["crops"].shuffle
    with h5py.File(others[0]) as file:
        assert (file["crops"].compression, file["crops"].compression_opts) == ("gzip", 1)
    with h5py.File(others[1]) as file:
        assert file["crops"].compression == "lzf"


def test_boxes_by_turns_are_compressed_one_by_one(tmp_path, job):
    by_turns = write_json(tmp_path / "t.json", sorted(random_rows(COUNT).tolist(), key=lambda row: row[1]))
    assert extract(tmp_path, (job[0], by_turns), "--compression", "gzip").exit_code == 0
    assert extract(tmp_path, (job[0], by_turns), name="plain.h5").exit_code == 0
    assert contents(tmp_path / "o.h5") == contents(tmp_path / "plain.h5")


@pytest.mark.parametrize(
    ("options", "pattern"),
    [
        (("--output-size", "5"), r"output_size was \[7, 7\], now \[5, 5\]"),
        (("--compat", "mmdet"), "compat was 'lucid', now 'mmdet'"),
        (("--dtype", "float16"), "dtype was '<f4', now '<f2'"),
        (("--compression", "gzip"), "compression"),
        (("--memory", "1MiB"), r"plan \(--memory\) limit"),
    ],
)
def test_other_options_are_refused_and_nothing_is_lost(tmp_path, job, monkeypatch, options, pattern):
    cut_short(tmp_path, job, monkeypatch)
    before = {name: (tmp_path / name).read_bytes() for name in files(tmp_path)}
    refused(extract(tmp_path, job, "--resume", *options), 2, f"cannot resume: .*{pattern}")
    assert {name: (tmp_path / name).read_bytes() for name in files(tmp_path)} == before
    assert extract(tmp_path, job, "--resume").exit_code == 0


@pytest.mark.parametrize("which", [0, 1])
def test_changed_inputs_are_refused(tmp_path, job, monkeypatch, which):
    cut_short(tmp_path, job, monkeypatch)
    os.utime(job[which], (1, 1))
    refused(extract(tmp_path, job, "--resume"), 2, "cannot resume: inputs (pyramid|boxes) modified was ")


def test_unfinished_work_is_not_lost_without_a_word(tmp_path, job, monkeypatch):
    cut_short(tmp_path, job, monkeypatch)
    refused(extract(tmp_path, job), 2, "interrupted job found: --resume continues it, --overwrite starts again")
    assert extract(tmp_path, job, "--overwrite").exit_code == 0
    assert files(tmp_path) == ["o.h5"]


def test_threads_may_differ_between_the_runs(tmp_path, job, monkeypatch):
    assert extract(tmp_path, job, name="whole.h5").exit_code == 0
    cut_short(tmp_path, job, monkeypatch)
    assert extract(tmp_path, job, "--resume", "--threads", "7").exit_code == 0
    assert contents(tmp_path / "o.h5") == contents(tmp_path / "whole.h5")


def test_resume_of_nothing_is_a_new_job(tmp_path, job):
    assert extract(tmp_path, job, "--resume").exit_code == 0
    assert len(open_crops(tmp_path / "o.h5")) == COUNT


def test_resume_of_what_is_whole_does_nothing(tmp_path, job):
    assert extract(tmp_path, job).exit_code == 0
    before = (tmp_path / "o.h5").read_bytes()
    result = run("extract", *job, "-o", tmp_path / "o.h5", *SPREAD, "--resume")
    assert (result.exit_code, "complete already" in result.stderr) == (0, True)
    assert (tmp_path / "o.h5").read_bytes() == before
    assert files(tmp_path) == ["o.h5"]
    stats = json.loads(extract(tmp_path, job, "--resume", "--stats", "-").stdout)
    assert stats["total"]["boxes"] == COUNT
    refused(
        extract(tmp_path, job, "--resume", "--output-size", "5"), 2, "it is whole, but of another job: .*output_size"
    )
    assert (tmp_path / "o.h5").read_bytes() == before


@pytest.mark.parametrize("which", [0, 1])
def test_what_is_whole_is_of_its_inputs_as_they_were(tmp_path, job, which):
    """The size, the first and the last mebibyte of a file may stay while what is between changes."""
    extract(tmp_path, job)
    os.utime(job[which], ns=(1, 1))
    before = (tmp_path / "o.h5").read_bytes()
    pattern = r"o\.h5: cannot resume: it is whole, but of another job: sources (pyramid|boxes) modified was "
    refused(extract(tmp_path, job, "--resume"), 2, pattern)
    assert (tmp_path / "o.h5").read_bytes() == before


def test_what_is_whole_gets_a_new_time(tmp_path, job):
    extract(tmp_path, job)
    os.utime(tmp_path / "o.h5", ns=(10**9, 10**9))
    before = (tmp_path / "o.h5").read_bytes()
    extract(tmp_path, job, "--resume")
    assert (tmp_path / "o.h5").stat().st_mtime > job[0].stat().st_mtime
    assert (tmp_path / "o.h5").read_bytes() == before


def test_a_whole_file_that_knows_no_times_is_whole(tmp_path, job):
    extract(tmp_path, job)
    with h5py.File(tmp_path / "o.h5", "r+") as file:
        sources = json.loads(file.attrs["sources"])
        for source in sources.values():
            del source["modified"]
        file.attrs["sources"] = json.dumps(sources)
    extract(tmp_path, job, "--resume")


@pytest.mark.parametrize(("first", "then"), [("numpy", "native"), ("native", "numpy")])
def test_another_backend_does_not_go_on(tmp_path, job, monkeypatch, first, then):
    if not NATIVE:
        pytest.skip("there is one backend only")
    monkeypatch.setenv("MSROI_BACKEND", first)
    cut_short(tmp_path, job, monkeypatch)
    monkeypatch.setenv("MSROI_BACKEND", then)
    refused(extract(tmp_path, job, "--resume"), 2, f"cannot resume: backend was '{first}', now '{then}'")
    monkeypatch.setenv("MSROI_BACKEND", first)
    extract(tmp_path, job, "--resume")
    assert open_crops(tmp_path / "o.h5").parameters.get("backend", "native") == first
    monkeypatch.setenv("MSROI_BACKEND", then)
    refused(extract(tmp_path, job, "--resume"), 2, "of another job: parameters backend was ")


def test_second_job_is_refused_while_the_first_lives(tmp_path, job):
    journal = Journal(tmp_path / "o.h5")
    try:
        for options in ((), ("--resume",), ("--overwrite",)):
            refused(extract(tmp_path, job, *options), 2, "locked by another msroi process")
    finally:
        journal.release()
    assert extract(tmp_path, job).exit_code == 0


@pytest.mark.parametrize(
    "tail", [b"0", b"00000000 {}\n", b"00000000 \n", b"deadbeef " + json.dumps({"batch": 1}).encode(), b"\0" * 50]
)
@pytest.mark.sampled(2)
def test_torn_end_of_a_journal_does_not_count(tmp_path, job, monkeypatch, tail):
    assert extract(tmp_path, job, name="whole.h5").exit_code == 0
    cut_short(tmp_path, job, monkeypatch)
    with (tmp_path / JOURNAL).open("ab") as file:
        file.write(tail)
    assert extract(tmp_path, job, "--resume").exit_code == 0
    assert contents(tmp_path / "o.h5") == contents(tmp_path / "whole.h5")


def test_journal_cut_anywhere_is_good_for_what_it_still_says(tmp_path, job, monkeypatch):
    assert extract(tmp_path, job, name="whole.h5").exit_code == 0
    whole = contents(tmp_path / "whole.h5")
    cut_short(tmp_path, job, monkeypatch)
    journal, partial = (tmp_path / JOURNAL).read_bytes(), (tmp_path / PARTIAL).read_bytes()
    # One that is cut within its first words could be anybody's, and the files beside it too.
    for size in np.linspace(64, len(journal), 12).astype(int):
        (tmp_path / JOURNAL).write_bytes(journal[:size])
        (tmp_path / PARTIAL).write_bytes(partial)
        (tmp_path / "o.h5").unlink(missing_ok=True)
        assert extract(tmp_path, job, "--resume").exit_code == 0
        assert contents(tmp_path / "o.h5") == whole


@pytest.mark.parametrize("way", ["gzip", "lzf"])
@pytest.mark.usefixtures("creation_date")
@pytest.mark.sampled(2)
def test_compressed_output_does_not_depend_on_the_order_of_batches(tmp_path, job, monkeypatch, way):
    options, writer = WAYS[way]
    assert extract(tmp_path, job, *options, name="whole.h5").exit_code == 0
    time.sleep(1.1)  # HDF5 counts seconds, where it notes when something was made
    finish = writer.finish

    def by_turns(self, *statistics):
        assert len(self.records) > 2
        self.records.reverse()
        finish(self, *statistics)

    monkeypatch.setattr(writer, "finish", by_turns)
    assert extract(tmp_path, job, *options).exit_code == 0
    assert (tmp_path / "o.h5").read_bytes() == (tmp_path / "whole.h5").read_bytes()


@pytest.mark.parametrize("way", WAYS)
def test_starting_anew_in_the_other_way_leaves_nothing(tmp_path, job, monkeypatch, way):
    cut_short(tmp_path, job, monkeypatch, way)
    other = WAYS["gzip" if way == "plain" else "plain"][0]
    assert extract(tmp_path, job, "--overwrite", *other).exit_code == 0
    assert files(tmp_path) == ["o.h5"]


def test_other_boxes_are_said_before_what_follows_from_them(tmp_path, job, monkeypatch):
    cut_short(tmp_path, job, monkeypatch, "gzip")
    fewer = write_json(tmp_path / "fewer.json", random_rows(COUNT - 7).tolist())
    result = extract(tmp_path, (job[0], fewer), "--compression", "gzip:1", "--resume")
    refused(result, 2, "cannot resume: inputs boxes name was 'b.json', now 'fewer.json'")


@pytest.mark.parametrize("way", WAYS)
def test_killed_when_the_output_had_its_name(tmp_path, job, monkeypatch, way):
    """What is left beside it goes when it is found to be whole."""
    options, _ = WAYS[way]
    with monkeypatch.context() as patch:
        patch.setattr("msroi_cli.io.files.journal.Journal.remove", lambda self: None)
        assert extract(tmp_path, job, "--threads", "1", *options).exit_code == 0
    (tmp_path / SPOOL).write_bytes(b"left over")
    assert JOURNAL in files(tmp_path)
    assert extract(tmp_path, job, *options, "--resume").exit_code == 0
    assert files(tmp_path) == ["o.h5"]
