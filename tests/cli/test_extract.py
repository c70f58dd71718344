"""`msroi extract`, run in this process: what it says, what it writes, and that every option counts."""

from __future__ import annotations

import json
import time
from pathlib import Path

import h5py
import numpy as np
import pytest

from msroi_cli import assign_levels, multi_scale_roi_align, open_crops
from msroi_cli.cli import main
from msroi_cli.cli.output import byte_size, duration
from tests.builders import (
    IDS,
    SAMPLE_DATA,
    SPREAD,
    STRIDES,
    batch_maps,
    coco,
    extracted,
    random_boxes,
    random_rows,
    refused,
    run,
    write_batched,
    write_json,
)

PAGE, WORDS = SAMPLE_DATA / "pyramid.h5", SAMPLE_DATA / "words.json"
COUNT = 30
ROWS = random_rows(COUNT)
SCALES = [1 / stride for stride in STRIDES.values()]


@pytest.fixture
def inputs(tmp_path):
    """A batched pyramid and rows of boxes on it."""
    return write_batched(tmp_path / "p.h5"), write_json(tmp_path / "b.json", ROWS.tolist())


def crops_of(tmp_path, inputs, *options, name="o.h5"):
    """The crops of one run."""
    return extracted(tmp_path / name, *inputs, *options, "--overwrite")


def test_sample_data(tmp_path):
    out = tmp_path / "crops.h5"
    result = run("extract", PAGE, WORDS, "--box-space", "original", "-o", out)
    assert (result.exit_code, result.stdout) == (0, "")
    lines = result.stderr.splitlines()
    assert lines[0].split()[:4] == ["level", "stride", "boxes", "share"]
    assert [line.split()[0] for line in lines[1:6]] == ["p2", "p3", "p4", "p5", "all"]
    assert [line.split()[2] for line in lines[1:5]] == ["129", "1", "3", "1"]
    assert lines[6].startswith(f"{out}: 134 crops, ")
    assert len(lines) == 7


def test_sample_data_agrees_with_the_library(tmp_path):
    crops = extracted(tmp_path / "crops.h5", PAGE, WORDS, "--box-space", "original")
    data = json.loads(WORDS.read_text())
    annotations = data["annotations"]
    assert crops.annotation_id.tolist() == [annotation["id"] for annotation in annotations]
    assert [crops.image_ids[i] for i in crops.image_index] == [str(a["image_id"]) for a in annotations]
    with h5py.File(PAGE) as file:
        for row, annotation in enumerate(annotations):
            group = file[str(annotation["image_id"])]
            x, y, width, height = annotation["bbox"]
            box = np.array([x, y, x + width, y + height]) * np.tile(group.attrs["scale_factor"], 2)
            features = [group[f"p{level}"][()][None] for level in range(2, 6)]
            alone = multi_scale_roi_align(features, [[0, *box]], [1 / 4, 1 / 8, 1 / 16, 1 / 32], 7)
            np.testing.assert_array_equal(crops[row], alone[0])


def test_two_runs_give_the_same_file_but_for_the_date(tmp_path, inputs, creation_date):
    extracted(tmp_path / "1.h5", *inputs)
    time.sleep(1.1)  # HDF5 counts seconds, where it notes when something was made
    extracted(tmp_path / "2.h5", *inputs)
    with h5py.File(tmp_path / "2.h5") as file:
        assert file.attrs["creation_date"].decode() == creation_date
    assert (tmp_path / "1.h5").read_bytes() == (tmp_path / "2.h5").read_bytes()


OPTIONS = {
    "--output-size 5": (("--output-size", "5"), {"output_size": 5}),
    "--output-size 4x9": (("--output-size", "4x9"), {"output_size": (4, 9)}),
    "--sampling-ratio": (("--sampling-ratio", "3"), {"sampling_ratio": 3}),
    "--compat torchvision": (("--compat", "torchvision"), {"compat": "torchvision"}),
    "--compat detectron2": (("--compat", "detectron2"), {"compat": "detectron2"}),
    "--compat mmdet": (("--compat", "mmdet"), {"compat": "mmdet"}),
    "--aligned": (("--aligned",), {"aligned": True}),
    "--no-aligned": (("--compat", "mmdet", "--no-aligned"), {"compat": "mmdet", "aligned": False}),
    "--canonical-level": (("--canonical-level", "5"), {"canonical_level": 5}),
    "--canonical-scale": (("--canonical-scale", "40"), {"canonical_scale": 40}),
    "both canonical": (SPREAD, {"canonical_scale": 16, "canonical_level": 1}),
}


