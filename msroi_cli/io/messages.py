"""How the values of files are shown in messages."""

from __future__ import annotations

from typing import Any

import numpy as np

LONGEST, MOST_VALUES = 60, 30


def value_text(value: Any) -> str:
    """A value that a file states, on one line of some 60 characters: text in quotes, of many values their shape."""
    if value is None:
        return "none"
    if isinstance(value, np.ndarray) and value.size > MOST_VALUES:
        return f"values of shape {value.shape} and type {value.dtype}"
    text = repr(_plain(value))
    return text if len(text) <= LONGEST else f"{text[:LONGEST]}..."


def _plain(value: Any) -> Any:
    """The value in types of Python, which are shown as they are written."""
    if isinstance(value, np.ndarray | np.generic):
        value = value.tolist()
    if isinstance(value, list):
        return [_plain(one) for one in value]
    return value.decode(errors="replace") if isinstance(value, bytes) else value
