"""What box files state twice, or as the pyramid does, must agree: images, keys, sizes."""

from __future__ import annotations

import h5py
import numpy as np
import pytest

from tests.builders import (
    IDS,
    coco,
    random_boxes,
    refused,
    run,
    write_batched,
    write_json,
    write_npz,
    write_per_image,
)
from tests.job.test_statements import BOX, edited, of_ids


def rois(folder, form, **beside):
    """A box of each image as rois, with something beside them."""
    arrays = {"rois": np.array([[index, *BOX] for index in (0, 1, 2, 1)], float), **beside}
    path = folder / f"boxes.{form}"
    if form == "npz":
        np.savez(path, **arrays)
        return path
    with h5py.File(path, "w") as file:
        for name, values in arrays.items():
            file[name] = [str(key) for key in values] if values.dtype.kind == "U" else values
    return path


TEXTS = ["a", "b", "c"]


@pytest.mark.parametrize("form", ["h5", "npz"])
def test_images_beside_rois(tmp_path, form):
    pyramid = write_batched(tmp_path / "p.h5", ids=TEXTS)
    out = ("-o", tmp_path / "o.h5", "--overwrite")
    for ids in (["b", "a", "c"], ["a", "b", "c", "a"], ["a", "b", "c", "d"], ["a"]):
        boxes = rois(tmp_path, form, image_ids=np.array(ids))
        refused(
            run("extract", pyramid, boxes, *out),
            3,
            "image_ids beside indices: expected the ids of .* a, b, c, or one a",
        )
        result = run("extract", pyramid, boxes, *out, "--image-key", "index")
        assert result.exit_code == 0, result.stderr
    for ids in (TEXTS, ["a", "b", "c", "b"]):
        result = run("extract", pyramid, rois(tmp_path, form, image_ids=np.array(ids)), *out)
        assert result.exit_code == 0, result.stderr
    boxes = rois(tmp_path, form, image_index=np.array([0, 1, 2, 2]))
    refused(run("extract", pyramid, boxes, *out), 3, "image_index: row 3: expected the image of its roi, 1, got 2")
    assert run("extract", pyramid, rois(tmp_path, form, image_index=np.array([0, 1, 2, 1])), *out).exit_code == 0


def test_groups_beside_boxes_of_all_images(tmp_path):
    pyramid = write_batched(tmp_path / "p.h5", ids=TEXTS)
    boxes = edited(rois(tmp_path, "h5"), lambda file: file.update({"b/boxes": np.array([BOX])}))
    refused(run("extract", pyramid, boxes, "-o", tmp_path / "o.h5"), 3, "expected boxes of all images or one group")
    result = run("extract", pyramid, boxes, "-o", tmp_path / "o.h5", "--images", "b")
    refused(result, 3, "expected boxes of all images or one group")


RECORD = '{"image_id": 17, "bbox": [1, 2, 9, 9], "score": 0.5, "image_id": 4}'
DOCUMENTS = {
    "results": f"[{RECORD}]",
    "lines": f'{{"image_id": 17, "bbox": [1, 2, 9, 9], "score": 0.5}}\n{RECORD}\n',
    "a data set": f'{{"images": [{{"id": 17}}], "annotations": [{RECORD}]}}',
    "images": '{"images": [{"id": 17, "id": 4}], "annotations": []}',
    "detections": '[{"image_id": 17, "boxes": [[1, 2, 9, 9]], "image_id": 4}]',
    "ids": '{"17": [[1, 2, 9, 9]], "17": []}',
}


@pytest.mark.parametrize("case", DOCUMENTS)
def test_keys_that_are_there_twice(tmp_path, case):
    (tmp_path / "boxes.json").write_text(DOCUMENTS[case])
    pyramid = write_batched(tmp_path / "p.h5", ids=IDS)
    result = run("extract", pyramid, tmp_path / "boxes.json", "-o", tmp_path / "o.h5")
    refused(result, 3, r"boxes\.json\S* expected each key of an object once, got '(image_id|17|id)' twice")


def test_sizes_of_images_where_nothing_says_the_space_of_boxes(tmp_path):
    boxes = random_boxes(6, width=40, height=20)
    boxes = np.clip(boxes, 0, 60)
    boxes[:, 2:] = np.maximum(boxes[:, 2:], boxes[:, :2] + 2)
    document = coco(boxes, [17, 4, 230] * 2)
    for image in document["images"]:
        image["width"], image["height"] = 300, 200
    path = write_json(tmp_path / "boxes.json", document)
    for number, pyramid in enumerate(
        (write_batched(tmp_path / "p.h5", ids=IDS), write_npz(tmp_path / "p.npz", image_ids=IDS))
    ):
        plain = run("extract", pyramid, path, "-o", tmp_path / f"{number}.h5")
        assert plain.exit_code == 0
        line = "  image '17': 300 x 200 pixels, p2 spans 96 x 64"
        assert f"warning: images of another size than the input: 3 of 3 images\n{line}" in plain.stderr
        out = ("-o", tmp_path / f"s{number}.h5")
        refused(
            run("extract", pyramid, path, *out, "--strict"),
            3,
            "--strict: expected no warnings, got 1: images of another",
        )
        assert "images of another" in run("validate", pyramid, path).stdout
        settled = run("extract", pyramid, path, *out, "--box-space", "input")
        assert (settled.exit_code, "images of another" in settled.stderr) == (0, False)
    sized = write_batched(tmp_path / "sized.h5", ids=IDS, image_sizes=np.full((3, 2), (300.0, 200.0)))
    result = run("extract", sized, of_ids(tmp_path), "-o", tmp_path / "o.h5")
    assert "warning: images of another size than the input: 3 of 3" in result.stderr


