"""Every command that writes, times every kind of thing that is where it would write: nothing else ever changes."""

from __future__ import annotations

import os
import shutil
import zlib
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from msroi_cli import PyramidWriter
from msroi_cli.errors import MsroiError
from tests.builders import IDS, SPREAD, extracted, image_maps, random_rows, refused, run, write_batched, write_json

COMMANDS = {
    "extract": lambda at, out: ["extract", at / "p.h5", at / "b.json", "-o", out, "-q", *SPREAD],
    "extract gzip": lambda at, out: [
        *("extract", at / "p.h5", at / "b.json", "-o", out, "-q", "--compression", "gzip:1", *SPREAD)
    ],
    "extract --workers": lambda at, out: [
        *("extract", at / "p.h5", at / "b.json", "-o", out, "-q", "--workers", "2", *SPREAD)
    ],
    "extract --stats": lambda at, out: [
        *("extract", at / "p.h5", at / "b.json", "-o", at / "new.h5", "-q", "--stats", out, *SPREAD)
    ],
    "merge": lambda at, out: ["merge", at / "parts", "-o", out, "-q"],
    "export padded": lambda at, out: ["export", at / "c.h5", out, "--layout", "padded", "-q"],
    "export groups": lambda at, out: [
        *("export", at / "c.h5", out, "--layout", "groups", "--pyramid", at / "p.h5", "-q")
    ],
    "export ragged": lambda at, out: ["export", at / "c.h5", out, "--layout", "ragged", "-q"],
    "export tsv": lambda at, out: ["export", at / "c.h5", out, "--layout", "tsv", "--pyramid", at / "p.h5", "-q"],
    "export npz": lambda at, out: ["export", at / "c.h5", out, "--layout", "npz", "--pyramid", at / "p.h5", "-q"],
    "export webdataset": lambda at, out: ["export", at / "c.h5", out, "--layout", "webdataset", "-q"],
    "export bua": lambda at, out: [
        *("export", at / "c.h5", out, "--layout", "bua", "--reduce", "max", "--pyramid", at / "p.h5", "-q")
    ],
    "export ban": lambda at, out: [
        *("export", at / "c.h5", out, "--layout", "ban", "--reduce", "max", "--pyramid", at / "p.h5", "-q")
    ],
    "preview boxes": lambda at, out: [
        *("preview", "boxes", at / "p.h5", at / "b.json", "--picture", at / "17.png", "--image", "17", "-o", out)
    ],
    "preview crops": lambda at, out: ["preview", "crops", at / "c.h5", "-o", out],
    "preview pyramid": lambda at, out: [
        *("preview", "pyramid", at / "p.h5", "--picture", at / "17.png", "--image", "17", "-o", out)
    ],
    "stats --plot": lambda at, out: ["stats", at / "c.h5", "--plot", out, "-q"],
    "inspect --plot": lambda at, out: ["inspect", at / "c.h5", "--plot", out],
}
SUFFIX = {
    "stats --plot": ".png",
    "inspect --plot": ".png",
    "preview boxes": ".png",
    "preview crops": ".png",
    "preview pyramid": ".png",
    "extract --stats": ".json",
}
INPUTS = {
    "extract": ("p.h5", "b.json"),
    "extract gzip": ("p.h5", "b.json"),
    "extract --workers": ("p.h5", "b.json"),
    "extract --stats": ("p.h5", "b.json"),
    "merge": ("parts/part-00001-of-00002.h5",),
    "export padded": ("c.h5",),
    "export groups": ("c.h5", "p.h5"),
    "export ragged": ("c.h5",),
    "export tsv": ("c.h5", "p.h5"),
    "export npz": ("c.h5", "p.h5"),
    "export webdataset": ("c.h5",),
    "export bua": ("c.h5", "p.h5"),
    "export ban": ("c.h5", "p.h5"),
    "preview boxes": ("p.h5", "b.json", "17.png"),
    "preview crops": ("c.h5",),
    "preview pyramid": ("p.h5", "17.png"),
    "stats --plot": ("c.h5",),
    "inspect --plot": ("c.h5",),
}
RESUMABLE = ("extract", "extract gzip", "merge")
pytestmark = pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="has FIFOs and links")


