"""Hostile crops files."""

from __future__ import annotations

import json
import os
import shutil
from functools import cache
from pathlib import Path
from tempfile import mkdtemp

import h5py
import numpy as np

from tests.builders import IDS, coco, extracted, random_boxes, write_batched, write_json
from tests.hostile.corpus.case import cases
from tests.hostile.corpus.damage import bytes_replaced, chunks_written, deflated_zeros

NAN = float("nan")
BIG = "9" * 5000
READ = ("stats", "verify", "verify --recompute", "export padded", "export npz", "export tsv", "preview crops")


@cache
def original(*options):
    """A good crops file, made once a session, of 8 boxes with scores and categories."""
    folder = Path(mkdtemp(prefix="msroi-hostile-"))
    pyramid = write_batched(folder / "maps.h5", ids=IDS)
    keys = [IDS[row % len(IDS)] for row in range(8)]
    boxes = coco(random_boxes(8), keys, score=np.linspace(0, 1, 8).tolist(), category_id=list(range(8)))
    path = folder / "crops.h5"
    extracted(path, pyramid, write_json(folder / "boxes.json", boxes), "-q", "--output-size", "2", *options)
    content = path.read_bytes()
    shutil.rmtree(folder)
    return content


def copy(folder: Path, *options) -> Path:
    path = folder / "crops.h5"
    path.write_bytes(original(*options))
    return path


def edited(change, *options):
    """A maker: a good crops file, changed by h5py."""

    def make(folder: Path) -> Path:
        path = copy(folder, *options)
        with h5py.File(path, "r+") as file:
            change(file)
        return path

    return make


def attribute(name, value, of="/"):
    def change(file):
        if name in file[of].attrs:
            del file[of].attrs[name]
        if value is not None:
            file[of].attrs[name] = value

    return edited(change)


def parameters(**changes):
    def change(file):
        found = json.loads(file.attrs["parameters"])
        for key, value in changes.items():
            if value is None:
                found.pop(key)
            else:
                found[key] = value
        file.attrs["parameters"] = json.dumps(found)

    return edited(change)


def replaced(name, **how):
    def change(file):
        del file[name]
        if how:
            file.create_dataset(name, **how)

    return edited(change)


