"""The scripts of docs/cluster.md do what they say, with the variables that a scheduler would set."""

from __future__ import annotations

import importlib.util
import os
import shutil
import signal
import subprocess
import sys
from contextlib import suppress
from pathlib import Path

import pytest

from msroi_cli import open_crops

ROOT = Path(__file__).parents[2]
PAGE = (ROOT / "docs" / "cluster.md").read_text(encoding="utf-8")


def block(opening: str) -> str:
    """The code block that begins with `opening`."""
    return next(text for text in PAGE.split("```text\n")[1:] if text.startswith(opening)).partition("```")[0]


@pytest.fixture
def folder(tmp_path):
    (tmp_path / "sample_data").symlink_to(ROOT / "sample_data")
    (tmp_path / "bin").mkdir()
    for name, arguments in (("msroi", "-m msroi_cli "), ("dask", "-m dask "), ("python", "")):
        program = tmp_path / "bin" / name
        program.write_text(f'#!/bin/sh\nexec "{sys.executable}" {arguments}"$@"\n')
        program.chmod(0o755)
    return tmp_path


def in_shell(folder, command, **variables):
    path = f"{folder / 'bin'}{os.pathsep}{os.environ['PATH']}"
    environment = {**os.environ, "PATH": path, "PYTHONPATH": str(ROOT), **variables}
    errors = folder / "errors.txt"
    with errors.open("w") as stream:
        running = subprocess.Popen(command, cwd=folder, env=environment, stderr=stream, start_new_session=True)
    try:
        assert running.wait(300) == 0, errors.read_text()
    finally:
        # What a script leaves in the background.
        with suppress(ProcessLookupError):
            os.killpg(running.pid, signal.SIGKILL)


@pytest.mark.slow
def test_slurm_array(folder):
    script = block("#!/bin/sh\n#SBATCH")
    for task in (2, 4, 1, 3, 3):
        variables = {"ID": str(task), "MIN": "1", "MAX": "4", "COUNT": "4"}
        in_shell(folder, ["sh", "-c", script], **{f"SLURM_ARRAY_TASK_{name}": v for name, v in variables.items()})
    with open_crops(folder / "slurm") as crops:
        assert len(crops) == 134


@pytest.mark.slow
def test_kubernetes_indexed_job(folder):
    line = next(line for line in block("apiVersion").splitlines() if "command:" in line)
    words = line.partition("[")[2].rstrip("]").split(", ")
    words = [word.replace("/data/parts", "parts").replace("/data/", "sample_data/") for word in words]
    for index in range(4):
        in_shell(folder, words, JOB_COMPLETION_INDEX=str(index))
    with open_crops(folder / "parts") as crops:
        assert len(crops) == 134


@pytest.mark.slow
@pytest.mark.skipif(shutil.which("make") is None, reason="there is no make")
def test_makefile(folder):
    (folder / "Makefile").write_text(block("N := 3"))
    in_shell(folder, ["make", "-j", "2", "made.h5"])
    with open_crops(folder / "made.h5") as crops:
        assert len(crops) == 134


@pytest.mark.slow
@pytest.mark.skipif(shutil.which("snakemake") is None, reason="there is no snakemake")
def test_snakemake(folder):
    (folder / "Snakefile").write_text(block("N = 3\n"))
    in_shell(folder, ["snakemake", "--cores", "2"])
    with open_crops(folder / "snake.h5") as crops:
        assert len(crops) == 134


def installed(*packages):
    return all(importlib.util.find_spec(package) is not None for package in packages)


@pytest.mark.slow
@pytest.mark.skipif(not installed("distributed"), reason="the package distributed is not installed")
def test_dask(folder):
    in_shell(folder, ["sh", "-e", "-c", block("dask scheduler")])
    with open_crops(folder / "dask.h5") as crops:
        assert len(crops) == 134


@pytest.mark.slow
@pytest.mark.skipif(not (installed("mpi4py") and shutil.which("mpiexec")), reason="there is no mpi4py, or no mpiexec")
def test_mpi(folder):
    (folder / "job.py").write_text(block("from mpi4py.futures"))
    in_shell(folder, ["mpiexec", "-n", "3", "python", "-m", "mpi4py.futures", "job.py"])
    with open_crops(folder / "mpi.h5") as crops:
        assert len(crops) == 134
