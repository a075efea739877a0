"""Draw figures: images, predictions, learning curves, the confusion matrix.

Each function returns a matplotlib `Figure`; a notebook shows it, `save` writes it. Texts are
English or, with `lang="ko"`, Korean where the machine has a Korean font.
"""

from __future__ import annotations

import os
import unicodedata
import warnings
from collections.abc import Callable
from functools import cache, wraps
from pathlib import Path
from typing import TYPE_CHECKING, Any, Concatenate, Literal, ParamSpec

import matplotlib as mpl
import numpy as np
from matplotlib import font_manager
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.colors import PowerNorm
from matplotlib.figure import Figure as MatplotlibFigure
from matplotlib.text import Text
from matplotlib.ticker import Formatter, MaxNLocator, PercentFormatter

from lookbook.core.files import cannot_write, open_plain
from lookbook.errors import InputError, LookbookWarning

if TYPE_CHECKING:
    from jaxtyping import Int64, UInt8
    from matplotlib.axes import Axes

    from lookbook.data.dataset import Dataset
    from lookbook.inference.predictor import Prediction

Lang = Literal["en", "ko"]

# blue and red that stay apart for all common kinds of colour blindness (Okabe and Ito, 2008)
RIGHT, WRONG, OTHER, INK = "#0072B2", "#D0312D", "#C3C7CC", "#22262B"
#: classes up to which the matrix shows its numbers
MOST_COUNTS = 30
#: classes up to which a figure grows with each and names each; of more, every n-th is named
MOST_NAMED = 50
#: letters up to which class names are written in full, where there is little room and where more
MOST_LETTERS, MOST_LETTERS_MATRIX = 16, 24
KOREAN_FONTS = ("NanumGothic", "Noto Sans CJK KR", "Noto Sans KR", "Malgun Gothic", "AppleGothic")
DPI = 300

TEXTS = {
    "en": {
        "true": "true: {}",
        "unsure": "not sure",
        "strange": "not one of these?",
        "grey level": "grey level (0 to 255)",
        "epoch": "epoch",
        "loss": "loss",
        "accuracy": "accuracy",
        "training": "training",
        "validation": "validation",
        "predicted class": "predicted class",
        "true class": "true class",
        "pictures": "pictures",
        "confusion": "{n:,} test images: {right:,} right (on the diagonal), {wrong:,} wrong",
        "share": "share of the true class",
        "percent": " %",
    },
    "ko": {
        "true": "정답: {}",
        "unsure": "잘 모르겠음",
        "strange": "여기 없는 종류인 듯",
        "grey level": "밝기 (0~255)",
        "epoch": "에포크",
        "loss": "손실",
        "accuracy": "정확도",
        "training": "훈련",
        "validation": "검증",
        "predicted class": "예측한 클래스",
        "true class": "실제 클래스",
        "pictures": "이미지 수",
        "confusion": "테스트 이미지 {n:,}장: 맞음 {right:,}장(대각선), 틀림 {wrong:,}장",
        "share": "실제 클래스 중 비율",
        "percent": "%",
    },
}

STYLE: dict[str, Any] = {
    "axes.edgecolor": "#8A9099",
    "axes.labelcolor": INK,
    "axes.spines.right": False,
    "axes.spines.top": False,
    "axes.titlesize": 10,
    "font.size": 9,
    "text.color": INK,
    "text.parse_math": False,  # a class may be called $x
    "xtick.color": INK,
    "ytick.color": INK,
}


class Figure(MatplotlibFigure):
    """A matplotlib figure that a notebook shows without any further set-up."""

    def _repr_png_(self) -> bytes:
        import io  # noqa: PLC0415  # for notebooks alone

        buffer = io.BytesIO()
        about = {"Description": self.words()}
        self.savefig(buffer, dpi=110, bbox_inches="tight", metadata=about)
        return buffer.getvalue()

    def words(self) -> str:
        """Return all that the figure says, for readers who cannot see it."""
        texts = [text for text in self.findobj(Text) if text.get_visible()]
        return " | ".join(text.get_text() for text in texts if text.get_text().strip())


P = ParamSpec("P")


def _styled(
    draw: Callable[Concatenate[dict[str, str], P], Figure],
) -> Callable[P, Figure]:
    """Give a drawing function its texts in the language asked for, and the one style."""

    @wraps(draw)
    def drawn(*args: P.args, **kwargs: P.kwargs) -> Figure:
        lang = kwargs.get("lang", "en")
        if lang == "ko" and not _can_draw(TEXTS["ko"]["true class"]):
            lang = "en"
        # glyphs that the first font lacks come from the next
        style: Any = STYLE | {"font.family": _fonts()}
        with mpl.rc_context(style):
            return draw(TEXTS[str(lang)], *args, **kwargs)

    return drawn


