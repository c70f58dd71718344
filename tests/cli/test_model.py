"""`msroi features`, `extract` and `inspect` of models: fused is two-step, bit for bit, and both are torchvision's."""

from __future__ import annotations

import json
import os
import random
import re
import signal
import subprocess
import sys
import time

import h5py
import numpy as np
import pytest
from PIL import Image

from msroi_cli import UsageError, extract, open_crops
from msroi_cli.cli.model_options import CHANGES, INTERPOLATIONS, OTHERS, model_of
from msroi_cli.job.extract.prepare import prepared
from msroi_cli.job.extract.run import extract as run_job
from msroi_cli.job.request import BoxOptions, ExtractRequest, PoolOptions
from msroi_cli.model import preprocessing
from msroi_cli.model.options import ModelOptions
from tests.builders import extracted, refused, run
from tests.model.test_preprocessing import random_picture
from tests.onnx_models import STRIDES, save_fpn, save_vit
from tests.oracle import crop
from tests.peers import torchvision_ops
from tests.pictures import ORIENTATIONS, save_turned

runtime = pytest.importorskip("onnxruntime")
pytest.importorskip("onnx")

SIZES = {"2": (100, 80), "10": (64, 130), "9": (120, 90)}
OUTPUTS = ("--outputs", "p2=p2,p3=p3,p4=p4")
RULES = {
    "as they are": (),
    "shortest": ("--resize", "shortest=64,longest=100", "--pad-to", "32", "--rescale", "1/255", "--color", "bgr"),
    "letterbox": ("--resize", "letterbox=96", "--mean", "1,2,3", "--std", "50", "--interpolation", "bicubic"),
}
SPREAD = ("--canonical-scale", "16", "--canonical-level", "1")


@pytest.fixture
def folder(tmp_path):
    """A model, a folder of pictures of different sizes, and a COCO data set of boxes in their pixels."""
    save_fpn(tmp_path / "m.onnx")
    (tmp_path / "photos").mkdir()
    for seed, (key, size) in enumerate(SIZES.items()):
        random_picture(size, seed).save(tmp_path / "photos" / f"{key}.png")
    write_coco(tmp_path / "boxes.json", SIZES)
    return tmp_path


def write_coco(path, sizes, per_image=12, seed=0):
    """Boxes of many sizes in pixels of the pictures."""
    rng = np.random.default_rng(seed)
    rows = []
    for key, size in sizes.items():
        for _ in range(per_image):
            corner, sides = rng.uniform(0, 0.7, 2) * size, np.exp(rng.uniform(1, 4, 2))
            rows.append({"image_id": int(key), "bbox": [*corner.tolist(), *sides.tolist()], "category_id": 1})
    images = [{"id": int(key), "width": w, "height": h, "file_name": f"{key}.png"} for key, (w, h) in sizes.items()]
    path.write_text(json.dumps({"images": images, "annotations": rows}))
    return path


def fused(folder, *options, out="fused.h5"):
    return extracted(
        folder / out, folder / "m.onnx", folder / "boxes.json", "--pictures", folder / "photos", *OUTPUTS, *options
    )


@pytest.mark.parametrize("rule", RULES.values(), ids=RULES)
def test_fused_and_two_step_give_the_same_crops(folder, rule):
    made = run("features", folder / "m.onnx", folder / "photos", "-o", folder / "maps.h5", *OUTPUTS, *rule)
    assert made.exit_code == 0, made.stderr
    one = fused(folder, *rule, *SPREAD)
    other = extracted(folder / "two.h5", folder / "maps.h5", folder / "boxes.json", "--box-space", "original", *SPREAD)
    assert np.array_equal(one[:], other[:])
    assert set(one.level.tolist()) == {0, 1, 2}
    for name in ("boxes", "level", "image_index", "box_index", "category_id"):
        assert np.array_equal(getattr(one, name), getattr(other, name)), name


@pytest.mark.parametrize("rule", RULES.values(), ids=RULES)
@pytest.mark.sampled(2)
def test_crops_are_roi_align_of_the_outputs_of_the_runtime(folder, rule):
    """The pictures resized, padded and pooled by hand, boxes taken along; torchvision's own where it is installed."""
    crops = fused(folder, *rule, "--compat", "torchvision", "--canonical-scale", "16", "--canonical-level", "3")
    boxes = json.loads((folder / "boxes.json").read_text())["annotations"]
    session = runtime.InferenceSession(str(folder / "m.onnx"), providers=["CPUExecutionProvider"])
    ops = torchvision_ops()
    for row, box in enumerate(boxes):
        picture, scale, offset = by_hand(folder / "photos" / f"{box['image_id']}.png", rule)
        level = int(crops.level[row])
        features = session.run([f"p{level + 2}"], {"images": picture})[0]
        x, y, w, h = box["bbox"]
        moved = np.array([x, y, x + w, y + h]) * np.tile(scale, 2) + np.tile(offset, 2)
        wanted = roi_align(ops, features, moved, STRIDES[level])
        assert np.abs(crops[row] - wanted).max() <= 1e-5 * np.abs(features).max()


