"""Opens a file with the program that the desktop has for it."""

from __future__ import annotations

import os
import sys
from pathlib import Path

import click

from msroi_cli.cli.output import say

open_option = click.option("--open", "opened", is_flag=True, help="Open the picture when it is written, on a desktop.")


def has_desktop() -> bool:
    """Whether programs with windows can be started: always but on Unix without a display."""
    return sys.platform in ("darwin", "win32") or bool(os.environ.get("DISPLAY") or os.environ.get("WAYLAND_DISPLAY"))


def open_file(path: Path) -> None:
    """Opens a file; a line on standard error says so if that is not possible."""
    if not has_desktop() or click.launch(str(path.absolute())):
        say(f"{path}: written, not opened: expected a desktop, got none")
