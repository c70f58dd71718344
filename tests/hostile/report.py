"""What each command makes of each hostile file: `python -m tests.hostile.report [WORDS]` prints what is wrong.

WORDS: only cases whose names hold them all.
"""

from __future__ import annotations

import sys
import tempfile
from pathlib import Path

from tests.hostile import every_case
from tests.hostile.commands import good_files
from tests.hostile.verdict import wrong_with


def main(words: list[str]) -> None:
    """Runs the cases and prints a line for each command that does not refuse one as it should."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        good = good_files(folder)
        count = 0
        for number, case in enumerate(every_case()):
            if not all(word in str(case) for word in words):
                continue
            place = folder / str(number)
            place.mkdir()
            wrong = {command: text for command, text in wrong_with(case, good, place).items() if text}
            count += bool(wrong)
            for text in dict.fromkeys(wrong.values()):
                commands = ", ".join(command for command in wrong if wrong[command] == text)
                sys.stdout.write(f"{case}  [{commands}]  {text.strip().splitlines()[-1][:300]}\n")
    sys.stdout.write(f"{count} cases are not refused as they should be\n")


if __name__ == "__main__":
    main(sys.argv[1:])
