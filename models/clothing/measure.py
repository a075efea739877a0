"""Measure the bundled model: right on what it never saw, and 'not one of these' elsewhere.

python -m models.clothing.measure MODEL MNIST, where MNIST is a folder of the ten thousand digits.
"""

from __future__ import annotations

import sys
import time
from pathlib import Path

import numpy as np
from PIL import Image

from lookbook import load
from lookbook.data.formats.idx import parse_content, read_content
from lookbook.data.sources import resolve
from lookbook.evaluation import metrics
from lookbook.inference.model import Model
from lookbook.inference.predictor import Prediction, Predictor
from models.clothing.scenes import render

#: images of each kind that are none of the classes
N = 500


def measure(model: Model, digits: Path) -> dict[str, float]:
    """Return shares, of validation photographs and of images that show none of the classes."""
    predictor = Predictor(model)
    height, width, _ = model.input_shape
    shown = resolve("clothing").load("validation", size=(height, width), channels=3)
    start = time.perf_counter()
    outputs = model.on_one_core().predict(shown.images)
    seconds = time.perf_counter() - start
    bags = load("fashion-mnist", "test")
    scenes = render(N, seed=1)
    strange = predictor.thresholds.strange or np.inf
    return {
        "accuracy": metrics.accuracy(outputs.probs, shown.labels),
        "calibration error": metrics.calibration_error(outputs.probs, shown.labels),
        "milliseconds an image, one thread": 1e3 * seconds / len(shown),
        "refused, photographs of clothing": float((outputs.novelty > strange).mean()),
        "refused, bags": refused(predictor, _as_files(bags.images[bags.labels == 8][:N])),
        "refused, digits": refused(predictor, _as_files(_digits(digits)[:N])),
        "refused, scenes": refused(predictor, scenes),
    }


def refused(predictor: Predictor, images: list[Image.Image]) -> float:
    """Return the share of images that are said to be none of the classes."""
    answers: list[Prediction] = predictor.predict(images)
    return float(np.mean([each.strange for each in answers]))


def _as_files(images: np.ndarray) -> list[Image.Image]:
    return [Image.fromarray(image) for image in images]


def _digits(folder: Path) -> np.ndarray:
    (path,) = folder.glob("*t10k-images*")
    return parse_content(read_content(path))


def main() -> None:
    """Print what is measured."""
    for name, value in measure(Model.open(sys.argv[1]), Path(sys.argv[2])).items():
        print(f"{name:40} {value:8.4f}")


if __name__ == "__main__":
    main()
