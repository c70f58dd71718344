"""A bounded number of files open at a time, however many there are."""

from __future__ import annotations

import threading
from collections import OrderedDict
from collections.abc import Callable, Hashable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Generic, TypeVar

Key = TypeVar("Key", bound=Hashable)
Handle = TypeVar("Handle")

MOST_OPEN, RESERVED, SHARE = 64, 64, 6


def open_limit() -> int:
    """How many files one pool keeps open: a share of what the system allows the process, at most MOST_OPEN."""
    try:
        import resource
    except ImportError:  # Windows, which allows thousands
        return MOST_OPEN
    soft, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
    return MOST_OPEN if soft < 0 else max(4, min(MOST_OPEN, (soft - RESERVED) // SHARE))


@dataclass(slots=True)
class _Entry(Generic[Handle]):
    handle: Handle
    users: int = 0


class Handles(Generic[Key, Handle]):
    """Handles by key, opened when they are wanted; those that were not used for longest are closed first.

    At most `limit` are open, and those in use at the same time.
    """

    def __init__(
        self, open_one: Callable[[Key], Handle], close_one: Callable[[Handle], None], limit: int | None = None
    ) -> None:
        self._open_one, self._close_one = open_one, close_one
        self._limit = limit or open_limit()
        self._entries: OrderedDict[Key, _Entry[Handle]] = OrderedDict()
        self._lock = threading.Lock()

    @contextmanager
    def using(self, key: Key) -> Iterator[Handle]:
        """Yields the handle of `key`, which stays open while the block runs, in any thread."""
        with self._lock:
            entry = self._entries.get(key)
            if entry is None:
                self._make_room()
                entry = self._entries[key] = _Entry(self._open_one(key))
            self._entries.move_to_end(key)
            entry.users += 1
        try:
            yield entry.handle
        finally:
            with self._lock:
                entry.users -= 1

    def _make_room(self) -> None:
        idle = [key for key, entry in self._entries.items() if not entry.users]
        for key in idle[: max(0, len(self._entries) - self._limit + 1)]:
            self._close_one(self._entries.pop(key).handle)

    def close(self) -> None:
        """Closes all; none may be in use."""
        with self._lock:
            while self._entries:
                self._close_one(self._entries.popitem()[1].handle)

    def __len__(self) -> int:
        return len(self._entries)
