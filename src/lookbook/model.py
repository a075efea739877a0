"""Read the one-file model and predict with it: raw pixels in, probabilities out, no torch."""

from __future__ import annotations

import hashlib
import json
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from lookbook.calibration import CalibrationSet
from lookbook.errors import DamagedFileError, InputError
from lookbook.runtime import open_session

if TYPE_CHECKING:
    import onnx
    import onnxruntime
    from jaxtyping import Float32, Shaped

    from lookbook.photos import Polarity

#: how ONNX calls the file of a weight that lies outside
EXTERNAL = b"location"
#: pictures that go through the network at once
BATCH = 1000
#: what every model file says of itself
KNOWN = {
    "classes",
    "polarity",
    "temperature",
    "calibration",
    "recipe",
    "validation",
    "data",
    "licence",
    "lookbook",
    "input_shape",
    "input_dtype",
    "views",
}
#: bytes at the end of a file that hold the hash of all others
SEAL = 76


class Outputs(NamedTuple):
    """What a model says about pictures: the outputs of its file, by their names.

    `probs` are calibrated, `logits` are before temperature; `novelty` is higher for stranger
    pictures, about 1 for those it learnt from.
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
            There is no such file.
        DamagedFileError
            It is no model that this program wrote.
        """
        path = Path(path)
        if not path.is_file():
            raise InputError(f"no model file {path}; train one: lookbook train")
        try:
            model = cls(path.read_bytes())
        except OSError as error:
            raise InputError(
                f"{path} cannot be read: {error.strerror}; check its permissions"
            ) from error
        try:
            in_parts = EXTERNAL in model.content and _wants_other_files(model.content)
            if not in_parts:
                model._try_out()
        except Exception as error:  # ONNX Runtime's own have no common class
            raise DamagedFileError(
                f"{path} is not a model of lookbook, or it is damaged: {_reason(model)}; expected "
                "the model.onnx of a run: lookbook runs lists them"
            ) from error
        if in_parts:
            raise DamagedFileError(
                f"{path} wants weights from other files, which is refused; a model of lookbook is "
                "one file: lookbook train"
            )
        return model

    @classmethod
    def write(cls, written: onnx.ModelProto, about: dict[str, Any]) -> Model:
        """Return a model of an ONNX graph that says `about` in its metadata, and its own hash.

        Two protobuf messages one after the other are one: what is hashed comes first.
        """
        from onnx import ModelProto, helper  # noqa: PLC0415  # 0.1 s, and not needed to predict

        written.producer_name = "lookbook"
        helper.set_model_props(written, {"lookbook": json.dumps(about)})
        content = written.SerializeToString(deterministic=True)
        seal = ModelProto()
        helper.set_model_props(seal, {"sha256": hashlib.sha256(content).hexdigest()})
        return cls(content + seal.SerializeToString())

    def __repr__(self) -> str:
        known = (
            f"{len(self.classes)} classes, {self.input_shape}, " if "about" in vars(self) else ""
        )
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
    def metadata(self) -> dict[str, str]:
        """The file's metadata: what it says of itself, as JSON, and its hash."""
        return dict(self._session.get_modelmeta().custom_metadata_map)

    @property
    def classes(self) -> tuple[str, ...]:
        """Names of the classes, in the order of the probabilities."""
        return tuple(self.about["classes"])

    @property
    def input_shape(self) -> tuple[int, ...]:
        """Shape of one input: (H, W), (H, W, 3), or (D,) for rows of features."""
        return tuple(self.about["input_shape"])

    @property
    def polarity(self) -> Polarity:
        """Whether the pictures it learnt from show light things on dark ground, or the reverse."""
        polarity: Polarity = self.about["polarity"]
        return polarity

    @cached_property
    def calibration(self) -> CalibrationSet | None:
        """What it said about validation pictures, for thresholds; None where they were too few."""
        kept = self.about["calibration"]
        return None if kept is None else CalibrationSet.from_json(kept)

    def _try_out(self) -> None:
        """Compare its hash, then answer one blank input: whatever is wrong with the file shows."""
        if not (set(self.about) >= KNOWN and isinstance(self.about["data"], dict)):
            raise ValueError("it does not say of itself what models do")
        if hashlib.sha256(self.content[:-SEAL]).hexdigest() != self.metadata.get("sha256"):
            raise ValueError("bytes were changed")
        blank = np.zeros((1, *self.input_shape), self.about["input_dtype"])
        shapes = [each.shape for each in self.predict(blank)]
        n = len(self.classes)
        if shapes != [(1, n), (1, n), (1,)]:
            raise ValueError(f"expected answers for {n} classes, got {shapes}")
        _ = self.polarity, self.calibration

    def predict(self, inputs: Shaped[np.ndarray, "N *shape"]) -> Outputs:
        """Return the answers to raw pictures (uint8) or rows of features (any real numbers).

        Grey pictures may have a last axis of one channel; features become float32.

        Raises
        ------
        InputError
            Type or shape are not those that the model was trained on, there is no picture, or a
            feature is NaN or infinite.
        """
        inputs = np.asarray(inputs)
        if inputs.shape[1:] == (*self.input_shape, 1):
            inputs = inputs[..., 0]
        if len(self.input_shape) == 1 and inputs.dtype.kind in "iuf":
            inputs = inputs.astype(np.float32)
        self._check(inputs)
        parts = [
            self._session.run(list(Outputs._fields), {"images": inputs[start : start + BATCH]})
            for start in range(0, len(inputs), BATCH)
        ]
        return Outputs(*map(np.concatenate, zip(*parts, strict=True)))

    def _check(self, inputs: Shaped[np.ndarray, "N *shape"]) -> None:
        """Refuse what the model cannot take, with what it takes."""
        expected = np.dtype(self.about["input_dtype"])
        if inputs.shape[1:] == self.input_shape and inputs.dtype == expected and len(inputs):
            if expected != np.uint8 and not np.isfinite(inputs).all():
                row = int(np.flatnonzero(~np.isfinite(inputs).all(axis=1))[0])
                raise InputError(
                    f"features must not be NaN or infinite, those of row {row} are; look for them "
                    "with np.isfinite"
                )
            return
        wanted = ", ".join(str(side) for side in self.input_shape)
        pictures = expected == np.uint8
        raise InputError(
            f"the model takes {expected} arrays of shape (N, {wanted}) with N of 1 or more"
            f"{', levels 0 to 255' if pictures else ''}, got {inputs.dtype} of shape "
            f"{inputs.shape}{_remedy(inputs, self.input_shape) if pictures else ''}"
        )


