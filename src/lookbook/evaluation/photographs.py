"""Evaluation on photographs: recognised kind by kind, refused, and how sure it is of them."""

from __future__ import annotations

import hashlib
import time
import warnings
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from msgspec import structs

from lookbook.core.files import open_plain, write_document
from lookbook.core.names import few, plain, text
from lookbook.data.formats.image_files import left_out
from lookbook.data.formats.image_folder import list_kinds
from lookbook.errors import InputError, LookbookWarning, OutputError
from lookbook.evaluation import metrics
from lookbook.evaluation.selection import choose_photographs
from lookbook.inference.predictor import Prediction, Predictor
from lookbook.runs.photograph_schema import (
    KindScore,
    PhotographConditions,
    PhotographEvaluation,
    PhotographExample,
    PhotographScores,
)
from lookbook.runs.store import PHOTOGRAPHS, Run, as_run

if TYPE_CHECKING:
    from collections.abc import Sequence

    from jaxtyping import Bool, Float, Int64

    from lookbook.data.catalog import BuiltinDataset

#: hears how many photographs are done, and of how many
Tell = Callable[[int, int], None]


@dataclass(frozen=True)
class Kind:
    """Photographs of one kind, and which of a model's classes are right for them."""

    name: str
    #: numbers of the classes; none where the photographs show none of them
    right: tuple[int, ...] = ()
    #: kinds of one group are taken for each other without much harm; None: no groups are known
    group: str | None = None


@dataclass(frozen=True)
class Photographs:
    """The photographs in a folder that has a folder for each kind."""

    folder: Path
    kinds: tuple[Kind, ...]
    files: tuple[Path, ...]
    #: number of the kind of each file
    labels: tuple[int, ...]

    def sha256(self) -> str:
        """Return the hash of the names and the content of all files, in their order."""
        digest = hashlib.sha256()
        for path in self.files:
            name = plain(path.relative_to(self.folder).as_posix())
            digest.update(hashlib.sha256(name.encode()).digest() + _digest(path))
        return digest.hexdigest()


@dataclass(frozen=True)
class Answers:
    """What a model made of photographs."""

    probs: Float[np.ndarray, "N K"]
    #: told as "not sure" or "not one of these", and as the latter
    refused: Bool[np.ndarray, "N"]
    strange: Bool[np.ndarray, "N"]
    #: number of the kind of each
    labels: Int64[np.ndarray, "N"]
    #: their files, from the folder on
    files: tuple[str, ...] = ()


def evaluate_photographs(
    run: Run | str | Path, photos: str | Path, *, tell: Tell = lambda _done, _n: None
) -> PhotographEvaluation:
    """Return what the run's model does on photographs, and keep it in the run's `photographs.json`.

    What an earlier call found is replaced.

    Parameters
    ----------
    run
        The run, its folder, or its name in `runs/`.
    photos
        A folder with a folder of photographs for each kind. A built-in dataset may know kinds and
        which classes are right for them: see its `photograph_kinds`. For other models a kind is
        the class of that name; kinds that are no class count as unknown.
    tell
        Hears how many photographs are done, and of how many.

    Returns
    -------
    PhotographEvaluation
        See `judge`, and the conditions.

    Raises
    ------
    DamagedFileError
        The run's files were changed.
    InputError
        There is no such folder, or no photograph in it of a kind that the model knows.
    """
    run = as_run(run)
    before = run.photographs()
    found = measure(run, photos, tell)
    _keep(run, found, before)
    return found


