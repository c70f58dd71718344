"""Levels that say `layout="hwc"` give the crops of the same numbers stored channels first, bit for bit."""

from __future__ import annotations

import json

import h5py
import numpy as np
import pytest

from msroi_cli.core.backends.dispatch import BACKENDS
from msroi_cli.errors import InputError
from msroi_cli.io.features.channels_last import ChannelsLastMap
from msroi_cli.io.features.headers import Headers
from msroi_cli.io.hdf5.read import open_dataset
from msroi_cli.io.pyramid.hdf5.quick import QuickLocator
from msroi_cli.io.pyramid.hdf5.stencils import Stencils
from msroi_cli.io.pyramid.open import open_pyramid
from tests.builders import (
    IDS,
    SPREAD,
    STRIDES,
    batch_maps,
    channels_last,
    differing_maps,
    extracted,
    image_maps,
    random_boxes,
    random_rows,
    refused,
    run,
    write_batched,
    write_json,
    write_json_pyramid,
    write_npz,
    write_per_image,
)
from tests.fuzz.meaning.write.pyramids import write_safetensors

GZIP = {"chunks": True, "compression": "gzip", "shuffle": True}
STORAGE = {"contiguous": {}, "chunked": {"chunks": True}, "gzip": GZIP, "lzf": {"chunks": True, "compression": "lzf"}}
DTYPES = ["<f2", ">f2", "<f4", ">f4", "<f8", ">f8"]


def folder_of(path, storage, dtype):
    """A file an image, its levels at the top."""
    path.mkdir()
    for number, key in enumerate(IDS):
        write_batched(path / f"{key}.h5", image_maps(number, dtype), storage=storage)
    return path


def linked(path, storage, dtype):
    """Groups of images that are links to other files."""
    (path.parent / "parts").mkdir(exist_ok=True)
    write_per_image(path.parent / "parts" / path.name, differing_maps(dtype), storage=storage)
    with h5py.File(path, "w") as file:
        for key in IDS:
            file[key] = h5py.ExternalLink(f"parts/{path.name}", key)
    return path


# How images lie in files: each gives the path of a pyramid.
FORMS = {
    "batched": lambda path, storage, dtype: write_batched(path, batch_maps(3, dtype), ids=IDS, storage=storage),
    "per image": lambda path, storage, dtype: write_per_image(path, differing_maps(dtype), storage=storage),
    "lead": lambda path, storage, dtype: write_per_image(path, differing_maps(dtype), storage=storage, lead=True),
    "nested": lambda path, storage, dtype: write_per_image(path, differing_maps(dtype), storage=storage, inside="maps"),
    "folder": folder_of,
    "linked": linked,
}
OPTIONS = {"nested": ("--group", "maps/{id}")}
LEVELS = {
    "all": lambda name: True,
    "one level": lambda name: "p3" in name,
    "one image": lambda name: name.startswith(IDS[1]),
}


def files_of(path):
    """The files that hold the maps of a pyramid."""
    if path.is_dir():
        return sorted(path.iterdir())
    return [path.parent / "parts" / path.name] if (path.parent / "parts" / path.name).exists() else [path]


def crops_of(folder, name, pyramid, *options):
    """The bytes of all crops, and what else is stored of each."""
    boxes = write_json(folder / "b.json", {key: random_boxes(9, n).tolist() for n, key in enumerate(IDS)})
    crops = extracted(folder / f"{name}.crops.h5", pyramid, boxes, "--output-size", "3", *SPREAD, *options)
    return crops[:].tobytes(), crops.level.tolist(), crops.boxes.tolist()


@pytest.mark.parametrize("backend", sorted(BACKENDS))
@pytest.mark.parametrize("levels", LEVELS)
@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("storage", STORAGE)
@pytest.mark.parametrize("form", FORMS)
@pytest.mark.sampled(25)
def test_crops_are_those_of_channels_first(tmp_path, monkeypatch, form, storage, dtype, levels, backend):
    monkeypatch.setenv("MSROI_BACKEND", backend)
    chosen = LEVELS[levels]
    pyramids = []
    for name in ("first", "last"):
        (tmp_path / name).mkdir()
        pyramids.append(FORMS[form](tmp_path / name / "p.h5", STORAGE[storage], dtype))
    for file in files_of(pyramids[1]):
        prefix = f"{file.stem}/" if form == "folder" else ""
        channels_last(file, lambda name, prefix=prefix: chosen(prefix + name.removeprefix("maps/")))
    first, last = (crops_of(tmp_path, pyramid.parent.name, pyramid, *OPTIONS.get(form, ())) for pyramid in pyramids)
    assert first == last


WORKERS = pytest.param(("--workers", "2"), marks=pytest.mark.slow)


