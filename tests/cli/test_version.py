"""`--version` and `--verbose` name the backend, and why it is not the native one."""

from __future__ import annotations

import os
import subprocess
import sys

import pytest

from msroi_cli.extension import NATIVE
from tests.builders import SAMPLE_DATA

HIDDEN = """
import sys
from importlib.abc import MetaPathFinder


class Refusing(MetaPathFinder):
    def find_spec(self, name, path, target=None):
        if name == "msroi_cli._native":
            raise ImportError("libfoo.so.1: cannot open shared object file", name=name)


sys.meta_path.insert(0, Refusing())
from msroi_cli.cli import main

main(prog_name="msroi")
"""
PLAN = ["extract", SAMPLE_DATA / "pyramid.h5", SAMPLE_DATA / "words.json", "--box-space", "original", "-o", "o.h5"]


def output(*arguments, program=("-m", "msroi_cli"), **environment):
    command = [sys.executable, *program, *map(str, arguments)]
    done = subprocess.run(command, env=os.environ | environment, capture_output=True, text=True, timeout=60)
    assert done.returncode == 0, done.stderr
    return done.stdout + done.stderr


@pytest.mark.skipif(not NATIVE, reason="without the native extension")
def test_native():
    assert "native backend (" in output("--version", MSROI_BACKEND="")


@pytest.mark.skipif(not NATIVE, reason="without the native extension")
def test_numpy_by_choice():
    assert "numpy backend (MSROI_BACKEND=numpy)" in output("--version", MSROI_BACKEND="numpy")


@pytest.mark.parametrize("arguments", [["--version"], [*PLAN, "-v", "--dry-run"]], ids=["version", "verbose"])
def test_an_extension_that_cannot_be_loaded(arguments):
    text = output(*arguments, program=("-c", HIDDEN), MSROI_BACKEND="")
    assert "numpy backend (native extension: libfoo.so.1: cannot open shared object file)" in text
