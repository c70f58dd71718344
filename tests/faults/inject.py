"""Kills jobs, and makes their file system fail, at every call that changes a file; then looks what is left.

    python -m tests.faults.inject [--every N] [--compression gzip:1] [--one-batch] [--replaced]

builds the shim, makes a small job, and counts its calls. Then, for every call (or every Nth): the job is killed before
it and after it, and gets EIO and ENOSPC from it, once and from then on. After each, the name of the output must be
absent or that of a whole file, and the job, resumed, must give the bytes of an undisturbed one. With --replaced an
older file has that name before, and until the new one is whole; then the job is started again with --overwrite.
Each trial is a fork of one process that has imported everything.
"""

from __future__ import annotations

import argparse
import ctypes
import errno
import json
import os
import signal
import subprocess
import sys
import tempfile
import traceback
from collections import Counter
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import NoReturn

NAME = "faulty"
KILL_BEFORE, KILL_AFTER, FAIL = 1, 2, 3
FAULTS = {
    "killed before": (KILL_BEFORE, 0, 0),
    "killed after": (KILL_AFTER, 0, 0),
    "EIO once": (FAIL, errno.EIO, 0),
    "EIO for ever": (FAIL, errno.EIO, 1),
    "ENOSPC once": (FAIL, errno.ENOSPC, 0),
    "ENOSPC for ever": (FAIL, errno.ENOSPC, 1),
}
CRASHED = 99
OLD = b"an older output"


def build_shim(folder: Path, name: str = "shim") -> Path:
    """Compiles the shim; raises CalledProcessError or FileNotFoundError where there is no C compiler."""
    shim = folder / f"{name}.so"
    source = Path(__file__).with_name(f"{name}.c")
    command = [os.environ.get("CC", "cc"), "-shared", "-fPIC", "-O1", "-o", str(shim), str(source), "-ldl"]
    subprocess.run(command, check=True, capture_output=True)
    return shim


class Job:
    """A job of some batches, or of one, small enough to be run thousands of times."""

    def __init__(self, folder: Path, compression: str | None, one_batch: bool = False) -> None:
        import msroi_cli.job.extract.memory as memory
        from tests.builders import IDS, random_rows, write_batched, write_json

        if not one_batch:
            memory.SMALLEST_BATCH = 4000
        # Files without a name are known by that of their folder.
        folder = folder / f"of {NAME}"
        folder.mkdir()
        pyramid = write_batched(folder / "p.h5", ids=IDS)
        boxes = write_json(folder / "b.json", random_rows(40).tolist())
        self.folder = folder
        self.out = folder / f"{NAME}.h5"
        options = ["--compression", compression] if compression else []
        self._arguments = ["extract", str(pyramid), str(boxes), "-o", str(self.out), "--threads", "2", *options]

    def run(self, *options: str) -> int:
        """Runs the job in this process; returns its exit code."""
        from msroi_cli.cli import main

        try:
            main([*self._arguments, *options], prog_name="msroi")
        except SystemExit as end:
            return int(end.code or 0)
        return 0

    def left(self) -> list[Path]:
        """The files of the output."""
        return sorted(path for path in self.folder.iterdir() if NAME in path.name)

    def clear(self) -> None:
        """Removes them."""
        for path in self.left():
            path.unlink()


def contents(path: Path) -> dict[str, bytes]:
    """The bytes of every dataset."""
    import h5py

    with h5py.File(path) as file:
        return {
            name: file[name][()].tobytes() if name != "image_ids" else str(file[name][()]).encode() for name in file
        }


def in_child(
    job: Job, shim: ctypes.CDLL, fault: tuple[int, int, int], call: int, *options: str
) -> tuple[int, int, str]:
    """Runs the job in a fork with one fault armed: its exit code (negative: the signal), calls, and what it said."""
    said, counted = os.pipe(), os.pipe()
    child = os.fork()
    if not child:
        _be_the_child(job, shim, fault, call, options, said[1], counted[1])
    os.close(said[1])
    os.close(counted[1])
    with os.fdopen(said[0], "rb") as stream:
        text = stream.read().decode()
    with os.fdopen(counted[0], "rb") as stream:
        calls = int(stream.read() or 0)
    status = os.waitpid(child, 0)[1]
    return os.waitstatus_to_exitcode(status), calls, text


