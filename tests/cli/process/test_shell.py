"""At home in a shell: completion, pipes, readers that leave, no colours, names of files."""

from __future__ import annotations

import json
import os
import shlex
import shutil
import subprocess
import sys
from pathlib import PureWindowsPath

import pytest

from msroi_cli.io.export.layouts import LAYOUTS
from msroi_cli.io.files.location import Location
from tests.builders import SAMPLE_DATA, extracted, ran

PYRAMID, WORDS = SAMPLE_DATA / "pyramid.h5", SAMPLE_DATA / "words.json"
MSROI = f"{shlex.quote(sys.executable)} -m msroi_cli"


def shell(text, **environment):
    """Runs a line of shell: exit code, stdout, stderr."""
    done = subprocess.run(
        ["sh", "-c", text], capture_output=True, text=True, timeout=60, env={**os.environ, **environment}
    )
    return done.returncode, done.stdout, done.stderr


@pytest.mark.parametrize(
    ("name", "mark"), [("bash", "complete -o nosort"), ("zsh", "#compdef msroi"), ("fish", "complete --no-files")]
)
def test_completion_scripts(name, mark):
    if name == "bash" and not shutil.which("bash"):
        pytest.skip("no bash here")
    code, script, _ = shell(MSROI, _MSROI_COMPLETE=f"{name}_source")
    assert code == 0
    assert mark in script
    assert f"_MSROI_COMPLETE={name}_complete" in script


def completed(words):
    count = len(words.split()) - (not words.endswith(" "))
    _, text, _ = shell(MSROI, _MSROI_COMPLETE="bash_complete", COMP_WORDS=words, COMP_CWORD=str(count))
    return [line.partition(",")[2] for line in text.splitlines()]


def test_completions():
    assert completed("msroi ex") == ["export", "extract"]
    assert completed("msroi export --layout ") == list(LAYOUTS)
    assert "--box-space" in completed("msroi extract --box")
    assert completed("msroi preview c") == ["crops"]


def test_boxes_in_and_statistics_out(tmp_path):
    lines = "\n".join(
        json.dumps(
            {"image_id": entry["image_id"], "bbox": entry["bbox"], "category_id": entry["category_id"], "score": 1}
        )
        for entry in json.loads(WORDS.read_text())["annotations"]
    )
    (tmp_path / "boxes.jsonl").write_text(lines)
    reader = "jq -c ." if shutil.which("jq") else f"{shlex.quote(sys.executable)} -m json.tool"
    code, text, errors = shell(
        f"cd {shlex.quote(str(tmp_path))} && {MSROI} extract {shlex.quote(str(PYRAMID))} - --box-space original "
        f"-o out.h5 --stats - -q < boxes.jsonl | {reader}"
    )
    assert (code, errors) == (0, "")
    assert json.loads(text)["total"]["boxes"] == 134


@pytest.mark.slow
@pytest.mark.parametrize(
    "command",
    [
        "inspect {pyramid} {words} {crops}",
        "inspect --json {words}",
        "validate {pyramid} {words}",
        "assign {words} --strides 4,8",
        "assign {words} --strides 4,8 --histogram",
        "stats {crops}",
        "stats --json {crops}",
        "--help",
        "extract --help",
    ],
)
@pytest.mark.parametrize("reader", ["true", "head -c 1"])
def test_a_reader_that_leaves_makes_no_noise(tmp_path, command, reader):
    extracted(tmp_path / "o.h5", PYRAMID, WORDS, "--box-space", "original")
    names = {"pyramid": PYRAMID, "words": WORDS, "crops": tmp_path / "o.h5"}
    quoted = {name: shlex.quote(str(path)) for name, path in names.items()}
    _, _, errors = shell(f"{MSROI} {command.format(**quoted)} | {reader}")
    talk = [line for line in errors.splitlines() if not line.startswith(("level", "0 ", "1 "))]
    assert talk == []


@pytest.mark.skipif(not hasattr(os, "openpty"), reason="no pseudo-terminals here")
@pytest.mark.parametrize("environment", [{}, {"NO_COLOR": "1"}])
@pytest.mark.parametrize("command", [("inspect", PYRAMID), ("assign", WORDS, "--strides", "4,8"), ("--help",)])
@pytest.mark.sampled(4)
def test_no_colours_on_a_terminal(command, environment):
    ours, theirs = os.openpty()
    child = subprocess.Popen(
        [sys.executable, "-m", "msroi_cli", *map(str, command)],
        stdout=theirs,
        stderr=theirs,
        env={**os.environ, **environment},
    )
    os.close(theirs)
    text = b""
    while True:
        try:
            part = os.read(ours, 4096)
        except OSError:
            break
        if not part:
            break
        text += part
    os.close(ours)
    assert child.wait(60) == 0
    assert text
    assert b"\x1b[" not in text


@pytest.mark.parametrize("path", [r"C:\data\maps.h5", r"\\server\share\maps.h5", r"data\maps.h5"])
def test_windows_paths(path):
    assert str(Location.parse(path).path) == path
    inside = Location.parse(f"{path}::/a/b")
    assert (str(inside.path), inside.group) == (path, "/a/b")
    assert PureWindowsPath(path).name == "maps.h5"


def test_help_imports_nothing_heavy():
    script = (
        "import sys\n"
        "from msroi_cli.cli import main\n"
        "previews = [['preview', name] for name in main.commands['preview'].commands]\n"
        "for words in ([], *([name] for name in main.commands), *previews):\n"
        "    try: main([*words, '--help'], prog_name='msroi')\n"
        "    except SystemExit: pass\n"
        "heavy = {'numpy', 'h5py', 'PIL', 'tqdm'} & set(sys.modules)\n"
        "sys.exit(f'imports {heavy}' if heavy else 0)\n"
    )
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, timeout=60)
    assert done.returncode == 0, done.stderr


def test_files_that_are_not_there():
    for command in ("inspect", "stats"):
        code, text, errors = ran(command, "no such file.h5")
        assert (code, text, len(errors.splitlines())) == (3, "", 1)
