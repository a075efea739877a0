"""Backbone: a user's ONNX network, images in, one vector of features out; frozen."""

from __future__ import annotations

import hashlib
import json
import math
from collections.abc import Iterator, Mapping, Sequence
from functools import cached_property
from os import PathLike
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import onnx
from msgspec import structs
from onnx import TensorProto, compose, helper, inliner, numpy_helper, version_converter

from lookbook.errors import DamagedFileError, InputError, check_types
from lookbook.images.specification import SIDES
from lookbook.inference.graphs.limits import check
from lookbook.inference.graphs.standard import OPSETS
from lookbook.inference.runtime import open_session
from lookbook.runs.backbone_schema import FrozenBackbone

if TYPE_CHECKING:
    from jaxtyping import Float32, UInt8

    from lookbook.inference.graphs.operators import Shape

#: bytes of the largest file: there is room for a head beside it in a model file
MOST_BYTES = (1 << 29) - (1 << 25)
#: numbers in the longest vector of features
MOST_FEATURES = 1 << 16
#: images that go through it at once
AT_ONCE = 8
#: what all names of its graph begin with in a model file
PREFIX = "backbone."
#: keys of its file's metadata by which it says how it takes pixels: ours, and Hugging Face's
MEAN, STD = ("mean", "image_mean"), ("std", "image_std")


def find_backbone(
    path: str | Path | None,
    mean: Sequence[float] | None = None,
    std: Sequence[float] | None = None,
) -> FrozenBackbone | None:
    """Return what is known of a user's backbone, if there is one; nothing in it runs.

    Parameters
    ----------
    path
        An ONNX file that takes float32 images and gives one vector for each, or one map, whose mean
        is taken.
    mean, std
        What is subtracted from pixels in 0..1, and what they are then divided by: one number, or
        one for each channel. Without them the file's metadata say it: `mean` and `std`, or
        `image_mean` and `image_std`, as JSON.

    Raises
    ------
    InputError
        There is no such file, or it is not such a network.
    """
    check_types(
        backbone=(path, str | PathLike | None),
        backbone_mean=(mean, Sequence | None),
        backbone_std=(std, Sequence | None),
    )
    if path is None:
        if mean is not None or std is not None:
            raise InputError(
                "`backbone_mean` and `backbone_std` say how a `backbone` takes pixels; name one"
            )
        return None
    content = _read(Path(path))
    written = _parse(path, content)
    said = {each.key: each.value for each in written.metadata_props}
    form = _Form(path, written)
    levels = [
        _levels(path, argument, given, said, keys, form.channels)
        for argument, given, keys in (("backbone_mean", mean, MEAN), ("backbone_std", std, STD))
    ]
    return FrozenBackbone(
        file=str(Path(path).resolve()),
        sha256=hashlib.sha256(content).hexdigest(),
        mean=levels[0],
        std=levels[1],
        size=form.size,
    )


