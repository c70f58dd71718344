"""Several files as one pyramid, files of one image, and arrays in other formats give the maps that were written."""

from __future__ import annotations

import json
import resource
import threading
from contextlib import contextmanager
from pathlib import Path

import h5py
import numpy as np
import pytest

from msroi_cli.errors import InputError, MsroiError, UsageError
from msroi_cli.io.features.contiguous import ContiguousMap
from msroi_cli.io.files.handles import Handles
from msroi_cli.io.pyramid.hdf5.quick import QuickLocator
from msroi_cli.io.pyramid.levels import LevelChoice
from msroi_cli.io.pyramid.open import open_pyramid
from tests.builders import (
    STRIDES,
    batch_maps,
    extracted,
    image_maps,
    refused,
    run,
    write_batched,
    write_json,
    write_npz,
    write_per_image,
)

NAMES = ["7", "10", "9", "a2", "a10"]
NATURAL = ["7", "9", "10", "a2", "a10"]
SIZES = {"7": (96, 64), "9": (64, 128), "10": (160, 32), "a2": (96, 64), "a10": (32, 32)}


def maps_of(name, dtype="float32"):
    """The levels of the image of a name."""
    width, height = SIZES[name]
    return image_maps(NAMES.index(name), dtype, width, height)


def write_one(path, maps, *, factor=(1.25, 1.5), lead=False, strides=STRIDES, **storage):
    """One image at the root of an HDF5 file."""
    with h5py.File(path, "w") as file:
        for name, array in maps.items():
            dataset = file.create_dataset(name, data=array[None] if lead else array, **storage)
            if strides:
                dataset.attrs["stride"] = strides[name]
        if factor:
            file.attrs["scale_factor"] = factor
            file.attrs["image_size"] = (80, 60)
    return path


def save_safetensors(path, arrays, metadata=None, bfloat16=()):
    """Safetensors written by hand."""
    header, parts, end = {}, [], 0
    for name, array in arrays.items():
        content = np.ascontiguousarray(array).tobytes()
        code = {"f": "F", "i": "I"}[array.dtype.kind] + str(8 * array.dtype.itemsize)
        if name in bfloat16:
            content, code = (array.view(np.uint32) >> 16).astype("<u2").tobytes(), "BF16"
        header[name] = {"dtype": code, "shape": list(array.shape), "data_offsets": [end, end + len(content)]}
        parts.append(content)
        end += len(content)
    if metadata:
        header["__metadata__"] = metadata
    text = json.dumps(header).encode()
    path.write_bytes(len(text).to_bytes(8, "little") + text + b"".join(parts))
    return path


def write_folder_of_npy(folder, maps):
    """A folder of `.npy` files with strides."""
    folder.mkdir(parents=True)
    for name, array in maps.items():
        np.save(folder / f"{name}.npy", array)
    np.save(folder / "strides.npy", list(STRIDES.values()))
    return folder


STRIDES_TEXT = {"strides": json.dumps(list(STRIDES.values()))}
WRITERS = {
    "hdf5": lambda folder, name, maps: write_one(folder / f"{name}.h5", maps),
    "hdf5 with an axis": lambda folder, name, maps: write_one(folder / f"{name}.hdf5", maps, lead=True),
    "chunked": lambda folder, name, maps: write_one(
        folder / f"{name}.h5", maps, chunks=(2, 2, 2), compression="gzip", shuffle=True
    ),
    "filter of h5py": lambda folder, name, maps: write_one(folder / f"{name}.h5", maps, compression="lzf"),
    "npz": lambda folder, name, maps: write_npz(folder / f"{name}.npz", maps),
    "safetensors": lambda folder, name, maps: save_safetensors(folder / f"{name}.safetensors", maps, STRIDES_TEXT),
    "npy": lambda folder, name, maps: write_folder_of_npy(folder / name, maps),
}


def write_all(folder, kind, names=NAMES):
    """A file or a folder an image."""
    folder.mkdir(exist_ok=True)
    for name in names:
        WRITERS[kind](folder, name, maps_of(name))
    return folder


