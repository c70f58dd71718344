"""The order in which images are numbered: natural order of their ids, numbers by value and text by character."""

from __future__ import annotations

import re
from collections.abc import Iterable

_DIGITS = re.compile(r"([0-9]+)")


def natural_order(ids: Iterable[str]) -> list[str]:
    """The ids sorted: 1, 2, 10, a2, a10; ids that differ in leading zeros alone by their text."""
    by_text = sorted(ids)
    if all(map(_is_short_number, by_text)):
        return sorted(by_text, key=int)
    return sorted(by_text, key=_key)


def _is_short_number(text: str) -> bool:
    return text.isascii() and text.isdecimal() and len(text) < 20


def _key(text: str) -> list[str | tuple[int, str]]:
    """Texts and numbers by turns; a number is compared by how many digits it has, then digit by digit."""
    parts: list[str | tuple[int, str]] = list(_DIGITS.split(text))
    for index in range(1, len(parts), 2):
        digits = str(parts[index]).lstrip("0")
        parts[index] = (len(digits), digits)
    return parts
