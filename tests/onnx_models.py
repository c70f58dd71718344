"""Tiny ONNX models with random weights: a feature pyramid, a vision transformer, and what is wrong with some."""

from __future__ import annotations

import numpy as np

STRIDES = (4, 8, 16)


def save_fpn(
    path,
    *,
    channels=5,
    size=None,
    outputs=("p2", "p3", "p4"),
    seed=0,
    last_channels=None,
    widths=(4, 6, 8, 8),
    dtype="float32",
):
    """A backbone of strided convolutions with ReLU and a pyramid on it: outputs of strides 4, 8 and 16.

    size: a fixed (height, width) of the input. outputs: those of the tensors p2, p3, p4 that the graph gives. widths:
    channels of the backbone's steps. dtype: of the input, float32, float16 or uint8, which is cast.
    """
    from onnx import TensorProto, helper

    rng = np.random.default_rng(seed)
    nodes, weights = [], []

    def conv(source, target, inside, outside, kernel, stride):
        pad = kernel // 2
        values = rng.standard_normal((outside, inside, kernel, kernel)).astype(np.float32) / kernel
        weights.append(_tensor(f"{target}_w", values))
        nodes.append(
            helper.make_node(
                "Conv",
                [source, f"{target}_w"],
                [target],
                strides=[stride] * 2,
                pads=[pad] * 4,
                kernel_shape=[kernel] * 2,
            )
        )

    widths = dict(zip(("c1", "c2", "c3", "c4"), widths, strict=True))
    source, inside = "images", 3
    if dtype != "float32":
        nodes.append(helper.make_node("Cast", [source], ["cast"], to=TensorProto.FLOAT))
        source = "cast"
    for name, width in widths.items():
        conv(source, f"{name}_raw", inside, width, 3, 2)
        nodes.append(helper.make_node("Relu", [f"{name}_raw"], [name]))
        source, inside = name, width
    for level in (2, 3, 4):
        wide = last_channels if last_channels and level == 4 else channels
        conv(f"c{level}", f"p{level}", widths[f"c{level}"], wide, 1, 1)
    height, width = size or ("height", "width")
    element = helper.np_dtype_to_tensor_dtype(np.dtype(dtype))
    picture = helper.make_tensor_value_info("images", element, [1, 3, height, width])
    given = [helper.make_tensor_value_info(name, TensorProto.FLOAT, [1, None, None, None]) for name in outputs]
    return _save(path, nodes, [picture], given, weights)


def save_vit(path, *, patch=14, prefix=1, channels=6, seed=0):
    """Patches to tokens (1, prefix + h * w, C): a strided convolution, flattened, with constant tokens in front."""
    from onnx import TensorProto, helper

    rng = np.random.default_rng(seed)
    weights = [
        _tensor("w", rng.standard_normal((channels, 3, patch, patch)).astype(np.float32) / patch),
        _tensor("flat", np.array([1, channels, -1], np.int64)),
        _tensor("front", rng.standard_normal((1, prefix, channels)).astype(np.float32)),
    ]
    nodes = [
        helper.make_node("Conv", ["images", "w"], ["grid"], strides=[patch] * 2, kernel_shape=[patch] * 2),
        helper.make_node("Reshape", ["grid", "flat"], ["flattened"]),
        helper.make_node("Transpose", ["flattened"], ["patches"], perm=[0, 2, 1]),
        helper.make_node("Concat", ["front", "patches"], ["tokens"], axis=1),
        helper.make_node("Transpose", ["grid"], ["last"], perm=[0, 2, 3, 1]),
    ]
    picture = helper.make_tensor_value_info("images", TensorProto.FLOAT, [1, 3, "height", "width"])
    ranks = {"tokens": 3, "last": 4}
    given = [helper.make_tensor_value_info(name, TensorProto.FLOAT, [None] * rank) for name, rank in ranks.items()]
    return _save(path, nodes, [picture], given, weights)


def _tensor(name, values):
    from onnx import numpy_helper

    return numpy_helper.from_array(values, name)


def _save(path, nodes, inputs, outputs, weights):
    import onnx
    from onnx import helper

    graph = helper.make_graph(nodes, "tiny", inputs, outputs, weights)
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)])
    model.ir_version = 8
    onnx.checker.check_model(model)
    onnx.save(model, str(path))
    return path
