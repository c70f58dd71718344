"""The peers: other RoI Aligns, each as a function of a case that gives the call to measure.

They pool level by level and put the crops of a level in their rows of the result, as torchvision's MultiScaleRoIAlign
does; that is part of what is measured. Levels come from msroi, which costs a peer next to nothing. float16 features are
converted to float32 on the way, and the crops back.
"""

from __future__ import annotations

import warnings
from collections.abc import Callable, Container, Iterator
from contextlib import contextmanager
from importlib import import_module
from typing import Any

import numpy as np
from numpy.typing import NDArray

from msroi_cli.bench.cases import COMPAT, Case
from msroi_cli.core.levels import assign_levels
from msroi_cli.model.session import without_telemetry

Call = Callable[[], NDArray[Any]]
LevelCall = Callable[[int, NDArray[np.float32]], NDArray[Any]]


def torchvision_roi_align(case: Case, threads: int) -> Call:
    """torchvision.ops.roi_align, which works on one thread; torch puts the crops in their rows on all of them."""
    torch, ops = _torchvision(case, threads)
    features = [torch.from_numpy(feature) for feature in case.features]
    work = case.workload

    def pool(level: int, rois: NDArray[np.float32]) -> Any:
        boxes = torch.from_numpy(rois)
        return ops.roi_align(features[level].float(), boxes, work.output_size, case.scales[level], work.sampling_ratio)

    def call() -> NDArray[Any]:
        if len(features) == 1:
            return np.asarray(pool(0, case.rois).to(features[0].dtype))
        levels = torch.from_numpy(assign_levels(case.rois, case.scales, compat=COMPAT))
        crops = torch.empty(case.shape, dtype=features[0].dtype)
        for level in range(len(features)):
            rows = torch.where(levels == level)[0]
            if len(rows):
                crops[rows] = pool(level, case.rois[rows.numpy()]).to(crops.dtype)
        return np.asarray(crops)

    return call


def torchvision_module(case: Case, threads: int) -> Call:
    """torchvision.ops.MultiScaleRoIAlign, which finds the levels itself; for one image."""
    torch, ops = _torchvision(case, threads)
    features = {str(level): torch.from_numpy(feature) for level, feature in enumerate(case.features)}
    boxes = [torch.from_numpy(case.rois[:, 1:].copy())]
    work = case.workload
    align = ops.MultiScaleRoIAlign(list(features), work.output_size, work.sampling_ratio)
    return lambda: np.asarray(align(features, boxes, [work.input_size]))


def onnxruntime(case: Case, threads: int) -> Call:
    """A model of one RoiAlign, made with the onnx package; boxes come scaled."""
    without_telemetry()
    runtime = import_module("onnxruntime")
    options = runtime.SessionOptions()
    options.intra_op_num_threads = threads
    # Its threads would go on spinning after a call, in the time of the next contestant.
    options.add_session_config_entry("session.force_spinning_stop", "1")
    model = _onnx_model(case)
    session = runtime.InferenceSession(model, options, providers=["CPUExecutionProvider"])

    def pool(level: int, rois: NDArray[np.float32]) -> NDArray[Any]:
        feeds = {
            "features": case.features[level].astype(np.float32, copy=False),
            "boxes": rois[:, 1:] * np.float32(case.scales[level]),
            "images": rois[:, 0].astype(np.int64),
        }
        crops: NDArray[Any] = session.run(None, feeds)[0]
        return crops

    return _level_by_level(case, pool)


def openvino(case: Case, threads: int) -> Call:
    """A compiled ROIAlign for each level."""
    ov = import_module("openvino")
    ops = import_module("openvino.opset9")
    core, work = ov.Core(), case.workload

    def compiled(level: int) -> Any:
        features = ops.parameter(list(case.features[level].shape), np.float32)
        boxes, images = ops.parameter([-1, 4], np.float32), ops.parameter([-1], np.int32)
        size, scale = work.output_size, case.scales[level]
        node = ops.roi_align(features, boxes, images, size, size, work.sampling_ratio, scale, "avg", "asymmetric")
        settings = {"INFERENCE_NUM_THREADS": threads, "INFERENCE_PRECISION_HINT": "f32"}
        return core.compile_model(ov.Model([node], [features, boxes, images]), "CPU", settings).create_infer_request()

    requests = [compiled(level) for level in range(len(case.features))]

    def pool(level: int, rois: NDArray[np.float32]) -> NDArray[Any]:
        features = case.features[level].astype(np.float32, copy=False)
        inputs = [features, rois[:, 1:].copy(), rois[:, 0].astype(np.int32)]
        result = requests[level].infer(inputs, share_inputs=True, share_outputs=True)
        crops: NDArray[Any] = result[0]
        return crops

    return _level_by_level(case, pool)


