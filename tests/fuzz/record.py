"""Long runs, on record: `python -m tests.fuzz.record --files N --texts N --native N --soak MINUTES`.

Each part that is asked for runs until it is done or --seconds have passed, and takes its place in
tests/fuzz/record.json; the other parts stay. `python -m tests.docs.promises` brings the figures into docs/promises.md.
"""

from __future__ import annotations

import argparse
import json
import platform
import subprocess
import sys
import time
from collections import Counter
from datetime import date
from pathlib import Path

import h5py

from msroi_cli import __version__
from tests.fuzz import files, texts

RECORD = Path(__file__).with_name("record.json")
NATIVE = Path(__file__).parent / "native" / "run.sh"


def record_texts(given):
    """How many texts went through the parsers, and what was found."""
    report = texts.fuzzed(given.texts, given.first, given.seconds)
    return {"executions": report["texts"], "read": report["read"], "found": report["found"]}


def record_files(given):
    """How many files were damaged, and what became of them."""
    kinds = [kind for kind in given.kinds.split(",") if kind]
    verdicts = files.fuzzed(given.files, given.processes, given.first, given.seconds, given.keep, kinds)
    known = Counter(verdict if verdict in files.VERDICTS else "found" for _, verdict in verdicts.elements())
    found = [[kind, what, times] for (kind, what), times in verdicts.items() if what not in files.VERDICTS]
    by_kind = dict(sorted(Counter(kind for kind, _ in verdicts.elements()).items()))
    return {
        "files": sum(verdicts.values()),
        "by_kind": by_kind,
        "verdicts": dict(sorted(known.items())),
        "found": found,
    }


def record_native(given):
    """The runs of each fuzzer of native code."""
    done = subprocess.run([NATIVE, str(given.native)], capture_output=True, text=True, check=True)
    return {name: int(runs) for name, runs in (line.split() for line in done.stdout.splitlines())}


def record_soak(given):
    """The jobs of a soak, and how they were disturbed."""
    command = [sys.executable, "-m", "tests.faults.soak", "--minutes", str(given.soak)]
    return json.loads(subprocess.run(command, capture_output=True, text=True, check=False).stdout)


PARTS = {"files": record_files, "texts": record_texts, "native": record_native, "soak": record_soak}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--files", type=int, default=0)
    parser.add_argument("--texts", type=int, default=0)
    parser.add_argument("--native", type=int, default=0)
    parser.add_argument("--soak", type=float, default=0, help="minutes")
    parser.add_argument("--seconds", type=float, default=1e9, help="the longest that files and texts may take, each")
    parser.add_argument("--first", type=int, default=0, help="the number of the first file or text: others are others")
    parser.add_argument("--kinds", default="", help="only these kinds of files, separated by commas")
    parser.add_argument("--processes", type=int, default=1)
    parser.add_argument("--keep", type=Path, help="a folder for what is found")
    given = parser.parse_args()
    for name, part in PARTS.items():
        if getattr(given, name):
            started = time.monotonic()
            result = {"date": date.today().isoformat(), "version": __version__, "python": platform.python_version()}
            result |= {"hdf5": h5py.version.hdf5_version, **part(given)}
            result["seconds"] = round(time.monotonic() - started)
            record = json.loads(RECORD.read_text()) if RECORD.exists() else {}
            RECORD.write_text(json.dumps(record | {name: result}, indent=1) + "\n")
    sys.stdout.write(RECORD.read_text())


if __name__ == "__main__":
    main()
