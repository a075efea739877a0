"""Selection of the images that a report shows: some of every class, right and wrong."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from jaxtyping import Bool, Float, Int64

    from lookbook.data.dataset import Dataset

#: test images that a page can hold, and the pixels that they may have in all
MOST_SHOWN, MOST_PIXELS = 10_000, 7_900_000
#: pixels that take as much of a page as a cell of the confusion matrix, and as what else is said of
#: each class, in two languages
CELL, CLASS = 55, 7000
#: pixels on the longer side of a shown image
SHOWN_SIDE = 64
#: example images of a class, fewer of each where there are many, and classes that have some
EXAMPLES, FEWER, MANY, MOST_CLASSES = 16, 5, 20, 50
#: images of each class that are shown as its surest, and as many as its hardest
FEW = 5
#: photographs of each kind that are shown as the surest right answers, and as many as wrong ones
MOST_PHOTOGRAPHS = 3


def choose_shown(
    test: Dataset,
    of_truth: Float[np.ndarray, "N"],
    right: Bool[np.ndarray, "N"],
    must: Int64[np.ndarray, "E"],
    room: int,
) -> Int64[np.ndarray, "M"]:
    """Choose the test images that a page holds: all, or of too many some of every kind.

    Right answers and mistakes have half of the room each; what one leaves goes to the other.
    First come those that a page `must` hold, then the surest and the hardest of each class, then
    others at random.
    """
    n = len(test)
    if n <= room:
        return np.arange(n)
    turn = _turns(test, of_truth, right)
    turn[must] = -1
    order = np.lexsort((np.random.default_rng(0).random(n), turn))
    known, mistaken = order[right[order]], order[~right[order]]
    n_mistaken = min(len(mistaken), max(room // 2, room - len(known)))
    return np.sort(np.concatenate([mistaken[:n_mistaken], known[: room - n_mistaken]]))


def choose_examples(part: Dataset) -> list[Int64[np.ndarray, "E"]]:
    """Choose examples of each class, spread over all of it; of many classes the last have none."""
    most = EXAMPLES if len(part.classes) <= MANY else FEWER
    chosen = []
    for k in range(len(part.classes)):
        of_class = np.flatnonzero(part.labels == k) if k < MOST_CLASSES else np.zeros(0, np.int64)
        chosen.append(of_class[:: max(1, len(of_class) // most)][:most])
    return chosen


def find_room(test: Dataset, cells: int) -> int:
    """Return how many images of this size a page can hold beside so many cells of its matrix."""
    height, width = test.size
    scale = min(1.0, SHOWN_SIDE / max(height, width))
    # a pixel of three colours costs more than a grey one
    pixels = height * width * scale**2 * (3 if test.channels == 3 else 1)
    left = MOST_PIXELS - CELL * cells - CLASS * len(test.classes)
    return int(min(MOST_SHOWN, left // pixels))


def _turns(
    test: Dataset, of_truth: Float[np.ndarray, "N"], right: Bool[np.ndarray, "N"]
) -> Int64[np.ndarray, "N"]:
    """Return whose turn an image is: a class's surest, its hardest, its next surest, and so on.

    Where there is not room for all, each class then has as many as the others.
    """
    turn = np.full(len(test), 2 * FEW)
    for k in range(len(test.classes)):
        for first, found in enumerate(extremes(np.flatnonzero(test.labels == k), of_truth, right)):
            turn[found] = first + 2 * np.arange(len(found))
    return turn


def extremes(
    members: Int64[np.ndarray, "M"], of_truth: Float[np.ndarray, "N"], right: Bool[np.ndarray, "N"]
) -> tuple[Int64[np.ndarray, "A"], Int64[np.ndarray, "B"]]:
    """Return the surest right answers to some images, and the hardest of the others.

    >>> of_truth = np.array([0.9, 0.2, 0.8])
    >>> surest, hardest = extremes(np.arange(3), of_truth, of_truth > 0.5)
    >>> surest.tolist(), hardest.tolist()
    ([0, 2], [1])
    """
    order = members[np.argsort(of_truth[members], kind="stable")]
    surest = order[right[order]][::-1][:FEW]
    return surest, order[~np.isin(order, surest)][:FEW]


def choose_photographs(
    labels: Int64[np.ndarray, "N"], right: Bool[np.ndarray, "N"], confidence: Float[np.ndarray, "N"]
) -> list[int]:
    """Choose the surest right answers to photographs of each kind, then the surest wrong ones.

    >>> choose_photographs(np.array([0, 1, 0]), np.array([False, True, True]), np.array([0.9] * 3))
    [2, 0, 1]
    """
    order = np.argsort(-confidence, kind="stable")
    return [
        int(index)
        for kind in np.unique(labels)
        for hit in (True, False)
        for index in order[(labels[order] == kind) & (right[order] == hit)][:MOST_PHOTOGRAPHS]
    ]


def draw(n: int, most: int) -> Int64[np.ndarray, "M"]:
    """Draw images at random, always the same ones."""
    if n <= most:
        return np.arange(n)
    return np.sort(np.random.default_rng(0).choice(n, most, replace=False))
