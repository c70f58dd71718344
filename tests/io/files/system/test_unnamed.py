"""Files without a name are gone when they are closed, or get one when they are whole."""

from __future__ import annotations

import errno
import os
import sys

import pytest

from msroi_cli.io.files.atomic import publish_unnamed
from msroi_cli.io.files.system import unnamed
from msroi_cli.io.files.system.unnamed import create_unnamed, give_name, unnamed_path


@pytest.fixture
def file(tmp_path):
    """An open file without a name."""
    descriptor = create_unnamed(tmp_path)
    if descriptor is None:
        pytest.skip("there are no such files here")
    yield descriptor
    os.close(descriptor)


@pytest.mark.skipif(sys.platform != "linux", reason="Linux has them")
def test_gone_when_closed(tmp_path, file):
    os.write(file, b"content")
    assert unnamed_path(file).read_bytes() == b"content"
    assert not list(tmp_path.iterdir())


@pytest.mark.skipif(sys.platform != "linux", reason="Linux has them")
def test_named(tmp_path, file):
    os.write(file, b"content")
    give_name(file, tmp_path / "a")
    assert [(path.name, path.read_bytes()) for path in tmp_path.iterdir()] == [("a", b"content")]
    mask = os.umask(0)
    os.umask(mask)
    assert (tmp_path / "a").stat().st_mode & 0o777 == 0o666 & ~mask


@pytest.mark.skipif(sys.platform != "linux", reason="Linux has them")
def test_no_file_is_replaced(tmp_path, file):
    (tmp_path / "a").write_bytes(b"other")
    with pytest.raises(FileExistsError):
        give_name(file, tmp_path / "a")
    assert not publish_unnamed(file, tmp_path / "a")
    assert publish_unnamed(file, tmp_path / "b")
    assert sorted(path.name for path in tmp_path.iterdir()) == ["a", "b"]
    assert (tmp_path / "a").read_bytes() == b"other"


@pytest.mark.parametrize("answer", [errno.EOPNOTSUPP, errno.EISDIR, errno.EINVAL])
def test_file_systems_without_them(tmp_path, monkeypatch, answer):
    def refuse(*_):
        raise OSError(answer, os.strerror(answer))

    monkeypatch.setattr(unnamed.os, "O_TMPFILE", getattr(os, "O_TMPFILE", 0), raising=False)
    monkeypatch.setattr(unnamed.os, "open", refuse)
    assert create_unnamed(tmp_path) is None


def test_a_failing_disk_is_not_one_without_them(tmp_path, monkeypatch):
    def refuse(*_):
        raise OSError(errno.EIO, os.strerror(errno.EIO))

    monkeypatch.setattr(unnamed.os, "O_TMPFILE", getattr(os, "O_TMPFILE", 0), raising=False)
    monkeypatch.setattr(unnamed.os, "open", refuse)
    with pytest.raises(OSError, match=os.strerror(errno.EIO)):
        create_unnamed(tmp_path)


def test_systems_without_them(tmp_path, monkeypatch):
    monkeypatch.delattr(unnamed.os, "O_TMPFILE", raising=False)
    assert create_unnamed(tmp_path) is None