@pytest.mark.parametrize("case", OPTIONS)
def test_pooling_options_reach_the_library(tmp_path, inputs, case):
    options, call = OPTIONS[case]
    crops = crops_of(tmp_path, inputs, *options)
    arguments = {"output_size": 7, **call}
    expected = multi_scale_roi_align(list(batch_maps().values()), ROWS, SCALES, **arguments)
    np.testing.assert_array_equal(crops[:], expected)
    rules = {name: value for name, value in call.items() if name not in ("output_size", "sampling_ratio", "aligned")}
    np.testing.assert_array_equal(crops.level, assign_levels(ROWS, SCALES, **rules))
    recorded = dict(crops.parameters)
    for name, value in call.items():
        wanted = [value, value] if isinstance(value, int) and name == "output_size" else value
        assert recorded[name] == (list(wanted) if isinstance(wanted, tuple) else wanted)


@pytest.mark.parametrize("case", OPTIONS)
@pytest.mark.sampled(3)
def test_pooling_options_make_a_difference(tmp_path, inputs, case):
    options, _ = OPTIONS[case]
    plain = crops_of(tmp_path, inputs, *(("--compat", "mmdet") if case == "--no-aligned" else ()), name="plain.h5")
    assert not np.array_equal(plain[:], crops_of(tmp_path, inputs, *options)[:])


LEVEL_OPTIONS = {
    "--levels": ("--levels", "p3,p4"),
    "--strides": ("--strides", "5,10,20"),
    "--strides in pairs": ("--strides", "4x4.5,8,16"),
    "--scales": ("--scales", "0.3,1/7,0.06"),
}


@pytest.mark.parametrize("case", LEVEL_OPTIONS)
def test_level_options(tmp_path, inputs, case):
    crops = crops_of(tmp_path, inputs, *LEVEL_OPTIONS[case], *SPREAD)
    scales = {
        "--levels": [1 / 8, 1 / 16],
        "--strides": [1 / 5, 1 / 10, 1 / 20],
        "--strides in pairs": [(1 / 4, 1 / 4.5), 1 / 8, 1 / 16],
        "--scales": [0.3, 1 / 7, 0.06],
    }[case]
    features = list(batch_maps().values())[-len(scales) :]
    expected = multi_scale_roi_align(features, ROWS, scales, 7, canonical_scale=16, canonical_level=1)
    np.testing.assert_array_equal(crops[:], expected)
    assert [list(np.broadcast_to(scale, 2)) for scale in scales] == crops.parameters["spatial_scales"]


@pytest.mark.parametrize("options", [("--threads", "1"), ("--threads", "2"), ("--threads", "7"), ()])
def test_threads_do_not_change_a_bit(tmp_path, inputs, options):
    one = crops_of(tmp_path, inputs, *SPREAD, "--threads", "1", name="1.h5")
    np.testing.assert_array_equal(one[:], crops_of(tmp_path, inputs, *SPREAD, *options)[:])


def test_box_options_are_recorded(tmp_path):
    pyramid = write_batched(tmp_path / "p.h5", ids=IDS, scale_factors=np.ones((3, 2)))
    boxes = write_json(tmp_path / "b.json", {"x/17.png": [[1, 2, 3, 4]]})
    options = {
        "box_format": "cxcywh",
        "box_space": "original",
        "image_key": "file_name",
        "on_bad_box": "zero",
        "on_unknown_image": "skip",
    }
    flags = [word for name, value in options.items() for word in (f"--{name.replace('_', '-')}", value)]
    crops = extracted(tmp_path / "o.h5", pyramid, boxes, *flags)
    assert options.items() <= crops.parameters.items()
    assert crops.parameters["normalized"] is False


