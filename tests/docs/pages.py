"""The pages that users read, and the code blocks in them."""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).parents[2]
README = ROOT / "README.md"
PAGES = [README, *sorted((ROOT / "docs").glob("*.md"))]


@dataclass(frozen=True, slots=True)
class Block:
    """A fenced code block: its language, its text, and the line of the page that opens it."""

    language: str
    text: str
    line: int


def blocks_of(page: Path) -> list[Block]:
    """Every fenced code block of a page, in order."""
    text = page.read_text(encoding="utf-8")
    found = re.finditer(r"^```([a-z]*)\n(.*?)^```$", text, re.MULTILINE | re.DOTALL)
    return [Block(match[1], match[2], text.count("\n", 0, match.start()) + 1) for match in found]
