"""Hostile NPZ pyramids."""

from __future__ import annotations

import io
import struct
import zipfile
from pathlib import Path

import numpy as np

from tests.builders import batch_maps, write_npz
from tests.hostile.corpus.case import cases

READ = ("extract", "verify --against")
BIG = "9" * 5000


def npy(array):
    """The bytes of a .npy file."""
    file = io.BytesIO()
    np.save(file, array, allow_pickle=True)
    return file.getvalue()


MAPS = {name: npy(array) for name, array in batch_maps().items()}
STRIDES = npy(np.array([4, 8, 16]))


def archive(**members):
    """A maker: a good archive with other bytes for some members; None leaves one out."""

    def make(folder: Path) -> Path:
        path = folder / "maps.npz"
        with zipfile.ZipFile(path, "w") as file:
            for name, content in {**MAPS, "strides": STRIDES, **members}.items():
                if content is not None:
                    file.writestr(f"{name}.npy", content)
        return path

    return make


def header(text, version=(1, 0), data=b"\0" * 64):
    """A .npy of this header."""
    form = "<H" if version == (1, 0) else "<I"
    content = text if isinstance(text, bytes) else text.encode()
    return b"\x93NUMPY" + bytes(version) + struct.pack(form, len(content)) + content + data


def shaped(shape, descr="'<f4'", fortran="False", data=b"\0" * 64):
    return header(f"{{'descr': {descr}, 'fortran_order': {fortran}, 'shape': {shape}, }}\n", data=data)


cases(
    "pyramid",
    "the header of an array is what NumPy writes",
    {
        "NPZ with no header": archive(p2=b""),
        "NPZ with half a magic": archive(p2=b"\x93NUM"),
        "NPZ with a header of version 9": archive(p2=header("{}", (9, 9))),
        "NPZ with a header that is cut short": archive(p2=b"\x93NUMPY\x01\x00\xff\xffabc"),
        "NPZ with a header of 4 GB": archive(p2=b"\x93NUMPY\x02\x00\xff\xff\xff\xff{}"),
        "NPZ with a header of no Python": archive(p2=header("os.system('true')\n")),
        "NPZ with a header of deep nesting": archive(p2=header("(" * 5000 + ")" * 5000)),
        "NPZ with a header of 5,000 digits": archive(p2=shaped(f"({BIG},)")),
        "NPZ with a header of NULs": archive(p2=header(bytes(64))),
        "NPZ with a header that is not Latin": archive(p2=header(b"\xff\xfe\x80", (3, 0))),
        "NPZ with a header without a shape": archive(p2=header("{'descr': '<f4', 'fortran_order': False}\n")),
        "NPZ with a negative shape": archive(p2=shaped("(3, 3, -16, 24)")),
        "NPZ with a shape of words": archive(p2=shaped("('3', 3, 16, 24)")),
        "NPZ with a shape of 2^62": archive(p2=shaped("(3, 3, 4611686018427387904, 24)")),
        "NPZ with a shape of 2^200": archive(p2=shaped(f"(3, 3, {2**200}, 24)")),
        "NPZ with no cells": archive(p2=shaped("(3, 3, 0, 24)")),
        "NPZ in Fortran order": archive(p2=npy(np.asfortranarray(batch_maps()["p2"]))),
        "NPZ with an unknown dtype": archive(p2=shaped("(3, 3, 16, 24)", "'<q99'")),
        "NPZ with a dtype of 5,000 digits": archive(p2=shaped("(3, 3, 16, 24)", f"'<f{BIG}'")),
        "NPZ with strides that are objects": archive(strides=npy(np.array([{}, 2, 3], dtype=object))),
        "NPZ with strides of words": archive(strides=npy(np.array(["4", "8", "16"]))),
        "NPZ with strides of NaN": archive(strides=npy(np.full(3, np.nan))),
        "NPZ with too few strides": archive(strides=npy(np.array([4, 8]))),
        "NPZ with strides of a scalar": archive(strides=npy(np.array(4))),
        "NPZ with declared strides of 2^40": archive(strides=shaped("(1099511627776,)")),
        "NPZ with declared ids of 10^9": archive(image_ids=shaped("(1000000000,)", "'<U9'")),
        "NPZ with ids that are objects": archive(image_ids=npy(np.array(["a", 1, None], dtype=object))),
        "NPZ with ids of floats": archive(image_ids=npy(np.zeros(3))),
        "NPZ with ids of lone surrogates": archive(image_ids=npy(np.array(["\ud800", "b", "c"]))),
        "NPZ with factors of 0": archive(scale_factors=npy(np.zeros((3, 2)))),
        "NPZ with no arrays": archive(p2=None, p3=None, p4=None, strides=None),
        "NPZ with a level of fewer images": archive(p3=npy(batch_maps(2)["p3"])),
    },
)
cases(
    "pyramid",
    "an array is as long as its header says",
    {
        "NPZ with a level cut short": archive(p2=MAPS["p2"][:-100]),
        "NPZ with a level of 2 GB that is not there": archive(p2=shaped("(3, 3, 16384, 16384)")),
    },
    only=READ,
)


