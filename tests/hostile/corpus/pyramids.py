"""Hostile pyramids: HDF5 whose structure, storage or metadata lie, and JSON."""

from __future__ import annotations

import os
import struct
import zlib
from pathlib import Path

import h5py
import numpy as np

from tests.builders import (
    IDS,
    STRIDES,
    batch_maps,
    differing_maps,
    write_batched,
    write_json,
    write_per_image,
)
from tests.hostile.corpus.case import case, cases
from tests.hostile.corpus.damage import bytes_replaced, chunk_record_edited, chunks_written, deflated_zeros

NAN, INF = float("nan"), float("inf")
READ = ("extract", "verify --against")
# Crops know the scales they were pooled with.
READ_STRIDES = ("extract", "inspect", "validate", "preview boxes", "preview pyramid")
BIG = "9" * 5000


def good(folder, **options):
    return write_batched(folder / "maps.h5", ids=IDS, **options)


def edited(change, **options):
    """A maker: a good batched pyramid, changed by h5py."""

    def make(folder: Path) -> Path:
        path = good(folder, **options)
        with h5py.File(path, "r+") as file:
            change(file)
        return path

    return make


def edited_per_image(change, **options):
    """A maker: a good per-image pyramid, changed by h5py."""

    def make(folder: Path) -> Path:
        path = write_per_image(folder / "maps.h5", differing_maps(), **options)
        with h5py.File(path, "r+") as file:
            change(file)
        return path

    return make


def content(data, name="maps.h5"):
    """A maker: a file of these bytes."""

    def make(folder: Path) -> Path:
        path = folder / name
        path.write_bytes(data)
        return path

    return make


def cut(share):
    """A maker: a pyramid cut short."""

    def make(folder: Path) -> Path:
        path = good(folder)
        os.truncate(path, int(path.stat().st_size * share))
        return path

    return make


def no_such(folder: Path) -> Path:
    return folder / "none.h5"


def is_folder(folder: Path) -> Path:
    (folder / "maps.h5").mkdir()
    return folder / "maps.h5"


def not_utf8(folder: Path) -> Path:
    return folder / os.fsdecode(b"caf\xe9.h5")


def dangling(folder: Path) -> Path:
    (folder / "maps.h5").symlink_to(folder / "none.h5")
    return folder / "maps.h5"


def a_circle(folder: Path) -> Path:
    (folder / "maps.h5").symlink_to(folder / "maps.h5")
    return folder / "maps.h5"


cases(
    "pyramid",
    "a file that is none, or cannot be opened, is refused",
    {
        "empty": content(b""),
        "one byte": content(b"\x89"),
        "signature alone": content(b"\x89HDF\r\n\x1a\n"),
        "signature and zeros": content(b"\x89HDF\r\n\x1a\n" + bytes(4096)),
        "text": content(b"not a pyramid\n"),
        "zeros": content(bytes(100_000)),
        "a shell script": content(b"#!/bin/sh\nrm -rf /\n"),
        "a picture": content(b"\x89PNG\r\n\x1a\n" + bytes(64), "maps.png"),
        "no such file": no_such,
        "a folder": is_folder,
        "no such file, named in no encoding": not_utf8,
        "a link to nothing": dangling,
        "a link to itself": a_circle,
        "cut to a half": cut(0.5),
        "cut to a tenth": cut(0.1),
        "cut to nine tenths": cut(0.9),
        "signature far behind": content(bytes(2048) + b"\x89HDF\r\n\x1a\n" + b"\xff" * 64),
    },
)


def no_such_group(folder: Path) -> str:
    return f"{good(folder)}::/none"


def group_is_dataset(folder: Path) -> str:
    return f"{good(folder)}::/p2"


def group_not_utf8(folder: Path) -> str:
    return f"{good(folder)}::/{os.fsdecode(bytes([0xFF, 0xFE]))}"


def group_very_long(folder: Path) -> str:
    return f"{good(folder)}::/{'a/' * 30_000}"


cases(
    "pyramid",
    "a group that is not there, or is none, is refused",
    {
        "no such group": no_such_group,
        "the group is a dataset": group_is_dataset,
        "the group has no name in UTF-8": group_not_utf8,
        "the group's name is endless": group_very_long,
    },
)