def by_hand(path, rule):
    """The input (1, 3, H, W) of a picture, and the scale (sx, sy) and offset (ox, oy) of its boxes."""
    picture = Image.open(path).convert("RGB")
    width, height = picture.size
    if "letterbox=96" in rule:
        factor = 96 / max(width, height)
        size = (round(width * factor), round(height * factor))
        resized = picture.resize(size, Image.Resampling.BICUBIC)
        corner = ((96 - size[0]) // 2, (96 - size[1]) // 2)
        canvas = Image.new("RGB", (96, 96), (114, 114, 114))
        canvas.paste(resized, corner)
        values = (np.asarray(canvas, np.float32) - np.array([1, 2, 3], np.float32)) / 50
    elif rule:
        factor = min(64 / min(width, height), 100 / max(width, height))
        size = (int(width * factor + 0.5), int(height * factor + 0.5))
        resized = np.asarray(picture.resize(size, Image.Resampling.BILINEAR), np.float32)
        values = np.zeros((-(-size[1] // 32) * 32, -(-size[0] // 32) * 32, 3), np.float32)
        values[: size[1], : size[0]] = resized[:, :, ::-1] * np.float32(1 / 255)
        corner = (0, 0)
    else:
        size, corner, values = picture.size, (0, 0), np.asarray(picture, np.float32)
    return values.transpose(2, 0, 1)[None], np.array(size) / picture.size, np.array(corner)


def roi_align(ops, features, box, stride):
    if ops is None:
        return crop(features[0], box.astype(np.float32), (1 / stride, 1 / stride), (7, 7), 2, False)
    import torch

    rois = torch.tensor([[0, *box]], dtype=torch.float32)
    return ops.roi_align(torch.from_numpy(features), rois, 7, 1 / stride, 2, False)[0].numpy()


@pytest.mark.parametrize("rule", RULES.values(), ids=RULES)
def test_one_call_from_python_gives_what_the_command_gives(folder, rule):
    given = dict(zip((name[2:].replace("-", "_") for name in rule[::2]), rule[1::2], strict=True))
    values = {"pad_to": int, "rescale": lambda text: 1 / 255, "std": float, "mean": lambda text: [1, 2, 3]}
    options = {name: values.get(name, str)(value) for name, value in given.items()}
    extract(
        *(folder / "m.onnx", folder / "boxes.json", folder / "python.h5"),
        pictures=folder / "photos",
        outputs={"p2": "p2", "p3": "p3", "p4": "p4"},
        **options,
    )
    one, other = open_crops(folder / "python.h5"), fused(folder, *rule)
    assert np.array_equal(one[:], other[:])
    assert one.parameters == other.parameters


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"pictures": None}, "expected with pictures, got it alone"),
        ({"resize": "big"}, "resize: expected shortest=800"),
        ({"layout": "cwh"}, "layout: expected one of chw, hwc, got 'cwh'"),
        ({"interpolation": "best"}, "interpolation: expected one of"),
        ({"on_bad_picture": "drop"}, "on_bad_picture: expected one of error, skip"),
        ({"mean": [1, 2]}, "mean: expected 3 numbers"),
        *(
            ({"mean": value}, "mean: expected 3 numbers, one")
            for value in ("0.5,0.5,0.5", [[1, 2, 3]], {1: 1}, [1, 2, "3"])
        ),
        *(({"std": value}, "std: expected 3 numbers, one") for value in (float("inf"), True, [1, 1, float("nan")])),
        *(({"resize": value}, "resize: expected a text such as shortest=800") for value in ((100, 100), 100)),
        *(({"rescale": value}, "rescale: expected a number, got") for value in ("1/255", float("nan"), 10**400)),
        *(({"pad_to": value}, "pad_to: expected a whole number from 1 to 4096") for value in (32.0, "32", 0, True)),
        *(({"patch": value}, "patch: expected a whole number from 1 to 1024") for value in ("14", 0, -1)),
        ({"patch": 14, "prefix_tokens": -1}, "prefix_tokens: expected a whole number from 0 to 4096, got -1"),
        *(
            ({"outputs": value}, "outputs: expected names of different tensors by level name, such as .*, got")
            for value in ({2: "p2"}, {}, ["p2"], "p2=p2", {"p2": "p2", "p3": "p2"}, {"p2": ["p2"]})
        ),
        ({"pictures": ["photos/2.png"]}, "pictures: expected the name of a folder, a pattern or @FILE, got"),
        ({"preprocessor": {"do_resize": True}}, "preprocessor: expected the name of a file, got {'do_resize': True}"),
        *(({"providers": value}, "providers: expected a sequence of names") for value in ("CPUExecutionProvider", [1])),
        ({"preprocessor": "none.json"}, "none.json: cannot be read"),
        ({"outputs": None}, "expected --outputs p2=NAME"),
    ],
)
def test_options_of_the_call_that_make_no_sense_are_refused(folder, options, message):
    given = {"pictures": folder / "photos", "outputs": {"p2": "p2"}, **options}
    with pytest.raises(ValueError, match=message):
        extract(folder / "m.onnx", folder / "boxes.json", folder / "python.h5", **given)
    assert not (folder / "python.h5").exists()


