"""Analyse a model's answers for a report: map, nearest images, where it looked, what it stands.

Nothing here trains or reads labels to choose anything: it describes.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

import numpy as np
from PIL import Image

from lookbook.images.preprocessing import border_median
from lookbook.images.sprites import shrink
from lookbook.inference import onnx_graph

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from jaxtyping import Bool, Float, Float32, Int64, UInt8

    from lookbook.data.dataset import Dataset
    from lookbook.inference.model import Model

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
#: images that t-SNE lays out itself; the others are placed between these
LANDMARKS = 2000
#: mistakes that are looked at in detail, and training images beside each
HARDEST, NEAREST = 24, 3
#: pixels on the longer side by which likeness is judged where there is no model
LIKENESS_SIDE = 32
#: training images among which the nearest are looked for
MOST_TRAINING = 60_000
#: test images on which changes are tried
CHANGED = 1000

Change = Literal["shift", "rotation", "noise", "blur", "contrast", "flip", "inverted"]
#: change → how much of it; the first is none at all. Shift and blur count pixels of 28
LEVELS: dict[Change, tuple[float, ...]] = {
    "shift": (0, 1, 2, 3, 4, 6, 8),
    "rotation": (0, 5, 10, 15, 20, 30, 45),
    "noise": (0, 10, 20, 30, 50, 70, 100),
    "blur": (0, 0.5, 1, 1.5, 2, 3),
    "contrast": (1, 0.8, 0.6, 0.4, 0.2, 0.1),
    "flip": (0, 1),
    "inverted": (0, 1),
}


@dataclass(frozen=True)
class Curve:
    """Accuracy under more and more of one change."""

    change: Change
    levels: tuple[float, ...]
    accuracies: tuple[float, ...]


@dataclass(frozen=True)
class Analysis:
    """What was found out about the answers to a test part."""

    #: numbers of the test images that a page holds, ascending
    shown: Int64[np.ndarray, "M"]
    #: places of these on a map, 0 to 1; empty where there are too few
    places: Float32[np.ndarray, "M 2"]
    #: how many images the map was made of
    landmarks: int
    #: mistakes of the largest loss, the largest first
    hardest: Int64[np.ndarray, "L"]
    #: for each of these the nearest training images; none without a training part
    nearest: Int64[np.ndarray, "L J"]
    #: for each of these where the model looked, 0 to 1; none without a model
    looked: Float32[np.ndarray, "L G G"]
    #: none without a model
    curves: tuple[Curve, ...]
    #: how many images the curves are of
    changed: int
    #: whether map and nearest images are by the network's features; else by pixels
    by_features: bool

    def to_arrays(self) -> dict[str, np.ndarray]:
        """Return what `from_arrays` takes."""
        flat = {
            f"curve-{c.change}": np.array([c.levels, c.accuracies], np.float64) for c in self.curves
        }
        names = ("shown", "places", "hardest", "nearest", "looked")
        counts = np.array([self.landmarks, self.changed, self.by_features], np.int64)
        return {name: getattr(self, name) for name in names} | flat | {"counts": counts}

    @classmethod
    def from_arrays(cls, arrays: dict[str, np.ndarray]) -> Analysis:
        """Return the analysis that `to_arrays` was called on."""
        names = ("shown", "places", "hardest", "nearest", "looked")
        landmarks, changed, by_features = arrays["counts"].tolist()
        curves = tuple(
            Curve(change, *(tuple(row) for row in arrays[f"curve-{change}"].tolist()))
            for change in LEVELS
            if f"curve-{change}" in arrays
        )
        return cls(
            landmarks=landmarks,
            changed=changed,
            by_features=bool(by_features),
            curves=curves,
            **{name: arrays[name] for name in names},
        )


def analyse(
    test: Dataset,
    probs: Float[np.ndarray, "N K"],
    *,
    model: Model | None = None,
    training: Dataset | None = None,
    examples: Sequence[int] = (),
    tell: Callable[[str], None] = lambda _step: None,
) -> Analysis:
    """Find out what a report shows of these answers.

    Parameters
    ----------
    test, probs
        The test part and the model's probabilities for it.
    model
        Who gave them; without it nothing is shown that needs new answers.
    training
        Where nearest images are looked for.
    examples
        Test images that the page must hold.
    tell
        Hears the name of each step as it begins.
    """
    of_truth = probs[np.arange(len(test)), test.labels]
    right = probs.argmax(axis=1) == test.labels
    wrong = np.flatnonzero(~right)
    hardest = wrong[np.argsort(of_truth[wrong], kind="stable")][:HARDEST]
    must = np.union1d(hardest, np.asarray(examples, np.int64))
    if training is None:  # its examples are shown otherwise
        must = np.union1d(must, np.concatenate(choose_examples(test)))
    cells = len(np.unique(test.labels * len(test.classes) + probs.argmax(axis=1)))
    shown = choose_shown(test, of_truth, right, must, find_room(test, cells))

    tell("map")
    seen = _features(model, test.images[shown])
    places, landmarks = lay_out(seen)
    nearest = np.zeros((len(hardest), 0), np.int64)
    if training is not None and len(hardest):
        tell("nearest")
        nearest = _nearest_training(model, training, test.images[hardest])
    looked = np.zeros((len(hardest), 0, 0), np.float32)
    curves: tuple[Curve, ...] = ()
    chosen = _draw(len(test), CHANGED)
    if model is not None:
        tell("looked")
        said = probs[hardest].argmax(axis=1)
        looked = look_where(model, test.images[hardest], said)
        tell("robustness")
        curves = tuple(try_changes(model, test.images[chosen], test.labels[chosen]))
    return Analysis(
        shown=shown,
        places=places,
        landmarks=landmarks,
        hardest=hardest,
        nearest=nearest,
        looked=looked,
        curves=curves,
        changed=len(chosen),
        by_features=model is not None,
    )


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


def _draw(n: int, most: int) -> Int64[np.ndarray, "M"]:
    """Draw images at random, always the same ones."""
    if n <= most:
        return np.arange(n)
    return np.sort(np.random.default_rng(0).choice(n, most, replace=False))


def _features(
    model: Model | None, images: UInt8[np.ndarray, "N H W *C"]
) -> Float32[np.ndarray, "N F"]:
    """Return what likeness is judged by: what the last layer sees, or the pixels."""
    if model is not None:
        return onnx_graph.features(model, images)
    # small ones are enough to tell which are alike
    small = shrink(images, LIKENESS_SIDE)
    return small.reshape(len(small), -1).astype(np.float32)


# ---- a map ----


def lay_out(
    features: Float32[np.ndarray, "N F"],
) -> tuple[Float32[np.ndarray, "N 2"], int]:
    """Lay images out in the plane, those alike near each other; return places and landmarks.

    t-SNE of some of them (van der Maaten and Hinton, 2008); the others are placed at the weighted
    mean of the five of these that are most alike. Fewer than ten different images get no place.
    """
    from sklearn.manifold import TSNE  # noqa: PLC0415  # 0.5 s

    n = len(features)
    chosen = _draw(n, LANDMARKS)
    # scikit-learn ends the process where all are the same
    if len(np.unique(features[chosen], axis=0)) < 10:
        return np.zeros((0, 2), np.float32), 0
    reduced = _reduce(features, 30)
    tsne = TSNE(
        perplexity=min(30.0, (len(chosen) - 1) / 3),
        init="pca",
        random_state=0,
        max_iter=400,
        n_jobs=-1,
    )
    spots = tsne.fit_transform(reduced[chosen]).astype(np.float32)
    if len(chosen) < n:
        distances, near = nearest(reduced[chosen], reduced, 5)
        weights = 1 / (distances + 1e-6 * (1 + distances.mean()))
        weights /= weights.sum(axis=1, keepdims=True)
        spots = (spots[near] * weights[:, :, None]).sum(axis=1)
    low, high = spots.min(axis=0), spots.max(axis=0)
    return ((spots - low) / np.maximum(high - low, 1e-9)).astype(np.float32), len(chosen)


def _reduce(features: Float32[np.ndarray, "N F"], most: int) -> Float32[np.ndarray, "N D"]:
    """Return the leading principal components."""
    centred = features - features.mean(axis=0)
    if centred.shape[1] <= most:
        return np.asarray(centred, np.float32)
    sample = centred[_draw(len(centred), 2000)]
    # of the smaller product: pixels by pixels, or images by images
    if sample.shape[1] > len(sample):
        _, vectors = np.linalg.eigh(sample @ sample.T)
        basis = sample.T @ vectors[:, -most:]
        basis /= np.maximum(np.linalg.norm(basis, axis=0), 1e-9)
    else:
        _, vectors = np.linalg.eigh(sample.T @ sample)
        basis = vectors[:, -most:]
    return np.asarray(centred @ basis, np.float32)


def nearest(
    among: Float32[np.ndarray, "M D"], queries: Float32[np.ndarray, "N D"], k: int
) -> tuple[Float32[np.ndarray, "N J"], Int64[np.ndarray, "N J"]]:
    """Return distances and indices of the `k` nearest, or of all if there are fewer.

    >>> points = np.float32([[0, 0], [3, 4], [9, 9]])
    >>> distances, indices = nearest(points, np.float32([[3, 3]]), 2)
    >>> distances.tolist(), indices.tolist()
    ([[1.0, 4.24...]], [[1, 0]])
    """
    k = min(k, len(among))
    squares = (among**2).sum(axis=1)
    distances, indices = [], []
    for start in range(0, len(queries), 1000):
        part = queries[start : start + 1000]
        all_squares = squares - 2 * part @ among.T
        near = np.argpartition(all_squares, k - 1, axis=1)[:, :k]
        found = np.take_along_axis(all_squares, near, axis=1)
        order = np.argsort(found, axis=1, kind="stable")
        indices.append(np.take_along_axis(near, order, axis=1))
        found = np.take_along_axis(found, order, axis=1) + (part**2).sum(axis=1, keepdims=True)
        distances.append(np.sqrt(np.maximum(found, 0)))
    return np.concatenate(distances), np.concatenate(indices)


def _nearest_training(
    model: Model | None, training: Dataset, images: UInt8[np.ndarray, "L H W *C"]
) -> Int64[np.ndarray, "L J"]:
    chosen = _draw(len(training), MOST_TRAINING)
    among, queries = (_features(model, each) for each in (training.images[chosen], images))
    return np.asarray(chosen[nearest(among, queries, NEAREST)[1]])


# ---- where the model looked ----


def look_where(
    model: Model, images: UInt8[np.ndarray, "L H W *C"], said: Int64[np.ndarray, "L"]
) -> Float32[np.ndarray, "L G G"]:
    """Return how much the model's answer loses where a part of the image is covered, 0 to 1.

    A square of a seventh of the sides, in the colour of the border, moves over the image.
    Source: Zeiler and Fergus (2014), occlusion.
    """
    height, width = images.shape[1:3]
    rows, columns = (_windows(side) for side in (height, width))
    found = np.zeros((len(images), len(rows), len(columns)), np.float32)
    for i, image in enumerate(images):
        covered = np.repeat(image[None], len(rows) * len(columns) + 1, axis=0)
        ground = border_median(image)
        for j, (row, column) in enumerate((r, c) for r in rows for c in columns):
            covered[j, row, column] = ground
        probs = model.predict(covered).probs
        share = probs[:, said[i]]
        found[i] = np.maximum(share[-1] - share[:-1], 0).reshape(found.shape[1:])
        found[i] /= max(found[i].max(), 1e-6)
    return found


def _windows(side: int) -> list[slice]:
    """Return where a square of a seventh of the side may lie, in thirteen places at the most.

    >>> [(w.start, w.stop) for w in _windows(28)][:3], len(_windows(28))
    ([(0, 4), (2, 6), (4, 8)], 13)
    """
    span = max(2, round(side / 7))
    starts = np.unique(np.linspace(0, side - span, 13).round().astype(int))
    return [slice(int(start), int(start) + span) for start in starts]


# ---- what it stands ----


def try_changes(
    model: Model, images: UInt8[np.ndarray, "N H W *C"], labels: Int64[np.ndarray, "N"]
) -> Iterator[Curve]:
    """Measure the accuracy under each change, at each level."""

    def accuracy(shown: UInt8[np.ndarray, "N H W *C"]) -> float:
        return float((model.predict(shown).probs.argmax(axis=1) == labels).mean())

    unchanged = accuracy(images)
    for kind in LEVELS:
        levels = levels_for(kind, max(images.shape[1:3]))
        shares = []
        for level in levels:
            shown = change(images, kind, level)
            shares.append(unchanged if np.array_equal(shown, images) else accuracy(shown))
        yield Curve(kind, levels, tuple(shares))


def levels_for(kind: Change, side: int) -> tuple[float, ...]:
    """Return how much of a change is tried on images of that longer side.

    Shifts are of whole pixels, each once: of small images there are fewer.

    >>> levels_for("shift", 28), levels_for("shift", 8)
    ((0, 1, 2, 3, 4, 6, 8), (0, 1, 2))
    """
    if kind != "shift":
        return LEVELS[kind]
    return tuple(sorted({round(level * side / 28) for level in LEVELS[kind]}))


def change(
    images: UInt8[np.ndarray, "N H W *C"], kind: Change, level: float
) -> UInt8[np.ndarray, "N H W *C"]:
    """Return the images with so much of one change; directions and noise are always the same.

    Shifts count pixels of these images, blur counts pixels of images 28 wide.

    >>> change(np.uint8([[[0, 10]]]), "inverted", 1).tolist()
    [[[255, 245]]]
    """
    rng = np.random.default_rng(0)
    scale = max(images.shape[1:3]) / 28
    pixels = images.astype(np.float32)
    if kind == "shift":
        return _shift(images, round(level), rng)
    if kind == "rotation":
        return _rotate(images, level, rng)
    if kind == "noise":
        changed = pixels + level * rng.standard_normal(images.shape, np.float32)
    elif kind == "blur":
        from scipy.ndimage import gaussian_filter  # noqa: PLC0415

        widths = (0, level * scale, level * scale, *([0] if images.ndim == 4 else []))
        changed = gaussian_filter(pixels, widths)
    elif kind == "contrast":
        mean = pixels.mean(axis=tuple(range(1, images.ndim)), keepdims=True)
        changed = mean + level * (pixels - mean)
    elif level == 0:
        return images
    else:
        return images[:, :, ::-1].copy() if kind == "flip" else 255 - images
    return changed.round().clip(0, 255).astype(np.uint8)


def _shift(
    images: UInt8[np.ndarray, "N H W *C"], by: int, rng: np.random.Generator
) -> UInt8[np.ndarray, "N H W *C"]:
    """Move each image towards one of its corners; what comes in repeats its border."""
    if by == 0:
        return images
    height, width = images.shape[1:3]
    room = ((0, 0), (by, by), (by, by), *([(0, 0)] if images.ndim == 4 else []))
    wide = np.pad(images, room, mode="edge")
    corners = rng.integers(0, 2, (len(images), 2)) * 2 * by
    return np.stack(
        [
            one[down : down + height, right : right + width]
            for one, (down, right) in zip(wide, corners, strict=True)
        ]
    )


def _rotate(
    images: UInt8[np.ndarray, "N H W *C"], degrees: float, rng: np.random.Generator
) -> UInt8[np.ndarray, "N H W *C"]:
    """Turn each image left or right; what comes in has the colour of its border."""
    ways = rng.choice([-1, 1], len(images))
    turned = []
    for image, way in zip(images, ways, strict=True):
        ground = border_median(image)
        fill = tuple(ground.tolist()) if image.ndim == 3 else int(ground)
        upright = Image.fromarray(image)
        bilinear = Image.Resampling.BILINEAR
        turned.append(np.asarray(upright.rotate(float(way * degrees), bilinear, fillcolor=fill)))
    return np.stack(turned)
