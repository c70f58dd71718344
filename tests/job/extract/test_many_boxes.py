"""Very many boxes: how much memory one takes, and that they are the same piece by piece as all at once."""

from __future__ import annotations

import subprocess
import sys
import tracemalloc

import h5py
import numpy as np
import pytest

import msroi_cli
from msroi_cli.core import arrays
from msroi_cli.io import memory
from msroi_cli.job.validate.plausibility import _spread
from tests.builders import IDS, batch_maps, extracted, run, write_batched

FACTORS, SIZES, OFFSETS = [(1.3, 1.1), (0.7, 1), (1, 3)], [(70, 50), (96, 64), (40, 20)], [(3, 0), (0, 5.5), (1, 1)]


def write_boxes(path, boxes, image, dtype="f4", **columns):
    with h5py.File(path, "w") as file:
        file["boxes"], file["image_index"] = boxes.astype(dtype), image
        for name, values in columns.items():
            file[name] = values
    return path


def random_boxes(count, width=70, height=50):
    rng = np.random.default_rng(0)
    low, side = rng.uniform(0, (width, height), (count, 2)), rng.uniform(0, 30, (count, 2))
    return np.hstack([low, low + side]).astype(np.float32), rng.integers(0, 3, count)


@pytest.mark.slow
@pytest.mark.parametrize("box_format", ["xyxy", "xywh"])
@pytest.mark.parametrize("in_order", [True, False])
def test_memory_of_a_box(tmp_path, in_order, box_format):
    """What is read, joined and planned takes 60 bytes a box: 16 of it, 8 each of its image, two columns and order."""
    count, pyramid = 1_000_000, write_batched(tmp_path / "maps.h5", batch_maps())
    boxes, image = random_boxes(count)
    image = np.sort(image) if in_order else image
    files = [
        write_boxes(tmp_path / f"{some}.h5", boxes[:some], image[:some], score=image[:some], labels=image[:some])
        for some in (10, count)
    ]
    peaks = []
    for path in files:
        options = ("--box-format", box_format, "--dry-run", "-q")
        tracemalloc.start()
        result = run("extract", pyramid, path, "-o", tmp_path / "o.h5", *options)
        peaks.append(tracemalloc.get_traced_memory()[1])
        tracemalloc.stop()
        assert result.exit_code == 0, result.stderr
    # Beside them what is worked on at once.
    own = 60 + 16 * (box_format != "xyxy") + 24 * (not in_order)
    assert peaks[1] - peaks[0] < own * count + 200 * arrays.AT_ONCE


PEAK = "import sys; from msroi_cli.cli import main; main(sys.argv[1:], standalone_mode=False); "
PEAK += "print(open('/proc/self/status').read().split('VmHWM:')[1].split()[0])"


def peak_bytes(*arguments):
    """The most memory that a process of its own has of the system while it runs a command."""
    found = subprocess.run(
        [sys.executable, "-c", PEAK, *map(str, arguments)], capture_output=True, text=True, check=True
    )
    return int(found.stdout.split()[-1]) * 1024


