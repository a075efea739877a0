"""Copies: exact and near ones are found, and different things that look alike are not."""

from __future__ import annotations

import io

import numpy as np
import pytest
from PIL import Image
from scipy.sparse import coo_array
from scipy.sparse.csgraph import connected_components

from lookbook.data import copies
from lookbook.data.copies import find_first, group_copies, join_groups


def scenes(n: int, size=(64, 64), *, seed: int = 0, colour: bool = True) -> np.ndarray:
    """Smooth scenes that differ: a ground, and blobs of a few colours."""
    rng = np.random.default_rng(seed)
    y, x = np.mgrid[0 : 1 : size[0] * 1j, 0 : 1 : size[1] * 1j]
    images = np.empty((n, *size, 3))
    for number in range(n):
        image = np.tile(rng.uniform(40, 200, 3), (*size, 1))
        for _ in range(6):
            cy, cx, r = rng.uniform(0, 1), rng.uniform(0, 1), rng.uniform(0.08, 0.3)
            blob = 1 / (1 + np.exp((np.hypot(y - cy, x - cx) - r) * 40))
            image = image + blob[..., None] * (rng.uniform(20, 220, 3) - image)
        images[number] = image + rng.normal(0, 3, image.shape)
    images = images.round().clip(0, 255).astype(np.uint8)
    return images if colour else images[..., 1].copy()


def jpeg(image: Image.Image) -> Image.Image:
    file = io.BytesIO()
    image.save(file, "JPEG", quality=60)
    return Image.open(io.BytesIO(file.getvalue()))


def resized(image: Image.Image) -> Image.Image:
    return image.resize((image.width // 2, image.height // 2)).resize(image.size)


def cropped(image: Image.Image) -> Image.Image:
    """Cut off 4 % of width and height."""
    w, h = 0.02 * image.width, 0.02 * image.height
    return image.resize(
        image.size, Image.Resampling.BICUBIC, (w, h, image.width - w, image.height - h)
    )


CHANGES = {
    "JPEG of quality 60": jpeg,
    "half the size": resized,
    "cropped by 4 %": cropped,
    "lighter": lambda image: Image.eval(image, lambda level: min(255, round(1.1 * level))),
    "darker": lambda image: Image.eval(image, lambda level: round(0.9 * level)),
}


@pytest.mark.parametrize("colour", [True, False])
@pytest.mark.parametrize("change", CHANGES)
def test_copies_that_were_changed_a_little_are_found(change, colour):
    images = scenes(200, colour=colour)
    changed = [np.array(CHANGES[change](Image.fromarray(image))) for image in images[:60]]
    groups = group_copies(np.concatenate([images, changed]))
    assert groups[:200].tolist() == list(range(200))  # no two scenes
    assert (groups[200:] == np.arange(60)).mean() >= 0.95
    assert set(groups[200:].tolist()) <= {*range(60), *range(200, 260)}  # no other scene's copy


def test_different_things_that_look_alike_are_not_copies():
    """Shirts of one cut: each is as near to its neighbours as these are to each other."""
    rng = np.random.default_rng(0)
    shirt = scenes(1, colour=False)[0].astype(float)
    images = (shirt + rng.normal(0, 12, (300, 8, 8)).repeat(8, 1).repeat(8, 2)).clip(0, 255)
    assert group_copies(images.astype(np.uint8)).tolist() == list(range(300))


def test_even_images_of_other_shades_are_no_copies():
    images = np.arange(0, 250, 5, dtype=np.uint8)[:, None, None] * np.ones((12, 12), np.uint8)
    assert group_copies(images).tolist() == list(range(50))


def test_the_same_shape_in_another_shade_is_no_copy():
    images = scenes(60, colour=False)
    darker = (images[:20] * 0.6).astype(np.uint8)
    assert (group_copies(np.concatenate([images, darker])) == np.arange(80)).all()


def test_an_image_that_was_saved_twelve_times_is_one_group():
    images = scenes(100)
    often = [images[7]]
    for quality in range(40, 95, 5):
        file = io.BytesIO()
        Image.fromarray(images[7]).save(file, "JPEG", quality=quality)
        often.append(np.array(Image.open(io.BytesIO(file.getvalue()))))
    groups = group_copies(np.concatenate([images, often]))
    assert groups[100:].tolist() == [7] * 12
    assert groups[:100].tolist() == list(range(100))


@pytest.mark.parametrize("n", [1, 2, 3, 4, 12])
def test_few_images_and_exact_copies_of_all(n):
    images = scenes(n, (8, 9), colour=False)
    assert group_copies(images).tolist() == list(range(n))
    assert group_copies(np.concatenate([images, images])).tolist() == [*range(n), *range(n)]


def test_among_very_many_images_exact_copies_alone_are_looked_for(monkeypatch):
    images = scenes(40)
    images = np.concatenate([images, images[:1], [np.array(jpeg(Image.fromarray(images[1])))]])
    assert group_copies(images)[40:].tolist() == [0, 1]
    monkeypatch.setattr(copies, "MOST", 30)
    assert group_copies(images)[40:].tolist() == [0, 41]


@pytest.mark.parametrize("seed", range(5))
def test_groups_are_joined_as_components_of_a_graph(seed):
    rng = np.random.default_rng(seed)
    groups, pairs = find_first(rng.integers(0, 40, (60, 1, 1))), rng.integers(0, 60, (15, 2))
    edges = np.concatenate([np.stack([np.arange(60), groups], 1), pairs])
    graph = coo_array((np.ones(len(edges)), tuple(edges.T)), shape=(60, 60))
    _, expected = connected_components(graph, directed=False)
    first = {label: int(np.flatnonzero(expected == label)[0]) for label in set(expected.tolist())}
    assert join_groups(groups, pairs).tolist() == [first[label] for label in expected.tolist()]


@pytest.mark.slow
def test_of_fashion_mnist_next_to_none_are_called_copies_and_none_of_two_classes(fashion):
    groups = group_copies(fashion.images)
    sizes = np.bincount(groups)
    assert sizes[sizes > 1].sum() < 400
    assert sizes.max() <= 5
    assert (fashion.labels[groups] == fashion.labels).all()