def assert_images(pyramid, names=NATURAL):
    assert list(pyramid.image_ids) == names
    for image, name in enumerate(names):
        expected = maps_of(name)
        assert pyramid.shapes(image) == [array.shape[1:] for array in expected.values()]
        for array, wanted in zip(pyramid.read(image), expected.values(), strict=True):
            np.testing.assert_array_equal(array[0], wanted)


@pytest.mark.parametrize("kind", WRITERS)
def test_folder_of_files_of_one_image(tmp_path, kind):
    folder = write_all(tmp_path / "per", kind)
    with open_pyramid(str(folder)) as pyramid:
        assert_images(pyramid)
        assert [level.scale for level in pyramid.levels] == [(1 / s, 1 / s) for s in STRIDES.values()]
        assert pyramid.scale_factor(2) == ((1.25, 1.5) if "hdf5" in kind or "chunk" in kind or "h5py" in kind else None)
        for image in range(len(NAMES)):
            pyramid.check(image)
            assert pyramid.storage(image, 0)["dtype"] == "float32"


@pytest.mark.parametrize("kind", ["hdf5", "npz", "safetensors"])
def test_one_file_of_one_image_has_its_stem_as_id(tmp_path, kind):
    folder = write_all(tmp_path, kind, ["a2"])
    (path,) = [path for path in folder.iterdir() if path.stem == "a2"]
    with open_pyramid(str(path)) as pyramid:
        assert_images(pyramid, ["a2"])


def test_patterns_lists_and_folders_below(tmp_path, monkeypatch):
    write_all(tmp_path / "x", "hdf5", NAMES[:2])
    write_all(tmp_path / "x" / "y", "npz", NAMES[2:])
    (tmp_path / "x" / ".hidden.h5").write_bytes(b"partial")
    (tmp_path / "x" / "notes.txt").write_text("not a pyramid")
    with open_pyramid(str(tmp_path / "x")) as pyramid:
        with pytest.raises(InputError, match=r"9\.npz: image 9: expected a scale_factor as on other images, got none"):
            pyramid.shapes(1)
        pyramid.factors_matter = False
        assert_images(pyramid)
    with open_pyramid(str(tmp_path / "x" / "*.h5")) as pyramid:
        assert_images(pyramid, ["7", "10"])
    with open_pyramid(str(tmp_path / "**" / "*.*z")) as pyramid:
        assert_images(pyramid, ["9", "a2", "a10"])
    monkeypatch.chdir(tmp_path)
    Path("list.txt").write_text(f"x/y/a2.npz\n\n{tmp_path / 'x' / '7.h5'}\r\n")
    with open_pyramid("@list.txt") as pyramid:
        pyramid.factors_matter = False
        assert_images(pyramid, ["7", "a2"])
    (tmp_path / "x" / "list.txt").write_text("7.h5\n10.h5\n")
    with open_pyramid("@x/list.txt") as pyramid:
        assert_images(pyramid, ["7", "10"])


def test_lists_that_are_ambiguous_or_wrong(tmp_path, monkeypatch):
    write_all(tmp_path / "x", "hdf5", ["7"])
    monkeypatch.chdir(tmp_path)
    Path("x/list.txt").write_text("7.h5\n")
    write_one("7.h5", maps_of("9"))
    with pytest.raises(UsageError, match=r"x/list\.txt:1: expected one file of that name, .*list absolute paths"):
        open_pyramid("@x/list.txt")
    Path("l.txt").write_text("7.h5\nnone.h5\n")
    with pytest.raises(InputError, match=r"l\.txt:2: expected the path of a pyramid, got no such file: none\.h5"):
        open_pyramid("@l.txt")
    with pytest.raises(InputError, match=r"none\.txt: expected a text file of paths"):
        open_pyramid("@none.txt")
    Path("l.txt").write_text("\n")
    with pytest.raises(InputError, match=r"expected pyramid files .*got none"):
        open_pyramid("@l.txt")
    with pytest.raises(InputError, match=r"expected pyramid files .*got none"):
        open_pyramid("x/*.npz")


