"""Predict: a model + test images or image files → classes with their percentages."""

from __future__ import annotations

import re
import warnings
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeAlias, TypeGuard

import numpy as np

from lookbook.data.catalog import BUILTIN
from lookbook.data.dataset import Dataset, load
from lookbook.data.image_folder import list_images
from lookbook.errors import InputError, LookbookWarning
from lookbook.images.preprocessing import (
    fit_image,
    match_all,
    match_polarity,
    read_image,
    to_8_bit,
)
from lookbook.inference.model import Model, Outputs
from lookbook.inference.thresholds import Thresholds, Verdict, judge
from lookbook.runs.parts import load_as_given, load_part, polarity_of
from lookbook.runs.store import Run, as_run

if TYPE_CHECKING:
    from jaxtyping import Float32, UInt8
    from PIL import Image

    from lookbook.images.preprocessing import Polarity

TEST = "test:"
#: classes whose probabilities are all shown; of more, the ten most probable are
MOST_SHOWN = 20


@dataclass(frozen=True)
class Prediction:
    """What a model says about one image."""

    #: `test:2000`, the name of a file, or the place in what was given
    source: str
    #: what the model saw
    image: UInt8[np.ndarray, "H W *C"]
    probs: Float32[np.ndarray, "K"]
    classes: tuple[str, ...]
    #: the true class, where it is known
    truth: int | None = None
    #: the image was inverted to match what the model learnt from
    inverted: bool = False
    #: how strange the image is to the model, about 1 for those it learnt from
    novelty: float = 0.0
    #: stranger than nearly all validation images: perhaps none of the classes
    strange: bool = False
    #: less sure than an answer should be, of those that were asked for
    unsure: bool = False
    #: classes of the set that was asked for, the likeliest first
    likely: tuple[int, ...] | None = None

    def __repr__(self) -> str:
        return f"Prediction({self.source!r}, {self.name!r}, {self.confidence:.4f})"

    @property
    def label(self) -> int:
        """Number of the most probable class."""
        return int(self.probs.argmax())

    @property
    def name(self) -> str:
        """Name of the most probable class."""
        return self.classes[self.label]

    @property
    def confidence(self) -> float:
        """Probability of the most probable class, 0 to 1."""
        return float(self.probs[self.label])

    @property
    def verdict(self) -> Verdict:
        """What is made of it: an answer, "not sure", or "not one of these"."""
        return judge(unsure=self.unsure, strange=self.strange)

    @property
    def right(self) -> bool | None:
        """Whether the prediction is the true class; None where that is not known."""
        return None if self.truth is None else self.label == self.truth

    def shown_classes(self) -> list[int]:
        """Return the classes to show: all in their order, or the ten most probable of many."""
        if len(self.classes) <= MOST_SHOWN:
            return list(range(len(self.classes)))
        return [int(k) for k in np.argsort(-self.probs, kind="stable")[:10]]


#: what can be predicted: `test:2000`, a file, a folder of files, pixels of one image or several
Input: TypeAlias = "str | Path | Image.Image | UInt8[np.ndarray, '...']"


def predict(
    source: Run | Model | str | Path,
    inputs: Input | Iterable[Input],
    *,
    coverage: float | None = None,
    sets: float | None = None,
) -> list[Prediction]:
    """Predict test images (`test:2000`), image files, folders of them, and pixels.

    Parameters
    ----------
    source
        A run, its folder or its name in `runs/`; or a model or its file, which knows the test
        images of built-in datasets only.
    inputs
        One or more: `test:NUMBER`, an image file, a folder, a PIL image, an array of one image
        or of several, in the shape that the model takes.
    coverage
        Share of images that are to get an answer, 0 to 1: the least sure others are "not sure";
        nine in ten where nothing else is asked for.
    sets
        Probability, 0 to 1, with which the set of likely classes is to hold the right one.

    Raises
    ------
    InputError
        An index is out of range, a file is no image, an array is none that the model takes, or
        the model has no thresholds.
    DamagedFileError
        The run's model is not what was written.
    """
    found = list(predict_each(source, list_inputs(inputs), coverage=coverage, sets=sets))
    for one in found:
        if isinstance(one, InputError):
            raise one
    return [one for one in found if isinstance(one, Prediction)]


