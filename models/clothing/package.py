"""Package: a student as a run, calibrated, its model file with weights of 16 bits."""

from __future__ import annotations

import hashlib
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

from lookbook.core.environment import processor, versions
from lookbook.data.splits import SPLIT
from lookbook.inference.model import Model
from lookbook.networks.classifier import Classifier
from lookbook.networks.onnx_export import to_onnx
from lookbook.networks.scaling import Bytes
from lookbook.runs.config import TrainConfig
from lookbook.runs.data_parts import TrainingParts, describe_data
from lookbook.runs.store import MODEL, Run, write_run
from lookbook.training.calibration import Unseen, answer, calibrate, find_sure, learn_novelty
from lookbook.training.documents import describe_conditions, describe_model, measure
from lookbook.training.loop import Fitted
from models.clothing.student import held_out

if TYPE_CHECKING:
    from lookbook.data.formats.source import DataSource
    from lookbook.networks.conv import ConvNetwork
    from lookbook.recipes import Recipe
    from lookbook.runs.schema import EpochRecord

#: numbers of a constant from which on it is kept in 16 bits
MANY = 5000


def halve(model: Model) -> Model:
    """Return a model whose large constants have 16 bits, and are made 32 before anything else.

    The whitening layer keeps 32: its products must cancel each other.
    """
    written = onnx.load_from_string(model.content)
    graph, casts = written.graph, []
    for constant in graph.initializer:
        large = np.prod(constant.dims) >= MANY and constant.data_type == TensorProto.FLOAT
        if not large or constant.name == "network.whitening":
            continue
        values = numpy_helper.to_array(constant).astype(np.float16)
        constant.CopyFrom(numpy_helper.from_array(values, constant.name))
        casts.append((constant.name, f"{constant.name}.wide"))
    wide = dict(casts)
    for node in graph.node:
        for place, name in enumerate(node.input):
            node.input[place] = wide.get(name, name)
    made = [helper.make_node("Cast", [one], [other], to=TensorProto.FLOAT) for one, other in casts]
    nodes = [*made, *graph.node]
    del graph.node[:]
    graph.node.extend(nodes)
    del written.metadata_props[:]
    return Model.write(written, model.card)


def package(
    network: ConvNetwork,
    source: DataSource,
    size: int,
    recipe: Recipe,
    history: list[EpochRecord],
    folder: Path,
) -> Run:
    """Calibrate a student by the photographs that it did not learn from, and write it as a run.

    Parameters
    ----------
    network
        The student.
    source, size
        The photographs, and the side in which it is to see them.
    recipe, history
        How it was trained.
    folder
        Where the run is written.
    """
    whole = source.load("train", size=size)
    held = held_out(whole.labels)
    training, validation = whole.take(np.setdiff1d(np.arange(len(whole)), held)), whole.take(held)
    classifier = Classifier(Bytes(), network, mirror=True).eval()
    labelled = np.ascontiguousarray(validation.images), validation.labels
    classifier.sure.fill_(find_sure(classifier, labelled, classifier.sure.device))
    logits = answer(lambda raw: classifier.look(raw)[0], labelled, classifier.sure.device, 0)
    learn_novelty(classifier, (np.ascontiguousarray(training.images), training.labels))
    seconds = history[-1].seconds
    fitted = Fitted(classifier, history, seconds, logits, stopped=False)
    unseen = Unseen.by(classifier, logits, labelled)
    calibration = calibrate(classifier, unseen)
    data = describe_data(source, whole, (whole.sha256(), None), SPLIT, [])
    parts = TrainingParts(source, data, whole, training, validation, final=False)
    spent = {"fit": seconds, "calibration": 0.0}
    measured = measure(fitted, unseen, parts, spent)
    images = training.images[:64]
    card = describe_model(classifier, images, parts, recipe, measured, calibration, None)
    content = halve(to_onnx(classifier, images, card)).content
    config = TrainConfig(
        data=source.identity,
        recipe=recipe,
        seed=0,
        size=size,
        final=False,
        fit_seconds=None,
        train_sha256=data.train_sha256,
        split=SPLIT,
        versions=versions(),
        processor=processor(),
        threads=1,
    )
    conditions = describe_conditions(
        config,
        parts,
        started=datetime.now(UTC).isoformat(timespec="seconds"),
        on=1,
        seconds=spent,
        sha256={MODEL: hashlib.sha256(content).hexdigest()},
    )
    return write_run(Run(folder, recipe, history, measured, conditions), {MODEL: content})
