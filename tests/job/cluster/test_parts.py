"""Parts of any number of shards are, together, the crops file of one run: every dataset, byte for byte."""

from __future__ import annotations

import json
import shutil

import h5py
import numpy as np
import pytest

from msroi_cli import open_crops
from msroi_cli.errors import InputError
from tests.builders import IDS, SPREAD, random_rows, refused, run, write_batched, write_json, write_per_image

COLUMNS = ("boxes", "image_index", "level", "status", "box_index", "score", "category_id", "annotation_id")


@pytest.fixture(scope="module")
def inputs(tmp_path_factory):
    """A pyramid of three images, and boxes of them in any order, some of which cannot be pooled."""
    folder = tmp_path_factory.mktemp("inputs")
    write_per_image(folder / "p.h5")
    rows = random_rows(60, seed=3).tolist()
    rng = np.random.default_rng(5)
    records = [
        {
            "image_id": IDS[int(row[0])] if index % 11 else "nowhere",
            "bbox": [row[1], row[2], row[3] - row[1] if index % 7 else -1, row[4] - row[2]],
            "score": float(rng.random()),
            "category_id": index % 5,
        }
        for index, row in enumerate(rows)
    ]
    write_json(folder / "b.json", records)
    return folder


def good(*args):
    result = run(*args)
    assert result.exit_code == 0, result.stderr
    return result.stdout


def extract(inputs, out, *options):
    policy = ("--on-bad-box", "zero", "--on-unknown-image", "skip")
    good("extract", inputs / "p.h5", inputs / "b.json", "-o", out, *policy, *SPREAD, *options)


def shards(inputs, out, count, *options, order=None):
    for index in range(1, count + 1) if order is None else order:
        extract(inputs, out, "--shard", f"{index}/{count}", *options)


def datasets(path):
    with h5py.File(path) as file:
        return {name: (file[name].dtype, file[name][()].tobytes()) for name in file if name != "image_ids"}


def same_crops(one, other):
    assert one.image_ids == other.image_ids
    assert (one.shape, one.dtype) == (other.shape, other.dtype)
    for name in (*COLUMNS, "checksums", "stats"):
        first, second = getattr(one, name), getattr(other, name)
        assert (first is None) == (second is None)
        assert first is None or first.tobytes() == second.tobytes(), name
    assert one[:].tobytes() == other[:].tobytes()
    assert (one.parameters, one.sources) == (other.parameters, other.sources)


@pytest.mark.slow
@pytest.mark.parametrize("count", [1, 2, 3, 5, 40])
@pytest.mark.parametrize("options", [(), ("--order", "image"), ("--compression", "gzip:1"), ("--reduce", "mean")])
def test_parts_are_read_as_one_file(inputs, tmp_path, count, options):
    extract(inputs, tmp_path / "one.h5", *options)
    shards(inputs, tmp_path / "parts", count, *options, order=np.random.default_rng(count).permutation(count) + 1)
    with open_crops(tmp_path / "one.h5") as one, open_crops(tmp_path / "parts") as parts:
        same_crops(one, parts)
        some = np.random.default_rng(0).integers(-60, 60, 25)
        assert (one[some] == parts[some]).all()
        for image in one.image_ids:
            assert (one.by_image(image) == parts.by_image(image)).all()
        assert (one[7] == parts[7]).all()
        assert (one[10:31] == parts[10:31]).all()


def test_several_shards_in_one_command(inputs, tmp_path):
    extract(inputs, tmp_path / "one.h5")
    extract(inputs, tmp_path / "parts", "--shard", "2,3/3")
    extract(inputs, tmp_path / "parts", "--shard", "1/3")
    with open_crops(tmp_path / "one.h5") as one, open_crops(tmp_path / "parts") as parts:
        same_crops(one, parts)


def test_rows_image_after_image(inputs, tmp_path):
    extract(inputs, tmp_path / "input.h5")
    extract(inputs, tmp_path / "image.h5", "--order", "image")
    with open_crops(tmp_path / "input.h5") as by_input, open_crops(tmp_path / "image.h5") as by_image:
        known = by_image.image_index >= 0
        assert (np.diff(by_image.image_index[known]) >= 0).all()
        assert known[: known.sum()].all()
        assert by_image[:].tobytes() == by_input[by_image.box_index].tobytes()
        assert by_image.stats.tobytes() == by_input.stats.tobytes()