def predict_each(
    source: Run | Model | str | Path,
    inputs: Iterable[Input],
    *,
    coverage: float | None = None,
    sets: float | None = None,
) -> Iterator[Prediction | InputError]:
    """Predict as `predict` does, one by one: of what cannot be answered it gives the error."""
    opened = open_source(source)
    model = open_model(opened)
    thresholds = Thresholds.of(model.calibration, coverage=coverage, sets=sets)
    test = None
    for number, given in enumerate(inputs):
        try:
            if isinstance(given, str) and is_test(given):
                test = test or _load_test(opened)
                index = _index(given, len(test))
                polarity = polarity_of(opened) if isinstance(opened, Run) else model.polarity
                found = [predict_test(model, test, index, thresholds, polarity)]
            elif isinstance(given, str | Path):
                _refuse_address(given)
                if Path(given).is_dir():
                    list_images(Path(given))  # says that there are none
                found = [predict_file(model, Path(given), thresholds)]
            else:
                found = _predict_pixels(model, given, f"input {number}", thresholds)
        except InputError as error:
            yield error
        else:
            yield from found


def list_inputs(inputs: Input | Iterable[Input]) -> list[Input]:
    """List what is to be predicted, one or several; of folders the image files in them.

    A folder without any stays in the list, and gets its error where it is to be predicted.

    Raises
    ------
    InputError
        Something is none that can be predicted.
    """
    listed: list[Input] = []
    for given in [inputs] if _is_one(inputs) else _several(inputs):
        if isinstance(given, str | Path) and not is_test(str(given)) and Path(given).is_dir():
            try:
                files = list_images(Path(given))
            except InputError:
                listed.append(given)
                continue
            for note in files.notes():
                warnings.warn(LookbookWarning(note), stacklevel=3)
            listed += files.paths
        elif _is_one(given):
            listed.append(given)
        else:
            raise _no_input(given)
    return listed


def _is_one(given: object) -> TypeGuard[Input]:
    """Say whether it is one thing to predict; names in an array are several."""
    if isinstance(given, str | Path):
        return True
    # of the class: PIL would decode its image to answer for an object
    has_pixels = any(hasattr(type(given), name) for name in ("__array__", "__array_interface__"))
    return has_pixels and getattr(getattr(given, "dtype", None), "kind", None) not in {"O", "U"}


def _several(given: object) -> Iterable[Any]:
    if isinstance(given, bytes | bytearray) or not isinstance(given, Iterable):
        raise _no_input(given)
    return given


def _refuse_address(name: str | Path) -> None:
    if isinstance(name, str) and re.match(r"[A-Za-z][A-Za-z0-9+.-]*://", name):
        raise InputError(
            f"{name} is an address, and nothing is fetched from any; save the image, then name "
            "its file"
        )


def _no_input(given: object) -> InputError:
    return InputError(
        f"a {type(given).__name__} is nothing to predict; expected test:NUMBER, an image file, a "
        "folder of them, a PIL image or an array, or a list of these"
    )


def open_source(source: Run | Model | str | Path) -> Run | Model:
    """Return the run or the model that a name or a path stands for.

    Raises
    ------
    InputError
        There is none.
    """
    if isinstance(source, Model):
        return source
    if isinstance(source, str | Path) and str(source).endswith(".onnx"):
        return Model.open(source)
    return as_run(source)


def open_model(source: Run | Model) -> Model:
    """Return the model of a run, after a look at its hash, or the model itself."""
    if isinstance(source, Model):
        return source
    source.check_files()
    return Model.open(source.model)


def _load_test(source: Run | Model) -> Dataset:
    """Return the test part of what a model was trained on."""
    if isinstance(source, Run):
        return load_as_given(source, "test")
    data = source.about["data"]
    # a folder of one's own may have a built-in's name
    if not data.get("builtin"):
        raise InputError(
            "a model file alone does not say where its test images are; name the run instead, or "
            "image files"
        )
    height, width, *channels = source.input_shape
    return load(data["name"], "test", size=(height, width), channels=3 if channels else 1)


def predict_examples(
    run: Run, test: Dataset | None = None
) -> tuple[list[Prediction], list[Prediction]]:
    """Predict the test images that a run's figures show: its examples, and the first fifteen."""
    model = open_model(run)
    test = test or load_part(run, "test")
    chosen = choose_examples(run.conditions["data"]["name"], len(test)), range(min(15, len(test)))
    examples, first = ([predict_test(model, test, i) for i in indices] for indices in chosen)
    return examples, first


