"""The journal of a job: what is on the disk already, so that a killed job can go on.

A text file beside the output, appended to and never rewritten. Each line is the CRC32 of the rest of the line, in eight
hexadecimal digits, a space, and JSON. The first line says which job it is; each other one is a batch whose crops were
on the disk before the line was written. A last line that was cut short does not count. While a job lives it holds a
lock on the file.

The first line is on the disk before any other work file has a name, and goes after all of them: work files without it
are somebody else's. Until then the journal is empty, and no more than the lock.
"""

from __future__ import annotations

import json
import os
import zlib
from collections.abc import Iterable, Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any

from msroi_cli.errors import UsageError
from msroi_cli.io.files.atomic import failures_named
from msroi_cli.io.files.durability import sync, write_all
from msroi_cli.io.files.system import lock
from msroi_cli.io.files.target import kind_of
from msroi_cli.io.files.work import check, create, foreign, reopen

FORMAT = "msroi-journal"
VERSION = 2
CLOSED = -1

# What the first line begins with, behind its checksum.
OURS = b' {"format":"%s","version":' % FORMAT.encode()


def journal_path(target: Path) -> Path:
    """The name of the journal of an output."""
    return target.with_name(f".{target.name}.journal")


class Journal:
    """The journal of the output `target`, held by this process.

    identity: what the job was, None in a new journal. version: of the journal, None of a new or damaged one.
    records: of its finished batches, in the order of finishing.
    """

    def __init__(self, target: Path) -> None:
        """Opens or makes the journal.

        Raises UsageError while another process holds it, and for a file of its name that is no journal.
        """
        self.target = target
        self.path = journal_path(target)
        with failures_named(target):
            self._file, self._lock = _open_locked(self.path, target)
            try:
                self._begun = _begun(self._file, self.path)
                content = os.pread(self._file, os.fstat(self._file).st_size, 0)
                entries, length = _whole_entries(content)
                if 0 < length < len(content):
                    os.ftruncate(self._file, length)
            except BaseException:
                lock.release(self._lock)
                os.close(self._file)
                raise
        self.version, self.identity, self.records = _job_and_records(entries)

    def claim(self, paths: Iterable[Path]) -> None:
        """Takes over the other work files of an earlier run, those of `paths` that are there.

        Raises UsageError if they are not work files, and leaves them where they are.
        """
        for path in paths:
            if not os.path.lexists(path):
                continue
            if self._begun and self.target.exists() and path.samefile(self.target):
                # Cut short between the two steps of a link, when the output was whole.
                path.unlink()
            elif self._begun:
                check(path)
            else:
                raise foreign(path, "another file")

    def check_version(self, overwrite: bool) -> None:
        """Raises UsageError for the journal of another version, unless its job may be started again."""
        if self.version not in (None, VERSION) and not overwrite:
            raise UsageError(
                f"{self.target}: interrupted job of another version of msroi found: --overwrite starts again"
            )

    def clear(self) -> None:
        """Forgets everything, on the disk too: what follows may undo what was recorded."""
        with failures_named(self.target):
            if os.fstat(self._file).st_size:
                os.ftruncate(self._file, 0)
                os.fsync(self._file)
        self._begun, self.version, self.identity, self.records = False, None, None, []

    def keep(self, count: int) -> None:
        """Forgets all but the first `count` records, on the disk too."""
        with failures_named(self.target):
            lines = os.pread(self._file, os.fstat(self._file).st_size, 0).splitlines(keepends=True)
            os.ftruncate(self._file, sum(map(len, lines[: count + 1])))
            os.fsync(self._file)
        self.records = self.records[:count]

    def begin(self, identity: Mapping[str, Any]) -> None:
        """Says in an empty journal which job it is of; plain JSON values."""
        self._begun, self.version, self.identity = True, VERSION, identity
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
            os.lseek(self._file, 0, os.SEEK_END)
            write_all(self._file, b"".join(_line(entry) for entry in entries))
            os.fsync(self._file)

    def remove(self) -> None:
        """Removes the journal and lets go of it."""
        self._begun = False
        self.release()

    def release(self) -> None:
        """Lets go of the journal and leaves it where it is, unless it is empty; does nothing the second time.

        A number that is closed twice may be another thread's file by then.
        """
        file, self._file = self._file, CLOSED
        if file == CLOSED:
            return
        if not self._begun:
            with suppress(OSError):
                self.path.unlink()
        lock.release(self._lock)
        os.close(file)


def recorded_identity(target: Path) -> Mapping[str, Any]:
    """What the journal of an output says of its job, whoever holds it; empty without a journal of this version.

    Raises UsageError for another file of its name, RunError if it cannot be read.
    """
    path = journal_path(target)
    if kind_of(path) is None:
        return {}
    with failures_named(target):
        file = reopen(path)
        try:
            entries, _ = _whole_entries(os.pread(file, os.fstat(file).st_size, 0))
        finally:
            os.close(file)
    identity = _job_and_records(entries)[1]
    return identity if isinstance(identity, Mapping) else {}


def _line(entry: Mapping[str, Any]) -> bytes:
    text = json.dumps(entry, separators=(",", ":")).encode()
    return b"%08x %s\n" % (zlib.crc32(text), text)


def _open_locked(path: Path, target: Path) -> tuple[int, Path | None]:
    """Opens or makes the journal of `target` and locks it; also the file that is the lock, if it is one."""
    while True:
        try:
            file = create(path)
        except FileExistsError:
            try:
                file = reopen(path)
            except FileNotFoundError:
                continue
        try:
            held = lock.take(file, target)
            # The process that held it may have removed it when done: then the name is another file's, or nobody's.
            if _same_file(file, path):
                return file, held
            lock.release(held)
        except BaseException:
            os.close(file)
            raise
        os.close(file)


def _begun(file: int, path: Path) -> bool:
    """Whether a journal has its first line, cut short or damaged as it may be; raises UsageError for another file.

    An empty one was cut short before its first line.
    """
    start = os.pread(file, 8 + len(OURS), 0)
    if start and start[8:] != OURS:
        raise foreign(path, "another file")
    return bool(start)


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


def _job_and_records(
    entries: list[dict[str, Any]],
) -> tuple[int | None, Mapping[str, Any] | None, list[dict[str, Any]]]:
    """The version of the journal, the identity of the job and its records; nothing of a journal that is new."""
    if not entries or entries[0].get("format") != FORMAT:
        return None, None, []
    version = entries[0].get("version")
    return (version, entries[0]["job"], entries[1:]) if version == VERSION else (version, None, [])


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


def _same_file(file: int, path: Path) -> bool:
    try:
        return os.path.samestat(os.fstat(file), path.stat())
    except FileNotFoundError:
        return False