@pytest.fixture(scope="module")
def originals(tmp_path_factory):
    """Good inputs for all commands, and files of the user that are none of them."""
    at = tmp_path_factory.mktemp("originals")
    pyramid = write_batched(at / "p.h5", ids=IDS)
    boxes = write_json(at / "b.json", random_rows(12).tolist())
    extracted(at / "c.h5", pyramid, boxes, "-q", *SPREAD)
    for shard in ("1/2", "2/2"):
        assert run("extract", pyramid, boxes, "-o", at / "parts", "-q", "--shard", shard, *SPREAD).exit_code == 0
    Image.fromarray(np.zeros((64, 96, 3), np.uint8)).save(at / "17.png")
    (at / "bystander.h5").write_bytes(b"precious")
    return at


@pytest.fixture
def at(originals, tmp_path):
    folder = tmp_path / "at"
    shutil.copytree(originals, folder)
    return folder


def target(at, command):
    if command == "stats --plot":
        pytest.importorskip("matplotlib")
    return at / f"out{SUFFIX.get(command, '.h5')}"


def everything(folder):
    """All that is in a folder, by name: kind, bytes, age and inode."""
    found = {}
    for path in sorted(folder.rglob("*")):
        status = path.lstat()
        content = None
        if path.is_symlink():
            content = path.readlink()
        elif path.is_file():
            content = path.read_bytes()
        age = None if path.is_dir() and not path.is_symlink() else status.st_mtime_ns
        found[str(path.relative_to(folder))] = (status.st_mode, content, age, status.st_ino, status.st_nlink)
    return found


def assert_refused(at, line, pattern):
    before = everything(at)
    refused(run(*line), 2, pattern)
    assert everything(at) == before


def fifo(path, _):
    os.mkfifo(path)


def users_folder(path, at):
    path.mkdir()
    (path / "notes.txt").write_text("mine")


def folder_of_archives(path, at):
    path.mkdir()
    np.savez(path / "maps.npz", p2=np.zeros(3))


THINGS = {
    "a link to a bystander": lambda path, at: path.symlink_to(at / "bystander.h5"),
    "a link to nowhere": lambda path, at: path.symlink_to(at / "nowhere.h5"),
    "a link to itself": lambda path, at: path.symlink_to(path),
    "a link to a device": lambda path, at: path.symlink_to("/dev/null"),
    "a FIFO": fifo,
    "a folder of the user": users_folder,
    "an empty folder": lambda path, at: path.mkdir(),
    "a folder of archives": folder_of_archives,
}


@pytest.mark.parametrize("thing", THINGS)
@pytest.mark.parametrize("command", COMMANDS)
@pytest.mark.sampled(7)
def test_what_is_no_file_is_refused(at, command, thing):
    out = target(at, command)
    THINGS[thing](out, at)
    assert_refused(at, [*COMMANDS[command](at, out), "--overwrite"], "expected")


@pytest.mark.parametrize("command", COMMANDS)
def test_a_device_is_refused(at, command):
    if command.endswith("--plot"):
        pytest.skip("has no suffix")
    assert_refused(at, [*COMMANDS[command](at, Path("/dev/full")), "--overwrite"], "/dev/full: expected")


@pytest.mark.parametrize("command", COMMANDS)
def test_an_existing_file_is_refused(at, command):
    out = target(at, command)
    out.write_bytes(b"mine")
    assert_refused(at, COMMANDS[command](at, out), "exists already")


SPELLINGS = {
    "its name": lambda path, at: path,
    "another spelling": lambda path, at: path.parent / ".." / path.parent.name / "." / path.name,
    "a link of the folder": lambda path, at: (
        (at / "folder").symlink_to(path.parent, target_is_directory=True),
        at / "folder" / path.name,
    )[1],
    "a symbolic link": lambda path, at: ((at / "link").symlink_to(path), at / "link")[1],
    "a hard link": lambda path, at: ((at / "link").hardlink_to(path), at / "link")[1],
}


