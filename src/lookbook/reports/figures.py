"""Figures with matplotlib: images, predictions, learning curves, the confusion matrix.

Each function returns a matplotlib `Figure`; a notebook shows it, `save` writes it. Texts are
English or, with `lang="ko"`, Korean where the machine has a Korean font. matplotlib places all
labels; names of classes are cut by hand before, since it neither shortens a text nor knows that a
Korean letter is as wide as two.
"""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.colors import PowerNorm
from matplotlib.ticker import Formatter, MaxNLocator, PercentFormatter
from scipy import ndimage

from lookbook.core.files import cannot_write, check_above, open_plain
from lookbook.errors import InputError
from lookbook.reports.figure_style import (
    DPI,
    INK,
    MOST_COUNTS,
    MOST_LETTERS_MATRIX,
    MOST_NAMED,
    OTHER,
    RIGHT,
    STYLE,
    TEXTS,
    WRONG,
    Figure,
    Lang,
    class_name,
    drawable,
    korean_fonts,
    new_figure,
    room_for,
    shorten,
    styled,
)

if TYPE_CHECKING:
    from jaxtyping import Int64, UInt8
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure as MatplotlibFigure

    from lookbook.data.dataset import Dataset
    from lookbook.images.photographs import Cutout
    from lookbook.inference.predictor import Prediction
    from lookbook.runs.schema import EpochRecord

__all__ = [
    "DPI",
    "ENDINGS",
    "INK",
    "OTHER",
    "RIGHT",
    "STYLE",
    "TEXTS",
    "WRONG",
    "Figure",
    "Lang",
    "check_place",
    "korean_fonts",
    "plot_balance",
    "plot_confusion",
    "plot_history",
    "plot_picture",
    "plot_pictures",
    "plot_predictions",
    "save",
]

#: endings of files that figures are written to; TeX would have to be installed for .pgf
ENDINGS = tuple(f".{name}" for name in sorted(FigureCanvasAgg.filetypes) if name != "pgf")


def check_place(path: Path) -> str:
    """Return the format in which a figure would be written there, before it is drawn.

    Raises
    ------
    InputError
        There is no such format, it would lie in what is no folder, or the file exists and is no
        PNG that this program drew.
    """
    from PIL import Image  # noqa: PLC0415  # matplotlib needs it for PNG, too

    ending = path.suffix.lower()
    if ending not in ENDINGS:
        raise InputError(f"{path} has no ending of a figure; expected one of {', '.join(ENDINGS)}")
    check_above(path)
    if os.path.lexists(path):
        try:
            with open_plain(path) as file, Image.open(file, formats=["PNG"]) as old:
                ours = ending == ".png" and old.info.get("Software") == "lookbook"
        except OSError:
            ours = False
        if not ours:
            kept = "was not drawn by lookbook" if ending == ".png" else "is not overwritten"
            raise InputError(f"{path} exists and {kept}; choose another name or folder")
    return ending.removeprefix(".")


def save(figure: MatplotlibFigure, path: Path, *, argument: str = "path") -> Path:
    """Write a figure at 300 dpi, in the format that the file's ending names.

    An error calls its place by the `argument` that named it.

    Raises
    ------
    InputError
        There is no such format, or the file exists and is not one of ours.
    OutputError
        It cannot be written.
    """
    form = check_place(path)
    fresh = path.with_name(f".{path.name}.{os.getpid()}")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        fresh.unlink(missing_ok=True)  # a link of that name would be written through
        try:
            figure.savefig(
                fresh,
                dpi=DPI,
                format=form,
                bbox_inches="tight",
                facecolor="white",
                metadata={"Software": "lookbook"} if form == "png" else None,
            )
            fresh.replace(path)
        finally:
            fresh.unlink(missing_ok=True)
    except OSError as error:
        raise cannot_write(path, error, argument=argument) from error
    return path


