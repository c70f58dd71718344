"""Runs command lines, each in the child of a fork, with a mark between them for who reads the trace.

strace -f -e trace=%file -o LOG python -m tests.hostile.traced COMMANDS.json
"""

from __future__ import annotations

import json
import os
import sys
from pathlib import Path

from tests.builders import run
from tests.hostile.limits import limit_time

MARK = "/begin-command-"
SECONDS = 60


def main() -> None:
    """Runs every command line of a list."""
    for number, command in enumerate(json.loads(Path(sys.argv[1]).read_text())):
        child = os.fork()
        if child == 0:
            limit_time(SECONDS)
            null = os.open(os.devnull, os.O_WRONLY)
            os.dup2(null, 1)
            os.dup2(null, 2)
            Path(f"{MARK}{number}").exists()
            run(*command)
            os._exit(0)
        os.waitpid(child, 0)


if __name__ == "__main__":
    main()
