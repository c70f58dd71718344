"""Write then read is identity, whatever comes between; what extract would refuse is refused."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from collections import OrderedDict

import h5py
import numpy as np
import pytest

from msroi_cli import PyramidWriter
from msroi_cli.errors import ArgumentError, InputError, RunError, UsageError
from msroi_cli.io.pyramid.open import open_pyramid
from tests.builders import IDS, STRIDES, differing_maps, image_maps

EACH = list(STRIDES.values())


class GoneError(Exception):
    """The program that writes ends."""


def write(path, images, *, stop=None, mode="x", **options):
    """Writes images; raises GoneError before image number `stop`."""
    with PyramidWriter(path, EACH, mode=mode, **options) as writer:
        for number, (key, maps) in enumerate(images.items()):
            if key not in writer.done:
                if number == stop:
                    raise GoneError
                writer.add(key, maps)


def check(path, images):
    """The file holds these images, and nothing lies beside it."""
    with open_pyramid(str(path)) as pyramid:
        assert sorted(pyramid.image_ids) == sorted(images)
        for number, key in enumerate(pyramid.image_ids):
            for made, wanted in zip(pyramid.read(number), images[key].values(), strict=True):
                assert np.array_equal(made[0], wanted)
                assert made.dtype == wanted.dtype
        assert [1 / level.scale[0] for level in pyramid.levels] == EACH
    assert [entry.name for entry in path.parent.iterdir()] == [path.name]


@pytest.mark.parametrize("dtype", ["float16", "float32", "float64"])
def test_write_then_read_is_identity(tmp_path, dtype):
    images = differing_maps(dtype)
    write(tmp_path / "maps.h5", images)
    check(tmp_path / "maps.h5", images)


def test_geometry_and_origin_are_recorded(tmp_path):
    with PyramidWriter(tmp_path / "maps.h5", EACH, about={"model": "m"}) as writer:
        writer.add("17", image_maps(), scale_factor=(1.25, 1.5), offset=(3, 0), image_size=(70, 40))
    with h5py.File(tmp_path / "maps.h5") as file:
        assert json.loads(file.attrs["about"]) == {"model": "m"}
        assert {name: tuple(value) for name, value in file["17"].attrs.items()} == {
            "scale_factor": (1.25, 1.5),
            "offset": (3, 0),
            "image_size": (70, 40),
        }


def test_maps_are_contiguous(tmp_path):
    write(tmp_path / "maps.h5", differing_maps())
    with h5py.File(tmp_path / "maps.h5") as file:
        dataset = file["17/p2"]
        assert dataset.chunks is None
        assert dataset.id.get_offset() is not None


@pytest.mark.parametrize("stop", [0, 1, 2])
def test_a_writer_resumes(tmp_path, stop):
    images = differing_maps()
    with pytest.raises(GoneError):
        write(tmp_path / "maps.h5", images, stop=stop)
    assert not (tmp_path / "maps.h5").exists()
    assert bool(list(tmp_path.iterdir())) == bool(stop)
    write(tmp_path / "maps.h5", images, mode="a")
    check(tmp_path / "maps.h5", images)


KILLED = """
import os, signal, sys
import numpy as np
from msroi_cli import PyramidWriter
from msroi_cli.io.pyramid import writer as module
from tests.builders import image_maps
module.RECORDED_AT = 1 << 14
path, when = sys.argv[1], int(sys.argv[2])
with PyramidWriter(path, (4, 8, 16), mode="a") as writer:
    print(len(writer.done), flush=True)
    for number in range(60):
        if str(number) not in writer.done:
            writer.add(str(number), image_maps(number))
            if number == when:
                os.kill(os.getpid(), signal.SIGKILL)