def replaced(name, **how):
    """Makes another dataset of a name."""

    def change(file):
        del file[name]
        file.create_dataset(name, **how)
        if name in STRIDES:
            file[name].attrs["stride"] = STRIDES[name]

    return edited(change)


def attribute(value, name="stride", of="p2"):
    def change(file):
        target = file[of] if of else file
        if name in target.attrs:
            del target.attrs[name]
        target.attrs[name] = value

    return edited(change)


cases(
    "pyramid",
    "a stride is one or two numbers above 0, of a size that can be",
    {
        f"stride {name}": attribute(value)
        for name, value in {
            "0": 0,
            "-4": -4,
            "NaN": NAN,
            "inf": INF,
            "1e-4": 1e-4,
            "1e300": 1e300,
            "a word": "four",
            "a long word": "4" * 60_000,
            "three numbers": [4, 4, 4],
            "no numbers": np.empty(0),
            "ten thousand numbers": np.ones(8000),
            "complex": 4j,
            "a truth value": True,
            "an object": np.array(["4", "4"], dtype=h5py.string_dtype()),
            "the null dataspace": h5py.Empty("f4"),
            "a compound": np.zeros(1, [("y", "f4"), ("x", "f4")]),
        }.items()
    },
    only=READ_STRIDES,
)
cases(
    "pyramid",
    "what stands beside the levels has one entry an image",
    {
        "too few ids": replaced("image_ids", data=["17", "4"]),
        "ids of floats": replaced("image_ids", data=[1.5, 2.5, 3.5]),
        "ids that are not UTF-8": replaced("image_ids", data=np.array([b"\xff\xfe", b"4", b"5"], dtype="S4")),
        "ids in two axes": replaced("image_ids", data=[["17"], ["4"], ["230"]], dtype=h5py.string_dtype()),
        "ids without a space": replaced("image_ids", data=h5py.Empty("S3")),
        "factors of another length": edited(lambda file: file.create_dataset("scale_factors", data=np.ones((2, 2)))),
        "factors of 0": edited(lambda file: file.create_dataset("scale_factors", data=np.zeros((3, 2)))),
        "factors that are NaN": edited(lambda file: file.create_dataset("scale_factors", data=np.full((3, 2), NAN))),
        "factors in words": edited(lambda file: file.create_dataset("scale_factors", data=["1", "2", "3"])),
        "factors without a space": edited(lambda file: file.create_dataset("scale_factors", data=h5py.Empty("f4"))),
        "factors that are a group": edited(lambda file: file.create_group("scale_factors")),
        "ids that are a group": edited(lambda file: (file.__delitem__("image_ids"), file.create_group("image_ids"))),
    },
)


def declared(name, shape, dtype, **how):
    """Makes a dataset that is huge as its header has it, and takes no room."""

    def change(file):
        if name in file:
            del file[name]
        file.create_dataset(name, shape, dtype, chunks=True, **how)

    return edited(change)


cases(
    "pyramid",
    "memory follows the size of the file, not what its headers declare",
    {
        "10^8 declared ids of integers": declared("image_ids", (10**8,), "i8"),
        "10^8 declared ids of strings": declared("image_ids", (10**8,), "S16"),
        "10^8 declared scale factors": declared("scale_factors", (10**8, 2), "f8"),
        "2^62 declared sizes": declared("image_sizes", (2**61, 2), "f8"),
    },
)


def external_raw(folder: Path) -> Path:
    path = good(folder)
    secret = folder.parent / "secret.bin"
    secret.write_bytes(bytes(4 * 3 * 3 * 16 * 24))
    with h5py.File(path, "r+") as file:
        del file["p2"]
        file.create_dataset("p2", (3, 3, 16, 24), "f4", external=[(str(secret), 0, h5py.h5f.UNLIMITED)])
        file["p2"].attrs["stride"] = 4
    return path


def external_raw_short(folder: Path) -> Path:
    path = good(folder)
    (folder / "raw.bin").write_bytes(bytes(64))
    with h5py.File(path, "r+") as file:
        del file["p2"]
        file.create_dataset("p2", (3, 3, 16, 24), "f4", external=[("raw.bin", 0, h5py.h5f.UNLIMITED)])
        file["p2"].attrs["stride"] = 4
    return path


