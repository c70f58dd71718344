"""`python -m msroi_cli` is `msroi`. Worker processes import this module again, so that it imports next to nothing."""

from __future__ import annotations

import atexit
import gc
import os
import sys

# Modules and plans stay: to look for garbage among them after every 700 objects takes a twentieth of a short job.
OBJECTS_BETWEEN_COLLECTIONS = 100_000


def main() -> None:
    """Runs the command line and ends the process with its exit code."""
    gc.set_threshold(OBJECTS_BETWEEN_COLLECTIONS)
    end = _End()
    # What is registered first is done last.
    atexit.register(end.leave)
    from msroi_cli.cli import main as command

    try:
        command(prog_name="msroi")
    except SystemExit as ended:
        end.code = ended.code
        raise


class _End:
    """Leaves the process without taking apart all that was imported, which is a tenth of a short command's time."""

    code: object = None

    def leave(self) -> None:
        """Ends the process with `code`, when everything else is done; does nothing where that is not an exit code."""
        if not isinstance(self.code, int):
            return
        try:
            sys.stdout.flush()
            sys.stderr.flush()
        except (OSError, ValueError, AttributeError):
            # Closed streams: the interpreter says so.
            return
        os._exit(self.code)


if __name__ == "__main__":
    main()