def test_standard_input(tmp_path, inputs):
    by_file = crops_of(tmp_path, inputs, name="1.h5")
    by_pipe = extracted(tmp_path / "2.h5", inputs[0], "-", stdin=json.dumps(ROWS.tolist()))
    np.testing.assert_array_equal(by_file[:], by_pipe[:])
    assert by_pipe.sources["boxes"]["name"] == "-"


@pytest.mark.parametrize("text", ["", "\n", " \n \n", "[]", "{}"])
def test_nothing_on_standard_input_is_no_box(tmp_path, inputs, text):
    """JSON Lines without a line: a detector that found nothing."""
    result = run("extract", inputs[0], "-", "-o", tmp_path / "o.h5", "-q", stdin=text)
    assert result.exit_code == 0, result.stderr
    assert len(open_crops(tmp_path / "o.h5")) == 0


def test_an_empty_file_of_boxes_is_refused(tmp_path, inputs):
    (tmp_path / "empty.json").write_bytes(b"")
    refused(run("extract", inputs[0], tmp_path / "empty.json", "-o", tmp_path / "o.h5"), 3, "got an empty file")


def test_statistics_on_standard_output_are_json_alone(tmp_path, inputs):
    result = run("extract", *inputs, "-o", tmp_path / "o.h5", "--stats", "-")
    assert result.exit_code == 0
    stats = json.loads(result.stdout)
    assert set(stats) == {"levels", "total", "invalid_boxes", "left_out_boxes", "warnings"}
    assert set(stats["levels"][0]) >= {"level", "stride", "boxes", "share", "box_size", "crop", "seconds"}
    assert set(stats["levels"][0]["box_size"]) == {"min", "median", "max"}
    assert set(stats["levels"][0]["crop"]) == {"mean", "std", "min", "max", "zero_fraction", "nonfinite"}
    assert sum(level["boxes"] for level in stats["levels"]) == COUNT


def test_statistics_in_a_file_replace_the_old_ones(tmp_path, inputs):
    (tmp_path / "s.json").write_text("old")
    crops_of(tmp_path, inputs, "--stats", tmp_path / "s.json")
    assert json.loads((tmp_path / "s.json").read_text())["total"]["boxes"] == COUNT


def test_quiet_is_silent(tmp_path, inputs):
    result = run("extract", *inputs, "-o", tmp_path / "o.h5", "-q")
    assert (result.exit_code, result.stdout, result.stderr) == (0, "", "")
    assert len(open_crops(tmp_path / "o.h5")) == COUNT


def test_quiet_still_gives_what_was_asked_for(tmp_path, inputs):
    result = run("extract", *inputs, "-o", tmp_path / "o.h5", "-q", "--stats", "-")
    assert (result.exit_code, result.stderr) == (0, "")
    assert json.loads(result.stdout)["total"]["boxes"] == COUNT


def test_quiet_still_says_errors(tmp_path, inputs):
    refused(run("extract", inputs[0], tmp_path / "no.json", "-o", tmp_path / "o.h5", "-q"), 3, "no.json")


def test_verbose_says_what_was_found(tmp_path, inputs):
    result = run("extract", *inputs, "-o", tmp_path / "o.h5", "-v")
    assert (result.exit_code, result.stdout) == (0, "")
    for part in (
        "3 of 3 images",
        "batched",
        "3 channels",
        "float32",
        "p4 (stride 16)",
        "30 boxes",
        '"compat": "lucid"',
    ):
        assert part in result.stderr


def test_dry_run_says_it_on_standard_output_and_writes_nothing(tmp_path, inputs):
    before = sorted(tmp_path.iterdir())
    result = run("extract", *inputs, "-o", tmp_path / "o.h5", "--dry-run", "--output-size", "5x3")
    assert (result.exit_code, result.stderr) == (0, run("validate", *inputs).stdout)
    for part in ("read", "pool", "write", "(30, 3, 5, 3)", str(tmp_path / "o.h5")):
        assert part in result.stdout
    assert sorted(tmp_path.iterdir()) == before


def test_dry_run_finds_what_the_run_would_find(tmp_path):
    pyramid = write_batched(tmp_path / "p.h5")
    boxes = write_json(tmp_path / "b.json", [[9, 1, 2, 3, 4]])
    refused(run("extract", pyramid, boxes, "-o", tmp_path / "o.h5", "--dry-run"), 3, "image '9'")
    refused(run("extract", pyramid, pyramid, "-o", pyramid, "--dry-run"), 2, "apart from the inputs")


