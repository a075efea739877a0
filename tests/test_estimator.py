"""The estimator: scikit-learn's own checks, images in every form, no torch to predict."""

from __future__ import annotations

import pickle
import subprocess
import sys

import numpy as np
import pandas as pd
import pytest
from PIL import Image
from sklearn.base import clone
from sklearn.metrics import balanced_accuracy_score
from sklearn.model_selection import GridSearchCV, cross_val_score
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import FunctionTransformer, StandardScaler
from sklearn.utils.class_weight import compute_sample_weight
from sklearn.utils.estimator_checks import check_estimator

import kinds
from conftest import made_images
from kinds import SHAPES
from lookbook import LookbookClassifier, Predictor
from lookbook.data.sources import load
from lookbook.errors import InputError, LookbookWarning


def squares(n=200, seed=0):
    images, labels = made_images(n, seed=seed)
    return images[:, :, :10].reshape(n, -1)[:, :100].reshape(n, 10, 10).copy(), labels


#: checks of scikit-learn that are left out, each with its reason; at most eight
LEFT_OUT = {
    "check_array_api_input": "scikit-learn runs it only where SCIPY_ARRAY_API is set",
    "check_classifier_data_not_an_array": "scikit-learn runs it only where pandas is installed",
}


#: checks that cannot hold, each with its reason
NOT_HELD = {
    "check_sample_weight_equivalence_on_dense_data": (
        "rows that are repeated, in another order, are other batches: as of scikit-learn's own "
        "networks, the same is learnt, and not the same weights"
    ),
}


@pytest.mark.slow
def test_scikit_learns_own_checks():
    results = check_estimator(
        LookbookClassifier(random_state=0),
        on_skip=None,
        on_fail=None,
        expected_failed_checks=NOT_HELD,
    )
    failed = {r["check_name"]: r["exception"] for r in results if r["status"] == "failed"}
    assert failed == {}
    skipped = {r["check_name"] for r in results if r["status"] == "skipped"}
    assert skipped <= set(LEFT_OUT)
    assert {r["check_name"] for r in results if r["status"] == "xfail"} == set(NOT_HELD)
    assert sum(r["status"] == "passed" for r in results) == 62 - len(skipped)
    tags = LookbookClassifier().__sklearn_tags__()
    assert tags.input_tags.two_d_array
    assert not tags.no_validation


@pytest.mark.parametrize("form", ["uint8", "flat uint8", "floats", "flat floats", "channel"])
def test_every_form_of_the_same_images_gives_the_same_model(form):
    images, labels = squares()
    forms = {
        "uint8": images,
        "flat uint8": images.reshape(len(images), -1),
        "floats": images / 255,
        "flat floats": images.reshape(len(images), -1) / 255,
        "channel": images[..., None],
    }
    expected = LookbookClassifier(epochs=2, random_state=0).fit(images, labels)
    found = LookbookClassifier(epochs=2, random_state=0).fit(forms[form], labels)
    assert found.model_.input_shape == (10, 10)
    np.testing.assert_array_equal(found.predict_proba(forms[form]), expected.predict_proba(images))
    # fitted in one form, it predicts the others
    np.testing.assert_array_equal(
        expected.predict_proba(forms[form]), expected.predict_proba(images)
    )


def test_it_learns_and_keeps_labels_of_any_kind():
    images, labels = squares(300)
    names = np.array(["top", "middle", "bottom"])[labels]
    classifier = LookbookClassifier(epochs=10, random_state=0).fit(images, names)
    other, others = squares(90, seed=1)
    assert classifier.score(other, np.array(["top", "middle", "bottom"])[others]) > 0.9
    assert list(classifier.classes_) == ["bottom", "middle", "top"]
    assert [entry["epoch"] for entry in classifier.history_] == list(range(1, 11))
    assert classifier.n_features_in_ == 100


