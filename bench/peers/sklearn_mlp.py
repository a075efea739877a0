"""Train scikit-learn's MLPClassifier in the tutorial's shape, and print one JSON line.

784-128-10, Adam, batches of 32, ten passes, grey levels from 0 to 1. What scikit-learn would add by
itself, a penalty on large weights, is left out: no other entry has it.
"""

# mypy: disable-error-code="import-not-found,import-untyped"
# ^ it lives in an environment of its own

from __future__ import annotations

import argparse
import json
import sys
import time
import warnings
from importlib.metadata import version
from pathlib import Path

import numpy as np
from sklearn.exceptions import ConvergenceWarning
from sklearn.neural_network import MLPClassifier
from threadpoolctl import threadpool_info


def main() -> None:
    """Train and score the network."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--seed", type=int, required=True)
    parser.add_argument("--train-pictures", type=int)
    args = parser.parse_args()

    with np.load(args.data) as arrays:
        x, y = (arrays[f"train_{what}"][: args.train_pictures] for what in ("images", "labels"))
        x_test, y_test = arrays["test_images"], arrays["test_labels"]
    # before the clock starts; in float64 it would compute with twice the digits, and slower
    x, x_test = (part.reshape(len(part), -1).astype(np.float32) / 255 for part in (x, x_test))
    model = MLPClassifier(
        hidden_layer_sizes=(128,), batch_size=32, max_iter=10, alpha=0.0, random_state=args.seed
    )
    # it would train on; ten passes are the question
    warnings.simplefilter("ignore", ConvergenceWarning)

    start = time.perf_counter()
    model.fit(x, y)
    fit_seconds = time.perf_counter() - start

    print(
        json.dumps(
            {
                "fit_seconds": fit_seconds,
                "accuracy": model.score(x_test, y_test),
                "first_loss": model.loss_curve_[0],
                "last_loss": model.loss_curve_[-1],
                "versions": {
                    "python": sys.version.split()[0],
                    "scikit-learn": version("scikit-learn"),
                    "numpy": version("numpy"),
                },
                "threads": _threads(),
                "device": "cpu",
            }
        )
    )


def _threads() -> int:
    """Return the threads of the matrix products, where nearly all the time goes."""
    pools = threadpool_info()
    return max(int(pool["num_threads"]) for pool in pools if pool["user_api"] == "blas")


if __name__ == "__main__":
    main()