@pytest.mark.parametrize("size", ["2147483648", "99999x99999", str(2**62)])
def test_dry_run_knows_what_does_not_fit_on_the_disk(tmp_path, inputs, size):
    result = run("extract", *inputs, "-o", tmp_path / "o.h5", "--dry-run", "--output-size", size)
    assert result.exit_code in (1, 2), result.stdout
    refused(result, result.exit_code, "room|output.size")


def test_progress_off_a_terminal(tmp_path, inputs):
    plain = run("extract", *inputs, "-o", tmp_path / "1.h5")
    assert "boxes/s" not in plain.stderr
    bar = run("extract", *inputs, "-o", tmp_path / "2.h5", "--progress")
    assert (bar.exit_code, bar.stdout) == (0, "")
    assert "100%" in bar.stderr
    assert "30.0/30.0" in bar.stderr
    none = run("extract", *inputs, "-o", tmp_path / "3.h5", "--no-progress")
    assert "%|" not in none.stderr


def test_progress_counts_boxes_that_are_not_pooled(tmp_path, inputs):
    boxes = write_json(tmp_path / "bad.json", [[0, 1, 2, 3, 4], [9, 1, 2, 3, 4]])
    options = ("--on-bad-box", "zero", "--on-unknown-image", "skip", "--progress")
    result = run("extract", inputs[0], boxes, "-o", tmp_path / "o.h5", *options)
    assert "2.00/2.00" in result.stderr
    assert "1 boxes not pooled (zero): 1 image unknown" in result.stderr


def test_progress_as_lines(tmp_path, inputs, monkeypatch):
    monkeypatch.setattr("msroi_cli.cli.output.FIRST_LINE_AFTER", 0)
    result = run("extract", *inputs, "-o", tmp_path / "o.h5")
    lines = [line for line in result.stderr.splitlines() if "boxes/s" in line]
    assert 1 <= len(lines) <= 3
    assert all(" of 30 boxes, " in line for line in lines)


def test_overwrite(tmp_path, inputs):
    (tmp_path / "o.h5").write_text("precious")
    refused(run("extract", *inputs, "-o", tmp_path / "o.h5"), 2, r"o\.h5: exists already; --overwrite")
    assert (tmp_path / "o.h5").read_text() == "precious"
    assert len(crops_of(tmp_path, inputs)) == COUNT


def test_failed_run_leaves_the_old_output(tmp_path, inputs):
    (tmp_path / "o.h5").write_text("precious")
    with h5py.File(inputs[0], "a") as file:
        del file["p3"]
        file.create_dataset("p3", (3, 3, 8, 12), "f4", external=[("gone.raw", 0, h5py.h5f.UNLIMITED)])
        file["p3"].attrs["stride"] = 8
    allowed = ["--allow-external", "--allow-fill"]
    result = run("extract", *inputs, "-o", tmp_path / "o.h5", "--overwrite", *allowed, *SPREAD)
    refused(result, 3, r"p\.h5:/p3: cannot be read")
    assert (tmp_path / "o.h5").read_text() == "precious"
    assert not [path for path in tmp_path.iterdir() if "partial" in path.name]


@pytest.mark.parametrize("which", [0, 1])
def test_statistics_do_not_take_the_place_of_an_input(tmp_path, inputs, which):
    before = inputs[which].read_bytes()
    result = run("extract", *inputs, "-o", tmp_path / "o.h5", "--stats", inputs[which])
    assert inputs[which].read_bytes() == before
    refused(result, 2, "--stats")


@pytest.mark.parametrize("make", [Path.symlink_to, Path.hardlink_to])
def test_output_that_is_an_input_by_another_name(tmp_path, inputs, make):
    before = inputs[0].read_bytes()
    make(tmp_path / "other.h5", inputs[0])
    refused(run("extract", *inputs, "-o", tmp_path / "other.h5", "--overwrite"), 2, "apart from the inputs")
    assert inputs[0].read_bytes() == before