def test_values_of_numpy_are_options_of_the_call(folder):
    options = {"mean": np.array([1, 2, 3]), "std": np.float32(50), "pad_to": np.int64(32), "rescale": np.float64(0.5)}
    given = {"pictures": folder / "photos", "outputs": {"p2": "p2", "p3": "p3", "p4": "p4"}, **options}
    extract(folder / "m.onnx", folder / "boxes.json", folder / "python.h5", **given)
    done = open_crops(folder / "python.h5").parameters["made"]["preprocessing"]
    assert [done[name] for name in options] == [[1, 2, 3], [50, 50, 50], 32, 0.5]


def test_pictures_are_of_no_object(folder):
    class Nothing:
        image_ids, levels, fingerprint, maps = (), (), "", None

    with pytest.raises(UsageError, match="pictures: expected with the file of a model"):
        extract(Nothing(), folder / "boxes.json", folder / "python.h5", pictures=folder / "photos")


def test_what_was_done_is_recorded(folder):
    crops = fused(folder, *RULES["letterbox"])
    run("features", folder / "m.onnx", folder / "photos", "-o", folder / "maps.h5", *OUTPUTS, *RULES["letterbox"])
    with h5py.File(folder / "maps.h5") as file:
        about = json.loads(file.attrs["about"])
        assert tuple(file["2"].attrs["offset"]) == (0, 9)
    made = crops.parameters["made"]
    assert {name: about[name] for name in made} == made
    assert made["preprocessing"]["resize"] == "letterbox=96x96,fill=114"
    assert made["preprocessing"]["mean"] == [1, 2, 3]
    assert crops.sources["pyramid"]["size"] == (folder / "m.onnx").stat().st_size
    assert crops.sources["pictures"]["fingerprint"] == about["pictures"]["fingerprint"]
    assert run("inspect", folder / "fused.h5", folder / "maps.h5").exit_code == 0


def test_nothing_but_the_output_is_written(folder):
    before = set(folder.rglob("*"))
    fused(folder)
    assert set(folder.rglob("*")) - before == {folder / "fused.h5"}


def test_nothing_is_written_below_the_users_folder(folder):
    """Not by ONNX Runtime either."""
    home = folder / "home"
    home.mkdir()
    inputs = (folder / "m.onnx", folder / "boxes.json", "--pictures", folder / "photos", *OUTPUTS)
    command = [sys.executable, "-m", "msroi_cli", "extract", *inputs, "-q", "-o", folder / "crops.h5"]
    kept = {name: value for name, value in os.environ.items() if not name.startswith(("XDG_", "ORT_"))}
    subprocess.run([str(part) for part in command], env={**kept, "HOME": str(home)}, check=True)
    assert list(home.rglob("*")) == []


@pytest.mark.slow
def test_workers_and_shards_give_the_same_crops(folder):
    one = fused(folder, *SPREAD)
    assert np.array_equal(fused(folder, *SPREAD, "--workers", "2", out="workers.h5")[:], one[:])
    args = (folder / "m.onnx", folder / "boxes.json", "--pictures", folder / "photos", *OUTPUTS, *SPREAD)
    for shard in ("1/2", "2/2"):
        assert run("extract", *args, "--shard", shard, "-o", folder / "parts").exit_code == 0
    parts = open_crops(folder / "parts")
    assert np.array_equal(parts[:][np.argsort(parts.box_index)], one[:])


class Counted:
    """A job in this process that counts the pictures that the model ran on."""

    def __init__(self, folder, out, **changes):
        model = ModelOptions(str(folder / "photos"), {name: name for name in ("p2", "p3", "p4")}, changes=changes)
        pool = PoolOptions(canonical_scale=16, canonical_level=1)
        self.request = ExtractRequest(
            str(folder / "m.onnx"), str(folder / "boxes.json"), out, pool, BoxOptions(), resume=True, model=model
        )

    def run(self):
        with prepared(self.request) as job:
            done = []
            run_job(job, done.append)
            return job.pyramid._source.runs, done[0] if done else None


def many(folder, count=60, per_image=200):
    """Pictures enough for a job of some batches."""
    for number in range(100, 100 + count):
        random_picture((40 + number % 7 * 8, 48), number).save(folder / "photos" / f"{number}.png")
    sizes = {str(number): (40 + number % 7 * 8, 48) for number in range(100, 100 + count)}
    write_coco(folder / "boxes.json", sizes, per_image)


