"""Measure how many images a second a model answers, and print that as one JSON line.

One script for all models, so that the same lines time them all. It imports the library of the model
that it measures and no other, so it runs in the environment of each.
"""

# mypy: disable-error-code="import-not-found,import-untyped"
# ^ Keras lives in an environment of its own, not in the one where types are checked

from __future__ import annotations

import argparse
import json
import os
import sys
import time
from collections.abc import Callable
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np

#: answers the images that it is given; what it answers does not matter here
Predict = Callable[[Any], object]

PACKAGES = {
    "lookbook": ("lookbook", "onnxruntime", "numpy"),
    "onnxruntime": ("onnxruntime", "numpy"),
    "keras-predict": ("keras", "tensorflow", "numpy"),
    "keras-batch": ("keras", "tensorflow", "numpy"),
}


def main() -> None:
    """Measure one model with one number of threads, at each size of batch."""
    args = _parser().parse_args()
    # before a library counts the cores: it may use `threads` of them, and so does Python
    os.sched_setaffinity(0, sorted(os.sched_getaffinity(0))[: args.threads])
    with np.load(args.inputs) as arrays:
        raw, scaled = arrays["raw"], arrays["scaled"]
    if args.what == "lookbook":
        predict, pictures = _lookbook(args.model), raw
    elif args.what == "onnxruntime":
        predict, pictures = _onnxruntime(args.model, args.threads), scaled
    else:
        predict, pictures = _keras(args, raw.shape[1:]), (raw / 255).astype(np.float32)
    rates = {batch: rate(predict, pictures, batch, args.seconds) for batch in args.batches}
    versions = {name: version(name) for name in PACKAGES[args.what]}
    print(
        json.dumps(
            {"rates": rates, "versions": {"python": sys.version.split()[0], **versions}},
        )
    )


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--what", choices=list(PACKAGES), required=True)
    parser.add_argument("--inputs", type=Path, required=True, help=".npz with raw and scaled")
    parser.add_argument("--model", type=Path, help="ONNX file, for all but Keras")
    parser.add_argument("--network", choices=["dense", "conv"], help="for Keras")
    parser.add_argument("--widths", type=int, nargs="*", help="of Keras's hidden dense layers")
    parser.add_argument("--classes", type=int, help="for Keras")
    parser.add_argument("--threads", type=int, required=True)
    parser.add_argument("--batches", type=int, nargs="+", required=True)
    parser.add_argument("--seconds", type=float, required=True, help="time for each batch size")
    return parser


def rate(predict: Predict, pictures: Any, batch: int, seconds: float) -> float:
    """Return images per second of calls with `batch` images each, one call after the other."""
    batches = [
        pictures[start : start + batch] for start in range(0, len(pictures) - batch + 1, batch)
    ]
    _repeat(predict, batches, seconds / 5)  # what happens once, happens here
    calls, passed = _repeat(predict, batches, seconds)
    return calls * batch / passed


def _repeat(predict: Predict, batches: list[Any], seconds: float) -> tuple[int, float]:
    """Call until the time is over, at least once; return the number of calls and the time."""
    calls, start, passed = 0, time.perf_counter(), 0.0
    while passed < seconds or calls == 0:
        predict(batches[calls % len(batches)])
        calls += 1
        passed = time.perf_counter() - start
    return calls, passed


def _lookbook(path: Path) -> Predict:
    from lookbook.inference.model import Model

    # it takes one thread for each core that the process may use
    return Model.open(path).predict


def _onnxruntime(path: Path, threads: int) -> Predict:
    os.environ.setdefault("ORT_DISABLE_TELEMETRY", "1")
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = threads
    options.log_severity_level = 3
    session = onnxruntime.InferenceSession(path, options, providers=["CPUExecutionProvider"])

    def predict(pixels: Any) -> object:
        return session.run(None, {"pixels": pixels})

    return predict


def _keras(args: argparse.Namespace, shape: tuple[int, ...]) -> Predict:
    os.environ["KERAS_BACKEND"] = "tensorflow"  # the user's keras.json may say otherwise
    import keras
    import tensorflow as tf

    tf.config.threading.set_intra_op_parallelism_threads(args.threads)
    tf.config.threading.set_inter_op_parallelism_threads(args.threads)
    layers = keras.layers
    if args.network == "dense":  # the tutorial's script
        inner = [layers.Flatten(), *(layers.Dense(n, activation="relu") for n in args.widths)]
    else:  # the small convnet of Keras's own documentation
        inner = [
            layers.Reshape(shape if len(shape) == 3 else (*shape, 1)),
            layers.Conv2D(32, 3, activation="relu"),
            layers.MaxPooling2D(),
            layers.Conv2D(64, 3, activation="relu"),
            layers.MaxPooling2D(),
            layers.Flatten(),
            layers.Dropout(0.5),
        ]
    last = layers.Dense(args.classes, activation="softmax")
    model = keras.Sequential([layers.Input(shape), *inner, last])

    def predict(pixels: Any) -> object:
        if args.what == "keras-batch":
            return model.predict_on_batch(pixels)
        # its own batches would be of 32
        return model.predict(pixels, batch_size=len(pixels), verbose=0)

    return predict


if __name__ == "__main__":
    main()
