"""The README and docs/ are true: their blocks run, in order, one folder a page; their links and paths exist."""

from __future__ import annotations

import json
import os
import re
import shlex
import subprocess
import sys
from functools import cache
from importlib.util import find_spec
from pathlib import Path

import click
import numpy as np
import pytest

from msroi_cli import open_crops
from msroi_cli.cli import main
from tests.docs.pages import PAGES, README, ROOT, Block, blocks_of

OPTIONAL = ("torch", "torchvision", "timm", "transformers")
INSTALLATION = re.compile(r"python3 -m venv \S+ && \. \S+ && pip install -e \S+ && ")


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A working folder with the sample data, and a `bin` with `msroi` and `python` of this environment."""
    (tmp_path / "sample_data").symlink_to(ROOT / "sample_data")
    (tmp_path / "bin").mkdir()
    for name, arguments in (("msroi", "-m msroi_cli "), ("python", "")):
        program = tmp_path / "bin" / name
        program.write_text(f'#!/bin/sh\nexec "{sys.executable}" {arguments}"$@"\n')
        program.chmod(0o755)
    return tmp_path


def runs(block: Block) -> list[str] | None:
    """The process that runs a block in this environment; None if there is nothing to run, or its library is absent."""
    if block.language == "sh":
        text = INSTALLATION.sub("", block.text)
        return None if text.startswith("python -m pytest") else ["sh", "-e", "-c", text]
    if block.language == "python":
        absent = [name for name in OPTIONAL if f"import {name}\n" in block.text and not can_import(name)]
        return None if absent else [sys.executable, "-c", block.text]
    assert block.language == "text", f"line {block.line}: expected sh, python or text, got {block.language!r}"
    return None


@cache
def can_import(name: str) -> bool:
    return subprocess.run([sys.executable, "-c", f"import {name}"], capture_output=True).returncode == 0


@pytest.mark.sampled(len(PAGES))
@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_every_block_runs(page: Path, folder: Path) -> None:
    environment = os.environ | {"PATH": f"{folder / 'bin'}{os.pathsep}{os.environ['PATH']}", "PYTHONPATH": str(ROOT)}
    for block in blocks_of(page):
        command = runs(block)
        if command:
            done = subprocess.run(command, cwd=folder, env=environment, capture_output=True, text=True, timeout=120)
            assert done.returncode == 0, (f"{page.name}:{block.line}", done.stderr)


@pytest.mark.skipif(not (find_spec("onnx") and find_spec("onnxruntime")), reason="needs the extra onnx")
@pytest.mark.skipif(not find_spec("rapidocr_onnxruntime"), reason="needs rapidocr-onnxruntime, for its model")
def test_the_block_with_a_real_model_runs(folder: Path) -> None:
    """It is not among the others: its first line installs packages, and its second looks in its environment."""
    installs, finds, *commands = next(
        block.text for block in blocks_of(README) if "rapidocr-onnxruntime==" in block.text
    ).splitlines()
    assert installs.startswith("pip install")
    (package,) = find_spec("rapidocr_onnxruntime").submodule_search_locations  # type: ignore[union-attr, misc]
    text = "\n".join([finds.replace("find .venv ", f"find {shlex.quote(package)} "), *commands])
    environment = os.environ | {"PATH": f"{folder / 'bin'}{os.pathsep}{os.environ['PATH']}", "PYTHONPATH": str(ROOT)}
    done = subprocess.run(["sh", "-e", "-c", text], cwd=folder, env=environment, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    with open_crops(folder / "words.h5") as crops:
        assert len(crops) == len(json.loads((ROOT / "sample_data/words.json").read_text())["annotations"])
        assert np.isfinite(crops[:]).all()


def test_there_are_blocks_to_run() -> None:
    blocks = [block for page in PAGES for block in blocks_of(page)]
    assert sum(block.text.count("msroi ") for block in blocks if block.language == "sh") >= 20
    assert sum(block.language == "python" for block in blocks) >= 4


def test_the_readme_is_short() -> None:
    assert len(README.read_text(encoding="utf-8").splitlines()) <= 250


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_links_lead_somewhere(page: Path) -> None:
    for target in re.findall(r"\]\(([^)]+)\)", page.read_text(encoding="utf-8")):
        name, _, heading = target.partition("#")
        path = page.parent / name if name else page
        assert path.exists(), f"{page.name}: {target}"
        if heading:
            headings = re.findall(r"^#+ (.*)$", path.read_text(encoding="utf-8"), re.MULTILINE)
            assert heading in {re.sub(r"[^\w -]", "", text).lower().replace(" ", "-") for text in headings}, target


def test_every_option_of_extract_is_documented() -> None:
    documented = (ROOT / "docs" / "command-line.md").read_text(encoding="utf-8")
    options = [parameter.opts for parameter in main.commands["extract"].params if isinstance(parameter, click.Option)]
    missing = [names for names in options if not all(name in documented for name in names)]
    assert options
    assert not missing


def test_every_path_of_contributing_exists() -> None:
    text = (ROOT / "docs" / "contributing.md").read_text(encoding="utf-8")
    paths = re.findall(r"`((?:msroi_cli|tests|docs)/[^`\s]*)`", text)
    assert len(paths) > 30
    assert not [path for path in paths if not (ROOT / path).exists()]
