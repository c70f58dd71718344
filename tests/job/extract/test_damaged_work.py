"""Work files that were damaged before a job resumes: what differs is made again, and the output is what it would be."""

from __future__ import annotations

import os

import numpy as np
import pytest

from msroi_cli import PyramidWriter
from msroi_cli.io.files.journal import Journal
from tests.builders import IDS, image_maps, random_rows, refused, write_batched, write_json
from tests.job.extract.test_resume import JOURNAL, PARTIAL, SPOOL, WAYS, contents, cut_short, extract, files, recorded

COUNT = 60
WORK = {"plain": PARTIAL, "gzip": SPOOL, "lzf": SPOOL}


@pytest.fixture
def job(tmp_path, monkeypatch):
    """Inputs of many batches."""
    monkeypatch.setattr("msroi_cli.job.extract.memory.SMALLEST_BATCH", 4000)
    pyramid = write_batched(tmp_path / "p.h5", ids=IDS)
    return pyramid, write_json(tmp_path / "b.json", random_rows(COUNT).tolist())


@pytest.fixture(params=WAYS)
def way(request):
    return request.param


def flipped(content, place):
    return content[:place] + bytes([content[place] ^ 0x40]) + content[place + 1 :]


@pytest.mark.usefixtures("creation_date")
@pytest.mark.slow
def test_a_flipped_bit_anywhere_is_never_published(tmp_path, job, monkeypatch, way):
    options = WAYS[way][0]
    assert extract(tmp_path, job, *options, name="whole.h5").exit_code == 0
    cut_short(tmp_path, job, monkeypatch, way)
    work = tmp_path / WORK[way]
    journal, content = (tmp_path / JOURNAL).read_bytes(), work.read_bytes()
    places = np.random.default_rng(3).integers(0, len(content), 40).tolist()
    for place in (0, 1, 64, *places, len(content) - 1):
        (tmp_path / JOURNAL).write_bytes(journal)
        work.write_bytes(flipped(content, place))
        (tmp_path / "o.h5").unlink(missing_ok=True)
        result = extract(tmp_path, job, *options, "--resume")
        assert result.exit_code == 0, (place, result.stderr)
        assert (tmp_path / "o.h5").read_bytes() == (tmp_path / "whole.h5").read_bytes(), place


@pytest.mark.sampled(3)
def test_a_work_file_cut_anywhere_is_made_again(tmp_path, job, monkeypatch, way):
    options = WAYS[way][0]
    assert extract(tmp_path, job, *options, name="whole.h5").exit_code == 0
    cut_short(tmp_path, job, monkeypatch, way)
    work = tmp_path / WORK[way]
    journal, content = (tmp_path / JOURNAL).read_bytes(), work.read_bytes()
    for size in np.linspace(0, len(content) - 1, 9).astype(int):
        (tmp_path / JOURNAL).write_bytes(journal)
        work.write_bytes(content[:size])
        (tmp_path / "o.h5").unlink(missing_ok=True)
        result = extract(tmp_path, job, *options, "--resume")
        assert result.exit_code == 0, (size, result.stderr)
        assert contents(tmp_path / "o.h5") == contents(tmp_path / "whole.h5")


def test_only_the_batch_that_differs_is_made_again(tmp_path, job, monkeypatch, way):
    options, writer = WAYS[way]
    cut_short(tmp_path, job, monkeypatch, way, after=3)
    before = recorded(tmp_path)
    assert len(before) == 3
    work = tmp_path / WORK[way]
    if way == "plain":
        layout = next(line["layout"] for line in lines(tmp_path) if "layout" in line)
        place = layout["places"]["crops"][0] + 5
    else:
        place = before[0]["offset"] + before[0]["bytes"] - 1
    work.write_bytes(flipped(work.read_bytes(), place))
    written = []
    write = writer.write
    monkeypatch.setattr(
        writer, "write", lambda self, rows, *values: written.extend(rows.tolist()) or write(self, rows, *values)
    )
    assert extract(tmp_path, job, *options, "--resume").exit_code == 0
    again = len(written) - (COUNT - sum(record["rows"] for record in before))
    assert again in ({record["rows"] for record in before} if way == "plain" else {before[0]["rows"]})


