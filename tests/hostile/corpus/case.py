"""A hostile input: a maker of a small file, the rule that it breaks, and the commands that have to refuse it."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

Maker = Callable[[Path], "Path | str"]
"""Makes the file of a case in an empty folder; returns its name as a command takes it."""


@dataclass(frozen=True)
class Case:
    """One hostile file.

    kind: what it pretends to be: "pyramid", "boxes", "crops", "picture". rule: what it breaks, in words. only: the
    commands that can see it, empty for all that read the kind; damage in values cannot be seen without reading them.
    """

    kind: str
    name: str
    rule: str
    make: Maker
    only: Sequence[str] = ()

    def __str__(self) -> str:
        return f"{self.kind}: {self.name}"


CASES: list[Case] = []


def case(kind: str, name: str, rule: str, *, only: Sequence[str] = ()):
    """Registers the decorated maker as a case."""

    def register(make: Maker) -> Maker:
        CASES.append(Case(kind, name, rule, make, only))
        return make

    return register


def cases(kind: str, rule: str, makers: dict[str, Maker], *, only: Sequence[str] = ()) -> None:
    """Registers several cases of one rule."""
    CASES.extend(Case(kind, name, rule, make, only) for name, make in makers.items())