def _be_the_child(
    job: Job,
    shim: ctypes.CDLL,
    fault: tuple[int, int, int],
    call: int,
    options: tuple[str, ...],
    said: int,
    counted: int,
) -> NoReturn:
    code = CRASHED
    try:
        os.dup2(said, 2)
        kind, error, for_ever = fault
        shim.faults_arm(kind, ctypes.c_long(call), error, for_ever)
        code = job.run(*options)
        os.write(counted, str(shim.faults_counted()).encode())
    except BaseException:  # noqa: BLE001  whatever it is, it must not be the parent that goes on
        shim.faults_arm(0, ctypes.c_long(0), 0, 0)
        traceback.print_exc()
    finally:
        shim.faults_arm(0, ctypes.c_long(0), 0, 0)
        sys.stderr.flush()
        os._exit(code)


def undisturbed(job: Job, shim: ctypes.CDLL, replaced: bool) -> tuple[int, dict[str, bytes]]:
    """The calls of a job without a fault, and what it writes."""
    job.clear()
    code, calls, said = in_child(job, shim, (0, 0, 0), 0, "-q", *_begin(job, replaced))
    assert code == 0, said
    return calls, contents(job.out)


def _begin(job: Job, replaced: bool) -> list[str]:
    """Puts an older output there that is to be `replaced`; the option for it."""
    if replaced:
        job.out.write_bytes(OLD)
    return ["--overwrite"] if replaced else []


def trial(job: Job, shim: ctypes.CDLL, whole: dict[str, bytes], name: str, call: int, replaced: bool) -> Iterator[str]:
    """One fault at one call; yields what was wrong."""
    job.clear()
    fault = FAULTS[name]
    code, _, said = in_child(job, shim, fault, call, *_begin(job, replaced))
    where = f"{name} call {call}"
    if fault[0] == FAIL:
        if code not in (0, 1):
            yield f"{where}: expected exit code 1, or 0 if the call did not matter, got {code}: {said}"
        # Warnings come first.
        start, found, error = said.rpartition("msroi: error: ")
        if code == 1 and (not found or error.count("\n") != 1 or "error" in start or "Traceback" in start):
            yield f"{where}: expected one line of an error, got {said!r}"
    elif code not in (-signal.SIGKILL, 0):
        yield f"{where}: expected to be killed, got exit code {code}: {said}"
    if job.out.exists():
        with suppress(OSError):
            older = replaced and job.out.read_bytes() == OLD
            if older and code == 0:
                yield f"{where}: exit code 0 and the older output"
            if not older and contents(job.out) != whole:
                yield f"{where}: a file that is not whole has the name of the output"
    elif code == 0 or replaced:
        yield f"{where}: exit code {code} and no output"
    code, _, said = in_child(job, shim, (0, 0, 0), 0, "--overwrite" if replaced else "--resume", "-q")
    if code:
        yield f"{where}: resuming gave exit code {code}: {said}"
    elif contents(job.out) != whole:
        yield f"{where}: the resumed output is not that of an undisturbed job"
    elif job.left() != [job.out]:
        yield f"{where}: left behind {[path.name for path in job.left()]}"


def main() -> int:
    """Runs all trials; prints the counts as JSON, and what was wrong."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--every", type=int, default=1, help="try every Nth call only")
    parser.add_argument("--compression", help="as msroi extract takes it")
    parser.add_argument("--one-batch", action="store_true", help="a job of one batch")
    parser.add_argument("--replaced", action="store_true", help="an older output is replaced")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as text:
        folder = Path(text)
        if "FAULTS_NAME" not in os.environ:
            preloaded = {"LD_PRELOAD": str(build_shim(folder)), "FAULTS_NAME": NAME, "FAULTS_SHIM": str(folder)}
            command = [sys.executable, "-m", "tests.faults.inject", *sys.argv[1:]]
            return subprocess.run(command, env={**os.environ, **preloaded}, check=False).returncode
        return run_trials(Job(folder, options.compression, options.one_batch), options.every, options.replaced)


def run_trials(job: Job, every: int, replaced: bool) -> int:
    """All trials, in a process into which the shim is loaded."""
    shim = ctypes.CDLL(None)
    shim.faults_counted.restype = ctypes.c_long
    calls, whole = undisturbed(job, shim, replaced)
    survived: Counter[str] = Counter()
    troubles = []
    for name in FAULTS:
        for call in range(1, calls + 1, every):
            found = list(trial(job, shim, whole, name, call, replaced))
            troubles += found
            survived[name] += not found
    sys.stdout.write(json.dumps({"calls": calls, "survived": dict(survived), "lost": len(troubles)}) + "\n")
    sys.stderr.writelines(f"{trouble}\n" for trouble in troubles)
    return 3 if troubles else 0


if __name__ == "__main__":
    sys.exit(main())
