"""`--assign`: crops of one level for all boxes, or of all levels along the channels, beside crops made one by one."""

from __future__ import annotations

import numpy as np
import pytest

from msroi_cli import PyramidLevel, PyramidWriter, extract, multi_scale_roi_align, open_crops
from msroi_cli.errors import InputError, UsageError
from tests.builders import SPREAD_CALL, STRIDES, extracted, random_boxes, run, write_batched, write_json, write_npz

CHANNELS = {"p2": 2, "p3": 3, "p4": 5}
NAMES = list(STRIDES)


def neck(seed=0, width=96, height=64):
    """Levels of different channel counts: {name: (C, H, W)}."""
    rng = np.random.default_rng(seed)
    return {
        name: rng.standard_normal((CHANNELS[name], height // stride, width // stride)).astype(np.float32)
        for name, stride in STRIDES.items()
    }


NECKS = {"17": neck(), "4": neck(1, 64, 128), "230": neck(2, 160, 32)}
BOXES = {key: random_boxes(15, seed) for seed, key in enumerate(NECKS)}


class Maker:
    """The necks as an object."""

    image_ids = tuple(NECKS)
    levels = tuple(PyramidLevel(name, stride, CHANNELS[name]) for name, stride in STRIDES.items())
    fingerprint = "necks"

    def maps(self, ids):
        for key in ids:
            yield NECKS[key]


def one_level(name, **options):
    """Every box pooled from one level, image by image: (K, C, 7, 7)."""
    parts = []
    for key, boxes in BOXES.items():
        rois = np.concatenate([np.zeros((len(boxes), 1)), boxes], axis=1)
        parts.append(multi_scale_roi_align([NECKS[key][name][None]], rois, [1 / STRIDES[name]], 7, **options))
    return np.concatenate(parts)


def expected(assign, **options):
    return np.concatenate([one_level(name, **options) for name in (NAMES if assign == "all" else [assign])], axis=1)


@pytest.fixture
def files(tmp_path):
    with PyramidWriter(tmp_path / "maps.h5", list(STRIDES.values())) as writer:
        for key, maps in NECKS.items():
            writer.add(key, maps)
    return tmp_path, write_json(tmp_path / "boxes.json", {key: boxes.tolist() for key, boxes in BOXES.items()})


@pytest.mark.parametrize("assign", ["all", "p2", "p3", "p4"])
@pytest.mark.parametrize("backend", ["native", "numpy"])
@pytest.mark.sampled(3)
def test_crops_are_those_of_the_levels_one_by_one(files, monkeypatch, assign, backend):
    folder, boxes = files
    if backend == "native":
        pytest.importorskip("msroi_cli._native")
    monkeypatch.setenv("MSROI_BACKEND", backend)
    crops = extracted(folder / "c.h5", folder / "maps.h5", boxes, "--assign", assign, "--canonical-scale", "16")
    assert np.array_equal(crops[:], expected(assign))
    assert crops.parameters["assign"] == assign
    object_crops = folder / "object.h5"
    extract(Maker(), BOXES, object_crops, assign=assign, canonical_scale=16)
    assert np.array_equal(open_crops(object_crops)[:], crops[:])
    assert run("verify", folder / "c.h5", "--recompute", "20", "--against", folder / "maps.h5").exit_code == 0


@pytest.mark.parametrize("assign", ["all", "p3"])
def test_bins_are_those_of_the_definition(files, assign):
    from tests.oracle import crop

    folder, boxes = files
    crops = extracted(folder / "c.h5", folder / "maps.h5", boxes, "--assign", assign)[:]
    flat = [(key, box.astype(np.float32)) for key, some in BOXES.items() for box in some]
    for row, (key, box) in enumerate(flat):
        levels = NAMES if assign == "all" else [assign]
        parts = [crop(NECKS[key][n], box, (1 / STRIDES[n],) * 2, (7, 7), 0, False) for n in levels]
        assert np.abs(crops[row] - np.concatenate(parts)).max() < 1e-5


def test_the_level_is_the_canonical_one_of_all_and_the_named_one_of_a_name(files):
    folder, boxes = files
    rule = ("--canonical-scale", "16", "--canonical-level", "1")
    every = extracted(folder / "all.h5", folder / "maps.h5", boxes, "--assign", "all", *rule)
    rois = np.concatenate(list(BOXES.values()))
    from msroi_cli import assign_levels

    wanted = assign_levels(rois, [1 / stride for stride in STRIDES.values()], **SPREAD_CALL)
    assert np.array_equal(every.level, wanted)
    assert len(set(wanted.tolist())) == 3
    one = extracted(folder / "one.h5", folder / "maps.h5", boxes, "--assign", "p3", *rule)
    assert set(one.level.tolist()) == {1}


@pytest.mark.slow
def test_vectors_shards_compression_and_filled_rows(files):
    folder, _ = files
    some = {**{key: boxes.tolist() for key, boxes in BOXES.items()}, "17": [*BOXES["17"].tolist(), [9, 9, 1, 1]]}
    boxes = write_json(folder / "bad.json", some)
    args = (folder / "maps.h5", boxes, "--assign", "all", "--on-bad-box", "zero")
    whole = extracted(folder / "whole.h5", *args)
    assert not whole[15].any()
    assert np.array_equal(np.delete(whole[:], 15, axis=0), expected("all"))
    vectors = extracted(folder / "v.h5", *args, "--reduce", "mean")
    assert np.allclose(vectors[:], whole[:].mean(axis=(2, 3)), atol=1e-6)
    assert np.array_equal(extracted(folder / "z.h5", *args, "--compression", "gzip")[:], whole[:])
    assert np.array_equal(extracted(folder / "w.h5", *args, "--workers", "2")[:], whole[:])


@pytest.mark.parametrize("write", [write_batched, write_npz])
def test_batched_files_of_different_channels(tmp_path, write):
    maps = {name: np.stack([neck(seed)[name] for seed in range(3)]) for name in NAMES}
    path = write(tmp_path / "maps.npz", maps)
    boxes = write_json(tmp_path / "boxes.json", [[1, *box] for box in random_boxes(9).tolist()])
    rois = np.concatenate([np.ones((9, 1)), random_boxes(9)], axis=1)
    wanted = [multi_scale_roi_align([maps[n]], rois, [1 / STRIDES[n]], 7) for n in NAMES]
    assert np.array_equal(extracted(tmp_path / "c.h5", path, boxes, "--assign", "all")[:], np.concatenate(wanted, 1))
    assert "2/3/5 channels" in run("inspect", path).stdout


def test_files_of_one_image_each(tmp_path):
    (tmp_path / "maps").mkdir()
    for key, maps in NECKS.items():
        write_batched(tmp_path / "maps" / f"{key}.h5", maps)
    boxes = write_json(tmp_path / "boxes.json", {key: some.tolist() for key, some in BOXES.items()})
    crops = extracted(tmp_path / "c.h5", tmp_path / "maps", boxes, "--assign", "all")
    assert np.array_equal(crops[:], expected("all"))


def test_different_channels_are_refused_with_the_hint(files):
    folder, boxes = files
    result = run("extract", folder / "maps.h5", boxes, "-o", folder / "c.h5")
    assert result.exit_code == 3
    assert "p3: expected (2, H, W), got (3, 16, 8) (--levels names the datasets that are levels; " in result.stderr
    assert "--assign all or the name of a level takes" in result.stderr
    with pytest.raises(UsageError, match="--assign all or the name of a level"):
        extract(Maker(), BOXES, folder / "c.h5")
    checked = run("validate", folder / "maps.h5", boxes, "--assign", "all")
    assert checked.exit_code == 0, checked.stdout


def test_images_of_other_channels_than_the_first_are_refused(tmp_path):
    import h5py

    with PyramidWriter(tmp_path / "maps.h5", list(STRIDES.values())) as writer:
        for key, maps in NECKS.items():
            writer.add(key, maps)
    with h5py.File(tmp_path / "maps.h5", "a") as file:
        del file["230/p4"]
        file["230/p4"] = np.zeros((4, 2, 10), np.float32)
        file["230/p4"].attrs["stride"] = 16
    with pytest.raises(InputError, match=r"230/p4: expected \(5, H, W\), got \(4, 2, 10\)$"):
        extract(tmp_path / "maps.h5", BOXES, tmp_path / "c.h5", assign="all")


def test_a_level_that_is_none_is_refused(files):
    folder, boxes = files
    for command in (("extract", "-o", folder / "c.h5"), ("validate",)):
        result = run(command[0], folder / "maps.h5", boxes, *command[1:], "--assign", "p7")
        assert result.exit_code == (2 if command[0] == "extract" else 3)
        assert "--assign: expected canonical, all or one of p2, p3, p4, got p7" in result.stderr + result.stdout


def test_another_assignment_is_another_job(files):
    folder, boxes = files
    extracted(folder / "c.h5", folder / "maps.h5", boxes, "--assign", "all")
    result = run("extract", folder / "maps.h5", boxes, "-o", folder / "c.h5", "--assign", "p2", "--resume")
    assert result.exit_code == 2
    assert "cannot resume" in result.stderr
