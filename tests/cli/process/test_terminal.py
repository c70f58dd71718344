"""Tables that fit a narrow terminal, and colours where they are wanted: the command on a pseudo-terminal."""

from __future__ import annotations

import os
import re
import subprocess
import sys

import pytest

from msroi_cli.cli.output import table
from tests.builders import SAMPLE_DATA, extracted, run, write_json

pty = pytest.importorskip("pty", reason="pseudo-terminals of POSIX")
PAGE, WORDS = SAMPLE_DATA / "pyramid.h5", SAMPLE_DATA / "words.json"
COLOUR = "\x1b["
RED, YELLOW = "\x1b[31m\x1b[1m", "\x1b[33m\x1b[1m"


def on_terminal(*arguments, columns=60, streams=("stdout", "stderr"), **environment):
    """What a command prints on a terminal, and its exit code; other streams are pipes."""
    import fcntl
    import struct
    import termios

    ours, theirs = pty.openpty()
    fcntl.ioctl(theirs, termios.TIOCSWINSZ, struct.pack("HHHH", 30, columns, 0, 0))
    kept = {name: value for name, value in os.environ.items() if name not in ("NO_COLOR", "COLUMNS", "CI")}
    environment = {**kept, "TERM": "xterm", **environment}
    pipes = {name: theirs if name in streams else subprocess.PIPE for name in ("stdout", "stderr")}
    command = [sys.executable, "-m", "msroi_cli", *map(str, arguments)]
    process = subprocess.Popen(command, stdin=subprocess.DEVNULL, env=environment, **pipes)
    os.close(theirs)
    text = b""
    while True:
        try:
            part = os.read(ours, 65536)
        except OSError:  # the other end is closed
            break
        if not part:
            break
        text += part
    piped = process.communicate(timeout=60)
    os.close(ours)
    others = "".join((part or b"").decode() for part in piped)
    return process.returncode, text.decode().replace("\r\n", "\n"), others


HEADER = ("name", "one", "two", "three")
ROWS = [["a", "1", "22", "333"], ["bb", "4444", "5", "6"]]


@pytest.mark.parametrize("width", range(1, 40))
def test_columns_that_do_not_fit_follow_below(width):
    blocks = [[line.split() for line in block.splitlines()] for block in table(HEADER, ROWS, width).split("\n\n")]
    assert all(block[row][0] == ("name", "a", "bb")[row] for block in blocks for row in range(3))
    joined = [[*[HEADER, *ROWS][row][:1], *(cell for block in blocks for cell in block[row][1:])] for row in range(3)]
    assert joined == [list(HEADER), *ROWS]
    for line in table(HEADER, ROWS, width).splitlines():
        # One column beside the first is there at any width.
        assert len(line) <= max(width, len("name") + 2 + len("three"))
    assert (len(blocks) == 1) == (width >= len(table(HEADER, ROWS).splitlines()[0]))


@pytest.fixture(scope="module")
def crops(tmp_path_factory):
    path = tmp_path_factory.mktemp("terminal") / "o.h5"
    extracted(path, PAGE, WORDS, "--box-space", "original")
    return path


def tables(text):
    """The lines of tables: those of columns."""
    return [line for line in text.splitlines() if re.match(r"\s*(level|percentile|p?\d|all|width|height|size) ", line)]


@pytest.mark.slow
def test_tables_fit_sixty_columns(crops):
    strides = ("--strides", "4,8,16,32")
    for command in (
        ("inspect", PAGE),
        ("inspect", WORDS),
        ("inspect", crops),
        ("stats", crops),
        ("assign", WORDS, *strides),
    ):
        code, text, _ = on_terminal(*command, *(["--histogram"] if command[0] == "assign" else []))
        assert code == 0
        assert len(tables(text)) >= 4
        assert max(map(len, tables(text))) <= 60
    code, wide, _ = on_terminal("inspect", crops, columns=300)
    assert max(map(len, tables(wide))) > 60
    _, _, piped = on_terminal("inspect", crops, streams=("stderr",))
    assert piped.replace("\r\n", "\n") == wide


def test_the_closing_table_fits(tmp_path):
    arguments = ("extract", PAGE, WORDS, "--box-space", "original", "-o", tmp_path / "o.h5", "--no-progress")
    code, text, _ = on_terminal(*arguments, streams=("stderr",))
    assert code == 0
    assert max(map(len, tables(text))) <= 60


def test_parameters_one_a_line(crops):
    lines = run("inspect", crops).stdout.splitlines()
    start = lines.index("  parameters")
    assert '    compat           "lucid"' in lines[start:]
    assert "    output_size      [7, 7]" in lines[start:]


def test_errors_and_warnings_in_colours(tmp_path):
    code, text, _ = on_terminal("inspect", tmp_path / "none.h5")
    assert code == 3
    assert text.startswith(f"{RED}msroi: error:\x1b[0m ")
    outside = write_json(tmp_path / "b.json", {"17": [[5000, 5000, 5100, 5100]]})
    options = ("--box-space", "input", "-o", tmp_path / "o.h5", "--no-progress")
    code, text, _ = on_terminal("extract", PAGE, outside, *options)
    assert f"{YELLOW}warning:\x1b[0m " in text, text


@pytest.mark.parametrize(
    ("before", "after", "environment"),
    [
        ([], [], {"NO_COLOR": "1"}),
        ([], [], {"TERM": "dumb"}),
        (["--no-color"], [], {}),
        ([], ["--no-color"], {}),
    ],
)
@pytest.mark.sampled(2)
def test_no_colours(tmp_path, before, after, environment):
    code, text, _ = on_terminal(*before, "inspect", *after, tmp_path / "none.h5", **environment)
    assert code == 3
    assert COLOUR not in text
    assert text.startswith("msroi: error: ")


def test_no_colours_in_a_pipe(tmp_path):
    _, _, piped = on_terminal("inspect", tmp_path / "none.h5", streams=("stdout",))
    assert piped.startswith("msroi: error: ")


def test_the_bar_is_coloured(tmp_path):
    arguments = ("extract", PAGE, WORDS, "--box-space", "original", "-o", tmp_path / "o.h5", "--overwrite")
    assert "\x1b[32m" in on_terminal(*arguments, columns=120)[1]
    assert "\x1b[32m" not in on_terminal(*arguments, "--no-color", columns=120)[1]


def test_names_of_files_do_not_colour(tmp_path):
    path = tmp_path / "\x1b[31mred.h5"
    assert "\x1b[31mred" not in on_terminal("inspect", path)[1]
