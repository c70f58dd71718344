"""Breaks jobs and counts what msroi does: `python -m tests.fuzz.meaning --cases N --first SEED`."""

from __future__ import annotations

import argparse
import sys
import time
from collections import Counter
from collections.abc import Iterator

from tests.fuzz.meaning.judge import Case, WrongError, judged


def cases(count: int, first: int, seconds: float = 1e9, only: str = "") -> Iterator[Case]:
    """The cases of some numbers, as many as so many seconds allow; a job that is wrong is a case, "wrong"."""
    started = time.monotonic()
    for number in range(first, first + count):
        if time.monotonic() - started > seconds:
            return
        try:
            yield judged(number, only)
        except WrongError as error:
            yield Case(number, only, "wrong", str(error), False)


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--cases", type=int, default=1000)
    parser.add_argument("--first", type=int, default=0, help="the number of the first case: others are others")
    parser.add_argument("--seconds", type=float, default=1e9, help="end after so long, however many were done")
    parser.add_argument("--break", dest="only", default="", help="only this one")
    given = parser.parse_args()
    found: Counter[tuple[str, str]] = Counter()
    wrong = []
    for case in cases(given.cases, given.first, given.seconds, given.only):
        found[case.name, case.verdict] += 1
        if case.verdict in ("silent", "wrong"):
            wrong.append(case)
            sys.stderr.write(f"{case.verdict}: case {case.number}: {case.name}: {case.about}\n")
    verdicts = ("refused", "warned", "same", "plausible", "none", "silent", "wrong")
    sys.stdout.write("".join(f"{word:>10}" for word in verdicts) + "  break\n")
    for name in sorted({name for name, _ in found}):
        sys.stdout.write("".join(f"{found[name, verdict]:>10}" for verdict in verdicts) + f"  {name}\n")
    totals = [sum(n for (_, own), n in found.items() if own == verdict) for verdict in verdicts]
    sys.stdout.write("".join(f"{total:>10}" for total in totals) + f"  all {sum(totals)} cases\n")
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main())
