"""What a type checker must say of the public names: `make check` runs mypy on this file.

An error that is expected and does not come is an error of mypy's own: `unused "type: ignore"`.
"""

from __future__ import annotations

from pathlib import Path

import lookbook


def names_are_typed(run: lookbook.Run) -> Path:
    """Use public names by their types."""
    version: str = lookbook.__version__
    predictions: list[lookbook.Prediction] = lookbook.predict(run, ["test:0"])
    shares: list[float] = [one.f1 for one in lookbook.evaluate(run).per_class]
    resumed: lookbook.Run = lookbook.resume(version)
    return lookbook.export(resumed, "html", out=f"{predictions[0].name} {shares}")


def unknown_names_are_refused(run: lookbook.Run) -> None:
    """Use names that are none."""
    lookbook.nope()  # type: ignore[attr-defined]  # there is no such name
    lookbook.export(run, "pdf")  # type: ignore[arg-type]  # there is no such form
