"""Timing: contestants are compared with each other, then timed in turns."""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from msroi_cli.bench.cases import COMPAT, Case, make
from msroi_cli.bench.peers import Call, peers_for, quietly
from msroi_cli.bench.workloads import Workload
from msroi_cli.core.pool import multi_scale_roi_align

TOLERANCE = 1e-5  # of the largest feature
SHORTEST = 0.01  # seconds; what is over sooner is called several times
PAUSE = 0.01  # seconds in which the threads of one contestant go to sleep before the next one starts
ONE, ALL, INTO, FLOOR = "msroi, 1 thread", "msroi", "msroi, out=", "copy"


@dataclass(frozen=True, slots=True)
class Result:
    """One workload's numbers.

    seconds: of one call, the median, by contestant: "msroi" on all threads, "msroi, 1 thread", "msroi, out=" on all
        threads into an array that is there already, "copy" (the floor), and the peers.
    fastest: the same, the shortest.
    differing: peers whose crops were not msroi's, and by how much of the largest feature; they are not measured.
    """

    workload: Workload
    seconds: dict[str, float]
    fastest: dict[str, float]
    differing: dict[str, float]
    copied: int

    def peers(self) -> list[str]:
        """The peers that were measured."""
        return [name for name in self.seconds if name not in (ONE, ALL, INTO, FLOOR)]

    def ratio(self, peer: str, contestant: str = ALL) -> float:
        """How many times as long as `contestant` a peer takes."""
        return self.seconds[peer] / self.seconds[contestant]

    def share_of_floor(self) -> float:
        """The time of a copy as a share of msroi's, both into arrays that are there already."""
        return self.seconds[FLOOR] / self.seconds[INTO]

    def as_dict(self) -> dict[str, Any]:
        """For JSON."""
        return {
            "name": self.workload.name,
            "about": self.workload.about(),
            "seconds": self.seconds,
            "fastest": self.fastest,
            "ratio": {name: self.ratio(name) for name in self.peers()},
            "ratio_out": {name: self.ratio(name, INTO) for name in self.peers()},
            "ratio_1_thread": {name: self.ratio(name, ONE) for name in self.peers()},
            "differing": self.differing,
            "share_of_copy_floor": self.share_of_floor(),
            "bytes_copied": self.copied,
        }


def run(workloads: Iterable[Workload], repeat: int, threads: int, without: Iterable[str]) -> Iterator[Result]:
    """Measures each workload with the peers that are not `without`, `repeat` times each in turns."""
    left_out = set(without)
    for workload in workloads:
        with quietly():
            yield _measure(make(workload), repeat, threads, left_out)


def _measure(case: Case, repeat: int, threads: int, without: set[str]) -> Result:
    calls = _own_calls(case, threads)
    reference = calls[ALL]()
    differing: dict[str, float] = {}
    for name, peer in peers_for(case, without).items():
        call = peer(case, threads)
        excess = _difference(case, reference, call())
        if excess <= TOLERANCE:
            calls[name] = call
        else:
            differing[name] = excess
    del reference
    copy, copied = _copy(case)
    times = in_turns({**calls, FLOOR: copy}, repeat)
    median = {name: statistics.median(spent) for name, spent in times.items()}
    return Result(case.workload, median, {name: min(spent) for name, spent in times.items()}, differing, copied)


def in_turns(calls: Mapping[str, Callable[[], object]], repeat: int) -> dict[str, list[float]]:
    """Seconds a call, `repeat` of them for each contestant; in every round each has its turn."""
    counts = {name: max(1, round(SHORTEST / _seconds(call, 1))) if repeat > 1 else 1 for name, call in calls.items()}
    times: dict[str, list[float]] = {name: [] for name in calls}
    for _ in range(repeat):
        for name, call in calls.items():
            time.sleep(PAUSE)
            times[name].append(_seconds(call, counts[name]))
    return times


def _seconds(call: Callable[[], object], count: int) -> float:
    started = time.perf_counter()
    for _ in range(count):
        call()
    return (time.perf_counter() - started) / count


def _own_calls(case: Case, threads: int) -> dict[str, Call]:
    out = np.zeros(case.shape, case.features[0].dtype)

    def pool(count: int, into: NDArray[Any] | None = None) -> Call:
        work = case.workload
        return lambda: multi_scale_roi_align(
            case.features,
            case.rois,
            case.scales,
            work.output_size,
            work.sampling_ratio,
            compat=COMPAT,
            threads=count,
            out=into,
        )

    return {ONE: pool(1), ALL: pool(threads), INTO: pool(threads, out)}


def _copy(case: Case) -> tuple[Callable[[], object], int]:
    """A copy that moves as many bytes as pooling must: half of the features and crops together, read and written."""
    source = np.ones(case.moved // 2, np.uint8)
    target = np.zeros_like(source)
    return lambda: np.copyto(target, source), source.nbytes


def _difference(case: Case, ours: NDArray[Any], theirs: NDArray[Any]) -> float:
    """The largest difference as a share of the largest feature; infinite if shapes differ.

    float16 crops may lie a rounding apart besides.
    """
    if ours.shape != theirs.shape or ours.dtype != theirs.dtype:
        return float("inf")
    largest, worst = max(float(np.abs(feature).max()) for feature in case.features), 0.0
    for mine, other in zip(ours, theirs, strict=True):
        apart = np.abs(mine.astype(np.float32) - other.astype(np.float32))
        if mine.dtype == np.float16:
            apart -= np.spacing(np.maximum(np.abs(mine), np.abs(other))).astype(np.float32)
        worst = max(worst, float(apart.max(initial=0)))
    return worst / largest