@pytest.mark.parametrize("seed", range(3))
@pytest.mark.sampled(3)
def test_killed_at_random_and_resumed_the_model_runs_for_what_was_not_done(folder, seed):
    many(folder)
    whole = fused(folder, *SPREAD)[:]
    out = folder / "killed.h5"
    options = ["--pictures", folder / "photos", *OUTPUTS, *SPREAD, "-q", "--resume", "-o", out]
    command = [sys.executable, "-m", "msroi_cli", "extract", folder / "m.onnx", folder / "boxes.json", *options]
    chance = random.Random(seed)
    journal = out.with_name(f".{out.name}.journal")
    for _ in range(3):
        process = subprocess.Popen([str(part) for part in command], env={**os.environ, "MSROI_NUM_THREADS": "1"})
        started = time.monotonic()
        while process.poll() is None and time.monotonic() - started < 20 and not journal_lines(journal):
            time.sleep(0.005)
        time.sleep(chance.uniform(0, 0.05))
        process.send_signal(signal.SIGKILL)
        process.wait()
        if out.exists():
            break
    runs, done = Counted(folder, out).run()
    images_done = (done or 0) // 200
    assert runs == (60 - images_done if done is not None else 0)
    assert np.array_equal(open_crops(out)[:], whole)


def journal_lines(path):
    try:
        return path.read_bytes().count(b"\n") > 1
    except OSError:
        return False


def test_the_model_runs_once_a_picture_with_boxes(folder):
    many(folder, count=9)
    assert Counted(folder, folder / "c.h5").run()[0] == 9
    assert Counted(folder, folder / "c.h5").run() == (0, None)


def test_features_are_resumed(folder):
    many(folder, count=5)
    from msroi_cli.errors import StoppedError
    from msroi_cli.job.features import FeaturesRequest, make_features

    model = ModelOptions(str(folder / "photos"), {"p3": "p3"})
    done = []
    with pytest.raises(StoppedError, match="stopped with 3 of 8 pictures done; --resume"):
        make_features(
            FeaturesRequest(str(folder / "m.onnx"), model, folder / "f.h5"), done.append, lambda: len(done) > 3
        )
    assert not (folder / "f.h5").exists()
    refused = run("features", folder / "m.onnx", folder / "photos", "--outputs", "p3=p3", "-o", folder / "f.h5")
    assert "--resume continues it, --overwrite starts again" in refused.stderr
    again = make_features(FeaturesRequest(str(folder / "m.onnx"), model, folder / "f.h5", resume=True))
    assert (again.images, again.runs) == (8, 5)
    make_features(FeaturesRequest(str(folder / "m.onnx"), model, folder / "whole.h5"))
    assert (folder / "f.h5").read_bytes() == (folder / "whole.h5").read_bytes()


def test_other_pictures_or_another_preprocessing_are_another_job(folder):
    fused(folder)
    args = ("extract", folder / "m.onnx", folder / "boxes.json", "--pictures", folder / "photos", *OUTPUTS)
    again = run(*args, "-o", folder / "fused.h5", "--resume")
    assert again.exit_code == 0
    assert "complete already" in again.stderr
    other = run(*args, "-o", folder / "fused.h5", "--resume", "--pad-to", "32")
    assert other.exit_code == 2
    assert "cannot resume" in other.stderr
    random_picture(SIZES["9"], 77).save(folder / "photos" / "9.png")
    other = run(*args, "-o", folder / "fused.h5", "--resume")
    assert other.exit_code == 2
    assert "sources pictures" in other.stderr


def test_a_broken_picture_is_named_or_skipped(folder):
    path = folder / "photos" / "9.png"
    path.write_bytes(path.read_bytes()[:3000])
    args = ("extract", folder / "m.onnx", folder / "boxes.json", "--pictures", folder / "photos", *OUTPUTS)
    failed = run(*args, "-o", folder / "c.h5")
    assert failed.exit_code == 3
    assert f"{path}: cannot be read" in failed.stderr
    skipped = run(*args, "-o", folder / "s.h5", "--on-bad-picture", "skip")
    assert skipped.exit_code == 0, skipped.stderr
    assert f"pictures left out: 1: {path}" in skipped.stderr
    assert "12 picture broken" in skipped.stderr
    crops = open_crops(folder / "s.h5")
    assert len(crops) == 24
    filled = run(*args, "-o", folder / "z.h5", "--on-bad-picture", "skip", "--on-bad-box", "zero")
    assert filled.exit_code == 0, filled.stderr
    zeros = open_crops(folder / "z.h5")
    assert np.bincount(zeros.status).tolist() == [24, 0, 12]
    assert not zeros[24:].any()
    made = run(
        "features", folder / "m.onnx", folder / "photos", *OUTPUTS, "-o", folder / "f.h5", "--on-bad-picture", "skip"
    )
    assert made.exit_code == 0
    with h5py.File(folder / "f.h5") as file:
        assert sorted(file) == ["10", "2"]