def test_files_of_many_images_and_of_many_kinds(tmp_path):
    folder = tmp_path / "many"
    folder.mkdir()
    maps = batch_maps(6)
    write_batched(folder / "b10.h5", {n: a[:2] for n, a in maps.items()}, ids=["5", "1"])
    write_npz(folder / "b9.npz", {n: a[2:4] for n, a in maps.items()}, image_ids=["3", "30"])
    write_per_image(folder / "c.h5", {"20": {n: a[4] for n, a in maps.items()}})
    write_one(folder / "d.h5", {n: a[5] for n, a in maps.items()}, factor=None)
    with open_pyramid(str(folder)) as pyramid:
        # Batched files keep their order, file after file in natural order of names.
        assert pyramid.image_ids == ["3", "30", "5", "1", "20", "d"]
        for image, wanted in enumerate([2, 3, 0, 1, 4, 5]):
            np.testing.assert_array_equal(pyramid.read(image)[1][0], maps["p3"][wanted])


def test_the_group_of_each_file(tmp_path):
    for name in ("a", "b"):
        write_per_image(tmp_path / f"{name}.h5", {name: image_maps(3)}, inside="/deep/er")
    with open_pyramid(f"{tmp_path}/*.h5::/deep/er") as pyramid:
        assert pyramid.image_ids == ["a", "b"]
        np.testing.assert_array_equal(pyramid.read(1)[0][0], image_maps(3)["p2"])


def test_ids_in_two_files_are_refused_with_both(tmp_path):
    write_all(tmp_path / "x", "hdf5", ["7", "9"])
    write_all(tmp_path / "y", "npz", ["9"])
    with pytest.raises(InputError, match=r"got '9' in \S*x/9\.h5 and in \S*y/9\.npz"):
        open_pyramid(str(tmp_path))
    write_batched(tmp_path / "x" / "more.h5", batch_maps(10))
    (tmp_path / "y" / "9.npz").unlink()
    with pytest.raises(InputError, match=r"got '7' in \S*7\.h5 and in \S*more\.h5"):
        open_pyramid(str(tmp_path))


def others(folder, count=20):
    """Many files of one image, so that not all of them are sampled; the second is to be spoiled."""
    folder.mkdir()
    for number in range(count):
        write_one(folder / f"{number}.h5", image_maps(number))
    return folder / "1.h5"


SPOILED = {
    "channels": (
        lambda path: write_one(path, image_maps(1, channels=5)),
        r"1\.h5: expected 3 channels of float32 as in",
    ),
    "dtype": (
        lambda path: write_one(path, image_maps(1, "float64")),
        r"1\.h5: expected 3 channels of float32 as in \S+0",
    ),
    "stride": (
        lambda path: write_one(path, image_maps(1), strides={"p2": 4, "p3": 8, "p4": 32}),
        r"1\.h5:/p4: expected stride 16 x 16 as in \S+0\.h5, got 32 x 32",
    ),
    "level": (
        lambda path: write_one(path, {n: a for n, a in image_maps(1).items() if n != "p4"}),
        r"1\.h5:/p4: expected a dataset",
    ),
    "images": (
        lambda path: write_batched(path),
        r"1\.h5: expected the levels of one image as in \S+0\.h5, got 3 images",
    ),
    "groups": (lambda path: write_per_image(path), r"1\.h5: expected the levels of one image as in"),
    "nothing": (lambda path: path.write_bytes(b""), r"1\.h5: expected .*no readable HDF5 file"),
    "gone": (lambda path: path.unlink(), r"1\.h5: cannot be read: No such file"),
}


@pytest.mark.parametrize("case", SPOILED)
@pytest.mark.sampled(3)
def test_a_file_unlike_the_others_is_refused_when_it_is_used(tmp_path, case):
    spoil, pattern = SPOILED[case]
    path = others(tmp_path / "x")
    with open_pyramid(str(path.parent)) as pyramid:
        spoil(path)
        pyramid.read(3)
        with pytest.raises(MsroiError, match=pattern):
            pyramid.read(1)


