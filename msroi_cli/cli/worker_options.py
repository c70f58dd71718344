"""The options of jobs that are made in parts."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import click

from msroi_cli.cli import option_values

shard_option = click.option(
    "--shard",
    callback=option_values.shards,
    metavar="I/N",
    help="Make part I of N, counted from 1, in the folder OUT. I,J/N: several. auto, auto/N or auto+OFFSET/N: that of "
    "the task of an array job. A folder with all parts is read as one crops file.",
)

workers_option = click.option(
    "--workers",
    type=click.IntRange(min=1),
    metavar="N",
    help="Processes that write parts of OUT, each with its own threads.  [default: 1]",
)

scheduler_option = click.option(
    "--scheduler",
    metavar="ADDRESS",
    help="Workers of a Dask cluster write parts of OUT, into a folder beside it that all of them have: tcp://HOST:PORT "
    "of its scheduler, or the FILE.json that the scheduler wrote.",
)

shards_option = click.option(
    "--shards",
    type=click.IntRange(min=1),
    metavar="N",
    help="How many parts the workers are given.  [default: one a worker]",
)


def worker_options(command: Callable[..., Any]) -> Callable[..., Any]:
    """Adds all of them, in this order."""
    for option in (shards_option, scheduler_option, workers_option, shard_option):
        command = option(command)
    return command
