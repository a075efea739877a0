"""Report section on answers: confusion matrix, mistakes, classes, map and search."""

from __future__ import annotations

import base64
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

import numpy as np
from msgspec import Struct

from lookbook.core.templates import LANGS, Lang, texts
from lookbook.evaluation import metrics
from lookbook.evaluation.features import MOST_TRAINING, NEAREST
from lookbook.evaluation.selection import extremes
from lookbook.images import sprites
from lookbook.reports.context import Context, Number, Section, Tile, grouped, tenths

if TYPE_CHECKING:
    from jaxtyping import Float, Int64

    from lookbook.runs.schema import Confused

#: classes whose probabilities are shown and kept for each image
LEADING = 10
#: classes whose probabilities stand beside a mistake, with the true one; a click shows the others
BESIDE = 3
#: classes beyond which the matrix is written small
SMALL = 20
#: colours of classes on the map
COLOURS = 10
#: images that run across the top
COVER = 48

#: what a class is beside an answer: the true one, the one that was said, or another
Kind = Literal["right", "wrong", ""]


@dataclass(frozen=True, kw_only=True)
class ConfusionSection(Section):
    """The confusion matrix: images of each class, in order, by the class that was said."""

    caption: str
    counts: list[list[str]]
    small: bool


@dataclass(frozen=True)
class ConfusedPair:
    """Two classes that are taken for each other."""

    title: str
    number: Number
    #: numbers of the true class and of the predicted one, and how often the one was the other
    ways: list[tuple[int, int, str]]


@dataclass(frozen=True)
class Bar:
    """The probability of a class, in percent and as it is written."""

    name: str
    share: float
    text: str
    kind: Kind


@dataclass(frozen=True)
class Neighbour:
    """A training image that is like a test image, with its label."""

    tile: Tile
    name: str
    kind: Kind


@dataclass(frozen=True)
class Card:
    """A mistake: image, answer, truth, where the model looked, probabilities, its like."""

    index: int
    tile: Tile
    answer: str
    truth: str
    number: str
    heat: str
    bars: list[Bar]
    neighbours: list[Neighbour]


@dataclass(frozen=True, kw_only=True)
class MistakesSection(Section):
    """The most confused pairs and the largest losses."""

    pairs: list[ConfusedPair]
    cards: list[Card]


@dataclass(frozen=True)
class ScoreRow:
    """A class with its scores, its easiest and its hardest images."""

    name: str
    numbers: list[Number]
    #: numbers of test images, and their places in the sprite
    typical: list[tuple[int, int]]
    worst: list[tuple[int, int]]


@dataclass(frozen=True, kw_only=True)
class ClassesSection(Section):
    """Precision, recall and F1 of each class."""

    rows: list[ScoreRow]


@dataclass(frozen=True, kw_only=True)
class SearchSection(Section):
    """What the page holds of the test part, by its numbers."""

    examples: list[int]
    example: int


class PackedAnswers(Struct, frozen=True):
    """Answers to the test images of the page, as its script takes them: numbers in base64."""

    classes: tuple[str, ...]
    #: classes whose probabilities are kept for each image, and columns of the sprite
    most: int
    columns: int
    index: str
    label: str
    leading: str
    tenths: str
    rank: str
    xy: str
    files: list[str]
    title: str
    text: dict[Lang, dict[str, str]]


def cover(context: Context) -> list[int]:
    """Choose images that run across the top: class by class, all that the model knew.

    Few ones come again, so that they reach the other side.
    """
    right = context.analysis.shown[
        context.predicted[context.analysis.shown] == context.test.labels[context.analysis.shown]
    ]
    chosen: list[int] = []
    for turn in range(COVER):
        for k in range(len(context.test.classes)):
            of_class = right[context.test.labels[right] == k]
            if turn < len(of_class):
                chosen.append(int(of_class[turn]))
    few = chosen[:COVER]
    return [context.at("test", few[i % len(few)]) for i in range(COVER if few else 0)]


def confusion(context: Context) -> ConfusionSection:
    """Write the matrix as a table of links."""
    matrix = context.answers.found.confusion_matrix
    return ConfusionSection(
        caption=context.t("confusion.caption", n=grouped(len(context.test))),
        counts=[[grouped(n) if n else "" for n in counts] for counts in matrix],
        small=len(context.test.classes) > SMALL,
    )


