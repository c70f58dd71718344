"""Boxes joined with a pyramid: which image each belongs to, and where on it each lies."""

from __future__ import annotations

import json

import h5py
import numpy as np
import pytest

from msroi_cli import assign_levels, multi_scale_roi_align
from tests.builders import (
    IDS,
    INPUT_HEIGHT,
    INPUT_WIDTH,
    SPREAD,
    SPREAD_CALL,
    STRIDES,
    batch_maps,
    coco,
    differing_maps,
    extracted,
    random_boxes,
    random_rows,
    refused,
    run,
    write_batched,
    write_json,
    write_per_image,
)

SCALES = [1 / stride for stride in STRIDES.values()]
COUNT = 40
BOXES = random_boxes(COUNT)
KEYS = [IDS[number] for number in np.random.default_rng(8).integers(0, 3, COUNT)]
FACTORS = {"17": (1.5, 2.0), "4": (0.5, 0.8), "230": (1.25, 1.25)}
SIZES = {"17": (64, 32), "4": (128, 160), "230": (128, 25.6)}


def pooled(maps, box, **options):
    """One box pooled on its own, from one image's levels {name: (C, H, W)}."""
    features = [maps[name][None] for name in STRIDES]
    return multi_scale_roi_align(features, [[0, *box]], SCALES, 7, **{**SPREAD_CALL, **options})[0]


def extracted_boxes(tmp_path, pyramid, boxes, *options):
    """The boxes of the output, in input pixels."""
    return extracted(tmp_path / "o.h5", pyramid, write_json(tmp_path / "b.json", boxes), *options).boxes


@pytest.mark.parametrize("dtype", ["float16", "float32", "float64"])
@pytest.mark.parametrize("lead", [False, True])
def test_boxes_by_turns_are_pooled_as_if_each_were_alone(tmp_path, dtype, lead):
    images = differing_maps(dtype)
    pyramid = write_per_image(tmp_path / "p.h5", images, lead=lead)
    boxes = write_json(tmp_path / "b.json", coco(BOXES, [int(key) for key in KEYS], id=list(range(COUNT))))
    crops = extracted(tmp_path / "o.h5", pyramid, boxes, *SPREAD)
    expected = [pooled(images[key], box) for key, box in zip(KEYS, crops.boxes, strict=True)]
    np.testing.assert_array_equal(crops[:], expected)
    np.testing.assert_array_equal(crops.level, assign_levels(crops.boxes, SCALES, **SPREAD_CALL))
    assert crops.annotation_id.tolist() == list(range(COUNT))
    assert [crops.image_ids[index] for index in crops.image_index] == KEYS
    assert len(set(crops.level)) == len(STRIDES)


def test_batched_and_per_image_pyramids_give_the_same_crops(tmp_path):
    maps = batch_maps()
    images = {str(number): {name: array[number] for name, array in maps.items()} for number in range(3)}
    boxes = write_json(tmp_path / "b.json", random_rows(COUNT).tolist())
    batched = extracted(tmp_path / "1.h5", write_batched(tmp_path / "b.h5", maps), boxes, *SPREAD)
    single = extracted(tmp_path / "2.h5", write_per_image(tmp_path / "s.h5", images), boxes, *SPREAD)
    np.testing.assert_array_equal(batched[:], single[:])
    rois = np.column_stack([batched.image_index, batched.boxes])
    np.testing.assert_array_equal(
        batched[:], multi_scale_roi_align(list(maps.values()), rois, SCALES, 7, **SPREAD_CALL)
    )


@pytest.mark.parametrize("pieces", [1, 3, 1000])
def test_crops_do_not_depend_on_how_many_are_pooled_at_once(tmp_path, monkeypatch, pieces):
    pyramid, boxes = write_batched(tmp_path / "p.h5"), write_json(tmp_path / "b.json", random_rows(COUNT).tolist())
    whole = extracted(tmp_path / "1.h5", pyramid, boxes, *SPREAD)
    monkeypatch.setattr("msroi_cli.job.extract.memory.SMALLEST_BATCH", pieces * whole[0].nbytes)
    monkeypatch.setattr("msroi_cli.job.extract.memory.LARGEST_BATCH", pieces * whole[0].nbytes)
    np.testing.assert_array_equal(extracted(tmp_path / "2.h5", pyramid, boxes, *SPREAD)[:], whole[:])