def edited(change, compressed=False):
    """A maker: the bytes of a good archive, changed."""

    def make(folder: Path) -> Path:
        path = write_npz(folder / "maps.npz", compressed=compressed)
        content = bytearray(path.read_bytes())
        path.write_bytes(change(content))
        return path

    return make


def start_of(content, name):
    """Where the local header of a member begins, and where its data do."""
    place = content.index(name.encode() + b".npy") - 30
    names, extra = struct.unpack_from("<HH", content, place + 26)
    return place, place + 30 + names + extra


def wrong_bytes(content):
    _, data = start_of(content, "p2")
    content[data + 400 : data + 440] = b"\xff" * 40
    return content


def central(content, name):
    return content.rindex(name.encode() + b".npy") - 46


def method(number):
    def change(content):
        local, _ = start_of(content, "p2")
        struct.pack_into("<H", content, local + 8, number)
        struct.pack_into("<H", content, central(content, "p2") + 10, number)
        return content

    return change


def size(number):
    def change(content):
        struct.pack_into("<II", content, central(content, "p2") + 20, number, number)
        return content

    return change


def flags(content):
    local, _ = start_of(content, "p2")
    struct.pack_into("<H", content, local + 6, 1)
    struct.pack_into("<H", content, central(content, "p2") + 8, 1)
    return content


def offset(content):
    struct.pack_into("<I", content, central(content, "p2") + 42, 0x7FFFFFFF)
    return content


def name_cut(content):
    content[start_of(content, "p2")[0] + 26] = 200
    return content


cases(
    "pyramid",
    "an archive that is damaged is refused",
    {
        "NPZ cut to a half": edited(lambda content: content[: len(content) // 2]),
        "NPZ without its directory": edited(lambda content: content[:-22]),
        "NPZ of zeros behind its signature": edited(lambda content: b"PK\x03\x04" + bytes(1000)),
        "NPZ of an unknown compression": edited(method(77)),
        "NPZ of a compression that is none": edited(method(8)),
        "NPZ that is encrypted": edited(flags),
        "NPZ with a member behind the end": edited(offset),
        "NPZ with other names inside": edited(name_cut),
        "NPZ of a directory of garbage": edited(lambda content: content[:-200] + b"\x55" * 178 + content[-22:]),
    },
)
cases(
    "pyramid",
    "damage in an archive's data is refused where they are read",
    {
        "NPZ with wrong bytes in deflate": edited(wrong_bytes, compressed=True),
        "NPZ with wrong bytes": edited(wrong_bytes),
    },
    only=READ,
)


def bomb(folder: Path) -> Path:
    """An array `strides` of 2 GB that is 2 MB in the file."""
    path = folder / "maps.npz"
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as file:
        for name, content in MAPS.items():
            file.writestr(f"{name}.npy", content)
        with file.open("strides.npy", "w", force_zip64=True) as member:
            member.write(shaped("(268435456,)", "'<f8'", data=b""))
            for _ in range(64):
                member.write(bytes(1 << 20))
    return path


def twice(folder: Path) -> Path:
    import warnings

    path = folder / "maps.npz"
    with warnings.catch_warnings(), zipfile.ZipFile(path, "w") as file:
        warnings.simplefilter("ignore")
        for name, content in {**MAPS, "strides": STRIDES}.items():
            file.writestr(f"{name}.npy", content)
        file.writestr("p2.npy", npy(np.zeros((3, 3, 16, 24), "f4")))
    return path


def many(folder: Path) -> Path:
    path = folder / "maps.npz"
    with zipfile.ZipFile(path, "w") as file:
        for number in range(3000):
            file.writestr(f"m{number}.npy", shaped("(3,)"))
    return path


cases(
    "pyramid",
    "an archive cannot ask for more than it has",
    {"NPZ with strides of 2 GB": bomb, "NPZ with an array twice": twice, "NPZ of 3,000 arrays that are none": many},
)
