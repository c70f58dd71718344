"""What is read from parts is what a map of them shows, or an error."""

from __future__ import annotations

import os

import numpy as np
import pytest

from msroi_cli.errors import InputError
from msroi_cli.io.crops.folder.part_reader import PartReader
from msroi_cli.job.crops import open_parts
from tests.bench.parts import write_parts

ROWS = [3, 0, 5]


@pytest.fixture
def parts(tmp_path):
    write_parts(tmp_path / "parts", ROWS, (2, 3, 3), "image")
    return tmp_path / "parts"


def reader_of(crops):
    return PartReader(crops.places, crops.shape, crops.dtype)


def test_rows_are_those_of_a_map(parts):
    with open_parts(parts) as crops:
        reader = reader_of(crops)
        for part, first in ((2, 3), (0, 0), (2, 3)):
            for start in range(ROWS[part]):
                for stop in range(start, ROWS[part] + 1):
                    read = reader.read(part, start, stop)
                    np.testing.assert_array_equal(read, crops[first + start : first + stop])
        reader.close()


def test_a_part_that_has_changed_is_refused(parts):
    with open_parts(parts) as crops:
        reader = reader_of(crops)
        os.utime(crops.paths[2], ns=(1, 1))
        with pytest.raises(InputError, match="expected the file that was opened, got one that has changed since"):
            reader.read(2, 0, 1)


def test_a_part_that_is_gone_is_named(parts):
    with open_parts(parts) as crops:
        reader = reader_of(crops)
        crops.paths[2].unlink()
        with pytest.raises(InputError, match=r"part-00003-of-00003\.h5: cannot be read"):
            reader.read(2, 0, 1)


def test_a_part_that_is_cut_while_it_is_read_is_an_error(parts):
    with open_parts(parts) as crops:
        reader = reader_of(crops)
        reader.read(2, 0, 1)
        os.truncate(crops.paths[2], crops.places[2].first + 100)
        with pytest.raises(InputError, match=r"expected [0-9]+ bytes, got"):
            reader.read(2, 0, 5)
        reader.close()