class Backbone:
    """A user's network, for raw images of one shape: pixels are scaled inside.

    Parameters
    ----------
    known
        Which file it is, and how it takes pixels.
    shape
        Shape of one image: (H, W) or (H, W, 3).

    Raises
    ------
    InputError
        The file is no longer there or was changed; it takes other images, has operators that no
        model file may have, or answers batches otherwise than images alone.
    """

    def __init__(self, known: FrozenBackbone, shape: Shape) -> None:
        self.known, self._shape = known, shape
        content = _read(Path(known.file))
        if hashlib.sha256(content).hexdigest() != known.sha256:
            raise InputError(f"{known.file} was changed since; put back the file that it was")
        self._graph = self._prepared(_parse(known.file, content))
        self._check(len(content))

    @property
    def said(self) -> FrozenBackbone:
        """What a model file says of it: where it lies is nobody else's business."""
        return structs.replace(self.known, file=Path(self.known.file).name)

    @property
    def opset(self) -> int:
        """Version of its operators."""
        return int(self._graph.opset_import[0].version)

    @property
    def parameters(self) -> int:
        """How many numbers its weights are."""
        return sum(
            math.prod(each.dims)
            for each in self._graph.graph.initializer
            if each.data_type == TensorProto.FLOAT and each.name.startswith(PREFIX)
        )

    @cached_property
    def _session(self) -> Any:
        return open_session(self._graph.SerializeToString())

    def features(
        self, images: UInt8[np.ndarray, "N *shape"], *, mirrored: bool = False
    ) -> Iterator[Float32[np.ndarray, "M D"]]:
        """Give the features of images, a few at a time.

        Raises
        ------
        InputError
            They are not finite.
        """
        for start in range(0, len(images), AT_ONCE):
            batch = np.asarray(images[start : start + AT_ONCE])
            yield self._run(np.ascontiguousarray(batch[:, :, ::-1]) if mirrored else batch)

    def merge(self, head: onnx.ModelProto) -> onnx.ModelProto:
        """Return one network: this backbone, and a head that takes its features as `images`."""
        merged = onnx.ModelProto()
        merged.CopyFrom(head)
        graph, own = merged.graph, self._graph.graph
        for node in graph.node:
            node.input[:] = ["features" if name == "images" else name for name in node.input]
        nodes = [*own.node, *graph.node]
        del graph.node[:], graph.input[:]
        graph.node.extend(nodes)
        graph.input.extend(own.input)
        graph.initializer.extend(own.initializer)
        merged.ir_version = max(merged.ir_version, self._graph.ir_version)
        return merged

    def _run(self, images: UInt8[np.ndarray, "M *shape"]) -> Float32[np.ndarray, "M D"]:
        features: np.ndarray = self._session.run(["features"], {"images": images})[0]
        if not np.isfinite(features).all():
            raise InputError(
                f"{self.known.file} gives numbers that are not finite; look at how pixels are "
                "scaled for it: `backbone_mean`, `backbone_std`"
            )
        return features

    def _prepared(self, written: onnx.ModelProto) -> onnx.ModelProto:
        """Return the network with pixels scaled before it, and maps averaged behind it."""
        form = _Form(self.known.file, written)
        form.check(self._shape)
        own = compose.add_prefix(written, PREFIX).graph
        weights = {each.name for each in own.initializer}
        (taken,) = (each.name for each in own.input if each.name not in weights)
        scaled, constants = _scaling(self.known, form, self._shape, taken)
        pooled = _pooling(PREFIX + form.output.name, form)
        nodes = _needed([*scaled, *own.node, *pooled])
        used = {name for node in nodes for name in node.input}
        graph = helper.make_graph(
            nodes,
            "features",
            [helper.make_tensor_value_info("images", TensorProto.UINT8, ["N", *self._shape])],
            [helper.make_tensor_value_info("features", TensorProto.FLOAT, ["N", "D"])],
            [each for each in (*constants, *own.initializer) if each.name in used],
        )
        opset = helper.make_opsetid("", _opset(written))
        return helper.make_model(graph, opset_imports=[opset], ir_version=written.ir_version)

    def _check(self, size: int) -> None:
        """Refuse what no model file may hold, and what no features come of."""
        name = self.known.file
        alone = (
            f"{name} is for a batch of its own size; export it for any: "
            "dynamic_axes={'pixel_values': {0: 'N'}}"
        )
        bounds = self._graph, size + (1 << 16), self._shape
        try:
            check(*bounds, 1, merged=True)
        except DamagedFileError as error:
            raise InputError(f"{name} cannot be part of a model file: {error}") from error
        try:
            check(*bounds, AT_ONCE, merged=True)
        except DamagedFileError as error:
            raise InputError(alone) from error
        images = np.random.default_rng(0).integers(0, 256, (3, *self._shape), dtype=np.uint8)
        try:
            together, each = self._run(images), [self._run(images[i : i + 1]) for i in range(3)]
        except InputError:
            raise
        except Exception as error:  # ONNX Runtime's own have no common class
            raise InputError(
                f"{name} cannot be run ({_first_line(error)}); export it again, or take another"
            ) from error
        if together.ndim != 2 or not 0 < together.shape[1] <= MOST_FEATURES:
            raise InputError(
                f"{name} gives {together.shape[1:]} for an image, expected one vector of at most "
                f"{MOST_FEATURES:,} numbers; export an output that is one, such as pooler_output"
            )
        if not np.allclose(together, np.concatenate(each), rtol=1e-2, atol=1e-3):
            raise InputError(alone)


