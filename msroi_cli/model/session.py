"""An ONNX model, run by ONNX Runtime: one picture in, some of its tensors out."""

from __future__ import annotations

import hashlib
import importlib
import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from msroi_cli.errors import InputError, RunError, UsageError
from msroi_cli.io.features.layouts import Size
from msroi_cli.io.files.location import Source
from msroi_cli.model.graph import promoted
from msroi_cli.model.weights import files_of_weights

INPUT_TYPES = {"tensor(float)": np.float32, "tensor(float16)": np.float16, "tensor(uint8)": np.uint8}

# What ONNX Runtime raises; its exceptions have no base of their own.
ERRORS = (
    *("Fail", "InvalidArgument", "InvalidGraph", "InvalidProtobuf", "NoSuchFile", "NoModel", "NotImplemented"),
    *("RuntimeException", "EPFail", "EngineError", "ModelLoaded"),
)

NO_TELEMETRY = "ORT_DISABLE_TELEMETRY"
SPINNING = "session.intra_op.allow_spinning"
EXTERNAL_FOLDER = "session.model_external_initializers_file_folder_path"


@dataclass(frozen=True, slots=True)
class Device:
    """Where a model runs: threads, and execution providers as ONNX Runtime names them (None: its default)."""

    threads: int = 1
    providers: Sequence[str] | None = None


@dataclass(frozen=True, slots=True)
class ModelInput:
    """The one input: its name, dtype and shape (N, 3, H, W), None for sides that vary."""

    name: str
    dtype: np.dtype[Any]
    shape: tuple[int | None, ...]

    @property
    def size(self) -> tuple[int | None, int | None]:
        """(width, height), None where any will do."""
        return self.shape[3], self.shape[2]


