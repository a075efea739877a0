"""Web demo: one HTML file that classifies images in the browser."""

from __future__ import annotations

import base64
from pathlib import Path
from typing import TYPE_CHECKING, Any

import msgspec
import numpy as np

from lookbook.core.files import encode, write_bytes
from lookbook.core.templates import LANGS, asset, fill, json_in_page, texts
from lookbook.errors import ExportError, write_call
from lookbook.evaluation.evaluate import load_samples
from lookbook.inference import onnx_graph
from lookbook.inference.model import Model
from lookbook.inference.predictor import open_model
from lookbook.inference.thresholds import Thresholds

if TYPE_CHECKING:
    from jaxtyping import Float32

    from lookbook.data.dataset import Dataset
    from lookbook.data.sources import DataSource
    from lookbook.runs.schema import Evaluation
    from lookbook.runs.store import Run

#: scripts of the page, in the order in which they stand in it
SCRIPTS = ("exports/engine.js", "exports/photo.js", "exports/try.js")
#: bytes that a page may take
MOST_BYTES = 4_000_000
#: weights of a network beyond which they are kept in half precision: 2.4 MB in base64
MOST_EXACT = 450_000
#: weights of a layer that takes so little room that they always stay in single precision
SMALL_LAYER = 10_000
#: sample images, and bytes of the page beyond which there are fewer
SAMPLES, SAMPLE_BYTES = 20, 540_000
NO_SAMPLES: dict[str, Any] = {"labels": [], "indices": [], "pixels": ""}


def write_web_demo(run: Run, out: Path) -> Path:
    """Write the page on a run's model; return the file, of at most 4 MB.

    The page asks nothing of any network: weights are in it, and as many test images as there is
    room for. It answers as the model file does, images that are photographed, dropped, pasted or
    drawn.

    Raises
    ------
    ExportError
        The network is too large for such a page; nothing is written.
    DamagedFileError, InputError
        The run's model or data was changed, or its data is no longer where it was.
    OutputError
        The file cannot be written.
    """
    model = open_model(run)
    document = describe(model) | _around(run, model)
    bare = len(_page(run, document | {"samples": NO_SAMPLES}))
    if bare > MOST_BYTES:
        instead = write_call("export", str(run.folder), to="folder")
        raise ExportError(
            f"the page would take {bare:,} bytes, {MOST_BYTES:,} are allowed: this network has "
            f"{run.metrics.parameters:,} parameters; write a folder instead: {instead}"
        )
    test = load_samples(run)
    samples = NO_SAMPLES if test is None else _samples(test, MOST_BYTES - bare)
    write_bytes(out, _page(run, document | {"samples": samples}))
    return out


def has_samples(page: Path) -> bool:
    """Say whether a page that was written shows sample images."""
    return b'"samples":{"labels":[],' not in page.read_bytes()


def _page(run: Run, document: dict[str, Any]) -> bytes:
    page = fill(
        "exports/try",
        SCRIPTS,
        title=run.source.title,
        texts=texts("exports/try", "en"),
        document=json_in_page(document),
    )
    return encode(page)


# ---- the network ----


def describe(model: Model) -> dict[str, Any]:
    """Return a model as `engine.js` takes it: steps, and all their numbers in base64."""
    many, exact = _Numbers("many"), _Numbers("exact")
    listed = [_step(step, many, exact) for step in onnx_graph.steps(model)]
    parts = onnx_graph.novelty_parts(model)
    chosen = parts.pop("chosen").tolist()
    # directions have length 1 and are most of the numbers; errors in the others count many times
    novelty = {
        name: (many if name == "directions" else exact).add(part) for name, part in parts.items()
    }
    half = many.count > MOST_EXACT
    return {
        "shape": [*model.input_shape, 1][:3],
        "steps": listed,
        "novelty": novelty,
        "chosen": chosen,
        "views": msgspec.to_builtins(model.card.views),
        "temperature": model.card.temperature,
        "kernel": base64.b64encode(asset("exports/multiply.wasm")).decode(),
        "half": half,
        "many": many.to_base64("<f2" if half else "<f4"),
        "exact": exact.to_base64("<f4"),
    }