def _wants_other_files(content: bytes) -> bool:
    """Say whether an ONNX file has weights that lie outside, wherever in it they are named."""
    import onnx  # noqa: PLC0415  # 0.1 s, and for files that look like it alone

    def wants(message: Any) -> bool:
        if isinstance(message, onnx.TensorProto):
            return (
                message.data_location == onnx.TensorProto.EXTERNAL or len(message.external_data) > 0
            )
        parts = [part for field, part in message.ListFields() if field.message_type]
        return any(
            wants(each)
            for part in parts
            for each in ([part] if hasattr(part, "ListFields") else part)
        )

    return wants(onnx.load_from_string(content))


def _reason(model: Model) -> str:
    """Say in some words why a file is none of ours."""
    try:
        about = model.about
    except KeyError:
        return "another program wrote this ONNX file"
    except Exception:  # noqa: BLE001  # ONNX Runtime's own have no common class
        return "it is no ONNX file, or it was cut"
    lacking = sorted(KNOWN - set(about))
    if lacking:
        return f"it does not tell its {lacking[0]}, as another version may have written it"
    if "sha256" not in model.metadata:
        return "it lacks its own hash, as another version may have written it"
    return "it is not as it was written"


def _remedy(inputs: Shaped[np.ndarray, "N *shape"], shape: tuple[int, ...]) -> str:
    """Say what to do with pictures that a model does not take, where that is known."""
    if inputs.shape == shape:
        return "; one picture alone: images[None]"
    if inputs.shape[1:] != shape:
        return "; bring picture files to size and colour with: lookbook predict MODEL PICTURE"
    if not len(inputs):
        return "; there is nothing to answer: leave empty batches out"
    return _remedy_of_levels(inputs)


def _remedy_of_levels(inputs: Shaped[np.ndarray, "N *shape"]) -> str:
    """Say what to do with pictures that are no bytes."""
    if inputs.dtype.kind == "f" and not np.isfinite(inputs).all():
        return " with NaN or infinity; look for them with np.isfinite"
    if inputs.dtype.kind == "f" and inputs.min() >= 0 and inputs.max() <= 1:
        return "; they are 0 to 1: (images * 255).round().astype('uint8')"
    if inputs.dtype.kind == "b":
        return "; they are masks: images.astype('uint8') * 255"
    return "; where they are levels of 0 to 255: images.astype('uint8')"
