"""A text that is read once, piece by piece, gzipped or not, and what has been read of it and not been taken yet."""

from __future__ import annotations

from typing import IO, TYPE_CHECKING, Any

from msroi_cli.io.boxes.content import GZIP_SIGNATURE
from msroi_cli.io.files.location import Source

if TYPE_CHECKING:
    import hashlib

# In bytes: what is read and parsed is in the cache.
PIECE = 1 << 20


class Raw:
    """The bytes of a file as they are stored, read once and in order. done: how many of its `size` have been read.

    digest: takes all bytes that are read.
    """

    def __init__(self, file: IO[bytes], size: int, digest: hashlib._Hash | None = None) -> None:
        self.size, self.done = size, 0
        self._file = file
        self._digest = digest
        self._ahead = b""

    def peek(self, count: int) -> bytes:
        """The next `count` bytes, or what there is of them."""
        self._ahead += self._read(count - len(self._ahead))
        return self._ahead[:count]

    def read(self, count: int) -> bytes:
        """The next bytes, `count` at most; none at the end. Raises OSError."""
        ahead, self._ahead = self._ahead, b""
        return ahead + self._read(count - len(ahead))

    def _read(self, count: int) -> bytes:
        content = self._file.read(max(0, count))
        self.done += len(content)
        if self._digest is not None:
            self._digest.update(content)
        return content

    def source(self, name: str) -> Source:
        """The source that was read to its end."""
        if self._digest is None:
            raise TypeError("source: expected a file with a digest")
        return Source(name, self.done, "sha256:" + self._digest.hexdigest())


class Text:
    """A text, unpacked. content: what has been read and is kept. place: up to where it has been taken."""

    def __init__(self, raw: Raw) -> None:
        self.content, self.place = b"", 0
        self._raw = raw
        self._file: Any = raw
        if raw.peek(len(GZIP_SIGNATURE)) == GZIP_SIGNATURE:
            import gzip

            self._file = gzip.GzipFile(fileobj=raw, mode="rb")  # type: ignore[call-overload]

    def more(self) -> bool:
        """Reads on, as much again as is kept, so that nothing is looked at many times; False at the end of the text.

        Raises OSError, EOFError or zlib.error for what cannot be read or unpacked.
        """
        left = self.content[self.place :]
        piece = self._file.read(max(PIECE, len(left)))
        self.content, self.place = left + piece, 0
        return bool(piece)

    def rest(self) -> tuple[int, int]:
        """How many of the stored bytes have been read, about, and how many have not."""
        return self._raw.done, max(0, self._raw.size - self._raw.done)
