"""Report section on answers: confusion matrix, mistakes, classes, map and search."""

from __future__ import annotations

import base64
from typing import TYPE_CHECKING, Any

import numpy as np

from lookbook.core.templates import LANGS, Lang, json_in_page, texts
from lookbook.evaluation import metrics
from lookbook.evaluation.nearest_neighbors import MOST_TRAINING, NEAREST
from lookbook.evaluation.selection import extremes
from lookbook.images import sprites
from lookbook.reports.context import Context, grouped, tenths

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


def cover(context: Context) -> list[int]:
    """Choose images that run across the top: class by class, all that the model knew."""
    right = context.analysis.shown[
        context.said[context.analysis.shown] == context.test.labels[context.analysis.shown]
    ]
    chosen: list[int] = []
    for turn in range(COVER):
        for k in range(len(context.test.classes)):
            of_class = right[context.test.labels[right] == k]
            if turn < len(of_class):
                chosen.append(int(of_class[turn]))
    return [context.at("test", index) for index in chosen[:COVER]]


def confusion(context: Context) -> dict[str, Any]:
    """Write the matrix as a table of links."""
    named = zip(context.test.classes, context.answers.found.confusion_matrix, strict=True)
    return {
        "rows": [
            {"name": name, "counts": [grouped(n) if n else "" for n in counts]}
            for name, counts in named
        ],
        "small": len(context.test.classes) > SMALL,
        "caption": context.t("confusion.caption", n=grouped(len(context.test))),
    }


def mistakes(context: Context) -> dict[str, Any]:
    """Show the most confused pairs and the largest losses."""
    numbers = {name: k for k, name in enumerate(context.test.classes)}
    pairs = []
    for one in context.answers.found.most_confused:
        a, b = one.pair
        ways = [
            {
                "true": numbers[truth],
                "predicted": numbers[said],
                "text": context.t("mistakes.way", n=grouped(n), truth=truth, said=said),
            }
            for truth, said, n in (
                (a, b, one.first_as_second),
                (b, a, one.second_as_first),
            )
            if n
        ]
        pairs.append(
            {
                "title": context.t("mistakes.pair", a=a, b=b),
                "count": one.count,
                "text": context.t("mistakes.count", n=grouped(one.count)),
                "ways": ways,
            }
        )
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
    return {"pairs": pairs, "cards": cards, "read": " ".join(read)}


def _card(context: Context, place: int, index: int) -> dict[str, Any]:
    """Show one mistake: image, where the model looked, probabilities, its like."""
    truth = int(context.test.labels[index])
    neighbours = []
    training = context.answers.training
    for near in context.analysis.nearest[place] if training is not None else ():
        label = int(training.labels[near])  # type: ignore[union-attr]
        kind = "right" if label == truth else "wrong" if label == context.said[index] else ""
        neighbours.append(
            {
                "at": context.at("training", int(near)),
                "about": context.tile("training", int(near)).about,
                "file": context.file("training", int(near)),
                "name": context.name(label),
                "kind": kind,
            }
        )
    sure = context.percent(tenths(context.probs[index].max()) / 1000)
    return {
        "index": index,
        "at": context.at("test", index),
        "about": context.about_test(index),
        "said": f"{context.name(context.said[index])} {sure}",
        "truth": context.t("mistakes.truth", truth=context.name(truth)),
        "number": context.t("mistakes.number", index=grouped(index)),
        "file": context.file("test", index),
        "bars": _bars(context, index),
        "heat": _heat(context, place),
        "neighbours": neighbours[:NEAREST],
    }