def test_a_broken_picture_that_comes_first_matters_only_to_its_boxes(folder):
    (folder / "photos" / "1.png").write_text("no picture")
    assert len(fused(folder)) == 36
    entries = json.loads((folder / "boxes.json").read_text())
    entries["images"].append({"id": 1, "width": 9, "height": 9, "file_name": "1.png"})
    entries["annotations"].append({"image_id": 1, "bbox": [0, 0, 9, 9], "category_id": 1})
    (folder / "boxes.json").write_text(json.dumps(entries))
    args = ("extract", folder / "m.onnx", folder / "boxes.json", "--pictures", folder / "photos", *OUTPUTS)
    refused(run(*args, "-o", folder / "c.h5"), 3, r"1\.png: expected a picture, got something else")
    for options in ((), ("--shard", "1/1")):
        out = folder / ("parts" if options else "s.h5")
        result = run(*args, "-o", out, "--on-bad-picture", "skip", *options)
        assert result.exit_code == 0, result.stderr
        assert len(open_crops(out)) == 36


@pytest.mark.parametrize(
    ("size", "hint"), [((90, 120), "turned"), ((240, 180), "the same aspect"), ((120, 60), "another aspect")]
)
def test_a_picture_of_another_size_than_its_entry_is_refused(folder, size, hint):
    random_picture(size).save(folder / "photos" / "9.png")
    for where in ("fused", "two-step"):
        args = (folder / "m.onnx", folder / "boxes.json", "--pictures", folder / "photos", *OUTPUTS)
        if where == "two-step":
            run("features", folder / "m.onnx", folder / "photos", *OUTPUTS, "-o", folder / "maps.h5")
            args = (folder / "maps.h5", folder / "boxes.json", "--box-space", "original")
        result = run("extract", *args, "-o", folder / "c.h5")
        assert result.exit_code == 3, where
        assert (
            f"image '9': expected a picture of 120 x 90 pixels, as the box file says, got '9' of {size[0]} x {size[1]}"
            in result.stderr
        )
        assert hint in result.stderr


@pytest.mark.parametrize("suffix", ["jpg", "png", "webp", "tif"])
@pytest.mark.sampled(2)
def test_pictures_are_turned_as_their_camera_says(folder, suffix):
    """Pictures stored in any orientation are as large as their entries say, and pooled as the upright one."""
    (folder / "turned").mkdir()
    upright = random_picture((48, 32)).resize((96, 64))
    for orientation in ORIENTATIONS:
        save_turned(upright, folder / "turned" / f"{orientation}.{suffix}", orientation)
    write_coco(folder / "boxes.json", {str(orientation): (96, 64) for orientation in ORIENTATIONS}, per_image=1)
    entries = json.loads((folder / "boxes.json").read_text())
    for row in entries["annotations"]:
        row["bbox"] = [10, 20, 60, 30]
    (folder / "boxes.json").write_text(json.dumps(entries))
    crops = extracted(
        *(folder / "c.h5", folder / "m.onnx", folder / "boxes.json", "--pictures", folder / "turned", *OUTPUTS)
    )[:]
    assert len(crops) == 8
    assert suffix == "jpg" or (crops == crops[0]).all()


def test_grey_pictures_of_16_bits_are_refused_or_skipped(folder):
    path = folder / "photos" / "9.png"
    Image.fromarray(np.full((90, 120), 1000, np.uint16)).save(path)
    args = ("extract", folder / "m.onnx", folder / "boxes.json", "--pictures", folder / "photos", *OUTPUTS)
    failed = run(*args, "-o", folder / "c.h5")
    refused(failed, 3, r"9\.png: expected 8 bits a channel, got mode I.* \(convert it first\)$")
    assert list(folder.glob("*c.h5*")) == []
    assert "got mode I" in findings_of(folder, code=3)["picture broken"]["examples"][0]
    skipped = run(*args, "-o", folder / "s.h5", "--on-bad-picture", "skip")
    assert skipped.exit_code == 0, skipped.stderr
    assert f"pictures left out: 1: {path}: expected 8 bits a channel" in skipped.stderr
    assert len(open_crops(folder / "s.h5")) == 24


