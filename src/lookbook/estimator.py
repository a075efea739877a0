"""scikit-learn estimator: `LookbookClassifier`."""

from __future__ import annotations

import math
import warnings
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self

import msgspec
import numpy as np
from sklearn.base import BaseEstimator, ClassifierMixin
from sklearn.utils import check_consistent_length, check_random_state, column_or_1d
from sklearn.utils.class_weight import compute_sample_weight
from sklearn.utils.multiclass import check_classification_targets
from sklearn.utils.validation import _check_sample_weight, check_is_fitted, validate_data

from lookbook.core.arrays import sample, softmax
from lookbook.data.array_checks import advise_on_levels, dim_levels, without_grey_axis
from lookbook.data.dataset import Dataset, hash_arrays
from lookbook.data.formats.source import Outline
from lookbook.data.groups import Grouping, Groups, join
from lookbook.data.splits import choose_validation, refuse_large_groups
from lookbook.errors import InputError, LookbookWarning
from lookbook.evaluation import metrics
from lookbook.images.preprocessing import find_polarity, match_all
from lookbook.images.specification import SIDES
from lookbook.inference.model_card import Data
from lookbook.inference.predictor import Predictor
from lookbook.inference.thresholds import FEWEST_LABELS
from lookbook.recipes import HEAD_ALONE, find_recipe
from lookbook.runs.recipe_choice import RecipeChoice

if TYPE_CHECKING:
    from jaxtyping import Float32, Float64, Shaped, UInt8

    from lookbook.images.specification import Polarity
    from lookbook.recipes import Recipe

#: side from which flat rows of whole numbers look like images (scikit-learn's digits have 8)
MNIST_LIKE = 16


