"""Damaged model files, and files of strangers that bear our metadata and the right hash."""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

from lookbook.inference.model import Model
from lookbook.recipes import QUICK, STANDARD, TRANSFER, TUTORIAL
from lookbook.runs.store import BUNDLED, MODEL

from . import mutate
from .cage import Act, Answer, Attack, WrongAnswerError, command

#: operators that run long, take much, or read what is not theirs
OPERATORS = (
    *("Loop", "If", "Scan", "ConstantOfShape", "Expand", "Tile", "Resize", "Range", "RandomNormal"),
    *("Pad", "OneHot", "Einsum", "StringNormalizer", "NonZero", "Unique", "CumSum", "Softmax"),
)
DOMAINS = ("", "com.microsoft", "ai.onnx.ml", "com.microsoft.nchwc", "x")


class Models(Attack):
    """A model file is damaged, or written anew with other content, and asked about an image."""

    def prepare(self, folder: Path) -> None:
        """Train a model of each kind of network; the bundled one has constants of 16 bits."""
        from PIL import Image

        from lookbook.training.pipeline import train

        rng = np.random.default_rng(0)
        images = rng.integers(0, 256, (120, 12, 10, 3), dtype=np.uint8)
        Image.fromarray(images[0]).save(folder / "image.png")
        for name, recipe, given in (
            ("dense", TUTORIAL, images[..., 0]),
            ("quick", QUICK, images),
            ("standard", STANDARD, images),
            ("transfer", TRANSFER, images),
        ):
            np.savez(folder / f"{name}.npz", images=given, labels=np.arange(120) % 2)
            train(str(folder / f"{name}.npz"), recipe, epochs=1, out=folder / name)
            shutil.copy(folder / name / "model.onnx", folder / f"{name}.onnx")
        levels: Any = {"backbone_mean": [0.5], "backbone_std": [0.25]}
        merged = train(
            str(folder / "quick.npz"), backbone=_backbone(folder), out=folder / "merged", **levels
        )
        shutil.copy(merged.model, folder / "merged.onnx")
        shutil.copy(BUNDLED / MODEL, folder / "bundled.onnx")

    def start(self, folder: Path) -> None:
        """Ask the whole models."""
        os.chdir(folder)
        self.contents = {
            name: Path(f"{name}.onnx").read_bytes()
            for name in ("dense", "quick", "standard", "transfer", "merged", "bundled")
        }
        self.answers = {
            name: _answer(command("predict", f"{name}.onnx", "image.png", "--json"))
            for name in self.contents
        }

    def mutate(self, rng: np.random.Generator, number: int) -> Act:
        """Damage one of the files."""
        del number
        name = mutate.choose(rng, list(self.contents))
        content, kind = self.contents[name], rng.random()
        sealed = kind >= 0.35
        if not sealed:
            changed = mutate.damage(rng, content, list(self.contents.values()))
        else:
            written, about = onnx.load_from_string(content), Model(content).about
            if kind < 0.55:
                about = mutate.document(rng, about)
            elif kind < 0.75:
                _change(rng, written)
            else:
                _add_stranger(rng, written)
            try:
                changed = Model.write(written, about).content
            except (TypeError, ValueError):  # what protobuf cannot write is no file
                changed = mutate.flip(rng, content)
        Path("mutant.onnx").write_bytes(changed)

        def act() -> Answer:
            found = _answer(command("predict", "mutant.onnx", "image.png", "--json"))
            probs = np.array(found["probs"], float)
            if not (
                np.isfinite(probs).all() and abs(probs.sum() - 1) < 1e-3 and (probs >= 0).all()
            ):
                raise WrongAnswerError(f"probabilities {probs[:5]}")
            if not sealed and found != self.answers[name]:
                raise WrongAnswerError("bytes were changed, and so is the answer")
            return Answer()

        return act


