"""Jobs of one batch: they wait for the disk twice, and leave nothing beside the output."""

from __future__ import annotations

import os
from pathlib import Path

import numpy as np
import pytest

from msroi_cli.errors import RunError
from msroi_cli.io.crops import contiguous
from msroi_cli.io.crops.contiguous import PlainWriter
from msroi_cli.io.files.system.unnamed import create_unnamed
from tests.builders import IDS, batch_maps, random_rows, refused, write_batched, write_json
from tests.job.extract.test_resume import JOURNAL, PARTIAL, WAYS, contents, extract, files

COUNT = 40


@pytest.fixture
def job(tmp_path):
    pyramid = write_batched(tmp_path / "p.h5", ids=IDS)
    return pyramid, write_json(tmp_path / "b.json", random_rows(COUNT).tolist())


@pytest.fixture
def unnamed(tmp_path):
    """Only where there are files without a name."""
    descriptor = create_unnamed(tmp_path)
    if descriptor is None:
        pytest.skip("there are no files without a name here")
    os.close(descriptor)


@pytest.fixture
def trips(monkeypatch):
    """What is on the disk after each call that waits for it: the names of the files of the output."""
    found = []
    for name in ("fsync", "fdatasync"):
        call = getattr(os, name)

        def counted(descriptor, call=call):
            call(descriptor)
            found.append(Path(f"/proc/self/fd/{descriptor}").readlink().name)

        monkeypatch.setattr(os, name, counted)
    return found


@pytest.mark.usefixtures("unnamed")
def test_the_disk_is_waited_for_twice(tmp_path, job, trips):
    assert extract(tmp_path, job).exit_code == 0
    assert len(trips) == 2
    assert trips[1] == tmp_path.name
    assert files(tmp_path) == ["o.h5"]


@pytest.mark.usefixtures("unnamed")
def test_nothing_has_a_name_before_it_is_whole(tmp_path, job, monkeypatch):
    write, seen = PlainWriter.write, []

    def looked(self, *values):
        seen.append(files(tmp_path))
        return write(self, *values)

    monkeypatch.setattr(PlainWriter, "write", looked)
    assert extract(tmp_path, job).exit_code == 0
    assert seen == [[JOURNAL]]


@pytest.mark.usefixtures("unnamed")
def test_an_older_output_is_replaced_with_a_journal_beside_it(tmp_path, job, trips):
    (tmp_path / "o.h5").write_bytes(b"older")
    assert extract(tmp_path, job, "--overwrite").exit_code == 0
    assert trips[1:3] == [JOURNAL, tmp_path.name]
    assert trips[-2:] == [PARTIAL, tmp_path.name]
    assert extract(tmp_path, job, name="whole.h5").exit_code == 0
    assert contents(tmp_path / "o.h5") == contents(tmp_path / "whole.h5")


def test_without_files_without_a_name(tmp_path, job, monkeypatch):
    assert extract(tmp_path, job, name="whole.h5").exit_code == 0
    monkeypatch.setattr(contiguous, "create_unnamed", lambda folder: None)
    write, seen = PlainWriter.write, []

    def looked(self, *values):
        seen.append(((tmp_path / JOURNAL).stat().st_size > 0, files(tmp_path)))
        return write(self, *values)

    monkeypatch.setattr(PlainWriter, "write", looked)
    assert extract(tmp_path, job).exit_code == 0
    assert seen == [(True, [JOURNAL, PARTIAL])]
    assert files(tmp_path) == ["o.h5"]
    assert contents(tmp_path / "o.h5") == contents(tmp_path / "whole.h5")


@pytest.mark.parametrize("way", WAYS)
def test_what_is_done_is_kept_where_the_job_ends_before_the_output(tmp_path, monkeypatch, way):
    options, writer = WAYS[way]
    maps = batch_maps()
    maps["p2"][:] = np.nan
    pyramid = write_batched(tmp_path / "p.h5", maps, ids=IDS)
    job = pyramid, write_json(tmp_path / "b.json", random_rows(COUNT).tolist())
    refused(extract(tmp_path, job, *options, "--on-nonfinite", "error"), 3, "expected finite crops")
    assert len(files(tmp_path)) == 2
    monkeypatch.setattr(writer, "write", None)
    assert extract(tmp_path, job, *options, "--resume").exit_code == 0
    assert files(tmp_path) == ["o.h5"]


@pytest.mark.parametrize("way", WAYS)
def test_nothing_is_kept_where_the_output_could_not_be_written(tmp_path, job, monkeypatch, way):
    """A failed fsync is not tried again."""
    options, writer = WAYS[way]

    def failing(*_):
        raise RunError("o.h5: cannot be written: Input/output error")

    with monkeypatch.context() as patch:
        patch.setattr(writer, "_finish", failing)
        refused(extract(tmp_path, job, *options), 1, "Input/output error")
    assert not files(tmp_path)
    assert extract(tmp_path, job, *options).exit_code == 0