@cache
def korean_fonts() -> tuple[str, ...]:
    """Return the Korean fonts that matplotlib can use here, best first."""
    # matplotlib's own list is older than a font that was installed since
    known = {font.fname for font in font_manager.fontManager.ttflist}
    for path in font_manager.findSystemFonts():
        stem = Path(path).stem.replace("-", "")
        wanted = ("NanumGothic", "NotoSansCJKRegular", "NotoSansKR", "malgun", "AppleGothic")
        if path not in known and stem in wanted:
            font_manager.fontManager.addfont(path)
    names = {font.name for font in font_manager.fontManager.ttflist}
    return tuple(name for name in KOREAN_FONTS if name in names)


def _fonts() -> tuple[str, ...]:
    return ("DejaVu Sans", *korean_fonts())


@cache
def _letters_of(fonts: tuple[str, ...]) -> frozenset[int]:
    """Return the characters that these fonts can draw."""
    paths = [font_manager.findfont(font) for font in fonts]
    return frozenset().union(*(font_manager.get_font(path).get_charmap() for path in paths))


def _can_draw(text: str) -> bool:
    """Say whether figures can show a text; say so to the user, once, where they cannot."""
    if all(c.isascii() or c.isspace() or ord(c) in _letters_of(_fonts()) for c in text):
        return True
    _note_missing_font(korean=any("HANGUL" in unicodedata.name(c, "") for c in text))
    return False


@cache
def _note_missing_font(*, korean: bool) -> None:
    what, package = ("Korean", "fonts-nanum") if korean else ("some class names", "fonts-noto-cjk")
    warnings.warn(
        LookbookWarning(
            f"no font for {what} on this machine: figures are labelled in English, classes that "
            f"they cannot name by numbers; on Debian: apt-get install {package}"
        ),
        stacklevel=2,
    )


def _drawable(text: str) -> str:
    """Write a question mark for what figures cannot show."""
    if _can_draw(text):
        return text
    return "".join(c if c.isascii() or ord(c) in _letters_of(_fonts()) else "?" for c in text)


def _name(classes: tuple[str, ...], label: int, most: int = MOST_LETTERS) -> str:
    """Return the name of a class as a figure shows it, its number where no font has its letters."""
    name = _short(classes[label], most)
    return name if _can_draw(name) else f"class {label}"


def _short(name: str, most: int = MOST_LETTERS) -> str:
    """Cut a name that is too long for its place; wide letters count twice.

    >>> _short("Ankle boot"), _short("a very long class name", 12)
    ('Ankle boot', 'a very long…')
    """
    name = unicodedata.normalize("NFC", " ".join(name.split()))  # fonts draw whole syllables
    if _letters(name) <= most:
        return name
    while _letters(name) >= most:
        name = name[:-1]
    return f"{name.rstrip()}…"


def _letters(name: str) -> int:
    return sum(2 if unicodedata.east_asian_width(letter) in "WF" else 1 for letter in name)


def _room(names: list[str], size: float) -> float:
    """Return the inches that names take beyond "T-shirt/top", for which the figures are made."""
    return max(0, max(map(_letters, names)) - 11) * 0.6 * size / 72


def _figure(width: float, height: float) -> Figure:
    figure = Figure(figsize=(width, height), layout="constrained")
    FigureCanvasAgg(figure)
    return figure


#: endings of files that figures are written to; TeX would have to be installed for .pgf
ENDINGS = tuple(f".{name}" for name in sorted(FigureCanvasAgg.filetypes) if name != "pgf")


def check_place(path: Path) -> str:
    """Return the format in which a figure would be written there, before it is drawn.

    Raises
    ------
    InputError
        There is no such format, or the file exists and is no PNG that this program drew.
    """
    from PIL import Image  # noqa: PLC0415  # matplotlib needs it for PNG, too

    ending = path.suffix.lower()
    if ending not in ENDINGS:
        raise InputError(f"{path} has no ending of a figure; expected one of {', '.join(ENDINGS)}")
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