class LookbookClassifier(ClassifierMixin, BaseEstimator):  # type: ignore[misc]  # scikit-learn has no types
    """A small image classifier with scikit-learn's contract.

    Images come as (N, H, W), (N, H, W, 3), or flat as (N, H·W) where they are square; uint8, or
    floats from 0 to 1 (flat ones: bytes divided by 255). Any other table of numbers is taken as
    rows of features, which are brought to mean 0 and spread 1 inside the model; where they look
    like grey levels, a warning says so. Tables may be frames of pandas or polars. To predict, a
    list of image files does, too: they are answered as by `lookbook.Predictor`.

    Parameters
    ----------
    recipe : str or None, default="tutorial"
        Name of a recipe. It is suited to the number of images, as `lookbook train` does. None
        chooses as that does: for colour images "transfer", where the extra `pretrained` is
        installed and they gain by it (see `recipes.transfer_pays`; arrays keep their size), for
        other images "standard", for rows of features "tutorial". Of fewer than 150 images
        "transfer" fits the last layer alone, to which `sample_weight` and `class_weight` mean
        nothing, so that it is not chosen with these; a cross-validation then says how true
        `predict_proba` is, and no image is held out.
    epochs : float, default=None
        Passes over the training images; None takes the recipe's own.
    mirror : bool, default=None
        Whether an image and its mirror image show the same, as they do of clothes and not of
        digits or letters; None as the recipe says. Dense networks never mirror.
    random_state : int, RandomState or None, default=None
        Decides first weights, order of the images, and the validation part.
    class_weight : dict, "balanced" or None, default=None
        Weight of each label, as scikit-learn's own take it: an epoch shows an image as often as
        the weight of its label says, times that of the image itself. `predict` and `predict_proba`
        lean towards labels of great weight; None counts each image the same.

    Attributes
    ----------
    classes_ : ndarray (K,)
        The labels, sorted; columns of `predict_proba` follow them.
    history_ : list of dict
        Loss and accuracy, epoch by epoch.
    model_ : Model
        The model file: `model_.content` can be written to a file and used without this class.

    Examples
    --------
    >>> from sklearn.datasets import load_digits
    >>> images, labels = load_digits(return_X_y=True)
    >>> classifier = LookbookClassifier(epochs=20, random_state=0).fit(images[:1500], labels[:1500])
    >>> bool(classifier.score(images[1500:], labels[1500:]) > 0.85)
    True
    """

    def __init__(
        self,
        recipe: str | None = "tutorial",
        *,
        epochs: float | None = None,
        mirror: bool | None = None,
        random_state: Any = None,
        class_weight: dict[Any, float] | str | None = None,
    ) -> None:
        self.recipe = recipe
        self.epochs = epochs
        self.mirror = mirror
        self.random_state = random_state
        self.class_weight = class_weight

    def fit(
        self,
        X: Any,  # noqa: N803  # scikit-learn's names
        y: Any,
        sample_weight: Any = None,
        groups: Any = None,
    ) -> Self:
        """Train on images or features `X` and labels `y`.

        An epoch shows an image as often as its `sample_weight` says, beside those of the others;
        those of weight 0 are left out. 15 % of the images (at most 5,000, class by class) are held
        out for the temperature, for which each counts the same: of the `groups` that each image is
        in, as scikit-learn's splitters take them, all images or none.

        Raises
        ------
        InputError
            Images are neither uint8 nor floats from 0 to 1, sizes do not fit, or groups leave no
            image of a class to be held out; also a ValueError, as scikit-learn expects.
        """
        from lookbook.networks.onnx_export import describe, to_onnx  # noqa: PLC0415
        from lookbook.training.calibration import (  # noqa: PLC0415  # torch: for training alone
            Unseen,
            calibrate,
        )
        from lookbook.training.cross_validation import (  # noqa: PLC0415
            answer_by_heads,
            is_for,
            learn_usual,
        )
        from lookbook.training.loop import fit  # noqa: PLC0415
        from lookbook.training.state import epochs_done  # noqa: PLC0415

        inputs, y = self._validate_training(X, y)
        check_classification_targets(y)
        kept_together = _as_groups(groups, y)
        inputs, y, weight, kept_together = self._weigh(inputs, y, sample_weight, kept_together)
        self.classes_, labels = np.unique(y, return_inverse=True)
        if len(self.classes_) < 2:
            raise InputError(
                f"at least two classes are needed to tell apart, got one class: {self.classes_[0]}"
            )
        classes = tuple(map(str, self.classes_))
        digest = hash_arrays(inputs, labels, classes)
        polarity: Polarity = "mixed"
        if inputs.dtype == np.uint8:
            polarity = find_polarity(inputs)
            inputs, _ = match_all(inputs, polarity)
        seed = int(check_random_state(self.random_state).randint(2**31))
        held_out = choose_validation(labels, seed=seed, groups=kept_together)
        refuse_large_groups(labels, held_out, classes, kept_together, "validation")
        if len(held_out) < FEWEST_LABELS:
            held_out = held_out[:0]  # too few for a temperature: better learnt from
        kept = np.setdiff1d(np.arange(len(labels)), held_out)
        training, validation = ((inputs[part], labels[part]) for part in (kept, held_out))
        recipe = self._recipe(inputs, len(kept), weighted=weight is not None)
        fitted = fit(
            training,
            validation if len(held_out) else None,
            recipe,
            len(self.classes_),
            seed=seed,
            sample_weight=None if weight is None else weight[kept],
        )
        learn_usual(fitted, training)
        unseen = Unseen.by(fitted.classifier, fitted.val_logits, validation)
        if fitted.frozen is not None and is_for(recipe, len(kept), len(held_out)):
            learnt = Dataset(training[0], training[1], classes, groups=kept_together)
            answers = answer_by_heads(fitted.frozen, learnt, seed, balanced=False)
            if answers is not None:
                unseen, sure = answers
                fitted.classifier.sure.fill_(sure)
        calibration = calibrate(fitted.classifier, unseen)
        temperature = float(fitted.classifier.temperature)
        measured = metrics.on_validation(
            softmax(unseen.logits / temperature), unseen.labels, unseen.of
        )
        images = sample(inputs, 64)
        card = describe(
            fitted.classifier,
            images,
            recipe,
            classes,
            polarity,
            validation=measured,
            weaknesses=metrics.weaknesses(measured, epochs_done(fitted.history)),
            calibration=calibration,
            data=Data("arrays", builtin=False, train_sha256=digest),
        )
        self.model_ = to_onnx(fitted.classifier, images, card)
        self.history_ = msgspec.to_builtins(fitted.history)
        return self

    def predict_proba(self, X: Any) -> Float32[np.ndarray, "N K"]:  # noqa: N803
        """Return the calibrated probability of each class, in the order of `classes_`.

        Raises
        ------
        InputError
            `X` is not what the classifier was fitted on, or a file is no image.
        """
        check_is_fitted(self)
        predictor = Predictor(self.model_)
        if _are_files(X):
            return np.stack([answer.probs for answer in predictor.predict(list(X))])
        inputs, _ = match_all(self._validate_prediction(X), self.model_.polarity)
        return predictor.outputs(inputs).probs

    def predict(self, X: Any) -> Shaped[np.ndarray, "N"]:  # noqa: N803
        """Return the most probable label of each row.

        Raises
        ------
        InputError
            As `predict_proba`.
        """
        labels = self.predict_proba(X).argmax(axis=1)
        return np.asarray(self.classes_[labels])

    def _recipe(self, inputs: Shaped[np.ndarray, "N *shape"], n: int, *, weighted: bool) -> Recipe:
        """Return the recipe for `n` such inputs, as `lookbook train` takes it."""
        from lookbook.networks.devices import settle  # noqa: PLC0415  # torch: for training alone

        colour = inputs.ndim == 4
        name = _choose(inputs, weighted=weighted) if self.recipe is None else self.recipe
        recipe = find_recipe(name).suited_to(n, colour=colour)
        return settle(recipe.with_mirror(asked=self.mirror).with_epochs(self.epochs))

    def _weigh(
        self,
        inputs: Shaped[np.ndarray, "N *shape"],
        y: Shaped[np.ndarray, "N"],
        sample_weight: Any,
        groups: Groups | None,
    ) -> tuple[
        Shaped[np.ndarray, "M *shape"],
        Shaped[np.ndarray, "M"],
        Float64[np.ndarray, "M"] | None,
        Groups | None,
    ]:
        """Return what has a weight above 0, and its weights; None where all weigh the same."""
        weight = compute_sample_weight(self.class_weight, y)
        if sample_weight is not None:
            weight = weight * _check_sample_weight(sample_weight, y, dtype=np.float64)
        if weight.min() < 0 or not weight.any():
            raise InputError("weights must be 0 or more, and above 0 for at least one image")
        counted = weight > 0
        inputs, y, weight = inputs[counted], y[counted], weight[counted]
        groups = groups and groups.take(np.flatnonzero(counted))
        return inputs, y, None if weight.min() == weight.max() else weight, groups

    def _validate_training(self, X: Any, y: Any) -> tuple[Any, Any]:  # noqa: N803
        """Return images as uint8 or features as float32, and the labels."""
        if _is_stack(X):
            images = check_images(np.asarray(X))
            _, y = validate_data(self, images.reshape(len(images), -1), y)
            return _told_of_levels(images), y
        table, y = validate_data(self, X, y)
        if not is_flat_images(table):
            if _are_grey_levels(table):
                warnings.warn(
                    LookbookWarning(
                        f"{table.dtype} rows of {table.shape[1]} whole numbers up to "
                        f"{table.max():g} are taken as features; if they are images, use "
                        "X.astype('uint8') or X / 255, and the same for predictions"
                    ),
                    stacklevel=3,
                )
            return table.astype(np.float32), y
        side = math.isqrt(table.shape[1])
        return _told_of_levels(check_images(table.reshape(-1, side, side))), y

    def _validate_prediction(self, X: Any) -> Any:  # noqa: N803
        shape = self.model_.input_shape
        if _is_stack(X):
            images = check_images(np.asarray(X))
            if images.shape[1:] != shape:
                raise InputError(
                    f"fitted on images of shape {shape}, got {images.shape[1:]}; bring them to "
                    "the same size, grey or colour"
                )
            return images
        table = np.asarray(validate_data(self, X, reset=False))
        if len(shape) == 1:
            return table.astype(np.float32)
        return check_images(table.reshape(-1, *shape))


