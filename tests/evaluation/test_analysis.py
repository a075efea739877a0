"""What a report shows beyond numbers: map, nearest images, where the model looked, changes."""

from __future__ import annotations

import numpy as np
import pytest
from scipy import ndimage
from sklearn.neighbors import NearestNeighbors

from conftest import made_images
from lookbook.data.dataset import Dataset
from lookbook.evaluation import analysis
from lookbook.evaluation.analysis import Analysis, analyse, change
from lookbook.inference.model import Outputs


@pytest.fixture(scope="module")
def test_part():
    images, labels = made_images(120, seed=5)
    return Dataset(images, labels, ("top", "middle", "bottom"))


class BrightRows:
    """A stand-in for a model: the class is the brightest third of the rows."""

    def predict(self, images):
        thirds = [part.mean(axis=(1, 2)) for part in np.array_split(images, 3, axis=1)]
        logits = np.stack(thirds, axis=1) / 20
        powers = np.exp(logits - logits.max(axis=1, keepdims=True))
        probs = powers / powers.sum(axis=1, keepdims=True)
        return Outputs(logits, probs, np.ones(len(images)))


def test_nearest_agrees_with_scikit_learn():
    rng = np.random.default_rng(0)
    among, queries = (rng.normal(size=(n, 7)).astype(np.float32) for n in (300, 2100))
    distances, indices = analysis.nearest(among, queries, 4)
    expected, where = (
        NearestNeighbors(n_neighbors=4, algorithm="brute").fit(among).kneighbors(queries)
    )
    np.testing.assert_array_equal(indices, where)
    np.testing.assert_allclose(distances, expected, atol=1e-3)


def test_a_map_keeps_groups_together(monkeypatch):
    monkeypatch.setattr(analysis, "LANDMARKS", 60)
    rng = np.random.default_rng(0)
    group = np.arange(150) % 3
    features = rng.normal(size=(150, 40)).astype(np.float32) + 30 * np.eye(3, 40)[group]
    places, landmarks = analysis.lay_out(features.astype(np.float32))
    assert landmarks == 60
    assert places.shape == (150, 2)
    assert places.min() == 0
    assert places.max() == 1
    _, near = analysis.nearest(places, places, 6)
    assert (group[near] == group[:, None]).mean() > 0.98


def test_fewer_than_ten_different_images_get_no_map():
    nine = np.repeat(np.eye(9, dtype=np.float32), 20, axis=0)
    places, landmarks = analysis.lay_out(nine)
    assert (places.shape, landmarks) == ((0, 2), 0)


def test_where_a_model_looked_is_where_its_answer_lies():
    images = np.zeros((2, 28, 28), np.uint8)
    images[0, 2:6, 4:24] = images[1, 22:26, 4:24] = 255
    looked = analysis.look_where(BrightRows(), images, np.array([0, 2]))
    assert looked.shape == (2, 13, 13)
    assert looked[0].max() == looked[1].max() == 1
    assert looked[0, :4].sum() > 0.99 * looked[0].sum()
    assert looked[1, -4:].sum() > 0.99 * looked[1].sum()


@pytest.mark.parametrize("shape", [(28, 28), (14, 20), (16, 16, 3)])
@pytest.mark.parametrize(("kind", "levels"), analysis.LEVELS.items())
def test_every_change_begins_with_the_image_as_it_is(shape, kind, levels):
    images = np.random.default_rng(0).integers(0, 256, (5, *shape), dtype=np.uint8)
    np.testing.assert_array_equal(change(images, kind, levels[0]), images)
    changed = [change(images, kind, level) for level in levels]
    assert all(one.shape == images.shape and one.dtype == np.uint8 for one in changed)
    distance = [np.abs(one.astype(int) - images).mean() for one in changed]
    assert min(distance[1:]) > 0
    np.testing.assert_array_equal(change(images, kind, levels[-1]), changed[-1])  # no chance


