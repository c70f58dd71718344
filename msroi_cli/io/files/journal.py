"""The journal of a job: what is on the disk already, so that a killed job can go on.

A text file beside the output, appended to and never rewritten. Each line is the CRC32 of the rest of the line, in eight
hexadecimal digits, a space, and JSON. The first line says which job it is; each other one is a batch whose crops were
on the disk before the line was written. A last line that was cut short does not count. While a job lives it holds a
lock on the file.
"""

from __future__ import annotations

import json
import os
import zlib
from collections.abc import Iterable, Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any

from msroi_cli.errors import RunError, UsageError
from msroi_cli.io.files.atomic import failures_named
from msroi_cli.io.files.durability import sync, write_all

FORMAT = "msroi-journal"
VERSION = 1
CLOSED = -1


class Journal:
    """The journal of the output `target`, held by this process.

    identity: what the job was, None in a new journal. records: of its finished batches, in the order of finishing.
    """

    def __init__(self, target: Path) -> None:
        """Opens or makes the journal; raises UsageError while another process holds it."""
        self.target = target
        self.path = target.with_name(f".{target.name}.journal")
        with failures_named(target):
            self._file = _open_locked(self.path, target)
            try:
                entries, length = _whole_entries(os.pread(self._file, os.fstat(self._file).st_size, 0))
                os.ftruncate(self._file, length)
            except BaseException:
                os.close(self._file)
                raise
        self.identity, self.records = _job_and_records(entries)

    def clear(self) -> None:
        """Forgets everything, on the disk too: what follows may undo what was recorded."""
        with failures_named(self.target):
            os.ftruncate(self._file, 0)
            os.fsync(self._file)
        self.identity, self.records = None, []

    def begin(self, identity: Mapping[str, Any]) -> None:
        """Says in an empty journal which job it is of; plain JSON values."""
        self.identity = identity
        self._append([{"format": FORMAT, "version": VERSION, "job": identity}])
        with failures_named(self.target):
            sync(self.path.parent)

    def add(self, records: Iterable[dict[str, Any]]) -> None:
        """Records batches whose crops are on the disk; they are recorded when this returns."""
        new = list(records)
        self._append(new)
        self.records += new

    def _append(self, entries: list[dict[str, Any]]) -> None:
        with failures_named(self.target):
            write_all(self._file, b"".join(_line(entry) for entry in entries))
            os.fsync(self._file)

    def remove(self) -> None:
        """Removes the journal and lets go of it."""
        with suppress(OSError):
            self.path.unlink()
        self.release()

    def release(self) -> None:
        """Lets go of the journal and leaves it where it is; does nothing the second time.

        A number that is closed twice may be another thread's file by then.
        """
        file, self._file = self._file, CLOSED
        if file != CLOSED:
            os.close(file)


def _line(entry: Mapping[str, Any]) -> bytes:
    text = json.dumps(entry, separators=(",", ":")).encode()
    return b"%08x %s\n" % (zlib.crc32(text), text)


def _open_locked(path: Path, target: Path) -> int:
    """Opens or makes the journal of `target` and locks it."""
    while True:
        file = os.open(path, os.O_RDWR | os.O_CREAT | os.O_APPEND | getattr(os, "O_CLOEXEC", 0), 0o666)
        try:
            _lock(file, target)
            # The process that held it may have removed it when done: then the name is another file's, or nobody's.
            if _same_file(file, path):
                return file
        except BaseException:
            os.close(file)
            raise
        os.close(file)


def _whole_entries(content: bytes) -> tuple[list[dict[str, Any]], int]:
    """The entries of a journal up to the first line that is damaged or cut short, and their length in bytes."""
    entries, length = [], 0
    for line in content.splitlines(keepends=True):
        entry = _parsed(line)
        if entry is None:
            break
        entries.append(entry)
        length += len(line)
    return entries, length


def _job_and_records(entries: list[dict[str, Any]]) -> tuple[Mapping[str, Any] | None, list[dict[str, Any]]]:
    """The identity of the job and its records; none of a journal that is new or of another version."""
    if not entries or entries[0].get("format") != FORMAT or entries[0].get("version") != VERSION:
        return None, []
    return entries[0]["job"], entries[1:]


def _parsed(line: bytes) -> dict[str, Any] | None:
    """The entry of a line; None if it is damaged or cut short."""
    text = line[9:-1]
    if not line.endswith(b"\n") or line[:9] != b"%08x " % zlib.crc32(text):
        return None
    try:
        entry = json.loads(text)
    except ValueError:
        return None
    return entry if isinstance(entry, dict) else None


def _lock(file: int, target: Path) -> None:
    try:
        import fcntl
    except ImportError as error:  # pragma: no cover
        raise RunError(f"{target}: expected a system with POSIX file locks, got {os.name}") from error
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        raise UsageError(f"{target}: locked by another msroi process") from None


def _same_file(file: int, path: Path) -> bool:
    try:
        return os.path.samestat(os.fstat(file), path.stat())
    except FileNotFoundError:
        return False
