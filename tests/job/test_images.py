"""Which image a box belongs to: numbers and names with one meaning are taken, those with two are refused."""

from __future__ import annotations

import json

import h5py
import numpy as np
import pytest

from msroi_cli import open_crops
from msroi_cli.io.files.natural import natural_key, natural_order
from tests.builders import (
    batch_maps,
    coco,
    extracted,
    image_maps,
    refused,
    run,
    write_batched,
    write_json,
    write_npz,
    write_per_image,
)

BOX = [1.0, 2.0, 30.0, 40.0]
TWELVE = [str(number) for number in range(12)]


def maps_of(count):
    return {name: np.repeat(array[:1], count, axis=0) for name, array in batch_maps().items()}


def write_hdf5(path, **datasets):
    with h5py.File(path, "w") as file:
        for name, values in datasets.items():
            file[name] = values
    return path


def numbers_as(form, path, numbers):
    """Boxes of images that are numbers, in one of the formats that have these."""
    if form == "rows":
        return write_json(path, [[number, *BOX] for number in numbers])
    if form == "lines":
        path.write_text("".join(json.dumps([number, *BOX]) + "\n" for number in numbers))
        return path
    if form == "rois":
        return write_hdf5(path, rois=[[number, *BOX] for number in numbers])
    return write_hdf5(path, boxes=[BOX] * len(numbers), image_index=numbers)


FORMS = ("rows", "lines", "rois", "image_index")


@pytest.mark.parametrize("track_order", [False, True])
@pytest.mark.parametrize("form", FORMS)
@pytest.mark.sampled(3)
def test_images_are_numbered_in_natural_order_of_their_ids(tmp_path, form, track_order):
    maps = {key: image_maps(int(key)) for key in TWELVE}
    with h5py.File(tmp_path / "p.h5", "w", track_order=track_order) as file:
        for key in reversed(TWELVE):
            for name, array in maps[key].items():
                file.create_dataset(f"{key}/{name}", data=array).attrs["stride"] = {"p2": 4, "p3": 8, "p4": 16}[name]
    crops = extracted(tmp_path / "o.h5", tmp_path / "p.h5", numbers_as(form, tmp_path / "b", [2, 10, 11]))
    assert [crops.image_ids[index] for index in crops.image_index] == ["2", "10", "11"]
    by_id = write_json(tmp_path / "i.json", {"2": [BOX], "10": [BOX], "11": [BOX]})
    np.testing.assert_array_equal(crops[:], extracted(tmp_path / "i.h5", tmp_path / "p.h5", by_id)[:])


def test_natural_order():
    ids = ["img10", "img9", "b", "img9a", "10", "9", "009", "img2x10", "img2x9"]
    assert natural_order(ids) == ["009", "9", "10", "b", "img2x9", "img2x10", "img9", "img9a", "img10"]
    assert natural_order(["100", "20", "3"]) == ["3", "20", "100"]
    assert natural_order(["1" * 5000, "2"]) == ["2", "1" * 5000]


PYRAMIDS = {
    "batched": lambda path, ids: write_batched(path, maps_of(len(ids)), ids=ids),
    "npz": lambda path, ids: write_npz(path.with_suffix(".npz"), maps_of(len(ids)), image_ids=np.array(ids)),
    "per image": lambda path, ids: write_per_image(path, {key: image_maps(0) for key in ids}),
}
TWO_MEANINGS = {
    "shifted by one": (["1", "2", "3"], [1]),
    "one of many": (["0", "2", "5", "7"], [0, 3, 2]),
    "padded": (["0001", "0002", "0003"], [2]),
    "with a word": (["1", "2", "a"], [1]),
}


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("pyramid", PYRAMIDS)
@pytest.mark.parametrize("case", TWO_MEANINGS)
@pytest.mark.sampled(7)
def test_a_number_that_is_an_index_and_another_images_id(tmp_path, case, pyramid, form):
    ids, numbers = TWO_MEANINGS[case]
    path = PYRAMIDS[pyramid](tmp_path / "p.h5", ids)
    boxes = numbers_as(form, tmp_path / "b", numbers)
    pattern = (
        r"row \d: expected a number of one image in .*index \d is image '.*', and id '.*' is index \d \(--image-key"
    )
    refused(run("extract", path, boxes, "-o", tmp_path / "o.h5"), 3, pattern)
    assert "a number of one image" in run("validate", path, boxes).stdout
    by_index = extracted(tmp_path / "1.h5", path, boxes, "--image-key", "index")
    assert by_index.image_index.tolist() == numbers
    assert by_index.parameters["image_key"] == "index"
    known = {int(key): index for index, key in enumerate(ids) if key.isdigit()}
    if all(number in known for number in numbers):
        by_id = extracted(tmp_path / "2.h5", path, boxes, "--image-key", "id")
        assert by_id.image_index.tolist() == [known[number] for number in numbers]