def outside(folder: Path, link) -> Path:
    """A pyramid whose p2 is in a file above its folder."""
    path = good(folder)
    other = write_batched(folder.parent / "secret.h5", batch_maps(3))
    with h5py.File(path, "r+") as file:
        del file["p2"]
        file["p2"] = link(other)
    return path


def through_symbolic_link(folder: Path) -> Path:
    path = good(folder)
    other = write_batched(folder.parent / "secret.h5", batch_maps(3))
    (folder / "inside.h5").symlink_to(other)
    with h5py.File(path, "r+") as file:
        del file["p2"]
        file["p2"] = h5py.ExternalLink("inside.h5", "/p2")
    return path


def virtual(source):
    def make(folder: Path) -> Path:
        path = good(folder)
        write_batched(folder.parent / "secret.h5", batch_maps(3))
        layout = h5py.VirtualLayout((3, 3, 16, 24), "f4")
        layout[:] = h5py.VirtualSource(source(folder), "p2", (3, 3, 16, 24))
        with h5py.File(path, "r+") as file:
            del file["p2"]
            file.create_virtual_dataset("p2", layout)
            file["p2"].attrs["stride"] = 4
        return path

    return make


FOREIGN = "only files below the folder of the input, by relative names, are read"
cases(
    "pyramid",
    FOREIGN,
    {
        "external storage elsewhere": external_raw,
        "a link by an absolute name": lambda folder: outside(
            folder, lambda other: h5py.ExternalLink(str(other), "/p2")
        ),
        "a link that climbs": lambda folder: outside(folder, lambda other: h5py.ExternalLink("../secret.h5", "/p2")),
        "a link through a symbolic link": through_symbolic_link,
        "a virtual dataset elsewhere": virtual(lambda folder: folder.parent / "secret.h5"),
        "a virtual dataset that climbs": virtual(lambda folder: "../secret.h5"),
    },
)
cases(
    "pyramid",
    "a missing value is not a zero",
    {
        "external storage that is too short": external_raw_short,
        "a virtual dataset without its source": virtual(lambda folder: "none.h5"),
        "a link to a file that is not there": lambda folder: outside(
            folder, lambda other: h5py.ExternalLink("none.h5", "/p2")
        ),
        "a level that was never written": replaced("p2", shape=(3, 3, 16, 24), dtype="f4"),
        "a chunked level that was never written": replaced(
            "p2", shape=(3, 3, 16, 24), dtype="f4", chunks=(1, 3, 16, 24)
        ),
    },
)


@case("pyramid", "a level with a chunk that was never written", "a missing value is not a zero", only=READ)
def hole(folder: Path) -> Path:
    path = good(folder)
    with h5py.File(path, "r+") as file:
        values = file["p2"][()]
        del file["p2"]
        level = file.create_dataset("p2", values.shape, "f4", chunks=(1, 3, 16, 24))
        level[:2] = values[:2]
        level.attrs["stride"] = 4
    return path


def links(make_link):
    def change(file):
        del file["p2"]
        file["p2"] = make_link

    return edited(change)


cases(
    "pyramid",
    "a link leads to what is there",
    {
        "a soft link to nothing": links(h5py.SoftLink("/none")),
        "a soft link to itself": links(h5py.SoftLink("/p2")),
        "a soft link with an endless name": links(h5py.SoftLink("/" + "a" * 50_000)),
    },
)
cases(
    "pyramid",
    "levels agree with each other",
    {
        "a level of another dtype": replaced("p2", data=np.zeros((3, 3, 16, 24))),
        "a level of fewer images": replaced("p2", data=np.zeros((2, 3, 16, 24), "f4")),
        "a level without cells": replaced("p2", data=np.zeros((3, 3, 0, 24), "f4")),
    },
)
cases(
    "pyramid",
    "a stride is one or two numbers above 0, of a size that can be",
    {
        "stride and scale differ": attribute(0.5, "spatial_scale"),
        "stride a reference": edited(lambda file: file["p2"].attrs.__setitem__("stride", file["p3"].ref)),
    },
    only=READ_STRIDES,
)


