"""Names whose end says another format than what is written are refused, by every command that writes."""

from __future__ import annotations

from pathlib import Path

import pytest

from msroi_cli import PyramidWriter
from msroi_cli.errors import UsageError
from msroi_cli.io.files.target import FOREIGN, SUFFIXES, check_suffix
from tests.builders import refused, run, write_batched, write_json

PATTERN = r"expected a name for {} .*, got \{}"


@pytest.fixture
def job(tmp_path):
    return write_batched(tmp_path / "p.h5"), write_json(tmp_path / "b.json", [[0, 1, 1, 9, 9]])


@pytest.fixture
def crops(tmp_path, job):
    assert run("extract", *job, "-o", tmp_path / "c.h5", "-q").exit_code == 0
    return tmp_path / "c.h5"


@pytest.mark.parametrize("name", ["q.npz", "q.NPZ", "q.json", "z.jpg", "q.parquet", "q.safetensors", "q.tar"])
@pytest.mark.parametrize("options", [(), ("--shard", "1/2"), ("--dry-run",), ("--compression", "gzip")])
def test_extract(tmp_path, job, name, options):
    before = sorted(tmp_path.iterdir())
    result = run("extract", *job, "-o", tmp_path / name, *options)
    refused(result, 2, PATTERN.format("HDF5", Path(name).suffix.lower()))
    assert sorted(tmp_path.iterdir()) == before


@pytest.mark.parametrize("name", ["q", "q.h5", "q.HDF5", "q.crops", "q.2026", "npz"])
def test_names_that_say_nothing_else(tmp_path, job, name):
    assert run("extract", *job, "-o", tmp_path / name, "-q").exit_code == 0


@pytest.mark.parametrize("name", ["s.h5", "s.csv", "s.yaml"])
def test_statistics(tmp_path, job, name):
    result = run("extract", *job, "-o", tmp_path / "o.h5", "--stats", tmp_path / name)
    refused(result, 2, "--stats: .*" + PATTERN.format("JSON", Path(name).suffix))
    assert not (tmp_path / "o.h5").exists()


@pytest.mark.parametrize("name", ["z.jpg", "z.h5", "z.pdf"])
def test_previews(tmp_path, job, crops, name):
    pattern = PATTERN.format("PNG", Path(name).suffix)
    refused(run("preview", "boxes", *job, "-o", tmp_path / name), 2, pattern)
    refused(run("preview", "crops", crops, "-o", tmp_path / name), 2, pattern)
    refused(run("preview", "pyramid", job[0], "-o", tmp_path / name), 2, pattern)


LAYOUTS = {
    "padded": ("x.npz", "HDF5"),
    "ragged": ("x.tsv", "HDF5"),
    "npz": ("x.h5", "a folder of NPZ files"),
    "npy": ("x.npz", "a folder of NPY files"),
    "safetensors": ("x.npz", "safetensors"),
    "parquet": ("x.csv", "Parquet"),
    "webdataset": ("x.npz", "a folder of tar files"),
    "bua": ("x.h5", "a folder of NPZ files"),
    "ban": ("x.pkl", "HDF5"),
}


@pytest.mark.parametrize("layout", LAYOUTS)
def test_exports(tmp_path, crops, layout):
    name, written = LAYOUTS[layout]
    result = run("export", crops, tmp_path / name, "--layout", layout, "--reduce", "mean")
    refused(result, 2, PATTERN.format(written, Path(name).suffix))
    assert not (tmp_path / name).exists()


def test_merge(tmp_path, job):
    for shard in ("1/2", "2/2"):
        assert run("extract", *job, "-o", tmp_path / "parts", "--shard", shard, "-q").exit_code == 0
    refused(run("merge", tmp_path / "parts", "-o", tmp_path / "m.npz"), 2, PATTERN.format("HDF5", ".npz"))


def test_pyramid_writer(tmp_path):
    with pytest.raises(UsageError, match=r"expected a name for HDF5 .*, got \.npz"):
        PyramidWriter(tmp_path / "maps.npz", strides=(4, 8))


def test_every_format_takes_its_own_names():
    for written, suffixes in SUFFIXES.items():
        for suffix in FOREIGN:
            if suffix in suffixes:
                check_suffix(Path(f"x{suffix}"), written)
            else:
                with pytest.raises(UsageError, match="expected a name for"):
                    check_suffix(Path(f"x{suffix}"), written)