def test_ids_of_a_group_that_is_pointed_at(tmp_path):
    images = differing_maps()
    pyramid = write_per_image(tmp_path / "p.h5", images, inside="/val/maps")
    boxes = write_json(tmp_path / "b.json", {"230": [[1, 2, 30, 20]]})
    crops = extracted(tmp_path / "o.h5", f"{pyramid}::/val/maps", boxes, *SPREAD)
    np.testing.assert_array_equal(crops[0], pooled(images["230"], crops.boxes[0]))


BOX_FORMATS = {
    "xyxy": [10, 20, 34, 60],
    "xywh": [10, 20, 24, 40],
    "cxcywh": [22, 40, 24, 40],
}


@pytest.mark.parametrize("box_format", BOX_FORMATS)
def test_box_formats(tmp_path, box_format):
    pyramid = write_batched(tmp_path / "p.h5", ids=IDS)
    box = BOX_FORMATS[box_format]
    for boxes in ([[0, *box]], {"17": [box]}, [{"image_id": 17, "bbox": box}]):
        got = extracted_boxes(tmp_path, pyramid, boxes, "--box-format", box_format, "--overwrite")
        assert got.tolist() == [[10, 20, 34, 60]]


def test_box_formats_without_a_word(tmp_path):
    pyramid = write_batched(tmp_path / "p.h5", ids=IDS)
    assert extracted_boxes(tmp_path, pyramid, [[0, 10, 20, 34, 60]]).tolist() == [[10, 20, 34, 60]]
    got = extracted_boxes(tmp_path, pyramid, [{"image_id": 17, "bbox": [10, 20, 24, 40]}], "--overwrite")
    assert got.tolist() == [[10, 20, 34, 60]]


def test_boxes_are_reckoned_in_float64_and_rounded_once(tmp_path):
    x, width = 4097.1, 0.1
    factors = np.array([[1.3, 1], [1, 1], [1, 1]])
    pyramid = write_batched(tmp_path / "p.h5", ids=IDS, scale_factors=factors)
    boxes = [{"image_id": 17, "bbox": [x, 0, width, 1]}]
    got = extracted_boxes(tmp_path, pyramid, boxes, "--box-space", "original")
    assert got[0, [0, 2]].tolist() == [np.float32(x * 1.3), np.float32((x + width) * 1.3)]


@pytest.mark.parametrize("layout", ["batched", "per image"])
@pytest.mark.parametrize("normalized", [False, True], ids=["pixels", "fractions"])
def test_boxes_in_original_pixels(tmp_path, layout, normalized):
    if layout == "batched":
        pairs = {"scale_factors": list(FACTORS.values()), "image_sizes": list(SIZES.values())}
        pyramid = write_batched(tmp_path / "p.h5", ids=IDS, **pairs)
    else:
        pyramid = write_per_image(tmp_path / "p.h5", factors=FACTORS, sizes=SIZES)
    box = np.array([0.125, 0.25, 0.5, 0.75]) if normalized else np.array([8, 4, 24, 16])
    options = ("--normalized",) if normalized else ()
    got = extracted_boxes(tmp_path, pyramid, {key: [box.tolist()] for key in IDS}, "--box-space", "original", *options)
    for row, key in enumerate(IDS):
        size = np.array(SIZES[key] * 2 if normalized else (1, 1, 1, 1))
        np.testing.assert_allclose(got[row], box * size * (FACTORS[key] * 2), rtol=1e-6)


def test_boxes_in_input_pixels_leave_scale_factors_alone(tmp_path):
    pyramid = write_per_image(tmp_path / "p.h5", factors=FACTORS)
    got = extracted_boxes(tmp_path, pyramid, {"17": [[8, 4, 24, 16]]}, "--box-space", "input")
    assert got.tolist() == [[8, 4, 24, 16]]


@pytest.mark.parametrize("options", [(), ("--box-space", "input")])
def test_fractions_of_the_networks_input(tmp_path, options):
    pyramid = write_batched(tmp_path / "p.h5")
    got = extracted_boxes(tmp_path, pyramid, [[1, 0, 0.25, 0.5, 1]], "--normalized", *options)
    assert got.tolist() == [[0, 0.25 * INPUT_HEIGHT, 0.5 * INPUT_WIDTH, INPUT_HEIGHT]]


def test_fractions_of_inputs_of_different_sizes(tmp_path):
    got = extracted_boxes(
        tmp_path, write_per_image(tmp_path / "p.h5"), {key: [[0, 0, 1, 1]] for key in IDS}, "--normalized"
    )
    assert got[:, 2:].tolist() == [[96, 64], [64, 128], [160, 32]]


