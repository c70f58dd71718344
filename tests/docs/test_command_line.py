"""The README's reference is what `--help` says, its recipes run, its pictures are there."""

from __future__ import annotations

import re
from importlib.metadata import version

import click
import pytest
from PIL import Image

from msroi_cli.cli import main
from tests.builders import SAMPLE_DATA, extracted
from tests.docs.reference import README, commands, in_readme, reference

TEXT = README.read_text(encoding="utf-8")
NEWEST_WORDING = tuple(int(part) for part in version("click").split(".")[:2]) >= (8, 2)


@pytest.mark.skipif(not NEWEST_WORDING, reason="Click before 8.2 lays help out in another way")
def test_the_reference_is_what_help_says():
    assert in_readme().split() == reference().split(), "python -m tests.docs.reference writes it anew"


def test_every_command_is_in_the_reference():
    headings = re.findall(r"^### msroi (.*)$", in_readme(), re.MULTILINE)
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
    names = re.findall(r"!\[[^]]+\]\((\.github/[^)]+\.png)\)", TEXT)
    assert len(names) == 2
    for name in names:
        path = README.parent / name
        assert path.stat().st_size < 150_000
        with Image.open(path) as picture:
            picture.verify()


@pytest.mark.filterwarnings("ignore:This DataLoader will create")
def test_the_recipe_for_torch(tmp_path, monkeypatch):
    pytest.importorskip("torch")
    blocks = re.findall(r"^```py\n(.*?)^```$", TEXT, re.MULTILINE | re.DOTALL)
    assert len(blocks) == 1
    extracted(tmp_path / "crops.h5", SAMPLE_DATA / "pyramid.h5", SAMPLE_DATA / "words.json", "--box-space", "original")
    monkeypatch.chdir(tmp_path)
    names = {"__name__": "recipe"}
    exec(compile(blocks[0], "README.md", "exec"), names)
    dataset = names["CropsDataset"]("crops.h5")
    loader = names["DataLoader"](dataset, batch_size=16)
    batches = list(loader)
    assert sum(len(crops) for crops, _ in batches) == len(dataset) == 134