def save(figure: MatplotlibFigure, path: Path) -> Path:
    """Write a figure at 300 dpi, in the format that the file's ending names.

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
        raise cannot_write(path, error) from error
    return path


def _draw_image(axes: Axes, image: UInt8[np.ndarray, "H W *C"]) -> Any:
    axes.set_xticks([])
    axes.set_yticks([])
    axes.spines[:].set_visible(True)
    # reversed grey, as in the tutorial: ink on paper
    return axes.imshow(image, cmap="Greys", vmin=0, vmax=255, interpolation="nearest")


@_styled
def plot_picture(
    texts: dict[str, str], image: UInt8[np.ndarray, "H W *C"], title: str = "", *, lang: Lang = "en"
) -> Figure:
    """Draw one image large, grey ones with a colour bar that says what the shades mean."""
    figure = _figure(4.6, 4.0)
    axes = figure.subplots()
    shown = _draw_image(axes, image)
    height, width = image.shape[:2]
    axes.set_xticks(range(0, width, max(1, width // 6)))
    axes.set_yticks(range(0, height, max(1, height // 6)))
    axes.set_title(_drawable(_short(title, 60)))
    if image.ndim == 2:
        figure.colorbar(shown, ax=axes, label=texts["grey level"], shrink=0.9, pad=0.04)
    return figure


@_styled
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
    figure = _figure(1.55 * columns, 1.75 * rows)
    indices = range(first, min(first + rows * columns, len(dataset)))
    for axes, i in zip(_cells(figure, rows, columns), indices, strict=False):
        _draw_image(axes, dataset.images[i])
        axes.set_axis_on()
        axes.set_xlabel(f"{_name(dataset.classes, dataset.labels[i])}\n{i:,}", fontsize=8)
    return figure


def _cells(figure: Figure, rows: int, columns: int) -> list[Axes]:
    cells = list(figure.subplots(rows, columns, squeeze=False).flat)
    for axes in cells:
        axes.set_axis_off()
    return cells


@_styled
def plot_balance(texts: dict[str, str], dataset: Dataset, *, lang: Lang = "en") -> Figure:
    """Draw how many images each class has."""
    k = len(dataset.classes)
    names = [_name(dataset.classes, label) for label in range(k)]
    figure = _figure(6.0 + _room(names, 9), 0.9 + 0.24 * min(k, MOST_NAMED))
    axes = figure.subplots()
    axes.barh(range(k), dataset.counts, color=RIGHT, height=0.7)
    named = range(0, k, -(-k // MOST_NAMED))
    axes.set_yticks(named, [names[i] for i in named])
    axes.margins(y=min(0.05, 0.5 / k))
    axes.invert_yaxis()
    axes.set_xlabel(texts["pictures"])
    axes.xaxis.set_major_locator(MaxNLocator(5, integer=True))
    return figure


@_styled
def plot_predictions(
    texts: dict[str, str],
    predictions: list[Prediction],
    *,
    columns: int = 1,
    lang: Lang = "en",
) -> Figure:
    """Draw images, each beside the bar chart of its probabilities: blue right, red wrong.

    The caption names the predicted class, its percentage and, where it is known, the true class.
    """
    rows = -(-len(predictions) // columns)
    bars = max(len(p.shown_classes()) for p in predictions)
    # the names take room of their own, not from images and bars
    names = [_name(p.classes, label) for p in predictions for label in p.shown_classes()]
    figure = _figure((4.0 + _room(names, 7.5)) * columns, (0.75 + 0.135 * max(bars, 9)) * rows)
    cells = figure.subplots(rows, 2 * columns, squeeze=False, width_ratios=[1, 1.1] * columns)
    for axes in cells.flat:
        axes.set_axis_off()
    for position, prediction in enumerate(predictions):
        row, column = divmod(position, columns)
        _draw_prediction(cells[row, 2 * column], cells[row, 2 * column + 1], prediction, texts)
    return figure


def _draw_prediction(
    left: Axes, right: Axes, prediction: Prediction, texts: dict[str, str]
) -> None:
    colour = {True: RIGHT, False: WRONG, None: INK}[prediction.right]
    percent = texts["percent"]
    caption = _name(prediction.classes, prediction.label)
    caption += f" {100 * prediction.confidence:.0f}{percent}"
    if prediction.truth is not None:
        truth = _name(prediction.classes, prediction.truth, 14)
        caption += f"\n({texts['true'].format(truth)})"
    left.set_axis_on()
    _draw_image(left, prediction.image)
    if prediction.strange or prediction.unsure:
        caption = f"{texts['strange' if prediction.strange else 'unsure']}\n{caption}"
    left.set_xlabel(caption, color=colour, fontsize=9)
    left.set_title(_drawable(prediction.source[-40:]), fontsize=8, color="#5B626B")

    shown = prediction.shown_classes()
    colours = [OTHER] * len(shown)
    for k, name in enumerate(shown):
        if name == prediction.truth:
            colours[k] = RIGHT
        elif name == prediction.label:
            colours[k] = INK if prediction.truth is None else WRONG
    right.set_axis_on()
    right.barh(range(len(shown)), prediction.probs[shown], color=colours, height=0.72)
    names = [_name(prediction.classes, k) for k in shown]
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


@_styled
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
    names = [_name(classes, label, MOST_LETTERS_MATRIX) for label in range(k)]
    side, room = min(14.0, 3.2 + 0.42 * k), _room(names, 9)
    figure = _figure(side + 0.8 + room, side + room * (1 if k > 12 else 0.64))
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


@_styled
def plot_history(
    texts: dict[str, str],
    history: list[dict[str, Any]],
    *,
    lang: Lang = "en",
) -> Figure:
    """Draw loss and accuracy over the epochs, of training and, where there is one, validation."""
    figure = _figure(8.2, 3.2)
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