def _draw_image(axes: Axes, image: UInt8[np.ndarray, "H W *C"]) -> Any:
    axes.set_xticks([])
    axes.set_yticks([])
    axes.spines[:].set_visible(True)
    # reversed grey, as in the tutorial: ink on paper
    return axes.imshow(image, cmap="Greys", vmin=0, vmax=255, interpolation="nearest")


@styled
def plot_picture(
    texts: dict[str, str], image: UInt8[np.ndarray, "H W *C"], title: str = "", *, lang: Lang = "en"
) -> Figure:
    """Draw one image large, grey ones with a colour bar that says what the shades mean."""
    figure = new_figure(4.6, 4.0)
    axes = figure.subplots()
    shown = _draw_image(axes, image)
    height, width = image.shape[:2]
    axes.set_xticks(range(0, width, max(1, width // 6)))
    axes.set_yticks(range(0, height, max(1, height // 6)))
    axes.set_title(drawable(shorten(title, 60)))
    if image.ndim == 2:
        figure.colorbar(shown, ax=axes, label=texts["grey level"], shrink=0.9, pad=0.04)
    return figure


@styled
def plot_pictures(
    _texts: dict[str, str],
    dataset: Dataset,
    first: int,
    *,
    rows: int = 5,
    columns: int = 5,
    lang: Lang = "en",
) -> Figure:
    """Draw a grid of consecutive images, each with its class name and index under it."""
    figure = new_figure(1.55 * columns, 1.75 * rows)
    indices = range(first, min(first + rows * columns, len(dataset)))
    for axes, i in zip(_cells(figure, rows, columns), indices, strict=False):
        _draw_image(axes, dataset.images[i])
        axes.set_axis_on()
        axes.set_xlabel(f"{class_name(dataset.classes, dataset.labels[i])}\n{i:,}", fontsize=8)
    return figure


def _cells(figure: Figure, rows: int, columns: int) -> list[Axes]:
    cells = list(figure.subplots(rows, columns, squeeze=False).flat)
    for axes in cells:
        axes.set_axis_off()
    return cells


@styled
def plot_balance(texts: dict[str, str], dataset: Dataset, *, lang: Lang = "en") -> Figure:
    """Draw how many images each class has."""
    k = len(dataset.classes)
    names = [class_name(dataset.classes, label) for label in range(k)]
    figure = new_figure(6.0 + room_for(names, 9), 0.9 + 0.24 * min(k, MOST_NAMED))
    axes = figure.subplots()
    axes.barh(range(k), dataset.counts, color=RIGHT, height=0.7)
    named = range(0, k, -(-k // MOST_NAMED))
    axes.set_yticks(named, [names[i] for i in named])
    axes.margins(y=min(0.05, 0.5 / k))
    axes.invert_yaxis()
    axes.set_xlabel(texts["pictures"])
    axes.xaxis.set_major_locator(MaxNLocator(5, integer=True))
    return figure


@styled
def plot_predictions(
    texts: dict[str, str],
    predictions: list[Prediction],
    *,
    columns: int = 1,
    lang: Lang = "en",
) -> Figure:
    """Draw images, each beside the bar chart of its probabilities: blue right, red wrong.

    Photographs are drawn with the outline that was found, and beside them what the model saw. The
    caption names the predicted class, its percentage and, where it is known, the true class.
    """
    rows = -(-len(predictions) // columns)
    bars = max(len(p.shown_classes()) for p in predictions)
    # the names take room of their own, not from images and bars
    names = [class_name(p.classes, label) for p in predictions for label in p.shown_classes()]
    photographs = any(p.cutout for p in predictions)
    width, widths = (5.9, [1, 1, 1.1]) if photographs else (4.0, [1, 1.1])
    figure = new_figure(
        (width + room_for(names, 7.5)) * columns, (0.75 + 0.135 * max(bars, 9)) * rows
    )
    each = len(widths)
    cells = figure.subplots(rows, each * columns, squeeze=False, width_ratios=widths * columns)
    for axes in cells.flat:
        axes.set_axis_off()
    for position, prediction in enumerate(predictions):
        row, column = divmod(position, columns)
        first, *others, last = cells[row, each * column : each * (column + 1)]
        _draw_prediction(first, last, prediction, texts)
        if prediction.cutout:
            _draw_image(others[0], prediction.image)
            others[0].set_axis_on()
            others[0].set_xlabel(texts["seen"], color="#5B626B", fontsize=8)
    return figure


def _draw_cutout(axes: Axes, cutout: Cutout) -> None:
    """Draw a photograph, its ground faded, and a line around what was cut out."""
    _draw_image(axes, cutout.photograph)
    height, width = cutout.mask.shape
    axes.set(xlim=(-0.5, width - 0.5), ylim=(height - 0.5, -0.5))
    if cutout.is_whole:
        return
    # steps of two pixels become a line
    soft = ndimage.gaussian_filter(np.pad(cutout.mask, 1).astype(np.float64), 2.8, mode="constant")
    across, down = np.arange(-1, width + 1), np.arange(-1, height + 1)
    axes.contourf(across, down, soft, [-1, 0.5], colors="white", alpha=0.66)
    for colour, line in (("white", 2.4), (INK, 1.1)):
        axes.contour(across, down, soft, [0.5], colors=colour, linewidths=line)


def _draw_prediction(
    left: Axes, right: Axes, prediction: Prediction, texts: dict[str, str]
) -> None:
    colour = {True: RIGHT, False: WRONG, None: INK}[prediction.right]
    percent = texts["percent"]
    caption = class_name(prediction.classes, prediction.label)
    caption += f" {100 * prediction.confidence:.0f}{percent}"
    if prediction.truth is not None:
        truth = class_name(prediction.classes, prediction.truth, 14)
        caption += f"\n({texts['true'].format(truth)})"
    left.set_axis_on()
    if prediction.cutout:
        _draw_cutout(left, prediction.cutout)
    else:
        _draw_image(left, prediction.image)
    if prediction.strange or prediction.unsure:
        caption = f"{texts['strange' if prediction.strange else 'unsure']}\n{caption}"
    if prediction.cutout and prediction.cutout.is_whole:
        caption += f"\n({texts['nothing found']})"
    left.set_xlabel(caption, color=colour, fontsize=9)
    left.set_title(drawable(prediction.source[-40:]), fontsize=8, color="#5B626B")

    shown = prediction.shown_classes()
    colours = [OTHER] * len(shown)
    for k, name in enumerate(shown):
        if name == prediction.truth:
            colours[k] = RIGHT
        elif name == prediction.label:
            colours[k] = INK if prediction.truth is None else WRONG
    right.set_axis_on()
    right.barh(range(len(shown)), prediction.probs[shown], color=colours, height=0.72)
    names = [class_name(prediction.classes, k) for k in shown]
    right.set_yticks(range(len(shown)), names, fontsize=7.5)
    right.invert_yaxis()
    right.set_xlim(0, 1)
    right.xaxis.set_major_formatter(PercentFormatter(1, symbol=percent))
    right.set_xticks([0, 0.5, 1])
    right.tick_params(length=0)
    for k, name in enumerate(shown):
        share = float(prediction.probs[name])
        if share >= 0.005:
            inside = share > 0.75
            right.text(
                share + (-0.02 if inside else 0.02),
                k,
                f"{100 * share:.0f}{percent}",
                va="center",
                ha="right" if inside else "left",
                fontsize=7,
                color="white" if inside else INK,
            )


@styled
def plot_confusion(
    texts: dict[str, str],
    matrix: Int64[np.ndarray, "K K"],
    classes: tuple[str, ...],
    *,
    lang: Lang = "en",
) -> Figure:
    """Draw the confusion matrix with its counts; shade is the share of the true class."""
    matrix = np.asarray(matrix)
    k = len(classes)
    names = [class_name(classes, label, MOST_LETTERS_MATRIX) for label in range(k)]
    side, room = min(14.0, 3.2 + 0.42 * k), room_for(names, 9)
    figure = new_figure(side + 0.8 + room, side + room * (1 if k > 12 else 0.64))
    axes = figure.subplots()
    shares = matrix / np.maximum(matrix.sum(axis=1, keepdims=True), 1)
    # the root brings out the few mistakes beside the many hits
    shown = axes.imshow(shares, cmap="Blues", norm=PowerNorm(0.5, vmin=0, vmax=1))
    named = range(0, k, -(-k // MOST_NAMED))
    axes.set_xticks(
        named,
        [names[i] for i in named],
        rotation=90 if k > 12 else 40,
        ha="center" if k > 12 else "right",
        rotation_mode=None if k > 12 else "anchor",
    )
    axes.set_yticks(named, [names[i] for i in named])
    axes.tick_params(length=0)
    axes.set_xlabel(texts["predicted class"])
    axes.set_ylabel(texts["true class"])
    right = int(np.trace(matrix))
    total = int(matrix.sum())
    axes.set_title(texts["confusion"].format(n=total, right=right, wrong=total - right))
    if k <= MOST_COUNTS:
        for (row, column), count in np.ndenumerate(matrix):
            if count:
                colour = "white" if shares[row, column] > 0.35 else INK
                axes.text(
                    column,
                    row,
                    f"{count:,}",
                    ha="center",
                    va="center",
                    color=colour,
                    fontsize=8 if k <= 15 else 5,
                )
    bar = figure.colorbar(shown, ax=axes, shrink=0.8, label=texts["share"])
    percent = [f"{share}{texts['percent']}" for share in (1, 5, 20, 50, 100)]
    bar.set_ticks([0, 0.01, 0.05, 0.2, 0.5, 1], labels=["0", *percent])
    return figure


class _Percentages(Formatter):
    """Percentages with as many decimals as the ticks need, no more."""

    def __init__(self, symbol: str) -> None:
        self.symbol = symbol

    def __call__(self, x: float, pos: int | None = None) -> str:  # noqa: ARG002  # as matplotlib asks
        return f"{100 * x:.6g}{self.symbol}"

    def format_ticks(self, values: Any) -> list[str]:
        decimals = max(len(f"{100 * x:.6g}".partition(".")[2]) for x in values)
        return [f"{100 * x:.{decimals}f}{self.symbol}" for x in values]


@styled
def plot_history(
    texts: dict[str, str],
    history: Sequence[EpochRecord | Mapping[str, float | None]],
    *,
    lang: Lang = "en",
) -> Figure:
    """Draw loss and accuracy over the epochs, of training and, where there is one, validation."""
    figure = new_figure(8.2, 3.2)
    epochs = [entry["epoch"] for entry in history]
    for axes, what in zip(figure.subplots(1, 2), ("loss", "accuracy"), strict=True):
        for key, name, colour, marker in (
            (what, "training", "#8A9099", "o"),
            (f"val_{what}", "validation", RIGHT, "s"),
        ):
            values = [entry[key] for entry in history]
            if None not in values:
                axes.plot(epochs, values, color=colour, marker=marker, ms=4, label=texts[name])
        axes.set_xlabel(texts["epoch"])
        axes.set_title(texts[what])
        axes.xaxis.set_major_locator(MaxNLocator(8, integer=True))
        if len(epochs) == 1:
            axes.set_xticks(epochs)
        axes.grid(axis="y", color="#E4E7EA", lw=0.8)
        axes.set_axisbelow(True)
        axes.legend(frameon=False)
        if what == "accuracy":
            axes.yaxis.set_major_formatter(_Percentages(texts["percent"]))
    return figure
