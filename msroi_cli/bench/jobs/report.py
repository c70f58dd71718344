"""Measures jobs in a folder that is removed afterwards, and keeps the results."""

from __future__ import annotations

import statistics
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from msroi_cli.bench.jobs.job import MSROI, Job, has_torchvision, jobs_of
from msroi_cli.bench.jobs.processes import Spent, drop_from_cache, in_turns, touch_memory
from msroi_cli.bench.jobs.sizes import Sizes
from msroi_cli.bench.report import environment
from msroi_cli.errors import RunError, UsageError
from msroi_cli.io.files.atomic import check_room

# Of boxes and messages, beside pyramids and the output.
OTHER_FILES = 64 << 20
# So many outputs and bytes are touched before each run: a process takes memory for itself, too, and the system does not
# take first what was freed last.
TOUCHED, TOUCHED_MORE = 3, 256 << 20
LESS = "--folder names another place; --images, --boxes and --small-images take less"


@dataclass(frozen=True, slots=True)
class Result:
    """What the commands of a job took, by name: medians."""

    about: str
    spent: dict[str, Spent]

    def ratio(self, name: str) -> Spent:
        """How many times as long as msroi a command takes."""
        ours, other = self.spent[MSROI], self.spent[name]
        return Spent(other.seconds / ours.seconds, other.processor / ours.processor)

    def as_dict(self) -> dict[str, Any]:
        """For JSON."""
        others = [name for name in self.spent if name != MSROI]
        return {
            "about": self.about,
            "seconds": {name: spent.seconds for name, spent in self.spent.items()},
            "processor_seconds": {name: spent.processor for name, spent in self.spent.items()},
            "ratio": {name: self.ratio(name).seconds for name in others},
            "processor_ratio": {name: self.ratio(name).processor for name in others},
        }


class JobReport:
    """Measures the jobs of `sizes`, `repeat` times each, and keeps the results.

    threads: of msroi; None: as it chooses itself. folder: where the files go for a while; None: the system's folder for
    temporary files.
    """

    def __init__(self, sizes: Sizes, repeat: int, threads: int | None, folder: str | None) -> None:
        self.repeat = repeat
        self.absent = {} if has_torchvision() else {"torchvision": "not installed"}
        self.environment = environment()
        self.results: list[Result] = []
        self._sizes, self._threads = sizes, threads
        self._folder = Path(folder or tempfile.gettempdir())

    def measured(self) -> Iterator[str]:
        """Yields what is about to be done; raises RunError where there is no room or a command fails, UsageError."""
        with tempfile.TemporaryDirectory(prefix="msroi-bench-", dir=self._folder) as name:
            folder = Path(name)
            jobs = jobs_of(self._sizes, folder, self._threads)
            if not jobs:
                raise UsageError("--images 0 --small-images 0: expected images")
            self._check_room(jobs, folder)
            for job in jobs:
                yield f"{job.about}: writing the inputs"
                job.write()
                yield f"{job.about}: measuring {', '.join(job.commands)}"
                self.results.append(self._result(job, folder))

    def _check_room(self, jobs: list[Job], folder: Path) -> None:
        """Raises RunError unless the inputs of all jobs and what is written before each run fit."""
        pyramids = {job.pyramid: job.size for job in jobs}
        needed = sum(pyramids.values()) + max(map(touched, jobs)) + OTHER_FILES
        try:
            check_room(folder, needed)
        except RunError as error:
            raise RunError(f"{error} ({LESS})") from error

    def _result(self, job: Job, folder: Path) -> Result:
        def prepare() -> None:
            job.out.unlink(missing_ok=True)
            touch_memory(folder, touched(job))
            if self._sizes.cold:
                drop_from_cache(job.pyramid)

        spent = in_turns(job.commands, self.repeat, prepare, folder)
        return Result(job.about, {name: _median(some) for name, some in spent.items()})

    def as_dict(self) -> dict[str, Any]:
        """For JSON."""
        jobs = [result.as_dict() for result in self.results]
        return {**self.environment, "repeat": self.repeat, "absent": self.absent, "jobs": jobs}


def touched(job: Job) -> int:
    """How many bytes of memory are touched before each run of a job, more than its output."""
    return TOUCHED * job.out_size + TOUCHED_MORE


def _median(spent: list[Spent]) -> Spent:
    return Spent(
        statistics.median(one.seconds for one in spent),
        statistics.median(one.processor for one in spent),
    )
