"""Text for people: messages and progress on standard error, tables, sizes and durations."""

from __future__ import annotations

import math
import re
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from functools import partial
from typing import TYPE_CHECKING, Any

import click

from msroi_cli.cli.terminal import coloured, painted

if TYPE_CHECKING:
    from msroi_cli.job.summary import LevelSummary, Summary
    from msroi_cli.job.validate.findings import Finding

FIRST_LINE_AFTER = 10.0

# Of a message and of one word in it, in characters: ids and values of a file may be of any length.
LONGEST_LINE, LONGEST_WORD = 4000, 300


def say(text: str, lines: bool = False) -> None:
    """Prints a line to standard error, or several with `lines`; ignores a closed standard error."""
    with suppress(OSError, AttributeError):
        click.echo(painted(printable(text, keep="\n" if lines else ""), sys.stderr), err=True)


def printable(text: str, keep: str = "") -> str:
    """Escapes characters that break a line or control a terminal, except those in `keep`; file names may have them."""
    return "".join(c if c.isprintable() or c in keep else c.encode("unicode_escape").decode() for c in text)


def readable(line: str) -> str:
    """A line with its long words shortened, and shortened itself if it is still too long."""
    words = re.sub(rf"\S{{{LONGEST_WORD + 1},}}", lambda word: shortened(word[0], LONGEST_WORD), line)
    return shortened(words, LONGEST_LINE)


def shortened(text: str, length: int) -> str:
    """A text of at most `length` characters: its beginning and its end if it is longer."""
    return text if len(text) <= length else f"{text[: length * 2 // 3]} ... {text[-(length // 3) + 5 :]}"


def findings_text(findings: Sequence[Finding]) -> str:
    """Findings in lines: what each is about, how many have it, the first of them, and what to do."""
    lines = []
    for finding in findings:
        share = f": {finding.count:,} of {finding.of:,} {finding.what}" if finding.what else ""
        lines.append(f"{'error' if finding.fatal else 'warning'}: {finding.check}{share}")
        lines += [f"  {line}" for line in finding.examples]
        if finding.count > len(finding.examples):
            lines.append(f"  and {finding.count - len(finding.examples):,} more")
        if finding.advice:
            lines.append(f"  advice: {finding.advice}")
    return "\n".join(map(readable, lines))


@contextmanager
def progress(total: int, bar: bool | None, quiet: bool, unit: str = "boxes") -> Iterator[Callable[[int], None]]:
    """Yields the function to call with the number of `unit` just done, of which there are `total`; 0: unknown.

    Shows a bar if standard error is a terminal or `bar` is True, else a line at growing intervals.
    """
    if quiet or bar is False:
        yield lambda boxes: None
    elif bar or (sys.stderr is not None and sys.stderr.isatty()):
        from tqdm import tqdm

        look: dict[str, Any] = {"dynamic_ncols": True, "colour": "green" if coloured(sys.stderr) else None}
        with tqdm(total=total or None, unit=f" {unit}", unit_scale=True, file=sys.stderr, **look) as shown:
            yield partial(_advance, shown)
    else:
        yield _Lines(total, unit).add


def _advance(shown: Any, boxes: int) -> None:
    shown.update(boxes)


class _Lines:
    """Progress as lines: the first after FIRST_LINE_AFTER seconds, each next after 1.5 times the elapsed time."""

    def __init__(self, total: int, unit: str) -> None:
        self._total = total
        self._unit = unit
        self._done = 0
        self._started = time.monotonic()
        self._next = FIRST_LINE_AFTER

    def add(self, boxes: int) -> None:
        self._done += boxes
        elapsed = time.monotonic() - self._started
        if elapsed >= self._next and (self._done < self._total or not self._total):
            rate = self._done / elapsed
            left = (self._total - self._done) / rate if rate else math.inf
            of, end = (f" of {self._total:,}", f", {duration(left)} left") if self._total else ("", "")
            say(f"{self._done:,}{of} {self._unit}, {rate:,.3g} {self._unit}/s{end}")
            self._next = elapsed * 1.5


def duration(seconds: float) -> str:
    """Seconds in words: `42 s`, `3 min 5 s`, `2 h 10 min`."""
    if not math.isfinite(seconds):
        return "unknown time"
    whole = round(seconds)
    if whole < 60:
        return f"{whole} s" if whole >= 10 else f"{seconds:.2g} s"
    if whole < 3600:
        return f"{whole // 60} min {whole % 60} s"
    return f"{whole // 3600} h {whole % 3600 // 60} min"


def byte_size(count: int) -> str:
    """Bytes in words: `512 bytes`, `3.1 MB`."""
    if count < 1000:
        return f"{count} bytes"
    for unit in ("kB", "MB", "GB", "TB"):
        count_in_unit = count / 1000 ** (("kB", "MB", "GB", "TB").index(unit) + 1)
        if count_in_unit < 999.5 or unit == "TB":
            return f"{count_in_unit:.3g} {unit}"
    raise AssertionError(count)


def table(header: Sequence[str], rows: Sequence[Sequence[str]], width: int | None = None) -> str:
    """Aligns columns: the first to the left, the others to the right.

    Columns that do not fit into `width` follow below, beside the first column again.
    """
    widths = [max(len(row[i]) for row in [header, *rows]) for i in range(len(header))]
    blocks: list[list[int]] = [[]]
    for column in range(1, len(header)):
        taken = widths[0] + sum(2 + widths[other] for other in [*blocks[-1], column])
        if blocks[-1] and width is not None and taken > width:
            blocks.append([])
        blocks[-1].append(column)
    return "\n\n".join(_aligned([header, *rows], block, widths) for block in blocks)


def _aligned(rows: Sequence[Sequence[str]], columns: Sequence[int], widths: Sequence[int]) -> str:
    lines = []
    for row in rows:
        cells = [row[0].ljust(widths[0])] + [row[column].rjust(widths[column]) for column in columns]
        lines.append("  ".join(cells).rstrip())
    return "\n".join(lines)


CROP_COLUMNS = ("crop mean", "std", "zeros", "nonfinite")


def level_table(summary: Summary, width: int | None = None) -> str:
    """The closing table: one row a level and one for all of them, as wide as `width` at most."""
    header = ("level", "stride", "boxes", "share", "box size min", "median", "max", *CROP_COLUMNS, "time")
    rows = [
        _level_row(name, "x".join(f"{side:g}" for side in dict.fromkeys(stride)), level)
        for name, stride, level in zip(summary.names, summary.strides, summary.levels, strict=True)
    ]
    rows.append(_level_row("all", "", summary.total))
    timed = math.isfinite(summary.total.seconds)
    return table(header, rows, width) if timed else table(header[:-1], [row[:-1] for row in rows], width)


def _level_row(name: str, stride: str, level: LevelSummary) -> list[str]:
    sizes = (level.size.low, level.size.median, level.size.high)
    return [
        name,
        stride,
        f"{level.boxes:,}",
        f"{level.share:.1%}",
        *(number(size, ".1f") for size in sizes),
        number(level.mean, ".4g"),
        number(level.std, ".4g"),
        number(level.zero_fraction, ".1%"),
        f"{level.nonfinite:,}",
        f"{level.seconds:.2f} s",
    ]


def number(value: float | None, form: str) -> str:
    """A number in the given format; a dash where there is none."""
    return "-" if value is None or not math.isfinite(value) else format(value, form)