def test_crops_file_as_its_own_boxes_is_refused(tmp_path, inputs):
    crops_of(tmp_path, inputs)
    refused(run("extract", inputs[0], tmp_path / "o.h5", "-o", tmp_path / "o.h5", "--overwrite"), 2, "apart from")


def test_output_is_not_there_until_it_is_whole(tmp_path, inputs, monkeypatch):
    from msroi_cli.io.crops.contiguous import PlainWriter

    seen = []
    write = PlainWriter.write

    def watched(self, rows, crops, sums):
        record = write(self, rows, crops, sums)
        seen.append((tmp_path / "o.h5").exists())
        return record

    monkeypatch.setattr(PlainWriter, "write", watched)
    crops_of(tmp_path, inputs)
    assert seen
    assert not any(seen)


def test_full_disk(tmp_path, inputs, monkeypatch):
    import errno

    from msroi_cli.io.crops import contiguous as crops_plain

    def full(file):
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(crops_plain, "reserve_space", full)
    result = run("extract", *inputs, "-o", tmp_path / "o.h5")
    refused(result, 1, r"o\.h5: cannot be written: No space left on device")
    assert not [path for path in tmp_path.iterdir() if "o.h5" in path.name]


def test_per_image_coco_with_everything(tmp_path):
    """A last look at all of it together: interleaved images, original pixels, some levels, unknown images skipped."""
    boxes = random_boxes(20, seed=4)
    keys = [(17, 4, 230, 99)[number % 4] for number in range(20)]
    data = write_json(tmp_path / "b.json", coco(boxes, keys, id=list(range(20)), score=[0.5] * 20))
    options = ("--box-space", "original", "--levels", "p2,p4", "--on-unknown-image", "skip", "--dtype", "float64")
    crops = extracted(tmp_path / "o.h5", PAGE, data, *options)
    assert crops.box_index.tolist() == [row for row in range(20) if keys[row] != 99]
    with h5py.File(PAGE) as file:
        for row, index in enumerate(crops.box_index):
            group = file[str(keys[index])]
            expected = np.empty((1, 24, 7, 7))
            features = [group[name][()][None] for name in ("p2", "p4")]
            rois = [[0, *crops.boxes[row]]]
            multi_scale_roi_align(features, rois, [1 / 4, 1 / 16], 7, out=expected)
            np.testing.assert_array_equal(crops[row], expected[0])


def test_every_option_is_exercised_here_or_refused_elsewhere():
    """A new option wants a test: its name must occur in these tests."""
    texts = "".join(path.read_text() for path in Path(__file__).parent.parent.rglob("test_*.py"))
    for command in main.commands.values():
        for option in command.params:
            names = [name for name in option.opts if name.startswith("--")]
            assert all(name in texts for name in names), names


def test_sizes_in_words():
    assert [byte_size(count) for count in (0, 999, 1000, 123456, 999_499, 999_600, 5 * 10**9, 10**16)] == [
        "0 bytes",
        "999 bytes",
        "1 kB",
        "123 kB",
        "999 kB",
        "1 MB",
        "5 GB",
        "1e+04 TB",
    ]


def test_durations_in_words():
    assert [duration(seconds) for seconds in (0.0123, 9.4, 59, 60, 3599, 3600, 7325, float("inf"))] == [
        "0.012 s",
        "9.4 s",
        "59 s",
        "1 min 0 s",
        "59 min 59 s",
        "1 h 0 min",
        "2 h 2 min",
        "unknown time",
    ]


def test_size_that_is_said_is_that_of_the_file(tmp_path):
    given = ("extract", SAMPLE_DATA / "pyramid.h5", SAMPLE_DATA / "words.json", "--box-space", "original")
    result = run(*given, "-o", tmp_path / "o.h5", "--compression", "gzip")
    size = (tmp_path / "o.h5").stat().st_size
    assert f"134 crops, {size / 1e3:.0f} kB" in result.stderr


def test_choices_are_told_in_one_line(tmp_path):
    result = run("export", tmp_path / "o.h5", tmp_path / "x")
    assert (
        "Choose from: padded, groups, ragged, npz, tsv, npy, safetensors, parquet, webdataset, bua, ban (see"
        in result.stderr
    )
