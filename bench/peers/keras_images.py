"""Train the network of Keras's example on photographs for some minutes; print one JSON line.

The example is "Image classification from scratch" (keras.io/examples/vision): a small Xception
(Chollet, 2017), mirrored and turned images, Adam at 3e-4, batches of 128. It is built here in our
own words. It trains until its time is over instead of 25 passes, and sees every training image.
"""

# mypy: disable-error-code="import-not-found,import-untyped,misc"
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

os.environ["KERAS_BACKEND"] = "tensorflow"  # the user's keras.json may say otherwise

import keras
import numpy as np
import tensorflow as tf
from keras import layers


def main() -> None:
    """Train until the time is over, then score once."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--photos", type=Path, required=True, help="has train/ and validation/")
    parser.add_argument("--size", type=int, required=True, help="pixels on a side")
    parser.add_argument("--minutes", type=float, required=True, help="for fit, and for it alone")
    parser.add_argument("--batch-size", type=int, default=128)
    parser.add_argument("--seed", type=int, required=True)
    args = parser.parse_args()

    keras.utils.set_random_seed(args.seed)
    x, y = read(args.photos / "train", args.size)
    x_validation, y_validation = read(args.photos / "validation", args.size)
    network = build((args.size, args.size, 3), int(y.max()) + 1)
    network.compile(
        keras.optimizers.Adam(3e-4),
        loss=keras.losses.SparseCategoricalCrossentropy(from_logits=True),
        metrics=["accuracy"],
    )
    pictures = changed(x, y, args.batch_size)

    start = time.perf_counter()
    stop = StopAfter(start + 60 * args.minutes)
    # silent: the progress bar costs Keras time, and is no part of the question
    fitted = network.fit(pictures, epochs=1_000_000, callbacks=[stop], shuffle=False, verbose=0)
    fit_seconds = time.perf_counter() - start
    _, accuracy = network.evaluate(x_validation, y_validation, verbose=0)
    settle(network, x, args.batch_size)
    _, settled = network.evaluate(x_validation, y_validation, verbose=0)

    packages = ("keras", "tensorflow", "numpy")
    print(
        json.dumps(
            {
                "fit_seconds": fit_seconds,
                "accuracy": accuracy,
                # as it could be, were it not for averages that lag behind: after the clock
                "settled_accuracy": settled,
                "batch_size": args.batch_size,
                "passes": stop.steps * args.batch_size / len(y),
                "first_loss": fitted.history["loss"][0],
                "last_loss": fitted.history["loss"][-1],
                "parameters": network.count_params(),
                "versions": {
                    "python": sys.version.split()[0],
                    **{name: version(name) for name in packages},
                },
                "threads": _threads(),
                "device": "gpu" if tf.config.list_physical_devices("GPU") else "cpu",
            }
        )
    )


def settle(network: Any, x: Any, batch_size: int) -> None:
    """Take the norms' averages anew, by two passes in which nothing is learnt.

    They follow so slowly (a hundredth of the way in each step) that after few hundred steps they
    are not those of the network as it is.
    """
    for layer in network.layers:
        if isinstance(layer, layers.BatchNormalization):
            layer.momentum = 0.9
    order = np.random.default_rng(0).permutation(len(x))
    for _ in range(2):
        for start in range(0, len(x), batch_size):
            network(x[order[start : start + batch_size]], training=True)


def read(folder: Path, size: int) -> tuple[Any, Any]:
    """Return the images of class folders, resized as the example resizes them, and labels.

    All of them are in memory before the clock starts: the example would decode each file again in
    each pass, on the cores that train.
    """
    batches = keras.utils.image_dataset_from_directory(
        folder, image_size=(size, size), batch_size=256, shuffle=False, verbose=False
    )
    pictures, labels = zip(*batches.as_numpy_iterator(), strict=True)
    return np.concatenate(pictures), np.concatenate(labels)


def changed(x: Any, y: Any, batch_size: int) -> Any:
    """Return shuffled batches, each image mirrored and turned by chance, anew in each pass."""
    augmentation = [layers.RandomFlip("horizontal"), layers.RandomRotation(0.1)]

    def change(images: Any, labels: Any) -> tuple[Any, Any]:
        for layer in augmentation:
            images = layer(images, training=True)
        return images, labels

    batches = tf.data.Dataset.from_tensor_slices((x, y)).shuffle(len(y)).batch(batch_size)
    return batches.map(change, num_parallel_calls=tf.data.AUTOTUNE).prefetch(tf.data.AUTOTUNE)


def build(shape: tuple[int, int, int], n_classes: int) -> Any:
    """Return the network: a convolution, three residual blocks of separable ones, one more."""
    inputs = keras.Input(shape)
    x = layers.Rescaling(1 / 255)(inputs)
    x = layers.Conv2D(128, 3, strides=2, padding="same")(x)
    x = layers.Activation("relu")(layers.BatchNormalization()(x))
    for width in (256, 512, 728):
        skipped = layers.Conv2D(width, 1, strides=2, padding="same")(x)
        for _ in range(2):
            x = layers.Activation("relu")(x)
            x = layers.SeparableConv2D(width, 3, padding="same")(x)
            x = layers.BatchNormalization()(x)
        x = layers.MaxPooling2D(3, strides=2, padding="same")(x)
        x = layers.add([x, skipped])
    x = layers.SeparableConv2D(1024, 3, padding="same")(x)
    x = layers.Activation("relu")(layers.BatchNormalization()(x))
    x = layers.Dropout(0.25)(layers.GlobalAveragePooling2D()(x))
    return keras.Model(inputs, layers.Dense(n_classes)(x))


class StopAfter(keras.callbacks.Callback):
    """Stop at the first step that ends after the time."""

    def __init__(self, end: float) -> None:
        super().__init__()
        self.end = end
        self.steps = 0

    def on_train_batch_end(self, batch: int, logs: Any = None) -> None:
        """Look at the clock."""
        del batch, logs
        self.steps += 1
        if time.perf_counter() >= self.end:
            self.model.stop_training = True


def _threads() -> int:
    """Return TensorFlow's threads; it says 0 for one on each core that it may use."""
    chosen = int(tf.config.threading.get_intra_op_parallelism_threads())
    usable = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()
    return chosen or usable or 1


if __name__ == "__main__":
    main()
