"""`msroi verify`: checks the columns, checksums and values of crops files."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import click

from msroi_cli.cli.output import printable, readable, say
from msroi_cli.errors import InputError, UsageError

if TYPE_CHECKING:
    from msroi_cli.job.verify import Contents

EPILOG = """
\b
Example:
  msroi verify crops.h5 --recompute 100 --against features.h5
"""

NO_COLUMN_CHECKSUMS = "; columns not checked: an earlier version made the file, without checksums of them"


@click.command(epilog=EPILOG)
@click.argument("crops", nargs=-1, required=True, type=click.Path(path_type=Path))
@click.option("--recompute", type=click.IntRange(min=1), metavar="N", help="Pool N random rows again and compare them.")
@click.option(
    "--against", metavar="PYRAMID", help="Pyramid that the crops were pooled from; required with --recompute."
)
@click.option("--seed", type=click.IntRange(min=0), metavar="N", help="Seed for the choice of rows.")
@click.option("-q", "--quiet", is_flag=True, help="Print nothing for files that pass.")
def verify(crops: tuple[Path, ...], recompute: int | None, against: str | None, seed: int | None, quiet: bool) -> None:
    """Check the columns and checksums of CROPS and, with --recompute, the crops themselves.

    Problems are listed on standard output, one per line, and the exit code is 3.
    """
    from msroi_cli.job.verify import Contents
    from msroi_cli.job.verify import verify as problems_of

    if (recompute is None) != (against is None):
        raise UsageError("--recompute: expected together with --against, got one of them")
    bad = 0
    for path in crops:
        count, contents = 0, Contents()
        try:
            for problem in problems_of(path, recompute or 0, against, seed, contents):
                click.echo(printable(readable(f"{path}: {problem}")))
                count += 1
        except InputError as error:
            if len(crops) == 1:
                raise
            click.echo(printable(readable(str(error))))
            count += 1
        bad += count > 0
        if not count and not quiet:
            say(f"{path}: passed{_note(contents)}")
    if bad:
        raise InputError(f"{bad} of {len(crops)} files failed verification")


def _note(contents: Contents) -> str:
    """What is no problem: values that are not finite, which the file says too, and columns without checksums."""
    levels = ", ".join(f"{count:,} on level {level}" for level, count in sorted(contents.nonfinite.items()))
    unchecked = "" if contents.columns_checked else NO_COLUMN_CHECKSUMS
    return (f"; {contents.nonfinite.total():,} values not finite: {levels}" if levels else "") + unchecked
