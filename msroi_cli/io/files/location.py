"""Where an input is: a file, and optionally a group inside it, written `FILE::/group`."""

from __future__ import annotations

import hashlib
import json
import os
from collections import Counter
from collections.abc import Mapping, Sequence
from contextlib import suppress
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

from msroi_cli.errors import InputError, unreadable

FINGERPRINT_BYTES = 1 << 20
# Of many files together, and at each end of one of many.
TOTAL_FINGERPRINT_BYTES, LEAST_FINGERPRINT_BYTES = 64 << 20, 4 << 10
# At each end of a file behind a link: there may be one for each image.
LINKED_FINGERPRINT_BYTES = 16 << 10
FIRST_BYTES = 1 << 16

HDF5_SIGNATURE = b"\x89HDF\r\n\x1a\n"


class Location(NamedTuple):
    """A file as the user named it, and the group inside it ("/" for the whole file)."""

    path: Path
    group: str = "/"

    @classmethod
    def parse(cls, text: str) -> Location:
        """Splits `FILE::/group`; a file whose name holds `::` itself is meant as it stands if it exists."""
        name, separator, group = text.rpartition("::")
        if not separator or os.path.exists(text):  # noqa: PTH110 unlike Path.exists, false for names that cannot be
            return cls(Path(text))
        return cls(Path(name), "/" + group.strip("/"))

    def kind(self) -> str:
        """ "HDF5", "NPZ" or "JSON", told by the content; "HDF5" if it is none of them.

        Raises InputError if there is no such file.
        """
        start = self.content(FIRST_BYTES)
        if start.startswith(b"PK\x03\x04"):
            return "NPZ"
        text = start.decode(json.detect_encoding(start), errors="ignore").lstrip("\ufeff \t\r\n")
        return "JSON" if text[:1] in ("{", "[") and not self.is_hdf5() else "HDF5"

    def is_hdf5(self) -> bool:
        """Whether the signature of HDF5 is there: at 0, or behind a user block at 512, 1024, 2048 ..."""
        start = 0
        try:
            with self.path.open("rb") as file:
                size = file.seek(0, 2)
                while start < size:
                    file.seek(start)
                    if file.read(len(HDF5_SIGNATURE)) == HDF5_SIGNATURE:
                        return True
                    start = start * 2 or 512
        except OSError as error:
            raise unreadable(self.path, error) from error
        return False

    def is_safetensors(self) -> bool:
        """Whether the file begins as safetensors: the length of a header that fits in, and JSON behind it."""
        try:
            with self.path.open("rb") as file:
                start = file.read(9)
                size = file.seek(0, 2)
        except OSError as error:
            raise unreadable(self.path, error) from error
        return len(start) == 9 and start[8:] == b"{" and 2 <= int.from_bytes(start[:8], "little") <= size - 8

    def content(self, limit: int = -1) -> bytes:
        """The bytes of the file, the first `limit` of them; raises InputError if it cannot be read."""
        try:
            with self.path.open("rb") as file:
                return file.read(limit)
        except OSError as error:
            raise unreadable(self.path, error) from error

    def at(self, *parts: str) -> str:
        """The name of something inside, for messages: `maps.h5:/17/p3`."""
        inside = "/".join([self.group.rstrip("/"), *parts])
        return f"{self.path}:{inside}" if inside.strip("/") else str(self.path)

    def __str__(self) -> str:
        return self.at()


def last_modified(paths: Sequence[Path]) -> str | int | None:
    """When a file was modified, ns; of several, what changes when one of them is; None if there is none."""
    times = []
    for path in paths:
        with suppress(FileNotFoundError, NotADirectoryError):
            times.append(path.stat().st_mtime_ns)
    if len(times) < 2:
        return times[0] if times else None
    return hashlib.sha256(json.dumps(times).encode()).hexdigest()


