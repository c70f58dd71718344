"""What the terminal is like: its width, and whether it shows colours."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable
from typing import Any, TextIO, TypeVar

import click

F = TypeVar("F", bound=Callable[..., Any])

COLOURS = {"error": "red", "warning": "yellow"}


class _Choice:
    """Whether --no-color was given in this run."""

    no_color = False


def forget_choice() -> None:
    """At the beginning of a run: nothing was asked for yet."""
    _Choice.no_color = False


def _note(ctx: click.Context, param: click.Parameter, no_color: bool) -> None:
    _Choice.no_color = _Choice.no_color or no_color


def no_color_option() -> click.Option:
    """`--no-color`, which every command takes."""
    text = "Print without colours, as with NO_COLOR set or not on a terminal."
    return click.Option(["--no-color"], is_flag=True, is_eager=True, expose_value=False, callback=_note, help=text)


def width(err: bool = False) -> int | None:
    """The columns of the terminal that standard output, or standard error, is; None if it is none."""
    stream = sys.stderr if err else sys.stdout
    if not _is_terminal(stream):
        return None
    try:
        return os.get_terminal_size(stream.fileno()).columns or None
    except (OSError, ValueError):
        return None


def coloured(stream: TextIO | None) -> bool:
    """Whether to print in colours: on a terminal that knows them, unless NO_COLOR or --no-color says no.

    Source: no-color.org.
    """
    unwanted = _Choice.no_color or os.environ.get("NO_COLOR") or os.environ.get("TERM") == "dumb"
    return not unwanted and _is_terminal(stream)


def painted(text: str, stream: TextIO | None) -> str:
    """A text with `error:` and `warning:` at the beginning of its lines in colours, if `stream` shows them."""
    return "\n".join(map(_painted_line, text.split("\n"))) if coloured(stream) else text


def _painted_line(line: str) -> str:
    """Only what begins a message is coloured: ids and names of files may hold any word."""
    for kind, colour in COLOURS.items():
        for start in (f"msroi: {kind}:", f"{kind}:"):
            if line.startswith(start):
                return click.style(start, fg=colour, bold=True) + line[len(start) :]
    return line


def _is_terminal(stream: TextIO | None) -> bool:
    return stream is not None and not stream.closed and stream.isatty()