def stored(**storage):
    """A maker of the pyramid whose p2 is stored so."""

    def make(folder: Path) -> Path:
        path = good(folder)
        with h5py.File(path, "r+") as file:
            values = file["p2"][()]
            del file["p2"]
            level = file.create_dataset("p2", data=values, **storage)
            level.attrs["stride"] = 4
        return path

    return make


GZIP = {"chunks": (1, 3, 8, 24), "compression": "gzip", "shuffle": True}
DEFLATED = {"chunks": (1, 3, 8, 24), "compression": "gzip"}
LZF = {"chunks": (1, 3, 8, 24), "compression": "lzf"}
SUMMED = {"chunks": (1, 3, 8, 24), "fletcher32": True}
PLAIN = {"chunks": (1, 3, 8, 24)}
CHUNK_BYTES = 3 * 8 * 24 * 4


def chunk_of(storage, number, new):
    """A maker: chunk `number` of p2 holds `new(old)` instead of what it held."""

    def make(folder: Path) -> Path:
        path = stored(**storage)(folder)
        chunks_written(path, "p2", number, new)
        return path

    return make


def flipped(content):
    middle = len(content) // 2
    return content[:middle] + bytes([content[middle] ^ 0x55]) + content[middle + 1 :]


def bomb(content):
    return deflated_zeros(400 << 20)


def longer(content):
    return zlib.compress(bytes(2 * CHUNK_BYTES))


