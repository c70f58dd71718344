"""Strides that rise where sizes do not fall are refused, and so are box files with two readings."""

from __future__ import annotations

import h5py
import numpy as np
import pytest

from tests.builders import (
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

BOX = [1.0, 2.0, 30.0, 40.0]


@pytest.fixture
def boxes(tmp_path):
    return write_json(tmp_path / "b.json", [[0, *BOX]])


def both_refuse(tmp_path, pyramid, boxes, *options):
    pattern = "expected levels whose size falls as their stride rises.*--strides"
    refused(run("extract", pyramid, boxes, "-o", tmp_path / "o.h5", *options), 3, pattern)
    result = run("validate", pyramid, boxes, *options)
    assert result.exit_code == 3
    assert "whose size falls" in result.stdout


@pytest.mark.parametrize("option", [("--strides", "16,8,4"), ("--scales", "4,8,16"), ("--strides", "4,16,8")])
@pytest.mark.parametrize("form", ["batched", "per image", "npz"])
def test_options_that_contradict_the_sizes(tmp_path, boxes, form, option):
    write = {
        "batched": lambda: write_batched(tmp_path / "p.h5"),
        "per image": lambda: write_per_image(tmp_path / "p.h5", {"0": image_maps()}),
        "npz": lambda: write_npz(tmp_path / "p.npz"),
    }[form]
    both_refuse(tmp_path, write(), boxes, *option)


def test_strides_of_an_archive_in_another_order_than_its_arrays(tmp_path, boxes):
    both_refuse(tmp_path, write_npz(tmp_path / "p.npz", strides=[16, 8, 4]), boxes)


def test_strides_in_the_file_that_contradict_its_sizes(tmp_path, boxes):
    both_refuse(tmp_path, write_batched(tmp_path / "p.h5", strides={"p2": 16, "p3": 8, "p4": 4}), boxes)


def test_levels_named_coarsest_first_with_strides_finest_first(tmp_path, boxes):
    both_refuse(tmp_path, write_batched(tmp_path / "p.h5"), boxes, "--levels", "p4,p3,p2", "--strides", "4,8,16")


def test_one_image_whose_sizes_contradict_the_strides(tmp_path):
    images = {str(number): image_maps(number) for number in range(3)}
    images["2"] = {"p2": images["2"]["p4"], "p3": images["2"]["p3"], "p4": images["2"]["p2"]}
    pyramid = write_per_image(tmp_path / "p.h5", images)
    both_refuse(tmp_path, pyramid, write_json(tmp_path / "b.json", [[0, *BOX], [2, *BOX]]))
    assert len(extracted(tmp_path / "o.h5", pyramid, write_json(tmp_path / "c.json", [[0, *BOX]]))) == 1


def test_small_inputs_are_no_contradiction(tmp_path, boxes):
    maps = {name: np.ones((1, 2, 1, 1), "f4") for name in batch_maps()}
    assert len(extracted(tmp_path / "o.h5", write_batched(tmp_path / "p.h5", maps), boxes)) == 1


def write_boxes(path, **datasets):
    with h5py.File(path, "w") as file:
        for name, values in datasets.items():
            file[name] = values
    return path


def test_rois_beside_boxes(tmp_path):
    path = write_boxes(tmp_path / "b.h5", rois=[[0, *BOX]], boxes=[BOX], image_index=[0])
    refused(run("extract", write_batched(tmp_path / "p.h5"), path, "-o", tmp_path / "o.h5"), 3, "rois.*or boxes.*both")


@pytest.mark.parametrize("index", [[0, 0, 1], [2, 1, 0], [1, 1, 1]])
def test_image_index_beside_an_id_for_each_box(tmp_path, index):
    pyramid = write_batched(tmp_path / "p.h5", ids=["a", "b", "c"])
    path = write_boxes(tmp_path / "b.h5", boxes=[BOX] * 3, image_index=index, image_ids=["a", "b", "c"])
    refused(run("extract", pyramid, path, "-o", tmp_path / "o.h5"), 3, "image_index: row [01]: .*beside id")


@pytest.mark.parametrize(("index", "ids"), [([0, 1, 2], ["c", "a", "b"]), ([1, 1, 0], ["a", "b"]), ([0, 0, 0], ["b"])])
def test_image_index_into_image_ids(tmp_path, index, ids):
    pyramid = write_batched(tmp_path / "p.h5", ids=["a", "b", "c"])
    path = write_boxes(tmp_path / "b.h5", boxes=[BOX] * 3, image_index=index, image_ids=ids)
    crops = extracted(tmp_path / "o.h5", pyramid, path)
    assert [crops.image_ids[image] for image in crops.image_index] == [ids[image] for image in index]
