"""Data of a report on a run, kept in the run for the next time."""

from __future__ import annotations

import hashlib
import io
import warnings
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from lookbook.core.files import open_plain, write_bytes
from lookbook.data.corrections import apply
from lookbook.data.dataset import Dataset
from lookbook.errors import InputError, LookbookWarning, OutputError
from lookbook.evaluation.analysis import Analysis, analyse
from lookbook.evaluation.audit import Findings, audit
from lookbook.evaluation.evaluate import evaluate_part
from lookbook.inference.predictor import Predictor
from lookbook.runs.data_parts import load_part
from lookbook.runs.schema import Evaluation
from lookbook.runs.store import Run

if TYPE_CHECKING:
    from jaxtyping import Float32, UInt8

    from lookbook.inference.model import Model
    from lookbook.runs.photograph_schema import PhotographEvaluation, PhotographExample

#: file in the run; another version of what it holds has another number
ANALYSIS = "analysis.npz"
FORMAT = 6
#: step → share of the seconds that it takes with Fashion-MNIST
STEPS = {
    "answers": 0.1,
    "out-of-fold": 0.25,
    "duplicates": 0.15,
    "map": 0.2,
    "nearest": 0.1,
    "occlusion": 0.03,
    "robustness": 0.1,
    "page": 0.07,
}
#: hears which step begins, and which share of the work is done
Tell = Callable[[str, float], None]


@dataclass(frozen=True)
class SeenPhotographs:
    """What photographs showed, and some of them as the model saw them."""

    found: PhotographEvaluation
    examples: list[tuple[PhotographExample, UInt8[np.ndarray, "H W *C"]]]


@dataclass(frozen=True)
class ReportData:
    """All that is known of a run."""

    run: Run
    model: Model
    #: the training part as it was stored, and with the labels that a person corrected
    given: Dataset
    training: Dataset
    test: Dataset
    probs: Float32[np.ndarray, "N K"]
    found: Evaluation
    analysis: Analysis
    findings: Findings
    #: None where it was not measured on photographs
    photographs: SeenPhotographs | None


def collect(run: Run, tell: Tell = lambda _step, _done: None) -> ReportData:
    """Return what is known of a run: what an earlier call kept, or found out now.

    Raises
    ------
    DamagedFileError, InputError
        The run's files or its data were changed, or its data is no longer where it was.
    """
    _begin(tell, "answers")
    predictor = Predictor(run)
    given, test = load_part(run, "train"), load_part(run, "test")
    training = apply(given, run.conditions.data.corrections)
    kept = _read(run, _key(run, training, test))
    if kept is not None:
        found = evaluate_part(run, test)
    else:
        said = predictor.outputs(test.images)
        found = evaluate_part(run, test, said)
        findings = examine_data(training, test, tell, mirror=_mirrors(run))
        analysis = analyse(
            test,
            said.probs,
            model=predictor.model,
            training=training,
            examples=run.source.examples,
            tell=lambda step: _begin(tell, step),
        )
        kept = {"probs": said.probs, **findings.to_arrays(), **analysis.to_arrays()}
        _write(run, kept, _key(run, training, test))
    _begin(tell, "page")
    return ReportData(
        run,
        predictor.model,
        given,
        training,
        test,
        kept["probs"],
        found,
        Analysis.from_arrays(kept),
        Findings.from_arrays(kept),
        see_photographs(run, predictor),
    )


def examine_data(
    training: Dataset,
    test: Dataset,
    tell: Tell = lambda _step, _done: None,
    *,
    mirror: bool = True,
) -> Findings:
    """Audit both parts, with out-of-fold probabilities of networks that did not see the images."""
    from lookbook.training import cross_validation  # noqa: PLC0415  # torch: not for a report that is written again

    _begin(tell, "out-of-fold")
    judged = cross_validation.out_of_fold(training, test, mirror=mirror)
    _begin(tell, "duplicates")
    return audit(training, test, judged)


def see_photographs(run: Run, predictor: Predictor) -> SeenPhotographs | None:
    """Return what photographs showed, with examples; None where nothing was measured on them.

    Examples whose file is gone, or has another answer by now, are left out.
    """
    found = run.photographs()
    if found is None:
        return None
    folder = Path(found.conditions.data)
    there = [one for one in found.examples if (folder / one.file).is_file()]
    answers = predictor.predict_each([folder / one.file for one in there])
    examples = [
        (one, seen.image)
        for one, seen in zip(there, answers, strict=True)
        if not isinstance(seen, InputError) and seen.name == one.answer
    ]
    return SeenPhotographs(found, examples)


def _mirrors(run: Run) -> bool:
    """Say whether images mirror well: as the run was told, or as is known of its data."""
    if run.recipe.network != "dense":
        return run.recipe.mirror
    return run.source.mirrors_well


def _begin(tell: Tell, step: str) -> None:
    names = list(STEPS)
    done = sum(STEPS[name] for name in names[: names.index(step)])
    tell(step, done / sum(STEPS.values()))


# ---- what is kept ----


def _key(run: Run, training: Dataset, test: Dataset) -> str:
    """Return what tells whether a kept analysis is of this model, this data and this format."""
    model = run.conditions.sha256[run.model.name]
    parts = (str(FORMAT), model, training.sha256(), test.sha256())
    return hashlib.sha256(" ".join(parts).encode()).hexdigest()


def _read(run: Run, key: str) -> dict[str, np.ndarray] | None:
    """Return what was kept; None where it is not there, of something else, or damaged."""
    try:
        with (
            open_plain(run.folder / ANALYSIS) as file,
            np.load(file, allow_pickle=False) as arrays,
        ):
            kept = dict(arrays)
    except Exception:  # noqa: BLE001  # whatever it is, it can be found out anew
        return None
    return kept if str(kept.pop("key", "")) == key else None


def _write(run: Run, arrays: dict[str, np.ndarray], key: str) -> None:
    buffer = io.BytesIO()
    np.savez_compressed(buffer, key=np.array(key), **arrays)  # type: ignore[arg-type]
    try:
        write_bytes(run.folder / ANALYSIS, buffer.getvalue(), argument=None)
    except OutputError as error:
        message = f"the analysis was not kept, the next report takes as long again: {error}"
        warnings.warn(LookbookWarning(message), stacklevel=3)