def choose_examples(data: str, n: int) -> list[int]:
    """Choose the test images that stand for all `n`: a built-in dataset names its own.

    >>> choose_examples("images/mine", 90)
    [0, 45]
    """
    named = BUILTIN[data].examples if data in BUILTIN else ()
    return [index for index in named if index < n] or [0, n // 2]


def is_test(name: str) -> bool:
    """Say whether an input names a test image."""
    return name.startswith(TEST)


def predict_test(
    model: Model,
    test: Dataset,
    index: int,
    thresholds: Thresholds | None = None,
    polarity: Polarity = "mixed",
) -> Prediction:
    """Predict one image of the test part, which has this polarity or is inverted."""
    source, truth = f"{TEST}{index}", int(test.labels[index])
    image, inverted = match_polarity(test.images[index], polarity)
    return _say(model, source, image, thresholds, truth=truth, inverted=inverted)


def predict_file(model: Model, path: Path, thresholds: Thresholds | None = None) -> Prediction:
    """Predict one image file, brought to the model's size, colour and polarity."""
    _refuse_features(model)
    height, width, *channels = model.input_shape
    image = read_image(path, (height, width), colour=bool(channels))
    return _predict_image(model, str(path), image, thresholds)


def _refuse_features(model: Model) -> None:
    if len(model.input_shape) == 1:
        raise InputError(
            f"this model takes rows of {model.input_shape[0]} features and no images: use "
            "lookbook.Model.open(FILE).predict(rows)"
        )


def _predict_image(
    model: Model, source: str, opened: Image.Image, thresholds: Thresholds | None
) -> Prediction:
    height, width, *channels = model.input_shape
    image = fit_image(opened, (height, width), colour=bool(channels))
    image, inverted = match_polarity(image, model.polarity)
    return _say(model, source, image, thresholds, inverted=inverted)


def _predict_pixels(
    model: Model, given: Any, source: str, thresholds: Thresholds
) -> list[Prediction]:
    """Predict a PIL image, or an array of one image or of several."""
    from PIL import Image  # noqa: PLC0415  # only for such

    _refuse_features(model)
    if isinstance(given, Image.Image):
        name = str(getattr(given, "filename", "") or source)
        return [_predict_image(model, name, to_8_bit(given, name), thresholds)]
    images, inverted, shape = np.asarray(given), np.zeros(0, bool), model.input_shape
    alone = images.shape in (shape, (*shape, 1))
    if alone or images.shape[1:] == (*shape, 1):
        images = images.reshape(-1, *shape)
    if images.dtype == np.uint8 and images.shape[1:] == shape and len(images):
        images, inverted = match_all(images, model.polarity)
    said = model.predict(images)  # or say what is wrong with them
    return [
        _judge(
            model,
            source if alone else f"{source}[{i}]",
            image,
            Outputs(*(each[i : i + 1] for each in said)),
            thresholds,
            inverted=bool(inverted[i]),
        )
        for i, image in enumerate(images)
    ]


def _say(
    model: Model,
    source: str,
    image: UInt8[np.ndarray, "H W *C"],
    thresholds: Thresholds | None,
    **known: Any,
) -> Prediction:
    """Say what a model makes of one image."""
    return _judge(model, source, image, model.predict(image[None]), thresholds, **known)


def _judge(
    model: Model,
    source: str,
    image: UInt8[np.ndarray, "H W *C"],
    said: Outputs,
    thresholds: Thresholds | None,
    **known: Any,
) -> Prediction:
    """Say what there is to an answer."""
    probs, novelty = said.probs[0], float(said.novelty[0])
    given = thresholds or Thresholds.of(model.calibration)
    likely = None
    if given.likely is not None:
        order = np.argsort(-probs, kind="stable")
        likely = tuple(int(k) for k in order if probs[k] >= given.likely)
    return Prediction(
        source,
        image,
        probs,
        model.classes,
        novelty=novelty,
        strange=given.is_strange(novelty),
        unsure=given.is_unsure(float(probs.max())),
        likely=likely,
        **known,
    )


def _index(name: str, n: int) -> int:
    number = name.removeprefix(TEST)
    # ASCII alone, and not longer than Python reads
    counts = number.isascii() and number.isdigit() and len(number) < 20
    if not counts or int(number) >= n:
        raise InputError(
            f"no test image {number!r}: the test part has {n:,}; expected test:0 to test:{n - 1}"
        )
    return int(number)
