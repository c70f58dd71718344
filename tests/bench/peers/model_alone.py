"""Runs a model on pictures with ONNX Runtime and nothing of msroi: MODEL PICTURES SHORTEST LONGEST THREADS [blank].

blank: on zeros as large as the pictures would be, which are not decoded and not resized.
"""

import os
import sys
from pathlib import Path

import numpy as np
from PIL import Image

# As msroi has it; asked for when ONNX Runtime is loaded.
os.environ.setdefault("ORT_DISABLE_TELEMETRY", "1")
import onnxruntime


def prepared(path, shortest, longest, blank):
    picture = Image.open(path)
    scale = min(shortest / min(picture.size), longest / max(picture.size))
    size = tuple(int(side * scale + 0.5) for side in picture.size)
    if blank:
        return np.zeros((1, 3, size[1], size[0]), np.float32)
    pixels = np.asarray(picture.convert("RGB").resize(size, Image.Resampling.BILINEAR))
    return np.ascontiguousarray(pixels.transpose(2, 0, 1)[None], dtype=np.float32)


def main(model, pictures, shortest, longest, threads, blank=""):
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads, options.inter_op_num_threads = int(threads), 1
    session = onnxruntime.InferenceSession(model, options, providers=["CPUExecutionProvider"])
    paths = sorted(Path(pictures).iterdir())
    for path in paths:
        session.run(["p2", "p3", "p4"], {"images": prepared(path, int(shortest), int(longest), blank)})


main(*sys.argv[1:])
