"""ONNX model: raw pixels in, calibrated probabilities and novelty out, without PyTorch."""

from __future__ import annotations

import hashlib
import json
import math
from dataclasses import dataclass
from functools import cached_property
from os import PathLike
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import msgspec
import numpy as np

from lookbook.core.arrays import Rows
from lookbook.data.array_checks import advise_on_levels
from lookbook.errors import DamagedFileError, InputError, check_types
from lookbook.images.specification import VERSIONS, UnknownVersionError
from lookbook.inference.model_card import ModelCard
from lookbook.inference.runtime import open_session
from lookbook.runs.store import BUNDLED, Run, as_run, read_run

if TYPE_CHECKING:
    import onnx
    import onnxruntime
    from jaxtyping import Float32, Shaped

    from lookbook.images.specification import Polarity, Preprocessing
    from lookbook.inference.thresholds import CalibrationSet

#: bytes of the largest file that is read: dense recipes take 127 MB for 288×288 pixels in colour
MOST_BYTES = 1 << 29
#: most images that go through the network at once, and their levels: `standard` takes 0.3 GB then
BATCH, LEVELS = 1000, 1000 * 28 * 28
#: bytes at the end of a file that hold the hash of all others
SEAL = 76


class Outputs(NamedTuple):
    """What a model says about images: the outputs of its file, by their names.

    `probs` are calibrated, `logits` are before temperature; `novelty` is higher for stranger
    images, about 1 for those it learnt from.
    """

    logits: Float32[np.ndarray, "N K"]
    probs: Float32[np.ndarray, "N K"]
    novelty: Float32[np.ndarray, "N"]