def test_every_command_reads_a_folder_of_parts(inputs, tmp_path):
    extract(inputs, tmp_path / "one.h5")
    shards(inputs, tmp_path / "parts", 3)
    for command in (("stats", "--json"), ("verify",), ("inspect", "--json")):
        one, parts = (good(command[0], tmp_path / name, *command[1:]) for name in ("one.h5", "parts"))
        assert parts.replace("parts", "one.h5").splitlines()[-5:] == one.splitlines()[-5:] or command[0] == "inspect"
    told = json.loads(good("inspect", tmp_path / "parts", "--json"))
    assert (told["parts"], told["shape"]) == (3, [60, 3, 7, 7])
    recompute = ("--recompute", "50", "--against", inputs / "p.h5", "--seed", "1")
    good("verify", tmp_path / "parts", *recompute)
    (tmp_path / "one").mkdir()
    (tmp_path / "one.h5").rename(tmp_path / "one" / "parts")
    for place in (tmp_path / "one", tmp_path):
        good("export", place / "parts", place / "ragged.h5", "--layout", "ragged")
        good("preview", "crops", place / "parts", "-o", place / "sheet.png")
    assert datasets(tmp_path / "one" / "ragged.h5") == datasets(tmp_path / "ragged.h5")
    assert (tmp_path / "one" / "sheet.png").read_bytes() == (tmp_path / "sheet.png").read_bytes()


class TestFoldersThatAreRefused:
    @pytest.fixture
    def parts(self, inputs, tmp_path):
        shards(inputs, tmp_path / "parts", 4)
        return tmp_path / "parts"

    def refuse(self, parts, message):
        with pytest.raises(InputError) as error:
            open_crops(parts)
        assert message in str(error.value)

    def test_missing(self, parts):
        (parts / "part-00003-of-00004.h5").unlink()
        self.refuse(parts, "expected 4 parts, got 3: missing part-00003-of-00004.h5")

    def test_interrupted(self, parts):
        (parts / "part-00003-of-00004.h5").rename(parts / ".part-00003-of-00004.h5.partial")
        self.refuse(parts, "missing part-00003-of-00004.h5 (interrupted)")

    def test_not_yet_listed(self, parts, monkeypatch):
        """A name that the folder does not list is opened: network file systems list names late."""
        listed = list(parts.iterdir())
        late = [path for path in listed if not path.name.startswith("part-00003")]
        monkeypatch.setattr(type(parts), "iterdir", lambda path: iter(late))
        with open_crops(parts) as crops:
            assert (len(late), len(crops.paths)) == (3, 4)

    def test_doubled(self, parts):
        shutil.copy(parts / "part-00003-of-00004.h5", parts / "part-3-of-4.h5")
        self.refuse(parts, "expected each part once, got part-00003-of-00004.h5 and part-3-of-4.h5")

    def test_of_another_count(self, inputs, tmp_path, parts):
        shards(inputs, tmp_path / "others", 5)
        shutil.copy(tmp_path / "others" / "part-00005-of-00005.h5", parts)
        self.refuse(parts, "expected parts of one job, got part-00001-of-00004.h5 and part-00005-of-00005.h5")

    def test_of_another_job(self, inputs, tmp_path, parts):
        shards(inputs, tmp_path / "others", 4, "--output-size", "5")
        shutil.copy(tmp_path / "others" / "part-00002-of-00004.h5", parts)
        self.refuse(parts, "expected a part of the same job as part-00001-of-00004.h5: parameters")

    def test_under_another_name(self, parts):
        shutil.copy(parts / "part-00002-of-00004.h5", parts / "part-00003-of-00004.h5")
        self.refuse(parts, "expected part-00003-of-00004.h5, got part-00002-of-00004.h5")

    def test_a_crops_file_that_is_no_part(self, inputs, parts):
        (parts / "part-00001-of-00004.h5").unlink()
        extract(inputs, parts / "part-00001-of-00004.h5")
        self.refuse(parts, "expected part-00001-of-00004.h5, got no part")

    def test_none(self, tmp_path):
        self.refuse(tmp_path, "expected a crops file, or a folder of part-00001-of-00002.h5")

    def test_into_a_folder_with_parts_of_another_count(self, inputs, parts):
        arguments = ("-o", parts, "--shard", "1/3", *SPREAD)
        result = run("extract", inputs / "p.h5", inputs / "b.json", *arguments)
        refused(result, 2, "expected parts of 3 shards, got part-00001-of-00004.h5")

    def test_into_a_file(self, inputs, tmp_path):
        (tmp_path / "file").write_text("mine")
        arguments = ("-o", tmp_path / "file", "--shard", "1/3", "--overwrite", *SPREAD)
        refused(run("extract", inputs / "p.h5", inputs / "b.json", *arguments), 2, "expected a folder")
        assert (tmp_path / "file").read_text() == "mine"


def test_more_images_than_one_level_of_boxes(tmp_path):
    write_batched(tmp_path / "p.h5")
    write_json(tmp_path / "b.json", [])
    good("extract", tmp_path / "p.h5", tmp_path / "b.json", "-o", tmp_path / "parts", "--shard", "1,2/2")
    with open_crops(tmp_path / "parts") as parts:
        assert len(parts) == 0
        assert parts.image_ids == ["0", "1", "2"]


def test_a_dry_run_makes_no_folder(inputs, tmp_path):
    extract(inputs, tmp_path / "parts", "--shard", "1/2", "--dry-run")
    assert not (tmp_path / "parts").exists()
