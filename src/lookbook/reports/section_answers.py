"""Report section on answers: confusion matrix, mistakes, classes, map and search."""

from __future__ import annotations

import base64
from typing import TYPE_CHECKING, Any

import numpy as np

from lookbook.core.templates import LANGS, json_in_page, texts
from lookbook.data.catalog import BUILTIN
from lookbook.evaluation import metrics
from lookbook.evaluation.nearest_neighbors import MOST_TRAINING, NEAREST
from lookbook.evaluation.selection import extremes
from lookbook.images import sprites
from lookbook.reports.context import Sheet, grouped, tenths

if TYPE_CHECKING:
    from jaxtyping import Float, Int64

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


def cover(sheet: Sheet) -> list[int]:
    """Choose images that run across the top: class by class, all that the model knew."""
    right = sheet.analysis.shown[
        sheet.said[sheet.analysis.shown] == sheet.test.labels[sheet.analysis.shown]
    ]
    chosen: list[int] = []
    for turn in range(COVER):
        for k in range(len(sheet.test.classes)):
            of_class = right[sheet.test.labels[right] == k]
            if turn < len(of_class):
                chosen.append(int(of_class[turn]))
    return [sheet.at("test", index) for index in chosen[:COVER]]


def confusion(sheet: Sheet) -> dict[str, Any]:
    """Write the matrix as a table of links."""
    named = zip(sheet.test.classes, sheet.answers.found["confusion_matrix"], strict=True)
    return {
        "rows": [
            {"name": name, "counts": [grouped(n) if n else "" for n in counts]}
            for name, counts in named
        ],
        "small": len(sheet.test.classes) > SMALL,
        "caption": sheet.t("confusion.caption", n=grouped(len(sheet.test))),
    }


def mistakes(sheet: Sheet) -> dict[str, Any]:
    """Show the most confused pairs and the largest losses."""
    numbers = {name: k for k, name in enumerate(sheet.test.classes)}
    pairs = []
    for one in sheet.answers.found["most_confused"]:
        a, b = one["pair"]
        ways = [
            {
                "true": numbers[truth],
                "predicted": numbers[said],
                "text": sheet.t("mistakes.way", n=grouped(n), truth=truth, said=said),
            }
            for truth, said, n in (
                (a, b, one["first_as_second"]),
                (b, a, one["second_as_first"]),
            )
            if n
        ]
        pairs.append(
            {
                "title": sheet.t("mistakes.pair", a=a, b=b),
                "count": one["count"],
                "text": sheet.t("mistakes.count", n=grouped(one["count"])),
                "ways": ways,
            }
        )
    cards = [_card(sheet, place, int(index)) for place, index in enumerate(sheet.analysis.hardest)]
    read = [sheet.t("mistakes.largest_read", n=len(cards))]
    if sheet.analysis.looked.size:
        read.append(sheet.t("mistakes.looked_read"))
    if sheet.analysis.nearest.size:
        key = "nearest_read" if sheet.analysis.by_features else "nearest_read_pixels"
        read.append(sheet.t(f"mistakes.{key}"))
        training = sheet.answers.training
        if training is not None and len(training) > MOST_TRAINING:
            read.append(sheet.t("mistakes.drawn", n=grouped(MOST_TRAINING)))
    return {"pairs": pairs, "cards": cards, "read": " ".join(read)}


def _card(sheet: Sheet, place: int, index: int) -> dict[str, Any]:
    """Show one mistake: image, where the model looked, probabilities, its like."""
    truth = int(sheet.test.labels[index])
    neighbours = []
    training = sheet.answers.training
    for near in sheet.analysis.nearest[place] if training is not None else ():
        label = int(training.labels[near])  # type: ignore[union-attr]
        kind = "right" if label == truth else "wrong" if label == sheet.said[index] else ""
        neighbours.append(
            {
                "at": sheet.at("training", int(near)),
                "about": sheet.describe("training", int(near)),
                "file": sheet.file("training", int(near)),
                "name": sheet.name(label),
                "kind": kind,
            }
        )
    sure = sheet.percent(tenths(sheet.probs[index].max()) / 1000)
    return {
        "index": index,
        "at": sheet.at("test", index),
        "about": sheet.about_test(index),
        "said": f"{sheet.name(sheet.said[index])} {sure}",
        "truth": sheet.t("mistakes.truth", truth=sheet.name(truth)),
        "number": sheet.t("mistakes.number", index=grouped(index)),
        "file": sheet.file("test", index),
        "bars": _bars(sheet, index),
        "heat": _heat(sheet, place),
        "neighbours": neighbours[:NEAREST],
    }


def _bars(sheet: Sheet, index: int) -> list[dict[str, Any]]:
    """Return the greatest probabilities of one image, and that of the true class."""
    probs, truth = sheet.probs[index], int(sheet.test.labels[index])
    rows = []
    for k in _leading(probs[None], sheet.test.labels[[index]], BESIDE + 1)[0]:
        kind = "right" if k == truth else "wrong" if k == sheet.said[index] else ""
        share = tenths(probs[k]) / 1000
        rows.append(
            {
                "name": sheet.name(k),
                "share": round(100 * share, 1),
                "text": sheet.percent(share),
                "kind": kind,
            }
        )
    return rows


