"""Predictor: decode, preprocess, batch, run, answer; without PyTorch, picklable."""

from __future__ import annotations

import math
import warnings
from collections.abc import Generator, Iterable, Iterator, Sequence
from contextlib import closing
from copy import copy
from dataclasses import dataclass
from functools import cached_property
from itertools import chain, groupby, islice
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import numpy as np

from lookbook.core.bounded_io import NamedBytes
from lookbook.errors import InputError, LookbookWarning
from lookbook.images.batch import Batch, Request
from lookbook.images.photographs import CUTOUT_BYTES, Cutout, Prepared, prepare, read_for
from lookbook.images.pool import Pool
from lookbook.images.preprocessing import match_all, to_8_bit
from lookbook.inference.inputs import (
    ImageColumns,
    Input,
    list_inputs,
    name_of,
    read_columns,
    refuse_other_names,
    unreadable,
)
from lookbook.inference.model import Model, Outputs, open_model, open_source
from lookbook.inference.thresholds import Thresholds, Verdict, judge
from lookbook.runs.store import Run

if TYPE_CHECKING:
    import pyarrow as pa
    from jaxtyping import Float32, Shaped, UInt8
    from PIL import Image

    from lookbook.images.specification import Preprocessing

#: most images of files that are answered at once: the first answer waits for no more of them
BATCH = 64
#: most images of files that are read ahead, and their bytes
MOST_AHEAD, BYTES_AHEAD = 2048, 2**25
#: files beyond which a session is opened that suits a pool: it takes some milliseconds
MANY = 500
#: classes whose probabilities are all shown; of more, the ten most probable are
MOST_SHOWN = 20

#: what a model saw of an image: the whole, what lies in the middle of a photograph, or the whole of
#: one as nothing stands out from its ground
Seen = Literal["whole", "cut out", "nothing stands out"]


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
    #: stranger than nearly all validation images: perhaps none of the classes; or a photograph in
    #: which nothing stands out
    strange: bool = False
    #: less sure than an answer should be, of those that were asked for
    unsure: bool = False
    #: classes of the set that was asked for, the likeliest first
    likely: tuple[int, ...] | None = None
    #: of a photograph: a small copy, and the mask of what the model saw of it
    cutout: Cutout | None = None
    #: what the network says, before temperature
    logits: Float32[np.ndarray, "K"] | None = None
    #: the bundled model answered, not one of the user's
    by_bundled: bool = False

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
    def seen(self) -> Seen:
        """What the model saw of the image."""
        if self.cutout is None:
            return "whole"
        return "nothing stands out" if self.cutout.is_whole else "cut out"

    @property
    def right(self) -> bool | None:
        """Whether the prediction is the true class; None where that is not known."""
        return None if self.truth is None else self.label == self.truth

    def shown_classes(self) -> list[int]:
        """Return the classes to show: all in their order, or the ten most probable of many."""
        if len(self.classes) <= MOST_SHOWN:
            return list(range(len(self.classes)))
        return [int(k) for k in np.argsort(-self.probs, kind="stable")[:10]]


@dataclass(frozen=True)
class Sample:
    """One image as a model takes it, and what is known of it."""

    #: as in `Prediction`
    source: str
    image: UInt8[np.ndarray, "H W *C"]
    inverted: bool = False
    truth: int | None = None
    cutout: Cutout | None = None