def test_fractions_in_another_box_format(tmp_path):
    options = ("--normalized", "--box-format", "cxcywh")
    got = extracted_boxes(tmp_path, write_batched(tmp_path / "p.h5"), [[0, 0.5, 0.5, 0.5, 0.25]], *options)
    assert got.tolist() == [[24, 24, 72, 40]]


def test_image_sizes_from_a_coco_data_set(tmp_path):
    pyramid = write_batched(tmp_path / "p.h5", ids=IDS, scale_factors=list(FACTORS.values()))
    data = coco([(0, 0, 0.5, 1)], [4])
    data["images"] = [{"id": 4, "width": 128, "height": 160}]
    got = extracted_boxes(tmp_path, pyramid, data, "--normalized", "--box-space", "original")
    np.testing.assert_allclose(got, [[0, 0, 32, 128]], rtol=1e-6)


@pytest.mark.parametrize("size", [(float("inf"), 3), (float("nan"), 3), ("64", "32")])
def test_image_sizes_that_are_none(tmp_path, size):
    pyramid = write_batched(tmp_path / "p.h5", ids=IDS, scale_factors=list(FACTORS.values()))
    data = coco([(0, 0, 0.5, 1)], [4])
    data["images"] = [{"id": 4, "width": size[0], "height": size[1]}]
    boxes = write_json(tmp_path / "b.json", data)
    options = ("--normalized", "--box-space", "original")
    refused(run("extract", pyramid, boxes, "-o", tmp_path / "o.h5", *options), 3, "size|width")


@pytest.mark.parametrize("lacking", IDS)
@pytest.mark.parametrize("options", [(), ("--box-space", "original")], ids=["no space", "original"])
def test_scale_factors_on_some_images_only(tmp_path, lacking, options):
    """Whichever image lacks it, its boxes cannot be placed, and the others' must not be taken for input pixels."""
    pyramid = write_per_image(tmp_path / "p.h5", factors=FACTORS)
    with h5py.File(pyramid, "a") as file:
        del file[lacking].attrs["scale_factor"]
    boxes = write_json(tmp_path / "b.json", {key: [[1, 2, 30, 20]] for key in IDS})
    result = run("extract", pyramid, boxes, "-o", tmp_path / "o.h5", *options)
    refused(result, result.exit_code, "scale.factor")
    assert result.exit_code in (2, 3)


NAMES = {
    "file name": "page.png",
    "stem": "page",
    "subfolder": "train/page.png",
    "stem in a subfolder": "val/2017/page.jpeg",
    "Windows": "C:\\data\\page.png",
    "two dots": "page.png.jpg",
}


@pytest.mark.parametrize("name", NAMES)
def test_image_key_file_name(tmp_path, name):
    key = {"two dots": "page.png", "file name": "page.png", "subfolder": "page.png"}.get(name, "page")
    pyramid = write_batched(tmp_path / "p.h5", ids=["other", key, "last"])
    data = coco([(1, 2, 30, 20)], [7])
    data["images"] = [{"id": 8, "file_name": "last.png"}, {"id": 7, "file_name": NAMES[name]}]
    crops = extracted(tmp_path / "o.h5", pyramid, write_json(tmp_path / "b.json", data), "--image-key", "file_name")
    assert crops.image_index.tolist() == [1]


def test_image_key_file_name_with_whole_paths_as_ids(tmp_path):
    pyramid = write_batched(tmp_path / "p.h5", ids=["a/x.jpg", "b/x.jpg", "x"])
    boxes = write_json(tmp_path / "b.json", {"b/x.jpg": [[1, 2, 30, 20]], "a/x.jpg": [[1, 2, 30, 20]]})
    crops = extracted(tmp_path / "o.h5", pyramid, boxes, "--image-key", "file_name")
    assert crops.image_index.tolist() == [1, 0]


def test_two_files_of_one_name_are_not_mixed_up(tmp_path):
    """`a/x.jpg` and `b/x.jpg` both match `x`: crops of the wrong picture for one of them, and no way to tell."""
    pyramid = write_batched(tmp_path / "p.h5", ids=["x", "y", "z"])
    boxes = write_json(tmp_path / "b.json", {"a/x.jpg": [[1, 2, 30, 20]], "b/x.jpg": [[1, 2, 30, 20]]})
    refused(run("extract", pyramid, boxes, "-o", tmp_path / "o.h5", "--image-key", "file_name"), 3, "x")


