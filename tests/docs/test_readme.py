"""The README keeps its word: its commands and its Python run, in order, in one folder."""

import re
import subprocess
import sys
from pathlib import Path

import click
import pytest

from msroi_cli.cli import main

ROOT = Path(__file__).parents[2]
README = (ROOT / "README.md").read_text(encoding="utf-8")
BLOCKS = re.findall(r"^```(sh|python)\n(.*?)^```$", README, re.MULTILINE | re.DOTALL)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("readme")
    (folder / "sample_data").symlink_to(ROOT / "sample_data")
    return folder


def commands(block: str) -> list[str]:
    """The lines of a block that use the tool, as this environment runs them; making environments is the gate's work."""
    lines = [
        line.rpartition("&& ")[2] for line in block.splitlines() if not line.startswith(("#", "msroi extract PYR"))
    ]
    lines = [line for line in lines if not line.endswith("-m pytest")]
    runs = {"msroi": f"'{sys.executable}' -m msroi_cli", "python": f"'{sys.executable}'"}
    program = r"(?<![\w/])(?:\.venv/bin/)?(msroi|python)(?= [a-z-])"
    return [re.sub(program, lambda match: runs[match[1]], line) for line in lines]


@pytest.mark.parametrize(("language", "block"), BLOCKS, ids=[f"{i}-{kind}" for i, (kind, _) in enumerate(BLOCKS)])
def test_block_runs(language: str, block: str, folder: Path) -> None:
    runs = [[sys.executable, "-c", block]] if language == "python" else [["sh", "-c", c] for c in commands(block)]
    for run in runs:
        done = subprocess.run(run, cwd=folder, capture_output=True, text=True, timeout=120)
        assert done.returncode == 0, (run, done.stderr)


def test_there_are_commands_to_run() -> None:
    run = [command for kind, block in BLOCKS if kind == "sh" for command in commands(block)]
    assert sum("-m msroi_cli" in command for command in run) >= 4
    assert sum(kind == "python" for kind, _ in BLOCKS) >= 2


def test_every_option_of_extract_is_in_the_readme() -> None:
    options = [parameter.opts for parameter in main.commands["extract"].params if isinstance(parameter, click.Option)]
    missing = [names for names in options if not any(f"`{name}" in README for name in names)]
    assert options
    assert not missing