def test_colour_images():
    images, labels = squares()
    colour = np.stack([images, images // 2, 255 - images], axis=-1)
    classifier = LookbookClassifier(epochs=3, random_state=0).fit(colour, labels)
    assert classifier.predict_proba(colour[:4]).shape == (4, 3)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (
            lambda x: x.astype(float),
            (
                "images must be uint8 (0 to 255) or floats from 0 to 1, "
                "got float64 from 0 to 247; use X.astype('uint8')"
            ),
        ),
        (
            lambda x: x.astype(int),
            (
                "images must be uint8 (0 to 255) or floats from 0 to 1, got int64 from 0 to 247; "
                "use X.astype('uint8')"
            ),
        ),
        (
            lambda x: x / 123.5 - 1,
            (
                "images must be uint8 (0 to 255) or floats from 0 to 1, got float64 from -1 to "
                "1; use ((X + 1) * 127.5).round().astype('uint8')"
            ),
        ),
        (
            lambda x: x[..., None].repeat(2, axis=-1),
            (
                "images must have the shape (N, H, W), or (N, H, W, 3) in colour, got uint8 of "
                "shape (200, 10, 10, 2); leave out transparency: use X[..., :1]"
            ),
        ),
    ],
)
def test_other_images_are_refused_with_the_way_out(change, message):
    images, labels = squares()
    with pytest.raises(InputError) as caught:
        LookbookClassifier(epochs=1).fit(change(images), labels)
    assert str(caught.value) == message


@pytest.mark.parametrize("flat", [False, True])
def test_bytes_that_were_divided_by_255_are_told(flat):
    images, labels = squares(60)
    images = (images / 255).astype(np.uint8)
    with pytest.warns(LookbookWarning, match="nearly black, no level is above 0 of 255; if they"):
        LookbookClassifier(epochs=1).fit(images.reshape(60, -1) if flat else images, labels)


@pytest.mark.parametrize("kind", [float, int])
def test_flat_grey_levels_that_are_not_bytes_are_told(kind):
    rng = np.random.default_rng(0)
    rows = rng.integers(0, 255, (60, 400)).astype(kind)
    with pytest.warns(LookbookWarning, match="are taken as features; if they are images, use"):
        LookbookClassifier(epochs=1).fit(rows, np.arange(60) % 2)


def test_nested_lists_are_images():
    images, labels = squares(60)
    found = LookbookClassifier(epochs=1, random_state=0).fit(images / 255, labels)
    other = LookbookClassifier(epochs=1, random_state=0).fit((images / 255).tolist(), labels)
    np.testing.assert_array_equal(
        found.predict_proba(images), other.predict_proba((images / 255).tolist())
    )


@pytest.mark.parametrize(
    ("images", "message"),
    [
        (
            np.zeros((6, 5, 5), np.uint8),
            "expected at least one image of 8 to 288 pixels on a side, got an array of shape "
            "(6, 5, 5); channels come last, one image alone is X[None]",
        ),
        (
            np.full((6, 9, 9), np.nan),
            "images must be uint8 (0 to 255) or floats from 0 to 1, got float64; they hold NaN "
            "or infinity: look for them with np.isfinite",
        ),
    ],
)
def test_images_that_are_none_are_refused(images, message):
    with pytest.raises(InputError) as caught:
        LookbookClassifier(epochs=1).fit(images, np.arange(6) % 2)
    assert str(caught.value) == message


def test_images_of_another_size_are_refused():
    images, labels = squares()
    classifier = LookbookClassifier(epochs=1, random_state=0).fit(images, labels)
    with pytest.raises(InputError) as caught:
        classifier.predict(np.zeros((2, 9, 10), np.uint8))
    assert str(caught.value) == (
        "fitted on images of shape (10, 10), got (9, 10); bring them to the same size, grey or "
        "colour"
    )


def test_real_valued_features_are_taken():
    rng = np.random.default_rng(0)
    labels = rng.integers(0, 2, 400)
    rows = rng.normal(size=(400, 6)) * 100 + 1000
    rows[:, 2] += 150 * labels
    classifier = make_pipeline(StandardScaler(), LookbookClassifier(epochs=10, random_state=0))
    assert cross_val_score(classifier, rows, labels, cv=3).mean() > 0.7
    plain = LookbookClassifier(epochs=10, random_state=0).fit(rows, labels)
    assert plain.model_.about["input_dtype"] == "float32"
    assert plain.score(rows, labels) > 0.7


