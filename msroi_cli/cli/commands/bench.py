"""`msroi bench`: pooling timed beside other libraries."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import click

from msroi_cli.bench.workloads import WORKLOADS
from msroi_cli.cli import terminal
from msroi_cli.cli.output import printable, say, table
from msroi_cli.core.spec import MAX_THREADS

if TYPE_CHECKING:
    from msroi_cli.bench.report import Report

EPILOG = """
\b
Example:
  msroi bench --workload 7x7 --workload 1-box --repeat 15
"""


@click.command(epilog=EPILOG)
@click.option(
    "--workload",
    "names",
    type=click.Choice(list(WORKLOADS)),
    multiple=True,
    help="Workload to measure; repeatable.  [default: all]",
)
@click.option(
    "--repeat",
    type=click.IntRange(min=1),
    default=7,
    show_default=True,
    metavar="N",
    help="Rounds; the median is reported.",
)
@click.option(
    "--threads",
    type=click.IntRange(1, MAX_THREADS),
    metavar="N",
    help="Threads for msroi and for peers that use several.  [default: one per processor]",
)
@click.option("--quick", is_flag=True, help="Run small workloads once, as a check.")
@click.option("--json", "as_json", is_flag=True, help="Print all numbers as one JSON object.")
def bench(names: tuple[str, ...], repeat: int, threads: int | None, quick: bool, as_json: bool) -> None:
    """Time pooling beside torchvision, ONNX Runtime and OpenVINO, as far as they are installed.

    All pool the same arrays in one process, in turns; medians are reported. A peer whose crops differ is not timed.
    """
    from msroi_cli.bench.report import Report

    chosen = [WORKLOADS[name] for name in names or WORKLOADS]
    report = Report([one.quick() for one in chosen] if quick else chosen, 1 if quick else repeat, threads)
    for name, why in report.absent.items():
        say(f"{name}: absent ({why})")
    for result in report.measured():
        say(f"{result.workload.name}: {result.workload.about()}")
        for name, apart in result.differing.items():
            say(f"{result.workload.name}: {name} differs by {apart:.1e} of the largest feature, not timed")
    click.echo(json.dumps(report.as_dict(), indent=2) if as_json else _shown(report))


def _shown(report: Report) -> str:
    peers = report.peers()
    threads = f"{report.threads} thread{'s' if report.threads > 1 else ''}"
    header = ("workload", "1 thread", threads, "out=", *peers, "of copy floor")
    rows = [
        [
            row.name,
            _milliseconds(row.seconds_1_thread),
            _milliseconds(row.seconds),
            _milliseconds(row.seconds_out),
            *(f"{pair[0]:.3g}x ({pair[1]:.3g}x)" if (pair := row.ratios.get(name)) else "-" for name in peers),
            f"{row.share_of_floor:.0%}",
        ]
        for row in report.rows()
    ]
    notes = [
        printable(f"msroi {report.version}, {report.backend}, {report.processor}; medians of {report.repeat}."),
        f"out=: with {threads}, into an existing array; the other columns allocate a new one.",
        f"Peers: time of the peer / time of msroi with {threads} (with 1 thread).",
        "Copy floor: time of a NumPy copy on one thread / time of msroi with out=. The copy moves as many bytes as",
        "reading all features and writing all crops.",
    ]
    return "\n".join([table(header, rows, terminal.width()), "", *notes])


def _milliseconds(seconds: float) -> str:
    return f"{seconds * 1e3:.3g} ms" if seconds >= 1e-3 else f"{seconds * 1e6:.3g} us"