def test_tokens_of_a_vision_transformer(folder):
    save_vit(folder / "v.onnx", prefix=5)
    options = ("--pictures", folder / "photos", "--resize", "70x42", *SPREAD)
    boxes = folder / "boxes.json"
    tokens = extracted(folder / "t.h5", folder / "v.onnx", boxes, "--outputs", "t=tokens", "--patch", "14", *options)
    last = extracted(folder / "l.h5", folder / "v.onnx", boxes, "--outputs", "t=last", "--layout", "hwc", *options)
    grid = extracted(folder / "g.h5", folder / "v.onnx", boxes, "--outputs", "t=grid", *options)
    assert np.array_equal(tokens[:], grid[:])
    assert np.array_equal(last[:], grid[:])
    assert tokens.parameters["made"]["outputs"]["tokens"] == {"patch": 14, "prefix": 5}
    wrong = run(
        *("extract", folder / "v.onnx", boxes, "-o", folder / "w.h5", "--outputs", "t=tokens", "--patch", "14"),
        *("--prefix-tokens", "1", *options),
    )
    assert wrong.exit_code == 3
    assert "tokens and 1 in front of them" in wrong.stderr


def test_a_preprocessor_config_says_what_is_done(folder):
    config = {"do_resize": True, "size": {"shortest_edge": 64}, "resample": 3, "do_rescale": True, "do_normalize": True}
    config |= {"image_mean": [0.5, 0.4, 0.3], "image_std": [0.2, 0.2, 0.2]}
    (folder / "preprocessor_config.json").write_text(json.dumps(config))
    crops = fused(folder, "--preprocessor", folder / "preprocessor_config.json", "--std", "0.1")
    done = crops.parameters["made"]["preprocessing"]
    assert (done["resize"], done["interpolation"], done["rounding"]) == ("shortest=64", "bicubic", "cut")
    assert (done["mean"], done["std"]) == ([0.5, 0.4, 0.3], [0.1] * 3)
    (folder / "preprocessor_config.json").write_text(json.dumps({**config, "rescale_offset": True}))
    args = ("extract", folder / "m.onnx", folder / "boxes.json", "--pictures", folder / "photos", *OUTPUTS)
    refused = run(*args, "--preprocessor", folder / "preprocessor_config.json", "-o", folder / "c.h5")
    assert refused.exit_code == 3
    assert "preprocessor_config.json: rescale_offset: expected False" in refused.stderr


@pytest.mark.parametrize(
    ("dtype", "options", "message"),
    [
        ("uint8", ("--rescale", "1/255"), "input images: expected uint8 values, so neither --rescale, .* got 0 to 1"),
        ("uint8", ("--mean", "100"), "expected uint8 values.* got -100 to 155"),
        ("uint8", ("--std", "2"), "expected uint8 values.* got 0 to 127.5"),
        ("float16", ("--std", "0.001"), "to give values that float16 has, got 0 to 255000"),
        ("float32", ("--std", "1e-40"), "to give values that float32 has, got 0 to inf"),
        ("float32", ("--mean", "1e300"), "to give values that float32 has, got -inf to -inf"),
    ],
)  # fmt: skip
def test_values_that_the_model_does_not_take_are_refused(folder, dtype, options, message):
    save_fpn(folder / "m.onnx", dtype=dtype)
    args = ("extract", folder / "m.onnx", folder / "boxes.json", "--pictures", folder / "photos", *OUTPUTS)
    result = run(*args, *options, "-o", folder / "c.h5")
    assert result.exit_code == 2, result.stderr
    assert re.search(message, result.stderr)
    assert result.stderr.count("\n") == 1
    assert not (folder / "c.h5").exists()


def test_values_of_a_preprocessor_config_are_no_pixels_of_a_model_of_uint8(folder):
    config = {"do_resize": False, "do_rescale": True, "do_normalize": False}
    (folder / "p.json").write_text(json.dumps(config))
    save_fpn(folder / "m.onnx", dtype="uint8")
    args = ("extract", folder / "m.onnx", folder / "boxes.json", "--pictures", folder / "photos", *OUTPUTS)
    result = run(*args, "--preprocessor", folder / "p.json", "-o", folder / "c.h5")
    assert result.exit_code == 2
    assert "also not of --preprocessor, got 0 to 1" in result.stderr


@pytest.mark.parametrize("dtype", ["uint8", "float16"])
def test_models_of_other_dtypes_give_the_same_crops(folder, dtype):
    wanted = fused(folder)[:]
    save_fpn(folder / "m.onnx", dtype=dtype)
    assert np.array_equal(fused(folder, "--mean", "0", "--std", "1", out="other.h5")[:], wanted)


def test_weights_of_the_model_are_not_overwritten(folder):
    import onnx

    model = onnx.load(str(folder / "m.onnx"))
    onnx.save(model, str(folder / "m.onnx"), save_as_external_data=True, location="weights.h5", size_threshold=0)
    content = (folder / "weights.h5").read_bytes()
    args = ("extract", folder / "m.onnx", folder / "boxes.json", "--pictures", folder / "photos", *OUTPUTS)
    result = run(*args, "-o", folder / "weights.h5", "--overwrite")
    assert result.exit_code == 2, result.stderr
    assert (folder / "weights.h5").read_bytes() == content


