"""`msroi verify`: silence on good files, and each trouble found in a file that has just that one."""

from __future__ import annotations

import re

import h5py
import numpy as np
import pytest

from tests.builders import IDS, SPREAD, batch_maps, random_rows, refused, run, write_batched, write_json

COUNT = 30


@pytest.fixture
def inputs(tmp_path):
    """A pyramid, and boxes of which one is of no image."""
    boxes = {key: [row[1:] for row in random_rows(COUNT // 3).tolist()] for key in IDS}
    return write_batched(tmp_path / "p.h5", ids=IDS), write_json(tmp_path / "b.json", {**boxes, "99": [[0, 0, 1, 1]]})


@pytest.fixture(params=[(), ("--compression", "gzip"), ("--dtype", "float16")], ids=["plain", "gzip", "float16"])
def crops(request, tmp_path, inputs):
    """A crops file."""
    path = tmp_path / "o.h5"
    options = (*SPREAD, "--on-bad-box", "zero", "--on-unknown-image", "skip", *request.param)
    assert run("extract", *inputs, "-o", path, "-q", *options).exit_code == 0
    return path


def test_good_files(crops, inputs):
    result = run("verify", crops, crops, "--recompute", "1000", "--against", inputs[0])
    assert (result.exit_code, result.stdout) == (0, "")
    assert result.stderr.splitlines() == [f"{crops}: passed"] * 2
    assert run("verify", "-q", crops).output == ""


def changed(name, row, value):
    def change(file):
        file[name][row] = value

    return change


TROUBLES = {
    "status": (changed("status", 3, 7), "status: row 3: expected 0 to 2, got 7"),
    "image": (changed("image_index", 4, -1), "image_index: row 4: expected an image for every pooled box, got -1"),
    "level": (changed("level", 5, -1), "level: row 5: expected a level for every pooled box"),
    "level beyond": (changed("level", 5, 9), "level: row 5: expected -1 to 2, got 9"),
    "order": (changed("box_index", 6, 2), "box_index: row 6: expected ascending rows, got 2"),
    "crop": (lambda file: changed("crops", 8, file["crops"][8] + 1)(file), "crops: row 8: expected the checksum"),
    "checksum": (changed("checksums", 9, 1), "crops: row 9: expected the checksum 00000001"),
    "statistics": (lambda file: changed("stats", 0, file["stats"][1])(file), "stats: expected .* boxes a level"),
}


@pytest.mark.parametrize("trouble", TROUBLES)
@pytest.mark.sampled(3)
def test_trouble_is_found(crops, trouble):
    change, pattern = TROUBLES[trouble]
    with h5py.File(crops, "a") as file:
        change(file)
    result = run("verify", crops)
    assert result.exit_code == 3
    assert any(re.search(pattern, line) for line in result.stdout.splitlines()), result.stdout
    assert result.stderr == "msroi: error: 1 of 1 files failed verification\n"


def test_other_features_are_found(crops, inputs, tmp_path):
    other = write_batched(tmp_path / "q.h5", {k: v + 1 for k, v in batch_maps().items()}, ids=IDS)
    result = run("verify", crops, "--recompute", "5", "--against", other)
    assert result.exit_code == 3
    assert len(result.stdout.splitlines()) == 5
    assert "expected what" in result.stdout


def test_same_seed_same_rows(crops, tmp_path):
    other = write_batched(tmp_path / "q.h5", ids=["17", "4", "5"])
    refused(run("verify", crops, "--recompute", "99", "--against", other, "--seed", "1"), 3, "expected the image '230'")


def test_truncated_and_strange_files(crops, tmp_path, inputs):
    content = crops.read_bytes()
    crops.write_bytes(content[:-10])
    refused(run("verify", crops), 3, "expected a crops file.*truncated")
    refused(run("verify", inputs[0]), 3, "expected a crops file, format msroi-crops")
    refused(run("verify", tmp_path / "none.h5"), 3, "no readable HDF5 file|cannot be read|got none")
    refused(run("verify", crops, "--recompute", "3"), 2, "--recompute: expected together with --against")


def test_rows_are_checked_in_pieces(crops, monkeypatch):
    monkeypatch.setattr("msroi_cli.job.verify.BYTES_AT_ONCE", 1)
    with h5py.File(crops, "a") as file:
        file["crops"][:7] = np.nan
    result = run("verify", crops)
    assert result.stdout.splitlines()[-1].endswith("and 2 more blocks with other bytes than their checksums say")


def test_a_file_that_is_none_does_not_keep_others_from_being_checked(crops, tmp_path):
    with h5py.File(crops, "a") as file:
        file["checksums"][9] = 1
    result = run("verify", tmp_path / "none.h5", crops, crops)
    assert result.exit_code == 3
    first, *others = result.stdout.splitlines()
    assert "none.h5: expected a crops file" in first
    assert len(others) == 2
    assert all("row 9: expected the checksum" in line for line in others)
    assert result.stderr == "msroi: error: 3 of 3 files failed verification\n"


@pytest.mark.parametrize("count", [2, 8])
def test_rows_that_cannot_be_decoded_are_listed(tmp_path, inputs, count):
    path = tmp_path / "o.h5"
    by_turns = write_json(tmp_path / "t.json", [[n % 3, n, n, n + 20, n + 20] for n in range(20)])
    assert run("extract", inputs[0], by_turns, "-o", path, "-q", *SPREAD, "--compression", "gzip").exit_code == 0
    with h5py.File(path) as file:
        assert file["crops"].chunks[0] == 1
        places = [file["crops"].id.get_chunk_info_by_coord((row, 0, 0, 0)).byte_offset for row in range(count)]
    with path.open("r+b") as file:
        for place in places:
            file.seek(place)
            file.write(b"\0" * 30)
    result = run("verify", path)
    assert result.exit_code == 3
    lines = result.stdout.splitlines()
    assert lines[0] == f"{path}: crops: row 0: expected a crop, got bytes that cannot be decoded"
    assert len(lines) == min(count, 6)
    assert ("3 more rows" in lines[-1]) == (count == 8)