def _backbone(folder: Path) -> Path:
    """Write a network with most kinds of operators that only a user's backbone has."""
    import torch
    from torch import nn

    class Network(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.maps = nn.Sequential(
                nn.Conv2d(3, 8, 3, 1, 1, groups=1), nn.SiLU(), nn.AvgPool2d(2, ceil_mode=True),
                nn.Conv2d(8, 8, 3, 1, 2, 2, groups=2), nn.Hardswish(),
            )  # fmt: skip
            self.first = nn.Parameter(torch.zeros(1, 1, 8))
            self.norm, self.keys = nn.LayerNorm(8), nn.Linear(8, 24)

        def forward(self, images: torch.Tensor) -> torch.Tensor:
            tokens = self.maps(images).flatten(2).transpose(1, 2)
            tokens = torch.cat([self.first.expand(tokens.shape[0], -1, -1), tokens], 1)
            query, key, value = self.keys(self.norm(tokens)).chunk(3, 2)
            shares = torch.softmax(query @ key.transpose(1, 2) / 8**0.5, 2)
            return (tokens + torch.erf(shares @ value))[:, 0]

    path = folder / "backbone.onnx"
    images = torch.zeros(2, 3, 12, 10)
    torch.onnx.export(
        Network().eval(), (images,), path, dynamo=False, opset_version=17,
        input_names=["images"], dynamic_axes={"images": {0: "N"}},
    )  # fmt: skip
    return path


def _answer(printed: str) -> dict[str, Any]:
    return dict(json.loads(printed[printed.index("[") :])[0])


def _change(rng: np.random.Generator, message: Any) -> None:
    """Change one field somewhere in a protobuf message."""
    places = [(each, field.name) for each in _messages(message) for field, _ in each.ListFields()]
    holder, name = mutate.choose(rng, places)
    value = getattr(holder, name)
    try:
        if isinstance(value, str | bytes | int | float):
            setattr(holder, name, _other(rng, value))
        elif hasattr(value, "ListFields"):
            holder.ClearField(name)
        elif hasattr(value[0], "ListFields") and rng.random() < 0.5:
            value.add().CopyFrom(mutate.choose(rng, value))
        elif hasattr(value[0], "ListFields"):
            del value[int(rng.integers(len(value)))]
        else:
            value[int(rng.integers(len(value)))] = _other(rng, value[0])
    except ValueError:  # no value of that type
        holder.ClearField(name)


def _messages(message: Any) -> list[Any]:
    """List a protobuf message and all inside it."""
    found = [message]
    for _, value in message.ListFields():
        parts = [value] if hasattr(value, "ListFields") else value
        if not isinstance(value, str | bytes | int | float):
            found += [
                one for part in parts if hasattr(part, "ListFields") for one in _messages(part)
            ]
    return found


def _other(rng: np.random.Generator, value: Any) -> Any:
    if isinstance(value, str):
        return mutate.choose(rng, (*OPERATORS, *DOMAINS, value[:-1], "images", "probs", "logits"))
    if isinstance(value, bytes):
        return mutate.damage(rng, value, [value]) if value else b"x"
    if isinstance(value, float):
        return float(mutate.choose(rng, (0.0, -value, 1e30, float("nan"), float("inf"))))
    return int(mutate.choose(rng, (*mutate.NUMBERS[:-2], -1, -(2**31), value + 1))) % 2**31


def _add_stranger(rng: np.random.Generator, written: onnx.ModelProto) -> None:
    """Put nodes before the answer that take time or memory."""
    graph = written.graph
    where = next(node for node in graph.node if "probs" in node.output)
    position = list(where.output).index("probs")
    where.output[position] = "probs_before"
    mutate.choose(rng, STRANGERS)(graph)


def _constant(graph: onnx.GraphProto, name: str, values: Any, kind: type = np.int64) -> str:
    graph.initializer.append(numpy_helper.from_array(np.array(values, kind), name))
    return name


def _loop(graph: onnx.GraphProto) -> None:
    inside = helper.make_graph(
        [
            helper.make_node("Identity", ["going"], ["goes_on"]),
            helper.make_node("Identity", ["carried"], ["carries"]),
        ],
        "inside",
        [
            helper.make_tensor_value_info("i", TensorProto.INT64, []),
            helper.make_tensor_value_info("going", TensorProto.BOOL, []),
            helper.make_tensor_value_info("carried", TensorProto.FLOAT, None),
        ],
        [
            helper.make_tensor_value_info("goes_on", TensorProto.BOOL, []),
            helper.make_tensor_value_info("carries", TensorProto.FLOAT, None),
        ],
    )
    _constant(graph, "times", 2**62)
    _constant(graph, "yes", True, np.bool_)
    graph.node.append(
        helper.make_node("Loop", ["times", "yes", "probs_before"], ["probs"], body=inside)
    )


def _large(graph: onnx.GraphProto) -> None:
    _constant(graph, "large", [1, 1_000_000_000])
    graph.node.append(helper.make_node("ConstantOfShape", ["large"], ["zeros"]))
    _reduce(graph, "zeros")


def _expanded(graph: onnx.GraphProto) -> None:
    _constant(graph, "large", [500_000_000, 1, 1])
    graph.node.append(helper.make_node("Expand", ["probs_before", "large"], ["many"]))
    _reduce(graph, "many")


def _product(graph: onnx.GraphProto) -> None:
    """Multiply matrices that are made large from nothing."""
    _constant(graph, "large", [30_000, 30_000])
    graph.node.append(helper.make_node("ConstantOfShape", ["large"], ["a"]))
    graph.node.append(helper.make_node("MatMul", ["a", "a"], ["b"]))
    _reduce(graph, "b")


def _doubled(graph: onnx.GraphProto) -> None:
    """Double a row again and again with an operator that our own files have."""
    name = "probs_before"
    for i in range(33):
        graph.node.append(helper.make_node("Concat", [name, name], [f"d{i}"], axis=0))
        name = f"d{i}"
    _reduce(graph, name)


def _chained(graph: onnx.GraphProto) -> None:
    """Do something short a hundred thousand times."""
    name = "probs_before"
    for i in range(100_000):
        graph.node.append(helper.make_node("Identity", [name], [f"i{i}"]))
        name = f"i{i}"
    graph.node.append(helper.make_node("Identity", [name], ["probs"]))


def _not_a_number(graph: onnx.GraphProto) -> None:
    graph.node.append(helper.make_node("Log", ["probs_before"], ["below"]))
    graph.node.append(helper.make_node("Sqrt", ["below"], ["probs"]))


def _above_one(graph: onnx.GraphProto) -> None:
    graph.node.append(helper.make_node("Add", ["probs_before", "probs_before"], ["probs"]))


def _of_microsoft(graph: onnx.GraphProto) -> None:
    graph.node.append(helper.make_node("Gelu", ["probs_before"], ["probs"], domain="com.microsoft"))


def _from_outside(graph: onnx.GraphProto) -> None:
    """Add a weight that lies in another file."""
    weight = numpy_helper.from_array(np.zeros(2, np.float32), "outside")
    weight.ClearField("raw_data")
    weight.data_location = TensorProto.EXTERNAL
    weight.external_data.add(key="location", value="../../../../etc/passwd")
    graph.initializer.append(weight)
    graph.node.append(helper.make_node("Add", ["probs_before", "outside"], ["probs"]))


def _reduce(graph: onnx.GraphProto, name: str) -> None:
    """Add what is of no use to the answer, so that it has to be computed."""
    graph.node.append(helper.make_node("ReduceMax", [name], ["top"], keepdims=0))
    graph.node.append(helper.make_node("Sub", ["top", "top"], ["nothing"]))
    graph.node.append(helper.make_node("Add", ["probs_before", "nothing"], ["probs"]))


STRANGERS: tuple[Callable[[onnx.GraphProto], None], ...] = (
    _loop, _large, _expanded, _product, _doubled, _chained, _not_a_number, _above_one,
    _of_microsoft, _from_outside,
)  # fmt: skip
