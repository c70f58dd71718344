"""Disturbs jobs for as long as is asked for: `python -m tests.faults.soak --minutes N [--seed S]`.

Each job is disturbed one to five times: killed or ended by SIGTERM after a random time or at a random call, given EIO
or ENOSPC by a call, or its work files are damaged. Then it is finished. The output must be byte for byte that of a job
that nothing has disturbed, and at no time may a file that is not whole have its name. Prints the counts as JSON.
"""

from __future__ import annotations

import argparse
import ctypes
import json
import os
import random
import signal
import subprocess
import sys
import tempfile
import time
from collections import Counter
from pathlib import Path

from tests.faults.inject import FAULTS, NAME, Job, build_shim, contents, in_child
from tests.fuzz.mutate import mutated

COMPRESSIONS = (None, "gzip:1", "lzf")
SIGNALS = {"SIGKILL": signal.SIGKILL, "SIGTERM": signal.SIGTERM, "SIGINT": signal.SIGINT}
ENDS = {0, 1, 2, 3, 128 + signal.SIGTERM, 128 + signal.SIGINT, -signal.SIGKILL, -signal.SIGTERM, -signal.SIGINT}
WORK_FILES = ("journal", "partial", "spool")


class Soak:
    """The jobs, one for each compression; what disturbed them, and what was wrong."""

    def __init__(self, folder: Path, seed: int) -> None:
        self.rng = random.Random(seed)
        self.shim = ctypes.CDLL(None)
        self.jobs = []
        for index, compression in enumerate(COMPRESSIONS):
            (folder / str(index)).mkdir()
            job = Job(folder / str(index), compression)
            started = time.monotonic()
            code, calls, text = in_child(job, self.shim, (0, 0, 0), 0, "-q")
            assert code == 0, text
            self.jobs.append((job, calls, time.monotonic() - started, self.whole(job)))
        self.counts: Counter[str] = Counter()
        self.wrong: list[str] = []

    @staticmethod
    def whole(job: Job) -> dict[str, bytes]:
        """What the output holds; an error where it cannot be read."""
        return contents(job.out)

    def round(self) -> None:
        """One job: disturbed, finished, compared."""
        job, calls, seconds, whole = self.rng.choice(self.jobs)
        job.clear()
        history = []
        for _ in range(self.rng.randrange(1, 6)):
            history.append(self.disturbed(job, calls, seconds))
            if job.out.exists() and not self.is_whole(job, whole):
                self.wrong.append(f"{history}: a file that is not whole has the name of the output")
                return
        self.counts["jobs"] += 1
        code, _, text = in_child(job, self.shim, (0, 0, 0), 0, "--resume", "-q")
        if code in (2, 3) and text.count("\n") == 1:
            # Refused for what is in its work files: to start again is up to who runs it.
            self.counts["refused, then started again"] += 1
            for path in job.left():
                path.unlink()
            code, _, text = in_child(job, self.shim, (0, 0, 0), 0, "-q")
        if code:
            self.wrong.append(f"{history}: exit code {code}: {text[-400:]}")
        elif not self.is_whole(job, whole):
            self.wrong.append(f"{history}: another output")
        elif job.left() != [job.out]:
            self.wrong.append(f"{history}: left behind {[path.name for path in job.left()]}")

    def is_whole(self, job: Job, whole: dict[str, bytes]) -> bool:
        """Whether the output is that of a job that nothing has disturbed."""
        try:
            return self.whole(job) == whole
        except (OSError, KeyError, RuntimeError):
            return False

    def disturbed(self, job: Job, calls: int, seconds: float) -> str:
        """Runs the job, or resumes it, with one disturbance; says which."""
        work = [path for path in job.left() if path != job.out]
        kind = self.rng.choice(["fault", "signal", "damage"] if work else ["fault", "signal"])
        if kind == "damage":
            victim = self.rng.choice(work)
            victim.write_bytes(mutated(victim.read_bytes(), self.rng))
            name = next(name for name in WORK_FILES if name in victim.name)
            self.counts[f"damaged {name}"] += 1
            return f"damaged {name}"
        if kind == "fault":
            name = self.rng.choice(list(FAULTS))
            call = self.rng.randrange(1, calls + 1)
            code, _, text = in_child(job, self.shim, FAULTS[name], call, "--resume", "-q")
        else:
            name = self.rng.choice(list(SIGNALS))
            code, text = self.signalled(job, SIGNALS[name], self.rng.random() * seconds)
        self.counts[name] += 1
        if code not in ENDS or "Traceback" in text:
            self.wrong.append(f"{name}: exit code {code}: {text[-400:]}")
        return name

    def signalled(self, job: Job, number: signal.Signals, delay: float) -> tuple[int, str]:
        """Resumes the job in a fork that gets a signal after a while: its exit code, and what it wrote."""
        errors = job.folder / "errors"
        # Until the child is a job, a signal that comes early waits; it then ends the job as it would any program.
        mask = signal.pthread_sigmask(signal.SIG_BLOCK, (signal.SIGINT, signal.SIGTERM))
        child = os.fork()
        if not child:
            signal.signal(signal.SIGINT, signal.SIG_DFL)
            descriptor = os.open(errors, os.O_WRONLY | os.O_CREAT | os.O_TRUNC)
            os.dup2(descriptor, 2)
            code = 99
            signal.pthread_sigmask(signal.SIG_SETMASK, mask)
            try:
                code = job.run("--resume", "-q")
            finally:
                os._exit(code)
        signal.pthread_sigmask(signal.SIG_SETMASK, mask)
        time.sleep(delay)
        os.kill(child, number)
        code = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
        return code, errors.read_text() if errors.exists() else ""


def soak(minutes: float, seed: int) -> int:
    """Disturbs jobs for so long; prints the report."""
    with tempfile.TemporaryDirectory() as text:
        run = Soak(Path(text), seed)
        end = time.monotonic() + 60 * minutes
        while time.monotonic() < end:
            run.round()
    counts = dict(sorted(run.counts.items()))
    report = {"minutes": minutes, "seed": seed, "jobs": counts.pop("jobs", 0), "disturbances": counts}
    sys.stdout.write(json.dumps({**report, "wrong": run.wrong}, indent=1) + "\n")
    return 3 if run.wrong else 0


def main() -> int:
    """Loads the shim into a process of its own, and soaks there."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--minutes", type=float, default=1)
    parser.add_argument("--seed", type=int, default=0)
    given = parser.parse_args()
    if "FAULTS_NAME" in os.environ:
        return soak(given.minutes, given.seed)
    with tempfile.TemporaryDirectory() as text:
        preloaded = {"LD_PRELOAD": str(build_shim(Path(text))), "FAULTS_NAME": NAME}
        command = [sys.executable, "-m", "tests.faults.soak", *sys.argv[1:]]
        return subprocess.run(command, env={**os.environ, **preloaded}, check=False).returncode


if __name__ == "__main__":
    sys.exit(main())
