"""Novelty against the formula, and on images that are nothing like those it learnt from."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from conftest import made_images
from lookbook.networks import novelty
from lookbook.networks.novelty import Novelty
from lookbook.recipes import STANDARD, TUTORIAL
from lookbook.training.calibration import learn_novelty, novelties
from lookbook.training.loop import fit

N, T, K = 2000, 6, 3


def made_traits(n: int, seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    """Traits whose logarithms are Gaussian, and their classes."""
    rng = np.random.default_rng(seed)
    labels = rng.integers(0, K, n)
    shape, centres = np.random.default_rng(9).normal(size=(2, T, T)) / 2
    return np.exp(rng.normal(size=(n, T)) @ shape + centres[labels]), labels


def taught(n_classes: int = K) -> Novelty:
    judge = Novelty(T, n_classes)
    traits, labels = made_traits(N)
    learn(judge, traits, labels)
    return judge


def learn(judge: Novelty, traits: np.ndarray, labels: np.ndarray) -> None:
    """All logits have the same energy: it counts nothing."""
    judge.learn(torch.from_numpy(traits), torch.eye(K)[labels], torch.from_numpy(labels))


def judged(judge: Novelty, traits: np.ndarray, labels: np.ndarray) -> np.ndarray:
    return judge(torch.from_numpy(traits).float(), torch.eye(K)[labels]).numpy()


def expected_novelty(few: int = 0, *, by_class: bool = True) -> np.ndarray:
    """The formula, with an explicit inverse; the `few` smallest spreads share one."""
    (traits, labels), (others, said) = made_traits(N), made_traits(50, seed=1)
    logs, other_logs = np.log(traits + 0.01), np.log(others + 0.01)
    if not by_class:
        labels, said = np.zeros_like(labels), np.zeros_like(said)
    means = np.stack([logs[labels == k].mean(0) for k in np.unique(labels)])
    steps = logs - means[labels]
    spread = np.sqrt((steps**2).mean(0))
    values, vectors = np.linalg.eigh((steps / spread).T @ (steps / spread) / N)
    if few:  # Tipping and Bishop (1999)
        values[:few] = values[:few].mean()
    inverse = vectors @ np.diag(1 / values) @ vectors.T
    away = (other_logs - means[said]) / spread
    return np.einsum("ni,ij,nj->n", away, inverse, away) / T


def test_with_all_directions_it_is_the_mahalanobis_distance_from_the_class():
    found = judged(taught(), *made_traits(50, seed=1))
    np.testing.assert_allclose(found, expected_novelty(), rtol=2e-3)


def test_with_few_directions_the_others_share_one_spread(monkeypatch):
    monkeypatch.setattr(novelty, "MOST_NUMBERS", (K + 2) * T)
    judge = taught()
    assert judge.directions.shape == (T, 2)
    found = judged(judge, *made_traits(50, seed=1))
    np.testing.assert_allclose(found, expected_novelty(few=T - 2), rtol=2e-3)


def test_of_too_many_classes_one_mean_stands_for_all(monkeypatch):
    monkeypatch.setattr(novelty, "MOST_IN_MEANS", K * T - 1)
    found = judged(taught(), *made_traits(50, seed=1))
    np.testing.assert_allclose(found, expected_novelty(by_class=False), rtol=2e-3)


def test_small_logits_make_it_greater_as_the_spreads_say():
    traits, labels = made_traits(N)
    rng = np.random.default_rng(3)
    logits = torch.from_numpy(rng.normal(size=(N, K)) + 4 * np.eye(K)[labels]).float()
    judge = Novelty(T, K)
    judge.learn(torch.from_numpy(traits), logits, torch.from_numpy(labels))
    without = taught()
    without.energy_rate.zero_()
    plain = without(torch.from_numpy(traits).float(), logits).log().numpy()
    energy = -np.log(np.exp(logits.numpy()).sum(axis=1))
    rate = novelty.ENERGY * plain.std() / energy.std()
    found = judge(torch.from_numpy(traits).float(), logits).log().numpy()
    np.testing.assert_allclose(found, plain + rate * (energy - energy.mean()), atol=2e-3)


@pytest.mark.parametrize(("n_traits", "n_classes"), [(1, 2), (128, 10), (1088, 200), (336, 62)])
def test_its_numbers_stay_few(n_traits, n_classes):
    judge = Novelty(n_traits, n_classes)
    # with the graph around it and what validation images said, 256 KB
    assert sum(part.numel() for part in judge.buffers()) < 50_000
    assert judge(torch.rand(3, n_traits), torch.rand(3, n_classes)).shape == (3,)


def test_it_is_about_1_for_what_it_learnt_from_and_0_before():
    traits, labels = made_traits(N)
    assert (judged(Novelty(T, K), traits, labels) == 0).all()
    assert judged(taught(), traits, labels).mean() == pytest.approx(1, abs=0.01)


def test_traits_that_never_change_and_classes_without_images_do_no_harm():
    traits, labels = made_traits(200)
    traits[:, 2], labels[labels == 1] = 0, 0
    judge = Novelty(T, K)
    learn(judge, traits, labels)
    found = judged(judge, traits, labels)
    assert np.isfinite(found).all()
    assert np.isfinite(judged(judge, traits, np.ones_like(labels))).all()
    stranger = traits.copy()
    stranger[:, 2] = 5
    assert (judged(judge, stranger, labels) > found).all()


@pytest.mark.parametrize("recipe", [TUTORIAL, STANDARD.suited_to(600)])
def test_images_of_another_kind_are_stranger(recipe):
    images, labels = made_images(600, seed=0)
    others, _ = made_images(200, seed=1)
    fitted = fit((images, labels), None, recipe.with_epochs(3), 3, seed=0)
    learn_novelty(fitted.classifier, (images, labels))
    usual = novelties(fitted.classifier, others)
    rng = np.random.default_rng(2)
    strangers = {
        "noise": rng.integers(0, 256, others.shape, dtype=np.uint8),
        "white": np.full(others.shape, 255, np.uint8),
        "inverted": 255 - others,
    }
    for name, pictures in strangers.items():
        assert (novelties(fitted.classifier, pictures) > np.quantile(usual, 0.97)).all(), name


def test_sorted_images_are_all_looked_at():
    """Of more than 10,000, evenly spaced ones are learnt from: the last class is among them."""
    from lookbook.core.arrays import sample

    for n in (10_001, 15_000, 19_999, 55_000):
        chosen = sample(np.arange(n), 10_000)
        assert len(chosen) == 10_000
        assert chosen[-1] >= n - 6
        assert np.diff(chosen).max() <= np.ceil(n / 10_000)


@pytest.mark.parametrize("recipe", [TUTORIAL, STANDARD])
def test_two_images_of_each_class_that_are_alike_leave_a_file_that_agrees(tmp_path, recipe):
    from lookbook.training.pipeline import train

    images = np.random.default_rng(0).integers(0, 256, (2, 8, 8), dtype=np.uint8)[[0, 1, 0, 1]]
    np.savez(tmp_path / "four.npz", train_images=images, train_labels=[0, 1, 0, 1],
             test_images=images, test_labels=[0, 1, 0, 1])  # fmt: skip
    run = train(str(tmp_path / "four.npz"), recipe, epochs=1, out=tmp_path / "run")
    assert run.model.exists()