def _choose(inputs: Shaped[np.ndarray, "N *shape"], *, weighted: bool) -> str:
    """Return the name of the recipe that `lookbook train` chooses for such images."""
    if inputs.ndim == 2:
        return "tutorial"
    if inputs.ndim < 4 or (weighted and len(inputs) < HEAD_ALONE):
        return "standard"
    seen = Outline(len(inputs), max(inputs.shape[1:3]), colour=True, resizable=False)
    choice = RecipeChoice.of(seen, None, seconds=None)
    return "transfer" if choice.start == "pretrained" else "standard"


def _as_groups(groups: Any, y: Shaped[np.ndarray, "N"]) -> Groups | None:
    """Return the groups of rows as the user numbers or names them; None without any."""
    if groups is None:
        return None
    groups = column_or_1d(groups)
    check_consistent_length(y, groups)
    return join(len(y), Grouping("groups", copies=()), groups)


def _told_of_levels(
    images: UInt8[np.ndarray, "N H W *C"],
) -> UInt8[np.ndarray, "N H W *C"]:
    """Warn of images that are as good as black."""
    if note := dim_levels(images):
        warnings.warn(LookbookWarning(note), stacklevel=4)
    return images


def _is_stack(X: Any) -> bool:  # noqa: N803  # scikit-learn's name
    """Say whether this has more than two axes; lists of lists of lists, too."""
    if hasattr(X, "ndim"):
        return bool(X.ndim > 2)
    return isinstance(X, (list, tuple)) and np.ndim(X) > 2


