"""What is in an ONNX model: its input, and the tensors that could be levels."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from msroi_cli.model.candidates import candidates, probe_size
from msroi_cli.model.session import OnnxModel


def model_facts(text: str) -> dict[str, Any]:
    """What is in the model `text`, measured with a blank picture.

    Raises InputError, or UsageError where ONNX Runtime is missing.
    """
    model = OnnxModel(Path(text))
    size = probe_size(model)
    return {
        "file": text,
        "kind": "model",
        "bytes": model.source.size,
        "fingerprint": model.source.fingerprint,
        "input": {"name": model.input.name, "dtype": model.input.dtype.name, "shape": list(model.input.shape)},
        "measured_with": list(size),
        "tensors": [
            {"name": one.name, "shape": list(one.shape), "stride": one.stride, "output": one.output}
            for one in candidates(model, size)
        ],
    }
