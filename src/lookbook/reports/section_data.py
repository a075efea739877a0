"""Report section on data: classes, pixels, findings of the audit."""

from __future__ import annotations

import shlex
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from lookbook.core.arrays import chunks, telling_row
from lookbook.evaluation.audit import ENOUGH, LEAST, NEAR, PAIR_ISSUES
from lookbook.evaluation.selection import EXAMPLES, FEWER, MANY, MOST_CLASSES, choose_examples
from lookbook.reports.context import Context, Section, Tile, grouped

if TYPE_CHECKING:
    from collections.abc import Sequence

    from jaxtyping import Int64, UInt8

    from lookbook.data.dataset import Dataset
    from lookbook.evaluation.audit import Findings, Suspects

#: pairs and suspects that are shown of each kind of finding
FOUND = 18
#: labels that are shown where none is suspected
LEAST_CREDIBLE = 6
#: pixels of a row that are written as numbers
LEVELS = 32
#: classes that are named in a sentence
NAMED = 10


@dataclass(frozen=True)
class ClassRow:
    """A class in the table of the data; places are those in the sprite."""

    name: str
    count: str
    #: of the images of the largest class, in percent
    share: float
    average: int | None
    examples: list[int]


@dataclass(frozen=True)
class PixelRow:
    """One row of one image, as numbers before scaling and after."""

    tile: Tile
    about: str
    before: list[str]
    after: list[str]


@dataclass(frozen=True)
class Suspect:
    """An image whose label is suspected: what it was given, and what networks say."""

    tile: Tile
    given: str
    opinion: str


@dataclass(frozen=True)
class Finding:
    """What a check of the data found."""

    title: str
    count: str
    about: str
    #: images; None where what it says is more than a number
    n: int | None = None
    pairs: Sequence[tuple[Tile, Tile]] = ()
    suspects: Sequence[Suspect] = ()
    hidden: str = ""


@dataclass(frozen=True, kw_only=True)
class DataSection(Section):
    """Classes, pixels, and what each check of the data found."""

    caption: str
    rows: list[ClassRow]
    pixels: PixelRow
    checks: list[Finding]

    @property
    def most(self) -> int:
        """How many images the largest finding has."""
        return max((one.n or 0 for one in self.checks), default=0)


def data(context: Context) -> DataSection:
    """Show the classes, the pixels, and what was found in the data."""
    word = "training" if "training" in context.parts else "test"
    part = context.parts[word]
    counts, examples = part.counts, choose_examples(part)
    rows = []
    for k in range(len(part.classes)):
        of_class = np.flatnonzero(part.labels == k)
        row = ClassRow(
            part.classes[k],
            grouped(int(counts[k])),
            round(100 * float(counts[k] / counts.max()), 1),
            _average(context, part, k, of_class),
            [context.at(word, i) for i in examples[k]],
        )
        rows.append(row)
    height, width = part.size
    colour = context.t("data.grey" if part.channels == 1 else "data.colour")
    return DataSection(
        caption=context.t(
            "data.caption",
            part=context.t(f"word.{word}"),
            n=grouped(len(part)),
            size=f"{width}×{height}",
            colour=colour,
            k=len(part.classes),
        ),
        rows=rows,
        note=_note(context, len(part.classes)),
        pixels=_pixels(context, part, word),
        checks=_checks(context),
    )


def _note(context: Context, k: int) -> str:
    """Say what is left out where there are many classes; nothing where there are few."""
    notes = []
    if k > MANY:
        notes.append(context.t("data.fewer", many=MANY, fewer=FEWER, most=EXAMPLES))
    if k > MOST_CLASSES:
        notes.append(context.t("data.hidden", shown=MOST_CLASSES, all=k))
    return " ".join(notes)


def _average(
    context: Context, part: Dataset, k: int, of_class: Int64[np.ndarray, "n"]
) -> int | None:
    """Return where the average image of a class is in the sprite."""
    if len(of_class) == 0 or k >= MOST_CLASSES:
        return None
    return context.gallery.add("average", k, _mean(part.images, of_class))


def _mean(
    images: UInt8[np.ndarray, "N H W *C"], chosen: Int64[np.ndarray, "n"]
) -> UInt8[np.ndarray, "H W *C"]:
    """Return the average of some images, of as many at once as memory holds."""
    total = np.zeros(images.shape[1:], np.int64)
    for part in chunks(len(chosen), images[0].nbytes):
        total += images[chosen[part]].sum(axis=0, dtype=np.int64)
    return np.asarray((total / len(chosen)).round(), np.uint8)


def _pixels(context: Context, part: Dataset, word: str) -> PixelRow:
    """Show one row of one image, before scaling and after."""
    index = len(part) // 3
    image = part.images[index]
    row = telling_row(image)
    whole = image[row] if image.ndim == 2 else image[row, :, 0]
    levels = whole[:LEVELS]
    scaled = [
        np.format_float_positional(np.float32(level) / np.float32(255), precision=8)
        for level in levels
    ]
    tile = context.tile(word, index)
    key = "data.row" if image.ndim == 2 else "data.row_red"
    about = context.t(key, picture=tile.about, row=row)
    if len(levels) < len(whole):
        about += " " + context.t("data.first", shown=len(levels), all=len(whole))
    return PixelRow(tile, about, [str(level) for level in levels], scaled)