class Predictor:
    """Answers image files, PIL images and arrays of pixels in batches.

    It needs no PyTorch, and can be pickled into another process, which opens the model anew. Its
    steps can be called one by one: `decode` reads, `preprocess` brings to what the model takes,
    `batch` puts images together, `outputs` runs the model, `answer` says what there is to it.

    Parameters
    ----------
    source : Run, Model, str or Path, default=None
        A run, its folder or its name in `runs/`; or a model or its file; without it the bundled
        model, which knows ten kinds of clothing.
    coverage : float, default=None
        Share of images that are to get an answer, 0 to 1: the least sure others are "not sure";
        nine in ten where nothing else is asked for.
    sets : float, default=None
        Probability, 0 to 1, with which the set of likely classes is to hold the right one.

    Raises
    ------
    InputError
        There is no such run or file, a share is none, or the model has no thresholds.
    DamagedFileError
        It is no model that this program wrote, or the run's is not what was written.

    Examples
    --------
    >>> import pickle
    >>> import lookbook
    >>> from sklearn.datasets import load_digits
    >>> digits = load_digits()
    >>> images = (digits.images * 15).astype("uint8")
    >>> classifier = lookbook.LookbookClassifier(epochs=20, random_state=0)
    >>> model = classifier.fit(images[:1500], digits.target[:1500]).model_
    >>> predictor = lookbook.Predictor(model)
    >>> [one.name for one in predictor.predict(images[1500:1503])]
    ['1', '7', '4']
    >>> again = pickle.loads(pickle.dumps(predictor))  # as a process of a pool gets it
    >>> again.predict(images[1500])[0].name
    '1'
    """

    def __init__(
        self,
        source: Run | Model | str | Path | None = None,
        *,
        coverage: float | None = None,
        sets: float | None = None,
    ) -> None:
        opened = open_source(source)
        self.model = open_model(opened)
        #: it is the bundled model, and its answers say so
        self.is_bundled = isinstance(opened, Run) and opened.is_bundled
        self.thresholds = Thresholds.of(self.model.calibration, coverage=coverage, sets=sets)
        #: how sure answers to photographs are, where the model cuts out what these show
        self.on_photographs = self.model.card.photographs or None
        self.photograph_thresholds = self.thresholds
        if self.on_photographs:
            self.photograph_thresholds = self.on_photographs.ask(coverage=coverage, sets=sets)

    def on_one_core(self) -> Predictor:
        """Return the same for one thread, as `Model.on_one_core`."""
        same = copy(self)
        same.model = self.model.on_one_core()
        return same

    def predict(self, inputs: Input | Iterable[Input]) -> list[Prediction]:
        """Return the answers to image files, folders of them, PIL images and arrays.

        Raises
        ------
        InputError
            A file is no image, or an array is none that the model takes.
        """
        return only_answers(self.predict_each(inputs))

    def predict_each(self, inputs: Input | Iterable[Input]) -> Generator[Prediction | InputError]:
        """Yield what `predict` returns; for what cannot be answered the error, with its `source`.

        Every core reads files ahead; of an iterator no more is taken than is answered.

        Raises
        ------
        InputError
            Something is none that can be predicted.
        """
        given = inputs if isinstance(inputs, Iterator) else list_inputs(inputs)
        return self.answer_each(self.read_each(given))

    def __call__(self, batch: ImageColumns) -> pa.Table:
        """Return a table of answers to a batch of images, computed on one thread.

        Ray Data's `map_batches` makes a Predictor in each of its processes and calls it so. The
        columns are those of `write_table`; each row is, bit by bit, that of the image alone.

        Parameters
        ----------
        batch
            Columns: `path`, names of files, which are read here; beside it `bytes`, what is in
            them; or `image`, pixels (H, W) or (H, W, C) of each, which are taken as they are:
            whoever decoded them turned none upright, and left palettes out.

        Raises
        ------
        InputError
            There is no column `path`, or no Arrow; else the row of an image has its error.
        """
        from lookbook.inference.prediction import to_arrow  # noqa: PLC0415  # imports this module

        samples = chain.from_iterable(
            [given] if isinstance(given, InputError) else self._alone.samples(given, name)
            for name, given in read_columns(batch)
        )
        return to_arrow(self._alone.answer_each(samples))

    @cached_property
    def _alone(self) -> Predictor:
        return self.on_one_core()

    def read_each(self, inputs: Iterable[Input], first: int = 0) -> Iterator[Sample | InputError]:
        """Yield the images of inputs, of which the first has that number, as `predict_each`."""
        ahead = isinstance(inputs, Sequence) and self.model.preprocessing is not None
        numbered = enumerate(inputs, first)
        for are_files, together in groupby(numbered, lambda each: isinstance(each[1], str | Path)):
            if ahead and are_files:
                yield from self._read_files([str(given) for _, given in together])
            else:
                for number, given in together:
                    yield from self.samples(given, f"input {number}")

    def _read_files(self, files: list[str]) -> Iterator[Sample | InputError]:
        """Yield the images of files, which are read by a pool of processes."""
        steps = self._steps()
        n_bytes = math.prod(self.model.input_shape) + steps.cuts_out * CUTOUT_BYTES
        if len(files) > MANY:
            self.model = self.model.beside_others()

        def request(places: range) -> Request:
            return self.request(files[places.start : places.stop])

        pool = Pool(len(files), request, ahead=min(MOST_AHEAD, BYTES_AHEAD // n_bytes))
        with closing(pool.batches()) as batches:
            for first, batch in batches:
                yield from samples_of(files[first : first + batch.n], batch)

    def request(self, files: Sequence[str]) -> Request:
        """Return what is to be read of image files, for `images.batch.read_batch`.

        Raises
        ------
        InputError
            The model takes rows of features.
        """
        steps = self._steps()
        return Request(files, steps.size, steps.colour, steps=steps)

    def samples(self, given: Input | NamedBytes, name: str) -> list[Sample | InputError]:
        """Return the images of one input as the model takes them, or why it does not.

        What has no name of its own gets `name`.
        """
        try:
            decoded = self.decode(given, name)
            prepared = self.preprocess(decoded)
        except InputError as error:
            error.source = name_of(given, name)
            return [error]
        shape = self.model.input_shape
        if isinstance(decoded, np.ndarray) and np.asarray(given).shape not in (shape, (*shape, 1)):
            names = [f"{name}[{i}]" for i in range(len(prepared))]
        else:
            names = [name_of(given, name)]
        return [
            Sample(name, each.image, each.inverted, cutout=each.cutout)
            for name, each in zip(names, prepared, strict=True)
        ]

    def decode(
        self, given: Input | NamedBytes, name: str = "input 0"
    ) -> Image.Image | UInt8[np.ndarray, "N *shape"]:
        """Return the pixels of one input: of a file in 8 bits and upright, of an array as they are.

        Raises
        ------
        InputError
            As `predict`; it calls what has no name of its own `name`.
        """
        from PIL import Image  # noqa: PLC0415  # 0.05 s, and not for rows of features

        if isinstance(given, str | Path):
            refuse_other_names(given)
        steps, shape = self._steps(), self.model.input_shape
        if isinstance(given, str | Path | NamedBytes):
            return read_for(given if isinstance(given, NamedBytes) else Path(given), steps)
        if isinstance(given, Image.Image):
            return to_8_bit(given, name_of(given, name))
        images = np.asarray(given)
        alone = images.shape in (shape, (*shape, 1))
        return self.model.validate(images[None] if alone else images)

    def preprocess(self, decoded: Image.Image | Shaped[np.ndarray, "N *shape"]) -> list[Prepared]:
        """Return images of the model's size, colour and polarity, and what was done to each.

        Where the model's steps say so, what lies in the middle of a photograph is cut out.
        """
        if not isinstance(decoded, np.ndarray):
            return [prepare(decoded, self._steps())]
        images, inverted = match_all(decoded, self.model.polarity)
        return [Prepared(*each) for each in zip(images, map(bool, inverted), strict=True)]

    @property
    def batch_size(self) -> int:
        """Most images that are answered at once."""
        return min(BATCH, self.model.batch_size)

    def batch(self, samples: Iterable[Sample | InputError]) -> Iterator[list[Sample | InputError]]:
        """Put as many images together as are answered at once; errors keep their places."""
        waiting = iter(samples)
        while together := list(islice(waiting, self.batch_size)):
            yield together

    def outputs(self, images: Shaped[np.ndarray, "N *shape"]) -> Outputs:
        """Return what the model says about images, or rows of features, as it takes them.

        Raises
        ------
        DamagedFileError, InputError
            As `Model.predict`.
        """
        return self.model.predict(images)

    def answer(self, together: list[Sample | InputError]) -> list[Prediction | InputError]:
        """Return the answers to a batch; errors keep their places."""
        images = [each.image for each in together if isinstance(each, Sample)]
        if not images:
            return [each for each in together if isinstance(each, InputError)]
        rows = zip(*self.outputs(np.stack(images)), strict=True)
        return [
            self.judge(each, *next(rows)) if isinstance(each, Sample) else each for each in together
        ]

    def answer_each(
        self, samples: Iterable[Sample | InputError]
    ) -> Generator[Prediction | InputError]:
        """Yield the answers to images as the model takes them, batch by batch."""
        for together in self.batch(samples):
            yield from self.answer(together)

    def judge(
        self,
        sample: Sample,
        logits: Float32[np.ndarray, "K"],
        probs: Float32[np.ndarray, "K"],
        novelty: Any,
    ) -> Prediction:
        """Say what there is to an answer."""
        likely, nothing_found, thresholds = None, False, self.thresholds
        if sample.cutout:
            nothing_found, thresholds = sample.cutout.is_whole, self.photograph_thresholds
            if self.on_photographs:
                probs = self.on_photographs.temper(probs[None])[0]
        if thresholds.likely is not None:
            order = np.argsort(-probs, kind="stable")
            likely = tuple(int(k) for k in order if probs[k] >= thresholds.likely)
        return Prediction(
            sample.source,
            sample.image,
            probs,
            self.model.classes,
            truth=sample.truth,
            inverted=sample.inverted,
            novelty=float(novelty),
            strange=thresholds.is_strange(float(novelty)) or nothing_found,
            by_bundled=self.is_bundled,
            unsure=thresholds.is_unsure(float(probs.max())),
            likely=likely,
            cutout=sample.cutout,
            logits=logits,
        )

    def _steps(self) -> Preprocessing:
        steps = self.model.preprocessing
        if steps is None:
            raise InputError(
                f"this model takes rows of {self.model.input_shape[0]} features and no images: use "
                "lookbook.Model.open(FILE).predict(rows)"
            )
        return steps


def samples_of(names: Sequence[str], batch: Batch) -> Iterator[Sample | InputError]:
    """Yield the images of a batch of files, or why there are none."""
    images, inverted = iter([] if batch.images is None else batch.images), map(bool, batch.inverted)
    for place, name in enumerate(names):
        if place in batch.errors:
            yield unreadable(name, batch.errors[place])
            continue
        if place in batch.dim:
            warnings.warn(LookbookWarning(batch.dim[place]), stacklevel=3)
        yield Sample(name, next(images), next(inverted), cutout=batch.cutouts.get(place))


def only_answers(found: Iterable[Prediction | InputError]) -> list[Prediction]:
    """Return the answers, or raise the first of the errors among them."""
    listed = list(found)
    for one in listed:
        if isinstance(one, InputError):
            raise one
    return [one for one in listed if isinstance(one, Prediction)]
