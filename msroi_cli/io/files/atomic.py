"""Files that appear under their name only when they are whole."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from msroi_cli.errors import MsroiError, RunError, UsageError
from msroi_cli.io.files.durability import sync, sync_file
from msroi_cli.io.files.system.unnamed import give_name
from msroi_cli.io.files.target import check_target
from msroi_cli.io.files.work import create


@contextmanager
def whole_file(path: Path, overwrite: bool) -> Iterator[Path]:
    """Yields a temporary name beside `path`; what is written there takes the name `path` if the block succeeds.

    It is on the disk, and its name too, when the block is left. If the block fails, nothing stays behind.
    Raises UsageError as `check_target` does, and RunError for what the file system refuses.
    """
    check_target(path, overwrite)
    target = resolved(path)
    partial = target.with_name(f".{target.name}.{os.urandom(4).hex()}.partial")
    try:
        with failures_named(path):
            os.close(create(partial))
        yield partial
        with failures_named(path):
            publish(partial, target, overwrite)
    except BaseException:
        with suppress(OSError):
            partial.unlink(missing_ok=True)
        raise


def write_whole(path: Path, content: bytes, overwrite: bool) -> None:
    """Writes a small file so that it is whole or not there."""
    with whole_file(path, overwrite) as partial, failures_named(path):
        partial.write_bytes(content)


def resolved(path: Path) -> Path:
    """The absolute path of a file, links of its folder followed, and none of its own."""
    return path.parent.resolve() / path.name


@contextmanager
def failures_named(path: Path) -> Iterator[None]:
    """Turns an OSError of the block into a RunError that names the file the user asked for."""
    try:
        yield
    except MsroiError:
        raise
    except OSError as error:
        raise RunError(f"{path}: cannot be written: {error.strerror or error}") from error


def publish(partial: Path, target: Path, overwrite: bool) -> None:
    """Gives a finished file its name, once its content is on the disk; on the disk is the name too on return.

    Source: the order of restic and others: fsync the file, rename, fsync the folder; a failed fsync is final.
    """
    sync(partial)
    # Nothing but a file is replaced, whatever has taken the name meanwhile.
    check_target(target, overwrite=True)
    if target.exists() and partial.samefile(target):
        # Cut short between the two steps of a link; renaming one name of a file to another does nothing.
        partial.unlink()
    elif overwrite:
        partial.replace(target)
    else:
        _link(partial, target)
    sync(target.parent)


def publish_unnamed(descriptor: int, target: Path) -> bool:
    """Gives a finished file that has no name its own, as `publish` does; False if anything has that name."""
    sync_file(descriptor)
    try:
        give_name(descriptor, target)
    except FileExistsError:
        return False
    sync(target.parent)
    return True


def _link(partial: Path, target: Path) -> None:
    try:
        # Unlike a rename, a link never takes the place of a file that has appeared meanwhile.
        os.link(partial, target)
    except FileExistsError:
        raise UsageError(f"{target}: appeared while it was being made; --overwrite replaces it") from None
    except OSError:
        # A file system without links.
        check_target(target, overwrite=False)
        partial.replace(target)
    else:
        partial.unlink()


def check_room(path: Path, size: int) -> None:
    """Raises RunError if the file system has no room for `size` bytes more, or the folder cannot be written to."""
    with failures_named(path):
        room = os.statvfs(path.parent)
        free = room.f_bavail * room.f_frsize
    if not os.access(path.parent, os.W_OK):
        raise RunError(f"{path}: cannot be written: the folder is read-only")
    if size > free:
        raise RunError(f"{path}: expected room for {size:,} bytes, got {free:,} free")
