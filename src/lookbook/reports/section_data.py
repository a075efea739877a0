"""Show the data in a report: classes, pixels, and what was found in it."""

from __future__ import annotations

import shlex
from typing import TYPE_CHECKING, Any

import numpy as np

from lookbook.core.arrays import chunks
from lookbook.evaluation.audit import ENOUGH, LEAST, NEAR
from lookbook.evaluation.selection import EXAMPLES, FEWER, MANY, MOST_CLASSES, choose_examples
from lookbook.reports.context import Sheet, grouped

if TYPE_CHECKING:
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


def data(sheet: Sheet) -> dict[str, Any]:
    """Show the classes, the pixels, and what was found in the data."""
    word = "training" if "training" in sheet.parts else "test"
    part = sheet.parts[word]
    counts, examples = part.counts, choose_examples(part)
    rows = []
    for k in range(len(part.classes)):
        of_class = np.flatnonzero(part.labels == k)
        rows.append(
            {
                "name": part.classes[k],
                "count": grouped(int(counts[k])),
                "share": round(100 * float(counts[k] / counts.max()), 1),
                "empty": not counts[k],
                "average": _average(sheet, part, k, of_class),
                "examples": [sheet.at(word, i) for i in examples[k]],
            }
        )
    height, width = part.size
    colour = sheet.t("data.grey" if part.channels == 1 else "data.colour")
    return {
        "caption": sheet.t(
            "data.caption",
            part=sheet.t(f"word.{word}"),
            n=grouped(len(part)),
            size=f"{width}×{height}",
            colour=colour,
            k=len(part.classes),
        ),
        "rows": rows,
        "note": _note(sheet, len(part.classes)),
        "pixels": _pixels(sheet, part, word),
        **_sorted(_findings(sheet)),
    }


def _sorted(findings: list[dict[str, Any]]) -> dict[str, Any]:
    """Tell what was found from what was looked for in vain; what has most images is open."""
    found = [one for one in findings if one["n"] != 0]
    most = max((one["n"] or 0 for one in found), default=0)
    for one in found:
        one["open"] = one["n"] == most > 0
    return {
        "looked": bool(findings),
        "findings": found,
        "in_vain": [one["title"] for one in findings if one["n"] == 0],
    }


def _note(sheet: Sheet, k: int) -> str:
    """Say what is left out where there are many classes; nothing where there are few."""
    notes = []
    if k > MANY:
        notes.append(sheet.t("data.fewer", many=MANY, fewer=FEWER, most=EXAMPLES))
    if k > MOST_CLASSES:
        notes.append(sheet.t("data.hidden", shown=MOST_CLASSES, all=k))
    return " ".join(notes)


def _average(sheet: Sheet, part: Dataset, k: int, of_class: Int64[np.ndarray, "n"]) -> int | None:
    """Return where the average image of a class is in the sprite."""
    if len(of_class) == 0 or k >= MOST_CLASSES:
        return None
    return sheet.gallery.add("average", k, _mean(part.images, of_class))


def _mean(
    images: UInt8[np.ndarray, "N H W *C"], chosen: Int64[np.ndarray, "n"]
) -> UInt8[np.ndarray, "H W *C"]:
    """Return the average of some images, of as many at once as memory holds."""
    total = np.zeros(images.shape[1:], np.int64)
    for part in chunks(len(chosen), images[0].nbytes):
        total += images[chosen[part]].sum(axis=0, dtype=np.int64)
    return np.asarray((total / len(chosen)).round(), np.uint8)


def _pixels(sheet: Sheet, part: Dataset, word: str) -> dict[str, Any]:
    """Show one row of one image, before scaling and after."""
    index = len(part) // 3
    image = part.images[index]
    row = min(10, len(image) - 1)
    whole = image[row] if image.ndim == 2 else image[row, :, 0]
    levels = whole[:LEVELS]
    caption = sheet.t(
        "data.picture",
        part=sheet.t(f"word.{word}"),
        index=grouped(index),
        name=part.classes[part.labels[index]],
    )
    scaled = (
        np.format_float_positional(np.float32(level) / np.float32(255), precision=8)
        for level in levels
    )
    key = "data.row" if image.ndim == 2 else "data.row_red"
    about = sheet.t(key, picture=caption, row=row)
    if len(levels) < len(whole):
        about += " " + sheet.t("data.first", shown=len(levels), all=len(whole))
    return {
        "about": about,
        "file": sheet.file(word, index),
        "at": sheet.at(word, index),
        "label": caption,
        "before": [str(level) for level in levels],
        "after": list(scaled),
    }


def _findings(sheet: Sheet) -> list[dict[str, Any]]:
    """List what an audit of the data found, with some images of each."""
    found = sheet.answers.findings
    if found is None:
        return []
    listed = []
    for kind, pairs in (("doubles", found.exact), ("near", found.near)):
        about = {"threshold": f"{NEAR:g}"}
        both = pairs >= found.n_training
        across = pairs[both[:, 0] != both[:, 1]]
        listed.append(_pairs(sheet, f"{kind}_across", across, found, about, part=""))
        for part, inside in (("training", ~both.any(axis=1)), ("test", both.all(axis=1))):
            if inside.any():
                listed.append(_pairs(sheet, f"{kind}_within", pairs[inside], found, about, part))
    every = np.concatenate([found.exact, found.near])
    if len(every):
        labels = np.concatenate([sheet.parts["training"].labels, sheet.test.labels])
        odd = every[labels[every[:, 0]] != labels[every[:, 1]]]
        listed.append(_pairs(sheet, "conflicting", odd, found, {}, part=""))
    if found.compared < found.different:
        n = grouped(found.compared)
        listed.append(
            {
                "n": None,
                "count": n,
                "title": sheet.t("data.compared"),
                "about": sheet.t("data.sampled", n=n),
            }
        )
    return listed + _doubted(sheet, found)


