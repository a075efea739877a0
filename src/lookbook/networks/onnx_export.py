"""ONNX export of a trained network, accepted if the file gives the same answers."""

from __future__ import annotations

import copy
import io
import math
import warnings
from importlib.metadata import version
from typing import TYPE_CHECKING

import numpy as np
import onnx
import torch
from msgspec import UNSET

from lookbook.errors import TrainingError
from lookbook.images.specification import Preprocessing
from lookbook.inference.graphs.limits import OPSET
from lookbook.inference.model import Model, Outputs
from lookbook.inference.model_card import Data, ModelCard, Views
from lookbook.networks.conv import ConvNetwork
from lookbook.networks.devices import as_tensor

if TYPE_CHECKING:
    from collections.abc import Sequence

    from jaxtyping import Float32, Shaped

    from lookbook.images.specification import Polarity
    from lookbook.inference.graphs.backbone import Backbone
    from lookbook.inference.thresholds import CalibrationSet, PhotographCalibration
    from lookbook.networks.classifier import Classifier
    from lookbook.recipes import Recipe
    from lookbook.runs.backbone_schema import FrozenBackbone
    from lookbook.runs.schema import Validation, Weakness

#: what a model says of its licence where nobody has stated one
UNSTATED = "not stated: it is for whoever trained this model to say, as the images allow"
#: largest difference of probabilities between the network and its file
TOLERANCE = 1e-4
#: and share by which a novelty may differ
NOVELTY_TOLERANCE = 1e-2
PARITY_BATCHES = (1, 2, 7, 64)


def describe(
    classifier: Classifier,
    images: Shaped[np.ndarray, "N *shape"],
    recipe: Recipe,
    classes: Sequence[str],
    polarity: Polarity,
    *,
    validation: Validation | None,
    weaknesses: list[Weakness],
    calibration: CalibrationSet | None,
    data: Data,
    licence: str = UNSTATED,
    photographs: bool = False,
    on_photographs: PhotographCalibration | None = None,
    backbone: FrozenBackbone | None = None,
) -> ModelCard:
    """Return what a model file says of itself.

    Parameters
    ----------
    classifier, recipe
        The calibrated network, and what it was made by.
    images
        Some raw inputs, of the type and shape that the model takes.
    classes
        Names of the classes, in the order of the logits.
    polarity
        Whether the images that it was trained on show light things on dark ground, or the
        reverse: odd images were inverted, and are to be.
    validation
        How good answers to the validation part are: see `metrics.on_validation`.
    weaknesses
        Why it is not to be relied on: see `metrics.weaknesses`.
    calibration
        What sets the thresholds.
    data
        What it was trained on.
    photographs
        Whether what lies in the middle of photographs is cut out before the model answers.
    on_photographs
        How sure its answers to these are.
    backbone
        The user's network that features come from.
    """
    shape = images.shape[1:]
    return ModelCard(
        classes=list(classes),
        polarity=polarity,
        temperature=float(classifier.temperature),
        caution=UNSET if classifier.caution is None else classifier.caution.tolist(),
        calibration=calibration,
        recipe=recipe,
        validation=validation,
        weaknesses=list(weaknesses),
        data=data,
        licence=licence,
        lookbook=version("lookbook"),
        preprocessing=Preprocessing.of(shape, polarity, photographs=photographs),
        input_shape=shape,
        input_dtype="uint8" if images.dtype == np.uint8 else "float32",
        views=_views(classifier),
        photographs=on_photographs if photographs else UNSET,
        backbone=UNSET if backbone is None else backbone,
    )


