"""Files appear under their name when they are whole, and else not at all."""

from __future__ import annotations

import os
import stat
from pathlib import Path

import pytest

from msroi_cli.errors import RunError, UsageError
from msroi_cli.io.files.atomic import check_room, whole_file, write_whole
from msroi_cli.io.files.target import check_target


def failing(path, trouble, overwrite=False):
    """Begins to write a file and fails."""
    with whole_file(path, overwrite) as partial:
        partial.write_bytes(b"half")
        raise trouble


def test_written_file_has_its_content_and_nothing_is_beside_it(tmp_path):
    write_whole(tmp_path / "a", b"hello", overwrite=False)
    assert [path.name for path in tmp_path.iterdir()] == ["a"]
    assert (tmp_path / "a").read_bytes() == b"hello"


def test_name_appears_at_the_end(tmp_path):
    with whole_file(tmp_path / "a", overwrite=False) as partial:
        partial.write_bytes(b"half")
        assert not (tmp_path / "a").exists()
        assert partial.parent == tmp_path
    assert not partial.exists()
    assert (tmp_path / "a").read_bytes() == b"half"


@pytest.mark.parametrize("trouble", [ValueError, KeyboardInterrupt, SystemExit])
def test_failure_leaves_nothing(tmp_path, trouble):
    with pytest.raises(trouble):
        failing(tmp_path / "a", trouble())
    assert list(tmp_path.iterdir()) == []


def test_failure_leaves_the_old_file(tmp_path):
    (tmp_path / "a").write_bytes(b"old")
    with pytest.raises(ValueError, match="no"):
        failing(tmp_path / "a", ValueError("no"), overwrite=True)
    assert [(path.name, path.read_bytes()) for path in tmp_path.iterdir()] == [("a", b"old")]


def test_overwrite_replaces(tmp_path):
    (tmp_path / "a").write_bytes(b"old")
    write_whole(tmp_path / "a", b"new", overwrite=True)
    assert (tmp_path / "a").read_bytes() == b"new"


def written_meanwhile(path):
    """Writes a file while somebody else does."""
    with whole_file(path, overwrite=False) as partial:
        partial.write_bytes(b"mine")
        path.write_bytes(b"theirs")


def test_file_that_appears_meanwhile_is_kept(tmp_path):
    with pytest.raises(UsageError, match="appeared"):
        written_meanwhile(tmp_path / "a")
    assert [(path.name, path.read_bytes()) for path in tmp_path.iterdir()] == [("a", b"theirs")]


def test_permissions_follow_the_umask(tmp_path):
    before = os.umask(0o027)
    try:
        write_whole(tmp_path / "a", b"x", overwrite=False)
    finally:
        os.umask(before)
    assert stat.S_IMODE((tmp_path / "a").stat().st_mode) == 0o640


def test_symbolic_link_is_refused_and_one_to_the_folder_followed(tmp_path):
    (tmp_path / "real").mkdir()
    (tmp_path / "real" / "a").write_bytes(b"old")
    (tmp_path / "link").symlink_to(tmp_path / "real" / "a")
    with pytest.raises(UsageError, match=r"link: .*got a symbolic link to .*/real/a"):
        write_whole(tmp_path / "link", b"new", overwrite=True)
    assert (tmp_path / "real" / "a").read_bytes() == b"old"
    (tmp_path / "folder").symlink_to(tmp_path / "real")
    write_whole(tmp_path / "folder" / "a", b"new", overwrite=True)
    assert (tmp_path / "real" / "a").read_bytes() == b"new"


@pytest.mark.parametrize("target", ["folder", "missing/a", "file/a", "a", "broken"])
def test_targets_that_may_not_be_written(tmp_path, target):
    (tmp_path / "folder").mkdir()
    (tmp_path / "file").touch()
    (tmp_path / "a").touch()
    (tmp_path / "broken").symlink_to(tmp_path / "nowhere")
    with pytest.raises(UsageError, match=target):
        check_target(tmp_path / target, overwrite=False)


def test_devices_are_no_targets():
    with pytest.raises(UsageError, match=r"/dev/null: .*device"):
        check_target(Path("/dev/null"), overwrite=True)


def test_name_too_long_is_a_failed_run(tmp_path):
    with pytest.raises(RunError, match="cannot be written"):
        write_whole(tmp_path / ("a" * 250), b"x", overwrite=False)


def test_room(tmp_path):
    check_room(tmp_path / "a", 1000)
    with pytest.raises(RunError, match=r"expected room for 1,\S* bytes, got .* free"):
        check_room(tmp_path / "a", 10**18)


def test_read_only_folder(tmp_path):
    tmp_path.chmod(0o555)
    try:
        if os.access(tmp_path, os.W_OK):
            pytest.skip("whoever runs this may write to read-only folders")
        with pytest.raises(RunError, match="cannot be written"):
            write_whole(tmp_path / "a", b"x", overwrite=False)
        with pytest.raises(RunError, match="read-only"):
            check_room(tmp_path / "a", 1)
    finally:
        tmp_path.chmod(0o755)