def test_scikit_learns_tools_work():
    images, labels = squares(120)
    search = GridSearchCV(LookbookClassifier(random_state=0), {"epochs": [1, 3]}, cv=2)
    search.fit(images, labels)
    assert search.best_params_["epochs"] in (1, 3)
    flat = FunctionTransformer(lambda x: x.reshape(len(x), -1))
    pipeline = make_pipeline(flat, LookbookClassifier(epochs=2, random_state=0))
    assert pipeline.fit(images, labels).predict(images).shape == (120,)
    assert clone(LookbookClassifier(epochs=7)).get_params() == {
        "class_weight": None,
        "epochs": 7,
        "mirror": None,
        "random_state": None,
        "recipe": "tutorial",
    }


@pytest.mark.slow
def test_the_recipe_is_suited_to_the_images():
    """Few images make many passes, as in `lookbook train`; digits are not to be mirrored."""
    images, labels = squares(120)
    classifier = LookbookClassifier("small", mirror=False, random_state=0).fit(images, labels)
    assert len(classifier.history_) == 30
    recipe = classifier.model_.about["recipe"]
    assert (recipe["epochs"], recipe["mirror"]) == (30, False)
    assert classifier.model_.about["views"] is None
    assert classifier.score(images, labels) > 0.9
    dense = LookbookClassifier("tutorial", mirror=True, epochs=1, random_state=0)
    assert dense.fit(images, labels).model_.about["recipe"]["mirror"] is False


def test_an_unknown_recipe_is_refused():
    images, labels = squares()
    with pytest.raises(InputError, match=r"^no recipe is called 'tutorail'; did you mean"):
        LookbookClassifier(recipe="tutorail").fit(images, labels)


@pytest.mark.slow
def test_a_pickled_classifier_predicts_the_same_without_torch(tmp_path):
    images, labels = squares()
    classifier = LookbookClassifier(epochs=2, random_state=0).fit(images, labels)
    (tmp_path / "classifier.pickle").write_bytes(pickle.dumps(classifier))
    np.save(tmp_path / "images.npy", images)
    code = """
import pickle, sys
import numpy as np
classifier = pickle.load(open("classifier.pickle", "rb"))
np.save("probs.npy", classifier.predict_proba(np.load("images.npy")))
print("torch" in sys.modules)
"""
    ended = subprocess.run(
        [sys.executable, "-c", code], cwd=tmp_path, capture_output=True, text=True, check=True
    )
    assert ended.stdout.strip() == "False"
    np.testing.assert_array_equal(np.load(tmp_path / "probs.npy"), classifier.predict_proba(images))


@pytest.mark.slow
def test_fashion_mnist_flat_and_scaled(fashion):
    test = load("fashion-mnist", "test")
    classifier = LookbookClassifier(epochs=2, random_state=0)
    classifier.fit(fashion.images[:6000].reshape(6000, 784) / 255.0, fashion.labels[:6000])
    assert classifier.model_.input_shape == (28, 28)
    assert classifier.score(test.images, test.labels) > 0.75


# ---- image files ----


@pytest.mark.parametrize("shape", SHAPES)
def test_image_files_are_answered_as_by_a_predictor(shape, tmp_path):
    images, numbers = kinds.squares(shape, 60)
    labels = np.array(["고양이", "a b", "dog", "cow"])[numbers]
    classifier = LookbookClassifier(epochs=1, random_state=0).fit(images, labels)
    paths = [tmp_path / f"고양이 {number:02}.png" for number in range(12)]
    for number, (path, image) in enumerate(zip(paths, images, strict=False)):
        shown = Image.fromarray(255 - image if number % 3 else image)
        shown.resize((31, 40) if number % 2 else shape[1::-1]).save(path)
    expected = Predictor(classifier.model_).predict(paths)
    forms = ([*map(str, paths)], tuple(paths), np.array([*map(str, paths)]), pd.Series(paths))
    for form in forms:
        probs = classifier.predict_proba(form)
        np.testing.assert_array_equal(probs, [one.probs for one in expected])
        assert classifier.predict(form).tolist() == [one.name for one in expected]
    assert classifier.score(paths[:1], labels[:1]) in (0, 1)


def test_a_file_that_is_no_image_is_named():
    images, labels = squares()
    classifier = LookbookClassifier(epochs=1, random_state=0).fit(images, labels)
    with pytest.raises(InputError, match=r"no image file none\.png; check the name"):
        classifier.predict(["none.png"])
    features = np.random.default_rng(0).random((60, 5))
    table = LookbookClassifier(epochs=1, random_state=0).fit(features, labels[:60])
    with pytest.raises(InputError, match=r"^this model takes rows of 5 features and no images"):
        table.predict(["none.png"])
    with pytest.raises(ValueError, match=r"Expected 2D array"):
        classifier.predict([])