def measure(run: Run, photos: str | Path, tell: Tell) -> PhotographEvaluation:
    """Return what `evaluate_photographs` does, and keep it nowhere."""
    start, now = time.perf_counter(), datetime.now(UTC).isoformat(timespec="seconds")
    predictor = Predictor(run)
    classes = predictor.model.classes
    found = find_photographs(photos, classes, run.source.published)
    answers, unreadable = answer(predictor, found, tell)
    scores = judge(answers, found.kinds, classes)
    there = {one.kind for one in scores.per_kind}
    conditions = PhotographConditions(
        run=run.folder.name,
        recipe=run.recipe.name,
        data=text(str(found.folder.resolve())),
        sha256=found.sha256(),
        files=len(found.files),
        unreadable=len(unreadable),
        lacking=[kind.name for kind in found.kinds if kind.name not in there],
        seed=run.conditions.seed,
        started=now,
        seconds=time.perf_counter() - start,
    )
    return PhotographEvaluation(
        **structs.asdict(scores),
        examples=_examples(answers, found.kinds, classes),
        conditions=conditions,
    )


# ---- which photographs, and what is right for them ----


def find_photographs(
    folder: str | Path, classes: Sequence[str], published: BuiltinDataset | None = None
) -> Photographs:
    """Return the photographs in a folder, and which classes are right for them.

    The kinds are those of the dataset, in its order; or the classes that have a folder, and after
    them the other folders.

    Raises
    ------
    InputError
        There is no such folder, or none in it is of a kind that the model knows.
    """
    folder = Path(folder)
    if not folder.is_dir():
        raise InputError(
            f"{folder} is no folder; expected one that holds a folder of photographs for each kind"
        )
    files, names = list_kinds(folder)
    kinds = _match(names, classes, published)
    of_name = {plain(kind.name): number for number, kind in enumerate(kinds)}
    if not any(kind.right for kind in kinds if plain(kind.name) in names):
        known = [kind.name for kind in kinds] if _has_kinds(published) else list(classes)
        raise InputError(
            f"{folder} has no folder of a kind that the model knows: it has {few(names)}; name "
            f"them after those that it knows, {', '.join(known)}"
        )
    for note in files.notes:
        _warn(note)
    pairs = list(zip(files.paths, (names[label] for label in files.labels), strict=True))
    if others := [path for path, name in pairs if name not in of_name]:
        _warn(left_out(others, "in folders of other kinds than are measured"))
    labels, paths = zip(
        *sorted((of_name[name], path) for path, name in pairs if name in of_name), strict=True
    )
    return Photographs(folder, kinds, paths, labels)


def _match(
    names: Sequence[str], classes: Sequence[str], published: BuiltinDataset | None
) -> tuple[Kind, ...]:
    """Return the kinds that a dataset knows, or else those that folders are called after."""
    numbers = {plain(name): number for number, name in enumerate(classes)}
    if published is not None and published.photograph_kinds:
        return tuple(
            Kind(kind.name, tuple(numbers[name] for name in kind.classes), kind.group)
            for kind in published.photograph_kinds
        )
    known = sorted((name for name in names if name in numbers), key=lambda name: numbers[name])
    others = [name for name in names if name not in numbers]
    return (
        *(Kind(classes[numbers[name]], (numbers[name],)) for name in known),
        *map(Kind, others),
    )


def _has_kinds(published: BuiltinDataset | None) -> bool:
    return published is not None and bool(published.photograph_kinds)


def _digest(path: Path) -> bytes:
    """Return the hash of a file; of one that cannot be opened zeros."""
    try:
        with open_plain(path) as file:
            return hashlib.file_digest(file, "sha256").digest()
    except OSError:
        return bytes(32)


# ---- what the model makes of them ----


def answer(
    predictor: Predictor, photographs: Photographs, tell: Tell
) -> tuple[Answers, list[Path]]:
    """Return what a model makes of photographs, and which of them cannot be read.

    Raises
    ------
    InputError
        None of a kind that it knows can be read.
    """
    rows: list[tuple[Float[np.ndarray, "K"], bool, bool, int, str]] = []
    unreadable = []
    for path, label, one in _each(predictor, photographs, tell):
        if isinstance(one, InputError):
            unreadable.append(path)
        else:
            name = text(path.relative_to(photographs.folder).as_posix())
            rows.append((one.probs, one.verdict != "answer", one.strange, label, name))
    if unreadable:
        _warn(left_out(unreadable, "no images, or damaged"))
    if not any(photographs.kinds[label].right for *_, label, _ in rows):
        raise InputError(
            f"{photographs.folder} holds no photograph that can be read of a kind that the model "
            "knows; add some"
        )
    probs, refused, strange, labels, files = zip(*rows, strict=True)
    answers = Answers(
        np.stack(probs).astype(np.float64),
        np.array(refused),
        np.array(strange),
        np.array(labels),
        files,
    )
    return answers, unreadable


