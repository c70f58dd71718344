"""The command line: parse, call once, print. Heavy imports are inside the commands, so that `--help` is instant."""

from __future__ import annotations

import click

from msroi_cli import __version__
from msroi_cli.cli.bench import bench
from msroi_cli.cli.boundary import Boundary
from msroi_cli.cli.extract import extract
from msroi_cli.cli.inspect import inspect
from msroi_cli.cli.verify import verify


@click.group(cls=Boundary, context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 120})
@click.version_option(__version__, prog_name="msroi")
def main() -> None:
    """Cut fixed-size crops of feature pyramids for boxes: multi-scale RoI Align, without a framework.

    \b
    Exit codes: 0 done; 1 the run failed; 2 usage; 3 the input is bad; 130 and 143 after SIGINT and SIGTERM.
    """


for command in (extract, inspect, verify, bench):
    main.add_command(command)
