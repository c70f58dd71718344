"""Items made ahead of their use by threads, in order and within a number of bytes."""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from typing import Generic, TypeVar

Key = TypeVar("Key")
Item = TypeVar("Item")


class _ClosedError(Exception):
    """Nobody takes items any more."""


@dataclass
class _Call(Generic[Item]):
    """One call that makes items, and those of them that wait to be taken with their bytes."""

    items: deque[tuple[Item, int]] = field(default_factory=deque)
    ended: bool = False
    error: BaseException | None = None


@dataclass(frozen=True, slots=True)
class Ahead:
    """How far items are made ahead: calls that run at a time, and bytes of items that wait to be taken.

    The next item is made however large it is.
    """

    calls: int
    limit: int


class Feed(Generic[Key, Item]):
    """Iterates over the items that `make` gives for each of `groups`, in order; `size_of` tells their bytes.

    `make` runs in threads, each call in one. An error of a call is raised where its next item would come. `close` ends
    the threads as soon as they make their next item.
    """

    def __init__(
        self,
        make: Callable[[Sequence[Key]], Iterable[Item]],
        groups: Iterable[Sequence[Key]],
        size_of: Callable[[Item], int],
        ahead: Ahead,
    ) -> None:
        self._make = make
        self._groups = iter(groups)
        self._size_of = size_of
        self._limit = ahead.limit
        self._held = 0
        self._closed = False
        self._changed = threading.Condition()
        self._calls: deque[_Call[Item]] = deque()
        self._executor = ThreadPoolExecutor(ahead.calls, thread_name_prefix="msroi-feed")
        for _ in range(ahead.calls):
            self._start()

    def _start(self) -> None:
        """Starts the call for the next group, if there is one."""
        group = next(self._groups, None)
        if group is not None:
            call: _Call[Item] = _Call()
            self._calls.append(call)
            self._executor.submit(self._run, call, group)

    def _run(self, call: _Call[Item], group: Sequence[Key]) -> None:
        try:
            self._wait_for_room(call)
            for item in self._make(group):
                self._put(call, item)
                self._wait_for_room(call)
        except _ClosedError:
            pass
        except BaseException as error:  # noqa: BLE001  raised again in the thread that takes the items
            call.error = error
        with self._changed:
            call.ended = True
            self._changed.notify_all()

    def _wait_for_room(self, call: _Call[Item]) -> None:
        """Waits until the next item may be made; one for which the taker waits may always."""
        with self._changed:
            while not (self._closed or self._held < self._limit or (call is self._calls[0] and not call.items)):
                self._changed.wait()
            if self._closed:
                raise _ClosedError

    def _put(self, call: _Call[Item], item: Item) -> None:
        size = self._size_of(item)
        with self._changed:
            call.items.append((item, size))
            self._held += size
            self._changed.notify_all()

    def __iter__(self) -> Iterator[Item]:
        """The items; each is out of the feed's hands when it is given."""
        while self._calls:
            call = self._calls[0]
            with self._changed:
                while not (call.items or call.ended):
                    self._changed.wait()
                taken = call.items.popleft() if call.items else None
                if taken is not None:
                    self._held -= taken[1]
                else:
                    self._calls.popleft()
                self._changed.notify_all()
            if taken is not None:
                yield taken[0]
                del taken
            elif call.error is not None:
                raise call.error
            else:
                self._start()

    def close(self) -> None:
        """Ends all calls; waits for those that are making an item."""
        with self._changed:
            self._closed = True
            self._changed.notify_all()
        self._executor.shutdown(cancel_futures=True)