def _each(
    predictor: Predictor, photographs: Photographs, tell: Tell
) -> Iterator[tuple[Path, int, Prediction | InputError]]:
    """Yield each photograph with the number of its kind and what is made of it."""
    files, labels = photographs.files, photographs.labels
    given = zip(files, labels, predictor.predict_each(files), strict=True)
    for done, each in enumerate(given, 1):
        yield each
        tell(done, len(files))


# ---- what that is worth ----


def judge(answers: Answers, kinds: Sequence[Kind], classes: Sequence[str]) -> PhotographScores:
    """Return what answers to photographs are worth.

    The answer is the most probable class, whether or not it was refused. Its probability is that
    of the class, or of the classes together that are right for the same kind (sandal, sneaker and
    ankle boot for shoes). Means are over kinds that have photographs, each of which counts the
    same.

    `accuracy` and `refused` are of all kinds that have a right class; `accuracy_with_shoes` is the
    former of a dataset's own kinds, `accuracy_garments` and `garments_refused` of those that are
    one class alone, and `accuracy_groups` counts an answer of the right group. `accuracy_top_half`
    is the share that is right of the half of the answers whose probability is highest, and `ece`
    their calibration error, without regard to kinds. `unknown_refused` is of kinds that have no
    right class.
    """
    n = np.bincount(answers.labels, minlength=len(kinds))
    there = [number for number in range(len(kinds)) if n[number]]
    known = [number for number in there if kinds[number].right]
    grouped = [number for number in known if kinds[number].group]
    garments = [number for number in grouped if len(kinds[number].right) == 1]
    right, same_group = _hits(answers, kinds)
    inside = np.isin(answers.labels, known)
    confidence, hits = answer_probability(answers.probs, kinds)[inside], right[inside]

    def mean(of: Bool[np.ndarray, "N"], over: list[int]) -> tuple[float, float] | None:
        return mean_over_kinds(of, answers.labels, over) if over else None

    shares = {
        "accuracy": mean(right, known),
        "accuracy_garments": mean(right, garments),
        "accuracy_with_shoes": mean(right, grouped),
        "accuracy_top_half": surest_half(confidence, hits),
        "accuracy_groups": mean(same_group, grouped),
        "unknown_refused": mean(answers.refused, [each for each in there if each not in known]),
        "garments_refused": mean(answers.refused, garments),
        "refused": mean(answers.refused, known),
    }
    return PhotographScores(
        **{name: share and share[0] for name, share in shares.items()},  # type: ignore[arg-type]  # there is a known kind
        ece=metrics.confidence_error(confidence, hits),
        n=len(answers.labels),
        standard_errors={name: share[1] for name, share in shares.items() if share},
        per_kind=[_score(answers, number, kinds[number], classes) for number in there],
        classes=list(classes),
    )


def _hits(
    answers: Answers, kinds: Sequence[Kind]
) -> tuple[Bool[np.ndarray, "N"], Bool[np.ndarray, "N"]]:
    """Say which answers are right, and which are of the right group."""
    top = answers.probs.argmax(axis=1)
    right = np.zeros(len(top), bool)
    same_group = np.zeros(len(top), bool)
    for number, kind in enumerate(kinds):
        inside = answers.labels == number
        right[inside] = np.isin(top[inside], kind.right)
        near = [k for one in kinds if kind.group and one.group == kind.group for k in one.right]
        same_group[inside] = np.isin(top[inside], near)
    return right, same_group