@pytest.mark.parametrize("options", [WORKERS, ("--memory", "64M"), ("--assign", "all"), ("--reduce", "mean")])
def test_however_the_job_is_run(tmp_path, options):
    maps = differing_maps()
    first = write_per_image(tmp_path / "first.h5", maps)
    last = channels_last(write_per_image(tmp_path / "last.h5", maps))
    assert crops_of(tmp_path, "a", first, *options)[0] == crops_of(tmp_path, "b", last, *options)[0]


def test_parts(tmp_path):
    boxes = write_json(tmp_path / "b.json", random_rows(20).tolist())
    pyramid = channels_last(write_batched(tmp_path / "p.h5"))
    whole = extracted(tmp_path / "o.h5", pyramid, boxes, *SPREAD)[:]
    for number in (1, 2):
        result = run("extract", pyramid, boxes, "-o", tmp_path / "parts", *SPREAD, "--shard", f"{number}/2")
        assert result.exit_code == 0, result.stderr
    merged = run("merge", tmp_path / "parts", "-o", tmp_path / "m.h5")
    assert merged.exit_code == 0, merged.stderr
    with h5py.File(tmp_path / "m.h5") as file:
        np.testing.assert_array_equal(file["crops"][:], whole)


@pytest.mark.parametrize("command", ["inspect", "validate", "dry run", "preview"])
def test_other_commands_see_channels_first(tmp_path, command):
    boxes = write_json(tmp_path / "b.json", random_rows(9).tolist())
    shown = []
    for name in ("first", "last"):
        (tmp_path / name).mkdir()
        pyramid = write_batched(tmp_path / name / "p.h5")
        if name == "last":
            channels_last(pyramid)
        words = {
            "inspect": ("inspect", pyramid),
            "validate": ("validate", pyramid, boxes, "--box-space", "input"),
            "dry run": ("extract", pyramid, boxes, "-o", tmp_path / name / "o.h5", "--dry-run", *SPREAD),
            "preview": ("preview", "pyramid", pyramid, "-o", tmp_path / name / "picture.png"),
        }[command]
        result = run(*words)
        assert result.exit_code == 0, result.stderr
        picture = tmp_path / name / "picture.png"
        shown.append(
            (
                (result.stdout + result.stderr).replace(str(pyramid.parent), ""),
                picture.exists() and picture.read_bytes(),
            )
        )
    assert shown[0][1] == shown[1][1]
    assert shown[0][0].split() == shown[1][0].replace("float32 hwc", "float32").split()


def test_inspect_says_which_levels(tmp_path):
    path = channels_last(write_per_image(tmp_path / "p.h5"), lambda name: name == "4/p3")
    levels = json.loads(run("inspect", path, "--json").stdout)["levels"]
    assert [level["layout"] for level in levels] == [["chw"], ["hwc", "chw"], ["chw"]]
    assert [level["height"] for level in levels] == [[8, 32], [4, 16], [2, 8]]


BAD = {
    "unknown": ("HWC", 'p3: layout: expected "chw" or "hwc", got \'HWC\''),
    "a number": (1, 'p3: layout: expected "chw" or "hwc", got .*1'),
    "several": (["hwc", "chw"], 'p3: layout: expected "chw" or "hwc", got .*hwc'),
    "empty": (h5py.Empty("S1"), 'p3: layout: expected "chw" or "hwc", got '),
    "no UTF-8": (np.bytes_(b"\xff"), "p3.*layout"),
}


@pytest.mark.parametrize("case", BAD)
@pytest.mark.parametrize("form", ["batched", "per image", "folder"])
@pytest.mark.sampled(2)
def test_a_layout_that_is_none_is_refused(tmp_path, case, form):
    """Also of an image that is not the first."""
    value, pattern = BAD[case]
    path = FORMS[form](tmp_path / "p.h5", {}, "f4")
    file = files_of(path)[-1]
    with h5py.File(file, "a") as content:
        content["230/p3" if form == "per image" else "p3"].attrs["layout"] = value
    boxes = write_json(tmp_path / "b.json", {key: [[1, 1, 9, 9]] for key in IDS})
    refused(run("extract", path, boxes, "-o", tmp_path / "o.h5", "-q"), 3, pattern)
    assert run("validate", path, boxes).exit_code == 3
    assert run("inspect", path).exit_code == 3