"""


@pytest.mark.slow
def test_a_writer_that_is_killed_resumes_with_what_was_recorded(tmp_path):
    images = {str(number): image_maps(number) for number in range(60)}
    done = []
    for when in (5, 20, 21, 45, 1000):
        command = [sys.executable, "-c", KILLED, str(tmp_path / "maps.h5"), str(when)]
        run = subprocess.run(command, capture_output=True, text=True, env=os.environ, check=False)
        assert run.returncode in (0, -signal.SIGKILL), run.stderr
        done.append(int(run.stdout))
    assert done == sorted(done)
    assert done[0] == 0
    assert done[-1] > 20
    check(tmp_path / "maps.h5", images)


def test_bytes_behind_the_recorded_ones_are_cut_off(tmp_path):
    images = differing_maps()
    with pytest.raises(GoneError):
        write(tmp_path / "maps.h5", images, stop=2)
    partial = tmp_path / ".maps.h5.partial"
    partial.write_bytes(partial.read_bytes() + b"x" * 100_000)
    write(tmp_path / "maps.h5", images, mode="a")
    write(tmp_path / "again.h5", images)
    assert (tmp_path / "maps.h5").read_bytes() == (tmp_path / "again.h5").read_bytes()


@pytest.mark.parametrize(
    "options", [{"dtype": "float16"}, {"about": {"model": "other"}}], ids=["another dtype", "another model"]
)
def test_other_work_is_not_resumed(tmp_path, options):
    with pytest.raises(GoneError):
        write(tmp_path / "maps.h5", differing_maps(), stop=1)
    with pytest.raises(UsageError, match="cannot resume"):
        write(tmp_path / "maps.h5", differing_maps(), mode="a", **options)
    with pytest.raises(UsageError, match="interrupted file found"):
        write(tmp_path / "maps.h5", differing_maps())
    write(tmp_path / "maps.h5", differing_maps(), mode="w")
    check(tmp_path / "maps.h5", differing_maps())


def test_a_whole_file_is_not_replaced_unasked(tmp_path):
    write(tmp_path / "maps.h5", differing_maps())
    with pytest.raises(UsageError, match="exists already"):
        write(tmp_path / "maps.h5", {})
    check(tmp_path / "maps.h5", differing_maps())


def test_a_whole_file_has_nothing_to_resume(tmp_path):
    write(tmp_path / "maps.h5", differing_maps())
    write(tmp_path / "maps.h5", differing_maps(), mode="a")
    with pytest.raises(UsageError, match="the file is whole, got 'new'"):
        write(tmp_path / "maps.h5", {"new": image_maps()}, mode="a")
    with pytest.raises(UsageError, match="made with other arguments"):
        write(tmp_path / "maps.h5", differing_maps(), mode="a", about={"model": "other"})
    check(tmp_path / "maps.h5", differing_maps())


@pytest.mark.parametrize("identity", [None, "other", np.bytes_("other"), [1, 2], h5py.Empty("f4")], ids=repr)
def test_a_file_of_others_has_nothing_to_resume(tmp_path, identity):
    with h5py.File(tmp_path / "maps.h5", "w") as file:
        if identity is not None:
            file.attrs["identity"] = identity
    with pytest.raises(UsageError, match="made with other arguments"):
        write(tmp_path / "maps.h5", differing_maps(), mode="a")


def test_two_writers_of_one_file_are_one_too_many(tmp_path):
    with PyramidWriter(tmp_path / "maps.h5", EACH) as writer:
        writer.add("1", image_maps())
        with pytest.raises(UsageError, match="process"), PyramidWriter(tmp_path / "maps.h5", EACH, mode="w"):
            pass


def test_any_collection_of_arrays_is_taken(tmp_path):
    maps = image_maps()
    with PyramidWriter(tmp_path / "maps.h5", EACH, dtype="float16") as writer:
        writer.add("1", list(maps.values()))
        writer.add("2", OrderedDict((name, array[None]) for name, array in maps.items()))
        writer.add("3", tuple(array.tolist() for array in maps.values()))
    half = {name: array.astype(np.float16) for name, array in maps.items()}
    check(tmp_path / "maps.h5", {"1": half, "2": half, "3": half})


def test_channels_last_and_tokens_are_stored_channels_first(tmp_path):
    grid = np.random.default_rng(0).standard_normal((4, 3, 5)).astype(np.float32)
    tokens = np.concatenate([np.zeros((1, 5), np.float32), grid.reshape(12, 5)])
    for layout, array, beside in (("hwc", grid, {}), ("tokens", tokens[None], {"input_size": (42, 56)})):
        with PyramidWriter(tmp_path / f"{layout}.h5", [14], layout=layout) as writer:
            writer.add("1", [array], **beside)
        with h5py.File(tmp_path / f"{layout}.h5") as file:
            (dataset,) = file["1"].values()
            assert np.array_equal(dataset[()], grid.transpose(2, 0, 1))


GOOD = image_maps()


@pytest.mark.parametrize(
    ("key", "levels", "beside", "message"),
    [
        ("1", GOOD, {}, "different ids, got '1' again"),
        ("a/b", GOOD, {}, "an id that is a text without /"),
        ("", GOOD, {}, "an id that is a text"),
        (2, GOOD, {}, "an id that is a text"),
        ("x\0", GOOD, {}, "expected a whole number or a string"),
        ("2", list(GOOD.values())[:2], {}, "expected 3 levels like the strides, got 2"),
        ("2", {"p2": GOOD["p2"]}, {}, "expected p2, p3, p4, got p2"),
        ("2", {**GOOD, "p4": GOOD["p4"][:2]}, {}, r"expected \[3, 3, 3\] channels as on other images"),
        ("2", {**GOOD, "p4": GOOD["p4"].astype("f8")}, {}, "expected float32 on all levels"),
        ("2", {**GOOD, "p4": GOOD["p4"].astype("i4")}, {}, "expected float16, float32, float64"),
        ("2", {**GOOD, "p4": GOOD["p4"][:, :0]}, {}, r"expected \(1, C, H, W\)"),
        ("2", {**GOOD, "p4": GOOD["p3"]}, {}, "levels whose height falls"),
        ("2", image_maps(width=64), {"scale_factor": (1, 1), "image_size": (96, 64)}, "no scale_factor as on other"),
        ("2", GOOD, {"offset": (3, 4)}, "expected a scale_factor with it"),
        ("2", GOOD, {"image_size": (-1, 3)}, "image_size: expected two numbers above 0"),
    ],
)
def test_what_extract_would_refuse_is_refused(tmp_path, key, levels, beside, message):
    with PyramidWriter(tmp_path / "maps.h5", EACH) as writer:
        writer.add("1", GOOD)
        with pytest.raises((InputError, ArgumentError), match=message):
            writer.add(key, levels, **beside)
        writer.add("3", GOOD)
    check(tmp_path / "maps.h5", {"1": GOOD, "3": GOOD})


def test_a_picture_that_is_larger_than_its_map_is_refused(tmp_path):
    with (
        pytest.raises(InputError, match="within the 96 input pixels of the finest map, got 120 in x"),
        PyramidWriter(tmp_path / "maps.h5", EACH) as writer,
    ):
        writer.add("1", image_maps(), scale_factor=(1.5, 1), image_size=(80, 64))
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("strides", [[], "4", 4, [4, 4], [8, 4], [0], [float("nan")], [[1, 2, 3]]])
def test_strides_that_are_none_are_refused(tmp_path, strides):
    with pytest.raises(ArgumentError, match="strides"):
        PyramidWriter(tmp_path / "maps.h5", strides)


def test_a_full_disk_is_one_line(tmp_path, monkeypatch):
    def fail(descriptor, content, offset=None):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("msroi_cli.io.hdf5.latching.write_all", fail)
    with pytest.raises(RunError, match="cannot be written: No space left"):
        write(tmp_path / "m.h5", {"1": GOOD})
    assert not list(tmp_path.iterdir())


def test_images_of_ids_by_another_order_are_found(tmp_path):
    images = {key: image_maps(seed) for seed, key in enumerate(reversed(IDS))}
    write(tmp_path / "maps.h5", images)
    check(tmp_path / "maps.h5", images)