def mistakes(context: Context) -> MistakesSection:
    """Show the most confused pairs and the largest losses."""
    confused = context.answers.found.most_confused
    cards = [
        _card(context, place, int(index)) for place, index in enumerate(context.analysis.hardest)
    ]
    read = [context.t("mistakes.largest_read", n=len(cards))]
    if context.analysis.looked.size:
        read.append(context.t("mistakes.looked_read"))
    if context.analysis.nearest.size:
        key = "nearest_read" if context.analysis.by_features else "nearest_read_pixels"
        read.append(context.t(f"mistakes.{key}"))
        training = context.answers.training
        if training is not None and len(training) > MOST_TRAINING:
            read.append(context.t("mistakes.drawn", n=grouped(MOST_TRAINING)))
    pairs = [_pair(context, place, one) for place, one in enumerate(confused)]
    return MistakesSection(read=" ".join(read), pairs=pairs, cards=cards)


def _pair(context: Context, place: int, one: Confused) -> ConfusedPair:
    """Say how often two classes were taken for each other."""
    a, b = one.pair
    classes = context.test.classes
    ways = [
        (
            classes.index(truth),
            classes.index(predicted),
            context.t("mistakes.way", n=grouped(n), truth=truth, said=predicted),
        )
        for truth, predicted, n in ((a, b, one.first_as_second), (b, a, one.second_as_first))
        if n
    ]
    count = context.t("mistakes.count", n=grouped(one.count))
    title = context.t("mistakes.pair", a=a, b=b)
    return ConfusedPair(title, Number(count, f"confused-{place}", one.count), ways)


def _card(context: Context, place: int, index: int) -> Card:
    """Show one mistake: image, where the model looked, probabilities, its like."""
    sure = context.percent(tenths(context.probs[index].max()) / 1000)
    truth = context.name(context.test.labels[index])
    answer = context.name(context.predicted[index])
    about = context.t("script.about").format(
        index=grouped(index), said=answer, sure=sure, truth=truth
    )
    return Card(
        index=index,
        tile=context.tile("test", index, about),
        answer=f"{answer} {sure}",
        truth=context.t("mistakes.truth", truth=truth),
        number=context.t("mistakes.number", index=grouped(index)),
        heat=_heat(context, place),
        bars=_bars(context, index),
        neighbours=_neighbours(context, place, index),
    )


def _neighbours(context: Context, place: int, index: int) -> list[Neighbour]:
    """Return the training images that are most like a mistake; none without a training part."""
    training = context.answers.training
    if training is None:
        return []
    found = []
    for near in context.analysis.nearest[place][:NEAREST].tolist():
        label = training.labels[near]
        tile = context.tile("training", near)
        found.append(Neighbour(tile, context.name(label), _kind(context, index, label)))
    return found


def _bars(context: Context, index: int) -> list[Bar]:
    """Return the greatest probabilities of one image, and that of the true class."""
    probs, bars = context.probs[index], []
    for k in _leading(probs[None], context.test.labels[[index]], BESIDE + 1)[0]:
        share = tenths(probs[k]) / 1000
        percent, kind = context.percent(share), _kind(context, index, k)
        bars.append(Bar(context.name(k), round(100 * share, 1), percent, kind))
    return bars


def _kind(context: Context, index: int, k: int) -> Kind:
    """Say what a class is beside the answer to a test image."""
    if k == context.test.labels[index]:
        return "right"
    return "wrong" if k == context.predicted[index] else ""


def _leading(
    probs: Float[np.ndarray, "M K"], labels: Int64[np.ndarray, "M"], most: int = LEADING
) -> Int64[np.ndarray, "M L"]:
    """Return the most probable classes of each image, and in any case the true one."""
    leading = np.argsort(-probs, axis=1, kind="stable")[:, :most]
    lacking = ~(leading == labels[:, None]).any(axis=1)
    leading[lacking, -1] = labels[lacking]
    return leading


def _heat(context: Context, place: int) -> str:
    """Return where the model looked as a transparent image, orange where it matters."""
    if not context.analysis.looked.size:
        return ""
    map_ = context.analysis.looked[place]
    pixels = np.zeros((*map_.shape, 4), np.uint8)
    pixels[..., :3] = (230, 110, 0)
    pixels[..., 3] = (200 * map_).round().astype(np.uint8)
    return sprites.address(pixels)