def _leading(
    probs: Float[np.ndarray, "M K"], labels: Int64[np.ndarray, "M"], most: int = LEADING
) -> Int64[np.ndarray, "M L"]:
    """Return the most probable classes of each image, and in any case the true one."""
    leading = np.argsort(-probs, axis=1, kind="stable")[:, :most]
    lacking = ~(leading == labels[:, None]).any(axis=1)
    leading[lacking, -1] = labels[lacking]
    return leading


def _heat(sheet: Sheet, place: int) -> str:
    """Return where the model looked as a transparent image, orange where it matters."""
    if not sheet.analysis.looked.size:
        return ""
    map_ = sheet.analysis.looked[place]
    pixels = np.zeros((*map_.shape, 4), np.uint8)
    pixels[..., :3] = (230, 110, 0)
    pixels[..., 3] = (200 * map_).round().astype(np.uint8)
    return sprites.address(pixels)


def per_class(sheet: Sheet) -> dict[str, Any]:
    """Write precision, recall and F1 of each class, with its easiest and hardest images."""
    on_page = np.zeros(len(sheet.test), bool)
    on_page[sheet.analysis.shown] = True
    right = sheet.said == sheet.test.labels
    found = sheet.answers.found
    shares = metrics.class_shares(found)
    rows = []
    for k, one in enumerate(found["per_class"]):
        members = np.flatnonzero((sheet.test.labels == k) & on_page)
        typical, worst = extremes(members, sheet.of_truth, right)
        measured = [
            {
                "name": f"{key}-{k}",
                "value": one[key],
                "text": "–" if share is None else sheet.percent(share),
            }
            for key, share in shares[k].items()
        ]
        measured.append({"name": f"n-{k}", "value": one["n"], "text": grouped(one["n"])})
        rows.append(
            {
                "name": one["class"],
                "metrics": measured,
                "typical": [sheet.shown_test(i) for i in typical],
                "worst": [sheet.shown_test(i) for i in worst],
            }
        )
    return {"rows": rows, "note": _sampled(sheet, "classes")}


def _sampled(sheet: Sheet, part: str) -> str:
    """Say what a part shows of the test images; nothing where a page holds them all."""
    shown = sheet.analysis.shown
    if len(shown) == len(sheet.test):
        return ""
    wrong = sheet.said != sheet.test.labels
    return sheet.t(
        f"{part}.sampled",
        shown=grouped(len(shown)),
        all=grouped(len(sheet.test)),
        wrong=grouped(int(wrong[shown].sum())),
        all_wrong=grouped(int(wrong.sum())),
    )


def the_map(sheet: Sheet) -> dict[str, Any] | None:
    """Say what the map is of; the script draws it."""
    analysis = sheet.analysis
    if not len(analysis.places):
        return None
    features = sheet.t("map.features" if analysis.by_features else "map.pixels")
    notes = [sheet.t("map.note", features=features)]
    if analysis.landmarks < len(analysis.shown):
        notes.append(sheet.t("map.landmarks", landmarks=grouped(analysis.landmarks)))
    if len(sheet.test.classes) > COLOURS:
        notes.append(sheet.t("map.colours"))
    notes.append(_sampled(sheet, "map"))
    read = sheet.t("map.read" if analysis.by_features else "map.read_pixels")
    return {"legend": sheet.test.classes, "note": " ".join(notes).strip(), "read": read}


def search(sheet: Sheet, sprite: sprites.Sprite) -> dict[str, Any]:
    """Say what the page holds of the test part."""
    n = len(sheet.test)
    named = BUILTIN[sheet.answers.data].examples if sheet.answers.data in BUILTIN else ()
    notes = [_sampled(sheet, "search")]
    if sprite.side != sheet.test.size:
        notes.append(sheet.t("search.small"))
    if sprite.levels < 256:
        notes.append(sheet.t("search.greys"))
    return {
        "examples": [index for index in named if index < n],
        "example": int(sheet.analysis.shown[0]),
        "note": " ".join(notes).strip(),
    }


def for_script(sheet: Sheet, sprite: sprites.Sprite) -> str:
    """Return what the script needs, as JSON that cannot end its element."""
    shown = sheet.analysis.shown
    probs = sheet.probs[shown]
    leading = _leading(probs, sheet.test.labels[shown])
    shares = np.take_along_axis(probs, leading, axis=1)
    document = {
        "classes": sheet.test.classes,
        "most": leading.shape[1],
        "columns": sprite.columns,
        "index": _packed(shown.astype("<u4")),
        "label": _packed(sheet.test.labels[shown].astype(np.uint8)),
        "leading": _packed(leading.astype(np.uint8)),
        "tenths": _packed(np.rint(1000 * shares.astype(np.float64)).astype("<u2")),
        "rank": _packed(sheet.of_truth[shown].argsort(kind="stable").argsort().astype("<u2")),
        "xy": _packed((65535 * sheet.analysis.places).astype("<u2")),
        "files": [sheet.file("test", index) for index in shown] if sheet.test.files else [],
        "title": sheet.answers.title,
        "text": {lang: texts("reports/report", lang)["script"] for lang in LANGS},
    }
    return json_in_page(document)


def _packed(array: np.ndarray) -> str:
    return base64.b64encode(array.tobytes()).decode()
