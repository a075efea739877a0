"""Dataset audit by a registry of checks: exact and near duplicates, suspected labels.

Nothing is changed or left out: the findings are for a person to judge. A new check is an entry in
`CHECKS`, and a field of `Findings` that it fills; a new kind of pair, in the same part, across both
or with different labels, an entry in `PAIR_ISSUES`, which a report lists in that order.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Literal, Self

import numpy as np

from lookbook.core import arrays
from lookbook.core.arrays import chunks, join_rows, principal_axes
from lookbook.data.copies import find_first

if TYPE_CHECKING:
    from jaxtyping import Float, Int64, UInt8
    from scipy.spatial import cKDTree

    from lookbook.data.dataset import Dataset

#: images nearer to each other than this, as a root mean square of 255 grey levels, are nearly the
#: same
NEAR = 8.0
#: principal components in which near images are looked for, before their pixels are compared
COMPONENTS = 8
#: images among which near ones are looked for, and pairs whose pixels are compared
MOST_COMPARED, MOST_CANDIDATES = 100_000, 20_000_000
#: share of the training labels that networks must find to suspect any, and of those suspected how
#: many may be so by chance
ENOUGH, BY_CHANCE = 0.7, 0.5
#: training images of a class that are needed to judge its labels: one is judged by networks that
#: know others
LEAST = 2


@dataclass(frozen=True)
class OutOfFold:
    """Probabilities by networks that had not seen the images; rows of NaN were not judged."""

    training: Float[np.ndarray, "N K"]
    test: Float[np.ndarray, "M K"]
    #: how many networks, of which recipe
    networks: int
    recipe: str
    #: share of the training labels that they find
    accuracy: float


@dataclass(frozen=True)
class Suspects:
    """Images to which networks would give another label, the least credible label first."""

    indices: Int64[np.ndarray, "S"]
    #: class that the networks would give, and how sure they are of it and of the label
    predicted: Int64[np.ndarray, "S"]
    shares: Float[np.ndarray, "S 2"]
    #: how many of them, from the first on, are suspected: see `count_suspects`
    suspected: int

    def to_arrays(self) -> dict[str, np.ndarray]:
        """Return what a run keeps of them: by these names in its `analysis.npz`."""
        return {
            "indices": self.indices,
            "opinions": self.predicted,
            "shares": self.shares,
            "suspected": np.array(self.suspected),
        }

    @classmethod
    def none(cls) -> Self:
        """Suspect no image."""
        return cls(np.zeros(0, np.int64), np.zeros(0, np.int64), np.zeros((0, 2)), 0)


@dataclass(frozen=True)
class Findings:
    """What was found in a dataset."""

    #: numbers of training images; indices of pairs beyond it are of test images
    n_training: int
    exact: Int64[np.ndarray, "P 2"]
    near: Int64[np.ndarray, "Q 2"]
    #: different images among which near ones were looked for, and how many there are
    compared: int
    different: int
    training: Suspects
    test: Suspects
    #: networks that judged, their recipe, and the share of the training labels that they find; no
    #: networks where the images were too few
    networks: int
    recipe: str
    accuracy: float

    @property
    def too_weak(self) -> bool:
        """Whether the networks find too few of the labels to suspect any."""
        return self.accuracy < ENOUGH

    @classmethod
    def none(cls, n_training: int) -> Self:
        """Find nothing yet."""
        pairs, suspects = np.zeros((0, 2), np.int64), Suspects.none()
        return cls(n_training, pairs, pairs, 0, 0, suspects, suspects, 0, "", 0.0)

    def to_arrays(self) -> dict[str, np.ndarray]:
        """Return what `from_arrays` takes."""
        arrays = {"exact": self.exact, "near": self.near}
        for part in ("training", "test"):
            suspects = getattr(self, part)
            arrays |= {f"{part}-{name}": kept for name, kept in suspects.to_arrays().items()}
        counts = (self.n_training, self.compared, self.different, self.networks)
        judges = {"recipe": np.array(self.recipe), "accuracy": np.array(self.accuracy)}
        return arrays | judges | {"found": np.array(counts, np.int64)}

    @classmethod
    def from_arrays(cls, arrays: dict[str, np.ndarray]) -> Findings:
        """Return the findings that `to_arrays` was called on."""
        training, test = (
            Suspects(
                arrays[f"{part}-indices"],
                arrays[f"{part}-opinions"],
                arrays[f"{part}-shares"],
                int(arrays[f"{part}-suspected"]),
            )
            for part in ("training", "test")
        )
        n_training, compared, different, networks = arrays["found"].tolist()
        return cls(
            n_training=n_training,
            exact=arrays["exact"],
            near=arrays["near"],
            compared=compared,
            different=different,
            training=training,
            test=test,
            networks=networks,
            recipe=str(arrays["recipe"]),
            accuracy=float(arrays["accuracy"]),
        )


def audit(training: Dataset, test: Dataset, out_of_fold: OutOfFold | None) -> Findings:
    """Run every check of `CHECKS` on both parts.

    Parameters
    ----------
    training, test
        The two parts.
    out_of_fold
        Probabilities of networks that had not seen the images; None where there are none, so
        that no label is suspected.
    """
    images = join_rows(training.images, test.images)
    examined = Examined(training, test, images, find_first(images), out_of_fold)
    findings = Findings.none(len(training))
    for check in CHECKS:
        findings = check(examined, findings)
    return findings


# ---- checks ----


@dataclass(frozen=True)
class Examined:
    """What every check looks at."""

    training: Dataset
    test: Dataset
    #: images of the training part, then of the test part
    images: UInt8[np.ndarray, "N H W *C"]
    #: for each image the first one that is the same
    firsts: Int64[np.ndarray, "N"]
    out_of_fold: OutOfFold | None


def check_exact_duplicates(examined: Examined, findings: Findings) -> Findings:
    """Find images that are the same as an earlier one, pixel by pixel."""
    firsts = examined.firsts
    again = np.flatnonzero(firsts != np.arange(len(firsts)))
    exact = np.stack([firsts[again], again], axis=1)
    return replace(findings, exact=exact, different=len(firsts) - len(again))


def check_near_duplicates(examined: Examined, findings: Findings) -> Findings:
    """Find different images that are nearly the same."""
    in_test = np.unique(examined.firsts[len(examined.training) :])
    kept = _draw(np.unique(examined.firsts), in_test, MOST_COMPARED)
    near, compared = find_near(examined.images, kept, in_test)
    return replace(findings, near=near, compared=compared)


def check_labels(examined: Examined, findings: Findings) -> Findings:
    """Find labels that networks which had not seen the image would change."""
    judged = examined.out_of_fold
    if judged is None:
        return findings
    weak = judged.accuracy < ENOUGH
    return replace(
        findings,
        training=find_suspects(examined.training.labels, judged.training, weak=weak),
        test=find_suspects(examined.test.labels, judged.test, weak=weak),
        networks=judged.networks,
        recipe=judged.recipe,
        accuracy=judged.accuracy,
    )


#: each adds what it finds to what those before it found
CHECKS: tuple[Callable[[Examined, Findings], Findings], ...] = (
    check_exact_duplicates,
    check_near_duplicates,
    check_labels,
)


@dataclass(frozen=True)
class PairIssue:
    """One kind of issue that pairs of images have."""

    #: name of its texts in the report
    name: str
    #: pairs of this kind, by the findings and the labels of both parts; None: not worth a line
    select: Callable[[Findings, Int64[np.ndarray, "N"]], Int64[np.ndarray, "P 2"] | None]
    #: part in which both images are; empty where that is not asked
    part: str = ""


def pairs_across(findings: Findings, pairs: Int64[np.ndarray, "P 2"]) -> Int64[np.ndarray, "Q 2"]:
    """Return the pairs of a training and a test image."""
    in_test = pairs >= findings.n_training
    return np.asarray(pairs[in_test[:, 0] != in_test[:, 1]])


def pairs_within(
    findings: Findings, pairs: Int64[np.ndarray, "P 2"], part: Literal["training", "test"]
) -> Int64[np.ndarray, "Q 2"] | None:
    """Return the pairs inside one part; None where there are none."""
    inside = pairs[((pairs >= findings.n_training) == (part == "test")).all(axis=1)]
    return inside if len(inside) else None


def pairs_of_different_labels(
    findings: Findings, labels: Int64[np.ndarray, "N"]
) -> Int64[np.ndarray, "Q 2"] | None:
    """Return the same or nearly the same images with different labels; None without any pair."""
    pairs = np.concatenate([findings.exact, findings.near])
    return pairs[labels[pairs[:, 0]] != labels[pairs[:, 1]]] if len(pairs) else None


#: kinds of pairs, in the order in which a report lists them
PAIR_ISSUES = (
    PairIssue("doubles_across", lambda found, _: pairs_across(found, found.exact)),
    PairIssue(
        "doubles_within", lambda found, _: pairs_within(found, found.exact, "training"), "training"
    ),
    PairIssue("doubles_within", lambda found, _: pairs_within(found, found.exact, "test"), "test"),
    PairIssue("near_across", lambda found, _: pairs_across(found, found.near)),
    PairIssue(
        "near_within", lambda found, _: pairs_within(found, found.near, "training"), "training"
    ),
    PairIssue("near_within", lambda found, _: pairs_within(found, found.near, "test"), "test"),
    PairIssue("conflicting", pairs_of_different_labels),
)


# ---- duplicates ----


def _draw(
    kept: Int64[np.ndarray, "L"], in_test: Int64[np.ndarray, "M"], most: int
) -> Int64[np.ndarray, "J"]:
    """Draw images of too many: those of the test part before others, at random among equals."""
    if len(kept) <= most:
        return kept
    chance = np.random.default_rng(0).random(len(kept))
    order = np.lexsort((chance, ~np.isin(kept, in_test)))
    return np.sort(kept[order[:most]])


def find_near(
    images: UInt8[np.ndarray, "N H W *C"],
    kept: Int64[np.ndarray, "L"],
    in_test: Int64[np.ndarray, "M"],
) -> tuple[Int64[np.ndarray, "Q 2"], int]:
    """Return pairs of different images that are nearly the same, the lower index first.

    No pair among those `kept` is missed: two images cannot be further apart in a few principal
    components than in all their pixels. Where too many are alike to be compared, half of them are
    left out, those `in_test` last, until it can be done. The second number says how many were
    compared.

    >>> images = np.zeros((3, 8, 8), np.uint8)
    >>> images[1, 0, 0], images[2] = 9, 200
    >>> near, compared = find_near(images, np.arange(3), np.array([2]))
    >>> near.tolist(), compared
    ([[0, 1]], 3)
    """
    from scipy.spatial import cKDTree  # noqa: PLC0415  # 0.1 s

    radius = NEAR * np.sqrt(math.prod(images.shape[1:]))
    tree = cKDTree(_project(images, kept))
    while _candidates(tree, radius) > MOST_CANDIDATES:
        kept = _draw(kept, in_test, len(kept) // 2)
        tree = cKDTree(_project(images, kept))
    candidates = kept[np.sort(tree.query_pairs(radius, output_type="ndarray"), axis=1)]
    # whoever is too far apart in an eighth of the pixels is so in all of them
    few, places = _eighth(images, candidates)
    candidates = candidates[_distances(few, places) < radius]
    pairs = candidates[_distances(images, candidates) < radius]
    return pairs[np.lexsort((pairs[:, 1], pairs[:, 0]))], len(kept)


def _flat(
    images: UInt8[np.ndarray, "N H W *C"], places: Int64[np.ndarray, "L"]
) -> UInt8[np.ndarray, "L D"]:
    """Return some images as rows; all of them may be on the disk, and more than memory holds."""
    return np.asarray(images[places]).reshape(len(places), -1)


def _eighth(
    images: UInt8[np.ndarray, "N H W *C"], pairs: Int64[np.ndarray, "Q 2"]
) -> tuple[UInt8[np.ndarray, "M E"], Int64[np.ndarray, "Q 2"]]:
    """Return every eighth value of the images that are paired, and the pairs' places there."""
    asked, places = np.unique(pairs, return_inverse=True)
    pieces = [_flat(images, asked[part])[:, ::8] for part in chunks(len(asked), images[0].size)]
    few = np.concatenate(pieces) if pieces else np.zeros((0, 1), np.uint8)
    return few, places.reshape(pairs.shape)


