"""Rows of their own for recognition: models that saw photographs of the kinds they judge."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

import numpy as np
import torch
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from torch import nn

from lookbook.errors import InputError
from lookbook.evaluation.photographs import Answers, Photographs, find_photographs, judge
from lookbook.inference.predictor import Predictor
from lookbook.networks.weights import load_network
from lookbook.runs.store import Run

if TYPE_CHECKING:
    from collections.abc import Callable

    from jaxtyping import Float, Int64, UInt8

    from lookbook.images.specification import Preprocessing
    from lookbook.networks.classifier import Classifier

#: share of the norms' statistics that photographs decide: all of it costs garments, none shoes
SHARE = 0.5
#: labelled photographs of each kind
LABELLED = 10
#: what is refused is not measured for these rows
REFUSED = ("unknown_refused", "garments_refused", "refused")
#: images that go through the network at once
AT_ONCE = 500


def measure_adapted(run: Run, folder: Path, others: Path) -> list[dict[str, Any]]:
    """Return what a run's network does on a folder, once it saw photographs of another one.

    Two rows: adapted to `others` without their labels; and with ten labels of each kind.
    """
    names = run.recipe.name, run.conditions.seed
    judged, seen = (_prepare(run, each) for each in (folder, others))
    rows = {
        f"{names[0]}, adapted to {len(seen[1]):,} unlabelled": _adapted,
        f"{names[0]}, {LABELLED} labelled of each kind": _with_labels,
    }
    found = []
    for name, method in rows.items():
        document = _judge(run, judged, method(run, judged[1], seen))
        found.append({"name": name, "seed": names[1], "folder": folder.resolve().name, **document})
    return found


#: photographs, those of them that can be read, as the model takes them, and their kinds
Prepared = tuple[Photographs, "UInt8[np.ndarray, 'N H W']", "Int64[np.ndarray, 'N']"]


#: steps and folder → what came of it: runs of one dataset share it
_PREPARED: dict[tuple[Preprocessing | None, Path], Prepared] = {}


def _prepare(run: Run, folder: Path) -> Prepared:
    """Return a folder's photographs as the run's model takes them; read once for all runs."""
    predictor = Predictor(run)
    key = predictor.model.preprocessing, folder.resolve()
    if key not in _PREPARED:
        _PREPARED[key] = _read(run, predictor, folder)
    return _PREPARED[key]


def _read(run: Run, predictor: Predictor, folder: Path) -> Prepared:
    found = find_photographs(folder, predictor.model.classes, run.source.published)
    samples = predictor.read_each(found.files)
    kept = [
        (one.image, label)
        for one, label in zip(samples, found.labels, strict=True)
        if not isinstance(one, InputError)
    ]
    images, labels = zip(*kept, strict=True)
    return found, np.stack(images), np.array(labels)


def _judge(run: Run, judged: Prepared, probs: Float[np.ndarray, "N K"]) -> dict[str, Any]:
    photographs, _, labels = judged
    refused = np.zeros(len(labels), bool)
    answers = Answers(probs, refused, refused, labels)
    scores = judge(answers, photographs.kinds, Predictor(run).model.classes).to_json()
    scores |= dict.fromkeys(REFUSED)
    sha256 = photographs.sha256()
    unreadable = len(photographs.files) - len(labels)
    return scores | {"conditions": {"sha256": sha256, "unreadable": unreadable}}


def _adapted(
    run: Run, images: UInt8[np.ndarray, "N H W"], seen: Prepared
) -> Float[np.ndarray, "N K"]:
    """Move the statistics of each norm towards those of photographs, first layer to last.

    Source: Li et al. (2018), "Adaptive batch normalization for practical domain adaptation".
    """
    classifier = _network(run)
    norms = [each for each in classifier.network.modules() if isinstance(each, nn.BatchNorm2d)]
    for norm in norms:
        inputs: list[torch.Tensor] = []
        hook = norm.register_forward_pre_hook(lambda _, given, kept=inputs: kept.extend(given))
        _through(lambda raw: classifier.network(classifier.scaler(raw)), seen[1])
        hook.remove()
        maps = torch.cat(inputs)
        for kept, new in (
            (norm.running_mean, maps.mean((0, 2, 3))),
            (norm.running_var, maps.var((0, 2, 3))),
        ):
            if kept is not None:
                kept.lerp_(new, SHARE)
    probs = _through(lambda raw: classifier(raw)[1], images).numpy()
    on_photographs = Predictor(run).on_photographs
    return (on_photographs.temper(probs) if on_photographs else probs).astype(np.float64)


def _with_labels(
    run: Run, images: UInt8[np.ndarray, "N H W"], seen: Prepared
) -> Float[np.ndarray, "N K"]:
    """Fit a logistic regression on traits of a few labelled photographs.

    Kinds that no class is right for count as a bag, which no photograph shows.
    """
    classifier = _network(run)
    photographs, others, labels = seen
    rng = np.random.default_rng(run.conditions.seed)
    chosen = np.concatenate(
        [rng.permutation(np.flatnonzero(labels == kind))[:LABELLED] for kind in np.unique(labels)]
    )
    traits, known = (
        _through(lambda raw: classifier.network.with_traits(classifier.scaler(raw))[1], each)
        for each in (images, others[chosen])
    )
    head = make_pipeline(StandardScaler(), LogisticRegression(C=0.03, max_iter=2000))
    by_kind = head.fit(known.numpy(), labels[chosen]).predict_proba(traits.numpy())
    classes = Predictor(run).model.classes
    probs = np.zeros((len(images), len(classes)))
    for kind, share in zip(head.classes_, by_kind.T, strict=True):
        right = photographs.kinds[kind].right or (classes.index("Bag"),)
        probs[:, right[0]] += share
    return probs


def _network(run: Run) -> Classifier:
    return cast("Classifier", load_network(run).eval())


@torch.no_grad()
def _through(
    look: Callable[[torch.Tensor], torch.Tensor], images: UInt8[np.ndarray, "N H W"]
) -> torch.Tensor:
    """Return what comes of raw images, a few hundred at a time."""
    return torch.cat([look(part) for part in torch.from_numpy(images).split(AT_ONCE)])
