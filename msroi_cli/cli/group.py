"""The one place where errors become a line on standard error and an exit code."""

from __future__ import annotations

import os
import sys
from collections.abc import Sequence
from typing import Any, NoReturn

import click

from msroi_cli.cli.output import say
from msroi_cli.cli.signals import SignalCame, StopSignals
from msroi_cli.errors import MsroiError, RunError


class Boundary(click.Group):
    """A group of commands that leaves with the documented exit codes, and without a traceback for what can happen."""

    def main(
        self,
        args: Sequence[str] | None = None,
        prog_name: str | None = None,
        complete_var: str | None = None,
        standalone_mode: bool = True,
        **extra: Any,
    ) -> Any:
        """Runs the command line; see `click.Command.main`."""
        signals = StopSignals()
        extra.setdefault("obj", signals)
        if not standalone_mode:
            return super().main(args, prog_name, complete_var, standalone_mode=False, **extra)
        try:
            with signals.handled():
                code = super().main(args, prog_name, complete_var, standalone_mode=False, **extra)
                if sys.stdout is not None:
                    sys.stdout.flush()
        except click.exceptions.NoArgsIsHelpError as error:
            click.echo(error.format_message(), err=True)
            sys.exit(error.exit_code)
        except (click.ClickException, MsroiError, MemoryError) as error:
            _leave(_text_of(error), _code_of(error))
        except BrokenPipeError:
            # The reader has what it wanted. Python would complain when it flushes standard output on exit.
            os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
            sys.exit(1)
        except OSError as error:
            _leave(f"{error.filename or 'standard output'}: {error.strerror or error}", RunError.exit_code)
        except (click.Abort, SignalCame):
            number = signals.came() or 2
            _leave("interrupted" if number == 2 else "terminated", 128 + number)
        sys.exit(code if isinstance(code, int) else 0)


def _text_of(error: BaseException) -> str:
    if isinstance(error, MemoryError):
        return f"out of memory: {error}" if str(error) else "out of memory"
    if isinstance(error, click.UsageError) and error.ctx is not None:
        return f"{error.format_message()} (see {error.ctx.command_path} --help)"
    return error.format_message() if isinstance(error, click.ClickException) else str(error)


def _code_of(error: BaseException) -> int:
    return int(getattr(error, "exit_code", 1))


def _leave(text: str, code: int) -> NoReturn:
    line = text.replace("\n\t", " ").replace("\n", " ")
    say(f"msroi: {line}" if code > 128 else f"msroi: error: {line}")
    sys.exit(code)
