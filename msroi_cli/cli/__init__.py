"""The command line: parse, call once, print. Heavy imports are inside the commands, so that `--help` is instant."""

from __future__ import annotations

import click

from msroi_cli import __version__
from msroi_cli.cli.commands import Commands
from msroi_cli.cli.group import ErrorMappingGroup
from msroi_cli.cli.options import note_verbose
from msroi_cli.cli.terminal import no_color_option
from msroi_cli.core.backends.environment import backend_text, spare_blas_threads

VERSION_HELP = "Show the version and the backend in use and exit."


def _version(ctx: click.Context, param: click.Parameter, asked: bool) -> None:
    if asked and not ctx.resilient_parsing:
        click.echo(f"msroi, version {__version__}, {backend_text()}")
        ctx.exit()


@click.group(
    cls=ErrorMappingGroup,
    commands=Commands(),
    context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 120},
)
@click.option(
    "-v", "--verbose", is_flag=True, expose_value=False, callback=note_verbose, help="Print what caused a failure."
)
@click.option("--version", is_flag=True, is_eager=True, expose_value=False, callback=_version, help=VERSION_HELP)
def main() -> None:
    """Cut fixed-size crops of feature pyramids for boxes: multi-scale RoI Align, without a framework.

    \b
    Exit codes: 0 done; 1 the run failed; 2 usage; 3 the input is bad; 130 and 143 after SIGINT and SIGTERM.
    """
    spare_blas_threads()


main.params.append(no_color_option())