cases(
    "crops",
    "a crops file says what it is",
    {
        "a format of numbers": attribute("format", 3),
        "a format that is a list": attribute("format", ["msroi-crops", "msroi-crops"]),
        "a version of a word": attribute("format_version", "one"),
        "version 2": attribute("format_version", 2),
        "without parameters": attribute("parameters", None),
        "parameters of a number": attribute("parameters", 3),
        "parameters of a list": attribute("parameters", "[]"),
        "parameters that are not JSON": attribute("parameters", "{"),
        "parameters nested 60,000 deep": attribute("parameters", '{"a":' + "[" * 30_000 + "]" * 30_000 + "}"),
        "parameters nested 975 deep": attribute("parameters", '{"a":' + "[" * 975 + "]" * 975 + "}"),
        "parameters with 5,000 digits": attribute("parameters", f'{{"a": {BIG}}}'),
        "sources of a word": attribute("sources", '"none"'),
        "a source of a number": attribute("sources", '{"pyramid": 5}'),
        "a source of nothing": attribute("sources", '{"pyramid": {}}'),
        "a source of words": attribute("sources", '{"pyramid": {"name": "p", "size": "1", "fingerprint": "x"}}'),
        "without sources": attribute("sources", None),
    },
)
BY_PARAMETERS = ("stats", "verify --recompute")
cases(
    "crops",
    "parameters are those of a job",
    {
        "no parameters": attribute("parameters", "{}"),
        "scales of a word": parameters(spatial_scales="4"),
        "scales of NaN": parameters(spatial_scales=[[NAN, NAN]] * 3),
        "scales of an object": parameters(spatial_scales={"a": 1}),
        "no scales": parameters(spatial_scales=[]),
        "no output size": parameters(output_size=None),
        "an output size of a word": parameters(output_size="seven"),
        "an output size of 10^30": parameters(output_size=[10**30, 10**30]),
        "an unknown preset": parameters(compat="mine"),
        "a preset that is a list": parameters(compat=["lucid"]),
        "levels of a number": parameters(levels=3),
        "too few levels": parameters(levels=["p2"]),
        "a canonical level of a word": parameters(canonical_level="two"),
        "a canonical scale of an object": parameters(canonical_scale={}),
    },
    only=BY_PARAMETERS,
)
cases(
    "crops",
    "checksums say how many rows they are of",
    {
        f"rows per block {name}": attribute("rows_per_block", value, "checksums")
        for name, value in {
            "a word": "abc",
            "NaN": NAN,
            "two": [1, 2],
            "0": 0,
            "-1": -1,
            "1.5": 1.5,
            "2^63": np.uint64(2**63),
            "none at all": h5py.Empty("i8"),
        }.items()
    },
)
cases(
    "crops",
    "columns are of the shapes, types and ranges they should be",
    {
        **{f"without {name}": replaced(name) for name in ("crops", "boxes", "image_index", "level", "status", "stats")},
        "without checksums": replaced("checksums"),
        "without image_ids": replaced("image_ids"),
        "crops of whole numbers": replaced("crops", data=np.zeros((8, 3, 2, 2), "i4")),
        "crops of three axes": replaced("crops", data=np.zeros((8, 3, 2), "f4")),
        "crops without a space": replaced("crops", data=h5py.Empty("f4")),
        "crops of a word": replaced("crops", data="crops"),
        "more crops than boxes": replaced("crops", data=np.zeros((9, 3, 2, 2), "f4")),
        "boxes of three columns": replaced("boxes", data=np.zeros((8, 3), "f4")),
        "boxes of words": replaced("boxes", data=np.full((8, 4), b"1")),
        "images beyond the ids": replaced("image_index", data=np.full(8, 7)),
        "an image of -2": replaced("image_index", data=np.full(8, -2)),
        "images beyond 64 bits": replaced("image_index", data=np.full(8, 2**64 - 1, "u8")),
        "images of fractions": replaced("image_index", data=np.full(8, 0.5)),
        "levels of words": replaced("level", data=np.full(8, b"1")),
        "ids of floats": replaced("image_ids", data=np.zeros(3)),
        "ids that are not UTF-8": replaced("image_ids", data=np.array([b"\xff\xfe"] * 3)),
        "ids in two axes": replaced("image_ids", data=np.array([[b"a", b"b"]] * 3)),
        "stats of words": replaced("stats", data=np.array([b"a", b"b", b"c"])),
        "stats of numbers": replaced("stats", data=np.zeros((3, 14))),
        "stats of other fields": replaced("stats", data=np.zeros(3, [("level", "i4"), ("mean", "f8")])),
        "stats of strings": replaced("stats", data=np.array(["a"] * 3, dtype=object), dtype=h5py.string_dtype()),
        "stats without a space": replaced("stats", data=h5py.Empty("f4")),
        "checksums of words": replaced("checksums", data=np.full(8, b"1")),
        "checksums without a space": replaced("checksums", data=h5py.Empty("u4")),
        "scores of words": replaced("score", data=np.full(8, b"1")),
        "too few scores": replaced("score", data=np.zeros(3)),
        "categories beyond 64 bits": replaced("category_id", data=np.full(8, 2**64 - 1, "u8")),
        "crops that are a group": edited(lambda file: (file.__delitem__("crops"), file.create_group("crops"))),
        "a soft link to itself": edited(
            lambda file: (file.__delitem__("crops"), file.__setitem__("crops", h5py.SoftLink("/crops")))
        ),
    },
)
cases(
    "crops",
    "rows mean what they say",
    {
        "levels that are not there": edited(lambda file: file["level"].__setitem__(slice(None), 99)),
        "status of no meaning": edited(lambda file: file["status"].__setitem__(0, 77)),
        "rows that do not ascend": edited(lambda file: file["box_index"].__setitem__(slice(None), 0)),
        "a pooled box of no image": edited(lambda file: file["image_index"].__setitem__(0, -1)),
        "another checksum": edited(lambda file: file["checksums"].__setitem__(3, 12345)),
        "another crop": edited(lambda file: file["crops"].__setitem__((3, 0, 0, 0), 77.0)),
        "another crop, compressed": edited(
            lambda file: file["crops"].__setitem__((3, 0, 0, 0), 77.0), "--compression", "gzip"
        ),
        "too few checksums": replaced("checksums", data=np.zeros(5, "u4")),
        "other counts in stats": edited(
            lambda file: file["stats"].__setitem__(slice(None), np.zeros(3, file["stats"].dtype))
        ),
    },
    only=("verify",),
)


# Without a format it may be a file of boxes.
cases(
    "crops",
    "a crops file says what it is",
    {"without a format": attribute("format", None)},
    only=("stats", "verify", "verify --recompute", "export padded", "export npz", "export tsv", "preview crops"),
)