def _candidates(tree: cKDTree, radius: float) -> float:
    """Estimate how many pairs are that near, from one point in every so many."""
    points = tree.data[:: max(1, tree.n // 2000)]
    neighbours = tree.query_ball_point(points, radius, return_length=True)
    return float((neighbours - 1).mean() * tree.n / 2)


def _project(
    images: UInt8[np.ndarray, "N H W *C"], kept: Int64[np.ndarray, "L"]
) -> Float[np.ndarray, "L P"]:
    """Return leading principal components, of so many images as memory holds."""
    size = 4 * images[0].size
    most = min(2000, max(COMPONENTS, arrays.CHUNK // size))
    sample = _flat(images, kept[:: -(-len(kept) // most)]).astype(np.float32)
    mean = sample.mean(axis=0)
    sample -= mean
    # at right angles, so that no distance grows
    basis, _ = np.linalg.qr(principal_axes(sample, COMPONENTS))
    pieces = [
        _flat(images, kept[part]).astype(np.float32) @ basis for part in chunks(len(kept), size)
    ]
    return np.asarray(np.concatenate(pieces) - mean @ basis)


def _distances(
    images: UInt8[np.ndarray, "N *shape"], pairs: Int64[np.ndarray, "Q 2"]
) -> Float[np.ndarray, "Q"]:
    distances = np.empty(len(pairs), np.float32)
    for part in chunks(len(pairs), 4 * math.prod(images.shape[1:])):
        differences = _flat(images, pairs[part, 0]).astype(np.float32)
        differences -= _flat(images, pairs[part, 1])
        distances[part] = np.sqrt(np.einsum("qd,qd->q", differences, differences))
    return distances


# ---- labels ----


def find_suspects(
    labels: Int64[np.ndarray, "N"], probs: Float[np.ndarray, "N K"], *, weak: bool = False
) -> Suspects:
    """Rank the images to which the networks would give another label; count those suspected.

    The label that they hold least likely comes first. Rows of NaN are of images that were not
    judged. Networks that are too `weak` to judge suspect none.
    """
    judged = np.flatnonzero(~np.isnan(probs).any(axis=1))
    labels, probs = labels[judged], probs[judged].astype(np.float64)
    if len(np.unique(labels)) < 2:  # nothing to compare with
        return Suspects.none()
    probs /= probs.sum(axis=1, keepdims=True)
    own, predicted = probs[np.arange(len(labels)), labels], probs.argmax(axis=1)
    ranking = np.argsort(own, kind="stable")
    ranking = ranking[predicted[ranking] != labels[ranking]]
    suspected = 0 if weak else min(count_suspects(own), len(ranking))
    shares = np.stack([probs.max(axis=1), own], axis=1)[ranking]
    return Suspects(judged[ranking], predicted[ranking], shares, suspected)


def count_suspects(own: Float[np.ndarray, "N"]) -> int:
    """Return how many labels, the least likely first, are suspected.

    Where the probabilities are true, one label in a hundred is held as unlikely as 1 % or less, one
    in ten as 10 %. As many are suspected as at most half would be by chance.
    Source: Benjamini and Hochberg (1995), at a false discovery rate of 0.5.

    >>> count_suspects(np.array([0.001, 0.002, 0.9, 0.8, 0.7, 0.95, 0.9, 0.99]))
    2
    """
    ascending = np.sort(own)
    n = len(own)
    few = np.flatnonzero(ascending <= BY_CHANCE * np.arange(1, n + 1) / n)
    return int(few[-1]) + 1 if len(few) else 0
