"""Damages files and judges what becomes of them: `python -m tests.fuzz.files --count N` damages N files.

Each is read in the child of a fork, with limits on its memory and its time; the reference reads in another child. What
is found is kept in `--keep FOLDER`, a file and a line of JSON each.
"""

from __future__ import annotations

import argparse
import json
import multiprocessing
import os
import random
import shutil
import signal
import sys
import tempfile
import time
from collections import Counter
from pathlib import Path

from tests.fuzz import judge, seeds
from tests.fuzz.mutate import mutated
from tests.hostile.limits import limit_memory, limit_time

SECONDS = 3
WORK_FILES = (".o.h5.journal", ".o.h5.partial", ".o.h5.spool")
FAST = Path("/dev/shm")


def in_child(task, *arguments):
    """What `task` returns in the child of a fork, or what is wrong with how it ended: {"ok"} or {"finding"}."""
    reading, writing = os.pipe()
    child = os.fork()
    if child == 0:
        os.close(reading)
        try:
            limit_memory()
            limit_time(SECONDS)
            null = os.open(os.devnull, os.O_WRONLY)
            os.dup2(null, 2)
            os.dup2(null, 1)
            answer = {"ok": task(*arguments)}
        except judge.FindingError as finding:
            answer = {"finding": str(finding)}
        except BaseException as error:  # noqa: BLE001 the child must not go on as the parent
            answer = {"finding": f"the judge failed: {type(error).__name__}: {error}"[:400]}
        os.write(writing, json.dumps(answer).encode()[:60000])
        os._exit(0)
    os.close(writing)
    with os.fdopen(reading, "rb") as pipe:
        content = pipe.read()
    _, code = os.waitpid(child, 0)
    if code & 0x7F:
        return {"finding": f"killed by {signal.Signals(code & 0x7F).name}"}
    return json.loads(content)


def one(seed, source, number, folder):
    """Damages a copy of a seed and judges it; the verdict, and the damaged bytes if something was found."""
    rng = random.Random(f"{seed.kind} {seed.name} {number}")
    place = folder / "trial"
    shutil.rmtree(place, ignore_errors=True)
    shutil.copytree(source["folder"], place)
    path = place / source["path"]
    victim = path
    if seed.kind == "work":
        victim = rng.choice([place / name for name in WORK_FILES if (place / name).exists()])
    damaged = mutated(victim.read_bytes(), rng)
    victim.write_bytes(damaged)
    answer = in_child(judge.SUBJECTS[seed.kind], path, place, number)
    if "ok" in answer:
        codes = answer["ok"]
        checked = in_child(judge.ORACLES[seed.kind], path, place, codes) if not all(codes.values()) else {}
        verdict = "refused" if all(codes.values()) else "same"
        if "finding" in checked:
            # A reference that does not survive says nothing of msroi.
            verdict = (
                "reference failed"
                if checked["finding"].startswith(("killed", judge.CONTRADICTS))
                else checked["finding"]
            )
        return verdict, victim.name, damaged
    return answer["finding"], victim.name, damaged


VERDICTS = ("refused", "same", "reference failed")


def work(queue, *arguments):
    """A process that damages files, and says when it is done however it ends."""
    try:
        damage(queue, *arguments)
    finally:
        queue.put(None)


def damage(queue, count, first, seconds, keep, only):
    """Damages `count` files, or as many as so many seconds allow."""
    base = FAST if FAST.is_dir() and os.access(FAST, os.W_OK) else None
    with tempfile.TemporaryDirectory(dir=base, prefix="msroi-fuzz-") as temporary:
        folder = Path(temporary)
        known = [seed for seed in seeds.all_seeds() if not only or seed.kind in only]
        sources = prepared(known, folder)
        started = time.monotonic()
        for trial in range(first, first + count):
            if time.monotonic() - started > seconds:
                break
            kinds = sorted({seed.kind for seed in known})
            kind = kinds[trial % len(kinds)]
            among = [seed for seed in known if seed.kind == kind]
            seed = among[trial // len(kinds) % len(among)]
            verdict, name, damaged = one(seed, sources[seed], trial, folder)
            if verdict not in VERDICTS and keep:
                keep.mkdir(parents=True, exist_ok=True)
                stem = f"{seed.kind}-{seed.name}-{trial}".replace(" ", "_").replace(",", "")
                (keep / f"{stem}-{name.lstrip('.')}").write_bytes(damaged)
                with (keep / "findings.jsonl").open("a") as file:
                    file.write(json.dumps({"seed": [seed.kind, seed.name, trial], "what": verdict}) + "\n")
            queue.put((seed.kind, verdict))


def prepared(known, folder):
    """Every seed, made once; and, in this process, everything imported that a child would import."""
    sources = {}
    for index, seed in enumerate(known):
        place = folder / f"seed{index}"
        place.mkdir()
        path = seed.make(place)
        if seed.kind == "work":
            seeds.finished(place, seed.name)
            (place / "way.json").write_text(json.dumps(seed.name))
        sources[seed] = {"folder": place, "path": path.relative_to(place)}
        trial = folder / "warm"
        shutil.copytree(place, trial)
        try:
            for number in range(len(seeds.SIDES)):
                codes = judge.SUBJECTS[seed.kind](trial / path.relative_to(place), trial, number)
            judge.ORACLES[seed.kind](trial / path.relative_to(place), trial, codes)
            assert not any(codes.values()), (seed, codes)
        finally:
            shutil.rmtree(trial)
    return sources


def fuzzed(count, processes=1, first=0, seconds=1e9, keep=None, only=()):
    """Damages `count` files in some processes; how often each kind had each verdict."""
    queue = multiprocessing.Queue()
    share = -(-count // processes)
    starts = range(first, first + count, share)
    workers = [
        multiprocessing.Process(
            target=work, args=(queue, min(share, first + count - start), start, seconds, keep, only)
        )
        for start in starts
    ]
    for worker in workers:
        worker.start()
    found = Counter()
    ended = 0
    while ended < len(workers):
        got = queue.get()
        if got is None:
            ended += 1
        else:
            found[got] += 1
    for worker in workers:
        worker.join()
    return found


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--count", type=int, default=1000)
    parser.add_argument("--first", type=int, default=0, help="the number of the first file: others are others")
    parser.add_argument("--seconds", type=float, default=1e9, help="end after so long, however many were done")
    parser.add_argument("--processes", type=int, default=os.cpu_count() or 1)
    parser.add_argument("--kinds", default="", help="only these, separated by commas")
    parser.add_argument("--keep", type=Path, help="a folder for what is found")
    given = parser.parse_args()
    only = [kind for kind in given.kinds.split(",") if kind]
    found = fuzzed(given.count, given.processes, given.first, given.seconds, given.keep, only)
    report = {
        "files": sum(found.values()),
        "by_kind": dict(sorted(Counter(kind for kind, _ in found.elements()).items())),
        "verdicts": dict(Counter(v if v in VERDICTS else "found" for _, v in found.elements())),
        "found": [
            {"kind": kind, "what": what, "count": n} for (kind, what), n in found.items() if what not in VERDICTS
        ],
    }
    sys.stdout.write(json.dumps(report, indent=1) + "\n")
    return 1 if report["found"] else 0


if __name__ == "__main__":
    sys.exit(main())