def different_keys(where: object, pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    """A JSON object of its keys and values; raises InputError for a key that is there twice, of which one would win."""
    found = dict(pairs)
    if len(found) < len(pairs):
        twice = next(key for key, count in Counter(key for key, _ in pairs).items() if count > 1)
        raise InputError(f"{where}: expected each key of an object once, got {twice[:60]!r} twice")
    return found


def parse_json(where: object, content: bytes) -> Any:
    """Parses JSON; raises InputError with the line and column of what is wrong, and for a key that is there twice."""
    try:
        return json.loads(content, object_pairs_hook=partial(different_keys, where))
    except InputError:
        raise
    except json.JSONDecodeError as error:
        raise InputError(f"{where}:{error.lineno}:{error.colno}: expected JSON, got: {error.msg}") from error
    except (ValueError, RecursionError) as error:
        # Not UTF-8, a number of thousands of digits, or nested too deeply.
        raise InputError(f"{where}: expected JSON, got: {error}") from error


class Source(NamedTuple):
    """What an output says of an input: its name, its size in bytes and a fingerprint of its content.

    modified: when it changed last, ns; of several files, what changes when one of them does; None if that is not known.
    """

    name: str
    size: int
    fingerprint: str
    modified: str | int | None = None

    @classmethod
    def of_bytes(cls, name: str, content: bytes) -> Source:
        """The source that was read whole."""
        return cls(name, len(content), "sha256:" + hashlib.sha256(content).hexdigest())

    @classmethod
    def of_file(cls, path: Path) -> Source:
        """The source that is too large to be read whole: its size, its first and its last mebibyte stand for it."""
        size, digest = _ends(path, FINGERPRINT_BYTES)
        return cls(path.name, size, "sha256-ends:" + digest)

    @classmethod
    def of_linked_file(cls, path: Path) -> Source:
        """The source that another leads to: its size, its first and last 16 KiB, and when it was modified."""
        size, digest = _ends(path, LINKED_FINGERPRINT_BYTES)
        return cls(path.name, size, "sha256-ends-16k:" + digest, last_modified([path]))

    @classmethod
    def of_files(cls, name: str, paths: Sequence[Path]) -> Source:
        """One source for many files: their names, sizes, and first and last bytes make one digest.

        Names are taken from the folder that all share, so that it may be moved. The more files, the less is read of
        each, at least LEAST_FINGERPRINT_BYTES at each end.
        """
        share = min(FINGERPRINT_BYTES, max(LEAST_FINGERPRINT_BYTES, TOTAL_FINGERPRINT_BYTES // max(1, len(paths))))
        texts = [os.path.join(Path.cwd(), path) for path in paths]  # noqa: PTH118
        folder = os.path.commonpath([os.path.dirname(text) for text in texts])  # noqa: PTH120
        start = len(os.path.join(folder, ""))  # noqa: PTH118
        digest, total = hashlib.sha256(), 0
        for path, text in zip(paths, texts, strict=True):
            try:
                size, *ends = _both_ends(text, share)
            except OSError as error:
                raise unreadable(path, error) from error
            for content in (os.fsencode(text[start:]), str(size).encode(), *ends):
                digest.update(len(content).to_bytes(8, "little") + content)
            total += size
        return cls(name, total, "sha256-files:" + digest.hexdigest(), last_modified(paths))


def checked_sources(where: object, sources: Mapping[str, Any]) -> dict[str, Any]:
    """The sources by role that a file states; raises InputError for one without a name, a size and a fingerprint."""
    for role, source in sources.items():
        found = source if isinstance(source, dict) else {}
        if [type(found.get(name)) for name in ("name", "size", "fingerprint")] != [str, int, str]:
            raise InputError(
                f"{where}: attribute sources: {role:.60}: expected a name, a size and a fingerprint, got {source!s:.60}"
            )
    return dict(sources)


def _both_ends(path: str, share: int) -> tuple[int, bytes, bytes]:
    """The size of a file, and up to `share` bytes at each end; raises OSError."""
    descriptor = os.open(path, os.O_RDONLY | getattr(os, "O_CLOEXEC", 0))
    try:
        size = os.fstat(descriptor).st_size
        return size, os.pread(descriptor, share, 0), os.pread(descriptor, share, max(0, size - share))
    finally:
        os.close(descriptor)


def _ends(path: Path, share: int) -> tuple[int, str]:
    """The size of a file, and a digest of it and of `share` bytes at each end; raises InputError."""
    try:
        with path.open("rb") as file:
            size = file.seek(0, 2)
            digest = hashlib.sha256(str(size).encode())
            for start in (0, max(0, size - share)):
                file.seek(start)
                digest.update(file.read(share))
    except OSError as error:
        raise unreadable(path, error) from error
    return size, digest.hexdigest()