ONE_MEANING = {
    "ids are indices": (["0", "1", "2"], [2, 0]),
    "no number is an index": (["17", "4", "230"], [2, 0]),
    "names": (["a", "b", "c"], [2, 0]),
    "both readings agree where it matters": (["0", "1", "7"], [1, 0]),
}


@pytest.mark.parametrize("case", ONE_MEANING)
def test_a_number_with_one_meaning(tmp_path, case):
    ids, numbers = ONE_MEANING[case]
    crops = extracted(
        tmp_path / "o.h5", PYRAMIDS["batched"](tmp_path / "p.h5", ids), numbers_as("rows", tmp_path / "b", numbers)
    )
    assert crops.image_index.tolist() == numbers


@pytest.mark.parametrize("ids", [["7", "007", "x"], ["07", "007", "x"]])
def test_a_number_that_two_ids_have(tmp_path, ids):
    """A number is an id as text, or by value where one id alone has that value."""
    path = PYRAMIDS["batched"](tmp_path / "p.h5", ids)
    result = run("extract", path, numbers_as("rows", tmp_path / "b", [7]), "-o", tmp_path / "o.h5", "--image-key", "id")
    if "7" in ids:
        assert open_crops(tmp_path / "o.h5").image_index.tolist() == [0]
    else:
        refused(result, 3, "image '7' is not in the pyramid")


ADVICE = {
    "ids": ([[230, *BOX]], (), "--image-key id finds the images of 1 of 1 boxes"),
    "from one": ([[1, *BOX], [3, *BOX]], (), "indices 0 to 2; these seem to count from 1"),
    "file names": ({"x/17.jpg": [BOX]}, (), "--image-key file_name finds the images of 1 of 1 boxes"),
    "indices": ({"2": [BOX]}, (), "--image-key index finds the images of 1 of 1 boxes"),
    "nothing": ({"nobody": [BOX]}, (), "image ids in the pyramid: 17, 4, 230"),
}


@pytest.mark.parametrize("case", ADVICE)
def test_what_would_have_matched_is_named_by_extract_and_validate(tmp_path, case):
    boxes, options, advice = ADVICE[case]
    path = write_batched(tmp_path / "p.h5", ids=["17", "4", "230"])
    boxes = write_json(tmp_path / "b.json", boxes)
    refused(run("extract", path, boxes, *options, "-o", tmp_path / "o.h5"), 3, advice)
    assert advice in run("validate", path, boxes, *options).stdout


def names_of(*files):
    data = coco([BOX] * len(files), list(range(1, len(files) + 1)))
    for image, name in zip(data["images"], files, strict=True):
        image["file_name"] = name
    return data


def test_an_id_and_a_file_name_of_two_images(tmp_path):
    """Image 1 is 2.jpg: the crops of a pyramid of files would be those of other pictures."""
    path = write_batched(tmp_path / "p.h5", ids=["1", "2", "3"])
    boxes = write_json(tmp_path / "b.json", names_of("2.jpg", "1.jpg"))
    pattern = "image '1': expected one image in .*got '1' by its id and '2' by its file name '2.jpg'"
    refused(run("extract", path, boxes, "-o", tmp_path / "o.h5"), 3, pattern)
    assert extracted(tmp_path / "1.h5", path, boxes, "--image-key", "id").image_index.tolist() == [0, 1]
    assert extracted(tmp_path / "2.h5", path, boxes, "--image-key", "file_name").image_index.tolist() == [1, 0]


