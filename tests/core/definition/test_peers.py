"""Presets against the frameworks themselves: torchvision and onnxruntime, where they are installed (extra `peers`)."""

from __future__ import annotations

import importlib
from collections import OrderedDict

import numpy as np
import pytest

from msroi_cli import multi_scale_roi_align
from tests.peers import torchvision_ops

CASES, PER_TEST = 2400, 100
# Of the largest feature. Ours has positions in float32 for float64 features too, so those are held against float32.
TOLERANCE = 1e-5


def framework(*names):
    """The last of some modules, all imported; skips the test where one is missing or does not load."""
    try:
        return [importlib.import_module(name) for name in names][-1]
    except (ImportError, OSError, RuntimeError) as error:
        pytest.skip(f"{names[-1]}: {error}")


def torchvision():
    """torchvision's operators; skips the test where they are missing or do not load."""
    return torchvision_ops() or pytest.skip("torchvision is not installed, or does not load")


def some_boxes(rng, count, width, height):
    """Boxes of all sizes and shapes, some without area, some outside, some of whole numbers."""
    sides = np.exp(rng.uniform(np.log(0.3), np.log(2 * max(width, height)), (count, 2)))
    corners = rng.uniform(-0.3, 1.1, (count, 2)) * (width, height)
    boxes = np.concatenate([corners, corners + sides], axis=1)
    kind = rng.integers(0, 6, count)
    boxes[kind == 0] = np.round(boxes[kind == 0])
    boxes[kind == 1, 2] = boxes[kind == 1, 0]
    boxes[kind == 2] = np.round(boxes[kind == 2] / 16) * 16
    return boxes.astype(np.float32)


def some_maps(rng, images, channels, sizes, dtype):
    return [
        (rng.standard_normal((images, channels, *size)) * rng.choice([1e-3, 1, 1e3])).astype(dtype) for size in sizes
    ]


def assert_close(got, expected, maps):
    scale = max([float(np.abs(array).max(initial=0)) for array in maps] + [1e-30])
    assert got.shape == expected.shape
    assert np.abs(got - expected).max(initial=0) <= TOLERANCE * scale