def _checks(context: Context) -> list[Finding]:
    """List what an audit of the data found, with some images of each."""
    found = context.answers.findings
    if found is None:
        return []
    labels = np.concatenate([context.parts["training"].labels, context.test.labels])
    listed = [
        _pairs(context, issue.name, pairs, found, issue.part)
        for issue in PAIR_ISSUES
        if (pairs := issue.select(found, labels)) is not None
    ]
    if found.compared < found.different:
        n = grouped(found.compared)
        listed.append(Finding(context.t("data.compared"), n, context.t("data.sampled", n=n)))
    return listed + _doubted(context, found)


def _doubted(context: Context, found: Findings) -> list[Finding]:
    """List suspected labels; where none were looked for, say so."""
    if found.networks:
        return [_suspects(context, part, found) for part in ("training", "test")]
    about = context.t("data.unjudged_about", n=LEAST)
    return [Finding(context.t("data.unjudged"), context.t("data.unjudged_count"), about)]


def _not_judged(context: Context) -> str:
    """Name the classes whose images no network could judge; nothing where there are none."""
    counts = context.parts["training"].counts
    there = counts + context.test.counts > 0
    names = [context.name(int(k)) for k in np.flatnonzero(there & (counts < LEAST))]
    if not names:
        return ""
    said = ", ".join(names[:NAMED]) + (" …" if len(names) > NAMED else "")
    return context.t("data.left_out", n=LEAST, names=said)


def _pairs(
    context: Context,
    key: str,
    pairs: Int64[np.ndarray, "P 2"],
    found: Findings,
    part: str,
) -> Finding:
    """Show some of the pairs of one kind."""
    word = context.t(f"word.{part}") if part else ""
    about_key = "near_about" if key.startswith("near") else f"{key}_about"
    counted = len(np.unique(pairs[:, 1])) if key == "near_across" else len(pairs)
    shown, hidden = min(FOUND, len(pairs)), ""
    if min(counted, shown) < len(pairs):
        hidden = context.t("data.shown_pairs", shown=shown, all=grouped(len(pairs)))
    return Finding(
        n=counted,
        count=grouped(counted),
        title=context.t(f"data.{key}", part=word),
        about=context.t(f"data.{about_key}", threshold=f"{NEAR:g}"),
        pairs=[
            (_member(context, a, found), _member(context, b, found))
            for a, b in pairs[:shown].tolist()
        ],
        hidden=hidden,
    )


def _member(context: Context, index: int, found: Findings) -> Tile:
    """Return one image of a pair."""
    if index < found.n_training:
        return context.tile("training", index)
    return context.tile("test", index - found.n_training)


def _suspects(context: Context, word: str, found: Findings) -> Finding:
    """Show the least credible labels of one part; none where the networks are too weak."""
    suspects: Suspects = getattr(found, word)
    n, shown = suspects.suspected, min(suspects.suspected, FOUND)
    if not n and not found.too_weak:  # to look at, as what it is
        shown = min(LEAST_CREDIBLE, len(suspects.indices))
    about = [context.t("data.judges", networks=found.networks, recipe=found.recipe,
                     accuracy=context.percent(found.accuracy, 0))]  # fmt: skip
    if found.too_weak:
        about.append(context.t("data.too_weak_about", enough=context.percent(ENOUGH, 0)))
    else:
        about.append(context.t(f"data.suspects_{word}"))
        if shown > n:
            about.append(context.t("data.none_suspected"))
    left_out = _not_judged(context)
    return Finding(
        # what says more than a number is not only named
        n=n or (None if left_out or found.too_weak or shown else 0),
        count=context.t("data.too_weak") if found.too_weak else grouped(n),
        title=context.t("data.suspects", part=context.t(f"word.{word}")),
        about=" ".join(filter(None, [*about, left_out])),
        suspects=[_suspect(context, word, suspects, place) for place in range(shown)],
        hidden=_unseen(context, suspects, shown, weak=found.too_weak),
    )


def _unseen(context: Context, suspects: Suspects, shown: int, *, weak: bool) -> str:
    """Say how to get those that are not shown; nothing where there are none."""
    run = context.answers.run
    ranked = grouped(len(suspects.indices))
    said = context.t("data.shown", shown=shown, all=grouped(suspects.suspected))
    if run is None:
        return said if suspects.suspected > shown else ""
    words = ["lookbook", "report", str(run.folder), "--corrections", "suspects.csv"]
    table = context.t("data.table", ranked=ranked, command=shlex.join(words))
    if not len(suspects.indices):
        return ""
    return table if weak or suspects.suspected <= shown else f"{said} {table}"


def _suspect(context: Context, word: str, suspects: Suspects, place: int) -> Suspect:
    """Show one image whose label is suspected."""
    index, (other, own) = int(suspects.indices[place]), suspects.shares[place]
    number = context.t("data.number", part=context.t(f"word.{word}"), index=grouped(index))
    opinion = context.t(
        "data.opinion",
        name=context.name(suspects.predicted[place]),
        share=context.percent(other),
        given=context.percent(own),
    )
    given = context.t("data.given", name=context.name(context.parts[word].labels[index]))
    return Suspect(context.tile(word, index, number), given, opinion)
