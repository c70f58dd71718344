"""The journal of a job lets go of its file once."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from msroi_cli.io.files.journal import Journal


@pytest.mark.parametrize("first", ["remove", "release"])
def test_a_file_that_got_the_same_number_stays_open(tmp_path: Path, first: str) -> None:
    journal = Journal(tmp_path / "o.h5")
    getattr(journal, first)()
    # The lowest free number is given out: that of the journal.
    other = os.open(tmp_path / "other", os.O_CREAT | os.O_RDWR)
    try:
        journal.release()
        os.fstat(other)
    finally:
        os.close(other)