def test_inspect_lists_what_could_be_levels(folder):
    save_fpn(folder / "inside.onnx", outputs=("p3",))
    info = json.loads(run("inspect", folder / "inside.onnx", "--json").stdout)
    tensors = {one["name"]: (one["stride"], one["output"]) for one in info["tensors"]}
    assert tensors["p3"] == (8, True)
    assert tensors["p2"] == (4, False)
    assert info["input"] == {"name": "images", "dtype": "float32", "shape": [1, 3, None, None]}
    text = run("inspect", folder / "inside.onnx").stdout
    assert "1x5x32x48" in text
    assert "p2_w" not in text


@pytest.mark.parametrize(
    ("options", "code", "message"),
    [
        (("--pictures", "photos"), 2, "expected --outputs p2=NAME,.*candidates: p2 (1 x 5 x 64 x 96, stride 4)"),
        ((), 2, "m.onnx: expected --pictures PICTURES with a model, got none"),
        (("--pictures", "none", *OUTPUTS), 2, "none: expected a folder of pictures"),
        (("--pictures", "photos", "--outputs", "p2"), 2, "expected LEVEL=NAME"),
        (("--pictures", "photos", "--outputs", "p2=p2,p2=p3"), 2, "expected LEVEL=NAME"),
        (("--pictures", "photos", "--outputs", "p2=q"), 3, "expected a tensor q, got none"),
        (("--pictures", "photos", *OUTPUTS, "--resize", "big"), 2, "expected shortest=800,longest=1333"),
        (("--pictures", "photos", *OUTPUTS, "--rescale", "1/0"), 2, "expected a number such as 0.5 or 1/255"),
        (("--pictures", "photos", *OUTPUTS, "--std", "1,0,1"), 2, "std: expected numbers above 0, got 1, 0, 1"),
        (("--pictures", "photos", *OUTPUTS, "--mean", "nan"), 2, "such as 0.5 or 1/255, got 'nan'"),
        (("--pictures", "photos", "--outputs", "p2=p2,p3=p2"), 2, "a tensor of its own for each level, got p2 twice"),
        (("--pictures", "photos", *OUTPUTS, "--mean", "1,2"), 2, "expected 3 numbers"),
        (("--pictures", "photos", *OUTPUTS, "--providers", "Nothing"), 2, "--providers: expected some of"),
        (("--pictures", "photos", *OUTPUTS, "--patch", "14"), 2, "--patch: expected with an output of tokens"),
        (("--pictures", "photos", *OUTPUTS, "--prefix-tokens", "1"), 2, "--prefix-tokens: expected with --patch"),
        (("--pictures", "photos", *OUTPUTS, "--strides", "4,8"), 2, "--strides: expected 3 values"),
        (("--pictures", "photos", *OUTPUTS, "--strides", "4,8,20"), 3, "stride 20"),
        (("--pictures", "photos", *OUTPUTS, "--levels", "p2"), 2, "expected without a model"),
    ],
)
def test_options_that_do_not_fit_are_refused(folder, monkeypatch, options, code, message):
    monkeypatch.chdir(folder)
    result = run("extract", "m.onnx", "boxes.json", "-o", "c.h5", *options)
    assert result.exit_code == code, result.stderr
    first, _, second = message.partition(".*")
    assert first in result.stderr
    assert second in result.stderr
    assert result.stderr.count("\n") == 1
    assert not (folder / "c.h5").exists()


def test_options_of_models_need_pictures(folder):
    result = run(
        "extract", folder / "maps.h5", folder / "boxes.json", "-o", folder / "c.h5", "--on-bad-picture", "skip"
    )
    assert result.exit_code == 2
    assert "--on-bad-picture: expected with --pictures, got it alone" in result.stderr


def test_a_missing_extra_is_named(folder, monkeypatch):
    monkeypatch.setitem(sys.modules, "onnxruntime", None)
    args = ("extract", folder / "m.onnx", folder / "boxes.json", "--pictures", folder / "photos", *OUTPUTS)
    result = run(*args, "-o", folder / "c.h5")
    assert result.exit_code == 2
    assert "pip install 'msroi[onnx]'" in result.stderr


def test_the_options_of_the_command_are_those_of_the_library():
    assert set(INTERPOLATIONS) == set(preprocessing.INTERPOLATIONS)
    given = dict.fromkeys((*OTHERS, *CHANGES))
    assert model_of(given, "photos") == ModelOptions("photos")


def findings_of(folder, *options, code=0):
    """The findings of `validate`, by check, and whether `extract` agrees."""
    args = (folder / "m.onnx", folder / "boxes.json", "--pictures", folder / "photos", *OUTPUTS, *options)
    result = run("validate", *args, "--json")
    assert result.exit_code == code, (result.stdout, result.stderr)
    made = run("extract", *args, "-o", folder / "validated.h5", "--overwrite")
    assert (made.exit_code == 0) == (code == 0), made.stderr
    return {finding["check"]: finding for finding in json.loads(result.stdout)["findings"]}


