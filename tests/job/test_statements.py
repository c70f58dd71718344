"""What the files of a pyramid state twice must agree: a statement that contradicts another is refused."""

from __future__ import annotations

import h5py
import numpy as np
import pytest

from tests.builders import (
    IDS,
    STRIDES,
    batch_maps,
    image_maps,
    refused,
    run,
    write_batched,
    write_json,
    write_npz,
    write_per_image,
)

BOX = [8, 8, 40, 40]
FACTORS = dict.fromkeys(IDS, (1.5, 1.5))
STRIDE_LIST = list(STRIDES.values())


def of_ids(folder, keys=IDS):
    """A box of each image by its id."""
    return write_json(folder / "boxes.json", {key: [BOX] for key in keys})


def edited(path, change):
    """An HDF5 file with something changed."""
    with h5py.File(path, "a") as file:
        change(file)
    return path


def group_stride(folder):
    return edited(write_per_image(folder / "p.h5"), lambda file: file["4"].attrs.update(stride=[4, 8, 32]))


def file_stride(folder):
    return edited(write_per_image(folder / "p.h5"), lambda file: file.attrs.update(stride=[8, 16, 32]))


def file_stride_of_batched(folder):
    path = write_batched(folder / "p.h5", ids=IDS)
    return edited(path, lambda file: file.attrs.update(spatial_scale=[1 / 4, 1 / 8, 1 / 8]))


def file_stride_of_one_of_files(folder):
    (folder / "maps").mkdir()
    for number, key in enumerate(IDS):
        with h5py.File(folder / "maps" / f"{key}.h5", "w") as file:
            for name, array in image_maps(number).items():
                file.create_dataset(name, data=array).attrs["stride"] = STRIDES[name]
            if key == "4":
                file.attrs["stride"] = [4, 8, 32]
    return folder / "maps"


def offsets_alone(folder):
    return write_batched(folder / "p.h5", ids=IDS, offsets=np.full((3, 2), 4.0))


def offset_of_one_image(folder):
    return edited(write_per_image(folder / "p.h5"), lambda file: file["230"].attrs.update(offset=(4, 4)))


def nested(folder, on):
    """Groups in groups; the outer one of the last image has attributes."""
    with h5py.File(folder / "p.h5", "w") as file:
        for number, key in enumerate(IDS):
            group = file.create_group(f"im/{key}/maps")
            for name, array in image_maps(number).items():
                group.create_dataset(name, data=array).attrs["stride"] = STRIDES[name]
        file["im/230"].attrs.update(on)
    return folder / "p.h5"


def two_factors(folder):
    path = nested(folder, {"scale_factor": (2, 2)})
    return edited(path, lambda file: [file[f"im/{key}/maps"].attrs.update(scale_factor=(1.5, 1.5)) for key in IDS])


def files(folder, last):
    """A file an image, the last one changed."""
    (folder / "maps").mkdir()
    for number, key in enumerate(sorted(IDS, key=int)):
        with h5py.File(folder / "maps" / f"{key}.h5", "w") as file:
            for name, array in image_maps(number).items():
                file.create_dataset(name, data=array).attrs["stride"] = STRIDES[name]
            if key == "230":
                last(file)
    return folder / "maps"


def one_more_level(file):
    file.create_dataset("p5", data=np.ones((3, 2, 3), np.float32)).attrs["stride"] = 32


def npz_with_one_more(folder):
    (folder / "maps").mkdir()
    write_npz(folder / "maps" / "4.npz", batch_maps(1))
    maps = {**batch_maps(1), "p5": np.ones((1, 3, 2, 3), np.float32)}
    write_npz(folder / "maps" / "17.npz", maps, strides=[*STRIDE_LIST, 32])
    return folder / "maps"


def groups_beside_levels(folder):
    path = write_batched(folder / "p.h5", ids=IDS)
    return edited(path, lambda file: [file.create_dataset(f"{key}/p2", data=image_maps()["p2"]) for key in IDS])


def arrays_beside_files(folder):
    path = files(folder, lambda file: None)
    for name, array in {**batch_maps(), "strides": np.array(STRIDE_LIST)}.items():
        np.save(path / f"{name}.npy", array)
    return path


def key_twice(folder):
    text = '{"levels": [{"name": "p2", "stride": 8, "stride": 4, "data": [[[1, 2], [3, 4]]]}], "image_ids": ["17"]}'
    (folder / "p.json").write_text(text)
    return folder / "p.json"