@pytest.mark.parametrize("part", range(CASES // 3 // PER_TEST))
def test_multi_scale_against_torchvision(part):
    ops = torchvision()
    torch = framework("torch")
    for case in range(PER_TEST):
        rng = np.random.default_rng([1, part, case])
        levels, images = int(rng.integers(1, 5)), int(rng.integers(1, 4))
        coarsest = 4 << (levels - 1)
        height, width = (int(side) * coarsest for side in rng.integers(1, 9, 2))
        dtype = str(rng.choice(["float32", "float64"]))
        sizes = [(height >> level + 2, width >> level + 2) for level in range(levels)]
        maps = some_maps(rng, images, int(rng.integers(1, 5)), sizes, dtype)
        boxes = [some_boxes(rng, int(rng.integers(0, 9)), width, height) for _ in range(images)]
        output_size = tuple(int(side) for side in rng.integers(1, 9, 2))
        ratio = int(rng.choice([-1, 0, 1, 2, 3]))
        canonical = {"canonical_scale": int(rng.choice([224, 32, 100])), "canonical_level": int(rng.integers(2, 6))}
        pooler = ops.MultiScaleRoIAlign([str(level) for level in range(levels)], list(output_size), ratio, **canonical)
        tensors = OrderedDict((str(level), torch.from_numpy(array).float()) for level, array in enumerate(maps))
        expected = pooler(tensors, list(map(torch.from_numpy, boxes)), [(height, width)] * images)
        rois = np.concatenate([np.column_stack([np.full(len(some), index), some]) for index, some in enumerate(boxes)])
        scales = [1 / (4 << level) for level in range(levels)]
        got = multi_scale_roi_align(maps, rois, scales, output_size, ratio, compat="torchvision", **canonical)
        assert_close(got, expected.numpy(), maps)


@pytest.mark.parametrize("part", range(CASES // 3 // PER_TEST))
def test_one_level_against_torchvision(part):
    ops = torchvision()
    torch = framework("torch")
    for case in range(PER_TEST):
        rng = np.random.default_rng([2, part, case])
        height, width = (int(side) for side in rng.integers(1, 40, 2))
        scale = float(rng.choice([1.0, 0.25, 1 / 3, 2.0, 0.0625]))
        maps = some_maps(rng, 2, int(rng.integers(1, 5)), [(height, width)], "float32")
        boxes = some_boxes(rng, int(rng.integers(0, 12)), width / scale, height / scale)
        rois = np.column_stack([rng.integers(0, 2, len(boxes)), boxes]).astype(np.float32)
        size, ratio = tuple(int(side) for side in rng.integers(1, 9, 2)), int(rng.choice([-1, 0, 1, 2, 5]))
        aligned = bool(rng.integers(0, 2))
        expected = ops.roi_align(torch.from_numpy(maps[0]), torch.from_numpy(rois), size, scale, ratio, aligned)
        got = multi_scale_roi_align(maps, rois, [scale], size, ratio, aligned=aligned)
        assert_close(got, expected.numpy(), maps)


def onnx_session(size, ratio, scale, aligned):
    """A model of one RoiAlign."""
    onnx, runtime = framework("onnx"), framework("onnxruntime")
    helper, real = framework("onnx.helper"), onnx.TensorProto.FLOAT
    node = helper.make_node(
        "RoiAlign",
        ["x", "rois", "index"],
        ["y"],
        output_height=size[0],
        output_width=size[1],
        sampling_ratio=max(ratio, 0),
        spatial_scale=scale,
        mode="avg",
        coordinate_transformation_mode="half_pixel" if aligned else "output_half_pixel",
    )
    inputs = [
        helper.make_tensor_value_info("x", real, [None, None, None, None]),
        helper.make_tensor_value_info("rois", real, [None, 4]),
        helper.make_tensor_value_info("index", onnx.TensorProto.INT64, [None]),
    ]
    outputs = [helper.make_tensor_value_info("y", real, [None, None, None, None])]
    graph = helper.make_graph([node], "pool", inputs, outputs)
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 16)], ir_version=8)
    options = runtime.SessionOptions()
    options.intra_op_num_threads = 1
    return runtime.InferenceSession(model.SerializeToString(), options, providers=["CPUExecutionProvider"])


@pytest.mark.parametrize("part", range(CASES // 3 // PER_TEST))
@pytest.mark.sampled(4)
def test_one_level_against_onnxruntime(part):
    framework("onnxruntime")
    for case in range(PER_TEST):
        rng = np.random.default_rng([3, part, case])
        height, width = (int(side) for side in rng.integers(1, 40, 2))
        scale = float(rng.choice([1.0, 0.25, 2.0, 0.0625]))
        maps = some_maps(rng, 2, int(rng.integers(1, 5)), [(height, width)], "float32")
        boxes = some_boxes(rng, int(rng.integers(1, 12)), width / scale, height / scale)
        index = rng.integers(0, 2, len(boxes))
        size, ratio = tuple(int(side) for side in rng.integers(1, 9, 2)), int(rng.choice([-1, 0, 1, 2, 5]))
        aligned = bool(rng.integers(0, 2))
        session = onnx_session(size, ratio, scale, aligned)
        expected = session.run(None, {"x": maps[0], "rois": boxes, "index": index})[0]
        rois = np.column_stack([index, boxes]).astype(np.float32)
        got = multi_scale_roi_align(maps, rois, [scale], size, ratio, aligned=aligned)
        assert_close(got, expected, maps)


def test_torchvision_takes_the_scale_from_the_height_alone():
    ops, torch = torchvision(), framework("torch")
    # 4 cells for 16 pixels of height, but 8 for 16 of width.
    maps = [np.arange(32, dtype=np.float32).reshape(1, 1, 4, 8)]
    box = np.array([[2, 2, 14, 14]], np.float32)
    pooler = ops.MultiScaleRoIAlign(["0"], 2, 2)
    theirs = pooler(OrderedDict({"0": torch.from_numpy(maps[0])}), [torch.from_numpy(box)], [(16, 16)]).numpy()
    rois = np.column_stack([[0], box])
    wrong = multi_scale_roi_align(maps, rois, [1 / 4], 2, 2)
    right = multi_scale_roi_align(maps, rois, [(1 / 4, 1 / 2)], 2, 2)
    np.testing.assert_allclose(theirs, wrong, rtol=1e-6)
    assert np.abs(theirs - right).max() > 1


def test_torchvision_pools_inverted_boxes_and_we_refuse_them():
    ops, torch = torchvision(), framework("torch")
    maps = np.ones((1, 1, 8, 8), np.float32)
    rois = np.array([[0, 6, 6, 1, 1]], np.float32)
    theirs = ops.roi_align(torch.from_numpy(maps), torch.from_numpy(rois), 2, 1.0, 0, True).numpy()
    assert not theirs.any()
    with pytest.raises(ValueError, match="x2 < x1"):
        multi_scale_roi_align([maps], rois, [1.0], 2, 0, aligned=True)
