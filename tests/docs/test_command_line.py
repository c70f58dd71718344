"""The reference is what `--help` says, every command and option has a help text, the pictures exist."""

from __future__ import annotations

import re
from importlib.metadata import version

import click
import pytest
from PIL import Image

from msroi_cli.cli import main
from tests.docs.pages import PAGES, README
from tests.docs.reference import commands, reference, written_reference

NEWEST_WORDING = tuple(int(part) for part in version("click").split(".")[:2]) >= (8, 2)


@pytest.mark.skipif(not NEWEST_WORDING, reason="Click before 8.2 lays help out in another way")
def test_the_reference_is_what_help_says():
    assert written_reference().split() == reference().split(), "python -m tests.docs.reference writes it anew"


def test_every_command_is_in_the_reference():
    headings = re.findall(r"^### msroi (.*)$", written_reference(), re.MULTILINE)
    assert headings == [" ".join(names) for names in commands()]


def all_commands(command, *names):
    yield names, command
    for name, inner in getattr(command, "commands", {}).items():
        yield from all_commands(inner, *names, name)


COMMANDS = {" ".join(names): command for names, command in all_commands(main) if names}


@pytest.mark.parametrize("name", COMMANDS)
def test_every_command_explains_itself(name):
    command = COMMANDS[name]
    assert command.help
    assert isinstance(command, click.Group) or "Example" in (command.epilog or "")
    for parameter in command.params:
        if isinstance(parameter, click.Option):
            assert parameter.help, parameter.name


def test_pictures():
    named = [
        page.parent / name
        for page in PAGES
        for name in re.findall(r"!\[[^]]+\]\(([^)]+\.png)\)", page.read_text(encoding="utf-8"))
    ]
    assert any(path.parent.parent == README.parent for path in named)
    for path in named:
        assert path.stat().st_size < 150_000
        with Image.open(path) as picture:
            picture.verify()