@pytest.mark.parametrize(("size", "expected"), [((100, 600), True), ((300, 110), False), ((30, 20), False)])
@pytest.mark.parametrize("option", [("--box-space", "input"), ("--normalized",)])
def test_shapes_of_images_of_any_size(tmp_path, size, expected, option):
    """Where boxes do not depend on the size of a picture, its shape still tells maps whose axes are others."""
    document = coco([[0.1, 0.1, 0.5, 0.5]] * 3, IDS)
    for image in document["images"]:
        image["width"], image["height"] = size
    pyramid, path = write_batched(tmp_path / "p.h5", ids=IDS), write_json(tmp_path / "boxes.json", document)
    result = run("extract", pyramid, path, "-o", tmp_path / "o.h5", *option)
    line = "images of another shape than the input: 3 of 3 images\n  image '17': 100 x 600 pixels, p2 spans 96 x 64"
    assert (result.exit_code, line in result.stderr, "another shape" in result.stderr) == (0, expected, expected)
    sized = write_batched(tmp_path / "sized.h5", ids=IDS, image_sizes=np.full((3, 2), size, float))
    result = run("extract", sized, of_ids(tmp_path), "-o", tmp_path / "s.h5", *option)
    assert ("another shape" in result.stderr) == expected


def test_sizes_of_images_none_of_which_fits(tmp_path):
    with h5py.File(tmp_path / "p.h5", "w") as file:
        for key in IDS:
            for level, side in (("p2", 4), ("p3", 8)):  # larger, where the stride says smaller
                file.create_dataset(f"{key}/{level}", data=np.zeros((2, side, side), "f4")).attrs["stride"] = side
    document = coco([[1, 1, 9, 9]] * 3, IDS)
    for image in document["images"]:
        image["width"], image["height"] = 16, 16
    path = write_json(tmp_path / "boxes.json", document)
    refused(run("extract", tmp_path / "p.h5", path, "-o", tmp_path / "o.h5"), 3, "expected levels whose size falls")
    assert "levels unfit" in run("validate", tmp_path / "p.h5", path).stdout


def test_ids_of_a_data_set_and_images_without_ids(tmp_path):
    pyramid = write_batched(tmp_path / "p.h5")
    document = {
        "images": [{"id": 1}, {"id": 2}, {"id": 3}],
        "annotations": [{"image_id": key, "bbox": [8, 8, 30, 30]} for key in (1, 2)],
    }
    path = write_json(tmp_path / "boxes.json", document)
    result = run("extract", pyramid, path, "-o", tmp_path / "o.h5")
    refused(result, 3, "image '1': expected image_ids in .* got index 1 by its id and 0 by its place in the list")
    result = run("extract", pyramid, path, "-o", tmp_path / "o.h5", "--image-key", "id")
    assert result.exit_code == 0, result.stderr
    document["images"] = [{"id": 1}, {"id": 2}]
    write_json(path, document)
    assert run("extract", pyramid, path, "-o", tmp_path / "p1.h5").exit_code == 0
    document["images"] = [{"id": 0}, {"id": 1}, {"id": 2}]
    write_json(path, document)
    assert run("extract", pyramid, path, "-o", tmp_path / "p2.h5").exit_code == 0


def test_an_index_beside_the_ids_of_boxes(tmp_path):
    """The ids are those of the boxes, as they repeat: the index is the pyramid's, also where it agrees with them."""
    pyramid = write_batched(tmp_path / "p.h5", ids=TEXTS)
    boxes = tmp_path / "boxes.h5"
    for ids, index, code in ((["b", "a", "a"], [0, 1, 1], 3), (["a", "b", "b"], [0, 1, 1], 0)):
        with h5py.File(boxes, "w") as file:
            file["boxes"] = np.array([BOX] * 3, float)
            file["image_index"] = np.array(index)
            file["image_ids"] = ids
        result = run("extract", pyramid, boxes, "-o", tmp_path / "o.h5")
        assert result.exit_code == code, result.stderr
        assert code == 0 or "image_ids beside indices: expected the ids" in result.stderr
    with h5py.File(tmp_path / "o.h5") as file:
        assert file["image_index"][()].tolist() == [0, 1, 1]


def test_numbers_count_members_that_are_no_images(tmp_path):
    pyramid = write_per_image(tmp_path / "p.h5")
    with h5py.File(pyramid, "a") as file:
        file.create_group("0")["n"] = [1, 2]
    boxes = write_json(tmp_path / "boxes.json", [[image, *BOX] for image in (1, 3)])
    command = ("extract", pyramid, boxes, "-o", tmp_path / "o.h5", "--image-key")
    refused(run(*command, "index"), 3, "/0: expected an image, as the boxes count it as number 0, got none")
    assert not (tmp_path / "o.h5").exists()
    write_json(boxes, {key: [BOX] for key in sorted(IDS, key=int)[:2]})
    assert run(*command, "id").exit_code == 0
