"""`msroi bench`: pooling timed beside other libraries, and whole jobs beside their floors."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any

import click

from msroi_cli.bench.workloads import WORKLOADS
from msroi_cli.cli import terminal
from msroi_cli.cli.output import printable, say, table
from msroi_cli.core.spec import MAX_THREADS

if TYPE_CHECKING:
    from msroi_cli.bench.jobs.report import JobReport
    from msroi_cli.bench.report import Report

EPILOG = """
\b
Examples:
  msroi bench --workload 7x7 --workload 1-box --repeat 15
  msroi bench --jobs --images 20 --boxes 100 --small-images 0
"""
MOST_IMAGES, MOST_BOXES = 1_000_000, 100_000

JOB_OPTIONS = (
    click.option(
        "--images", type=click.IntRange(0, MOST_IMAGES), metavar="N", help="With --jobs: large images.  [default: 20]"
    ),
    click.option(
        "--boxes",
        type=click.IntRange(1, MOST_BOXES),
        multiple=True,
        metavar="N",
        help="With --jobs: boxes an image, a job each; repeatable.  [default: 36, 100, 1000]",
    ),
    click.option(
        "--small-images",
        type=click.IntRange(0, MOST_IMAGES),
        metavar="N",
        help="With --jobs: images of the job of small images, 0 for none.  [default: 50000]",
    ),
    click.option(
        "--gzip",
        type=click.Choice(["image", "auto"]),
        help="With --jobs: compressed levels, in chunks of 32 channels of an image, or as h5py chooses them.",
    ),
    click.option(
        "--cold", is_flag=True, default=None, help="With --jobs: drop pyramids from the system's cache before each run."
    ),
    click.option(
        "--folder",
        type=click.Path(exists=True, file_okay=False, writable=True),
        help="With --jobs: where the files go for a while, some 3.8 GB by default.  [default: for temporary files]",
    ),
)


def _job_options(command: Callable[..., Any]) -> Callable[..., Any]:
    for option in reversed(JOB_OPTIONS):
        command = option(command)
    return command


@click.command(epilog=EPILOG)
@click.option(
    "--workload",
    "names",
    type=click.Choice(list(WORKLOADS)),
    multiple=True,
    help="Workload to measure; repeatable.  [default: all]",
)
@click.option("--jobs", is_flag=True, help="Time whole jobs instead, from start to end.")
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
@_job_options
def bench(
    names: tuple[str, ...],
    jobs: bool,
    repeat: int,
    threads: int | None,
    quick: bool,
    as_json: bool,
    folder: str | None,
    **sizes: Any,
) -> None:
    """Time pooling beside torchvision, ONNX Runtime and OpenVINO, as far as they are installed.

    All pool the same arrays in one process, in turns; medians are reported. A peer whose crops differ is not timed.

    With --jobs, `msroi extract` is timed as a process beside scripts that read the same levels and write as many bytes
    with h5py, and pool nothing, and beside the same job by hand with torchvision, if that is installed. Every output is
    on the disk when its process ends. The files are removed afterwards.
    """
    given = {name: value for name, value in sizes.items() if value not in (None, ())}
    if jobs and names:
        raise click.UsageError("--workload is of pooling: expected without --jobs")
    if not jobs and (given or folder is not None):
        option = next(iter(given), "folder").replace("_", "-")
        raise click.UsageError(f"--{option} is of whole jobs: expected with --jobs")
    repeat = 1 if quick else repeat
    text = _whole_jobs(given, quick, repeat, threads, folder) if jobs else _pooling(names, quick, repeat, threads)
    click.echo(text(as_json))


def _pooling(names: tuple[str, ...], quick: bool, repeat: int, threads: int | None) -> Callable[[bool], str]:
    from msroi_cli.bench.report import Report

    chosen = [WORKLOADS[name] for name in names or WORKLOADS]
    report = Report([one.quick() for one in chosen] if quick else chosen, repeat, threads)
    _say_absent(report.absent)
    for result in report.measured():
        say(f"{result.workload.name}: {result.workload.about()}")
        for name, apart in result.differing.items():
            say(f"{result.workload.name}: {name} differs by {apart:.1e} of the largest feature, not timed")
    return lambda as_json: json.dumps(report.as_dict(), indent=2) if as_json else _pooling_table(report)


def _whole_jobs(
    given: Mapping[str, Any], quick: bool, repeat: int, threads: int | None, folder: str | None
) -> Callable[[bool], str]:
    from msroi_cli.bench.jobs.report import JobReport
    from msroi_cli.bench.jobs.sizes import Sizes

    sizes = Sizes(**given)
    report = JobReport(sizes.small() if quick else sizes, repeat, threads, folder)
    _say_absent(report.absent)
    for line in report.measured():
        say(line)
    return lambda as_json: json.dumps(report.as_dict(), indent=2) if as_json else _jobs_table(report)


def _say_absent(absent: Mapping[str, str]) -> None:
    for name, why in absent.items():
        say(f"{name}: absent ({why})")


def _pooling_table(report: Report) -> str:
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
        f"{_about(report.environment)}; medians of {report.repeat}.",
        f"out=: with {threads}, into an existing array; the other columns allocate a new one.",
        f"Peers: time of the peer / time of msroi with {threads} (with 1 thread).",
        "Copy floor: time of a NumPy copy on one thread / time of msroi with out=. The copy moves as many bytes as",
        "reading all features and writing all crops.",
    ]
    return "\n".join([table(header, rows, terminal.width()), "", *notes])


def _jobs_table(report: JobReport) -> str:
    header = ("", "time", "of msroi's", "processor time", "of msroi's")
    blocks = []
    for result in report.results:
        rows = []
        for name, spent in result.spent.items():
            ratio = result.ratio(name)
            times = (f"{spent.seconds:.2f} s", f"{ratio.seconds:.2f}x", f"{spent.processor:.2f} s")
            rows.append([name, *times, f"{ratio.processor:.2f}x"])
        blocks.append(f"{result.about}\n{table(header, rows, terminal.width())}\n")
    notes = [
        f"{_about(report.environment)}; medians of {report.repeat}.",
        "Time: of a process from start to end. Processor time: user and system, of all processes and threads.",
    ]
    return "\n".join([*blocks, *notes])


def _about(environment: Mapping[str, str]) -> str:
    return printable(f"msroi {environment['msroi']}, {environment['backend']}, {environment['processor']}")


def _milliseconds(seconds: float) -> str:
    return f"{seconds * 1e3:.3g} ms" if seconds >= 1e-3 else f"{seconds * 1e6:.3g} us"