# ---- weights, and frames ----


def uneven_squares(counts, seed=0):
    """Squares of which each class has so many, with so much noise that some look alike."""
    images, labels = squares(3 * max(counts), seed)
    rng = np.random.default_rng(seed)
    kept = np.concatenate([np.flatnonzero(labels == k)[:n] for k, n in enumerate(counts)])
    noisy = images[kept] + rng.normal(0, 400, images[kept].shape)
    return noisy.clip(0, 255).astype(np.uint8), labels[kept]


def test_weights_that_are_all_the_same_change_nothing():
    images, labels = squares()
    expected = LookbookClassifier(epochs=2, random_state=0).fit(images, labels)
    for options, weight in (
        ({}, np.full(len(labels), 3.0)),
        ({"class_weight": {0: 2, 1: 2, 2: 2}}, None),
    ):
        classifier = LookbookClassifier(epochs=2, random_state=0, **options)
        found = classifier.fit(images, labels, sample_weight=weight)
        assert found.model_.content == expected.model_.content


def test_an_image_of_weight_0_is_as_if_it_were_not_there():
    images, labels = squares()
    weight = (np.arange(len(labels)) % 3 > 0).astype(float)
    found = LookbookClassifier(epochs=2, random_state=0).fit(images, labels, sample_weight=weight)
    left = weight > 0
    expected = LookbookClassifier(epochs=2, random_state=0).fit(images[left], labels[left])
    assert found.model_.content == expected.model_.content


@pytest.mark.slow
@pytest.mark.parametrize("names", [None, ["often", "seldom", "rare"]])
def test_balanced_classes_are_recognised_more_often_where_they_are_rare(names):
    images, labels = uneven_squares([400, 25, 25])
    others, truth = uneven_squares([100, 100, 100], seed=1)
    if names is not None:
        labels, truth = np.array(names)[labels], np.array(names)[truth]
    scores = []
    for class_weight in (None, "balanced"):
        classifier = LookbookClassifier(epochs=10, random_state=0, class_weight=class_weight)
        said = classifier.fit(images, labels).predict(others)
        scores.append(balanced_accuracy_score(truth, said))
    assert scores[1] > scores[0] + 0.05
    by_image = LookbookClassifier(epochs=10, random_state=0)
    by_image.fit(images, labels, sample_weight=compute_sample_weight("balanced", labels))
    np.testing.assert_array_equal(by_image.predict_proba(others), classifier.predict_proba(others))


@pytest.mark.parametrize("weight", [[-1.0] + [1.0] * 59, [0.0] * 60])
def test_weights_that_say_nothing_are_refused(weight):
    images, labels = squares(60)
    with pytest.raises(ValueError, match=r"(?i)weight"):
        LookbookClassifier(epochs=1).fit(images, labels, sample_weight=weight)


@pytest.mark.parametrize("library", ["pandas", "polars"])
def test_frames_and_series_are_taken_as_arrays(library):
    frames = pytest.importorskip(library)
    rng = np.random.default_rng(0)
    rows, labels = rng.normal(size=(120, 5)), np.array(["고양이", "dog"])[np.arange(120) % 2]
    rows[:, 1] += np.arange(120) % 2
    weight = rng.integers(0, 3, 120)
    columns = [f"feature {k}" for k in range(5)]
    frame = frames.DataFrame({name: rows[:, k] for k, name in enumerate(columns)})
    expected = LookbookClassifier(epochs=2, random_state=0).fit(rows, labels, weight)
    found = LookbookClassifier(epochs=2, random_state=0)
    found.fit(frame, frames.Series(labels), frames.Series(weight))
    assert found.feature_names_in_.tolist() == columns
    assert found.classes_.tolist() == ["dog", "고양이"]
    np.testing.assert_array_equal(found.predict_proba(frame), expected.predict_proba(rows))
    assert found.predict(frame).tolist() == expected.predict(rows).tolist()
    assert found.score(frame, frames.Series(labels)) == expected.score(rows, labels)