class _Form:
    """What a network takes and gives, as its file says."""

    def __init__(self, path: str | Path, written: onnx.ModelProto) -> None:
        self.path = path
        weights = {each.name for each in written.graph.initializer}
        taken = [each for each in written.graph.input if each.name not in weights]
        if len(taken) != 1:
            names = ", ".join(each.name for each in taken)[:200]
            raise InputError(f"{self.path} takes {names or 'nothing'}, expected images alone")
        kind = taken[0].type.tensor_type
        if kind.elem_type != TensorProto.FLOAT:
            named = TensorProto.DataType.Name(kind.elem_type).lower()
            raise InputError(
                f"{self.path} takes images of type {named}, expected float32; export it in "
                "float32, with pixels scaled outside"
            )
        shape = _shape(taken[0])
        if len(shape) != 4 or not {shape[1], shape[3]} & {1, 3}:
            said = ", ".join("?" if side is None else str(side) for side in shape)
            raise InputError(
                f"{self.path} takes arrays of shape ({said}), expected images: (N, 3, H, W) or "
                "(N, H, W, 3); export it with sides that are named there"
            )
        #: whether channels come before the sides
        self.first = shape[1] in {1, 3}
        self.channels = (shape[1] if self.first else shape[3]) or 3
        height, width = shape[2:] if self.first else shape[1:3]
        self.size = None if height is None or width is None else (height, width)
        if self.size and not SIDES[0] <= min(self.size) <= max(self.size) <= SIDES[1]:
            raise InputError(
                f"{self.path} takes images of {height}×{width}, and {SIDES[0]} to {SIDES[1]} "
                f"pixels on a side are read; export it for {SIDES[1]}×{SIDES[1]}"
            )
        self.output = self._output(written)

    def _output(self, written: onnx.ModelProto) -> Any:
        """Return the output that is a vector for each image, or the only one."""
        given = list(written.graph.output)
        vectors = [each for each in given if len(_shape(each)) == 2]
        chosen = given if len(given) == 1 else vectors
        if len(chosen) == 1 and len(_shape(chosen[0])) in {0, 2, 4}:
            return chosen[0]
        names = ", ".join(
            f"{each.name} ({', '.join('?' if s is None else str(s) for s in _shape(each))})"
            for each in given
        )[:300]
        raise InputError(
            f"{self.path} gives {names}, expected one vector for each image; export the one output "
            "that is that, such as pooler_output"
        )

    def check(self, shape: Shape) -> None:
        """Refuse images that it does not take."""
        if self.size not in {None, shape[:2]}:
            wanted = "×".join(map(str, self.size or ()))
            raise InputError(
                f"{self.path} takes images of {wanted}, got {shape[0]}×{shape[1]}; export it with "
                "sides of any length, or bring the images to its own"
            )
        if self.channels == 1 and len(shape) == 3:
            raise InputError(
                f"{self.path} takes grey images, got colour; take a backbone for colour, which "
                "takes grey ones, too"
            )


def _shape(value: onnx.ValueInfoProto) -> tuple[int | None, ...]:
    """Return the sides that a file says; None where any do."""
    sides = value.type.tensor_type.shape.dim
    return tuple(side.dim_value if side.HasField("dim_value") else None for side in sides)


def _read(path: Path) -> bytes:
    if not path.is_file():
        raise InputError(
            f"no ONNX file {path}; `backbone` takes one that was exported from timm, Hugging Face "
            "or torchvision"
        )
    if path.stat().st_size > MOST_BYTES:
        raise InputError(
            f"{path} is larger than {MOST_BYTES:,} bytes, which a model file has no room for; take "
            "a smaller backbone"
        )
    return path.read_bytes()


def _parse(path: str | Path, content: bytes) -> onnx.ModelProto:
    """Return a file's network with operators of a version that is known; nothing else is read."""
    from google.protobuf.message import DecodeError  # noqa: PLC0415  # as it is imported for onnx

    try:
        written = onnx.load_from_string(content)
    except DecodeError:
        written = onnx.ModelProto()
    if not written.graph.node:
        raise InputError(f"{path} is no ONNX file, or it was cut; export it again")
    if any(each.external_data or each.data_location for each in written.graph.initializer):
        raise InputError(
            f"{path} keeps weights in other files, which are not read; write it as one: "
            "onnx.save(onnx.load(path), 'one.onnx')"
        )
    if written.functions:
        written = inliner.inline_local_functions(written)
    return written if _opset(written) in OPSETS else _converted(path, written)