def test_an_id_and_a_file_name_of_one_image(tmp_path):
    path = write_batched(tmp_path / "p.h5", ids=["1", "2", "3"])
    boxes = write_json(tmp_path / "b.json", names_of("1.jpg", "0002.jpg"))
    assert extracted(tmp_path / "o.h5", path, boxes).image_index.tolist() == [0, 1]


def test_a_file_name_of_two_images(tmp_path):
    path = write_batched(tmp_path / "p.h5", ids=["x.jpg", "x", "3"])
    boxes = write_json(tmp_path / "b.json", {"train/x.jpg": [BOX]})
    options = ("-o", tmp_path / "o.h5", "--image-key", "file_name")
    refused(run("extract", path, boxes, *options), 3, "expected one image in .* got 'x.jpg' and 'x'")
    assert extracted(tmp_path / "1.h5", path, write_json(tmp_path / "c.json", {"x": [BOX]}), *options[2:])


def test_names_that_are_no_indices(tmp_path):
    boxes = write_json(tmp_path / "b.json", {"a": [BOX]})
    options = ("--image-key", "index", "-o", tmp_path / "o.h5")
    refused(run("extract", write_batched(tmp_path / "p.h5"), boxes, *options), 2, "--image-key index: expected whole")


@pytest.mark.parametrize("ids", [["a", "b", "a"], ["1", "1", "2"]])
@pytest.mark.parametrize("form", ["batched", "npz"])
@pytest.mark.parametrize("boxes", [[[0, *BOX]], []])
def test_ids_are_unique(tmp_path, ids, form, boxes):
    path = PYRAMIDS[form](tmp_path / "p.h5", ids)
    boxes = write_json(tmp_path / "b.json", boxes)
    for command in (("extract", path, boxes, "-o", tmp_path / "o.h5"), ("inspect", path)):
        refused(run(*command), 3, "image_ids: expected ids that differ, got '[a1]' for images 0 and")


@pytest.mark.parametrize("policy", ["error", "drop", "zero", "nan"])
def test_unknown_images_are_another_policy_than_bad_boxes(tmp_path, policy):
    path = write_batched(tmp_path / "p.h5", ids=["a", "b", "c"])
    boxes = write_json(tmp_path / "b.json", {"z": [BOX, [9, 9, 1, 1]], "b": [BOX], "y": [BOX]})
    options = ("--on-bad-box", policy)
    refused(run("extract", path, boxes, *options, "-o", tmp_path / "o.h5"), 3, "3 of 4 .*--on-unknown-image skip")
    crops = extracted(tmp_path / "o.h5", path, boxes, *options, "--on-unknown-image", "skip")
    kept = policy in ("zero", "nan")
    assert crops.status.tolist() == ([2, 2, 0, 2] if kept else [0])
    assert crops.box_index.tolist() == ([0, 1, 2, 3] if kept else [2])
    assert run("verify", tmp_path / "o.h5", "--recompute", "4", "--against", path).exit_code == 0


def test_a_bad_box_is_refused_where_unknown_images_are_skipped(tmp_path):
    path = write_batched(tmp_path / "p.h5", ids=["a", "b", "c"])
    boxes = write_json(tmp_path / "b.json", {"z": [BOX], "b": [BOX, [9, 9, 1, 1]]})
    result = run("extract", path, boxes, "--on-unknown-image", "skip", "-o", tmp_path / "o.h5")
    refused(result, 3, "1 of 3 that cannot: row 2: x2 < x1")


def test_natural_keys_sort_numbers_of_any_length():
    names = ["f" + "1" * 5000, "f2", "f010", "f9"]
    assert sorted(names, key=natural_key) == ["f2", "f9", "f010", "f" + "1" * 5000]
