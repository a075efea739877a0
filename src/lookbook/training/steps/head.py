"""Head first: pretrained weights, and a last layer by logistic regression on their features."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import torch

from lookbook.core.arrays import sample
from lookbook.networks.classifier import Classifier
from lookbook.networks.dense import LinearHead
from lookbook.networks.devices import as_tensor
from lookbook.networks.efficientnet import EfficientNet, HeadOnFeatures, middle
from lookbook.networks.pretrained import load_pretrained
from lookbook.networks.scaling import Scaler

if TYPE_CHECKING:
    from jaxtyping import Float, Float32, Int64, UInt8

#: images by which a head is fitted, and how many go through the network at once
MOST, AT_ONCE = 1000, 8
#: inverse of the strength of the penalty on weights; between 3 and 30 accuracy moves by half a
#: point (docs/log.md, a pretrained start)
INVERSE_PENALTY = 10.0


def warm_start(
    classifier: Classifier,
    images: UInt8[np.ndarray, "N *shape"],
    labels: Int64[np.ndarray, "N"],
    known: Float32[np.ndarray, "N V T"] | None = None,
    *,
    balanced: bool = False,
) -> Float32[np.ndarray, "M V T"]:
    """Give a network the weights that ImageNet taught, and the head that suits their features.

    Returns these, of up to 1,000 of the images, and of mirrored ones where that is done; `known`
    ones of all images are not computed again. Each class counts as much where it is `balanced`.

    Raises
    ------
    InputError, DamagedFileError
        As `load_pretrained`.
    """
    network = _network(classifier)
    state = load_pretrained().state_dict()
    own = {f"head.{name}": value for name, value in network.head.state_dict().items()}
    for module in network.modules():
        if isinstance(module, torch.nn.Conv2d):
            # a step takes half the time where channels lie last
            module.weight.data = module.weight.contiguous(memory_format=torch.channels_last)
    network.load_state_dict(state | own)
    network.freeze_front()
    features = known if known is not None else _features(classifier, sample(images, MOST))
    fit_head(network.head, features, sample(labels, MOST), balanced=balanced)
    return features


def fit_head(
    head: torch.nn.Linear,
    features: Float32[np.ndarray, "N V T"],
    labels: Int64[np.ndarray, "N"],
    *,
    balanced: bool = False,
) -> None:
    """Set the last layer by logistic regression on features of images and of mirrored ones."""
    views = features.swapaxes(0, 1)
    regress(head, np.concatenate(views), np.tile(labels, len(views)), balanced=balanced)


def on_features(classifier: Classifier) -> Classifier:
    """Return a classifier with this head and novelty, that takes maps of features for images."""
    alone = _head_alone(_network(classifier).head, mirror=classifier.mirror)
    alone.novelty = classifier.novelty
    return alone


def fit_alone(
    maps: Float32[np.ndarray, "N T 1 V"],
    labels: Int64[np.ndarray, "N"],
    n_classes: int,
    *,
    balanced: bool = False,
) -> Classifier:
    """Return a classifier of maps of features, whose head is fitted to these."""
    head = torch.nn.Linear(maps.shape[1], n_classes)
    torch.nn.init.zeros_(head.weight)
    torch.nn.init.zeros_(head.bias)
    fit_head(head, maps[:, :, 0].swapaxes(1, 2), labels, balanced=balanced)
    return _head_alone(head, mirror=maps.shape[3] > 1)


def fit_on_maps(
    maps: Float32[np.ndarray, "N D 1 V"],
    labels: Int64[np.ndarray, "N"],
    n_classes: int,
    *,
    balanced: bool,
) -> Classifier:
    """Return a classifier of maps of another network's features, which answers by the first view.

    Its head is fitted to features of all views.
    """
    views = maps[:, :, 0].transpose(2, 0, 1)
    features, answers = np.concatenate(views), np.tile(labels, len(views))
    classifier = Classifier(Scaler(features), LinearHead(maps.shape[1], n_classes)).eval()
    fit_on_features(classifier, features, answers, balanced=balanced)
    classifier.scaler = torch.nn.Sequential(_FirstView(), classifier.scaler)
    return classifier


class _FirstView(torch.nn.Module):
    """The features of the first view of a map."""

    def forward(self, maps: Float[torch.Tensor, "N D 1 V"]) -> Float[torch.Tensor, "N D"]:
        """Return these."""
        return maps[:, :, 0, 0]


def _head_alone(head: torch.nn.Linear, *, mirror: bool) -> Classifier:
    return Classifier(torch.nn.Identity(), HeadOnFeatures(head), mirror=mirror).eval()


def as_maps(features: Float32[np.ndarray, "N V T"]) -> Float32[np.ndarray, "N T 1 V"]:
    """Return features of views as maps of one row, which mirrored shows those of another view."""
    return np.ascontiguousarray(features.swapaxes(1, 2)[:, :, None])


def fit_on_features(
    classifier: Classifier,
    features: Float32[np.ndarray, "N D"],
    labels: Int64[np.ndarray, "N"],
    *,
    balanced: bool,
) -> None:
    """Set the head on features of another network by logistic regression."""
    scaler, network = classifier.scaler, classifier.network
    if not (isinstance(scaler, Scaler) and isinstance(network, LinearHead)):
        raise TypeError(network)
    shift, scale = scaler.shift.cpu().numpy(), scaler.scale.cpu().numpy()
    regress(network.head, features - shift, labels, balanced=balanced)
    # what it sees are features of spread 1; one that never changes has no weight
    spread = np.divide(1, scale, out=np.zeros_like(scale), where=scale > 0)
    network.head.weight.data.mul_(torch.from_numpy(spread).to(network.head.weight))


def regress(
    head: torch.nn.Linear,
    features: Float32[np.ndarray, "N D"],
    answers: Int64[np.ndarray, "N"],
    *,
    balanced: bool = False,
) -> None:
    """Set a layer by logistic regression on features, of all of which one spread is taken.

    Classes without an image are the least likely ones. Where it is `balanced`, each class counts as
    much.
    """
    from sklearn.linear_model import LogisticRegression  # noqa: PLC0415  # takes 0.7 s

    mean, spread = features.mean(0), np.sqrt(features.var(0).mean() * features.shape[1]) + 1e-6
    present = np.unique(answers)
    if len(present) < 2:
        return
    weighting = "balanced" if balanced else None
    regression = LogisticRegression(C=INVERSE_PENALTY, max_iter=200, class_weight=weighting)
    regression.fit((features - mean) / spread, answers)
    weights, shifts = regression.coef_, regression.intercept_
    if len(present) == 2:  # scikit-learn gives the second class alone
        weights, shifts = np.concatenate([-weights, weights]) / 2, np.append(-shifts, shifts) / 2
    weights = weights / spread
    shifts = shifts - weights @ mean
    head.weight.data.zero_()
    head.bias.data.fill_(float(shifts.min()) - 5)
    head.weight.data[present] = torch.from_numpy(weights).to(head.weight)
    head.bias.data[present] = torch.from_numpy(shifts).to(head.bias)


def _network(classifier: Classifier) -> EfficientNet:
    if not isinstance(classifier.network, EfficientNet):
        raise TypeError(classifier.network)
    return classifier.network


@torch.inference_mode()
def _features(
    classifier: Classifier, images: UInt8[np.ndarray, "N *shape"]
) -> Float32[np.ndarray, "N V T"]:
    """Return the features of the middles of images, and of mirrored ones where that is done.

    They are the same, bit by bit, whichever images are beside each other, but for one that is alone
    on several threads.
    """
    network = _network(classifier)
    device = classifier.temperature.device
    views: list[list[np.ndarray]] = [[] for _ in range(1 + classifier.mirror)]
    for start in range(0, len(images), AT_ONCE):
        part = as_tensor(images[start : start + AT_ONCE]).to(device)
        pixels = middle(classifier.scaler(part))
        for view, shown in zip(views, (pixels, pixels.flip(3)), strict=False):
            view.append(network.features(shown).cpu().numpy())
    return np.stack([np.concatenate(view) for view in views], axis=1)
