"""The audit of a dataset: doubles, near images and suspected labels."""

from __future__ import annotations

import tracemalloc
from dataclasses import replace
from itertools import combinations

import numpy as np
import pytest
from scipy.stats import false_discovery_control

from conftest import made_images, made_probs
from lookbook.data.dataset import Dataset
from lookbook.evaluation import audit as audits
from lookbook.evaluation.audit import (
    NEAR,
    Findings,
    audit,
    count_suspects,
    find_first,
    find_near,
    find_suspects,
)
from lookbook.training.cross_validation import FOLDS, out_of_fold


def test_a_check_that_is_added_to_the_registry_is_run_after_the_others(monkeypatch):
    images, labels = made_images(40, seed=0)
    part = Dataset(images, labels, ("a", "b", "c"))

    def check(examined, found):
        assert len(found.exact) >= 40  # what the others found is known by then
        return replace(found, recipe=f"{len(examined.images)} images")

    before = audit(part, part, None)
    monkeypatch.setattr(audits, "CHECKS", (*audits.CHECKS, check))
    after = audit(part, part, None)
    assert (before.recipe, after.recipe) == ("", "80 images")
    np.testing.assert_array_equal(after.exact, before.exact)
    np.testing.assert_array_equal(after.near, before.near)


def test_every_kind_of_pair_holds_the_pairs_that_are_of_it():
    pairs = np.array([[0, 1], [0, 4], [3, 4]])  # in the training part, across, in the test part
    found = replace(Findings.none(3), exact=pairs, near=pairs[:1])
    labels = np.array([0, 0, 1, 1, 0])
    kinds = {(one.name, one.part): one.select(found, labels) for one in audits.PAIR_ISSUES}
    assert {key: None if kept is None else kept.tolist() for key, kept in kinds.items()} == {
        ("doubles_across", ""): [[0, 4]],
        ("doubles_within", "training"): [[0, 1]],
        ("doubles_within", "test"): [[3, 4]],
        ("near_across", ""): [],
        ("near_within", "training"): [[0, 1]],
        ("near_within", "test"): None,
        ("conflicting", ""): [[3, 4]],
    }
    assert audits.pairs_of_different_labels(Findings.none(3), labels) is None


@pytest.mark.parametrize("shape", [(8, 8), (28, 28), (10, 12, 3), (70, 70)])
def test_no_pair_of_near_images_is_missed(shape):
    rng = np.random.default_rng(0)
    base = rng.integers(0, 256, (12, *shape)).astype(float)
    # copies at many distances, below and above what counts as near
    spread = rng.uniform(0, 2 * NEAR, 48).reshape(-1, *[1] * len(shape))
    copies = base[np.arange(48) % 12] + spread * rng.choice([-1, 1], (48, *shape))
    images = np.concatenate([base, copies, base[:3]]).round().clip(0, 255).astype(np.uint8)
    firsts = find_first(images)
    near, compared = find_near(images, np.unique(firsts), np.zeros(0, int))
    again = set(np.flatnonzero(firsts != np.arange(len(images))).tolist())
    rows = images.reshape(len(images), -1).astype(float)
    distance = {
        (a, b): np.sqrt(((rows[a] - rows[b]) ** 2).mean())
        for a, b in combinations(range(len(images)), 2)
    }
    same = {p for p, d in distance.items() if d == 0}
    assert {(int(firsts[i]), i) for i in again} == same
    assert compared == len(images) - len(again)
    expected = {pair for pair, d in distance.items() if 0 < d < NEAR and not again & set(pair)}
    assert {tuple(pair) for pair in near.tolist()} == expected
    assert len(expected) > 10


def test_the_ranking_is_of_labels_that_networks_would_change_the_least_likely_first():
    probs, labels = made_probs()
    found = find_suspects(labels, probs)
    own = probs[np.arange(len(labels)), labels]
    assert set(found.indices) == set(np.flatnonzero(probs.argmax(axis=1) != labels))
    assert (np.diff(own[found.indices]) >= 0).all()
    np.testing.assert_array_equal(found.predicted, probs[found.indices].argmax(axis=1))
    np.testing.assert_allclose(found.shares[:, 1], own[found.indices])
    np.testing.assert_allclose(found.shares[:, 0], probs[found.indices].max(axis=1))


@pytest.mark.parametrize("seed", range(5))
def test_suspects_are_counted_as_scipy_controls_false_discoveries(seed):
    own = np.random.default_rng(seed).random(500) ** 3
    expected = (false_discovery_control(own) <= 0.5).sum()
    assert 10 < count_suspects(own) == expected < 490


