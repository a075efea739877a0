"""Documents of a run as its training makes them: metrics, conditions, what the model file says."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from lookbook.core.environment import Environment
from lookbook.data.formats.source import DataSource
from lookbook.evaluation import metrics
from lookbook.inference.graphs.backbone import Backbone
from lookbook.inference.model_card import Data, ModelCard
from lookbook.inference.thresholds import CalibrationSet, PhotographCalibration
from lookbook.networks.classifier import Classifier
from lookbook.networks.devices import accelerator_name, pick_device
from lookbook.networks.onnx_export import UNSTATED, describe
from lookbook.recipes import Recipe
from lookbook.runs.backbone_schema import FrozenBackbone
from lookbook.runs.balance_schema import ClassBalance
from lookbook.runs.config import TrainConfig
from lookbook.runs.data_parts import TrainingParts
from lookbook.runs.schema import Conditions, Metrics
from lookbook.training.calibration import Unseen, probs_of
from lookbook.training.loop import Fitted
from lookbook.training.state import epochs_done

if TYPE_CHECKING:
    import numpy as np
    from jaxtyping import Shaped


def measure(
    fitted: Fitted,
    unseen: Unseen,
    parts: TrainingParts,
    seconds: dict[str, float],
    backbone: Backbone | None = None,
    *,
    mirrored: bool = False,
) -> Metrics:
    """Return what `metrics.json` holds; features of `mirrored` images were learnt from, too."""
    temperature = float(fitted.classifier.temperature)
    validation = metrics.on_validation(
        probs_of(fitted.classifier, unseen.logits), unseen.labels, unseen.of
    )
    epochs = epochs_done(fitted.history)
    balanced = None
    if fitted.classifier.caution is not None and validation:
        balanced = metrics.confusion_matrix(unseen.logits, unseen.labels)
    learnt = len(parts.learnt)
    if backbone is not None:  # a budget may have left some out; mirrored ones count once
        learnt = fitted.history[0].images // (2 if mirrored else 1)
    own = sum(p.numel() for p in fitted.classifier.folded().network.parameters())
    return Metrics(
        fit_seconds=seconds["fit"],
        calibration_seconds=seconds["calibration"],
        validation=validation,
        epochs=epochs,
        weaknesses=metrics.weaknesses(validation, epochs, balanced),
        temperature=temperature,
        parameters=own + (0 if backbone is None else backbone.parameters),
        training_images=learnt,
        stopped=fitted.stopped,
    )


def describe_conditions(
    config: TrainConfig,
    parts: TrainingParts,
    *,
    started: str,
    on: int,
    seconds: dict[str, float],
    sha256: dict[str, str],
) -> Conditions:
    """Return what `conditions.json` holds; `on` so many threads it was trained."""
    here = Environment.here(accelerator_name())
    return Conditions(
        started=started,
        data=parts.data,
        seed=config.seed,
        final=config.final,
        device=str(pick_device()),
        threads=on,
        processes=config.processes,
        machine=here.machine,
        versions=here.versions,
        class_weights=ClassBalance.of(config.recipe, parts.learnt.counts.tolist()),
        recipe_choice=config.recipe_choice,
        seconds=seconds,
        sha256=sha256,
    )


def describe_model(
    classifier: Classifier,
    images: Shaped[np.ndarray, "N *shape"],
    parts: TrainingParts,
    recipe: Recipe,
    measured: Metrics,
    calibration: CalibrationSet | None,
    photographs: PhotographCalibration | None,
    backbone: Backbone | None = None,
) -> ModelCard:
    """Return what the model file says of itself."""
    source, said = parts.source, None if backbone is None else backbone.said
    return describe(
        classifier,
        images,
        recipe,
        parts.whole.classes,
        parts.data.polarity,
        validation=measured.validation,
        weaknesses=measured.weaknesses,
        calibration=calibration,
        # of one's own data the last part of its name: where it lies is nobody else's business
        data=Data(
            Path(source.identity).name, source.published is not None, parts.data.train_sha256
        ),
        licence=_licence(source, said),
        on_photographs=photographs,
        photographs=source.cuts_out_photographs,
        backbone=said,
    )


def _licence(source: DataSource, backbone: FrozenBackbone | None) -> str:
    """Say under which licence the data is; nobody but who trained a model decides on its own."""
    known = source.published
    said = UNSTATED
    if known is not None:
        said = f"trained on {known.title} ({known.licence}, {known.homepage})"
    if backbone is None:
        return said
    return f"{said}; it holds the weights of {backbone.file}, which have a licence of their own"
