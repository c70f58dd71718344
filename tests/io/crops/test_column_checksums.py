"""What a crops file says besides its crops has checksums: whatever changes in it later is found."""

from __future__ import annotations

import zlib

import h5py
import numpy as np
import pytest

from msroi_cli import PyramidWriter, open_crops
from msroi_cli.errors import InputError
from msroi_cli.io.hdf5.write import fixed_texts, set_texts
from tests.builders import (
    IDS,
    SPREAD,
    batch_maps,
    coco,
    extracted,
    image_maps,
    random_boxes,
    refused,
    run,
    write_batched,
    write_json,
)

COUNT = 12
WAYS = {"plain": (), "gzip": ("--compression", "gzip:1")}


@pytest.fixture
def inputs(tmp_path):
    """Boxes with every column."""
    keys = [IDS[row % 3] for row in range(COUNT)]
    numbers = list(range(COUNT))
    boxes = coco(random_boxes(COUNT), keys, score=np.linspace(0, 1, COUNT).tolist(), category_id=numbers, id=numbers)
    return write_batched(tmp_path / "p.h5", ids=IDS), write_json(tmp_path / "b.json", boxes)


@pytest.fixture(params=WAYS)
def path(request, tmp_path, inputs):
    extracted(tmp_path / "o.h5", *inputs, "-q", *SPREAD, *WAYS[request.param])
    return tmp_path / "o.h5"


def columns(path):
    with h5py.File(path) as file:
        return [name.decode() for name in file["column_checksums"]["name"]]


def test_they_are_crc32_of_the_bytes(path):
    """Read without this package."""
    with h5py.File(path) as file:
        for name, crc in file["column_checksums"][()].tolist():
            text = name.decode()
            content = file.attrs[text[1:]] if text.startswith("@") else file[text][()].tobytes()
            assert zlib.crc32(content) == crc, text


def test_everything_but_crops_has_one(path):
    with h5py.File(path) as file:
        names = {name for name in file if name not in ("crops", "checksums", "column_checksums")}
    assert names | {"@parameters", "@sources", "@warnings"} == set(columns(path))
    assert {"boxes", "image_index", "level", "status", "box_index", "score", "category_id", "annotation_id"} <= names


@pytest.mark.sampled(2)
def test_every_changed_column_is_found(path):
    whole = path.read_bytes()
    for name in columns(path):
        path.write_bytes(whole)
        with h5py.File(path, "r+") as file:
            if name.startswith("@"):
                text = file.attrs[name[1:]]
                kind = h5py.string_dtype("utf-8", len(text) + 1)
                file.attrs.create(name[1:], np.array(text.rstrip() + b" ", kind), dtype=kind)
                if len(text.rstrip()) < len(text):
                    continue
            else:
                values = np.atleast_1d(file[name][()])
                content = bytearray(values.tobytes())
                content[0] ^= 1
                file[name][...] = np.frombuffer(bytes(content), values.dtype).reshape(values.shape)
        result = run("verify", path)
        assert result.exit_code == 3, name
        assert f"{name.replace('@', 'attribute ')}: expected the checksum" in result.stdout, (name, result.stdout)


def test_a_good_file_passes_with_its_columns(path):
    result = run("verify", path)
    assert (result.exit_code, result.stderr) == (0, f"{path}: passed\n")


def test_parts_and_what_is_merged_have_them(tmp_path, inputs):
    extracted(tmp_path / "o.h5", *inputs, "-q", *SPREAD)
    for shard in ("1/2", "2/2"):
        line = ("extract", *inputs, "-o", tmp_path / "parts", "-q", "--shard", shard, *SPREAD)
        assert run(*line).exit_code == 0
    assert run("verify", tmp_path / "parts").exit_code == 0
    assert run("merge", tmp_path / "parts", "-o", tmp_path / "m.h5", "-q").exit_code == 0
    with h5py.File(tmp_path / "m.h5") as merged, h5py.File(tmp_path / "o.h5") as whole:
        assert merged["column_checksums"][()].tobytes() == whole["column_checksums"][()].tobytes()
    part = tmp_path / "parts" / "part-00002-of-00002.h5"
    with h5py.File(part, "r+") as file:
        file["boxes"][0, 0] += 1
    result = run("verify", tmp_path / "parts")
    assert result.exit_code == 3
    assert "part-00002-of-00002.h5: boxes: expected the checksum" in result.stdout
    refused(
        run("merge", tmp_path / "parts", "-o", tmp_path / "n.h5", "-q"), 3, "00002.h5: boxes: expected the checksum"
    )