def per_class(context: Context) -> ClassesSection:
    """Write precision, recall and F1 of each class, with its easiest and hardest images."""
    on_page = np.zeros(len(context.test), bool)
    on_page[context.analysis.shown] = True
    right = context.predicted == context.test.labels
    found = context.answers.found
    shares = metrics.class_shares(found)
    rows = []
    for k, one in enumerate(found.per_class):
        members = np.flatnonzero((context.test.labels == k) & on_page)
        typical, worst = extremes(members, context.of_truth, right)
        numbers = [
            Number("–" if share is None else context.percent(share), f"{key}-{k}", value)
            for key, value, share in (
                ("precision", one.precision, shares[k].precision),
                ("recall", one.recall, shares[k].recall),
                ("f1", one.f1, shares[k].f1),
            )
        ]
        numbers.append(Number(grouped(one.n), f"n-{k}", one.n))
        shown = ([(int(i), context.at("test", i)) for i in few] for few in (typical, worst))
        rows.append(ScoreRow(one.name, numbers, *shown))
    return ClassesSection(rows=rows, note=_sampled(context, "classes"))


def _sampled(context: Context, part: str) -> str:
    """Say what a part shows of the test images; nothing where a page holds them all."""
    shown = context.analysis.shown
    if len(shown) == len(context.test):
        return ""
    wrong = context.predicted != context.test.labels
    return context.t(
        f"{part}.sampled",
        shown=grouped(len(shown)),
        all=grouped(len(context.test)),
        wrong=grouped(int(wrong[shown].sum())),
        all_wrong=grouped(int(wrong.sum())),
    )


def the_map(context: Context) -> Section | None:
    """Say what the map is of; the script draws it."""
    analysis = context.analysis
    if not len(analysis.places):
        return None
    features = context.t("map.features" if analysis.by_features else "map.pixels")
    notes = [context.t("map.note", features=features)]
    if analysis.landmarks < len(analysis.shown):
        notes.append(context.t("map.landmarks", landmarks=grouped(analysis.landmarks)))
    if len(context.test.classes) > COLOURS:
        notes.append(context.t("map.colours"))
    notes.append(_sampled(context, "map"))
    read = context.t("map.read" if analysis.by_features else "map.read_pixels")
    return Section(read=read, note=" ".join(notes).strip())


def search(context: Context, sprite: sprites.Sprite) -> SearchSection:
    """Say what the page holds of the test part."""
    n = len(context.test)
    named = context.answers.source.examples if context.answers.source else ()
    notes = [_sampled(context, "search")]
    if sprite.side != context.test.size:
        notes.append(context.t("search.small"))
    if sprite.levels < 256:
        notes.append(context.t("search.greys"))
    return SearchSection(
        examples=[index for index in named if index < n],
        example=int(context.analysis.shown[0]),
        note=" ".join(notes).strip(),
    )


def for_script(context: Context, sprite: sprites.Sprite) -> PackedAnswers:
    """Return what the script needs."""
    shown = context.analysis.shown
    probs = context.probs[shown]
    leading = _leading(probs, context.test.labels[shown])
    shares = np.take_along_axis(probs, leading, axis=1)
    return PackedAnswers(
        classes=context.test.classes,
        most=leading.shape[1],
        columns=sprite.columns,
        index=_packed(shown.astype("<u4")),
        label=_packed(context.test.labels[shown].astype(np.uint8)),
        leading=_packed(leading.astype(np.uint8)),
        tenths=_packed(np.rint(1000 * shares.astype(np.float64)).astype("<u2")),
        rank=_packed(context.of_truth[shown].argsort(kind="stable").argsort().astype("<u2")),
        xy=_packed((65535 * context.analysis.places).astype("<u2")),
        files=[context.file("test", index) for index in shown] if context.test.files else [],
        title=context.answers.title,
        text={lang: _script_texts(lang) for lang in LANGS},
    )


def _script_texts(lang: Lang) -> dict[str, str]:
    listed = texts("reports/report", lang).items()
    return {key[7:]: text for key, text in listed if key.startswith("script.")}


def _packed(array: np.ndarray) -> str:
    return base64.b64encode(array.tobytes()).decode()