def mean_over_kinds(
    hits: Bool[np.ndarray, "N"], labels: Int64[np.ndarray, "N"], kinds: Sequence[int]
) -> tuple[float, float]:
    """Return the mean over kinds of the share that hits, and its standard error.

    That is √(Σ p(1−p)/n) / K, as the photographs of each kind were drawn by themselves.

    >>> mean_over_kinds(np.array([True, False, True]), np.array([0, 0, 1]), [0, 1])
    (0.75, 0.176...)
    """
    shares = np.array([hits[labels == kind].mean() for kind in kinds])
    counts = np.array([(labels == kind).sum() for kind in kinds])
    error = np.sqrt((shares * (1 - shares) / counts).sum()) / len(kinds)
    return float(shares.mean()), float(error)


def answer_probability(
    probs: Float[np.ndarray, "N K"], kinds: Sequence[Kind]
) -> Float[np.ndarray, "N"]:
    """Return the probability of each answer, of classes that one kind may be together.

    >>> answer_probability(np.array([[0.4, 0.3, 0.3], [0.2, 0.2, 0.6]]), [Kind("shoes", (0, 1))])
    array([0.7, 0.6])
    """
    top, confidence = probs.argmax(axis=1), probs.max(axis=1)
    for kind in kinds:
        inside = np.isin(top, kind.right)
        confidence[inside] = probs[inside][:, kind.right].sum(axis=1)
    return np.asarray(np.minimum(confidence, 1))


def surest_half(
    confidence: Float[np.ndarray, "N"], right: Bool[np.ndarray, "N"]
) -> tuple[float, float]:
    """Return the share that is right of the surer half of the answers, and its standard error.

    Of an odd number one more than half, and all that are as sure as the last of these.

    >>> surest_half(np.array([0.9, 0.8, 0.7, 0.6]), np.array([True, False, False, True]))
    (0.5, 0.353...)
    """
    least = np.sort(confidence)[::-1][(len(confidence) - 1) // 2]
    half = right[confidence >= least]
    share = float(half.mean())
    return share, float(np.sqrt(share * (1 - share) / len(half)))


def _score(answers: Answers, number: int, kind: Kind, classes: Sequence[str]) -> KindScore:
    """Return how the photographs of one kind were answered."""
    inside = answers.labels == number
    counts = np.bincount(answers.probs[inside].argmax(axis=1), minlength=len(classes))
    wrong = counts.copy()
    wrong[list(kind.right)] = 0
    return KindScore(
        kind=kind.name,
        classes=[classes[k] for k in kind.right],
        n=int(inside.sum()),
        right=int(counts[list(kind.right)].sum()) if kind.right else None,
        refused=int(answers.refused[inside].sum()),
        strange=int(answers.strange[inside].sum()),
        answers=counts.tolist(),
        most_wrong=classes[int(wrong.argmax())] if wrong.any() else None,
    )


def _examples(
    answers: Answers, kinds: Sequence[Kind], classes: Sequence[str]
) -> list[PhotographExample]:
    """Return the photographs that a report shows, with the answers to them."""
    right, _ = _hits(answers, kinds)
    confidence, top = answer_probability(answers.probs, kinds), answers.probs.argmax(axis=1)
    return [
        PhotographExample(
            file=answers.files[index],
            kind=kinds[answers.labels[index]].name,
            answer=classes[top[index]],
            probability=float(confidence[index]),
            right=bool(right[index]) if kinds[answers.labels[index]].right else None,
        )
        for index in choose_photographs(answers.labels, right, confidence)
    ]


def _keep(run: Run, found: PhotographEvaluation, before: PhotographEvaluation | None) -> None:
    """Write what was found into the run, and say what it replaces."""
    try:
        write_document(run.folder / PHOTOGRAPHS, found.to_json())
    except OutputError as error:
        _warn(f"the result was not kept: {error}")
        return
    if before is not None and before.conditions.sha256 != found.conditions.sha256:
        _warn(
            f"{run.folder / PHOTOGRAPHS} told of other photographs, those in "
            f"{before.conditions.data}; it was replaced"
        )


def _warn(message: str) -> None:
    warnings.warn(LookbookWarning(message), stacklevel=4)