PEERS: dict[str, Callable[[Case, int], Call]] = {
    "torchvision": torchvision_roi_align,
    "onnxruntime": onnxruntime,
    "openvino": openvino,
}
MODULE = "MultiScaleRoIAlign"


def peers_for(case: Case, without: Container[str]) -> dict[str, Callable[[Case, int], Call]]:
    """The peers that a case is measured with, but for those in `without`."""
    peers = {name: peer for name, peer in PEERS.items() if name not in without}
    if case.workload.module and "torchvision" in peers:
        peers[MODULE] = torchvision_module
    return peers


def absent() -> dict[str, str]:
    """The peers that cannot be imported, and why."""
    return {name: why for name, modules in _NEEDED.items() if (why := _why_absent(modules))}


# As torchvision_cpu loads torchvision where torch was built for the CPU only, it is tried first.
_NEEDED: dict[str, tuple[str, ...]] = {
    "torchvision": ("torch", "torchvision.ops"),
    "onnxruntime": ("onnxruntime", "onnx"),
    "openvino": ("openvino", "openvino.opset9"),
}


def _why_absent(modules: tuple[str, ...]) -> str:
    try:
        without_telemetry()
        with quietly():
            if modules[0] == "torch":
                _import_if_there("torchvision_cpu")
            for module in modules:
                import_module(module)
    except (ImportError, OSError, RuntimeError) as error:
        return " ".join(str(error).split()) or type(error).__name__
    return ""


def _import_if_there(name: str) -> None:
    try:
        import_module(name)
    except ModuleNotFoundError as error:
        if error.name != name:
            raise


@contextmanager
def quietly() -> Iterator[None]:
    """Hides the warnings of the peers."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        yield


def _torchvision(case: Case, threads: int) -> tuple[Any, Any]:
    """torch and torchvision.ops. To wake OpenMP's threads would cost a small call more than they can do for it."""
    torch = import_module("torch")
    torch.set_num_threads(1 if case.workload.module else threads)
    return torch, import_module("torchvision.ops")


def _level_by_level(case: Case, pool: LevelCall) -> Call:
    def call() -> NDArray[Any]:
        if len(case.features) == 1:
            return pool(0, case.rois).astype(case.features[0].dtype, copy=False)
        levels = assign_levels(case.rois, case.scales, compat=COMPAT)
        crops = np.empty(case.shape, case.features[0].dtype)
        for level in range(len(case.features)):
            rows = np.flatnonzero(levels == level)
            if rows.size:
                crops[rows] = pool(level, case.rois[rows])
        return crops

    return call


def _onnx_model(case: Case) -> bytes:
    onnx = import_module("onnx")
    helper, kind = onnx.helper, onnx.TensorProto
    size = case.workload.output_size
    node = helper.make_node(
        "RoiAlign",
        ["features", "boxes", "images"],
        ["crops"],
        coordinate_transformation_mode="output_half_pixel",
        output_height=size,
        output_width=size,
        sampling_ratio=case.workload.sampling_ratio,
        spatial_scale=1.0,
    )
    inputs = [
        helper.make_tensor_value_info("features", kind.FLOAT, [None, None, None, None]),
        helper.make_tensor_value_info("boxes", kind.FLOAT, [None, 4]),
        helper.make_tensor_value_info("images", kind.INT64, [None]),
    ]
    outputs = [helper.make_tensor_value_info("crops", kind.FLOAT, [None, None, size, size])]
    graph = helper.make_graph([node], "roi_align", inputs, outputs)
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 16)], ir_version=8)
    data: bytes = model.SerializeToString()
    return data
