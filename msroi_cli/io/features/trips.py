"""How long reads of a file take: what one costs whatever its size, and what its bytes cost, as measured.

A page cache answers in microseconds, a disk in a tenth of a millisecond, a server in some milliseconds. The bytes that
one more read would cost are worth reading along, where they lie between two ranges that are wanted.
"""

from __future__ import annotations

from collections import deque
from functools import lru_cache

# Reads of at most so many bytes on average say what a read costs, those of at least so many what bytes cost.
SMALL, LARGE = 64 << 10, 256 << 10

# Fewer reads than these say little about one.
FEWEST = 8

# Before anything was measured: as from a page cache, in seconds and bytes a second.
TRIP, RATE = 5e-6, 2e9

# Of so many of each kind the fastest counts: others waited for a processor, too.
REMEMBERED = 4

MOST = 4 << 20


class Trips:
    """The last reads of a file. Threads may share it: what one overwrites of another is measured again soon.

    trips: seconds of one small read. rates: bytes a second of large ones.
    """

    def __init__(self) -> None:
        self.trips: deque[float] = deque(maxlen=REMEMBERED)
        self.rates: deque[float] = deque(maxlen=REMEMBERED)

    def add(self, count: int, size: int, seconds: float) -> None:
        """Notes `count` reads of `size` bytes together."""
        if size >= count * LARGE:
            self.rates.append(size / max(seconds, 1e-9))
        elif count >= FEWEST and size <= count * SMALL:
            self.trips.append(max(0.0, seconds - size / self._rate()) / count)

    def worth_reading(self) -> int:
        """How many bytes take as long as one more read."""
        return min(MOST, int(min(self.trips.copy(), default=TRIP) * self._rate()))

    def _rate(self) -> float:
        return max(self.rates.copy(), default=RATE)


@lru_cache(maxsize=64)
def trips_of_device(device: int) -> Trips:
    """What many files of one device have in common."""
    return Trips()