@pytest.mark.parametrize("library", ["pandas", "polars"])
def test_frames_of_pixels_are_images_and_series_of_files_too(library, tmp_path):
    frames = pytest.importorskip(library)
    images, labels = squares(60)
    flat = images.reshape(60, -1)
    frame = frames.DataFrame({f"pixel {k}": flat[:, k] for k in range(100)})
    found = LookbookClassifier(epochs=1, random_state=0).fit(frame, frames.Series(labels))
    assert found.model_.input_shape == (10, 10)
    paths = [str(tmp_path / f"{number}.png") for number in range(3)]
    for path, image in zip(paths, images, strict=False):
        Image.fromarray(image).save(path)
    np.testing.assert_array_equal(found.predict(frames.Series(paths)), found.predict(paths))


def test_polars_is_not_loaded_but_by_its_user():
    code = """
import sys
import numpy as np
from lookbook import LookbookClassifier
images = np.random.default_rng(0).integers(0, 255, (60, 8, 8), dtype=np.uint8)
LookbookClassifier(epochs=1).fit(images, np.arange(60) % 2).predict(images)
print("polars" in sys.modules)
"""
    ended = subprocess.run(
        [sys.executable, "-W", "ignore", "-c", code], capture_output=True, text=True, check=True
    )
    assert ended.stdout.strip() == "False"


def test_groups_lie_on_one_side_of_the_validation_part(monkeypatch):
    images, labels = squares(600)
    images[:, 0, 0], images[:, 0, 1] = np.divmod(np.arange(600), 250)
    whose = np.array([f"사람 {i // 12}" for i in range(600)])
    at = {image.tobytes(): name for image, name in zip(images, whose, strict=True)}
    sides = []

    def fit(training, validation, *_args, **_options):
        sides.extend({at[image.tobytes()] for image in part[0]} for part in (training, validation))
        raise InterruptedError

    monkeypatch.setattr("lookbook.training.loop.fit", fit)
    with pytest.raises(InterruptedError):
        LookbookClassifier(random_state=0).fit(images, labels, groups=whose)
    assert not sides[0] & sides[1]
    assert len(sides[0] | sides[1]) == 50
    assert 5 <= len(sides[1]) <= 10
    with pytest.raises(InputError, match=r"`groups` leaves no image of .* for the validation part"):
        LookbookClassifier().fit(images, labels, groups=labels)
    with pytest.raises(ValueError, match="inconsistent numbers of samples"):
        LookbookClassifier().fit(images, labels, groups=whose[:-1])


def striped(n, seed=0):
    """Return colour images of 48×48 whose stripes run across or along."""
    rng = np.random.default_rng(seed)
    waves = np.broadcast_to(128 + 90 * np.sin(np.arange(48) / 3), (48, 48))
    labels = np.arange(n) % 2
    images = np.where(labels[:, None, None] == 1, waves, waves.T)[..., None]
    noisy = images + rng.normal(0, 30, (n, 48, 48, 3))
    return noisy.clip(0, 255).astype(np.uint8), np.array(["across", "along"])[labels]


def test_without_a_recipe_few_colour_images_start_from_pretrained_weights():
    images, labels = striped(60)
    classifier = LookbookClassifier(None, random_state=0).fit(images, labels)
    card = classifier.model_.card
    assert card.recipe.name == "transfer"
    assert card.validation.cross_validated
    assert card.validation.n == card.calibration.n == 60
    others, expected = striped(40, seed=1)
    assert classifier.score(others, expected) > 0.9
    again = LookbookClassifier(None, random_state=0).fit(images, labels)
    np.testing.assert_array_equal(again.predict_proba(others), classifier.predict_proba(others))


@pytest.mark.parametrize(
    ("change", "name"),
    [
        (lambda images: {"X": images[..., 0]}, "standard"),
        (lambda _images: {"sample_weight": np.arange(1, 61)}, "standard"),
        (lambda images: {"X": images[:, ::8, 0, 0] / 3}, "tutorial"),
    ],
)
def test_without_a_recipe_other_inputs_are_learnt_from_scratch(change, name):
    images, labels = striped(60)
    given = {"X": images, "y": labels} | change(images)
    classifier = LookbookClassifier(None, epochs=0.2, random_state=0).fit(**given)
    assert classifier.model_.card.recipe.name == name
