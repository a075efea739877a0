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
    from lookbook import plots
    from lookbook.classifier import LookbookClassifier
    from lookbook.datasets import Dataset, load, load_data
    from lookbook.errors import LookbookError, LookbookWarning
    from lookbook.evaluation import evaluate
    from lookbook.exporting import export
    from lookbook.model import Model
    from lookbook.page import report
    from lookbook.prediction import Prediction, predict
    from lookbook.recipes import RECIPES, Recipe
    from lookbook.runs import Run, list_runs, read_run
    from lookbook.training import load_network, resume, train

    __version__: str

# loaded when first asked for: `import lookbook` and the command line start at once
_HOMES = {
    "Dataset": "datasets",
    "LookbookClassifier": "classifier",
    "LookbookError": "errors",
    "LookbookWarning": "errors",
    "Model": "model",
    "Prediction": "prediction",
    "RECIPES": "recipes",
    "Recipe": "recipes",
    "Run": "runs",
    "evaluate": "evaluation",
    "export": "exporting",
    "list_runs": "runs",
    "load": "datasets",
    "load_data": "datasets",
    "load_network": "training",
    "predict": "prediction",
    "read_run": "runs",
    "report": "page",
    "resume": "training",
    "train": "training",
}

__all__ = [
    "RECIPES",
    "Dataset",
    "LookbookClassifier",
    "LookbookError",
    "LookbookWarning",
    "Model",
    "Prediction",
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
]


def _load(name: str) -> Any:
    """Return a public name, from the module that it lives in."""
    if name == "__version__":
        return import_module("importlib.metadata").version("lookbook")
    if name == "plots":
        return import_module("lookbook.plots")
    if name in _HOMES:
        return getattr(import_module(f"lookbook.{_HOMES[name]}"), name)
    raise AttributeError(f"module 'lookbook' has no attribute {name!r}")


if not TYPE_CHECKING:
    # for a type checker, a module with a __getattr__ has every name
    __getattr__ = _load


def __dir__() -> list[str]:
    return sorted(__all__)
