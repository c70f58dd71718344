"""The lock of a job: flock on its journal or, where the file system has no such locks, a file that one process makes.

Such a file says who made it. It stays when its process is killed: one of the same machine that is gone is found out and
its file replaced, of another machine nobody can know. Lustre without `-o flock` and some network file systems have no
locks.
"""

from __future__ import annotations

import errno
import json
import os
from contextlib import suppress
from datetime import datetime, timezone
from pathlib import Path
from typing import Any

from msroi_cli.errors import LockedError, RunError
from msroi_cli.io.files.durability import write_all
from msroi_cli.io.files.work import create, remove, reopen

# What flock answers where there are no locks, or no server for them.
NO_LOCKS = frozenset({errno.ENOSYS, errno.EOPNOTSUPP, errno.ENOTSUP, errno.ENOLCK, errno.EINVAL})
MOST_BYTES = 4096

BOOT, NAMESPACE = Path("/proc/sys/kernel/random/boot_id"), Path("/proc/self/ns/pid")


def lock_path(target: Path) -> Path:
    """The name of the lock of an output, where flock does not work."""
    return target.with_name(f".{target.name}.lock")


def take(descriptor: int, target: Path) -> Path | None:
    """Locks the journal of `target`, which is open; the file that is the lock, None if it is flock.

    Raises LockedError while another process holds it, OSError for what the file system refuses.
    """
    try:
        import fcntl
    except ImportError as error:  # pragma: no cover
        raise RunError(f"{target}: expected a system with POSIX file locks, got {os.name}") from error
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        raise LockedError(f"{target}: locked by another msroi process") from None
    except OSError as error:
        if error.errno not in NO_LOCKS:
            raise
        return _made(lock_path(target), target)
    return None


def release(path: Path | None) -> None:
    """Removes the lock that `take` made, if it made a file."""
    if path is not None:
        with suppress(OSError):
            path.unlink()


def _made(path: Path, target: Path) -> Path:
    """Makes the lock, or takes the place of a process that is gone; raises LockedError."""
    if _make(path):
        return path
    # Only who holds this name removes a lock of another: so none is removed that was made a moment ago.
    breaking = path.with_name(f"{path.name}.breaking")
    if _is_stale(path) and _make(breaking):
        try:
            if _is_stale(path):
                remove(path)
            if _make(path):
                return path
        finally:
            release(breaking)
    raise LockedError(f"{target}: {_owner(path)}; file locks do not work here: if it is gone, remove {path}")


def _make(path: Path) -> bool:
    """Makes a lock that says who made it; False if there is one."""
    try:
        descriptor = create(path)
    except FileExistsError:
        return False
    try:
        write_all(descriptor, json.dumps(_about_this_process()).encode())
        os.fsync(descriptor)
    except BaseException:
        release(path)
        raise
    finally:
        os.close(descriptor)
    return True


def _about_this_process() -> dict[str, Any]:
    """Who this is: process numbers mean something within a boot and a namespace only."""
    return {
        "host": os.uname().nodename,
        "process": os.getpid(),
        "time": datetime.now(timezone.utc).isoformat(timespec="seconds"),
        "boot": _text(BOOT),
        "namespace": _link(NAMESPACE),
    }


def _text(path: Path) -> str | None:
    with suppress(OSError):
        return path.read_text().strip()
    return None


def _link(path: Path) -> str | None:
    with suppress(OSError):
        return str(path.readlink())
    return None


def _read(path: Path) -> dict[str, Any]:
    """What a lock says; nothing of one that is gone, or not written yet."""
    with suppress(OSError, ValueError, RecursionError):
        descriptor = reopen(path)
        try:
            found = json.loads(os.pread(descriptor, MOST_BYTES, 0))
        finally:
            os.close(descriptor)
        if isinstance(found, dict):
            return found
    return {}


def _is_stale(path: Path) -> bool:
    """Whether the process that made a lock was one of this machine, since it started, and is gone."""
    about, own = _read(path), _about_this_process()
    number = about.get("process")
    known = own["boot"] is not None and own["namespace"] is not None and type(number) is int and number > 0
    if not known or any(about.get(name) != own[name] for name in ("host", "boot", "namespace")):
        return False
    try:
        os.kill(int(str(number)), 0)
    except ProcessLookupError:
        return True
    except OSError:
        return False
    return False


def _owner(path: Path) -> str:
    about = _read(path)
    if not about:
        return "locked by another msroi process"
    return f"locked by process {about.get('process')} on {about.get('host')} since {about.get('time')}"