NESTED = ("--group", "im/{id}/maps")
PYRAMIDS = {
    "the group of an image": (group_stride, (), r"/4.*p4: expected (one )?stride"),
    "the file and groups": (file_stride, (), r"p2: expected one stride, got 4 x 4 and 8 x 8, the second from \S+p\.h5"),
    "the file and levels": (file_stride_of_batched, (), r"p4: expected one stride, got 16 x 16 and 8 x 8"),
    "one of files and its levels": (file_stride_of_one_of_files, (), r"4\.h5.*p4: expected one stride, got 16 x 16"),
    "offsets": (offsets_alone, (), "expected scale factors with offsets, got none"),
    "an offset": (offset_of_one_image, (), r"/230: expected a scale_factor with the offset, got none"),
    "an outer factor": (
        lambda folder: nested(folder, {"scale_factor": (2, 2)}),
        NESTED,
        r"im/230/maps: expected no scale_factor as on image 4, got one",
    ),
    "an outer offset": (
        lambda folder: nested(folder, {"offset": (2, 2)}),
        NESTED,
        r"im/230/maps: expected a scale_factor with the offset",
    ),
    "factors of groups in groups": (
        two_factors,
        (*NESTED, "--box-space", "original"),
        r"im/230/maps: scale_factor: expected one, got \[1\.5, 1\.5\] and, on \S+im/230, \[2, 2\]",
    ),
    "a factor of one of files": (
        lambda folder: files(folder, lambda file: file.attrs.update(scale_factor=(2, 2))),
        (),
        r"expected (no|a) scale_factor as on other images, got (one|none)|expected --box-space original",
    ),
    "an offset of one of files": (
        lambda folder: files(folder, lambda file: file.attrs.update(offset=(2, 2))),
        (),
        r"230\.h5: image 230: expected a scale_factor with the offset|expected scale factors with offsets, got none",
    ),
    "a level of one of files": (
        lambda folder: files(folder, one_more_level),
        (),
        r"230\.h5:/p5: expected the levels p2, p3, p4 as in other files, got one more",
    ),
    "a level of one of archives": (npz_with_one_more, (), r"17\.npz:/p5: expected the levels p2, p3, p4 as in other"),
    "groups beside levels": (groups_beside_levels, (), "expected levels or groups of images with levels, got datasets"),
    "arrays beside files": (
        arrays_beside_files,
        (),
        r"expected \.npy files or pyramid files, got p2 as both, in \d+\.h5",
    ),
    "a key twice": (key_twice, (), "expected each key of an object once, got 'stride' twice"),
}


@pytest.mark.parametrize("case", PYRAMIDS)
def test_statements_of_pyramids(tmp_path, case):
    make, options, pattern = PYRAMIDS[case]
    keys = ["4", "17"] if "archives" in case else ["17"] if "key" in case else IDS
    result = run("extract", make(tmp_path), of_ids(tmp_path, keys), "-o", tmp_path / "o.h5", *options)
    refused(result, 2 if "--box-space original (boxes" in result.stderr else 3, pattern)
    assert not (tmp_path / "o.h5").exists()


def test_statements_that_agree(tmp_path):
    path = edited(write_per_image(tmp_path / "p.h5"), lambda file: file.attrs.update(stride=STRIDE_LIST))
    edited(path, lambda file: file["4"].attrs.update(spatial_scale=[1 / stride for stride in STRIDE_LIST]))
    # One number is no statement of three levels.
    edited(path, lambda file: file["17"].attrs.update(stride=32))
    assert run("extract", path, of_ids(tmp_path), "-o", tmp_path / "o.h5").exit_code == 0
    offset = offset_of_one_image(tmp_path)
    out = ("-o", tmp_path / "o2.h5", "--box-space", "input")
    assert run("extract", offset, of_ids(tmp_path), *out).exit_code == 0


def test_a_level_that_is_named_settles_others(tmp_path):
    for name, path in (("a", files(tmp_path, one_more_level)), ("b", groups_beside_levels(tmp_path))):
        levels = "p2,p3,p4" if name == "a" else "p3,p4"
        result = run("extract", path, of_ids(tmp_path), "-o", tmp_path / f"{name}.h5", "--levels", levels)
        assert result.exit_code == 0, result.stderr


@pytest.mark.parametrize("name", ["scale_factor", "offset", "image_size"])
def test_an_attribute_and_a_dataset_of_one_image(tmp_path, name):
    def state(file, second):
        file.attrs.update({"scale_factor": (1.5, 1.5), "offset": (2, 2), "image_size": (60, 40)})
        file[f"{name}s"] = [second]

    same = {"scale_factor": (1.5, 1.5), "offset": (2, 2), "image_size": (60, 40)}
    for second, code in ((same[name], 0), ((3, 5), 3)):
        path = tmp_path / f"{code}.h5"
        with h5py.File(path, "w") as file:
            for level, array in image_maps().items():
                file.create_dataset(level, data=array).attrs["stride"] = STRIDES[level]
            state(file, second)
        boxes = write_json(tmp_path / "boxes.json", [[0, 2, 2, 20, 20]])
        result = run("extract", path, boxes, "-o", tmp_path / f"o{code}.h5", "--box-space", "original")
        assert result.exit_code == code, result.stderr
        assert code == 0 or f"{name}s: expected the attribute {name} or a dataset" in result.stderr