@pytest.mark.parametrize("rule", RULES.values(), ids=RULES)
def test_good_pictures_and_boxes_have_no_findings(folder, rule):
    found = findings_of(folder, *rule)
    assert set(found) <= {"beyond the input"}
    assert set(findings_of(folder, *rule, "--images", "2,9")) == set()


def test_validate_says_of_pictures_what_it_says_of_pyramids(folder):
    """Of boxes that are bad, outside, or of other pictures, the same findings as of the two-step pyramid."""
    entries = json.loads((folder / "boxes.json").read_text())
    entries["annotations"][3]["bbox"] = [500, 400, 20, 20]
    entries["annotations"][5]["bbox"] = [5, 5, 0, 20]
    entries["annotations"][14]["bbox"] = [5, 5, -9, 20]
    entries["annotations"][20]["image_id"] = 77
    (folder / "boxes.json").write_text(json.dumps(entries))
    run("features", folder / "m.onnx", folder / "photos", *OUTPUTS, "-o", folder / "maps.h5")
    lines = [
        run("validate", *args, folder / "boxes.json", *options, "--json").stdout
        for args, options in (
            ((folder / "m.onnx",), ("--pictures", folder / "photos", *OUTPUTS)),
            ((folder / "maps.h5",), ("--box-space", "original")),
        )
    ]
    fused, stored = (json.loads(text.replace("m.onnx", "P").replace("maps.h5", "P")) for text in lines)
    assert fused == stored
    checks = {finding["check"] for finding in fused["findings"]}
    assert checks == {"image unknown", "outside the input", "beyond the input", "no area", "x2 < x1"}


def test_validate_finds_pictures_that_cannot_be_read(folder):
    path = folder / "photos" / "9.png"
    path.write_bytes(path.read_bytes()[:3000])
    found = findings_of(folder, code=3)["picture broken"]
    assert (found["fatal"], found["count"], found["of"], found["what"]) == (True, 1, 3, "pictures")
    assert str(path) in found["examples"][0]
    assert "--on-bad-picture skip" in found["advice"]
    assert not findings_of(folder, "--on-bad-picture", "skip")["picture broken"]["fatal"]


def test_validate_finds_a_picture_of_another_size_than_its_entry(folder):
    random_picture((90, 120)).save(folder / "photos" / "9.png")
    assert "turned by its orientation" in findings_of(folder, code=3)["image sizes differ"]["examples"][0]


def test_sizes_that_a_model_does_not_take_are_found_before_it_runs(folder):
    save_fpn(folder / "m.onnx", size=(64, 96))
    found = findings_of(folder, code=3)["levels unfit"]
    assert found["count"] == 3
    assert "2.png: expected 96x64 pixels, the only size that" in found["examples"][0]
    save_vit(folder / "v.onnx")
    result = run(
        *("extract", folder / "v.onnx", folder / "boxes.json", "--pictures", folder / "photos", "--dry-run"),
        *("--outputs", "t=tokens", "--patch", "14", "-o", folder / "t.h5"),
    )
    assert result.exit_code == 3
    assert "2.png: expected an input whose sides are multiples of 14, the patch, got 100 x 80" in result.stderr


def test_validate_refuses_what_extract_refuses_of_a_model(folder):
    for options, message in (
        ((), "expected --pictures PICTURES with a model, got none"),
        (("--pictures", folder / "photos"), "expected --outputs p2=NAME"),
        (("--pictures", folder / "photos", *OUTPUTS, "--levels", "p2"), "expected without a model"),
    ):
        result = run("validate", folder / "m.onnx", folder / "boxes.json", *options)
        assert result.exit_code == 3
        assert message in result.stdout


@pytest.mark.parametrize(("size", "multiple"), [((60, 50), 256), ((1, 1), 32)])
def test_pictures_that_are_padded_a_lot_are_no_contradiction(folder, size, multiple):
    random_picture(size).save(folder / "photos" / "7.png")
    (folder / "boxes.json").write_text(json.dumps({"7": [[0, 0, size[0] + 0.5, size[1] + 0.5]]}))
    pad = ("--pad-to", str(multiple))
    one = fused(folder, *pad, "--strict")
    maps = folder / "maps"
    maps.mkdir()
    made = run("features", folder / "m.onnx", folder / "photos", *OUTPUTS, *pad, "-o", maps / "maps.h5")
    assert made.exit_code == 0, made.stderr
    strict = (folder / "boxes.json", "--box-space", "original", "--strict")
    for number, stored in enumerate((maps / "maps.h5", maps)):
        other = extracted(folder / f"stored{number}.h5", stored, *strict)
        assert np.array_equal(one[:], other[:])
    with h5py.File(maps / "maps.h5", "r+") as file:
        del file.attrs["about"]  # as a file that something else has written
    refused(run("extract", maps, *strict, "-o", folder / "c.h5"), 3, "image sizes contradict the levels")