@pytest.mark.parametrize("spelling", SPELLINGS)
@pytest.mark.parametrize(
    ("command", "name"), [(command, name) for command, names in INPUTS.items() for name in names], ids=str
)
@pytest.mark.sampled(7)
def test_an_input_is_refused(at, command, name, spelling):
    """`--plot` and the like know formats by suffixes: inputs have theirs here."""
    path = at / name
    if command == "stats --plot":
        target(at, command)
        path = path.rename(at / "c.png")
    out = SPELLINGS[spelling](path, at)
    if command == "stats --plot" and not out.suffix:
        out = out.rename(at / "link.png")
    line = [path if part == at / name else part for part in COMMANDS[command](at, out)]
    assert_refused(at, [*line, "--overwrite"], "expected")


WORK = {
    "a file of the user": lambda path, at: path.write_bytes(b"mine"),
    "a crops file of the user": lambda path, at: shutil.copy(at / "c.h5", path),
    "a link to a bystander": lambda path, at: path.symlink_to(at / "bystander.h5"),
    "a link to nowhere": lambda path, at: path.symlink_to(at / "nowhere.h5"),
    "another name of a bystander": lambda path, at: path.hardlink_to(at / "bystander.h5"),
    "a FIFO": fifo,
    "a folder": users_folder,
}
CASES = [(command, kind) for command in RESUMABLE for kind in ("journal", "partial", "spool")]
CASES.append(("extract --workers", "parts"))


@pytest.mark.parametrize("options", [(), ("--overwrite",), ("--resume",)], ids=str)
@pytest.mark.parametrize("thing", WORK)
@pytest.mark.parametrize(("command", "kind"), CASES, ids=str)
@pytest.mark.sampled(11)
def test_a_work_file_of_somebody_else_is_refused(at, command, kind, thing, options):
    out = target(at, command)
    WORK[thing](at / f".{out.name}.{kind}", at)
    assert_refused(at, [*COMMANDS[command](at, out), *options], rf"\.{out.name}\.{kind}.*move it away")


@pytest.mark.parametrize("thing", WORK)
@pytest.mark.parametrize("kind", ["partial", "spool"])
@pytest.mark.parametrize("command", ["extract", "extract gzip"])
def test_a_work_file_that_has_become_something_else_is_refused(at, command, kind, thing):
    """The journal is ours, what lies beside it is not: a file cannot be told, links and the like can."""
    if thing in ("a file of the user", "a crops file of the user"):
        pytest.skip("with our journal beside it, it is ours")
    out = target(at, command)
    journal = at / f".{out.name}.journal"
    line = b'{"format":"msroi-journal","version":2,"job":{}}'
    journal.write_bytes(b"%08x %s\n" % (zlib.crc32(line), line))
    WORK[thing](at / f".{out.name}.{kind}", at)
    assert_refused(at, [*COMMANDS[command](at, out), "--overwrite"], rf"\.{out.name}\.{kind}.*move it away")


@pytest.mark.parametrize("command", ["extract", "extract --stats", "preview boxes", "stats --plot"])
@pytest.mark.parametrize("inside", ["p.h5", "b.json", "c.h5"])
def test_a_file_of_a_folder_of_inputs_is_refused(at, command, inside):
    out = target(at, command)
    folder = at / "maps"
    folder.mkdir()
    (at / inside).rename(folder / f"x{out.suffix}")
    for name in {"p.h5", "b.json", "c.h5"} - {inside}:
        shutil.copy(at / name, folder / f"other-{name}")
    line = COMMANDS[command](at, folder / f"x{out.suffix}")
    line[1 + (command == "preview boxes")] = folder
    assert_refused(at, [*line, "--overwrite"], "apart from the inputs")