def _converted(path: str | Path, written: onnx.ModelProto) -> onnx.ModelProto:
    """Return an older network with newer operators."""
    version = _opset(written)
    if version > OPSETS[-1]:
        raise InputError(
            f"{path} has operators of version {version}; export it with opset_version="
            f"{OPSETS[0]}; {OPSETS[0]} to {OPSETS[-1]} are known"
        )
    try:
        return version_converter.convert_version(written, OPSETS[0])
    except RuntimeError as error:
        raise InputError(
            f"{path} has operators of version {version}, which cannot be converted "
            f"({_first_line(error)}); export it with opset_version={OPSETS[0]}"
        ) from error


def _first_line(error: Exception) -> str:
    return (str(error).splitlines() or [""])[0][:200]


def _opset(written: onnx.ModelProto) -> int:
    return max((each.version for each in written.opset_import if not each.domain), default=0)


def _levels(
    path: str | Path,
    argument: str,
    given: Sequence[float] | None,
    said: Mapping[str, str],
    keys: tuple[str, ...],
    channels: int,
) -> tuple[float, ...]:
    """Return the mean or the spread of pixels, as it is given, or as the file says."""
    if given is None:
        given = next((_numbers(said[key]) for key in keys if key in said), None)
    if given is None:
        raise InputError(
            f"{path} does not say how it takes pixels; say so by `backbone_mean` and "
            "`backbone_std`, as where it was published: timm and torchvision mostly take "
            "0.485,0.456,0.406 and 0.229,0.224,0.225"
        )
    right = len(given) in {1, channels} and all(
        isinstance(each, int | float) and math.isfinite(each) for each in given
    )
    if not right or (keys is STD and min(given) <= 0):
        raise InputError(
            f"`{argument}` must be one number or {channels}, on a scale where white is 1, got "
            f"{list(given)!a}"
        )
    return tuple(float(each) for each in given)


def _numbers(text: str) -> list[Any]:
    """Read a JSON list or number."""
    try:
        found = json.loads(text)
    except ValueError:
        return [text]
    return found if isinstance(found, list) else [found]


def _scaling(
    known: FrozenBackbone, form: _Form, shape: Shape, taken: str
) -> tuple[list[onnx.NodeProto], list[onnx.TensorProto]]:
    """Return what makes floats of raw images as the network takes them, channel by channel."""
    mean, std = (np.broadcast_to(np.array(each), form.channels) for each in (known.mean, known.std))
    constants: dict[str, np.ndarray] = {
        "pixels.scale": (1 / (255 * std)).astype(np.float32),
        "pixels.shift": (-mean / std).astype(np.float32),
        "pixels.axis": np.array([3], np.int64),
    }
    grey = len(shape) == 2
    steps = [helper.make_node("Cast", ["images"], ["pixels.raw"], to=TensorProto.FLOAT)]
    if grey:
        steps.append(
            helper.make_node("Unsqueeze", ["pixels.raw", "pixels.axis"], ["pixels.channel"])
        )
    raw = "pixels.channel" if grey else "pixels.raw"
    scaled = "pixels.scaled" if form.first else taken
    # of one channel they make as many as the network takes
    steps.append(helper.make_node("Mul", [raw, "pixels.scale"], ["pixels.spread"]))
    steps.append(helper.make_node("Add", ["pixels.spread", "pixels.shift"], [scaled]))
    if form.first:
        steps.append(helper.make_node("Transpose", [scaled], [taken], perm=[0, 3, 1, 2]))
    return steps, [numpy_helper.from_array(each, name) for name, each in constants.items()]


def _needed(nodes: Sequence[onnx.NodeProto]) -> list[onnx.NodeProto]:
    """Return the steps that features come of, without results that nothing takes."""
    needed, kept = {"features"}, []
    for node in reversed(nodes):
        if needed & set(node.output):
            needed.update(node.input)
            while node.output[-1] not in needed or not node.output[-1]:
                del node.output[-1]
            kept.append(node)
    return kept[::-1]


def _pooling(given: str, form: _Form) -> list[onnx.NodeProto]:
    """Return what makes one vector of a map: its mean; a vector stays."""
    if len(_shape(form.output)) != 4:
        return [helper.make_node("Identity", [given], ["features"])]
    steps, mapped = [], given
    if not form.first:
        mapped = "map.first"
        steps.append(helper.make_node("Transpose", [given], [mapped], perm=[0, 3, 1, 2]))
    steps.append(helper.make_node("GlobalAveragePool", [mapped], ["map.mean"]))
    return [*steps, helper.make_node("Flatten", ["map.mean"], ["features"])]
