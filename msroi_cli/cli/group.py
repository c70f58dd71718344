"""The group of commands that maps every error to one line on standard error and an exit code."""

from __future__ import annotations

import sys
import traceback
from collections.abc import Iterator, Sequence
from typing import Any, NoReturn

import click

from msroi_cli.cli.options import wants_causes
from msroi_cli.cli.output import readable, say, shortened
from msroi_cli.cli.signals import SignalReceived, StopSignals
from msroi_cli.cli.streams import drop_output, fill_closed_streams
from msroi_cli.cli.terminal import forget_choice
from msroi_cli.errors import MsroiError, RunError

BUG = "this is a bug in msroi, not in its input: please report it with the lines above and the command"

LONGEST_CAUSE = 300


class ErrorMappingGroup(click.Group):
    """A group of commands that ends with the documented exit codes, and shows a traceback only for a bug."""

    def main(
        self,
        args: Sequence[str] | None = None,
        prog_name: str | None = None,
        complete_var: str | None = None,
        standalone_mode: bool = True,
        **extra: Any,
    ) -> Any:
        """Runs the command line; see `click.Command.main`."""
        forget_choice()
        signals = StopSignals()
        extra.setdefault("obj", signals)
        if not standalone_mode:
            return super().main(args, prog_name, complete_var, standalone_mode=False, **extra)
        fill_closed_streams()
        try:
            with signals.handled():
                code = super().main(args, prog_name, complete_var, standalone_mode=False, **extra)
                if sys.stdout is not None:
                    sys.stdout.flush()
        except click.exceptions.NoArgsIsHelpError as error:
            click.echo(error.format_message(), err=True)
            sys.exit(error.exit_code)
        except (click.ClickException, MsroiError, MemoryError) as error:
            _exit_with(_text_of(error), _code_of(error))
        except BrokenPipeError:
            # A closed pipe ends the command quietly.
            drop_output()
            sys.exit(1)
        except OSError as error:
            drop_output()
            _exit_with(f"{error.filename or 'standard output'}: {error.strerror or error}", RunError.exit_code)
        except (click.Abort, SignalReceived):
            number = signals.received() or 2
            _exit_with("interrupted" if number == 2 else "terminated", 128 + number)
        except Exception:  # noqa: BLE001 what nothing above expects is a bug
            say(traceback.format_exc(), lines=True)
            _exit_with(BUG, RunError.exit_code)
        sys.exit(code if isinstance(code, int) else 0)

    def invoke(self, ctx: click.Context) -> Any:
        """Runs the command; with --verbose, prints what caused an error before it becomes a line."""
        try:
            return super().invoke(ctx)
        except MsroiError as error:
            if wants_causes(ctx):
                for line in _causes(error):
                    say(line)
            raise


def _causes(error: BaseException) -> Iterator[str]:
    """What an error was raised from, and what that was: kind, text, and the place in the code."""
    cause = error.__cause__
    while cause is not None:
        frames = traceback.extract_tb(cause.__traceback__)
        place = f" ({frames[-1].filename}:{frames[-1].lineno})" if frames else ""
        yield f"msroi: caused by {type(cause).__name__}: {shortened(str(cause), LONGEST_CAUSE)}{place}"
        cause = cause.__cause__


def _text_of(error: BaseException) -> str:
    if isinstance(error, MemoryError):
        return f"out of memory: {error}" if str(error) else "out of memory"
    if isinstance(error, click.UsageError) and error.ctx is not None:
        return f"{error.format_message()} (see {error.ctx.command_path} --help)"
    return error.format_message() if isinstance(error, click.ClickException) else str(error)


def _code_of(error: BaseException) -> int:
    return int(getattr(error, "exit_code", 1))


def _exit_with(text: str, code: int) -> NoReturn:
    line = readable(text.replace("\n\t", " ").replace("\n", " "))
    say(f"msroi: {line}" if code > 128 else f"msroi: error: {line}")
    sys.exit(code)
