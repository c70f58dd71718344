"""What durable means on each system, with the system's calls replaced."""

from __future__ import annotations

import ctypes
import errno
import os
import sys
from types import SimpleNamespace

import pytest

from msroi_cli.io.files import durability

FULL = 51  # F_FULLFSYNC of macOS


@pytest.fixture
def calls(monkeypatch):
    """The names of the calls that synchronize, in order; `fail[name]` is the error number that one of them gives."""
    made, fail = [], {}

    def call(name):
        def faked(descriptor, *_):
            os.fstat(descriptor)
            made.append(name)
            if name in fail:
                raise OSError(fail[name], os.strerror(fail[name]))

        return faked

    monkeypatch.setattr(durability.os, "fsync", call("fsync"))
    monkeypatch.setattr(durability.os, "fdatasync", call("fdatasync"), raising=False)
    monkeypatch.setattr(durability, "fcntl", SimpleNamespace(fcntl=call("full")), raising=True)
    return SimpleNamespace(made=made, fail=fail, on_macos=lambda: monkeypatch.setattr(durability, "FULL_FSYNC", FULL))


@pytest.fixture
def path(tmp_path):
    (tmp_path / "file").write_bytes(b"content")
    return tmp_path / "file"


@pytest.fixture
def descriptor(path):
    with path.open("rb") as file:
        yield file.fileno()


def test_linux_synchronizes_files_and_folders(calls, path, monkeypatch):
    monkeypatch.setattr(durability, "FULL_FSYNC", None)
    durability.sync(path)
    durability.sync(path.parent)
    assert calls.made == ["fsync", "fsync"]


def test_data_alone_where_there_is_such_a_call(calls, descriptor, monkeypatch):
    monkeypatch.setattr(durability, "FULL_FSYNC", None)
    durability.sync_data(descriptor)
    monkeypatch.delattr(durability.os, "fdatasync")
    durability.sync_data(descriptor)
    assert calls.made == ["fdatasync", "fsync"]


def test_macos_empties_the_cache_of_the_drive(calls, path, descriptor):
    calls.on_macos()
    durability.sync(path)
    durability.sync_data(descriptor)
    assert calls.made == ["full", "full"]


@pytest.mark.parametrize("code", [errno.ENOTSUP, errno.EINVAL, errno.ENOTTY, errno.EOPNOTSUPP])
def test_macos_falls_back_to_fsync(calls, path, descriptor, code):
    calls.on_macos()
    calls.fail["full"] = code
    durability.sync(path)
    durability.sync_data(descriptor)
    assert calls.made == ["full", "fsync", "full", "fdatasync"]


@pytest.mark.parametrize("code", [errno.EIO, errno.ENOSPC])
@pytest.mark.parametrize("name", ["full", "fsync"])
def test_a_failed_sync_is_an_error_and_not_tried_again(calls, path, monkeypatch, name, code):
    monkeypatch.setattr(durability, "FULL_FSYNC", FULL if name == "full" else None)
    calls.fail[name] = code
    for target in (path, path.parent):
        with pytest.raises(OSError, match=os.strerror(code)):
            durability.sync(target)
    assert calls.made == [name, name]


@pytest.mark.parametrize("code", [errno.EINVAL, errno.ENOTSUP, errno.EBADF, errno.EISDIR, errno.EPERM])
def test_folders_that_cannot_be_synchronized(calls, path, monkeypatch, code):
    monkeypatch.setattr(durability, "FULL_FSYNC", None)
    calls.fail["fsync"] = code
    durability.sync(path.parent)
    with pytest.raises(OSError, match=os.strerror(code)):
        durability.sync(path)


@pytest.mark.parametrize(("code", "allowed"), [(errno.EACCES, True), (errno.EISDIR, True), (errno.EIO, False)])
def test_folders_that_cannot_be_opened(calls, path, monkeypatch, code, allowed):
    def refused(*_):
        raise OSError(code, os.strerror(code))

    monkeypatch.setattr(durability.os, "open", refused)
    if allowed:
        durability.sync(path.parent)
    else:
        with pytest.raises(OSError, match=os.strerror(code)):
            durability.sync(path.parent)
    assert calls.made == []


@pytest.mark.parametrize(
    ("code", "allowed"), [(errno.EOPNOTSUPP, True), (errno.EINVAL, True), (errno.ENOSPC, False), (errno.EIO, False)]
)
def test_space_is_reserved_where_the_file_system_can(descriptor, monkeypatch, code, allowed):
    answers = iter([errno.EINTR, code])

    def refused(*_):
        ctypes.set_errno(next(answers))
        return -1

    monkeypatch.setattr(durability, "_allocate", lambda: refused)
    if allowed:
        durability.reserve_space(descriptor)
    else:
        with pytest.raises(OSError, match=os.strerror(code)):
            durability.reserve_space(descriptor)


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="fallocate is of Linux")
def test_space_is_reserved(tmp_path):
    with (tmp_path / "file").open("w+b") as file:
        file.truncate(1 << 20)
        durability.reserve_space(file.fileno())
        status = os.fstat(file.fileno())
        assert status.st_size == 1 << 20
        can = durability._allocate()(file.fileno(), 0, 0, 1 << 20) == 0
        assert not can or status.st_blocks * 512 >= 1 << 20


def test_there_is_no_fallocate(descriptor, monkeypatch):
    monkeypatch.setattr(durability, "_allocate", lambda: None)
    durability.reserve_space(descriptor)
