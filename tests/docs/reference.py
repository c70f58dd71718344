"""The reference in docs/command-line.md, made of `--help`: `python -m tests.docs.reference` writes it again."""

from __future__ import annotations

import click
from click.testing import CliRunner

from msroi_cli.cli import main
from tests.docs.pages import ROOT

PAGE = ROOT / "docs" / "command-line.md"
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


def written_reference() -> str:
    """The reference as the page has it."""
    text = PAGE.read_text(encoding="utf-8")
    return text[text.index(BEGIN) + len(BEGIN) : text.index(END)]


if __name__ == "__main__":
    whole = PAGE.read_text(encoding="utf-8")
    PAGE.write_text(whole.replace(BEGIN + written_reference() + END, BEGIN + reference() + END), encoding="utf-8")
