"""Whatever a library raises while it reads an input becomes one error about the input."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from msroi_cli.errors import InputError, MissingFileError, MsroiError


@contextmanager
def refusing(where: object) -> Iterator[None]:
    """Turns what the block raises into an InputError about `where`, with the original as its cause.

    Damage makes parsers and decoders raise whatever they like, beyond what they document. Errors of msroi pass, and so
    does a lack of memory, which says nothing of the input.
    """
    try:
        yield
    except (MsroiError, MemoryError):
        raise
    except Exception as error:
        kind = MissingFileError if isinstance(error, FileNotFoundError) else InputError
        raise kind(f"{where}: cannot be read: {reason(error)}") from error


def reason(error: BaseException) -> str:
    """The first line of an error's text; its kind where it has none or says little by itself."""
    if isinstance(error, OSError) and error.strerror:
        return error.strerror
    text = str(error.args[0] if isinstance(error, KeyError) and error.args else error)
    first = (text.strip().splitlines() or [""])[0]
    if len(first) > 1 and first[0] == first[-1] and first[0] in "'\"":
        first = first[1:-1]
    return first if " " in first else f"{type(error).__name__} {first}".strip()
