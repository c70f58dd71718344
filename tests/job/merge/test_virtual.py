"""A virtual file shows the crops of its parts, to HDF5 as to msroi, and msroi opens it only if these are all there."""

from __future__ import annotations

import json
import pickle
import re
import shutil
import subprocess
import sys

import h5py
import pytest

from msroi_cli import open_crops
from msroi_cli.errors import InputError
from tests.builders import refused, run
from tests.job.cluster.test_parts import extract, good, inputs, same_crops, shards  # noqa: F401

SECOND = "part-00002-of-00003.h5"


@pytest.fixture(scope="module")
def made(inputs, tmp_path_factory):  # noqa: F811
    """A folder with parts, and a virtual file of them."""
    folder = tmp_path_factory.mktemp("virtual")
    shards(inputs, folder / "parts", 3, "--order", "image")
    good("merge", folder / "parts", "-o", folder / "v.h5", "--virtual")
    return folder


@pytest.fixture
def virtual(made, tmp_path):
    """A copy of it, with other times, to spoil."""
    shutil.copytree(made, tmp_path / "copy", copy_function=shutil.copyfile)
    return tmp_path / "copy"


def refuse(path, *messages):
    with pytest.raises(InputError) as error:
        open_crops(path)
    for message in messages:
        assert message in str(error.value)
    refused(run("inspect", path), 3, re.escape(messages[0]))


def test_crops_are_those_of_one_run(inputs, virtual, tmp_path):  # noqa: F811
    extract(inputs, tmp_path / "one.h5", "--order", "image")
    with open_crops(tmp_path / "one.h5") as one, open_crops(virtual / "v.h5") as crops:
        same_crops(one, crops)
        assert one.warnings == crops.warnings
        assert (pickle.loads(pickle.dumps(crops))[3:40:7] == one[3:40:7]).all()


