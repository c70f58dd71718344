"""Runs `msroi` in the child of a fork, with limits on its memory and its time, so that a crash is one run's alone."""

from __future__ import annotations

import ctypes
import json
import os
import resource
import signal
import sys
import tempfile
import traceback
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from tests.builders import run

SPACE = 500 << 20  # bytes of address space beyond what the child of a fork starts with
SECONDS = 2.0  # of processor time; a loaded machine takes longer by the clock
WALL_SECONDS = 60  # for what waits and does not work
M_ARENA_MAX = -8


@dataclass(frozen=True)
class Ending:
    """How a run ended. code: its exit code, or minus the signal that killed it. seconds: of processor time."""

    code: int
    stdout: str
    stderr: str
    seconds: float


def limited_runs(commands: Sequence[Sequence[object]]) -> list[Ending]:
    """Runs each command line; the rest of them in another child where one does not survive."""
    endings: list[Ending] = []
    while len(endings) < len(commands):
        some, code = _in_child(commands[len(endings) :])
        endings += some
        if code:
            endings.append(Ending(-(code & 0x7F) or code >> 8, "", _death(code), SECONDS))
    return endings


def _death(code: int) -> str:
    number = code & 0x7F
    return f"killed by {signal.Signals(number).name}" if number else f"left with code {code >> 8}"


def _in_child(commands: Sequence[Sequence[object]]) -> tuple[list[Ending], int]:
    with tempfile.TemporaryDirectory() as folder:
        results = Path(folder) / "results"
        results.touch()
        child = os.fork()
        if child == 0:
            try:
                limit_memory()
                for command in commands:
                    _run_one(command, results, Path(folder))
            except BaseException:  # noqa: BLE001 the child must not go on as the test session
                results.with_name("trace").write_text(traceback.format_exc())
                os._exit(99)
            os._exit(0)
        _, code = os.waitpid(child, 0)
        trace = results.with_name("trace")
        assert not trace.exists(), trace.read_text()
        return [Ending(**json.loads(line)) for line in results.read_text().splitlines()], code


def limit_memory() -> None:
    """Of the child: a core file is nobody's, and memory is counted as it is used and not as threads set it aside."""
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    if sys.platform == "linux":
        ctypes.CDLL(None).mallopt(M_ARENA_MAX, 1)
        pages = int(Path("/proc/self/statm").read_text().split()[0])
        limit = pages * resource.getpagesize() + SPACE
        resource.setrlimit(resource.RLIMIT_AS, (limit, limit))


def limit_time(seconds: float) -> None:
    """Of the child: more processor time than this from now on, or far too long a wait, kills it."""
    hard = resource.getrlimit(resource.RLIMIT_CPU)[1]
    resource.setrlimit(resource.RLIMIT_CPU, (int(_used() + 2 * seconds) + 1, hard))
    signal.signal(signal.SIGXCPU, signal.SIG_DFL)
    signal.signal(signal.SIGALRM, signal.SIG_DFL)
    signal.alarm(WALL_SECONDS)


def _used() -> float:
    usage = resource.getrusage(resource.RUSAGE_SELF)
    return usage.ru_utime + usage.ru_stime


def _run_one(command: Sequence[object], results: Path, folder: Path) -> None:
    """Runs a command; what C libraries print counts as standard error too."""
    before = _used()
    limit_time(SECONDS)
    native = folder / "stderr"
    descriptor = os.open(native, os.O_CREAT | os.O_TRUNC | os.O_WRONLY)
    os.dup2(descriptor, 2)
    os.dup2(descriptor, 1)
    os.close(descriptor)
    result = run(*command)
    if result.exception is not None and not isinstance(result.exception, SystemExit):
        text = "".join(traceback.format_exception(result.exception))
    else:
        text = ""
    stderr = result.stderr + native.read_text(errors="replace") + text
    line = json.dumps(
        {"code": result.exit_code, "stdout": result.stdout, "stderr": stderr, "seconds": _used() - before}
    )
    with results.open("a") as file:
        file.write(line + "\n")