def lines(folder):
    journal = Journal(folder / "o.h5")
    journal.release()
    return journal.records


def test_a_line_that_appears_twice_counts_once(tmp_path, job, monkeypatch, way):
    options = WAYS[way][0]
    assert extract(tmp_path, job, *options, name="whole.h5").exit_code == 0
    cut_short(tmp_path, job, monkeypatch, way)
    journal = tmp_path / JOURNAL
    content = journal.read_bytes().splitlines(keepends=True)
    journal.write_bytes(b"".join([*content, *content[1:], content[-1]]))
    assert extract(tmp_path, job, *options, "--resume").exit_code == 0
    assert contents(tmp_path / "o.h5") == contents(tmp_path / "whole.h5")


def test_a_batch_that_is_no_more_in_the_plan_does_not_count(tmp_path, job, monkeypatch, way):
    options = WAYS[way][0]
    assert extract(tmp_path, job, *options, name="whole.h5").exit_code == 0
    cut_short(tmp_path, job, monkeypatch, way)
    journal = Journal(tmp_path / "o.h5")
    journal.add([{**recorded_line, "batch": 10**6} for recorded_line in journal.records if "batch" in recorded_line])
    journal.release()
    assert extract(tmp_path, job, *options, "--resume").exit_code == 0
    assert contents(tmp_path / "o.h5") == contents(tmp_path / "whole.h5")


@pytest.mark.parametrize("way", ["gzip", "lzf"])
def test_a_spool_damaged_while_the_job_runs_is_one_line(tmp_path, job, monkeypatch, way):
    options, writer = WAYS[way]
    finish = writer.finish

    def damaged(self, *statistics):
        size = (tmp_path / SPOOL).stat().st_size
        os.truncate(tmp_path / SPOOL, size - 3)
        finish(self, *statistics)

    with monkeypatch.context() as patch:
        patch.setattr(writer, "finish", damaged)
        refused(extract(tmp_path, job, *options), 1, r"spool: batch \d+ has been damaged; --resume makes it again")
    assert extract(tmp_path, job, *options, "--resume").exit_code == 0
    assert files(tmp_path) == ["o.h5"]


def test_a_journal_of_another_version_is_not_lost_without_a_word(tmp_path, job, monkeypatch):
    monkeypatch.setattr("msroi_cli.io.files.journal.VERSION", 1)
    cut_short(tmp_path, job, monkeypatch)
    monkeypatch.undo()
    before = (tmp_path / JOURNAL).read_bytes()
    refused(extract(tmp_path, job, "--resume"), 2, "interrupted job of another version .*--overwrite starts again")
    assert (tmp_path / JOURNAL).read_bytes() == before
    assert extract(tmp_path, job, "--overwrite").exit_code == 0
    assert files(tmp_path) == ["o.h5"]


class CutError(Exception):
    """Ends a writer."""


@pytest.mark.parametrize("damaged", [0, 1, 2])
def test_images_of_a_pyramid_from_the_first_damaged_one_on_are_made_again(tmp_path, damaged):
    path, partial = tmp_path / "w.h5", tmp_path / ".w.h5.partial"
    images = {key: image_maps(seed) for seed, key in enumerate(IDS)}

    def write(mode, keys, name=path):
        with PyramidWriter(name, (4, 8, 16), mode=mode) as writer:
            done = writer.done
            for key in keys:
                if key not in done:
                    writer.add(key, images[key])
            if mode == "x" and name == path:
                raise CutError
        return done

    write("x", IDS, tmp_path / "whole.h5")
    with pytest.raises(CutError):
        write("x", IDS)
    journal = Journal(path)
    journal.release()
    places = [record["places"][0] for record in journal.records]
    partial.write_bytes(flipped(partial.read_bytes(), places[damaged] + 3))
    assert write("a", IDS) == frozenset(IDS[:damaged])
    assert path.read_bytes() == (tmp_path / "whole.h5").read_bytes()
