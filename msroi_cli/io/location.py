"""Where an input is: a file, and optionally a group inside it, written `FILE::/group`."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from pathlib import Path

from msroi_cli.errors import InputError

FINGERPRINT_BYTES = 1 << 20


@dataclass(frozen=True, slots=True)
class Location:
    """A file as the user named it, and the group inside it ("/" for the whole file)."""

    path: Path
    group: str = "/"

    @classmethod
    def parse(cls, text: str) -> Location:
        """Splits `FILE::/group`; a file whose name holds `::` itself is meant as it stands if it exists."""
        name, separator, group = text.rpartition("::")
        if not separator or Path(text).exists():
            return cls(Path(text))
        return cls(Path(name), "/" + group.strip("/"))

    def at(self, *parts: str) -> str:
        """The name of something inside, for messages: `maps.h5:/17/p3`."""
        inside = "/".join([self.group.rstrip("/"), *parts])
        return f"{self.path}:{inside}" if inside.strip("/") else str(self.path)

    def __str__(self) -> str:
        return self.at()


@dataclass(frozen=True, slots=True)
class Source:
    """What an output says of an input: its name, its size in bytes and a fingerprint of its content."""

    name: str
    size: int
    fingerprint: str

    @classmethod
    def of_bytes(cls, name: str, content: bytes) -> Source:
        """The source that was read whole."""
        return cls(name, len(content), "sha256:" + hashlib.sha256(content).hexdigest())

    @classmethod
    def of_file(cls, path: Path) -> Source:
        """The source that is too large to be read whole: its size, its first and its last mebibyte stand for it."""
        try:
            with path.open("rb") as file:
                size = file.seek(0, 2)
                digest = hashlib.sha256(str(size).encode())
                for start in (0, max(0, size - FINGERPRINT_BYTES)):
                    file.seek(start)
                    digest.update(file.read(FINGERPRINT_BYTES))
        except OSError as error:
            raise InputError(f"{path}: cannot be read: {error.strerror or error}") from error
        return cls(path.name, size, "sha256-ends:" + digest.hexdigest())