def test_a_file_of_a_list_or_a_pattern_is_refused(at):
    (at / "list.txt").write_text("p.h5\n")
    for text, out in ((f"@{at / 'list.txt'}", "list.txt"), (f"@{at / 'list.txt'}", "p.h5"), (at / "p.h*", "p.h5")):
        line = ["extract", text, at / "b.json", "-o", at / out, "-q", "--overwrite"]
        assert_refused(at, line, "apart from the inputs")


class TestExportFolder:
    """An export folder is known by its index, and only what that lists is replaced."""

    @pytest.fixture
    def out(self, at):
        assert run(*COMMANDS["export npz"](at, at / "out")).exit_code == 0
        return at / "out"

    def test_an_earlier_export_is_replaced(self, at, out):
        before = everything(at)
        assert run(*COMMANDS["export npz"](at, out), "--overwrite").exit_code == 0
        after = everything(at)
        assert list(after) == list(before)
        assert {name: entry for name, entry in after.items() if not name.startswith("out")} == {
            name: entry for name, entry in before.items() if not name.startswith("out")
        }

    @pytest.mark.parametrize(
        "change",
        {
            "a file more": lambda out, at: (out / "mine.npz").write_bytes(b"mine"),
            "a link for a file": lambda out, at: (
                (out / "17.npz").unlink(),
                (out / "17.npz").symlink_to(at / "bystander.h5"),
            ),
            "a folder for a file": lambda out, at: ((out / "17.npz").unlink(), (out / "17.npz").mkdir()),
            "no index": lambda out, at: (out / "index.json").unlink(),
            "a link for an index": lambda out, at: (
                (out / "index.json")
                .rename(at / "i.json")
                .with_name("out")
                .joinpath("index.json")
                .symlink_to(at / "i.json")
            ),
            "another index": lambda out, at: (out / "index.json").write_text('{"files": [{"file": "17.npz"}]}'),
            "an index that leads out": lambda out, at: (out / "index.json").write_text(
                '{"format": "msroi-export", "files": [{"file": "../bystander.npz"}]}'
            ),
        }.items(),
        ids=lambda change: change[0],
    )
    def test_another_folder_is_refused(self, at, out, change):
        change[1](out, at)
        assert_refused(at, [*COMMANDS["export npz"](at, out), "--overwrite"], "earlier export")

    @pytest.mark.parametrize("which", ["crops", "pyramid"])
    def test_a_folder_that_holds_an_input_is_refused(self, at, out, which):
        line = COMMANDS["export npz"](at, out)
        old = at / ("c.h5" if which == "crops" else "p.h5")
        (out / "17.npz").unlink()
        inside = old.rename(out / "17.npz")
        line = [inside if part == old else part for part in line]
        assert_refused(at, [*line, "--overwrite"], "apart from the inputs")


WRITER_FILES = ("w.h5", ".w.h5.journal", ".w.h5.partial")


@pytest.mark.parametrize("mode", ["x", "w", "a"])
@pytest.mark.parametrize("thing", WORK)
@pytest.mark.parametrize("name", WRITER_FILES)
@pytest.mark.sampled(3)
def test_the_writer_of_pyramids_refuses_them_too(at, name, thing, mode):
    if name == "w.h5" and mode == "w" and "file of the user" in thing:
        pytest.skip("is replaced, as asked for")
    if name == "w.h5" and "another name" in thing and mode == "w":
        pytest.skip("the name is replaced, the file stays under its other name")
    WORK[thing](at / name, at)
    before = everything(at)
    with pytest.raises(MsroiError), PyramidWriter(at / "w.h5", (4, 8, 16), mode=mode) as writer:
        writer.add("17", image_maps())
    assert everything(at) == before


@pytest.mark.parametrize(
    "line",
    [
        ["assign", "b.json", "--strides", "4,8,16", "-q"],
        ["validate", "p.h5", "b.json"],
        ["inspect", "p.h5"],
        ["verify", "c.h5"],
    ],
    ids=lambda line: line[0],
)
def test_commands_that_print_write_nothing(at, line):
    before = everything(at)
    result = run(*[at / part if (at / part).exists() else part for part in line])
    assert result.exit_code == 0, result.stderr
    assert everything(at) == before