@pytest.mark.parametrize("form", FORMS)
def test_a_layout_that_is_not_so_is_refused(tmp_path, form):
    """What is stored channels first and says otherwise has other channels in each level."""
    path = FORMS[form](tmp_path / "p.h5", {}, "f4")
    with h5py.File(files_of(path)[-1], "a") as file:
        levels = []
        file.visititems(lambda name, item: levels.append(item) if name.endswith("p3") else None)
        levels[-1].attrs["layout"] = "hwc"
    boxes = write_json(tmp_path / "b.json", {key: [[1, 1, 9, 9]] for key in IDS})
    pattern = r"p3: expected \(H, W, 3\), got \(.*\)|expected 3 channels"
    refused(run("extract", path, boxes, "-o", tmp_path / "o.h5", "-q", *OPTIONS.get(form, ())), 3, pattern)


def test_numbers_of_images_that_differ(tmp_path):
    maps = batch_maps()
    path = channels_last(write_batched(tmp_path / "p.h5", {**maps, "p3": maps["p3"][:2]}))
    with pytest.raises(InputError, match=r"/p3: expected \(3, H, W, C\) like p2, got \(2, 8, 12, 3\)"):
        open_pyramid(str(path))


def test_two_entries_of_an_image(tmp_path):
    images = differing_maps()
    images["4"]["p2"] = np.stack([images["4"]["p2"]] * 2)
    path = channels_last(write_per_image(tmp_path / "p.h5", images))
    with (
        open_pyramid(str(path)) as pyramid,
        pytest.raises(InputError, match=r"4/p2: expected \(1, H, W, 3\), got \(2, "),
    ):
        pyramid.sources([(pyramid.image_ids.index("4"), 0)])


COUNT = 60


def many(path, layouts):
    """Small images that are alike, each with the layout at its number; fixed-length text stands in the header."""
    with h5py.File(path, "w") as file:
        for number in range(COUNT):
            for name, array in image_maps(number, width=64, height=64, channels=4).items():
                layout = layouts[number % len(layouts)]
                values = np.moveaxis(array, 0, -1) if layout == "hwc" else array
                item = file.create_dataset(f"{number}/{name}", data=values)
                item.attrs["stride"] = STRIDES[name]
                if layout is not None:
                    item.attrs["layout"] = np.bytes_(layout)
    return path


@pytest.mark.parametrize("layouts", [["hwc"], ["chw", "hwc"], [None, "hwc", "chw"]])
@pytest.mark.parametrize("twin", [False, True])
def test_headers_tell_the_layout(tmp_path, monkeypatch, layouts, twin):
    """Images that differ in nothing else are read each as it says: their headers differ, or are not known."""
    opened = []
    monkeypatch.setattr(
        "msroi_cli.io.pyramid.hdf5.alike.open_dataset",
        lambda root, inside, *rest: opened.append(inside) or open_dataset(root, inside, *rest),
    )
    if twin:
        monkeypatch.setattr(Headers, "find", lambda self, address: None)
        monkeypatch.setattr(Headers, "find_all", lambda self, places, extents: np.full((2, len(places)), -1))
    with open_pyramid(str(many(tmp_path / "p.h5", layouts))) as pyramid:
        sources = pyramid.sources([(image, level) for image in range(COUNT) for level in range(3)])
        assert [source.layout for source in sources[::3]] == [layouts[n % len(layouts)] or "chw" for n in range(COUNT)]
        for image in range(COUNT):
            expected = image_maps(image, width=64, height=64, channels=4)
            for values, name in zip(pyramid.read(image), STRIDES, strict=True):
                np.testing.assert_array_equal(values[0], expected[name])
    assert twin or len(opened) <= 9 * len(layouts)


@pytest.mark.parametrize("text", [np.bytes_, str], ids=["fixed length", "variable length"])
def test_files_that_are_alike_are_known_by_their_bytes(tmp_path, monkeypatch, text):
    """And those that differ in their layout alone are not taken for one another: square maps of as many channels."""
    rng, maps = np.random.default_rng(0), {}
    for number in range(24):
        layout = ("hwc", "chw")[number % 3 == 0]
        with h5py.File(tmp_path / f"{number}.h5", "w") as file:
            for name, side in (("p2", 8), ("p3", 8)):
                maps[number, name] = rng.standard_normal((8, side, side)).astype("f4")
                values = np.moveaxis(maps[number, name], 0, -1) if layout == "hwc" else maps[number, name]
                file.create_dataset(name, data=values).attrs.update({"stride": 4, "layout": text(layout)})
    located, locate = [], Stencils.locate
    monkeypatch.setattr(Stencils, "locate", lambda *given: (located.append(locate(*given)), located[-1])[1])
    for quick in (True, False):
        if not quick:
            monkeypatch.setattr(QuickLocator, "locate", lambda self, path: None)
        with open_pyramid(str(tmp_path)) as pyramid:
            for image, key in enumerate(pyramid.image_ids):
                for values, name in zip(pyramid.read(image), ("p2", "p3"), strict=True):
                    np.testing.assert_array_equal(values[0], maps[int(key), name])
                assert isinstance(pyramid.source(image, 0), ChannelsLastMap) == (int(key) % 3 != 0)
    assert sum(one is not None for one in located) > 12


