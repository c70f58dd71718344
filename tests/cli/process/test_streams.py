"""Standard output that is full or closed, and names that could be mistaken for something else in what is printed."""

from __future__ import annotations

import csv
import os
import subprocess
import sys

import pytest

from tests.builders import IDS, SPREAD, batch_maps, coco, extracted, random_boxes, run, write_batched
from tests.builders import write_json as written

PRINTING = {
    "assign": ["assign", "b.json", "--strides", "4,8", "-q"],
    "validate": ["validate", "p.h5", "b.json", "--json"],
    "inspect": ["inspect", "p.h5", "--json"],
    "stats": ["stats", "c.h5", "--json", "-q"],
    "extract --stats -": ["extract", "p.h5", "b.json", "-o", "o.h5", "-q", "--stats", "-", "--overwrite"],
    "extract --dry-run": ["extract", "p.h5", "b.json", "-o", "new.h5", "--dry-run"],
    "verify": ["verify", "bad.h5", "-q"],
    "version": ["--version"],
    "help": ["stats", "--help"],
}
COMMAND = f"exec {sys.executable} -m msroi_cli "


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    at = tmp_path_factory.mktemp("streams")
    pyramid = write_batched(at / "p.h5", ids=IDS)
    boxes = written(at / "b.json", [[i % 3, 1, 2, 20 + i, 30] for i in range(12)])
    for name in ("c.h5", "bad.h5"):
        place = extracted(at / name, pyramid, boxes, "-q", *SPREAD)[:].nbytes
    content = (at / "bad.h5").read_bytes()
    (at / "bad.h5").write_bytes(content[: -place // 2] + b"\x55" + content[-place // 2 + 1 :])
    return at


def shell(folder, line, redirected):
    quoted = " ".join(line)
    return subprocess.run(
        ["sh", "-c", f"{COMMAND} {quoted} {redirected}"], cwd=folder, capture_output=True, text=True, check=False
    )


@pytest.mark.skipif(not os.path.exists("/dev/full"), reason="has /dev/full")  # noqa: PTH110
@pytest.mark.parametrize("name", PRINTING)
@pytest.mark.sampled(11)
def test_a_full_output_is_an_error(folder, name):
    done = shell(folder, PRINTING[name], "> /dev/full")
    assert done.returncode == 1
    assert done.stderr == "msroi: error: standard output: No space left on device\n"


@pytest.mark.parametrize("name", PRINTING)
@pytest.mark.sampled(11)
def test_a_closed_output_is_an_error(folder, name):
    done = shell(folder, PRINTING[name], ">&-")
    assert done.returncode == 1
    assert done.stderr == "msroi: error: standard output: Bad file descriptor\n"
    assert shell(folder, PRINTING[name], ">&- 2>&- <&-").returncode == 1


@pytest.mark.parametrize("name", PRINTING)
@pytest.mark.sampled(11)
def test_a_closed_pipe_is_quiet(folder, name):
    reading, writing = os.pipe()
    os.close(reading)
    command = [sys.executable, "-m", "msroi_cli", *PRINTING[name]]
    done = subprocess.run(command, cwd=folder, stdout=writing, stderr=subprocess.PIPE, check=False)
    os.close(writing)
    assert (done.returncode, done.stderr) == (1, b"")


def test_nothing_is_printed_into_an_output_that_took_the_number_of_a_closed_stream(folder):
    line = ["extract", "p.h5", "b.json", "-o", "closed.h5", *SPREAD]
    assert shell(folder, line, ">&- 2>&- <&-").returncode == 0
    assert run("verify", folder / "closed.h5", "-q").exit_code == 0


NAMES = ["a\rb", "a\nb", "a\tb", "a b", "a\\rb", 'a"b', "a  b", "a\u2028b", "a\x00b", " a", "a\x85b", "a\x1eb"]


def test_ids_in_tab_separated_levels_cannot_be_mistaken(tmp_path):
    path = written(tmp_path / "b.json", coco(random_boxes(len(NAMES)), NAMES))
    lines = run("assign", path, "--strides", "4,8,16", "--format", "tsv").stdout.splitlines()
    fields = [line.split("\t") for line in lines]
    assert len(lines) == len(NAMES) + 1
    assert {len(row) for row in fields} == {len(fields[0])}
    ids = [row[fields[0].index("image_id")] for row in fields[1:]]
    assert [text.encode("latin-1", "backslashreplace").decode("unicode_escape") for text in ids] == NAMES


def test_ids_in_an_exported_table_cannot_be_mistaken(tmp_path):
    names = ["a\rb", "a\nb", "a\tb", 'a"b', "a\r\nb"]
    maps = {name: values[:1].repeat(len(names), 0) for name, values in batch_maps().items()}
    pyramid = write_batched(tmp_path / "p.h5", maps, ids=names)
    boxes = written(tmp_path / "b.json", coco(random_boxes(len(names)), names))
    extracted(tmp_path / "c.h5", pyramid, boxes, "-q")
    result = run("export", tmp_path / "c.h5", tmp_path / "e.tsv", "--layout", "tsv", "--pyramid", pyramid, "-q")
    assert result.exit_code == 0, result.stderr
    with (tmp_path / "e.tsv").open(newline="") as file:
        rows = list(csv.reader(file, delimiter="\t"))
    assert [row[0] for row in rows] == names
    assert {len(row) for row in rows} == {6}


def test_long_ids_are_shortened_in_messages_and_descriptions(tmp_path):
    pyramid = write_batched(tmp_path / "p.h5", ids=IDS)
    long = "x" * 5000
    boxes = written(tmp_path / "b.json", coco(random_boxes(1), [long]))
    result = run("extract", pyramid, boxes, "-o", tmp_path / "o.h5")
    assert result.exit_code == 3
    assert "x" * 100 in result.stderr
    assert "x" * 400 not in result.stderr
    assert "not in the pyramid" in result.stderr
    assert "x" * 400 not in run("inspect", boxes).stdout
