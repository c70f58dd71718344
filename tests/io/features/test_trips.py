"""Reads of a disk that is slow to begin: what lies between two ranges is read along where that takes less time."""

from __future__ import annotations

import os
import time
from collections import deque
from itertools import pairwise

import h5py
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from msroi_cli.io.features import contiguous
from msroi_cli.io.features.contiguous import SMALL_GAP, ContiguousMap, RawFile, byte_ranges, read_contiguous, take_near
from msroi_cli.io.features.source import ReadRequest
from msroi_cli.io.features.trips import MOST, RATE, TRIP, Trips, trips_of_device
from msroi_cli.io.pyramid.many.files import OpenedByName, descriptor_pool

SHAPE = (40, 100, 300)
ROWS = [(20, 22), (50, 53), (85, 90)]


@pytest.fixture
def values(tmp_path):
    found = np.random.default_rng(0).standard_normal(SHAPE, np.float32)
    (tmp_path / "map").write_bytes(found.tobytes())
    return found


@pytest.fixture
def file(tmp_path, values):
    descriptor = os.open(tmp_path / "map", os.O_RDONLY)
    yield RawFile(descriptor, "map")
    os.close(descriptor)


def read(file, rows=ROWS, channel=0, count=SHAPE[0]):
    out = np.full((count, *SHAPE[1:]), np.nan, np.float32)
    source = ContiguousMap(SHAPE, np.dtype(np.float32), "here", file, 0)
    read_contiguous([ReadRequest(source, out, rows)], channel)
    return out


def assert_rows(out, values, rows=ROWS):
    for start, stop in rows:
        np.testing.assert_array_equal(out[:, start:stop], values[:, start:stop])


@pytest.fixture
def reads(monkeypatch):
    """The bytes of each read, which takes `seconds[0]` on top."""
    sizes, seconds, preadv = [], [0.0], os.preadv

    def counted(descriptor, buffers, offset):
        if seconds[0]:
            time.sleep(seconds[0])
        sizes.append(sum(map(len, buffers)))
        return preadv(descriptor, buffers, offset)

    monkeypatch.setattr(contiguous.os, "preadv", counted)
    return sizes, seconds


def test_a_fast_file_is_read_row_by_row(file, values, reads, monkeypatch):
    monkeypatch.setattr(contiguous, "SMALL_GAP", 0)
    monkeypatch.setattr(Trips, "worth_reading", lambda self: 0)
    assert_rows(read(file), values)
    assert reads[0] == [(stop - start) * 1200 for start, stop in ROWS] * SHAPE[0]


def test_a_slow_file_is_read_in_a_few_pieces(file, values, reads):
    """All of it after the first reads have shown what one takes."""
    sizes, seconds = reads
    seconds[0] = 2e-3
    assert_rows(read(file), values)
    learning = len(sizes)
    del sizes[:]
    assert_rows(read(file), values)
    assert file.trips.worth_reading() > 200_000
    assert len(sizes) == 1 < learning


def test_channels_from_the_middle(file, values):
    assert_rows(read(file, channel=7, count=20), values[7:27])
    assert_rows(read(file, [(0, 100)], channel=39, count=1), values[39:], [(0, 100)])