DAMAGED = "a damaged chunk is refused"
cases(
    "pyramid",
    DAMAGED,
    {
        "deflate with a wrong byte": chunk_of(DEFLATED, 1, flipped),
        "shuffled deflate with a wrong byte": chunk_of(GZIP, 1, flipped),
        "deflate cut short": chunk_of(DEFLATED, 1, lambda content: content[:-9]),
        "no deflate at all": chunk_of(DEFLATED, 1, lambda content: b"\x55" * len(content)),
        "deflate of too little": chunk_of(DEFLATED, 1, lambda content: zlib.compress(bytes(100))),
        "an LZF chunk cut short": chunk_of(LZF, 1, lambda content: content[: len(content) // 2]),
        "fletcher32 that differs": chunk_of(SUMMED, 1, flipped),
        "deflate of 400 MB": chunk_of(DEFLATED, 1, bomb),
    },
    only=READ,
)
cases(
    "pyramid",
    "chunks are of a size that their filters can make",
    {
        "a 2-byte chunk under fletcher32": chunk_of(SUMMED, 1, lambda content: b"\0\0"),
        "an empty chunk under deflate": chunk_of(DEFLATED, 1, lambda content: b"\0"),
    },
)


def index_edited(storage, **changes):
    def make(folder: Path) -> Path:
        path = stored(**storage)(folder)
        chunk_record_edited(path, "p2", 1, **changes)
        return path

    return make


cases(
    "pyramid",
    "the index of chunks is checked before anything is read by it",
    {
        "a chunk beyond the file": index_edited(PLAIN, address=1 << 40),
        "a chunk beyond the file, deflated": index_edited(GZIP, address=1 << 40),
        "a chunk of 2 GB": index_edited(PLAIN, size=2**31 - 1),
        "a chunk of 2 GB, deflated": index_edited(GZIP, size=2**31 - 1),
        "a chunk off the grid": index_edited(PLAIN, offset=(0, 0, 3, 0)),
        "a chunk out of range": index_edited(PLAIN, offset=(0, 0, 800, 0)),
        "a chunk twice": index_edited(PLAIN, offset=(0, 0, 0, 0)),
        "a chunk twice, deflated": index_edited(GZIP, offset=(0, 0, 0, 0)),
        "a filter mask of filters that are not there": index_edited(PLAIN, mask=0xFF),
    },
)


def unknown_filter(folder: Path) -> Path:
    """The number of the deflate filter becomes one that nobody knows."""
    path = stored(**DEFLATED)(folder)
    bytes_replaced(
        path, struct.pack("<HHHH", 1, 8, 1, 1) + b"deflate\0", struct.pack("<HHHH", 511, 8, 0, 1) + b"unknown\0"
    )
    return path


case("pyramid", "a filter that nobody knows", "filters that are not known are refused by name", only=READ)(
    unknown_filter
)


@case("pyramid", "a contiguous level beyond the file", DAMAGED, only=READ)
def beyond(folder: Path) -> Path:
    path = good(folder)
    with h5py.File(path) as file:
        offset = file["p2"].id.get_offset()
        size = file["p2"].id.get_storage_size()
    bytes_replaced(path, struct.pack("<QQ", offset, size), struct.pack("<QQ", 1 << 40, size))
    return path


cases(
    "pyramid",
    "images have the levels that the others have",
    {
        "an image without a level": edited_per_image(lambda file: file["4"].__delitem__("p3")),
        "an image that is a dataset": edited_per_image(
            lambda file: (file.__delitem__("4"), file.create_dataset("4", data=np.zeros(3)))
        ),
        "an image with other channels": edited_per_image(
            lambda file: (file["4"].__delitem__("p3"), file["4"].create_dataset("p3", data=np.zeros((5, 8, 8), "f4")))
        ),
        "an image that links to nothing": edited_per_image(
            lambda file: (file.__delitem__("4"), file.__setitem__("4", h5py.SoftLink("/none")))
        ),
        "a scale factor of 0": edited_per_image(lambda file: file["4"].attrs.__setitem__("scale_factor", 0.0)),
        "nothing but empty groups": edited_per_image(
            lambda file: [file[key].__delitem__(name) for key in IDS for name in STRIDES]
        ),
    },
    only=("extract", "validate", "verify --against"),
)


def json_pyramid(data):
    return lambda folder: write_json(folder / "maps.json", data)


def json_text(text):
    return content(text if isinstance(text, bytes) else text.encode(), "maps.json")


def level(data, **more):
    return {"levels": [{"name": "p2", "stride": 4, "data": data, **more}]}


DEEP = "[" * 100_000 + "]" * 100_000
cases(
    "pyramid",
    "JSON is what it should be, down to its last number",
    {
        "JSON cut short": json_text('{"levels": [{"name": "p2", "stride": 4, "data": [[[['),
        "JSON with a NUL": json_text('{"levels": [{"name": "p2\0"}]}'),
        "JSON nested 100,000 deep": json_text('{"levels": [{"name": "p2", "stride": 4, "data": ' + DEEP + "}]}"),
        "JSON nested near the limit": json_text(
            '{"levels": [{"name": "p2", "stride": 4, "data": ' + "[" * 960 + "]" * 960 + "}]}"
        ),
        "JSON that is not UTF-8": json_text(b'{"levels": "\xff\xfe\xfa"}'),
        "JSON with a number of 5,000 digits": json_text(f'{{"levels": [{{"data": [[[[{BIG}]]]], "stride": 4}}]}}'),
        "JSON with a stride of 5,000 digits": json_text(f'{{"levels": [{{"data": [[[[1]]]], "stride": {BIG}}}]}}'),
        "JSON with a stride of 400 digits": json_text(f'{{"levels": [{{"data": [[[[1]]]], "stride": {BIG[:400]}}}]}}'),
        "JSON without levels": json_pyramid({"levels": []}),
        "JSON with levels that are none": json_pyramid({"levels": [1, 2]}),
        "JSON with a level of words": json_pyramid(level([[["a"]]])),
        "JSON with a ragged level": json_pyramid(level([[[1, 2], [3]]])),
        "JSON with a level of two axes": json_pyramid(level([[1, 2]])),
        "JSON with a level of objects": json_pyramid(level([[[{}]]])),
        "JSON with a level of too large numbers": json_pyramid(level([[[1e300]]])),
        "JSON with two levels of one name": json_pyramid({"levels": level([[[1]]])["levels"] * 2}),
        "JSON with ids that are objects": json_pyramid({**level([[[1]]]), "image_ids": [{}]}),
        "JSON with ids that are one word": json_pyramid({**level([[[1]]]), "image_ids": "a" * 200_000}),
        "JSON with an id of 200 kB": json_pyramid({**level([[[1]]]), "image_ids": ["a" * 200_000, "b"]}),
        "JSON with a lone surrogate": json_text(
            '{"levels": [{"data": [[[[1]]]], "stride": 4}], "image_ids": ["\\ud800"]}'
        ),
        "JSON with factors of words": json_pyramid({**level([[[1]]]), "scale_factors": [["a", "b"]]}),
    },
)