@pytest.mark.slow
@pytest.mark.skipif(
    not memory.NATIVE or sys.platform != "linux", reason="memory is given back by the extension, on Linux"
)
@pytest.mark.parametrize("kind", ["json", "csv"])
def test_memory_of_a_box_in_a_text(tmp_path, kind):
    """62 bytes a box: 32 of the numbers in the file, 4 of its image, 16 of two columns, and what is found about it."""
    count, pyramid = 1_000_000, write_batched(tmp_path / "maps.h5", batch_maps(), ids=["0", "1", "2"])
    boxes, _ = random_boxes(1000)
    row = {
        "json": '{{"image_id": {}, "bbox": [{:.2f}, {:.2f}, {:.2f}, {:.2f}], "score": 0.25, "category_id": 3}},\n',
        "csv": "{},{:.2f},{:.2f},{:.2f},{:.2f},0.25,3\n",
    }[kind]
    some = "".join(row.format(number % 3, *box) for number, box in enumerate(boxes.tolist()))
    peaks = []
    for times in (1, count // 1000):
        path = tmp_path / f"{times}.{kind}"
        text = some * times
        path.write_text(f"[{text[:-2]}]" if kind == "json" else f"image_id,x1,y1,x2,y2,score,category_id\n{text}")
        form = ("--box-format", "xyxy")
        peaks.append(peak_bytes("extract", pyramid, path, "-o", tmp_path / "o.h5", *form, "--dry-run", "-q"))
    # Beside them a piece of the text, and what is worked on at once.
    assert peaks[1] - peaks[0] < 62 * count + (16 << 20)


@pytest.mark.parametrize("normalized", [False, True], ids=["pixels", "fractions"])
@pytest.mark.parametrize("box_format", ["xyxy", "cxcywh"])
@pytest.mark.sampled(2)
def test_piece_by_piece(tmp_path, monkeypatch, normalized, box_format):
    beside = {"scale_factors": FACTORS, "image_sizes": SIZES, "offsets": OFFSETS}
    pyramid = write_batched(tmp_path / "maps.h5", ids=IDS, **beside)
    boxes, image = random_boxes(50)
    image[7:9] = 17
    boxes[20] = -0.0
    boxes[21, 0] = np.nan
    boxes = boxes / 70 if normalized else boxes
    options = ["--box-space", "original", "--box-format", box_format, "--on-unknown-image", "skip"]
    options += ["--on-bad-box", "zero", "--image-key", "index", *["--normalized"] * normalized]
    found = []
    for at_once in (arrays.AT_ONCE, 3):
        monkeypatch.setattr(arrays, "AT_ONCE", at_once)
        for dtype in ("f4", "f8"):
            path = write_boxes(tmp_path / f"{dtype}.h5", boxes.astype(np.float32), image, dtype)
            with extracted(tmp_path / "o.h5", pyramid, path, *options, "--overwrite") as crops:
                found.append([crops[:].tobytes(), crops.boxes.tobytes(), crops.level.tobytes(), crops.status.tobytes()])
    assert found.count(found[0]) == len(found)
    with msroi_cli.open_crops(tmp_path / "o.h5") as crops:
        np.testing.assert_array_equal(crops.status[7:9], 2)
        assert crops.status[21] == 1
        own = np.array(FACTORS)[image[0]] * (np.array(SIZES)[image[0]] if normalized else 1)
        x, y, width, height = boxes[0].astype(np.float64)
        if box_format == "xyxy":
            width, height = width - x, height - y
            x, y = x + width / 2, y + height / 2
        corners = np.array([x - width / 2, y - height / 2, x + width / 2, y + height / 2])
        np.testing.assert_allclose(crops.boxes[0], corners * np.tile(own, 2) + np.tile(OFFSETS[image[0]], 2), rtol=1e-5)


@pytest.mark.parametrize("low", [0, -2, 40])
def test_numbers_of_images_as_ids(tmp_path, low):
    """Looked up in a table if they are no larger than there are boxes, sorted otherwise."""
    ids = [str(low + number) for number in (5, 0, 3)]
    pyramid = write_batched(tmp_path / "maps.h5", ids=ids)
    boxes, _ = random_boxes(12)
    numbers = low + np.array([3, 5, 0, 4] * 3)
    path = write_boxes(tmp_path / "boxes.h5", boxes, numbers)
    options = ("--image-key", "id", "--on-unknown-image", "skip", "--on-bad-box", "nan")
    with extracted(tmp_path / "o.h5", pyramid, path, *options) as crops:
        names = [None if index < 0 else crops.image_ids[index] for index in crops.image_index.tolist()]
    assert names == [None if number == low + 4 else str(number) for number in numbers.tolist()]


@pytest.mark.parametrize("step", [1, 3, 8])
def test_rows_spread_over_all(monkeypatch, step):
    known = np.random.default_rng(0).random(100) < 0.6
    monkeypatch.setattr(arrays, "AT_ONCE", 7)
    assert _spread(known, step).tolist() == np.flatnonzero(known)[::step].tolist()
