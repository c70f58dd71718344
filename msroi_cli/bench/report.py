"""The results of a benchmark run, as a table and as JSON."""

from __future__ import annotations

import platform
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from msroi_cli import __version__
from msroi_cli.bench import measure
from msroi_cli.bench.peers import absent
from msroi_cli.bench.workloads import Workload
from msroi_cli.core.backends.environment import backend_name, default_threads, isa_name


@dataclass(frozen=True, slots=True)
class Row:
    """A line of the table.

    seconds_1_thread, seconds, seconds_out: of msroi with one thread, with all, and with all and `out=`.
    ratios: of each peer to msroi with all threads, and with one.
    """

    name: str
    seconds_1_thread: float
    seconds: float
    seconds_out: float
    ratios: dict[str, tuple[float, float]]
    share_of_floor: float


class Report:
    """Measures workloads with the installed peers, and keeps the results.

    threads: of msroi and its peers; None: as many as there are processors.
    """

    def __init__(self, workloads: Sequence[Workload], repeat: int, threads: int | None) -> None:
        self.repeat = repeat
        self.threads = threads or default_threads()
        self.absent = absent()
        self.environment = environment()
        self._workloads = workloads
        self._results: list[measure.Result] = []

    def measured(self) -> Iterator[measure.Result]:
        """Measures, and yields each result as soon as it is measured."""
        for result in measure.run(self._workloads, self.repeat, self.threads, self.absent):
            self._results.append(result)
            yield result

    def peers(self) -> list[str]:
        """The peers that some workload was measured with."""
        return list(dict.fromkeys(name for result in self._results for name in result.peers()))

    def rows(self) -> list[Row]:
        """The table."""
        return [
            Row(
                result.workload.name,
                result.seconds[measure.ONE],
                result.seconds[measure.ALL],
                result.seconds[measure.INTO],
                {name: (result.ratio(name), result.ratio(name, measure.ONE)) for name in result.peers()},
                result.share_of_floor(),
            )
            for result in self._results
        ]

    def as_dict(self) -> dict[str, Any]:
        """For JSON."""
        return {
            **self.environment,
            "threads": self.threads,
            "repeat": self.repeat,
            "absent": self.absent,
            "workloads": [result.as_dict() for result in self._results],
        }


def environment() -> dict[str, str]:
    """What a result depends on beside the workload, for JSON."""
    return {
        "msroi": __version__,
        "backend": " ".join(filter(None, (backend_name(), isa_name()))),
        "numpy": np.__version__,
        "python": platform.python_version(),
        "processor": _processor(),
    }


def _processor() -> str:
    """The processor's name, as the system reports it."""
    try:
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines()
    except OSError:
        lines = []
    names = (line.partition(":")[2].strip() for line in lines if line.startswith("model name"))
    return next(names, "") or platform.processor() or platform.machine()
