"""Train small image classifiers in seconds on a laptop, and see everything that they do.

>>> import lookbook
>>> (x_train, y_train), (x_test, y_test) = lookbook.load_data("fashion-mnist")
>>> x_train.shape
(60000, 28, 28)
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from lookbook.data.dataset import Dataset
    from lookbook.data.sources import load, load_data
    from lookbook.errors import LookbookError, LookbookWarning
    from lookbook.estimator import LookbookClassifier
    from lookbook.evaluation.evaluate import evaluate
    from lookbook.exports.formats import export
    from lookbook.inference.model import Model
    from lookbook.inference.prediction import predict, write_table
    from lookbook.inference.predictor import Prediction, Predictor
    from lookbook.networks.weights import load_network
    from lookbook.recipes import RECIPES, Recipe
    from lookbook.reports import figures as plots
    from lookbook.reports.page import report
    from lookbook.runs.store import Run, list_runs, read_run
    from lookbook.training.callbacks import Callback
    from lookbook.training.pipeline import resume, train

    __version__: str

# loaded when first asked for: `import lookbook` and the command line start at once
_HOMES = {
    "Callback": "training.callbacks",
    "Dataset": "data.dataset",
    "LookbookClassifier": "estimator",
    "LookbookError": "errors",
    "LookbookWarning": "errors",
    "Model": "inference.model",
    "Prediction": "inference.predictor",
    "Predictor": "inference.predictor",
    "RECIPES": "recipes",
    "Recipe": "recipes",
    "Run": "runs.store",
    "evaluate": "evaluation.evaluate",
    "export": "exports.formats",
    "list_runs": "runs.store",
    "load": "data.sources",
    "load_data": "data.sources",
    "load_network": "networks.weights",
    "predict": "inference.prediction",
    "read_run": "runs.store",
    "report": "reports.page",
    "resume": "training.pipeline",
    "train": "training.pipeline",
    "write_table": "inference.prediction",
}

__all__ = [
    "RECIPES",
    "Callback",
    "Dataset",
    "LookbookClassifier",
    "LookbookError",
    "LookbookWarning",
    "Model",
    "Prediction",
    "Predictor",
    "Recipe",
    "Run",
    "__version__",
    "evaluate",
    "export",
    "list_runs",
    "load",
    "load_data",
    "load_network",
    "plots",
    "predict",
    "read_run",
    "report",
    "resume",
    "train",
    "write_table",
]


def _load(name: str) -> Any:
    """Return a public name, from the module that it lives in."""
    if name == "__version__":
        return import_module("importlib.metadata").version("lookbook")
    if name == "plots":
        return import_module("lookbook.reports.figures")
    if name in _HOMES:
        return getattr(import_module(f"lookbook.{_HOMES[name]}"), name)
    raise AttributeError(f"module 'lookbook' has no attribute {name!r}")


if not TYPE_CHECKING:
    # for a type checker, a module with a __getattr__ has every name
    __getattr__ = _load


def __dir__() -> list[str]:
    return sorted(__all__)
