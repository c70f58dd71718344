"""Runs a model on pictures with ONNX Runtime and nothing of msroi: MODEL PICTURES SHORTEST LONGEST THREADS."""

import sys
from pathlib import Path

import numpy as np
import onnxruntime
from PIL import Image


def prepared(path, shortest, longest):
    picture = Image.open(path).convert("RGB")
    scale = min(shortest / min(picture.size), longest / max(picture.size))
    size = tuple(int(side * scale + 0.5) for side in picture.size)
    pixels = np.asarray(picture.resize(size, Image.Resampling.BILINEAR))
    return np.ascontiguousarray(pixels.transpose(2, 0, 1)[None], dtype=np.float32)


def main(model, pictures, shortest, longest, threads):
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads, options.inter_op_num_threads = int(threads), 1
    session = onnxruntime.InferenceSession(model, options, providers=["CPUExecutionProvider"])
    paths = sorted(Path(pictures).iterdir())
    for path in paths:
        session.run(["p2", "p3", "p4"], {"images": prepared(path, int(shortest), int(longest))})


main(*sys.argv[1:])
