"""Natural order of names: runs of digits by their value, the rest by character."""

from __future__ import annotations

import re

DIGITS = re.compile(r"([0-9]+)")


def natural_key(text: str) -> list[tuple[int, int, str]]:
    """The key that sorts names in natural order: `9` before `10`, `a2` before `a10`, `07` after `7`."""
    return [(0, int(part), part) if part[:1].isdecimal() else (1, 0, part) for part in DIGITS.split(text) if part]
