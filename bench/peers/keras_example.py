"""Train one of two Keras examples on a backend, and print what it measured as one JSON line.

`tutorial` is the tutorial's script. `convnet` is the convolutional network that Keras documents for
28×28 digits (https://keras.io/examples/vision/mnist_convnet/) with its batches and passes, on all
training images: no part of them is set aside for validation.
"""

# mypy: disable-error-code="import-not-found,import-untyped"
# ^ Keras lives in an environment of its own, not in the one where types are checked

from __future__ import annotations

import argparse
import json
import os
import sys
import time
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np

#: images in a step, and passes
TRAINING = {"tutorial": (32, 10), "convnet": (128, 15)}


def main() -> None:
    """Train and score the example's network."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--seed", type=int, required=True)
    parser.add_argument("--train-pictures", type=int)
    parser.add_argument("--example", choices=TRAINING, required=True)
    parser.add_argument("--backend", choices=("tensorflow", "jax"), required=True)
    args = parser.parse_args()
    os.environ["KERAS_BACKEND"] = args.backend  # the user's keras.json may say otherwise
    import keras

    with np.load(args.data) as arrays:
        x, y = (arrays[f"train_{what}"][: args.train_pictures] for what in ("images", "labels"))
        x_test, y_test = arrays["test_images"], arrays["test_labels"]
    # before the clock starts; lookbook scales after it started
    x, x_test = (_scale(images, args.example) for images in (x, x_test))

    keras.utils.set_random_seed(args.seed)
    model = keras.Sequential(_layers(keras.layers, args.example))
    model.compile("adam", loss="sparse_categorical_crossentropy", metrics=["accuracy"])
    batch_size, passes = TRAINING[args.example]

    start = time.perf_counter()
    # silent: the progress bar costs Keras time, and is no part of the question
    history = model.fit(x, y, batch_size=batch_size, epochs=passes, verbose=0).history
    fit_seconds = time.perf_counter() - start
    _, accuracy = model.evaluate(x_test, y_test, verbose=0)

    packages = ("keras", args.backend, "numpy")
    print(
        json.dumps(
            {
                "fit_seconds": fit_seconds,
                "accuracy": accuracy,
                "first_loss": history["loss"][0],
                "last_loss": history["loss"][-1],
                "versions": {
                    "python": sys.version.split()[0],
                    **{name: version(name) for name in packages},
                },
                "threads": _threads(args.backend),
                "device": _device(args.backend),
            }
        )
    )


def _scale(images: np.ndarray, example: str) -> np.ndarray:
    """Return grey levels from 0 to 1, in the type and shape that the example's text gives them."""
    if example == "tutorial":
        return images / 255
    return (images.astype(np.float32) / 255)[..., None]


def _layers(layers: Any, example: str) -> list[Any]:
    """Return the network; `layers` is Keras's module, which is imported late."""
    if example == "tutorial":
        return [
            layers.Input((28, 28)),
            layers.Flatten(),
            layers.Dense(128, activation="relu"),
            layers.Dense(10, activation="softmax"),
        ]
    return [
        layers.Input((28, 28, 1)),
        layers.Conv2D(32, 3, activation="relu"),
        layers.MaxPooling2D(),
        layers.Conv2D(64, 3, activation="relu"),
        layers.MaxPooling2D(),
        layers.Flatten(),
        layers.Dropout(0.5),
        layers.Dense(10, activation="softmax"),
    ]


def _threads(backend: str) -> int:
    """Return how many threads compute: one on each usable core, if nobody chose otherwise."""
    usable = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()
    chosen = 0
    if backend == "tensorflow":  # JAX cannot be asked, and has no setting for it
        import tensorflow as tf

        chosen = int(tf.config.threading.get_intra_op_parallelism_threads())
    return chosen or usable or 1


def _device(backend: str) -> str:
    if backend == "jax":
        import jax

        return str(jax.default_backend())
    import tensorflow as tf

    return "gpu" if tf.config.list_physical_devices("GPU") else "cpu"


if __name__ == "__main__":
    main()
