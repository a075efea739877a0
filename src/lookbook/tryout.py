"""Write the page to try a model on: one HTML file that classifies in the browser."""

from __future__ import annotations

import base64
import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from lookbook import anatomy
from lookbook.builtin import title_of
from lookbook.evaluation import COVERAGE, load_part
from lookbook.model import Model
from lookbook.prediction import open_model
from lookbook.runs import write_bytes
from lookbook.templates import LANGS, fill, texts

if TYPE_CHECKING:
    from jaxtyping import Float32

    from lookbook.runs import Run

#: scripts of the page, in the order in which they stand in it
SCRIPTS = ("engine.js", "photo.js", "try.js")
#: numbers of a network beyond which they are kept in half precision: 2.4 MB in base64
MOST_EXACT = 450_000
#: sample pictures, and the bytes that all of them may take
SAMPLES, SAMPLE_BYTES = 20, 400_000


def write_tryout(run: Run, out: Path) -> Path:
    """Write the page on a run's model; return the file.

    The page asks nothing of any network: weights are in it, and test pictures as samples. It
    answers as the model file does, pictures that are photographed, dropped, pasted or drawn.

    Raises
    ------
    DamagedFileError, InputError
        The run's model or data was changed, or its data is no longer where it was.
    OutputError
        The file cannot be written.
    """
    model = open_model(run)
    page = fill(
        "try",
        SCRIPTS,
        title=title_of(run.conditions["data"]["name"]),
        texts=texts("try", "en"),
        document=_for_script(describe(model) | _around(run, model)),
    )
    write_bytes(out, page.encode())
    return out


def _for_script(document: dict[str, Any]) -> str:
    """Write JSON so that it can stand in a page: nothing in it ends the element."""
    text = json.dumps(document, ensure_ascii=False, allow_nan=False)
    return text.replace("<", "\\u003c")


# ---- the network ----


def describe(model: Model) -> dict[str, Any]:
    """Return a model as `engine.js` takes it: steps, and all their numbers in base64."""
    steps = anatomy.steps(model)
    numbers = _Numbers()
    listed = [_step(step, numbers) for step in steps]
    parts = anatomy.novelty_parts(model)
    chosen = parts.pop("chosen").tolist()
    novelty = {name: numbers.add(part) for name, part in parts.items()}
    half = numbers.count > MOST_EXACT
    return {
        "shape": [*model.input_shape, 1][:3],
        "steps": listed,
        "novelty": novelty,
        "chosen": chosen,
        "views": model.about["views"],
        "temperature": model.about["temperature"],
        "half": half,
        "weights": numbers.to_base64("<f2" if half else "<f4"),
    }


class _Numbers:
    """All numbers of a network, one after the other."""

    def __init__(self) -> None:
        self.count = 0
        self._parts: list[np.ndarray] = []

    def add(self, values: Float32[np.ndarray, "..."]) -> tuple[int, int]:
        """Return where they stand: the first one's place, and how many they are."""
        place = self.count, values.size
        self._parts.append(values.ravel())
        self.count += values.size
        return place

    def to_base64(self, form: str) -> str:
        return base64.b64encode(np.concatenate(self._parts).astype(form).tobytes()).decode()


def _step(step: anatomy.Step, numbers: _Numbers) -> dict[str, Any]:
    said: dict[str, Any] = {"kind": step.kind, "rectified": step.rectified}
    if step.weights is not None:
        said |= {"weights": numbers.add(step.weights), "filters": len(step.weights)}
        said["kernel"] = step.weights.shape[1:3]
        said["shifts"] = None if step.shifts is None else numbers.add(step.shifts)
    if step.kind == "pool":
        said["kernel"] = step.kernel
    return said | {"stride": step.stride, "pads": step.pads}


# ---- what stands around it ----


def _around(run: Run, model: Model) -> dict[str, Any]:
    """Return what the page says of the model, and pictures to try."""
    kept, evaluation = model.calibration, run.evaluation()
    return {
        "classes": model.classes,
        "polarity": model.polarity,
        "sureFrom": None if kept is None else kept.sure_from(COVERAGE),
        "strangeFrom": None if kept is None else kept.strange_from,
        "about": {
            "recipe": run.recipe["name"],
            "parameters": run.metrics["parameters"],
            "trainingPictures": run.metrics["training_pictures"],
            "final": run.conditions["final"],
            "validation": run.metrics["validation"],
            "test": None
            if evaluation is None
            else {name: evaluation[name] for name in ("accuracy", "interval", "n")},
            "licence": model.about["licence"],
        },
        "samples": _samples(run),
        "texts": {lang: texts("try", lang) for lang in LANGS},
    }


def _samples(run: Run) -> dict[str, Any]:
    """Return test pictures of all classes in turn, as they are stored, and what they show."""
    test = load_part(run, "test")
    room = SAMPLE_BYTES // test.images[0].nbytes
    order = np.argsort(_turns(test.labels), kind="stable")[: max(1, min(SAMPLES, room))]
    return {
        "labels": test.labels[order].tolist(),
        "indices": order.tolist(),
        "pixels": base64.b64encode(test.images[order].tobytes()).decode(),
    }


def _turns(labels: np.ndarray) -> np.ndarray:
    """Return for each picture how many of its class came before it.

    >>> _turns(np.array([1, 1, 0, 1])).tolist()
    [0, 1, 0, 2]
    """
    seen: dict[int, int] = {}
    turns = []
    for label in labels.tolist():
        turns.append(seen.get(label, 0))
        seen[label] = turns[-1] + 1
    return np.array(turns)