def _are_files(X: Any) -> bool:  # noqa: N803  # scikit-learn's name
    """Say whether these are names of files, in a list, an array or a column of a table."""
    names = list(X) if isinstance(X, list | tuple) or len(getattr(X, "shape", ())) == 1 else []
    return bool(names) and all(isinstance(name, str | Path) for name in names)


def _are_grey_levels(table: Shaped[np.ndarray, "N D"]) -> bool:
    """Say whether rows look like flat square images of 0 to 255 that are not uint8."""
    side = math.isqrt(table.shape[1])
    if side * side != table.shape[1] or not MNIST_LIKE <= side <= SIDES[1]:
        return False
    return bool(table.min() >= 0 and 1 < table.max() <= 255 and (table == np.rint(table)).all())


def is_flat_images(table: Shaped[np.ndarray, "N D"]) -> bool:
    """Say whether a table holds square images: bytes, or bytes that were divided by 255.

    >>> is_flat_images(np.full((2, 784), 51 / 255)), is_flat_images(np.full((2, 784), 7.3))
    (True, False)
    """
    side = math.isqrt(table.shape[1])
    if side * side != table.shape[1] or not SIDES[0] <= side <= SIDES[1]:
        return False
    if table.dtype == np.uint8:
        return True
    if table.dtype.kind != "f" or table.min() < 0 or table.max() > 1:
        return False
    levels = table * 255
    return bool(np.abs(levels - np.rint(levels)).max() < 1e-3)


def check_images(images: Shaped[np.ndarray, "N H W *C"]) -> Shaped[np.ndarray, "N H W *C"]:
    """Return images as uint8; floats from 0 to 1 are multiplied by 255.

    >>> check_images(np.ones((1, 8, 8))).max()
    np.uint8(255)

    Raises
    ------
    InputError
        Neither uint8 nor floats from 0 to 1.
    """
    images = without_grey_axis(images, images.shape, "X")
    if len(images) == 0 or not all(SIDES[0] <= side <= SIDES[1] for side in images.shape[1:3]):
        raise InputError(
            f"expected at least one image of {SIDES[0]} to {SIDES[1]} pixels on a side, got an "
            f"array of shape {images.shape}; channels come last, one image alone is X[None]"
        )
    if images.dtype == np.uint8:
        return images
    if images.dtype.kind == "f" and images.min() >= 0 and images.max() <= 1:
        return np.asarray(np.rint(images * 255), dtype=np.uint8)
    raise InputError(
        f"images must be uint8 (0 to 255) or floats from 0 to 1, got {images.dtype}"
        f"{advise_on_levels(images, 'X')}"
    )
