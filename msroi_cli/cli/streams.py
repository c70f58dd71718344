"""Standard streams that were closed before the command began."""

from __future__ import annotations

import os
import sys
from contextlib import suppress

# What each has in its place: reading from the first and writing to the second fail, what goes to the third is dropped.
STAND_INS = {0: os.O_WRONLY, 1: os.O_RDONLY, 2: os.O_WRONLY}


def fill_closed_streams() -> None:
    """Opens something in the place of closed standard streams.

    Otherwise the next file that is opened has their number, and what a library prints ends in it. Standard output gets
    a stream that cannot be written to, so that nobody takes a command that printed nothing for one that succeeded.
    """
    for number, flags in STAND_INS.items():
        try:
            os.fstat(number)
        except OSError:
            descriptor = os.open(os.devnull, flags)
            if descriptor != number:
                os.dup2(descriptor, number)
                os.close(descriptor)
    if sys.stdout is None:
        sys.stdout = os.fdopen(1, "w", encoding="utf-8", closefd=False)


def drop_output() -> None:
    """Drops what was printed and could not be written: Python would try again when it ends, and fail."""
    with suppress(OSError, ValueError, AttributeError):
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