@pytest.mark.parametrize(
    ("side", "expected"),
    [(8, [0, 1, 2]), (28, [0, 1, 2, 3, 4, 6, 8]), (56, [0, 2, 4, 6, 8, 12, 16])],
)
def test_shifts_are_of_as_many_pixels_as_they_say(side, expected):
    images = np.zeros((6, side, side), np.uint8)
    images[:, side // 2, side // 2] = 255
    looked_at = []

    class Watcher(BrightRows):
        def predict(self, images):
            looked_at.append(np.argwhere(images == 255)[:, 1:] - side // 2)
            return super().predict(images)

    curve = next(analysis.try_changes(Watcher(), images, np.ones(6, np.int64)))
    assert curve.levels == tuple(expected)
    assert [np.unique(np.abs(moved)).tolist() for moved in looked_at[: len(expected)]] == [
        [by] for by in expected
    ]


def test_changes_do_what_they_are_called():
    image = np.zeros((1, 28, 28), np.uint8)
    image[0, 10:18, 12:16] = 200
    down, right = ndimage.center_of_mass(change(image, "shift", 3)[0])
    assert (abs(down - 13.5), abs(right - 13.5)) == (3, 3)
    np.testing.assert_array_equal(change(image, "flip", 1), image[:, :, ::-1])
    np.testing.assert_array_equal(change(image, "inverted", 1), 255 - image)
    turned = np.abs(
        change(image, "rotation", 45)[0].astype(int)
        - ndimage.rotate(image[0], 45, reshape=False, order=1)
    )
    other = np.abs(
        change(image, "rotation", 45)[0].astype(int)
        - ndimage.rotate(image[0], -45, reshape=False, order=1)
    )
    assert min(turned.mean(), other.mean()) < 1
    noise = change(np.full((1, 99, 99), 128, np.uint8), "noise", 20).astype(int) - 128
    assert noise.std() == pytest.approx(20, abs=1)
    half = change(image, "contrast", 0.4).astype(float)
    assert half.std() == pytest.approx(0.4 * image.std(), rel=0.01)
    blurred = change(image, "blur", 2)[0].astype(float)
    np.testing.assert_allclose(
        blurred, ndimage.gaussian_filter(image[0].astype(float), 2), atol=0.51
    )


class LargeImages:
    """A test part of large images in colour, without their gigabytes."""

    size, channels = (224, 224), 3

    def __init__(self, labels, k):
        self.labels, self.classes = labels, tuple(map(str, range(k)))

    def __len__(self):
        return len(self.labels)


ROOM = 651


@pytest.mark.parametrize("k", [10, 200])
@pytest.mark.parametrize("wrong", [0.0, 0.002, 0.1, 0.5, 0.97, 1.0])
def test_a_page_holds_right_answers_and_mistakes_of_every_class(k, wrong):
    rng = np.random.default_rng(0)
    labels = np.arange(10_000) % k
    said = np.where(rng.random(10_000) < wrong, (labels + 1) % k, labels)
    probs = (rng.random((10_000, 1)) + 0.5) * np.eye(k)[said] + 1 / k
    probs /= probs.sum(axis=1, keepdims=True)
    right, of_truth = said == labels, probs[np.arange(10_000), labels]
    shown = analysis.choose_shown(LargeImages(labels, k), of_truth, right, np.array([2999]), ROOM)
    assert len(shown) == ROOM
    assert 2999 in shown
    assert (np.diff(shown) > 0).all()
    for kind in (right, ~right):
        assert kind[shown].sum() >= min(kind.sum(), ROOM // 2)
    for one in range(k):
        known = np.flatnonzero(right & (labels == one))
        if len(known):
            assert known[of_truth[known].argmax()] in shown
        if k == 10:
            members = np.flatnonzero(labels == one)
            on_page = np.intersect1d(members, shown)
            for here, everywhere in zip(
                analysis.extremes(on_page, of_truth, right),
                analysis.extremes(members, of_truth, right),
                strict=True,
            ):
                np.testing.assert_array_equal(of_truth[here], of_truth[everywhere])


def test_an_analysis_is_the_same_after_it_was_kept(test_part):
    probs = BrightRows().predict(test_part.images).probs
    found = analyse(test_part, probs)
    again = Analysis.from_arrays(found.to_arrays())
    for name, value in vars(found).items():
        np.testing.assert_array_equal(getattr(again, name), value)
    assert not found.by_features
    assert found.curves == ()
    assert found.nearest.shape == (len(found.hardest), 0)
