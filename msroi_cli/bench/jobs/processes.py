"""Processes timed in turns, with the memory of the system as it should be before each."""

from __future__ import annotations

import ctypes
import mmap
import os
import subprocess
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import IO

import numpy as np

from msroi_cli.errors import RunError, UsageError

# A process that was asked to end has so many seconds.
PATIENCE = 5
SCRATCH_BLOCK = 1 << 24
# What was written just now may need some tries, with so many seconds in between.
DROPS, PAUSE = 20, 0.05


@dataclass(frozen=True, slots=True)
class Spent:
    """The seconds of a process from start to end, and those of processors, user and system, of it and its children."""

    seconds: float
    processor: float


def in_turns(
    commands: Mapping[str, list[str]], repeat: int, prepare: Callable[[], None], folder: Path
) -> dict[str, list[Spent]]:
    """What each command takes, `repeat` times, in every round another one first; `prepare` is called before each.

    Raises RunError for one that fails.
    """
    turns = list(commands.items())
    spent: dict[str, list[Spent]] = {name: [] for name in commands}
    for turn in range(repeat):
        first = turn % len(turns)
        for name, command in turns[first:] + turns[:first]:
            prepare()
            spent[name].append(_measured(name, command, folder))
    return spent


def _measured(name: str, command: list[str], folder: Path) -> Spent:
    with (folder / "messages").open("w+b") as messages:
        started = time.perf_counter()
        process = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=messages)
        try:
            _, status, usage = os.wait4(process.pid, 0)
        except BaseException:
            _end(process)
            raise
        seconds = time.perf_counter() - started
        process.returncode = os.waitstatus_to_exitcode(status)
        if process.returncode:
            raise RunError(f"{name}: expected exit code 0, got {process.returncode}: {_last_line(messages)}")
    return Spent(seconds, usage.ru_utime + usage.ru_stime)


def _end(process: subprocess.Popen[bytes]) -> None:
    """Has a process end, so that nothing writes any more to the folder that is about to be removed."""
    process.terminate()
    try:
        process.wait(PATIENCE)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()


def _last_line(messages: IO[bytes]) -> str:
    messages.seek(0)
    lines = messages.read().decode(errors="replace").strip().splitlines()
    return lines[-1] if lines else "no message"


def touch_memory(folder: Path, size: int) -> None:
    """Gives the cache of the system `size` bytes of memory, and lets go of them.

    A virtual machine gets memory that was free for a while from its host again, page by page: whoever comes first would
    pay for that, up to some seconds a gigabyte.
    """
    scratch, zeros = folder / "scratch", bytes(SCRATCH_BLOCK)
    with scratch.open("wb") as file:
        for start in range(0, size, SCRATCH_BLOCK):
            file.write(zeros[: size - start])
    scratch.unlink()


def drop_from_cache(path: Path) -> None:
    """Has the system read a file from its disk again; raises UsageError where that cannot be had."""
    if not hasattr(os, "posix_fadvise"):
        raise UsageError("--cold: expected a system that can drop a file from its cache (posix_fadvise)")
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
        for _ in range(DROPS):
            os.posix_fadvise(descriptor, 0, 0, os.POSIX_FADV_DONTNEED)
            if not _pages_in_memory(descriptor):
                return
            time.sleep(PAUSE)
    finally:
        os.close(descriptor)
    raise UsageError(
        f"--cold: expected a file system on a disk, got one that keeps {path} in memory (--folder names another)"
    )


def _pages_in_memory(descriptor: int) -> int:
    """How many pages of a file its system has in memory, as mincore(2) says; 0 where it does not say."""
    size = os.fstat(descriptor).st_size
    pages = np.zeros(-(-size // mmap.PAGESIZE), np.uint8)
    with mmap.mmap(descriptor, 0, access=mmap.ACCESS_COPY) as mapped:
        # A name for it would keep the map from being closed.
        start = ctypes.addressof(ctypes.c_char.from_buffer(mapped))
        failed = ctypes.CDLL(None).mincore(*map(ctypes.c_void_p, (start, size, pages.ctypes.data)))
    return 0 if failed else int(np.count_nonzero(pages & 1))
