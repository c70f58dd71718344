"""One module for each command, imported when the command is wanted."""

from __future__ import annotations

from collections.abc import Iterator, MutableMapping
from importlib import import_module

import click

from msroi_cli.cli.terminal import no_color_option

NAMES = (
    *("extract", "features", "inspect", "validate", "assign", "stats"),
    *("preview", "export", "merge", "verify", "bench"),
)


class Commands(MutableMapping[str, click.Command]):
    """The commands by name, as `click.Group.commands`; to ask for one imports its module."""

    def __init__(self) -> None:
        self._imported: dict[str, click.Command | None] = dict.fromkeys(NAMES)

    def __getitem__(self, name: str) -> click.Command:
        command = self._imported[name]
        if command is None:
            command = self._imported[name] = _command(name)
        return command

    def __setitem__(self, name: str, command: click.Command) -> None:
        self._imported[name] = command

    def __delitem__(self, name: str) -> None:
        del self._imported[name]

    def __iter__(self) -> Iterator[str]:
        return iter(self._imported)

    def __len__(self) -> int:
        return len(self._imported)


def _command(name: str) -> click.Command:
    command: click.Command = getattr(import_module(f"{__name__}.{name}"), name)
    inner = command.commands.values() if isinstance(command, click.Group) else ()
    for each in (command, *inner):
        each.params.append(no_color_option())
    return command
