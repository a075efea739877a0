"""Report sections on the model: layers, training curves, robustness."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from lookbook.images import sprites
from lookbook.inference import onnx_graph
from lookbook.reports import charts
from lookbook.reports.charts import Axis, Line
from lookbook.reports.context import Context, Fact, Number, Section, grouped

if TYPE_CHECKING:
    from lookbook.evaluation.robustness import Curve
    from lookbook.inference.model import Model
    from lookbook.runs.schema import EpochRecord
    from lookbook.runs.store import Run

#: filters that are drawn
FILTERS = 32


@dataclass(frozen=True)
class LayerRow:
    """A layer, what it hands on, and how many numbers it learnt."""

    name: str
    shape: str
    parameters: str


@dataclass(frozen=True)
class Filters:
    """Filters of the first layer as images."""

    title: str
    read: str
    addresses: list[str]


@dataclass(frozen=True, kw_only=True)
class NetworkSection(Section):
    """The layers, and what the first of them looks for."""

    drawing: str
    layers: list[LayerRow]
    total: str
    filters: Filters | None


@dataclass(frozen=True)
class Chart:
    """A chart as SVG; `again` where another one shows the same otherwise."""

    svg: str
    again: bool = False


@dataclass(frozen=True, kw_only=True)
class TrainingSection(Section):
    """Curves of a training; how it ended where it was too short for any."""

    curves: list[Chart]
    facts: list[Fact]


def network(context: Context) -> NetworkSection | None:
    """Draw the layers, and what the first of them looks for."""
    model = context.answers.model
    if model is None:
        return None
    height, width, *colours = context.test.images.shape[1:]
    shape = "×".join(map(str, (height, width, *colours)))
    none = context.t("network.one_parameter")
    found = context.layers
    rows = [
        LayerRow(context.t("network.input"), shape, none),
        *(_layer(context, one) for one in found),
        LayerRow(context.t("network.softmax"), str(found[-1].shape[0]), none),
    ]
    total = context.t("network.total", n=grouped(sum(one.learnt for one in found)))
    run = context.answers.run
    if run is not None and model.card.views is not None:
        total += " " + context.t("network.views")
    channels = colours[0] if colours else 1
    shapes = [(channels, height, width), *(one.shape for one in found)]
    drawing = charts.layer_drawing(shapes, ", ".join(f"{row.name} {row.shape}" for row in rows))
    filters = _filters(context, model)
    return NetworkSection(drawing=drawing, layers=rows, total=total, filters=filters)


def _layer(context: Context, one: onnx_graph.Layer) -> LayerRow:
    """Write one layer."""
    sides = {"kernel": "×".join(map(str, one.kernel)), "stride": max(one.stride, default=1)}
    kind: str = one.kind
    if kind in {"conv", "depthwise"} and max(one.stride) > 1:
        kind = f"{kind}_stride"
    counts = context.t("network.one_parameter")
    if one.learnt:
        counts = context.t("network.parameters", n=grouped(one.learnt))
    elif one.computed:
        counts = context.t("network.computed", n=grouped(one.computed))
    shape = " × ".join(map(str, one.shape))
    return LayerRow(context.t(f"network.{kind}", **sides), shape, counts)


def _filters(context: Context, model: Model) -> Filters | None:
    """Draw filters of the first layer, each from its own darkest to its own lightest.

    Those of a user's backbone are not looked at.
    """
    if context.layers[0].kind == "backbone":
        return None
    values = onnx_graph.first_filters(model)
    # those of a network without whitening filters were learnt: only a pretrained one has such
    kinds = {"whitening": "conv", "conv": "pretrained"}
    kind = kinds.get(context.layers[0].kind, "dense")
    drawn = []
    for one in values[:FILTERS]:
        most = np.abs(one).max() or 1.0
        grey = ((one / most + 1) * 127.5).round().astype(np.uint8)
        drawn.append(sprites.address(grey))
    size = "×".join(map(str, values.shape[1:3]))
    said = {"shown": len(drawn), "all": len(values), "twice": 2 * len(values), "size": size}
    read = context.t(f"network.filters_{kind}_read", **said)
    return Filters(context.t(f"network.filters_{kind}"), read, drawn)


def training(context: Context) -> TrainingSection | None:
    """Draw loss, accuracy and learning rate over the training."""
    run = context.answers.run
    if run is None:
        return None
    history, note = run.history, _note(context, run)
    if len(history) < 2:  # there is no curve of one point
        return TrainingSection(curves=[], facts=_ended(context, history[-1]), note=note)
    epochs, seconds = _epochs(run), [one.seconds for one in history]
    drawn = [
        Chart(_curve(context, history, name, xs, unit), again=unit == "seconds")
        for name in ("loss", "accuracy")
        for xs, unit in ((epochs, "epoch"), (seconds, "seconds"))
    ]
    rates = [one.learning_rate for one in history if one.learning_rate is not None]
    if len(rates) == len(history):
        drawn.append(Chart(_rate(context, rates, epochs)))
    return TrainingSection(curves=drawn, facts=[], note=note)


def _ended(context: Context, last: EpochRecord) -> list[Fact]:
    """Return how a training ended: loss and accuracy of both parts."""
    facts = []
    for name, write in (("loss", "{:.4f}".format), ("accuracy", context.percent)):
        for key, word in ((name, "training"), (f"val_{name}", "validation")):
            value = getattr(last, key)
            if value is not None:
                what = f"{context.t(f'training.{name}')}, {context.t(f'word.{word}')}"
                facts.append(Fact(what, Number(write(value))))
    return facts


def _epochs(run: Run) -> list[float]:
    """Return how many passes were done at the end of each; the last one may be a part."""
    n, hardest = run.metrics.training_images, run.recipe.hardest
    done = []
    for one in run.history:
        whole = n if one.epoch == 1 else max(1, round(hardest * n))
        done.append(one.epoch - 1 + min(1.0, one.images / whole))
    return done


def _note(context: Context, run: Run) -> str:
    """Say what the curves are of, and why those of the training may look worse."""
    recipe, last = run.recipe, run.history[-1]
    parts = [context.t("training.note" if recipe.learning_rate else "training.head")]
    with_validation = last.val_loss is not None
    parts.append(context.t("training.validation" if with_validation else "training.no_validation"))
    if recipe.hardest < 1 and last.epoch > 1:
        share = context.percent(recipe.hardest, 0)
        parts.append(context.t("training.hardest", share=share))
    if recipe.mirror or recipe.shift or recipe.distort:
        parts.append(context.t("training.changed"))
    if recipe.label_smoothing:
        share = context.percent(recipe.label_smoothing, 0)
        parts.append(context.t("training.smoothing", share=share))
    return " ".join(parts)


def _curve(
    context: Context, history: list[EpochRecord], name: str, xs: list[float], unit: str
) -> str:
    """Draw loss or accuracy of both parts."""
    lines = []
    parts: tuple[tuple[str, str, charts.Kind], ...] = (
        (name, "training", "quiet"),
        (f"val_{name}", "validation", "right"),
    )
    for key, word, kind in parts:
        ys = [value for one in history if (value := getattr(one, key)) is not None]
        if len(ys) == len(xs):
            lines.append(Line(context.t(f"word.{word}"), xs, ys, kind, charts.dots(xs)))
    every = [y for line in lines for y in line.ys]
    least, most = min(every), max(every)
    room = 0.06 * ((most - least) or 1)
    y = Axis(context.t(f"training.{name}"), max(0.0, least - room), most + room)
    if name == "accuracy":
        digits = 0 if most - least > 0.03 else 1
        y = Axis(y.name, y.least, min(1.0, y.most), lambda share: context.percent(share, digits))
    title = f"{context.t(f'training.{name}')} · {context.t(f'training.{unit}')}"
    return charts.chart(title, Axis(context.t(f"training.{unit}"), 0, xs[-1]), y, lines)


def _rate(context: Context, rates: list[float], epochs: list[float]) -> str:
    """Draw the learning rate at the end of each pass."""
    title, unit = context.t("training.rate"), context.t("training.epoch")
    y = Axis(title, 0, 1.08 * max(*rates, 1e-9), "{:.2g}".format)
    return charts.chart(
        title, Axis(unit, 0, epochs[-1]), y, [Line("", epochs, rates, "ink", charts.dots(epochs))]
    )


def robustness(context: Context) -> Section | None:
    """Draw the accuracy under each change."""
    analysis = context.analysis
    if not analysis.curves:
        return None
    commonest = float(context.test.counts.max() / len(context.test))
    drawn = [_robustness_chart(context, curve, commonest) for curve in analysis.curves]
    n, all_of_them = grouped(analysis.changed), analysis.changed == len(context.test)
    how = context.t("robustness.all" if all_of_them else "robustness.random", n=n)
    return Section(charts=drawn, note=context.t("robustness.note", n=n, how=how))


def _robustness_chart(context: Context, curve: Curve, commonest: float) -> str:
    """Draw one curve."""
    levels = list(curve.levels)
    first, last = levels[0], levels[-1]
    # contrast falls: the curve still begins at the left with the images as they are
    turned = -1 if first > last else 1
    xs = [turned * level for level in levels]
    unit = context.t(f"robustness.unit_{curve.corruption}")
    # three levels at most are all named: round numbers between them would be of none
    ticks = tuple(xs) if len(xs) <= 3 else None
    write: Any = lambda at: f"{turned * at:g}"  # noqa: E731
    if curve.corruption in {"flip", "inverted"}:
        no, yes = (word.strip() for word in unit.split(","))
        write = {xs[0]: no, xs[1]: yes}.get
        unit = ""
    dots = [3.0] * len(xs)
    lines = [
        Line("", [xs[0], xs[-1]], [commonest, commonest], "quiet"),
        Line("", xs, curve.accuracies, "right", dots),
    ]
    return charts.chart(
        context.t(f"robustness.{curve.corruption}"),
        Axis(unit, xs[0], xs[-1], write, ticks),
        Axis(
            context.t("trust.accuracy"), 0, 1, lambda share: context.percent(share, 0), (0, 0.5, 1)
        ),
        lines,
        size=(240, 170),
    )