def strings(group):
    """The types of all strings in a file: datasets and attributes."""
    found = {}

    def visit(name, item):
        for key in item.attrs:
            found[f"{name}@{key}"] = item.attrs.get_id(key).dtype
        if isinstance(item, h5py.Dataset):
            found[name] = item.dtype

    visit("", group)
    group.visititems(visit)
    return {name: info for name, dtype in found.items() if (info := h5py.check_string_dtype(dtype))}


def test_all_strings_of_our_files_have_a_fixed_length(tmp_path, path, inputs):
    made = [path]
    for layout in ("padded", "ragged", "groups"):
        out = tmp_path / f"{layout}.h5"
        result = run("export", path, out, "--layout", layout, "--pyramid", inputs[0], "-q")
        assert result.exit_code == 0, result.stderr
        made.append(out)
    with PyramidWriter(tmp_path / "w.h5", (4, 8, 16), about={"model": "m"}) as writer:
        writer.add("17", image_maps())
    for one in [*made, tmp_path / "w.h5"]:
        with h5py.File(one) as file:
            found = strings(file)
        assert len(found) >= 4
        assert {name: info.length for name, info in found.items() if info.length is None} == {}


NAMES = ["\u00e9" * 512, "\u6c34", "a" * 1024, "\U0001f600", "", " "]


def pyramid_of(path, names):
    maps = {name: values[:1].repeat(len(names), 0) for name, values in batch_maps().items()}
    return write_json(
        path,
        {
            "levels": [
                {"name": name, "stride": 96 // values.shape[3], "data": values.tolist()}
                for name, values in maps.items()
            ],
            "image_ids": names,
        },
    )


@pytest.mark.parametrize("way", WAYS)
def test_ids_are_as_long_as_their_bytes(tmp_path, way):
    pyramid = pyramid_of(tmp_path / "p.json", NAMES)
    boxes = write_json(tmp_path / "b.json", [[row, 1, 2, 30, 40] for row in range(len(NAMES))])
    crops = extracted(tmp_path / "o.h5", pyramid, boxes, "-q", *WAYS[way])
    assert crops.image_ids == NAMES
    with h5py.File(tmp_path / "o.h5") as file:
        assert file["image_ids"].dtype.itemsize == 1024
        assert [text.decode() for text in file["image_ids"][()]] == NAMES


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize(
    ("name", "pattern"),
    [
        ("a" * 1025, "at most 1,024 bytes, got 1,025"),
        ("\u00e9" * 513, "got 1,026"),
    ],
    ids=["too long", "too long in UTF-8"],
)
def test_ids_that_cannot_be_stored_are_refused_before_the_work(tmp_path, way, name, pattern):
    pyramid = pyramid_of(tmp_path / "p.json", [name, "b"])
    boxes = write_json(tmp_path / "b.json", [[1, 1, 2, 30, 40]])
    result = run("extract", pyramid, boxes, "-o", tmp_path / "o.h5", "-q", "--image-key", "index", *WAYS[way])
    refused(result, 3, pattern)
    assert sorted(entry.name for entry in tmp_path.iterdir()) == ["b.json", "p.json"]


@pytest.mark.parametrize(("name", "pattern"), [("a\x00", "NUL"), ("\ud800", "UTF-8")])
def test_texts_that_strings_of_fixed_length_cannot_express_are_refused(name, pattern):
    with pytest.raises(InputError, match=pattern):
        fixed_texts("f.h5", ["a", name])


def test_parameters_that_are_too_long_for_a_header_are_kept(tmp_path, inputs):
    with h5py.File(tmp_path / "x.h5", "w") as file:
        set_texts(file, {"short": "", "long": "x" * 70_000})
    with h5py.File(tmp_path / "x.h5") as file:
        assert (file.attrs["short"], file.attrs["long"]) == (b"", "x" * 70_000)


def test_files_with_strings_of_any_length_are_read(tmp_path, path):
    """As earlier versions wrote them."""
    with h5py.File(path, "r+") as file:
        for name in ("format", "parameters", "sources", "warnings"):
            text = file.attrs[name].decode()
            del file.attrs[name]
            file.attrs[name] = text
        ids = [text.decode() for text in file["image_ids"][()]]
        del file["image_ids"], file["column_checksums"]
        file.create_dataset("image_ids", data=ids, dtype=h5py.string_dtype())
    with open_crops(path) as crops:
        assert crops.image_ids == IDS
        assert crops.parameters["compat"] == "lucid"
    assert run("verify", path).exit_code == 0
