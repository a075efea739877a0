"""Run the tutorial's script in Keras on TensorFlow, and print what it measured as one JSON line."""

# mypy: disable-error-code="import-not-found,import-untyped"
# ^ Keras lives in an environment of its own, not in the one where types are checked

from __future__ import annotations

import argparse
import json
import os
import sys
import time
from pathlib import Path

os.environ["KERAS_BACKEND"] = "tensorflow"  # the user's keras.json may say otherwise

import keras
import numpy as np
import tensorflow as tf


def main() -> None:
    """Train and score the tutorial's network."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--seed", type=int, required=True)
    parser.add_argument("--train-pictures", type=int)
    args = parser.parse_args()

    with np.load(args.data) as arrays:
        x, y = (arrays[f"train_{what}"][: args.train_pictures] for what in ("images", "labels"))
        x_test, y_test = arrays["test_images"], arrays["test_labels"]
    x, x_test = x / 255, x_test / 255  # before the clock starts; lookbook scales after it started

    keras.utils.set_random_seed(args.seed)
    model = keras.Sequential(
        [
            keras.layers.Input((28, 28)),
            keras.layers.Flatten(),
            keras.layers.Dense(128, activation="relu"),
            keras.layers.Dense(10, activation="softmax"),
        ]
    )
    model.compile("adam", loss="sparse_categorical_crossentropy", metrics=["accuracy"])

    start = time.perf_counter()
    # silent: the progress bar costs Keras time, and is no part of the question
    history = model.fit(x, y, batch_size=32, epochs=10, verbose=0).history
    fit_seconds = time.perf_counter() - start
    _, accuracy = model.evaluate(x_test, y_test, verbose=0)

    print(
        json.dumps(
            {
                "fit_seconds": fit_seconds,
                "accuracy": accuracy,
                "first_loss": history["loss"][0],
                "last_loss": history["loss"][-1],
                "versions": {
                    "python": sys.version.split()[0],
                    "keras": keras.__version__,
                    "tensorflow": tf.__version__,
                    "numpy": np.__version__,
                },
                "threads": _threads(),
                "device": "gpu" if tf.config.list_physical_devices("GPU") else "cpu",
            }
        )
    )


def _threads() -> int:
    """Return TensorFlow's threads; it says 0 for one on each core that it may use."""
    chosen = int(tf.config.threading.get_intra_op_parallelism_threads())
    usable = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()
    return chosen or usable or 1


if __name__ == "__main__":
    main()
