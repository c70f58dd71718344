"""What commands open, create, replace and remove: inputs, the folder of the output, the installation, the system."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import h5py
import numpy
import PIL
import pytest

import msroi_cli
from tests.builders import batch_maps, write_batched, write_json
from tests.hostile import every_case
from tests.hostile.commands import BY_KIND, good_files
from tests.hostile.traced import MARK

ROOT = Path(__file__).parents[2]
pytestmark = pytest.mark.skipif(shutil.which("strace") is None, reason="needs strace")

# Calls that take a path: only those that succeed are of interest, and none that only ask whether it exists.
CALL = re.compile(r"^\d+ +(\w+)\((.*)\) = (-?\d+|\?)")
LOOKS = {"access", "faccessat", "faccessat2", "stat", "lstat", "newfstatat", "statx", "statfs"}
LOOKS |= {"readlink", "readlinkat", "getcwd", "execve", "chdir"}
PACKAGES = [Path(module.__file__).parents[1] for module in (msroi_cli, h5py, numpy, PIL)]
INSTALLATION = [ROOT, sys.prefix, sys.base_prefix, os.path.realpath(sys.prefix), *map(str, PACKAGES)]
EVERY_COMMAND = "MSROI_TRACE_ALL" in os.environ  # some minutes
SYSTEM = ["/usr", "/lib", "/lib64", "/etc", "/proc", "/sys/devices/system", "/sys/fs/cgroup", "/dev/null"]


def opened(commands, folder, cwd):
    """The paths that each command used, as (call, path)."""
    (folder / "commands.json").write_text(json.dumps([[str(word) for word in command] for command in commands]))
    log = folder / "log"
    line = ["strace", "-f", "-qq", "-s", "4096", "-e", "trace=%file", "-o", log]
    home = folder / "home"
    home.mkdir()
    environment = {**os.environ, "PYTHONPATH": str(ROOT), "PYTHONDONTWRITEBYTECODE": "1", "HOME": str(home)}
    traced = [*line, sys.executable, "-m", "tests.hostile.traced", folder / "commands.json"]
    subprocess.run(traced, cwd=cwd, env=environment, check=True)
    found = [[] for _ in commands]
    number = -1
    for text in log.read_text(errors="replace").splitlines():
        if MARK in text:
            number = int(re.search(rf"{MARK}(\d+)", text)[1])
        match = CALL.match(text)
        if number >= 0 and match and match[1] not in LOOKS and match[3] != "?" and int(match[3]) >= 0:
            found[number] += [(match[1], name) for name in re.findall(r'"((?:[^"\\]|\\.)*)"', match[2])]
    assert number == len(commands) - 1
    return found


def outside(uses, allowed, cwd):
    """The uses of paths that lie in none of the allowed files and folders."""
    roots = [*map(str, INSTALLATION), *SYSTEM, *map(str, allowed)]
    wrong = []
    for call, name in uses:
        path = os.path.normpath(cwd / name)
        if not any(path == root or path.startswith(root + "/") for root in roots):
            wrong.append((call, path))
    return wrong


@pytest.mark.slow
def test_commands_open_what_was_named(tmp_path):
    good_folder, cwd, trace = tmp_path / "good", tmp_path / "cwd", tmp_path / "trace"
    for each in (good_folder, cwd, trace):
        each.mkdir()
    good = good_files(good_folder)
    shutil.rmtree(good_folder / "warm")
    files = {"pyramid": good.pyramid, "boxes": good.boxes, "crops": good.crops, "picture": good.picture}
    commands, allowed = [], []
    for kind, file in files.items():
        for name, line in BY_KIND[kind].items():
            out = tmp_path / f"{kind} {name}"
            out.mkdir()
            commands.append(line(file, good, out))
            allowed.append([out, *(word for word in commands[-1] if Path(str(word)).is_file())])
    uses = opened(commands, trace, cwd)
    for command, used, may in zip(commands, uses, allowed, strict=True):
        assert outside(used, may, cwd) == [], command
        assert outside(used, may[1:], cwd) or "-o" not in command
        # It is seen that the inputs are opened: a trace that sees nothing proves nothing.
        assert {str(path) for path in may[1:]} <= {os.path.normpath(path) for _, path in used} | {str(good.boxes)}


@pytest.mark.slow
def test_hostile_files_lead_nowhere(tmp_path):
    """Those beside which there is something to read in every command that takes them, the others in one each."""
    good_folder, cwd, trace = tmp_path / "good", tmp_path / "cwd", tmp_path / "trace"
    for each in (good_folder, cwd, trace):
        each.mkdir()
    good = good_files(good_folder)
    commands, allowed, files = [], [], set()
    for number, case in enumerate(every_case()):
        folder = tmp_path / f"case-{number}"
        inputs, out = folder / "in", folder / "out"
        inputs.mkdir(parents=True)
        file = case.make(inputs)
        lines = list(BY_KIND[case.kind].values())
        if [inputs] == list(folder.iterdir()) and not EVERY_COMMAND:
            lines = [lines[number % len(lines)]]
        elif "::" not in str(file):
            files.add(str(file))
        for place, line in enumerate(lines):
            (out / str(place)).mkdir(parents=True)
            commands.append(line(file, good, out / str(place)))
            allowed.append([inputs, out / str(place), good_folder])
    uses = opened(commands, trace, cwd)
    wrong = [outside(used, may, cwd) for used, may in zip(uses, allowed, strict=True)]
    assert [(command, found) for command, found in zip(commands, wrong, strict=True) if found] == []
    # It is seen that the files with something beside them are opened: a trace that sees nothing proves nothing.
    assert len(files) > 10
    assert files <= {os.path.normpath(path) for used in uses for _, path in used}


@pytest.mark.slow
def test_what_may_be_read_elsewhere_is_seen(tmp_path):
    named, cwd, trace = tmp_path / "named", tmp_path / "cwd", tmp_path / "trace"
    for each in (named, cwd, trace):
        each.mkdir()
    secret = write_batched(tmp_path / "secret.h5", batch_maps(3))
    with h5py.File(named / "maps.h5", "w") as file:
        file["maps"] = h5py.ExternalLink(str(secret), "/")
    boxes = write_json(named / "boxes.json", [[0, 1, 1, 20, 20]])
    command = ["extract", f"{named / 'maps.h5'}::maps", boxes, "-q", "-o", named / "o.h5"]
    refused, allowed = opened([command, [*command, "--allow-external"]], trace, cwd)
    assert outside(refused, [named], cwd) == []
    assert {path for _, path in outside(allowed, [named], cwd)} == {str(secret)}