def test_a_file_that_changes_after_it_was_located_is_refused(tmp_path):
    path = others(tmp_path / "x")
    with open_pyramid(str(path.parent)) as pyramid:
        pyramid.shapes(1)
        write_one(tmp_path / "new.h5", image_maps(77), factor=None).replace(path)
        with pytest.raises(InputError, match=r"1\.h5.*expected \S+1\.h5 to stay as it is while it is read"):
            pyramid.read(1)


def test_root_datasets_beside_groups_with_levels_are_refused(tmp_path):
    path = write_per_image(tmp_path / "p.h5")
    with h5py.File(path, "a") as file:
        file["mean"] = np.zeros((3, 8, 8), np.float32)
    with pytest.raises(InputError, match="expected levels or groups of images with levels, got datasets mean beside"):
        open_pyramid(str(path))
    with open_pyramid(str(path), LevelChoice(("p2", "p3", "p4"))) as pyramid:
        assert "17" in pyramid.image_ids


def open_descriptors():
    return len(list(Path("/proc/self/fd").iterdir()))


@contextmanager
def most_files(count):
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (count, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))


@pytest.mark.slow
@pytest.mark.skipif(not Path("/proc/self/fd").is_dir(), reason="counts descriptors in /proc")
@pytest.mark.parametrize("kind", ["hdf5", "chunked", "npy", "npz"])
def test_few_files_are_open_at_a_time(tmp_path, kind):
    folder = tmp_path / "x"
    folder.mkdir()
    for number in range(120):
        WRITERS[kind](folder, str(number), image_maps(number))
    before = open_descriptors()
    with most_files(before + 60), open_pyramid(str(folder)) as pyramid:
        sources = [pyramid.source(image, 0) for image in range(120)]
        assert len(sources) == 120
        assert pyramid.image_ids == [str(number) for number in range(120)]
        for number in range(120):
            np.testing.assert_array_equal(pyramid.read(number)[1][0], image_maps(number)["p3"])
        assert open_descriptors() - before <= 60
    assert open_descriptors() == before


def test_handles_close_what_was_not_used_for_longest():
    closed = []
    handles = Handles(lambda key: key, closed.append, limit=2)
    for key in (1, 2, 1, 3):
        with handles.using(key):
            pass
    assert (closed, len(handles)) == ([2], 2)
    with handles.using(1), handles.using(3), handles.using(4) as four:
        assert (four, closed, len(handles)) == (4, [2], 3)
    handles.close()
    assert sorted(closed) == [1, 2, 3, 4]


