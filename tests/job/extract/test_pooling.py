"""Images that are pooled in one call: which they are, and that nobody can tell from the crops."""

from __future__ import annotations

from types import SimpleNamespace

import h5py
import numpy as np
import pytest

from msroi_cli import multi_scale_roi_align
from msroi_cli.io.features import chunks
from msroi_cli.io.features.channels_last import as_map
from msroi_cli.io.features.contiguous import ContiguousMap, RawFile
from msroi_cli.job.extract import pooling
from msroi_cli.job.extract.memory import Budget
from msroi_cli.job.extract.pooling import Pooler, channels_at_once
from tests.builders import (
    SPREAD,
    SPREAD_CALL,
    STRIDES,
    extracted,
    image_maps,
    random_boxes,
    run,
    write_batched,
    write_json,
    write_per_image,
)

SCALES = [1 / stride for stride in STRIDES.values()]
COUNT = 30


@pytest.fixture
def calls(monkeypatch):
    """The number of maps of each call of the kernel."""
    counts = []
    pool = pooling.pool_into

    def counted(out, work, threads, seconds):
        counts.append(len(work.maps))
        pool(out, work, threads, seconds)

    monkeypatch.setattr(pooling, "pool_into", counted)
    return counts


def many_images(count=COUNT, dtype="float32"):
    """Images of a few sizes: {id: {name: (C, H, W)}}."""
    return {f"{n:03}": image_maps(n, dtype, 32 * (1 + n % 3), 32 * (1 + n % 2)) for n in range(count)}


def boxes_of(images, each):
    """Some boxes an image, {id: [box, ...]}, and of some none."""
    boxes = random_boxes(len(images) * each)
    return {key: boxes[n * each : (n + 1) * each].tolist() for n, key in enumerate(images) if n % 7 != 3}


def assert_pooled(crops, images):
    """Asserts that every crop is what its box gives alone."""
    for row, box in enumerate(crops.boxes):
        maps = images[crops.image_ids[crops.image_index[row]]]
        alone = multi_scale_roi_align([maps[name][None] for name in STRIDES], [[0, *box]], SCALES, 7, **SPREAD_CALL)
        np.testing.assert_array_equal(crops[row], alone[0])


@pytest.mark.parametrize("dtype", ["float32", ">f4", "float64"])
@pytest.mark.parametrize("each", [1, 4])
@pytest.mark.sampled(2)
def test_small_images_are_pooled_in_one_call(tmp_path, calls, each, dtype):
    images = many_images(dtype=dtype)
    boxes = write_json(tmp_path / "b.json", boxes_of(images, each))
    crops = extracted(tmp_path / "o.h5", write_per_image(tmp_path / "p.h5", images), boxes, *SPREAD)
    assert_pooled(crops, images)
    assert len(calls) == 1
    assert set(crops.level) == {0, 1, 2}


@pytest.mark.parametrize(("at_once", "small"), [(1, 1 << 20), (4, 1 << 20), (7, 40_000), (256, 0)])
def test_calls_of_any_size_give_the_same(tmp_path, monkeypatch, calls, at_once, small):
    monkeypatch.setattr(pooling, "OPENED_AT_ONCE", at_once)
    monkeypatch.setattr(pooling, "SMALL", small)
    images = many_images()
    boxes = write_json(tmp_path / "b.json", boxes_of(images, 3))
    crops = extracted(tmp_path / "o.h5", write_per_image(tmp_path / "p.h5", images), boxes, *SPREAD)
    assert_pooled(crops, images)
    assert len(calls) >= (COUNT - 4) / at_once


def test_seconds_are_those_of_the_level(tmp_path, monkeypatch):
    """Every map of a call counts for its level."""
    monkeypatch.setattr(pooling, "pool_into", lambda out, work, threads, seconds: seconds.__iadd__(1))
    totals = []
    original = Pooler.pool
    monkeypatch.setattr(Pooler, "pool", lambda self, *rest: (original(self, *rest), totals.append(self.seconds)))
    images = many_images()
    boxes = {key: [[0, 0, 8, 8], [0, 0, 16, 16]] for key in images}
    pyramid = write_per_image(tmp_path / "p.h5", images)
    assert (
        run("extract", pyramid, write_json(tmp_path / "b.json", boxes), "-o", tmp_path / "o.h5", *SPREAD).exit_code == 0
    )
    assert totals[-1].tolist() == [COUNT, COUNT, 0]


def test_chunks_of_several_images_are_decoded_once(tmp_path, monkeypatch):
    decoded, decode = [], chunks.decoded
    monkeypatch.setattr(chunks, "decoded", lambda *given: (decoded.append(1), decode(*given))[1])
    images = [image_maps(n, width=128, height=128) for n in range(11)]
    maps = {name: np.stack([image[name] for image in images]) for name in STRIDES}
    options = {"chunks": (2, 2, 8, 8), "compression": "gzip", "shuffle": True}
    pyramid = write_batched(tmp_path / "p.h5", maps, storage=options)
    rows = [[n, x, x, x + side, x + side] for n in range(11) for x in (1, 60) for side in (8, 16, 64)]
    crops = extracted(tmp_path / "o.h5", pyramid, write_json(tmp_path / "b.json", rows), *SPREAD, "--threads", "2")
    assert_pooled(crops, {str(n): image for n, image in enumerate(images)})
    with h5py.File(pyramid) as file:
        assert len(decoded) <= sum(file[name].id.get_num_chunks() for name in STRIDES)


class FakeMap:
    """As much of a map as the choice of a block looks at."""

    def __init__(self, channel_bytes, at_once):
        self.channel_bytes = channel_bytes
        self.channels_at_once = at_once


@pytest.mark.parametrize(
    ("maps", "block", "channels"),
    [
        ([(100, 1)], 1000, 10),
        ([(100, 4)], 1000, 8),
        ([(100, 16)], 1000, 16),
        ([(60, 4), (40, 6)], 2400, 24),
        ([(60, 4), (40, 6)], 1200, 12),
        ([(60, 4), (40, 6)], 1100, 8),
        ([(40, 6), (60, 4)], 1100, 8),
        ([(100, 1)], 10, 1),
        ([(100, 1)], 1500, 15),
        ([(100, 1)], 1600, 16),
        ([(100, 1)], 4000, 32),
        ([(100, 4)], 3000, 16),
        ([(100, 24)], 7300, 48),
        ([(60, 4), (40, 6)], 6000, 48),
    ],
)
def test_blocks_are_of_channels_that_are_stored_together(maps, block, channels):
    assert channels_at_once([FakeMap(*one) for one in maps], block) == channels


@pytest.mark.parametrize(("layout", "workers"), [("chw", 9), ("hwc", 3)])
def test_workers_have_room_for_what_is_fetched_at_once(layout, workers):
    """All channels of levels that are stored channels last, 125 MB, in place of blocks of 48 MB."""
    stored = ContiguousMap((400, 320, 256), np.dtype("f4"), "", RawFile(0, ""), 0)
    pyramid = SimpleNamespace(
        sequential=False, sample_image=0, levels=[0], sources=lambda wanted: [as_map(stored, layout)] * len(wanted)
    )
    header = SimpleNamespace(shape=(100, 256, 7, 7), dtype=np.dtype("f4"), compression=None)
    budget = Budget.of(1 << 29, header, range(100), SimpleNamespace(output_size=(7, 7)), pyramid)
    assert budget.workers == workers