def declared(name, shape, dtype):
    """A maker: a dataset that is huge as its header has it, and takes no room."""

    def change(file):
        del file[name]
        file.create_dataset(name, shape, dtype, chunks=True)

    return edited(change)


cases(
    "crops",
    "memory follows the size of the file, not what its headers declare",
    {
        "10^8 declared ids": declared("image_ids", (10**8,), "S8"),
        "10^9 declared checksums": declared("checksums", (10**9,), "u4"),
        "10^8 declared statistics": declared("stats", (10**8,), "f8"),
        "2^40 declared crops": declared("crops", (2**40, 3, 2, 2), "f4"),
        "one crop of 2^40 channels": declared("crops", (8, 2**40, 2, 2), "f4"),
    },
)


def cut(share, *options):
    def make(folder: Path) -> Path:
        path = copy(folder, *options)
        os.truncate(path, int(path.stat().st_size * share))
        return path

    return make


def crops_beyond_the_file(folder: Path) -> Path:
    path = copy(folder)
    with h5py.File(path) as file:
        offset, size = file["crops"].id.get_offset(), file["crops"].id.get_storage_size()
    both = [number.to_bytes(8, "little") for number in (offset, size, 1 << 40)]
    bytes_replaced(path, both[0] + both[1], both[2] + both[1])
    return path


def external(path, folder, name):
    with h5py.File(path, "r+") as file:
        shape, dtype = file[name].shape, file[name].dtype
        del file[name]
        (folder.parent / "secret.bin").write_bytes(bytes(100_000))
        file.create_dataset(name, shape, dtype, external=[(str(folder.parent / "secret.bin"), 0, h5py.h5f.UNLIMITED)])
    return path


def linked(name, climbs):
    def make(folder: Path) -> Path:
        path = copy(folder)
        shutil.copy(path, folder.parent / "secret.h5")
        with h5py.File(path, "r+") as file:
            del file[name]
            file[name] = h5py.ExternalLink("../secret.h5" if climbs else str(folder.parent / "secret.h5"), name)
        return path

    return make


def virtual_crops(source):
    def make(folder: Path) -> Path:
        path = copy(folder)
        shutil.copy(path, folder.parent / "secret.h5")
        with h5py.File(path, "r+") as file:
            shape = file["crops"].shape
            layout = h5py.VirtualLayout(shape, "f4")
            layout[:] = h5py.VirtualSource(source, "crops", shape)
            del file["crops"]
            file.create_virtual_dataset("crops", layout)
        return path

    return make


cases(
    "crops",
    "a file that is not whole is refused",
    {
        "cut to a half": cut(0.5),
        "cut to nine tenths": cut(0.9),
        "cut by a byte": lambda folder: (path := copy(folder), os.truncate(path, path.stat().st_size - 1))[0],
        "cut to a half, compressed": cut(0.5, "--compression", "gzip"),
        "crops beyond the file": crops_beyond_the_file,
    },
)
cases(
    "crops",
    "only files below the folder of the input, by relative names, are read",
    {
        "crops in another file": linked("crops", False),
        "crops in a file above": linked("crops", True),
        "boxes in a file above": linked("boxes", True),
        "crops in external storage": lambda folder: external(copy(folder), folder, "crops"),
        "boxes in external storage": lambda folder: external(copy(folder), folder, "boxes"),
        "virtual crops elsewhere": virtual_crops("../secret.h5"),
    },
)
cases(
    "crops",
    "a missing value is not a zero",
    {
        "virtual crops without their source": virtual_crops("none.h5"),
        "crops that were never written": replaced("crops", shape=(8, 3, 2, 2), dtype="f4"),
        "boxes that were never written": replaced("boxes", shape=(8, 4), dtype="f4", chunks=(8, 4)),
    },
)


def chunk(new, *options):
    def make(folder: Path) -> Path:
        path = copy(folder, *options)
        chunks_written(path, "crops", 0, new)
        return path

    return make


cases(
    "crops",
    "a damaged chunk is refused",
    {
        "deflate with wrong bytes": chunk(
            lambda content: content[:10] + b"\xff\xff\xff\xff" + content[14:], "--compression", "gzip"
        ),
        "deflate cut short": chunk(lambda content: content[:-7], "--compression", "gzip"),
        "deflate of 400 MB": chunk(lambda content: deflated_zeros(400 << 20), "--compression", "gzip"),
    },
    only=READ,
)