@pytest.mark.skipif(not hasattr(os, "posix_fadvise"), reason="no posix_fadvise here")
def test_reads_are_expected_before_those_in_front_are_done(file, values, monkeypatch):
    monkeypatch.setattr(contiguous, "READS_AHEAD", 4)
    monkeypatch.setattr(contiguous, "SMALL_GAP", 0)
    monkeypatch.setattr(Trips, "worth_reading", lambda self: 0)
    events, preadv = [], os.preadv

    def read_now(descriptor, buffers, offset):
        events.append(("read", offset))
        return preadv(descriptor, buffers, offset)

    monkeypatch.setattr(contiguous.os, "preadv", read_now)
    monkeypatch.setattr(contiguous, "ADVISE", lambda file, offset, size, advice: events.append(("expect", offset)))
    assert_rows(read(file), values)
    kinds = "".join(kind[0] for kind, _ in events)
    assert kinds == "e" * 4 + "eeeerrrr" * (len(ROWS) * SHAPE[0] // 4 - 1) + "r" * 4
    assert [at for kind, at in events if kind == "read"] == [at for kind, at in events if kind == "expect"]


def test_what_a_system_reads_ahead_by_itself_is_not_expected(file, values, monkeypatch):
    monkeypatch.setattr(contiguous, "ADVISE", lambda *given: pytest.fail("expected no advice"))
    monkeypatch.setattr(contiguous, "MOST_EXPECTED", values.nbytes - 1)
    assert_rows(read(file, [(0, 100)]), values, [(0, 100)])
    monkeypatch.setattr(contiguous, "ADVISE", None)
    assert_rows(read(file), values)


def test_files_that_are_opened_by_name(tmp_path, values):
    """They share what is known of their device; one that is gone is an error of the read."""
    descriptors = descriptor_pool()
    one, other = (OpenedByName.of(str(tmp_path / "map"), descriptors) for _ in range(2))
    assert one.trips is other.trips is trips_of_device((tmp_path / "map").stat().st_dev)
    assert_rows(read(one), values)
    one.expect(0, 100)
    descriptors.close()
    (tmp_path / "map").unlink()
    one.expect(0, 100)


@given(
    st.lists(st.tuples(st.integers(0, 20), st.integers(1, 20)), min_size=1, max_size=12),
    st.integers(0, 25),
)
def test_near_ranges_are_taken_together(parts, gap):
    ranges, place = [], 0
    for between, length in parts:
        ranges.append((place + between, place + between + length))
        place += between + length
    rest, taken = deque(ranges), []
    while rest:
        taken.append(take_near(rest, gap))
    inside = [[one for one in ranges if start <= one[0] and one[1] <= stop] for start, stop in taken]
    assert [one for some in inside for one in some] == ranges
    assert [(some[0][0], some[-1][1]) for some in inside] == taken
    assert all(after[0] - before[1] > gap for before, after in pairwise(taken))
    assert all(b[0] - a[1] <= gap for some in inside for a, b in pairwise(some))


def test_ranges_of_bytes(file):
    source = ContiguousMap((3, 5, 2), np.dtype(np.float32), "here", file, 0)
    out = np.empty((2, 5, 2), np.float32)
    assert list(byte_ranges(ReadRequest(source, out, [(1, 2), (4, 5)]))) == [(8, 16), (32, 40), (48, 56), (72, 80)]
    assert list(byte_ranges(ReadRequest(source, out, [(0, 5)]))) == [(0, 80)]


def test_what_is_known_of_reads():
    trips = Trips()
    assert trips.worth_reading() == int(TRIP * RATE) < SMALL_GAP
    trips.add(1, 1000, 1.0)  # too few to say anything
    trips.add(8, 8 * (100 << 10), 1.0)  # neither small nor large
    assert trips.worth_reading() == int(TRIP * RATE)
    trips.add(1, 1 << 20, (1 << 20) / 1e9)
    trips.add(10, 1000, 10e-3)
    assert trips.worth_reading() == pytest.approx(1e6, rel=0.01)
    trips.add(10, 1000, 10.0)  # something else had the processor
    assert trips.worth_reading() == pytest.approx(1e6, rel=0.01)
    for _ in range(4):
        trips.add(10, 1000, 10.0)
    assert trips.worth_reading() == MOST
    trips.add(10, 1000, 0.0)
    assert trips.worth_reading() == 0


@pytest.mark.slow
def test_a_job_on_a_slow_file(tmp_path, reads):
    """A few boxes take about as many reads as whole levels do."""
    from msroi_cli import extract

    sizes, seconds = reads
    rng = np.random.default_rng(0)
    with h5py.File(tmp_path / "maps.h5", "w") as file:
        for level, stride in ((2, 4), (3, 8)):
            shape = (6, 64, 512 // stride, 512 // stride)
            file.create_dataset(f"p{level}", data=rng.standard_normal(shape, np.float32)).attrs["stride"] = stride
    few = np.array([[image, 40, place, 90, place + 30] for image in range(6) for place in (30, 420)], float)
    extract(tmp_path / "maps.h5", few, tmp_path / "fast.h5", threads=1)
    del sizes[:]
    seconds[0] = 1e-3
    extract(tmp_path / "maps.h5", few, tmp_path / "slow.h5", threads=1)
    # Two ranges of rows of each channel of each image; the first reads show what one takes.
    assert len(sizes) < 2 * 64 * 6 / 5
    with h5py.File(tmp_path / "fast.h5") as one, h5py.File(tmp_path / "slow.h5") as other:
        np.testing.assert_array_equal(one["crops"][()], other["crops"][()])
