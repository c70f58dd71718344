"""One long run of everything, on record: `python -m tests.fuzz.record` runs it and writes tests/fuzz/record.json.

`python -m tests.docs.promises` brings the figures into docs/promises.md.
"""

from __future__ import annotations

import argparse
import json
import multiprocessing
import os
import platform
import subprocess
import sys
import time
from collections import Counter
from datetime import date
from pathlib import Path

import h5py

from tests.fuzz import files, texts

RECORD = Path(__file__).with_name("record.json")
NATIVE = Path(__file__).parent / "native" / "run.sh"


def _texts(count: int, seconds: float) -> dict:
    started = time.monotonic()
    with multiprocessing.Pool(os.cpu_count()) as pool:
        share = -(-count // (os.cpu_count() or 1) // 3)
        parts = pool.starmap(texts.fuzzed, [(share, first * share, seconds) for first in range(os.cpu_count() or 1)])
    found = {what: text for part in parts for what, text in part["found"].items()}
    return {
        "executions": sum(part["texts"] for part in parts),
        "found": found,
        "seconds": round(time.monotonic() - started),
    }


def _files(count: int, seconds: float, keep: Path | None) -> dict:
    started = time.monotonic()
    verdicts = files.fuzzed(count, os.cpu_count() or 1, 0, seconds, keep)
    known = Counter(verdict if verdict in files.VERDICTS else "found" for _, verdict in verdicts.elements())
    found = [[kind, what, times] for (kind, what), times in verdicts.items() if what not in files.VERDICTS]
    return {
        "files": sum(verdicts.values()),
        "by_kind": dict(sorted(Counter(kind for kind, _ in verdicts.elements()).items())),
        "verdicts": dict(sorted(known.items())),
        "found": found,
        "seconds": round(time.monotonic() - started),
    }


def _native(count: int) -> dict:
    done = subprocess.run([NATIVE, str(count)], capture_output=True, text=True, check=True)
    return {name: int(runs) for name, runs in (line.split() for line in done.stdout.splitlines())}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--files", type=int, default=20_000)
    parser.add_argument("--texts", type=int, default=1_000_000)
    parser.add_argument("--native", type=int, default=1_000_000)
    parser.add_argument("--seconds", type=float, default=1e9, help="the longest that the files may take")
    parser.add_argument("--keep", type=Path, help="a folder for what is found")
    given = parser.parse_args()
    record = {
        "date": date.today().isoformat(),
        "python": platform.python_version(),
        "hdf5": h5py.version.hdf5_version,
        "native": _native(given.native),
        "texts": _texts(given.texts, 1e9),
        "files": _files(given.files, given.seconds, given.keep),
    }
    RECORD.write_text(json.dumps(record, indent=1) + "\n")
    sys.stdout.write(RECORD.read_text())


if __name__ == "__main__":
    main()