@pytest.mark.parametrize("seed", range(3))
def test_of_suspected_labels_half_are_wrong_and_of_true_ones_next_to_none_is(seed):
    """Labels as unlikely as the probabilities say are no errors; exchanged ones are."""
    probs, labels = made_probs(seed=seed)
    assert find_suspects(labels, probs).suspected <= 0.002 * len(labels)
    rng = np.random.default_rng(seed)
    turned = rng.choice(len(labels), len(labels) // 50, replace=False)
    labels[turned] = (labels[turned] + rng.integers(1, 6, len(turned))) % 6
    found = find_suspects(labels, probs)
    suspected = set(found.indices[: found.suspected].tolist())
    assert len(suspected & set(turned.tolist())) >= max(0.5 * len(suspected), 0.5 * len(turned))


def test_networks_that_are_too_weak_suspect_nothing_and_their_ranking_is_kept():
    probs, labels = made_probs()
    strong, weak = find_suspects(labels[::-1], probs), find_suspects(labels[::-1], probs, weak=True)
    assert strong.suspected > weak.suspected == 0
    np.testing.assert_array_equal(strong.indices, weak.indices)


def test_networks_that_have_not_seen_an_image_find_its_wrong_label(parts, findings):
    for suspects, part in ((findings.training, parts[0]), (findings.test, parts[1])):
        suspected = suspects.indices[: suspects.suspected]
        assert set(suspected) <= set(range(0, len(part), 40))
        assert len(suspected) >= 0.6 * len(part) / 40
        predicted = suspects.predicted[: suspects.suspected]
        np.testing.assert_array_equal(predicted, (part.labels[suspected] - 1) % 3)
        assert suspects.shares[: suspects.suspected, 0].min() > 0.7


def test_findings_are_the_same_after_they_were_kept(findings):
    again = Findings.from_arrays(findings.to_arrays())
    np.testing.assert_array_equal(again.training.shares, findings.training.shares)
    np.testing.assert_array_equal(again.exact, findings.exact)
    assert (again.n_training, again.networks, again.recipe) == (600, FOLDS, "quick")
    assert again.training.suspected == findings.training.suspected
    assert again.accuracy == findings.accuracy > 0.9


def test_suspects_keep_their_numbers_beside_images_that_were_not_judged():
    probs = np.tile([0.9, 0.1], (20, 1))
    probs[10:] = probs[10:, ::-1]
    probs[3] = np.nan
    labels = np.repeat([0, 1], 10)
    labels[12] = 0
    assert find_suspects(labels, probs).indices.tolist() == [12]


def test_classes_of_one_image_are_not_judged():
    images = np.zeros((3, 8, 8), np.uint8)
    part = Dataset(images, np.array([0, 0, 1]), ("many", "one"))
    assert out_of_fold(part, part) is None
    found = audit(part, part, None)
    assert found.networks == 0
    assert len(found.training.indices) == 0
    assert len(found.exact) == 5


def most_memory(call):
    """Return the bytes that a call takes at its height."""
    tracemalloc.start()
    try:
        call()
        return tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()


def test_large_images_are_compared_some_at_a_time(monkeypatch):
    rng = np.random.default_rng(0)
    images = rng.integers(100, 104, (100, 32, 32, 3), dtype=np.uint8)
    every, none = np.arange(100), np.zeros(0, int)
    near, _ = find_near(images, every, none)
    assert len(near) == 100 * 99 / 2
    monkeypatch.setattr("lookbook.core.arrays.CHUNK", 2**18)
    np.testing.assert_array_equal(find_near(images, every, none)[0], near)
    # the pixels of all pairs take 60 MB
    assert most_memory(lambda: find_near(images, every, none)) < 4e6
    many = rng.integers(0, 256, (2000, 32, 32, 3), dtype=np.uint8)
    assert most_memory(lambda: find_first(many)) < many.nbytes / 6


@pytest.fixture
def halves():
    """A training and a test part, all of whose images are nearly the same."""
    rng = np.random.default_rng(0)
    training, test = (
        Dataset(rng.integers(100, 103, (n, 8, 8), dtype=np.uint8), np.arange(n) % 2, ("a", "b"))
        for n in (100, 10)
    )
    # one of them stands in the training part, too
    training.images[7] = test.images[2]
    return training, test


def test_of_too_many_images_the_test_part_is_compared(monkeypatch, halves):
    monkeypatch.setattr(audits, "MOST_COMPARED", 30)
    found = audit(*halves, None)
    assert (found.compared, found.different) == (30, 109)
    of_test = {7, *range(100, 110)} - {102}
    assert of_test <= set(found.near.ravel().tolist())


def test_of_images_that_are_too_much_alike_the_test_part_is_compared(monkeypatch, halves):
    monkeypatch.setattr(audits, "MOST_CANDIDATES", 300)
    found = audit(*halves, None)
    assert (found.compared, found.different) == (13, 109)  # 109, 54, 27, 13
    compared = set(found.near.ravel().tolist())
    assert {7, *range(100, 110)} - {102} <= compared
    assert len(compared) == found.compared


def test_images_that_are_all_alike_are_sampled(monkeypatch):
    monkeypatch.setattr(audits, "MOST_CANDIDATES", 1000)
    images = np.random.default_rng(0).integers(100, 103, (200, 8, 8), dtype=np.uint8)
    near, compared = find_near(images, np.arange(200), np.zeros(0, int))
    assert compared == 25
    assert len(near) == 25 * 24 / 2


def test_a_part_of_one_class_has_no_suspects():
    found = find_suspects(np.array([1, 1]), np.array([[0.9, 0.1], [0.5, 0.5]]))
    assert len(found.indices) == 0
