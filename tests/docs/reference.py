"""The reference in the README, made of what `--help` says: `python -m tests.docs.reference` writes it there."""

from __future__ import annotations

from pathlib import Path

import click
from click.testing import CliRunner

from msroi_cli.cli import main

README = Path(__file__).parents[2] / "README.md"
BEGIN, END = "<!-- What --help says; python -m tests.docs.reference -->\n", "<!-- end of what --help says -->\n"


def commands() -> list[tuple[str, ...]]:
    """Every command and subcommand, in the order of `--help`."""
    names: list[tuple[str, ...]] = []
    for name, command in sorted(main.commands.items()):
        names.append((name,))
        if isinstance(command, click.Group):
            names += [(name, inner) for inner in sorted(command.commands)]
    return names


def reference() -> str:
    """A heading and the help of each command, as Markdown."""
    parts = []
    for names in commands():
        text = CliRunner().invoke(main, [*names, "--help"], prog_name="msroi", terminal_width=100).output
        parts.append(f"### msroi {' '.join(names)}\n\n```text\n{text.strip()}\n```\n")
    return "\n" + "\n".join(parts) + "\n"


def in_readme() -> str:
    """The reference that stands in the README."""
    text = README.read_text(encoding="utf-8")
    return text[text.index(BEGIN) + len(BEGIN) : text.index(END)]


if __name__ == "__main__":
    whole = README.read_text(encoding="utf-8")
    README.write_text(whole.replace(BEGIN + in_readme() + END, BEGIN + reference() + END), encoding="utf-8")