def to_onnx(
    classifier: Classifier,
    sample: Shaped[np.ndarray, "N *shape"],
    card: ModelCard,
    backbone: Backbone | None = None,
) -> Model:
    """Return a classifier as a model file that holds weights, scaling, temperature and `card`.

    The file holds the classifier `folded`, its whitening `unfolded`; its answers are compared with
    those of the classifier as it was trained.

    Parameters
    ----------
    classifier
        The trained network.
    sample
        Some raw inputs, of the type and shape that the model takes; parity is checked on them.
    card
        What the file says of itself: see `describe`.
    backbone
        The user's network whose features the classifier takes; it becomes part of the file.

    Raises
    ------
    TrainingError
        The file's answers differ from the network's: see `check_parity`.
    """
    classifier = classifier.eval().cpu()
    given = sample[:2] if backbone is None else _features(backbone, sample[:2])
    names = ["images", *Outputs._fields]
    buffer = io.BytesIO()
    with warnings.catch_warnings():
        # the exporter through TorchScript takes 0.1 s and needs no further package;
        # the newer one took 5 s
        warnings.simplefilter("ignore", DeprecationWarning)
        # mirroring is a slice with a step of -1, which this exporter only leaves as it is
        warnings.filterwarnings("ignore", "Constant folding - Only steps=1")
        # sides of maps are constants of the file
        warnings.simplefilter("ignore", torch.jit.TracerWarning)  # type: ignore[attr-defined]
        torch.onnx.export(
            _as_exported(classifier),
            (as_tensor(given),),
            buffer,  # type: ignore[arg-type]  # this exporter writes into open files, too
            dynamo=False,
            input_names=names[:1],
            output_names=names[1:],
            dynamic_axes={name: {0: "N"} for name in names},
            opset_version=OPSET if backbone is None else backbone.opset,
        )
    written = onnx.load_from_string(buffer.getvalue())
    for constant in written.graph.initializer:
        if constant.name == "sure":
            constant.CopyFrom(onnx.numpy_helper.from_array(classifier.sure.numpy(), "sure"))
    if backbone is not None:
        written = backbone.merge(written)
    model = Model.write(written, card)
    check_parity(classifier, model, sample, backbone)
    return model


def _features(
    backbone: Backbone, images: Shaped[np.ndarray, "N *shape"]
) -> Float32[np.ndarray, "N D"]:
    return np.concatenate(list(backbone.features(images)))


def _views(classifier: Classifier) -> Views | None:
    """Say which views an image is looked at in, where one leaves the network unsure."""
    if not classifier.has_views:
        return None
    # infinity is no JSON; no probability reaches 2
    sure = min(float(classifier.sure), 2.0)
    return Views(classifier.mirror, classifier.shift, sure, classifier.RAMP)


def _as_exported(classifier: Classifier) -> Classifier:
    """Return the same function of pixels, in the form of a file.

    Every image is looked at in several views: the exporter cannot follow an empty batch.
    """
    exported = copy.deepcopy(classifier.folded())
    exported.sure.fill_(math.inf)
    if isinstance(exported.network, ConvNetwork):
        exported.network = exported.network.unfolded()
    return exported


def check_parity(
    classifier: Classifier,
    model: Model,
    sample: Shaped[np.ndarray, "N *shape"],
    backbone: Backbone | None = None,
) -> None:
    """Compare the network's answers with the file's, at batches of 1, 2, 7 and 64.

    A backbone is the same in both, and slow: with one, batches of 1, 2 and 7 are enough.

    Raises
    ------
    TrainingError
        Probabilities differ by more than 1e-4, or a novelty by more than a hundredth.
    """
    for n in PARITY_BATCHES if backbone is None else PARITY_BATCHES[:-1]:
        batch = np.resize(sample, (n, *sample.shape[1:]))
        with torch.inference_mode():
            given = batch if backbone is None else _features(backbone, batch)
            expected = Outputs(*(each.numpy() for each in classifier(as_tensor(given))))
        outputs = model.predict(batch)
        difference = float(np.abs(outputs.probs - expected.probs).max())
        if not difference <= TOLERANCE:
            raise TrainingError(
                f"the model file differs from the network by {difference:.1e} in a probability "
                f"(allowed: {TOLERANCE:.0e}, batch of {n}); please report this with the recipe"
            )
        if not np.allclose(outputs.novelty, expected.novelty, rtol=NOVELTY_TOLERANCE, atol=1e-3):
            raise TrainingError(
                f"the model file differs from the network in novelty (batch of {n}): "
                f"{outputs.novelty.max():g} is not {expected.novelty.max():g}; please report this "
                "with the recipe"
            )