def _bars(context: Context, index: int) -> list[dict[str, Any]]:
    """Return the greatest probabilities of one image, and that of the true class."""
    probs, truth = context.probs[index], int(context.test.labels[index])
    rows = []
    for k in _leading(probs[None], context.test.labels[[index]], BESIDE + 1)[0]:
        kind = "right" if k == truth else "wrong" if k == context.said[index] else ""
        share = tenths(probs[k]) / 1000
        rows.append(
            {
                "name": context.name(k),
                "share": round(100 * share, 1),
                "text": context.percent(share),
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


def _heat(context: Context, place: int) -> str:
    """Return where the model looked as a transparent image, orange where it matters."""
    if not context.analysis.looked.size:
        return ""
    map_ = context.analysis.looked[place]
    pixels = np.zeros((*map_.shape, 4), np.uint8)
    pixels[..., :3] = (230, 110, 0)
    pixels[..., 3] = (200 * map_).round().astype(np.uint8)
    return sprites.address(pixels)


def per_class(context: Context) -> dict[str, Any]:
    """Write precision, recall and F1 of each class, with its easiest and hardest images."""
    on_page = np.zeros(len(context.test), bool)
    on_page[context.analysis.shown] = True
    right = context.said == context.test.labels
    found = context.answers.found
    shares = metrics.class_shares(found)
    rows = []
    for k, one in enumerate(found.per_class):
        members = np.flatnonzero((context.test.labels == k) & on_page)
        typical, worst = extremes(members, context.of_truth, right)
        measured = [
            {
                "name": f"{key}-{k}",
                "value": value,
                "text": "–" if share is None else context.percent(share),
            }
            for key, value, share in (
                ("precision", one.precision, shares[k].precision),
                ("recall", one.recall, shares[k].recall),
                ("f1", one.f1, shares[k].f1),
            )
        ]
        measured.append({"name": f"n-{k}", "value": one.n, "text": grouped(one.n)})
        rows.append(
            {
                "name": one.name,
                "metrics": measured,
                "typical": [context.thumb(i) for i in typical],
                "worst": [context.thumb(i) for i in worst],
            }
        )
    return {"rows": rows, "note": _sampled(context, "classes")}


def _sampled(context: Context, part: str) -> str:
    """Say what a part shows of the test images; nothing where a page holds them all."""
    shown = context.analysis.shown
    if len(shown) == len(context.test):
        return ""
    wrong = context.said != context.test.labels
    return context.t(
        f"{part}.sampled",
        shown=grouped(len(shown)),
        all=grouped(len(context.test)),
        wrong=grouped(int(wrong[shown].sum())),
        all_wrong=grouped(int(wrong.sum())),
    )


def the_map(context: Context) -> dict[str, Any] | None:
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
    return {"legend": context.test.classes, "note": " ".join(notes).strip(), "read": read}


def search(context: Context, sprite: sprites.Sprite) -> dict[str, Any]:
    """Say what the page holds of the test part."""
    n = len(context.test)
    named = context.answers.source.examples if context.answers.source else ()
    notes = [_sampled(context, "search")]
    if sprite.side != context.test.size:
        notes.append(context.t("search.small"))
    if sprite.levels < 256:
        notes.append(context.t("search.greys"))
    return {
        "examples": [index for index in named if index < n],
        "example": int(context.analysis.shown[0]),
        "note": " ".join(notes).strip(),
    }


def for_script(context: Context, sprite: sprites.Sprite) -> str:
    """Return what the script needs, as JSON that cannot end its element."""
    shown = context.analysis.shown
    probs = context.probs[shown]
    leading = _leading(probs, context.test.labels[shown])
    shares = np.take_along_axis(probs, leading, axis=1)
    document = {
        "classes": context.test.classes,
        "most": leading.shape[1],
        "columns": sprite.columns,
        "index": _packed(shown.astype("<u4")),
        "label": _packed(context.test.labels[shown].astype(np.uint8)),
        "leading": _packed(leading.astype(np.uint8)),
        "tenths": _packed(np.rint(1000 * shares.astype(np.float64)).astype("<u2")),
        "rank": _packed(context.of_truth[shown].argsort(kind="stable").argsort().astype("<u2")),
        "xy": _packed((65535 * context.analysis.places).astype("<u2")),
        "files": [context.file("test", index) for index in shown] if context.test.files else [],
        "title": context.answers.title,
        "text": {lang: _script_texts(lang) for lang in LANGS},
    }
    return json_in_page(document)


def _script_texts(lang: Lang) -> dict[str, str]:
    listed = texts("reports/report", lang).items()
    return {key[7:]: text for key, text in listed if key.startswith("script.")}


def _packed(array: np.ndarray) -> str:
    return base64.b64encode(array.tobytes()).decode()