@dataclass(frozen=True)
class Model:
    """A trained classifier, as its ONNX file holds it.

    Attributes
    ----------
    content
        The bytes of the ONNX file: it is all that has to be kept, copied or pickled.
    """

    content: bytes

    @classmethod
    def open(cls, path: str | Path) -> Model:
        """Read a model file and make sure that it is one of ours.

        Raises
        ------
        InputError
            There is no such file, or it prepares images by steps that are not known here.
        DamagedFileError
            It is no model that this program wrote.
        """
        check_types(path=(path, str | PathLike))
        path = Path(path)
        model = cls(_read(path))
        try:
            _examine(model.content)
            model._try_out()
        except UnknownVersionError as error:
            raise InputError(
                f"{path} takes images that are prepared by steps of version {error.version}, and "
                f"this lookbook knows those up to version {VERSIONS[-1]}; install the newest "
                "lookbook"
            ) from error
        except Exception as error:  # ONNX Runtime's own have no common class
            reason = "what it says of itself does not hold"
            if isinstance(error, DamagedFileError):
                reason = str(error)
            raise DamagedFileError(
                f"{path} is not a model of lookbook, or it is damaged: {reason}; expected the "
                "model.onnx of a run: `lookbook.list_runs()` lists them"
            ) from error
        return model

    @classmethod
    def write(cls, written: onnx.ModelProto, card: ModelCard) -> Model:
        """Return a model of an ONNX graph that says `card` in its metadata, and its own hash.

        Two protobuf messages one after the other are one: what is hashed comes first.
        """
        from onnx import ModelProto, helper  # noqa: PLC0415  # 0.1 s, and not needed to predict

        written.producer_name = "lookbook"
        about = json.dumps(card, default=msgspec.to_builtins)
        helper.set_model_props(written, {"lookbook": about})
        content = written.SerializeToString(deterministic=True)
        seal = ModelProto()
        helper.set_model_props(seal, {"sha256": hashlib.sha256(content).hexdigest()})
        return cls(content + seal.SerializeToString())

    def __repr__(self) -> str:
        known = f"{len(self.classes)} classes, {self.input_shape}, " if "card" in vars(self) else ""
        return f"Model({known}{len(self.content):,} bytes)"

    def __getstate__(self) -> dict[str, bytes]:
        return {"content": self.content}  # sessions cannot be pickled

    @cached_property
    def _session(self) -> onnxruntime.InferenceSession:
        return open_session(self.content)

    @cached_property
    def about(self) -> dict[str, Any]:
        """What stands in the file's metadata: classes, input, polarity, recipe, temperature."""
        return dict(json.loads(self.metadata["lookbook"]))

    @cached_property
    def card(self) -> ModelCard:
        """What `about` says that this program goes by, typed and checked."""
        return ModelCard.from_json(self.about)

    @cached_property
    def metadata(self) -> dict[str, str]:
        """The file's metadata: what it says of itself, as JSON, and its hash."""
        return dict(self._session.get_modelmeta().custom_metadata_map)

    @property
    def classes(self) -> tuple[str, ...]:
        """Names of the classes, in the order of the probabilities."""
        return tuple(self.card.classes)

    @property
    def input_shape(self) -> tuple[int, ...]:
        """Shape of one input: (H, W), (H, W, 3), or (D,) for rows of features."""
        return self.card.input_shape

    @property
    def polarity(self) -> Polarity:
        """Whether the images it learnt from show light things on dark ground, or the reverse."""
        return self.card.polarity

    @property
    def preprocessing(self) -> Preprocessing | None:
        """How an image file becomes what it takes; None where it takes rows of features."""
        return self.card.preprocessing

    @property
    def calibration(self) -> CalibrationSet | None:
        """What it said about validation images, for thresholds; None where they were too few."""
        return self.card.calibration

    def beside_others(self) -> Model:
        """Return the same model for use beside processes that need the cores, too.

        Where others read image files, threads that spin took a third of all processor time.
        """
        model = Model(self.content)
        vars(model)["_session"] = open_session(self.content, spins=False)
        return model

    def on_one_core(self) -> Model:
        """Return the same model for one thread: answers in a batch are those to each image alone.

        See `serving.batch_sizes`.
        """
        model = Model(self.content)
        vars(model)["_session"] = open_session(self.content, spins=False, threads=1)
        return model

    def _try_out(self) -> None:
        """Answer one blank input: what it says of itself must hold."""
        blank = np.zeros((1, *self.input_shape), self.card.input_dtype)
        shapes = [each.shape for each in self.predict(blank)]
        n = len(self.classes)
        if shapes != [(1, n), (1, n), (1,)]:
            raise DamagedFileError(f"it does not answer for its {n} classes")

    def predict(self, inputs: Shaped[np.ndarray, "N *shape"]) -> Outputs:
        """Return the answers to raw images (uint8) or rows of features (any real numbers).

        Images are taken as they are: `Predictor` inverts those of another polarity.

        Raises
        ------
        InputError
            As `validate`.
        DamagedFileError
            Its answers are no probabilities.
        """
        inputs = self.validate(inputs)
        parts = [
            self._session.run(list(Outputs._fields), {"images": inputs[batch]})
            for batch in self.batches(len(inputs))
        ]
        return _believable(Outputs(*map(np.concatenate, zip(*parts, strict=True))))

    @property
    def batch_size(self) -> int:
        """Most inputs that go through the network at once: of large images fewer."""
        return max(4, min(BATCH, LEVELS // math.prod(self.input_shape)))

    def batches(self, n: int) -> list[slice]:
        """Part so many inputs into batches for the network."""
        size = self.batch_size
        return [slice(start, start + size) for start in range(0, n, size)]

    def validate(self, inputs: Shaped[np.ndarray, "N *shape"]) -> Shaped[np.ndarray, "N *shape"]:
        """Return inputs as the network takes them, or say why it does not.

        Grey images may have a last axis of one channel; features become float32.

        Raises
        ------
        InputError
            Type or shape are not those that the model was trained on, there is no image, or a
            feature is NaN or infinite.
        """
        if not isinstance(inputs, Rows):
            inputs = np.asarray(inputs)
        if inputs.shape[1:] == (*self.input_shape, 1):
            inputs = inputs[..., 0]
        if len(self.input_shape) == 1 and inputs.dtype.kind in "iuf":
            inputs = inputs.astype(np.float32)
        self._check(inputs)
        return inputs

    def _check(self, inputs: Shaped[np.ndarray, "N *shape"]) -> None:
        """Refuse what the model cannot take, with what it takes."""
        expected = np.dtype(self.card.input_dtype)
        if inputs.shape[1:] == self.input_shape and inputs.dtype == expected and len(inputs):
            if expected != np.uint8 and not np.isfinite(inputs).all():
                row = int(np.flatnonzero(~np.isfinite(inputs).all(axis=1))[0])
                raise InputError(
                    f"features must not be NaN or infinite, those of row {row} are; look for them "
                    "with np.isfinite"
                )
            return
        wanted = ", ".join(str(side) for side in self.input_shape)
        images = expected == np.uint8
        raise InputError(
            f"the model takes {expected} arrays of shape (N, {wanted}) with N of 1 or more"
            f"{', levels 0 to 255' if images else ''}, got {inputs.dtype} of shape "
            f"{inputs.shape}{_remedy(inputs, self.input_shape) if images else ''}"
        )


def _believable(outputs: Outputs) -> Outputs:
    """Refuse answers that are no probabilities, as no file that this program wrote gives."""
    right = all(np.isfinite(each).all() for each in outputs) and (outputs.probs >= 0).all()
    if not right or np.abs(outputs.probs.sum(axis=1) - 1).max() > 1e-3:
        raise DamagedFileError(
            "its answers are no probabilities: they are not finite, or do not sum to 1"
        )
    return outputs


# ---- models of every kind ----


def open_source(source: Run | Model | str | Path | None) -> Run | Model:
    """Return the run or the model that a name or a path stands for, the bundled one for None.

    Raises
    ------
    InputError
        There is none.
    """
    if source is None:
        return read_run(BUNDLED)
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


# ---- files that may be anybody's ----


def _read(path: Path) -> bytes:
    if not path.is_file():
        raise InputError(f"no model file {path}; train one: `lookbook.train(...)`")
    try:
        if path.stat().st_size > MOST_BYTES:
            raise DamagedFileError(
                f"{path} is larger than {MOST_BYTES:,} bytes, which no model of lookbook is; "
                "expected the model.onnx of a run: `lookbook.list_runs()` lists them"
            )
        return path.read_bytes()
    except OSError as error:
        raise InputError(
            f"{path} cannot be read: {error.strerror}; check its permissions"
        ) from error


def _examine(content: bytes) -> None:
    """Make sure, before anything in a file runs, that it is whole and computes as ours do.

    Raises
    ------
    DamagedFileError
        It is none of ours, it was changed, or it may take too much memory or time.
    """
    import onnx  # noqa: PLC0415  # 0.1 s, and not needed to pass a model on
    from google.protobuf.message import DecodeError  # noqa: PLC0415  # as it is imported for onnx

    from lookbook.inference.graphs.limits import check  # noqa: PLC0415  # which imports it, too

    try:
        written = onnx.load_from_string(content)
    except DecodeError as error:
        raise DamagedFileError("it is no ONNX file, or it was cut") from error
    if not written.graph.node:
        raise DamagedFileError("it is no ONNX file, or it was cut")
    metadata = {each.key: each.value for each in written.metadata_props}
    if "lookbook" not in metadata:
        raise DamagedFileError("another program wrote this ONNX file")
    if "sha256" not in metadata:
        raise DamagedFileError("it lacks its own hash, as another version may have written it")
    if hashlib.sha256(content[:-SEAL]).hexdigest() != metadata["sha256"]:
        raise DamagedFileError("it is not as it was written")
    card = ModelCard.from_json(json.loads(metadata["lookbook"]))
    merged = card.backbone is not msgspec.UNSET
    check(written, len(content), card.input_shape, BATCH, merged=merged)


def _remedy(inputs: Shaped[np.ndarray, "N *shape"], shape: tuple[int, ...]) -> str:
    """Say what to do with images that a model does not take, where that is known."""
    if inputs.shape == shape:
        return "; one image alone: images[None]"
    if inputs.shape[1:] != shape:
        return (
            "; images of any size are taken as files, or as PIL images made of uint8: "
            "lookbook.predict(model, PIL.Image.fromarray(image))"
        )
    if not len(inputs):
        return "; there is nothing to answer: leave empty batches out"
    return advise_on_levels(inputs, "images")
