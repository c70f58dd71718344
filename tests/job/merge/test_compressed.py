"""Compressed parts give the file of one run, chunk by chunk; chunks that both have are not even decoded."""

from __future__ import annotations

import json

import h5py
import numpy as np
import pytest

from msroi_cli import open_crops
from msroi_cli.io.crops.compressed import SpoolWriter
from tests.builders import random_rows, refused, run, write_json, write_per_image
from tests.job.cluster.test_parts import datasets, good, same_crops

ROW_BYTES = 3 * 7 * 7 * 4


@pytest.fixture(autouse=True)
def small_chunks(monkeypatch):
    monkeypatch.setattr("msroi_cli.io.crops.schema.SMALL_CHUNK", 4 * ROW_BYTES)


@pytest.fixture(scope="module", params=["good boxes", "bad boxes"])
def inputs(request, tmp_path_factory):
    folder = tmp_path_factory.mktemp("inputs")
    write_per_image(folder / "p.h5")
    rows = random_rows(60, seed=3)
    if request.param == "bad boxes":
        rows[::9, 3] = rows[::9, 1] - 1
    write_json(folder / "b.json", rows.tolist())
    return folder


def bad_boxes(inputs):
    boxes = np.array(json.loads((inputs / "b.json").read_text()))
    return bool((boxes[:, 3] < boxes[:, 1]).any())


def make(inputs, out, *options):
    common = ("--box-space", "input", "--on-bad-box", "zero")
    good("extract", inputs / "p.h5", inputs / "b.json", "-o", out, *common, *options)


def stored(path):
    """The chunks of a file, as they are stored, and how."""
    with h5py.File(path) as file:
        crops = file["crops"]
        chunks = [crops.id.read_direct_chunk((row, 0, 0, 0)) for row in range(0, len(crops), crops.chunks[0])]
        return crops.chunks, crops.compression, crops.compression_opts, crops.shuffle, chunks


@pytest.fixture
def encoded(monkeypatch):
    """The rows of each chunk that is compressed."""
    encode, seen = SpoolWriter.encoded, []

    def counting(writer, chunk):
        seen.append(len(chunk))
        return encode(writer, chunk)

    monkeypatch.setattr(SpoolWriter, "encoded", counting)
    return seen


def chunked(rows, step):
    return {tuple(rows[start : start + step].tolist()) for start in range(0, len(rows), step)}


def not_in_parts(folder, step):
    """The chunks of the whole job, as tuples of rows, that no part has."""
    with open_crops(folder) as crops:
        pairs = zip(crops.rows_of_parts(), crops.places, strict=True)
        of_parts = {chunk for rows, place in pairs if place.count for chunk in chunked(rows, place.compression.rows)}
        sizes = {place.compression.rows for place in crops.places if place.count}
        return chunked(np.arange(len(crops)), step) - (of_parts if step in sizes else set())


@pytest.mark.parametrize("compression", ["gzip:1", "lzf"])
@pytest.mark.parametrize("order", ["input", "image"])
@pytest.mark.parametrize("count", [1, 3, 5])
@pytest.mark.sampled(12)
def test_chunks_are_those_of_one_run(inputs, tmp_path, encoded, count, order, compression):
    options = ("--compression", compression, "--order", order)
    make(inputs, tmp_path / "one.h5", *options)
    for shard in range(1, count + 1):
        make(inputs, tmp_path / "parts", "--shard", f"{shard}/{count}", *options)
    before = len(encoded)
    good("merge", tmp_path / "parts", "-o", tmp_path / "merged.h5")
    assert stored(tmp_path / "merged.h5") == stored(tmp_path / "one.h5")
    assert datasets(tmp_path / "merged.h5") == datasets(tmp_path / "one.h5")
    assert len(encoded) - before == len(not_in_parts(tmp_path / "parts", stored(tmp_path / "one.h5")[0][0]))
    good("verify", tmp_path / "merged.h5")


def test_a_damaged_chunk_that_is_decoded_is_named(inputs, tmp_path):
    options = ("--compression", "gzip:1", "--order", "image")
    for shard in (1, 2, 3):
        make(inputs, tmp_path / "parts", "--shard", f"{shard}/3", *options)
    path = tmp_path / "parts" / "part-00002-of-00003.h5"
    with h5py.File(path, "r+") as file:
        file["crops"][...] = file["crops"][()] + 1
    result = run("merge", tmp_path / "parts", "-o", tmp_path / "m.h5")
    if not not_in_parts(tmp_path / "parts", 1 if bad_boxes(inputs) else 4):
        pytest.skip("every chunk is copied as it is")
    refused(result, 3, r"part-00002-of-00003.h5:/crops: row \d+: expected the bytes of its checksum")


def test_a_damaged_chunk_that_is_not_decoded_is_found_by_verify(inputs, tmp_path):
    make(inputs, tmp_path / "parts", "--shard", "1/1", "--compression", "gzip:1", "--order", "image")
    with h5py.File(tmp_path / "parts" / "part-00001-of-00001.h5", "r+") as file:
        file["crops"][1] = file["crops"][1] + 1
    good("merge", tmp_path / "parts", "-o", tmp_path / "m.h5")
    result = run("verify", tmp_path / "m.h5")
    assert result.exit_code == 3
    assert "row 1: expected the checksum" in result.stdout + result.stderr


@pytest.mark.slow
def test_a_part_that_is_compressed_in_another_way(inputs, tmp_path):
    for shard, compression in ((1, "gzip:1"), (2, "lzf"), (3, "gzip:2")):
        make(inputs, tmp_path / "parts", "--shard", f"{shard}/3", "--compression", compression)
    make(inputs, tmp_path / "one.h5", "--compression", "gzip:1")
    good("merge", tmp_path / "parts", "-o", tmp_path / "merged.h5")
    assert stored(tmp_path / "merged.h5") == stored(tmp_path / "one.h5")


@pytest.mark.slow
def test_a_virtual_file_of_compressed_parts(inputs, tmp_path):
    options = ("--compression", "gzip:1", "--order", "image")
    make(inputs, tmp_path / "one.h5", *options)
    for shard in (1, 2):
        make(inputs, tmp_path / "parts", "--shard", f"{shard}/2", *options)
    good("merge", tmp_path / "parts", "-o", tmp_path / "v.h5", "--virtual")
    with open_crops(tmp_path / "one.h5") as one, open_crops(tmp_path / "v.h5") as crops:
        same_crops(one, crops)
    with h5py.File(tmp_path / "one.h5") as one, h5py.File(tmp_path / "v.h5") as crops:
        assert one["crops"][()].tobytes() == crops["crops"][()].tobytes()