def _doubted(sheet: Sheet, found: Findings) -> list[dict[str, Any]]:
    """List suspected labels; where none were looked for, say so."""
    if found.networks:
        return [_suspects(sheet, part, found) for part in ("training", "test")]
    return [
        {
            "n": None,
            "count": sheet.t("data.unjudged_count"),
            "title": sheet.t("data.unjudged"),
            "about": sheet.t("data.unjudged_about", n=LEAST),
        }
    ]


def _not_judged(sheet: Sheet) -> str:
    """Name the classes whose images no network could judge; nothing where there are none."""
    counts = sheet.parts["training"].counts
    there = counts + sheet.test.counts > 0
    names = [sheet.name(int(k)) for k in np.flatnonzero(there & (counts < LEAST))]
    if not names:
        return ""
    said = ", ".join(names[:NAMED]) + (" …" if len(names) > NAMED else "")
    return sheet.t("data.left_out", n=LEAST, names=said)


def _pairs(
    sheet: Sheet,
    key: str,
    pairs: Int64[np.ndarray, "P 2"],
    found: Findings,
    about: dict[str, str],
    part: str,
) -> dict[str, Any]:
    """Show some of the pairs of one kind."""
    word = sheet.t(f"word.{part}") if part else ""
    about_key = "near_about" if key.startswith("near") else f"{key}_about"
    counted = len(np.unique(pairs[:, 1])) if key == "near_across" else len(pairs)
    shown, hidden = min(FOUND, len(pairs)), ""
    if min(counted, shown) < len(pairs):
        hidden = sheet.t("data.shown_pairs", shown=shown, all=grouped(len(pairs)))
    return {
        "n": counted,
        "count": grouped(counted),
        "title": sheet.t(f"data.{key}", part=word),
        "about": sheet.t(f"data.{about_key}", **about),
        "pairs": [
            {"first": _member(sheet, a, found), "second": _member(sheet, b, found)}
            for a, b in pairs[:shown].tolist()
        ],
        "hidden": hidden,
    }


def _member(sheet: Sheet, index: int, found: Findings) -> dict[str, Any]:
    """Describe one image of a pair."""
    word = "training" if index < found.n_training else "test"
    own = index if word == "training" else index - found.n_training
    return {
        "at": sheet.at(word, own),
        "about": sheet.describe(word, own),
        "file": sheet.file(word, own),
    }


def _suspects(sheet: Sheet, word: str, found: Findings) -> dict[str, Any]:
    """Show the least credible labels of one part; none where the networks are too weak."""
    suspects: Suspects = getattr(found, word)
    n, shown = suspects.suspected, min(suspects.suspected, FOUND)
    if not n and not found.too_weak:  # to look at, as what it is
        shown = min(LEAST_CREDIBLE, len(suspects.indices))
    about = [sheet.t("data.judges", networks=found.networks, recipe=found.recipe,
                     accuracy=sheet.percent(found.accuracy, 0))]  # fmt: skip
    if found.too_weak:
        about.append(sheet.t("data.too_weak_about", enough=sheet.percent(ENOUGH, 0)))
    else:
        about.append(sheet.t(f"data.suspects_{word}"))
        if shown > n:
            about.append(sheet.t("data.none_suspected"))
    left_out = _not_judged(sheet)
    unseen = _unseen(sheet, suspects, shown, weak=found.too_weak)
    return {
        # what says more than a number is not only named
        "n": n or (None if left_out or found.too_weak or shown else 0),
        "count": sheet.t("data.too_weak") if found.too_weak else grouped(n),
        "title": sheet.t("data.suspects", part=sheet.t(f"word.{word}")),
        "about": " ".join(filter(None, [*about, left_out])),
        "suspects": [_suspect(sheet, word, suspects, place) for place in range(shown)],
        "hidden": unseen,
    }


def _unseen(sheet: Sheet, suspects: Suspects, shown: int, *, weak: bool) -> str:
    """Say how to get those that are not shown; nothing where there are none."""
    run = sheet.answers.run
    ranked = grouped(len(suspects.indices))
    said = sheet.t("data.shown", shown=shown, all=grouped(suspects.suspected))
    if run is None:
        return said if suspects.suspected > shown else ""
    words = ["lookbook", "report", str(run.folder), "--corrections", "suspects.csv"]
    table = sheet.t("data.table", ranked=ranked, command=shlex.join(words))
    if not len(suspects.indices):
        return ""
    return table if weak or suspects.suspected <= shown else f"{said} {table}"


def _suspect(sheet: Sheet, word: str, suspects: Suspects, place: int) -> dict[str, Any]:
    """Show one image whose label is suspected."""
    index, (other, own) = int(suspects.indices[place]), suspects.shares[place]
    return {
        "at": sheet.at(word, index),
        "about": sheet.t("data.number", part=sheet.t(f"word.{word}"), index=grouped(index)),
        "file": sheet.file(word, index),
        "given": sheet.t("data.given", name=sheet.name(sheet.parts[word].labels[index])),
        "opinion": sheet.t(
            "data.opinion",
            name=sheet.name(suspects.opinions[place]),
            share=sheet.percent(other),
            given=sheet.percent(own),
        ),
    }