def test_image_key_id_does_not_look_at_file_names(tmp_path):
    pyramid = write_batched(tmp_path / "p.h5", ids=["page", "4", "5"])
    data = coco([(1, 2, 30, 20)], [7])
    data["images"] = [{"id": 7, "file_name": "page.png"}]
    boxes = write_json(tmp_path / "b.json", data)
    refused(run("extract", pyramid, boxes, "-o", tmp_path / "o.h5"), 3, "--image-key file_name finds")


NAN = float("nan")
ROWS = [
    [0, 1, 2, 30, 20],
    [5, 1, 2, 30, 20],
    [1, 9, 2, 3, 20],
    [2, 1, NAN, 30, 20],
    [2, 4, 4, 4, 4],
    [1, 1, 20, 30, 2],
    [0, 1, 2, 3e9, 20],
    [-1, 1, 2, 30, 20],
]
GOOD = [0, 4]
SKIP = ("--on-unknown-image", "skip")
REASONS = {"not finite": 1, "x2 < x1": 1, "y2 < y1": 1, "too far out": 1, "image unknown": 2}


@pytest.mark.parametrize("policy", ["drop", "zero", "nan"])
def test_bad_boxes(tmp_path, policy):
    pyramid, boxes = write_batched(tmp_path / "p.h5"), write_json(tmp_path / "b.json", ROWS)
    stats = tmp_path / "stats.json"
    crops = extracted(tmp_path / "o.h5", pyramid, boxes, *SKIP, "--on-bad-box", policy, "--stats", stats)
    good = extracted(tmp_path / "g.h5", pyramid, write_json(tmp_path / "g.json", [ROWS[row] for row in GOOD]))
    rows = GOOD if policy == "drop" else list(range(len(ROWS)))
    assert crops.box_index.tolist() == rows
    status = dict.fromkeys(GOOD, 0) | {1: 2, 7: 2}
    assert crops.status.tolist() == [status.get(row, 1) for row in rows]
    assert crops.level.tolist() == [0 if row in GOOD else -1 for row in rows]
    image = {0: 0, 1: -1, 2: 1, 3: 2, 4: 2, 5: 1, 6: 0, 7: -1}
    assert crops.image_index.tolist() == [image[row] for row in rows]
    np.testing.assert_array_equal(crops[crops.status == 0], good[:])
    filled = crops[crops.status > 0]
    assert len(filled) == len(rows) - len(GOOD)
    assert (np.isnan(filled) if policy == "nan" else filled == 0).all()
    assert json.loads(stats.read_text())["invalid_boxes"] == REASONS


def test_bad_boxes_are_an_error_without_a_word(tmp_path):
    pyramid, boxes = write_batched(tmp_path / "p.h5"), write_json(tmp_path / "b.json", ROWS)
    refused(
        run("extract", pyramid, boxes, "-o", tmp_path / "o.h5"),
        3,
        r"b\.json: .*2 of 8 .*row 1: image '5' is not in the pyramid; row 7: image '-1' .*--on-unknown-image skip",
    )
    refused(
        run("extract", pyramid, boxes, "-o", tmp_path / "o.h5", *SKIP),
        3,
        r"b\.json: .*4 of 8 .*row 2: x2 < x1 \(9, 2, 3, 20\).*row 3: not finite.*--on-bad-box",
    )


def test_bad_boxes_in_terms_of_the_file(tmp_path):
    """A negative width is said as the file has it."""
    pyramid = write_batched(tmp_path / "p.h5", ids=IDS)
    boxes = write_json(tmp_path / "b.json", [{"image_id": 17, "bbox": [10, 20, -5, 8]}])
    refused(run("extract", pyramid, boxes, "-o", tmp_path / "o.h5"), 3, r"\(10, 20, -5, 8\)")


def test_columns_follow_the_rows_that_are_kept(tmp_path):
    pyramid = write_batched(tmp_path / "p.h5", ids=IDS)
    boxes = write_json(
        tmp_path / "b.json",
        [{"image_id": key, "bbox": [1, 2, 3, 4], "score": key / 1000} for key in (230, 99, 17, 98, 4)],
    )
    crops = extracted(tmp_path / "o.h5", pyramid, boxes, *SKIP)
    assert crops.score.tolist() == [0.23, 0.017, 0.004]
    assert crops.box_index.tolist() == [0, 2, 4]