class _Numbers:
    """Numbers of a network, one after the other."""

    def __init__(self, name: str) -> None:
        self.count = 0
        self._name = name
        self._parts: list[np.ndarray] = []

    def add(self, values: Float32[np.ndarray, "..."]) -> tuple[str, int, int]:
        """Return where they stand: in which list, from which place on, and how many they are."""
        place = self._name, self.count, values.size
        self._parts.append(values.ravel())
        self.count += values.size
        return place

    def to_base64(self, form: str) -> str:
        return base64.b64encode(np.concatenate(self._parts).astype(form).tobytes()).decode()


def _step(step: onnx_graph.Step, many: _Numbers, exact: _Numbers) -> dict[str, Any]:
    said: dict[str, Any] = {"kind": step.kind, "rectified": step.rectified}
    if step.weights is not None:
        rows = step.weights.reshape(len(step.weights), -1)
        # half precision keeps 11 bits of a number, but fewer of one below 0.00006: with a factor
        # for each filter its greatest weight is 1
        factors = np.maximum(np.abs(rows).max(axis=1), np.finfo(np.float32).tiny)
        # a whitening layer has few weights, whose products must cancel each other
        fitting = exact if rows.size < SMALL_LAYER else many
        said["weights"] = fitting.add(rows / factors[:, None])
        said |= {"factors": exact.add(factors), "filters": len(rows)}
        said["kernel"] = step.weights.shape[1:3]
        said["shifts"] = None if step.shifts is None else exact.add(step.shifts)
    if step.kind == "pool":
        said["kernel"] = step.kernel
    return said | {"stride": step.stride, "pads": step.pads}


# ---- what stands around it ----


def _around(run: Run, model: Model) -> dict[str, Any]:
    """Return what the page says of the model."""
    thresholds, evaluation = Thresholds.of(model.calibration), run.tested()
    source = run.source
    return {
        "classes": model.classes,
        "preprocessing": model.preprocessing and model.preprocessing.to_json(),
        "weaknesses": model.card.weaknesses,
        "sureFrom": thresholds.sure,
        "strangeFrom": thresholds.strange,
        "about": {
            "data": source.identity if source.published else None,
            "title": source.title,
            "recipe": run.recipe.name,
            "parameters": run.metrics.parameters,
            "trainingPictures": run.metrics.training_images,
            "final": run.conditions.final,
            "validation": run.metrics.validation and run.metrics.validation.to_json(),
            "test": evaluation and _tested(evaluation),
            "source": _source(source),
        },
        "texts": {lang: texts("exports/try", lang) for lang in LANGS},
    }


def _tested(evaluation: Evaluation) -> dict[str, object]:
    """Return what the page says of the test part."""
    thresholds = evaluation.thresholds
    return {
        "accuracy": evaluation.accuracy,
        "interval": evaluation.interval,
        "n": evaluation.n,
        "thresholds": thresholds and thresholds.to_json(),
    }


def _source(source: DataSource) -> dict[str, str] | None:
    """Return where a built-in dataset is from, and its licence; of other data nothing is known.

    >>> from lookbook.data.sources import resolve
    >>> _source(resolve("/home/me/images"))
    >>> _source(resolve("mnist"))["licence"]
    'CC BY-SA 3.0'
    """
    known = source.published
    if known is None:
        return None
    return {"data": known.title, "homepage": known.homepage, "licence": known.licence}


def _samples(test: Dataset, room: int) -> dict[str, Any]:
    """Return test images of all classes in turn, as they are stored, and what they show.

    Parameters
    ----------
    test
        The test part.
    room
        Bytes that the page has left for them.
    """
    size = 4 * -(-test.images[0].nbytes // 3) + 20  # base64, and its label and index
    n = min(SAMPLES, max(1, SAMPLE_BYTES // size), room // size)
    order = np.argsort(_turns(test.labels), kind="stable")[:n]
    return {
        "labels": test.labels[order].tolist(),
        "indices": order.tolist(),
        "pixels": base64.b64encode(test.images[order].tobytes()).decode(),
    }


def _turns(labels: np.ndarray) -> np.ndarray:
    """Return for each image how many of its class came before it.

    >>> _turns(np.array([1, 1, 0, 1])).tolist()
    [0, 1, 0, 2]
    """
    seen: dict[int, int] = {}
    turns = []
    for label in labels.tolist():
        turns.append(seen.get(label, 0))
        seen[label] = turns[-1] + 1
    return np.array(turns)