def test_handles_open_once_for_many_threads():
    opened, barrier = [], threading.Barrier(8)
    handles = Handles(lambda key: opened.append(key) or key, lambda handle: None, limit=1)

    def work():
        barrier.wait()
        for _ in range(200):
            with handles.using("a") as handle:
                assert handle == "a"

    threads = [threading.Thread(target=work) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert opened == ["a"]


def test_fingerprint_of_many_files(tmp_path):
    first = write_all(tmp_path / "x", "hdf5")
    with open_pyramid(str(first)) as pyramid:
        source = pyramid.fingerprint()
        assert (source.name, source.size) == ("x", sum(path.stat().st_size for path in first.iterdir()))
        assert source.fingerprint.startswith("sha256-files:")
        assert len(pyramid.files()) == len(NAMES)
    moved = tmp_path / "y"
    first.rename(moved)
    with open_pyramid(str(moved)) as pyramid:
        assert pyramid.fingerprint().fingerprint == source.fingerprint
    (moved / "7.h5").rename(moved / "8.h5")
    with open_pyramid(str(moved)) as pyramid:
        assert pyramid.fingerprint().fingerprint != source.fingerprint


def test_nested_groups_by_template(tmp_path):
    path = tmp_path / "p.h5"
    with h5py.File(path, "w") as file:
        for name in ("7", "10", "9"):
            group = file.create_group(f"data/img_{name}.jpg/features")
            file[f"data/img_{name}.jpg"].attrs["scale_factor"] = (1.25, 1.5)
            for level, array in maps_of(name).items():
                group[level] = array
        file["data/readme"] = 1
    choice = LevelChoice(strides=tuple((s, s) for s in STRIDES.values()), group="data/img_{id}.jpg/features")
    with open_pyramid(str(path), choice) as pyramid:
        assert sorted(pyramid.image_ids) == ["10", "7", "9"]
        image = pyramid.image_ids.index("9")
        np.testing.assert_array_equal(pyramid.read(image)[0][0], maps_of("9")["p2"])
        assert (pyramid.scale_factor(image), pyramid.image_size(image)) == ((1.25, 1.5), None)
        pyramid.check(image)
    for text in ("images", "a/{id}/{id}", "{id}{id}"):
        with pytest.raises(UsageError, match=r"--group: expected a path with one \{id\}"):
            open_pyramid(str(path), LevelChoice(group=text))
    with pytest.raises(InputError, match="none: expected a group with the groups of the images, got none"):
        open_pyramid(str(path), LevelChoice(group="none/{id}"))
    with pytest.raises(UsageError, match="--group: expected with an HDF5 file"):
        open_pyramid(str(write_npz(tmp_path / "p.npz")), LevelChoice(group="{id}"))


def test_strides_of_the_group_or_of_the_file(tmp_path):
    path = write_per_image(tmp_path / "p.h5", strides={})
    with h5py.File(path, "a") as file:
        file.attrs["stride"] = list(STRIDES.values())
    wanted = [(1 / s, 1 / s) for s in STRIDES.values()]
    with open_pyramid(str(path)) as pyramid:
        assert [level.scale for level in pyramid.levels] == wanted
    with open_pyramid(str(path), LevelChoice(("p3", "p4"))) as pyramid:
        assert [level.scale for level in pyramid.levels] == wanted[1:]
    with h5py.File(path, "a") as file:
        file["17"].attrs["spatial_scale"] = [1 / 4, 1 / 8, 1 / 32]
    with open_pyramid(str(path)) as pyramid:
        image = pyramid.image_ids.index("17")
        other = image if pyramid.sample_image != image else (image + 1) % 3
        with pytest.raises(InputError, match=r"p4: expected one stride, got 32 x 32 and 16 x 16"):
            pyramid.check(other)
    with h5py.File(path, "a") as file:
        del file["17"].attrs["spatial_scale"]
        file.attrs["stride"] = [4, 8]
    with pytest.raises(InputError, match=r"stride: expected 3 values, one a level, got \[4, 8\]"):
        open_pyramid(str(path))


def test_safetensors(tmp_path):
    maps = batch_maps(3)
    factors = np.array([[1.5, 1.25]] * 3)
    path = save_safetensors(
        tmp_path / "p.safetensors",
        {**maps, "strides": np.array([4, 8, 16]), "scale_factors": factors, "image_ids": np.array([5, 4, 3])},
    )
    with open_pyramid(str(path)) as pyramid:
        assert (pyramid.image_ids, pyramid.scale_factor(1)) == (["5", "4", "3"], (1.5, 1.25))
        np.testing.assert_array_equal(pyramid.read(2)[1][0], maps["p3"][2])
        assert pyramid.storage(0, 0)["bytes"] == maps["p2"].nbytes
    by_name = {"strides": json.dumps(STRIDES)}
    path = save_safetensors(tmp_path / "b.safetensors", maps, by_name, bfloat16=tuple(maps))
    with open_pyramid(str(path)) as pyramid:
        rounded = (maps["p3"].view(np.uint32) >> 16 << 16).view(np.float32)
        np.testing.assert_array_equal(pyramid.read(1)[1][0], rounded[1])
        assert pyramid.dtype == np.float32


def test_safetensors_as_their_library_writes_them(tmp_path):
    library = pytest.importorskip("safetensors.numpy", reason="safetensors is an optional extra of the tests")
    maps = {name: array[::-1].copy() for name, array in batch_maps(3).items()}
    library.save_file(dict(reversed(maps.items())), tmp_path / "p.safetensors", metadata=STRIDES_TEXT)
    with open_pyramid(str(tmp_path / "p.safetensors")) as pyramid:
        assert [level.name for level in pyramid.levels] == list(STRIDES)
        np.testing.assert_array_equal(pyramid.read(2)[2][0], maps["p4"][2])


BAD_SAFETENSORS = {
    "cut": (lambda content: content[:-4], r"p4: expected \d+ bytes, got"),
    "header": (lambda content: content[:8] + b"[" + content[9:], "no readable HDF5|expected"),
    "half a header": (lambda content: content[:40], "expected"),
    "shape": (
        lambda content: content.replace(b'"shape": [3, 3, 16, 24]', b'"shape": [3, 3, 16, 25]'),
        "p2: expected .*bytes",
    ),
}


@pytest.mark.parametrize("case", BAD_SAFETENSORS)
def test_bad_safetensors(tmp_path, case):
    spoil, pattern = BAD_SAFETENSORS[case]
    path = save_safetensors(tmp_path / "p.safetensors", batch_maps(3), STRIDES_TEXT)
    path.write_bytes(spoil(path.read_bytes()))
    with pytest.raises(InputError, match=pattern):
        open_pyramid(str(path))


@pytest.mark.parametrize(
    ("strides", "message"),
    [
        ("4", r"strides: expected 3 values, one a level, got 4$"),
        ("[[4], [8, 8, 8], [16]]", r":/p3: stride: expected one or two numbers above 0, got \[8, 8, 8\]$"),
        ('["4", 8, 16]', ":/p2: stride: expected one or two numbers above 0, got '4'$"),
    ],
)
def test_wrong_strides_in_metadata(tmp_path, strides, message):
    path = save_safetensors(tmp_path / "p.safetensors", batch_maps(), {"strides": strides})
    with pytest.raises(InputError, match=message):
        open_pyramid(str(path))


def test_strides_beside_arrays_whose_order_is_not_clear(tmp_path):
    maps = {"a": batch_maps()["p3"], "b": batch_maps()["p2"]}
    path = save_safetensors(tmp_path / "p.safetensors", maps, {"strides": "[8, 4]"})
    with pytest.raises(InputError, match="strides: expected levels that become coarser in the order of their names"):
        open_pyramid(str(path))


@pytest.mark.parametrize(
    ("spoil", "pattern"),
    [
        (lambda folder: (folder / "p3.npy").write_bytes(b"no"), r"p3\.npy: expected an array in NumPy's format"),
        (
            lambda folder: np.save(folder / "p3.npy", np.zeros((3, 3, 2, 2), order="F")),
            "p3.npy: expected an array in C order",
        ),
        (
            lambda folder: (folder / "p2.npy").write_bytes((folder / "p2.npy").read_bytes()[:-1]),
            r"p2\.npy: expected \d+ bytes",
        ),
        (
            lambda folder: np.save(folder / "strides.npy", [1, 2]),
            r"strides: expected 3 values, one a level, got \[1, 2\]",
        ),
    ],
)
def test_bad_folders_of_npy(tmp_path, spoil, pattern):
    folder = write_folder_of_npy(tmp_path / "x", batch_maps())
    spoil(folder)
    with pytest.raises(InputError, match=pattern):
        open_pyramid(str(folder))


def test_extract_from_many_files(tmp_path):
    """The same crops as from one file, whatever the threads; resumed and verified too."""
    folder = write_all(tmp_path / "x", "hdf5")
    whole = write_per_image(tmp_path / "whole.h5", {name: maps_of(name) for name in NATURAL})
    rng = np.random.default_rng(0)
    corners = rng.uniform(0, 30, (40, 2))
    sides = rng.uniform(1, 40, (40, 2))
    boxes = write_json(
        tmp_path / "b.json",
        {name: np.hstack([corners, corners + sides])[number::5].tolist() for number, name in enumerate(NATURAL)},
    )
    expected = extracted(tmp_path / "whole-crops.h5", whole, boxes)[:]
    for threads in (1, 4):
        options = ("--box-space", "input", "--threads", threads, "--overwrite")
        crops = extracted(tmp_path / "c.h5", folder, boxes, *options)
        np.testing.assert_array_equal(crops[:], expected)
    assert crops.sources["pyramid"]["name"] == "x"
    assert run("verify", tmp_path / "c.h5", "--recompute", 10, "--against", folder).exit_code == 0
    refused(
        run("extract", folder, boxes, "--box-space", "input", "-o", folder / "7.h5", "--overwrite"),
        2,
        r"7\.h5: expected an output apart from the inputs, got",
    )
    assert run("inspect", folder).exit_code == 0


UNUSUAL = {
    "plain": ({}, {}),
    "with an axis": ({"lead": True}, {}),
    "without attributes": ({"factor": None}, {}),
    "chunked": ({"chunks": (1, 2, 2)}, {}),
    "without strides": ({"strides": {}}, {"strides": ((4, 4), (8, 8), (16, 16))}),
}


@pytest.mark.parametrize("case", UNUSUAL)
def test_quick_location_gives_what_opening_gives(tmp_path, monkeypatch, case):
    storage, choice = UNUSUAL[case]
    for name in NAMES:
        write_one(tmp_path / f"{name}.h5", maps_of(name), **storage)
    found = []
    for quick in (True, False):
        if not quick:
            monkeypatch.setattr(QuickLocator, "locate", lambda self, path: None)
        with open_pyramid(str(tmp_path), LevelChoice(**choice)) as pyramid:
            assert_images(pyramid)
            images = range(len(NAMES))
            found.append(
                [
                    (pyramid.scale_factor(image), pyramid.image_size(image), *vars_of(pyramid.source(image, level)))
                    for image in images
                    for level in range(3)
                ]
            )
            for image in images:
                pyramid.check(image)
    assert found[0] == found[1]


def vars_of(source):
    """What a contiguous map says of itself."""
    yield from (type(source).__name__, source.where, source.shape, source.dtype)
    if isinstance(source, ContiguousMap):
        yield source.offset


@pytest.mark.parametrize("alike", [True, False])
@pytest.mark.parametrize("storage", [{"compression": "gzip"}, {"chunks": (1, 8, 8)}, {"chunks": (3, 16, 24)}])
@pytest.mark.sampled(2)
def test_chunked_images_of_one_of_many_files_are_their_own(tmp_path, storage, alike):
    images = {name: image_maps(NAMES.index(name)) if alike else maps_of(name) for name in ("7", "10", "a2")}
    chunks = storage.get("chunks", ())
    for number, names in enumerate((("7", "10"), ("a2",))):
        with h5py.File(tmp_path / f"{number}.h5", "w") as file:
            for name in names:
                for level, array in images[name].items():
                    sides = {"chunks": tuple(map(min, chunks, array.shape))} if chunks else {}
                    dataset = file.create_dataset(f"{name}/{level}", data=array, **{**storage, **sides})
                    dataset.attrs["stride"] = STRIDES[level]
    with open_pyramid(str(tmp_path)) as pyramid:
        assert pyramid.image_ids == ["7", "10", "a2"]
        for image, name in enumerate(pyramid.image_ids):
            for values, level in zip(pyramid.read(image), STRIDES, strict=True):
                np.testing.assert_array_equal(values[0], images[name][level])


@pytest.mark.parametrize("value", [[[4, 8]], [4, 8]])
def test_the_stride_of_the_only_level_may_be_a_pair(tmp_path, value):
    path = write_one(tmp_path / "x.h5", {"p2": image_maps()["p2"]}, strides=None)
    with h5py.File(path, "a") as file:
        file.attrs["stride"] = value
    with open_pyramid(str(path)) as pyramid:
        assert pyramid.levels[0].scale == (1 / 4, 1 / 8)
