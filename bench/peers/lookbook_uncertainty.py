"""Train a recipe, then measure how far its answers can be trusted; print it as one JSON line.

What is foreign is read after the training, and nothing is fitted to it.
"""

from __future__ import annotations

import argparse
import json
import tempfile
from collections.abc import Iterator
from pathlib import Path

import numpy as np
from PIL import Image
from sklearn.datasets import load_digits
from sklearn.metrics import roc_auc_score

from lookbook.cli import process
from lookbook.data.formats.idx import read_idx
from lookbook.evaluation.evaluate import evaluate
from lookbook.inference.model import Model
from lookbook.recipes import find_recipe
from lookbook.runs.data_parts import load_part
from lookbook.training.pipeline import train


def main() -> None:
    """Train with a seed, evaluate, and compare the novelty of foreign images."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--recipe", required=True)
    parser.add_argument("--seed", type=int, required=True)
    parser.add_argument("--digits", type=Path, required=True, help="MNIST's test pictures, IDX")
    parser.add_argument("--epochs", type=float, help="passes; default: the recipe's")
    args = parser.parse_args()
    process.tune()
    with tempfile.TemporaryDirectory() as scratch:
        recipe = find_recipe(args.recipe)
        out = Path(scratch) / "run"
        run = train("fashion-mnist", recipe, epochs=args.epochs, seed=args.seed, out=out)
        found = evaluate(run)
        model, test = Model.open(run.model), load_part(run, "test")
        usual = model.predict(test.images).novelty
        kept = model.calibration
        foreign = {}
        for name, pictures in foreign_pictures(test.images, read_idx(args.digits)):
            novelty = model.predict(pictures).novelty
            truth = np.repeat([0, 1], [len(usual), len(novelty)])
            foreign[name] = {
                "n": len(pictures),
                "auroc": float(roc_auc_score(truth, np.concatenate([usual, novelty]))),
                "refused": float((novelty > kept.strange_from).mean()) if kept else None,
            }
        print(
            json.dumps(
                {
                    "accuracy": found.accuracy,
                    "ece": found.ece,
                    "ece_by_chance": found.ece_by_chance,
                    "loss": found.loss,
                    "thresholds": found.thresholds and found.thresholds.to_json(),
                    "foreign": foreign,
                    "temperature": run.metrics.temperature,
                    "validation": run.metrics["validation"],
                    "model_bytes": len(model.content),
                    "weight_bytes": 4 * run.metrics.parameters,
                    "versions": run.conditions.versions,
                    "threads": run.conditions.threads,
                }
            )
        )


def foreign_pictures(test: np.ndarray, digits: np.ndarray) -> Iterator[tuple[str, np.ndarray]]:
    """Give images that are no clothes, or no usual ones, by name."""
    rng = np.random.default_rng(0)
    yield "MNIST digits", digits
    yield "inverted clothes", 255 - test
    yield "uniform noise", rng.integers(0, 256, (2000, 28, 28), dtype=np.uint8)
    yield (
        "blank, each grey",
        np.arange(256, dtype=np.uint8)[:, None, None] * np.ones((28, 28), np.uint8),
    )
    small = (load_digits().images * 255 / 16).round().astype(np.uint8)
    large = [
        np.asarray(Image.fromarray(one).resize((28, 28), Image.Resampling.BILINEAR))
        for one in small
    ]
    yield "scikit-learn's digits, scaled", np.stack(large)


if __name__ == "__main__":
    main()