def test_json_may_say_it(tmp_path):
    maps = batch_maps()
    path = write_json_pyramid(tmp_path / "p.json", maps)
    document = json.loads(path.read_text())
    document["levels"][1] |= {"layout": "hwc", "data": np.moveaxis(maps["p3"], 1, -1).tolist()}
    path.write_text(json.dumps(document))
    with open_pyramid(str(path)) as pyramid:
        for image in range(3):
            for values, name in zip(pyramid.read(image), maps, strict=True):
                np.testing.assert_array_equal(values[0], maps[name][image])
    document["levels"][1]["layout"] = "last"
    path.write_text(json.dumps(document))
    with pytest.raises(InputError, match=r'levels\[1\]: layout: expected "chw" or "hwc", got \'last\''):
        open_pyramid(str(path))


@pytest.mark.parametrize(
    ("form", "holder"),
    [("batched", "/"), ("per image", "/"), ("per image", IDS[1]), ("per image", IDS[2]), ("folder", "/")],
)
@pytest.mark.parametrize("value", ["hwc", np.bytes_("NHWC"), np.array([b"chw", b"hwc"])])
def test_a_layout_beside_the_levels_is_refused(tmp_path, form, holder, value):
    """On a group or a file, where a stride could stand."""
    path = FORMS[form](tmp_path / "p.h5", {}, "f4")
    with h5py.File(files_of(path)[-1], "a") as file:
        file[holder].attrs["layout"] = value
    boxes = write_json(tmp_path / "b.json", {key: [[1, 1, 9, 9]] for key in IDS})
    pattern = r'layout: expected "hwc" on each level with channels last, got .*(hwc|NHWC)'
    refused(run("extract", path, boxes, "-o", tmp_path / "o.h5", "-q"), 3, pattern)
    with h5py.File(files_of(path)[-1], "a") as file:
        file[holder].attrs["layout"] = "something else"
    assert run("extract", path, boxes, "-o", tmp_path / "o.h5", "-q").exit_code == 0


def write_metadata(path, maps, said):
    texts = {name: value if isinstance(value, str) else json.dumps(value) for name, value in said.items()}
    write_safetensors(path, maps, {"strides": "[4, 8, 16]"} | texts)
    return path


def write_npy(folder, maps, said):
    folder.mkdir()
    for name, array in {**maps, "strides": [4, 8, 16], **said}.items():
        np.save(folder / f"{name}.npy", array)
    return folder


BESIDE = {
    "npz": lambda folder, said: write_npz(folder / "p.npz", batch_maps(), strides=[4, 8, 16], **said),
    "npy": lambda folder, said: write_npy(folder / "p", batch_maps(), said),
    "json": lambda folder, said: write_json_pyramid(folder / "p.json", batch_maps(), **said),
    "safetensors": lambda folder, said: write_metadata(folder / "p.safetensors", batch_maps(), said),
}


@pytest.mark.parametrize("form", BESIDE)
@pytest.mark.parametrize(
    ("said", "message"),
    [
        ({"layout": "NHWC"}, "layout: expected channels first, got 'NHWC'"),
        ({"layouts": ["chw", "chw", "hwc"]}, r"layouts: expected channels first, got \['chw', 'chw', 'hwc'\]"),
        ({"p3_layout": ["channels_last"]}, r"p3_layout: expected channels first, got \['channels_last'\]"),
        ({"layout": "NCHW", "layouts": ["chw"] * 3, "layout_version": [1], "order": "hwc"}, None),
    ],
    ids=["all", "one of them", "by name", "channels first"],
)
def test_arrays_that_say_it_are_refused(tmp_path, form, said, message):
    """Arrays are channels first; what says otherwise beside them must not be pooled as if it were not there."""
    path = BESIDE[form](tmp_path, said)
    if message is None:
        with open_pyramid(str(path)) as pyramid:
            np.testing.assert_array_equal(pyramid.read(0)[0][0], batch_maps()["p2"][0])
        return
    with pytest.raises(InputError, match=rf"{path}: .*{message}"):
        open_pyramid(str(path))


def test_metadata_of_safetensors_by_level(tmp_path):
    path = write_metadata(tmp_path / "p.safetensors", batch_maps(), {"layout": {"p2": "chw", "p3": "hwc"}})
    with pytest.raises(InputError, match=r"metadata layout: expected channels first, got {'p2': 'chw', 'p3': 'hwc'}"):
        open_pyramid(str(path))
