"""The lock of a job where flock does not work."""

from __future__ import annotations

import errno
import fcntl
import json
import os
import subprocess
import sys

import pytest

from msroi_cli.errors import LockedError, RunError
from msroi_cli.io.files.journal import Journal
from msroi_cli.io.files.system import lock

UNSUPPORTED = [errno.ENOSYS, errno.EOPNOTSUPP, errno.ENOLCK]


@pytest.fixture(params=UNSUPPORTED, ids=[errno.errorcode[code] for code in UNSUPPORTED])
def target(tmp_path, monkeypatch, request):
    def refused(*_):
        raise OSError(request.param, os.strerror(request.param))

    monkeypatch.setattr(fcntl, "flock", refused)
    return tmp_path / "crops.h5"


def dead_process():
    process = subprocess.Popen([sys.executable, "-c", ""])
    process.wait()
    return process.pid


def test_held_and_let_go(target):
    journal = Journal(target)
    about = json.loads(lock.lock_path(target).read_text())
    assert about["process"] == os.getpid()
    assert {"host", "time"} <= {*about}
    with pytest.raises(LockedError) as error:
        Journal(target)
    text = str(error.value)
    assert f"locked by process {os.getpid()} on {about['host']} since {about['time']}" in text
    assert f"if it is gone, remove {lock.lock_path(target)}" in text
    journal.release()
    assert not list(target.parent.iterdir())
    Journal(target).release()


@pytest.mark.skipif(not lock.BOOT.exists(), reason="processes that are gone are known on Linux only")
def test_a_process_of_this_machine_that_is_gone(target):
    gone = {**lock._about_this_process(), "process": dead_process()}
    lock.lock_path(target).write_text(json.dumps(gone))
    journal = Journal(target)
    assert json.loads(lock.lock_path(target).read_text())["process"] == os.getpid()
    journal.release()
    assert not list(target.parent.iterdir())


@pytest.mark.parametrize(
    "change", [{"host": "another"}, {"boot": "another"}, {"namespace": "pid:[1]"}, {"process": None}]
)
def test_a_process_of_another_machine_is_never_taken_for_gone(target, change):
    gone = {**lock._about_this_process(), "process": dead_process(), **change}
    lock.lock_path(target).write_text(json.dumps(gone))
    with pytest.raises(LockedError, match="locked by process"):
        Journal(target)
    assert json.loads(lock.lock_path(target).read_text()) == gone


@pytest.mark.parametrize("content", [b"", b"[1]", b"\xff", b'{"process": 1'])
def test_a_lock_that_says_nothing_is_one(target, content):
    lock.lock_path(target).write_bytes(content)
    with pytest.raises(LockedError, match="locked by another msroi process; file locks do not work here"):
        Journal(target)


def test_who_breaks_a_lock_is_alone(target):
    gone = {**lock._about_this_process(), "process": dead_process()}
    lock.lock_path(target).write_text(json.dumps(gone))
    breaking = target.with_name(".crops.h5.lock.breaking")
    breaking.touch()
    with pytest.raises(LockedError):
        Journal(target)
    breaking.unlink()
    Journal(target).release()


def test_another_error_is_an_error(tmp_path, monkeypatch):
    def refused(*_):
        raise OSError(errno.EIO, os.strerror(errno.EIO))

    monkeypatch.setattr(fcntl, "flock", refused)
    with pytest.raises(RunError, match="cannot be written"):
        Journal(tmp_path / "crops.h5")
    assert not lock.lock_path(tmp_path / "crops.h5").exists()
