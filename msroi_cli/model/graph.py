"""The graph of an ONNX model: tensors inside it that could be levels, and how they become outputs."""

from __future__ import annotations

import difflib
import importlib
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from msroi_cli.errors import InputError, UsageError

Shape = tuple[int, ...]


def promoted(path: Path, names: Sequence[str]) -> bytes:
    """The model with the tensors `names` as further outputs; raises InputError for a name that it lacks.

    Weights that lie in files of their own stay there.
    """
    onnx = _onnx(path, f"to read {', '.join(names)}, which the model does not give as outputs")
    model = _loaded(onnx, path)
    known = _tensor_names(model)
    for name in names:
        if name not in known:
            close = difflib.get_close_matches(name, known, 3, 0.3)
            hint = f" (similar: {', '.join(close)})" if close else ""
            raise InputError(
                f"{path}: expected a tensor {name}, got none of that name{hint}; `msroi inspect` lists them"
            )
        model.graph.output.append(onnx.helper.make_empty_tensor_value_info(name))
    content: bytes = model.SerializeToString()
    return content


def internal_maps(path: Path, size: tuple[int, int]) -> dict[str, Shape]:
    """The tensors (1, C, H, W) inside the graph by name, for an input of `size` (width, height), in their order.

    Of tensors that follow one another with one shape, only the last. Empty without the package onnx, and of tensors
    whose shapes cannot be inferred. Raises InputError.
    """
    try:
        onnx = _onnx(path, "")
    except UsageError:
        return {}
    model = _loaded(onnx, path)
    dims = _picture_input(model).type.tensor_type.shape.dim
    for dim, side in zip(dims, (1, 3, size[1], size[0]), strict=False):
        dim.dim_value = side
    del model.graph.value_info[:]
    inferred = onnx.shape_inference.infer_shapes(model)
    shapes = {info.name: _shape(info) for info in inferred.graph.value_info}
    found: dict[str, Shape] = {}
    for node in model.graph.node:
        for name in node.output:
            shape = shapes.get(name, ())
            if len(shape) == 4 and min(shape) > 0:
                if found and next(reversed(found.values())) == shape:
                    found.popitem()
                found[name] = shape
    return found


def _tensor_names(model: Any) -> list[str]:
    return [name for node in model.graph.node for name in node.output if name]


def _picture_input(model: Any) -> Any:
    weights = {initializer.name for initializer in model.graph.initializer}
    return next(one for one in model.graph.input if one.name not in weights)


def _shape(info: Any) -> Shape:
    return tuple(dim.dim_value for dim in info.type.tensor_type.shape.dim)


def _loaded(onnx: Any, path: Path) -> Any:
    damaged = importlib.import_module("google.protobuf.message").DecodeError
    try:
        return onnx.load(str(path), load_external_data=False)
    except (damaged, OSError, ValueError) as error:
        raise InputError(f"{path}: expected an ONNX model, got: {' '.join(str(error).split())[:200]}") from error


def _onnx(path: Path, purpose: str) -> Any:
    try:
        onnx = importlib.import_module("onnx")
        importlib.import_module("onnx.shape_inference")
    except ImportError as error:
        raise UsageError(f"{path}: expected the package onnx {purpose}: pip install 'msroi[onnx]'") from error
    return onnx
