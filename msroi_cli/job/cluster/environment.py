"""`--shard`: its text, and the array variables of Slurm, Kubernetes and PBS behind `auto`."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass

from msroi_cli.errors import UsageError
from msroi_cli.job.shards import Shard

FORMS = "I/N, I,J,.../N, auto, auto/N or auto+OFFSET/N"

# The variable that numbers the task of an array job, and what has to be added for numbers from 1 on.
TASK_VARIABLES = {
    "SLURM_ARRAY_TASK_ID": 0,
    "JOB_COMPLETION_INDEX": 1,
    "PBS_ARRAY_INDEX": 0,
    "PBS_ARRAYID": 0,
}


@dataclass(frozen=True, slots=True)
class ArrayTask:
    """The number of this task in its array job, and the variable that says so."""

    variable: str
    number: int


def shards_from(text: str, environment: Mapping[str, str]) -> tuple[Shard, ...]:
    """The shards that `--shard TEXT` means; raises UsageError.

    I/N and I,J,.../N name them. auto/N takes the number of the array task, counted from 1 (Kubernetes counts from 0,
    which is known); auto+OFFSET/N adds OFFSET to it, for arrays that are submitted in pieces. auto alone takes the
    number of shards from Slurm too, if the array is 0-M or 1-M without gaps.
    """
    named = re.fullmatch(r"(\d{1,9}(?:,\d{1,9})*)/(\d{1,9})", text, re.ASCII)
    if named:
        indices = [int(part) for part in named[1].split(",")]
        if len(set(indices)) < len(indices):
            raise UsageError(f"--shard {text}: expected different shards, got one of them twice")
        return tuple(Shard(index, int(named[2])) for index in indices)
    automatic = re.fullmatch(r"auto(?:(\+\d{1,9})?/(\d{1,9}))?", text, re.ASCII)
    if not automatic:
        raise UsageError(f"--shard: expected {FORMS}, got {text!r}")
    task = _task(environment)
    if automatic[2] is None:
        return (_whole_slurm_array(task, environment),)
    return (_checked(task, task.number + int(automatic[1] or 0), int(automatic[2])),)


def _task(environment: Mapping[str, str]) -> ArrayTask:
    """The array task that the environment describes; raises UsageError unless it is one and only one."""
    found = [name for name in TASK_VARIABLES if environment.get(name)]
    if len(found) != 1:
        actual = " and ".join(found) or "none of them"
        raise UsageError(f"--shard auto: expected one of {', '.join(TASK_VARIABLES)} to be set, got {actual}")
    return ArrayTask(found[0], _number(found[0], environment) + TASK_VARIABLES[found[0]])


def _number(name: str, environment: Mapping[str, str]) -> int:
    text = environment.get(name, "")
    if not re.fullmatch(r"\d{1,9}", text, re.ASCII):
        raise UsageError(f"--shard auto: {name}: expected a whole number, got {text!r}")
    return int(text)


def _whole_slurm_array(task: ArrayTask, environment: Mapping[str, str]) -> Shard:
    """The shard of a task of a Slurm array that has a task for every shard."""
    if task.variable != "SLURM_ARRAY_TASK_ID":
        raise UsageError(f"--shard auto: {task.variable} does not tell how many shards there are: use --shard auto/N")
    first, last, count = (_number(f"SLURM_ARRAY_TASK_{name}", environment) for name in ("MIN", "MAX", "COUNT"))
    if first > 1 or last - first + 1 != count:
        raise UsageError(
            f"--shard auto: expected an array 0-M or 1-M without gaps, got {count} tasks from {first} to {last}; "
            "use --shard auto/N with the number of all shards"
        )
    return _checked(task, task.number - first + 1, count)


def _checked(task: ArrayTask, index: int, count: int) -> Shard:
    if not 1 <= index <= count:
        raise UsageError(
            f"--shard auto: expected a shard from 1 to {count}, got {index} from {task.variable}; "
            "auto+OFFSET/N adds OFFSET to the number of the task"
        )
    return Shard(index, count)