class OnnxModel:
    """A model that is loaded. outputs: the names of the tensors that `run` gives; none: those of the graph."""

    def __init__(self, path: Path, outputs: Sequence[str] = (), device: Device | None = None) -> None:
        """Loads a model; raises InputError for what is no usable model, UsageError where a package is missing."""
        self.path = path
        self.source, self.files = _source(path)
        self._runtime = _runtime(path)
        self._errors = _errors(self._runtime)
        self._device = device or Device()
        self._session = self._load(str(path), None)
        self.graph_outputs = [output.name for output in self._session.get_outputs()]
        self.outputs = list(outputs) or self.graph_outputs
        internal = [name for name in self.outputs if name not in self.graph_outputs]
        if internal:
            self._session = self._load(promoted(path, internal), path.parent)
        self.input = self._the_input()

    def _load(self, model: str | bytes, folder: Path | None) -> Any:
        options = self._runtime.SessionOptions()
        options.intra_op_num_threads = self._device.threads
        options.inter_op_num_threads = 1
        options.log_severity_level = 4  # What it would log of an error is in the error.
        # A pattern is kept for each size of pictures, as large as all it takes: memory grows with the sizes.
        options.enable_mem_pattern = False
        # Threads of the model that spin while they wait take the processors from the reading and the pooling.
        options.add_session_config_entry(SPINNING, "0")
        if folder is not None:
            options.add_session_config_entry(EXTERNAL_FOLDER, str(folder.resolve()))
        available = self._runtime.get_available_providers()
        providers = list(self._device.providers or ["CPUExecutionProvider"])
        for name in providers:
            if name not in available:
                raise UsageError(f"--providers: expected some of {', '.join(available)}, got {name}")
        try:
            return self._runtime.InferenceSession(model, options, providers=providers)
        except self._errors as error:
            raise InputError(f"{self.path}: expected a model that ONNX Runtime can load: {_line(error)}") from error

    def _the_input(self) -> ModelInput:
        inputs = self._session.get_inputs()
        if len(inputs) != 1:
            names = ", ".join(one.name for one in inputs) or "none"
            raise InputError(f"{self.path}: expected a model with one input, a picture, got {names}")
        shape = tuple(side if isinstance(side, int) and side > 0 else None for side in inputs[0].shape)
        where = f"{self.path}: input {inputs[0].name}"
        if len(shape) == 4 and shape[1] != 3 and shape[3] == 3:
            raise InputError(
                f"{where}: expected channels first, (1, 3, H, W), got channels last, {tuple(inputs[0].shape)}; "
                "export the model with channels first"
            )
        if len(shape) != 4 or shape[1] not in (3, None) or shape[0] not in (1, None):
            raise InputError(f"{where}: expected (1, 3, H, W), got {tuple(inputs[0].shape)}")
        if inputs[0].type not in INPUT_TYPES:
            raise InputError(f"{where}: expected {', '.join(INPUT_TYPES)}, got {inputs[0].type}")
        return ModelInput(inputs[0].name, np.dtype(INPUT_TYPES[inputs[0].type]), shape)

    def check_size(self, size: Size, where: str) -> None:
        """Raises InputError for an input of (width, height) that the model does not take."""
        width, height = (fixed or side for fixed, side in zip(self.input.size, size, strict=True))
        if (width, height) != size:
            raise InputError(
                f"{where}: expected {width}x{height} pixels, the only size that {self.path} takes, got "
                f"{size[0]}x{size[1]} (--resize {width}x{height}, or --resize letterbox={width}x{height})"
            )

    def check_values(self, values: NDArray[Any]) -> None:
        """Raises UsageError if the model's dtype is too small for some of the values that pixels may have."""
        where = f"{self.path}: input {self.input.name}"
        if values.dtype.kind == "f" and self.input.dtype.kind != "f":
            raise UsageError(
                f"{where}: expected {self.input.dtype} values, so neither --rescale, --mean nor --std, also not of "
                f"--preprocessor, got {values.min():g} to {values.max():g}"
            )
        with np.errstate(over="ignore"):
            finite = np.isfinite(values.astype(self.input.dtype)).all()
        if not finite:
            raise UsageError(
                f"{where}: expected --rescale, --mean and --std to give values that {self.input.dtype} has, got "
                f"{values.min():g} to {values.max():g}"
            )

    def run(self, picture: NDArray[Any], where: str) -> list[NDArray[Any]]:
        """The tensors for one picture (1, 3, H, W); `where` names it in messages.

        Raises RunError if the model fails on it, InputError for a size that the model does not take.
        """
        self.check_size((picture.shape[3], picture.shape[2]), where)
        try:
            made: list[NDArray[Any]] = self._session.run(
                self.outputs, {self.input.name: picture.astype(self.input.dtype, casting="same_kind", copy=False)}
            )
        except self._errors as error:
            name = "the model" if where == str(self.path) else self.path
            raise RunError(f"{where}: {name} failed on {picture.shape}: {_line(error)}") from error
        return made


def _source(path: Path) -> tuple[Source, list[Path]]:
    """What stands for a model, read whole, and the files that it is: its own and those of weights that it refers to.

    Two models that were trained from one may differ anywhere.
    """
    digest, size = hashlib.sha256(), 0
    try:
        files = [path, *files_of_weights(path)]
        for file in files:
            with file.open("rb") as content:
                while block := content.read(1 << 20):
                    digest.update(block)
                    size += len(block)
    except OSError as error:
        raise InputError(f"{path}: cannot be read: {error.strerror or error}") from error
    return Source(path.name, size, "sha256:" + digest.hexdigest()), files


def without_telemetry() -> None:
    """Keeps ONNX Runtime, which asks when it is loaded, from writing a file of events below the user's folder."""
    os.environ.setdefault(NO_TELEMETRY, "1")


def _runtime(path: Path) -> Any:
    without_telemetry()
    try:
        return importlib.import_module("onnxruntime")
    except ImportError as error:
        raise UsageError(f"{path}: expected the package onnxruntime to run it: pip install 'msroi[onnx]'") from error


def _errors(runtime: Any) -> tuple[type[Exception], ...]:
    state = importlib.import_module(f"{runtime.__name__}.capi.onnxruntime_pybind11_state")
    return (*(getattr(state, name) for name in ERRORS if hasattr(state, name)), ValueError, RuntimeError)


def _line(error: Exception) -> str:
    return " ".join(str(error).split())[:200]