def test_hdf5_reads_it_from_any_folder(virtual, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    with h5py.File(virtual / "v.h5") as file, open_crops(virtual / "parts") as parts:
        assert file["crops"].is_virtual
        assert {source.file_name for source in file["crops"].virtual_sources()} == {
            f"parts/part-0000{number}-of-00003.h5" for number in (1, 2, 3)
        }
        assert file["crops"][()].tobytes() == parts[:].tobytes()
        assert file["checksums"][()].tobytes() == parts.checksums.tobytes()


def test_every_command_reads_it(inputs, virtual):  # noqa: F811
    assert good("stats", virtual / "v.h5", "--json") == good("stats", virtual / "parts", "--json")
    told, of_parts = (json.loads(good("inspect", virtual / name, "--json")) for name in ("v.h5", "parts"))
    assert told == {**of_parts, "file": told["file"], "creation_date": told["creation_date"]}
    good("verify", virtual / "v.h5", "--recompute", "20", "--against", inputs / "p.h5", "--seed", "1")
    for name in ("v.h5", "parts"):
        good("export", virtual / name, virtual / f"{name}.ragged.h5", "--layout", "ragged")
        good("preview", "crops", virtual / name, "-o", virtual / f"{name}.png")
    with h5py.File(virtual / "v.h5.ragged.h5") as one, h5py.File(virtual / "parts.ragged.h5") as other:
        assert one["features"][()].tobytes() == other["features"][()].tobytes()


def test_an_export_does_not_replace_a_part(virtual):
    result = run("export", virtual / "v.h5", virtual / "parts" / SECOND, "--layout", "ragged", "--overwrite")
    refused(result, 2, "expected an output apart from the inputs")


class TestFilesThatAreRefused:
    def test_missing(self, virtual):
        (virtual / "parts" / SECOND).unlink()
        refuse(virtual / "v.h5", f"expected 3 parts, got 2: missing {SECOND}")

    def test_unfinished(self, virtual):
        (virtual / "parts" / SECOND).rename(virtual / "parts" / f".{SECOND}.partial")
        refuse(virtual / "v.h5", f"missing {SECOND} (interrupted)")

    def test_changed(self, virtual):
        with h5py.File(virtual / "parts" / SECOND, "r+") as file:
            file["checksums"][0] += 1
        refuse(virtual / "v.h5", SECOND, "as it was when the file was made", "checksums of row")

    def test_of_another_job(self, inputs, virtual):  # noqa: F811
        shutil.rmtree(virtual / "parts")
        shards(inputs, virtual / "parts", 3, "--order", "image", "--sampling-ratio", "1")
        refuse(virtual / "v.h5", "expected the parts of its own job")

    def test_moved(self, virtual, tmp_path):
        (tmp_path / "elsewhere").mkdir()
        (virtual / "v.h5").rename(tmp_path / "elsewhere" / "v.h5")
        refuse(tmp_path / "elsewhere" / "v.h5", "expected the folder parts beside it", "stays where its parts are")

    def test_a_link_that_leaves(self, virtual, tmp_path):
        (virtual / "parts").rename(tmp_path / "away")
        (virtual / "parts").symlink_to(tmp_path / "away")
        refuse(virtual / "v.h5", "expected its parts in a folder below its own")
        (virtual / "parts").unlink()
        (virtual / "parts").mkdir()
        for path in (tmp_path / "away").iterdir():
            (virtual / "parts" / path.name).symlink_to(path)
        refuse(virtual / "v.h5", "expected its parts in a folder below its own")

    @pytest.mark.parametrize("name", ["../copy/parts", "/", "none"])
    def test_another_folder(self, virtual, name):
        with h5py.File(virtual / "v.h5", "r+") as file:
            file.attrs["parts"] = name
        refuse(virtual / "v.h5", "v.h5: expected")

    def test_a_dataset_that_says_otherwise(self, virtual):
        with h5py.File(virtual / "v.h5", "r+") as file:
            layout = h5py.VirtualLayout(file["crops"].shape, file["crops"].dtype)
            layout[:] = h5py.VirtualSource("parts/" + SECOND, "crops", file["crops"].shape)
            del file["crops"]
            file.create_virtual_dataset("crops", layout)
        refuse(virtual / "v.h5", "/crops: expected a virtual dataset of")

    def test_a_dataset_that_is_none(self, virtual):
        with h5py.File(virtual / "v.h5", "r+") as file:
            values = file["crops"][()]
            del file["crops"]
            file["crops"] = values
        refuse(virtual / "v.h5", "/crops: expected a virtual dataset of 3 parts, got 0 parts")

    def test_damaged_crops_are_found_by_verify(self, virtual):
        path = virtual / "parts" / SECOND
        with h5py.File(path) as file:
            first = file["crops"].id.get_offset()
        with path.open("r+b") as file:
            file.seek(first)
            file.write(b"\x07\x07\x07")
        result = run("verify", virtual / "v.h5")
        assert result.exit_code == 3
        assert "expected the checksum" in result.stdout + result.stderr


class TestWhatIsNotMade:
    def test_rows_in_the_order_of_the_boxes(self, inputs, tmp_path):  # noqa: F811
        shards(inputs, tmp_path / "parts", 2)
        result = run("merge", tmp_path / "parts", "-o", tmp_path / "v.h5", "--virtual")
        refused(result, 2, "--virtual: expected parts of --order image.*scattered over the parts")
        assert not (tmp_path / "v.h5").exists()

    def test_outside_the_folder(self, virtual, tmp_path):
        (tmp_path / "below").mkdir()
        result = run("merge", virtual / "parts", "-o", tmp_path / "below" / "v.h5", "--virtual")
        refused(result, 2, "--virtual: expected OUT beside")

    def test_a_pattern(self, virtual):
        (virtual / "parts").rename(virtual / "p%b")
        refused(run("merge", virtual / "p%b", "-o", virtual / "w.h5", "--virtual"), 2, "expected a name without %")

    def test_over_what_is_there(self, virtual):
        refused(run("merge", virtual / "parts", "-o", virtual / "v.h5", "--virtual"), 2, "exists already")
        refused(run("merge", virtual / "parts", "-o", virtual / "v.h5", "--virtual", "--resume"), 2, "--resume")
        good("merge", virtual / "parts", "-o", virtual / "v.h5", "--virtual", "--overwrite")


@pytest.mark.slow
def test_many_parts_with_few_descriptors(inputs, tmp_path):  # noqa: F811
    shards(inputs, tmp_path / "parts", 300, "--order", "image")
    for command in (("merge", "parts", "-o", "v.h5", "--virtual"), ("verify", "v.h5")):
        limited = ["sh", "-c", 'ulimit -n 64; exec "$@"', "sh", sys.executable, "-m", "msroi_cli", *command]
        subprocess.run(limited, check=True, timeout=120, cwd=tmp_path)
    extract(inputs, tmp_path / "one.h5", "--order", "image")
    with open_crops(tmp_path / "one.h5") as one, open_crops(tmp_path / "v.h5") as crops:
        same_crops(one, crops)
