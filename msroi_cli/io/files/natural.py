"""Natural order of names: numbers by value, text by character."""

from __future__ import annotations

import re
from collections.abc import Iterable

_DIGITS = re.compile(r"([0-9]+)")
Key = tuple[list[str | tuple[int, str]], str]


def natural_order(names: Iterable[str]) -> list[str]:
    """The names sorted: 1, 2, 10, a2, a10; names that differ in leading zeros only by their text."""
    by_text = sorted(names)
    if _are_short_numbers(by_text):
        return by_text if len(set(map(len, by_text))) == 1 else sorted(by_text, key=int)
    return sorted(by_text, key=natural_key)


def natural_key(name: str) -> Key:
    """The key that sorts names in natural order.

    Text and numbers alternate; a number is compared by its count of digits, then digit by digit, whatever its length.
    """
    parts: list[str | tuple[int, str]] = list(_DIGITS.split(name))
    for index in range(1, len(parts), 2):
        digits = str(parts[index]).lstrip("0")
        parts[index] = (len(digits), digits)
    return parts, name


def _are_short_numbers(names: list[str]) -> bool:
    text = "".join(names)
    return text.isascii() and text.isdecimal() and all(0 < size < 20 for size in set(map(len, names)))
