"""Maps seen in the page cache: the values that reading gives, and an error where the file is cut short meanwhile."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import textwrap
from dataclasses import replace

import h5py
import numpy as np
import pytest

from msroi_cli.io.features import cached
from msroi_cli.io.features.cached import cached_maps, lost_pages
from msroi_cli.io.features.source import ArrayMap
from msroi_cli.io.pyramid.open import open_pyramid
from msroi_cli.job.extract import pooling
from tests.builders import channels_last, extracted, run

_native = pytest.importorskip("msroi_cli._native", reason="built without a compiler")

PAGE = os.sysconf("SC_PAGESIZE")
SHAPES = ((6, 40, 50), (6, 20, 25))


def holds_cached(path) -> bool:
    descriptor = os.open(path, os.O_RDONLY)
    try:
        return _native.cached_bytes(descriptor, 0, 1) is not None
    finally:
        os.close(descriptor)


@pytest.fixture
def file(tmp_path):
    """A pyramid whose levels stand in the file as they are; skips the test where the system has no cachestat(2)."""
    rng, path = np.random.default_rng(0), tmp_path / "maps.h5"
    with h5py.File(path, "w") as file:
        for image in ("1", "2"):
            for level, shape in enumerate(SHAPES):
                values = rng.standard_normal(shape).astype(np.float32)
                file.create_dataset(f"{image}/p{level + 2}", data=values).attrs["stride"] = 4 << level
    if not holds_cached(path):
        pytest.skip("the system does not say what its page cache holds, or the file is not in it")
    return path


@pytest.mark.parametrize(("channel", "count"), [(0, 6), (0, 1), (2, 3), (5, 1)])
def test_the_values_are_those_of_the_file(file, channel, count):
    with open_pyramid(str(file)) as pyramid, h5py.File(file) as content:
        sources = pyramid.sources([(0, 0), (0, 1), (1, 0), (1, 1)])
        maps = cached_maps(sources, channel, count)
        expected = [content[f"{image}/p{level}"][channel : channel + count] for image in (1, 2) for level in (2, 3)]
        for got, values in zip(maps, expected, strict=True):
            assert np.array_equal(got[0], values)
            assert not got.flags.writeable


@pytest.mark.parametrize(("channel", "count"), [(0, 6), (2, 3)])
def test_channels_that_are_stored_last(file, channel, count):
    """The channels of a row stand together, as they do in the file, beside levels of the other layout."""
    with h5py.File(file) as content:
        expected = [content[f"1/p{level}"][channel : channel + count] for level in (2, 3)]
    channels_last(file, lambda name: name.endswith("p2"))
    with open_pyramid(str(file)) as pyramid:
        maps = cached_maps(pyramid.sources([(0, 0), (0, 1)]), channel, count)
        for got, values in zip(maps, expected, strict=True):
            assert np.array_equal(got[0], values)
            assert not got.flags.writeable
        assert [one.strides[1] == 4 for one in maps] == [True, False]


def test_maps_that_are_not_all_in_files_are_fetched(file):
    with open_pyramid(str(file)) as pyramid:
        sources = pyramid.sources([(0, 0), (0, 1)])
        array = ArrayMap((6, 20, 25), np.dtype("f4"), "array", np.zeros((6, 20, 25), "f4"))
        assert cached_maps(sources, 0, 6) is not None
        assert cached_maps([sources[0], array], 0, 6) is None


def test_values_off_their_alignment_are_fetched(file):
    with open_pyramid(str(file)) as pyramid:
        source = pyramid.sources([(0, 0)])[0]
        assert cached_maps([replace(source, offset=source.offset + 1)], 0, 5) is None


def test_maps_are_fetched_where_the_cache_lacks_them(file):
    descriptor = os.open(file, os.O_RDONLY)
    os.fsync(descriptor)
    os.posix_fadvise(descriptor, 0, 0, os.POSIX_FADV_DONTNEED)
    if _native.cached_bytes(descriptor, 0, file.stat().st_size) is not None:
        pytest.skip("this file system keeps files in the page cache")
    with open_pyramid(str(file)) as pyramid:
        sources = pyramid.sources([(0, 0)])
        os.posix_fadvise(descriptor, 0, 0, os.POSIX_FADV_DONTNEED)
        assert cached_maps(sources, 0, 6) is None
    os.close(descriptor)


def test_beyond_the_end_of_the_file_there_is_no_view(file):
    size = file.stat().st_size
    descriptor = os.open(file, os.O_RDONLY)
    assert len(_native.cached_bytes(descriptor, size - 1, 1)) == 1
    assert _native.cached_bytes(descriptor, size - 1, PAGE + 2) is None
    assert _native.cached_bytes(descriptor, 0, 0) is None
    os.close(descriptor)


def test_no_more_views_than_are_watched(file):
    descriptor = os.open(file, os.O_RDONLY)
    views = [_native.cached_bytes(descriptor, 0, 1) for _ in range(300)]
    assert 0 < sum(view is not None for view in views) < 300
    views.clear()
    assert _native.cached_bytes(descriptor, 0, 1) is not None
    os.close(descriptor)


def test_a_lost_page_is_zeros_and_counted(file):
    """In a process of its own: where this does not work, the process is killed."""
    script = f"""
        import os
        from msroi_cli import _native
        descriptor = os.open({str(file)!r}, os.O_RDWR)
        content = _native.cached_bytes(descriptor, 0, {3 * PAGE})
        first = content[:100].tobytes()
        os.ftruncate(descriptor, {PAGE})
        assert content[:100].tobytes() == first
        assert _native.lost_pages() == 0
        assert not content[{PAGE}:].any()
        assert _native.lost_pages() == 2
    """
    subprocess.run([sys.executable, "-c", textwrap.dedent(script)], check=True)


@pytest.mark.parametrize("handler", ["", "import faulthandler; faulthandler.enable()"])
def test_other_lost_memory_ends_the_process_as_before(file, handler):
    script = f"""
        {handler}
        import mmap, os
        from msroi_cli import _native
        descriptor = os.open({str(file)!r}, os.O_RDWR)
        content = _native.cached_bytes(descriptor, 0, 10)
        other = mmap.mmap(descriptor, {2 * PAGE})
        os.ftruncate(descriptor, {PAGE})
        other[{PAGE}]
    """
    done = subprocess.run([sys.executable, "-c", textwrap.dedent(script)], capture_output=True, text=True)
    assert done.returncode == -signal.SIGBUS
    assert ("Bus error" in done.stderr) == bool(handler)


@pytest.fixture
def job(file, monkeypatch):
    """The pyramid and boxes on both images, with maps that are not pooled in one call for being small."""
    monkeypatch.setattr(pooling, "SMALL", 0)
    boxes = file.with_name("boxes.json")
    boxes.write_text('{"1": [[1, 2, 90, 80], [0, 0, 180, 150]], "2": [[3, 3, 160, 90]]}')
    return file, boxes


def test_crops_are_those_of_fetched_maps(job, tmp_path, monkeypatch):
    views = []
    monkeypatch.setattr(pooling, "cached_maps", lambda *given: views.append(cached_maps(*given)) or views[-1])
    seen = extracted(tmp_path / "seen.h5", *job)
    assert any(view is not None for view in views)
    monkeypatch.setattr(cached, "NATIVE", False)
    fetched = extracted(tmp_path / "fetched.h5", *job)
    assert np.array_equal(seen[:], fetched[:])


def test_maps_are_read_again_where_a_page_was_lost(job, tmp_path, monkeypatch):
    """The file is cut short while it is pooled: the error is the one of reading."""
    path = job[0]

    def cut(*given):
        maps = cached_maps(*given)
        os.truncate(path, PAGE)
        return maps

    monkeypatch.setattr(pooling, "cached_maps", cut)
    before = lost_pages()
    result = run("extract", *job, "-o", tmp_path / "out.h5")
    assert result.exit_code == 3
    assert "bytes more at" in result.stderr
    assert lost_pages() > before
    assert not (tmp_path / "out.h5").exists()
