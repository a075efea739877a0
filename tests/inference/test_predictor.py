"""A Predictor: its steps, batches, and its way into another process."""

from __future__ import annotations

import multiprocessing
import pickle
import subprocess
import sys
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

import lookbook
from conftest import made_images
from image_files import COLOUR, GOLDEN
from kinds import SHAPES, squares
from lookbook.errors import InputError, LookbookWarning
from lookbook.estimator import LookbookClassifier
from lookbook.images import pool
from lookbook.images.photographs import CUTOUT_BYTES
from lookbook.images.specification import Preprocessing
from lookbook.inference import model
from lookbook.inference.model import Model
from lookbook.inference.prediction import COLUMNS, row_of
from lookbook.inference.predictor import (
    BATCH,
    BYTES_AHEAD,
    MOST_AHEAD,
    Prediction,
    Predictor,
    Sample,
)
from made_photographs import COLOURS, made


@pytest.fixture
def predictor(run):
    return Predictor(run)


@pytest.fixture
def files(tmp_path):
    """More files than a batch, of other sizes than the model's, some of them inverted."""
    paths = []
    for i, image in enumerate(made_images(BATCH + 9, seed=7)[0]):
        paths.append(tmp_path / f"{i:03}.png")
        shown = Image.fromarray(255 - image if i % 3 else image)
        shown.resize((20 + i, 31)).save(paths[-1])
    return paths


def assert_same(found, expected, atol=0):
    assert [one.source for one in found] == [one.source for one in expected]
    for one, other in zip(found, expected, strict=True):
        np.testing.assert_array_equal(one.image, other.image)
        np.testing.assert_allclose(one.probs, other.probs, atol=atol, rtol=0)
        assert (one.inverted, one.verdict, one.truth) == (
            other.inverted, other.verdict, other.truth,
        )  # fmt: skip


def calls_of(monkeypatch):
    """Note how many images go through a model at once."""
    noted, run_model = [], Model.predict

    def predict(self, inputs):
        noted.append(len(inputs))
        return run_model(self, inputs)

    monkeypatch.setattr(Model, "predict", predict)
    return noted


def test_files_go_through_the_model_in_batches_and_are_answered_as_one_by_one(
    predictor, files, monkeypatch
):
    one_by_one = [answer for file in files for answer in predictor.predict(file)]
    noted = calls_of(monkeypatch)
    found = predictor.predict(files)
    assert noted == [BATCH, 9]
    assert {one.inverted for one in found} == {True, False}
    assert_same(found, one_by_one, atol=1e-6)


def test_a_large_image_goes_through_with_few_others(run, monkeypatch):
    monkeypatch.setattr("lookbook.inference.model.LEVELS", 12 * 10 * 5)
    predictor = Predictor(run)
    noted = calls_of(monkeypatch)
    assert len(predictor.predict(made_images(12, seed=7)[0])) == 12
    assert noted == [5, 5, 2]


def test_an_answer_waits_for_its_own_batch_alone(predictor):
    asked = []

    def images():
        for image in made_images(3 * BATCH, seed=7)[0]:
            asked.append(image)
            yield image

    next(predictor.predict_each(images()))
    assert len(asked) == BATCH


def test_errors_keep_their_places_in_every_batch(predictor, files, tmp_path):
    missing = tmp_path / "none.png"
    inputs = [missing, *files[: BATCH - 1], missing, missing, files[0], missing]
    found = list(predictor.predict_each(inputs))
    wrong = [i for i, each in enumerate(found) if isinstance(each, InputError)]
    assert wrong == [0, BATCH, BATCH + 1, BATCH + 3]
    assert_same([found[1]], [found[BATCH + 2]], atol=1e-6)
    with pytest.raises(InputError, match=r"none\.png; check the name"):
        predictor.predict(inputs)
    assert [*map(str, predictor.predict_each([missing] * 2))] == [str(found[0])] * 2


def test_the_steps_one_by_one_give_what_predict_does(predictor, files):
    (expected,) = predictor.predict(files[1])
    decoded = predictor.decode(files[1])
    assert (decoded.mode, decoded.size) == ("L", (21, 31))
    ((image, inverted, cutout),) = predictor.preprocess(decoded)
    assert (image.shape, image.dtype, inverted, cutout) == ((12, 10), np.uint8, True, None)
    sample = Sample(str(files[1]), image, inverted=True)
    ((together,), said) = list(predictor.batch([sample])), predictor.outputs(image[None])
    assert together == [sample]
    np.testing.assert_array_equal(said.probs[0], expected.probs)
    assert_same(predictor.answer(together), [expected])


def test_an_array_is_decoded_as_it_is_and_refused_where_the_model_does_not_take_it(predictor):
    images = made_images(3, seed=7)[0]
    for given in (images, images[..., None]):
        np.testing.assert_array_equal(predictor.decode(given), images)
    for given in (images[0], images[0][..., None]):
        np.testing.assert_array_equal(predictor.decode(given), images[:1])
    with pytest.raises(InputError, match=r"^the model takes uint8 arrays of shape \(N, 12, 10\)"):
        predictor.decode(images[:, :5])


@pytest.mark.parametrize("shape", [(400, 300, 3), (400, 300), (12, 10, 3)])
@pytest.mark.parametrize("kind", ["uint8", "float64"])
def test_what_is_advised_of_an_array_of_another_size_works(predictor, shape, kind):
    image = np.zeros(shape, kind)
    with pytest.raises(InputError) as caught:
        predictor.predict(image)
    advice = str(caught.value).partition(f", got {kind} of shape {shape}; ")[2]
    assert advice == (
        "images of any size are taken as files, or as PIL images made of uint8: "
        "lookbook.predict(model, PIL.Image.fromarray(image))"
    )
    (found,) = lookbook.predict(predictor.model, Image.fromarray(image.astype("uint8")))
    assert found.image.shape == (12, 10)


def test_a_source_is_a_run_or_a_model_or_the_name_of_one(run, files):
    expected = Predictor(run).predict(files[:2])
    for source in (Model.open(run.model), run.folder, run.model, str(run.model)):
        assert_same(lookbook.Predictor(source).predict(files[:2]), expected)


# ---- into another process ----


def _predict(predictor, paths):
    import sys

    assert "torch" not in sys.modules
    return predictor.predict(paths)


@pytest.mark.parametrize("used", [False, True])
def test_another_process_gives_the_same_answers(run, files, used):
    predictor = Predictor(run)
    expected = Predictor(run).predict(files)
    if used:
        predictor.predict(files[0])  # its session is open, and stays here
    spawn = multiprocessing.get_context("spawn")
    with ProcessPoolExecutor(1, mp_context=spawn) as pool:
        found = pool.submit(_predict, predictor, files).result(timeout=100)
    assert all(isinstance(one, Prediction) for one in found)
    assert_same(found, expected)


def test_a_pickled_predictor_holds_the_file_and_what_was_asked_for(run):
    predictor = Predictor(run)
    predictor.outputs(made_images(1, seed=7)[0])
    pickled = pickle.dumps(predictor)
    assert len(pickled) < len(predictor.model.content) + 1000
    again = pickle.loads(pickled)
    assert (again.model, again.thresholds) == (predictor.model, predictor.thresholds)


def test_the_estimator_and_a_predictor_of_its_model_say_the_same():
    images, labels = made_images(120, seed=0)
    classifier = LookbookClassifier(epochs=1, random_state=0).fit(images, labels)
    mixed = images[:20].copy()
    mixed[::2] = 255 - mixed[::2]
    found = Predictor(classifier.model_).predict(mixed)
    np.testing.assert_allclose(
        [one.probs for one in found], classifier.predict_proba(mixed), atol=1e-6
    )
    assert [one.inverted for one in found] == [True, False] * 10


# ---- files of a list, which all cores read ----


@pytest.fixture
def workers(monkeypatch):
    """A worker at once, however few files there are; how often it was asked."""
    asked = []

    class Noted(pool.Worker):
        def read(self, request):
            asked.append(request)
            return super().read(request)

    monkeypatch.setattr(pool, "Worker", Noted)
    monkeypatch.setattr(pool, "usable_cores", lambda: 2)
    monkeypatch.setattr(pool, "WORTH_A_WORKER", 1e-12)
    monkeypatch.setattr(pool, "SEEN", 0)
    return asked


@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("kind", ["png", "jpg", "webp"])
def test_every_core_reads_what_one_reads(shape, kind, workers, tmp_path):
    images, labels = squares(shape, 200)
    classifier = LookbookClassifier(epochs=1, random_state=0).fit(images, labels)
    predictor = Predictor(classifier.model_)
    paths = [tmp_path / f"고양이 {number:03}.{kind}" for number in range(90)]
    for number, (path, image) in enumerate(zip(paths, images, strict=False)):
        shown = Image.fromarray(255 - image if number % 2 else image)
        shown.resize((40, 31) if number % 3 else shape[1::-1]).save(path)
    paths[50].write_bytes(b"no image")
    one_by_one = list(predictor.predict_each(iter(paths)))
    assert not workers
    many = list(predictor.predict_each(paths))
    assert workers
    assert isinstance(many[50], InputError)
    for found in (one_by_one, many):
        error = found.pop(50)
        assert (type(error), error.source) == (InputError, str(paths[50]))
        assert str(error).startswith(f"{paths[50]} is not an image that can be read")
    assert_same(many, one_by_one, atol=1e-6)


def test_inputs_of_all_kinds_are_answered_in_their_order(predictor, files, tmp_path, workers):
    image = made_images(1, seed=7)[0][0]
    (tmp_path / "empty").mkdir()
    inputs = [*files, image, Image.open(files[0]), "https://a/b.png", tmp_path / "empty", *files]
    found = list(predictor.predict_each(inputs))
    n = len(files)
    assert_same(found[:n], found[n + 4 :], atol=1e-6)
    assert workers
    assert (found[n].source, found[n + 1].source) == (f"input {n}", str(files[0]))
    assert str(found[n + 2]).startswith("https://a/b.png is an address")
    assert str(found[n + 3]).startswith(f"{tmp_path / 'empty'} holds no image files")
    assert [each.source for each in found[n + 2 : n + 4]] == [
        str(each) for each in inputs[-n - 2 : -n]
    ]


def test_of_many_files_a_session_that_waits_without_spinning_says_the_same(run, files, monkeypatch):
    opened = []
    open_session = model.open_session

    def noted(content, *, spins=True):
        opened.append(spins)
        return open_session(content, spins=spins)

    monkeypatch.setattr(model, "open_session", noted)
    few = Predictor(run).predict(files)
    monkeypatch.setattr("lookbook.inference.predictor.MANY", len(files) - 1)
    predictor = Predictor(run)
    assert_same(predictor.predict(files), few)
    assert opened == [True, True, False]
    assert pickle.loads(pickle.dumps(predictor)).model == Predictor(run).model


def test_photographs_that_wait_for_others_take_little_memory(predictor, files, monkeypatch):
    asked = []

    class Noted(pool.Pool):
        def __init__(self, n, request, ahead):
            asked.append(ahead)
            super().__init__(n, request, ahead)

    monkeypatch.setattr("lookbook.inference.predictor.Pool", Noted)
    predictor.predict(files)
    steps = Preprocessing.of((12, 10), "light on dark", photographs=True)
    monkeypatch.setattr(predictor, "_steps", lambda: steps)
    predictor.predict(files)
    assert asked == [MOST_AHEAD, BYTES_AHEAD // (120 + CUTOUT_BYTES)]
    assert asked[1] > 2 * BATCH


def test_notes_on_dark_images_are_told_whoever_reads_them(predictor, files, workers):
    Image.fromarray(np.full((20, 30), 700, np.uint16)).save(files[60])
    with pytest.warns(LookbookWarning, match=f"{files[60].name} is nearly black"):
        assert len(predictor.predict(files)) == len(files)
    assert workers


def test_a_model_of_features_refuses_each_file(files):
    table = np.random.default_rng(0).normal(size=(60, 5))
    model = LookbookClassifier(epochs=1, random_state=0).fit(table, np.arange(60) % 2).model_
    found = list(Predictor(model).predict_each(files[:3]))
    assert {str(each)[:35] for each in found} == {"this model takes rows of 5 features"}


@pytest.mark.slow
@pytest.mark.skipif(sys.platform != "linux", reason="asks Linux for the peak of memory")
@pytest.mark.parametrize(
    ("size", "options"),
    [
        ((8000, 11000), {"format": "JPEG"}),
        ((8000, 11000), {"format": "JPEG", "progressive": True}),
        ((7800, 10000), {"format": "JPEG", "progressive": True, "subsampling": 0}),
        ((5000, 5990), {"format": "WEBP", "quality": 30, "method": 0}),
    ],
)
def test_the_largest_photographs_take_less_than_600_mb(cutting_run, tmp_path, size, options):
    image = Image.fromarray(made(*COLOURS["dark on light"])[0])
    image.resize(size, Image.Resampling.NEAREST).save(tmp_path / "large", **options)
    code = (
        "import sys\nfrom lookbook import Predictor\n"
        "(found,) = Predictor(sys.argv[1]).predict(sys.argv[2])\n"
        "peak = open('/proc/self/status').read().partition('VmHWM:')[2].split()[0]\n"
        "print(found.seen, peak, sep=',')"
    )
    command = [sys.executable, "-c", code, cutting_run.folder, tmp_path / "large"]
    ended = subprocess.run(command, check=True, capture_output=True, text=True)
    seen, peak = ended.stdout.strip().split(",")
    assert seen == "cut out"
    assert int(peak) * 2**10 < 600e6


# ---- batches of columns ----


def rows_of(predictor, files):
    """Return the rows of a table of answers, as the loop gives them."""
    return [row_of(each) for each in predictor.predict_each([str(file) for file in files])]


def rows(table):
    return [tuple(row.values()) for row in table.to_pylist()]


@pytest.fixture
def golden(tmp_path):
    """A file of every kind that is read, and some that cannot be."""
    paths = []
    for kind, (name, save, _, _) in GOLDEN.items():
        paths.append(tmp_path / f"{kind}{Path(name).suffix}")
        save(paths[-1])
    for name, content in (("none.png", b""), ("text.jpg", b"text"), ("cut.png", None)):
        paths.append(tmp_path / name)
        paths[-1].write_bytes(paths[0].read_bytes()[:-30] if content is None else content)
    return paths


@pytest.mark.parametrize("which", ["run", "cutting_run"])
def test_names_or_bytes_give_the_rows_of_the_loop_for_every_file(which, golden, request):
    predictor = Predictor(request.getfixturevalue(which))
    expected = rows_of(predictor, golden)
    assert sum(row[-2] is not None for row in expected) == 3
    names = np.array([str(file) for file in golden], object)
    assert rows(predictor({"path": names})) == expected
    content = np.array([file.read_bytes() for file in golden], object)
    assert rows(predictor({"path": names, "bytes": content})) == expected


@pytest.mark.parametrize("which", ["run", "cutting_run"])
@pytest.mark.parametrize("suffix", ["png", "jpg"])
@pytest.mark.parametrize("mode", ["L", "RGB"])
def test_pixels_of_plain_files_give_the_rows_of_the_loop(which, suffix, mode, tmp_path, request):
    predictor = Predictor(request.getfixturevalue(which))
    sides = [(96, 72), (28, 28), (12, 10), (31, 64), (900, 700)]
    files = [tmp_path / f"{i}.{suffix}" for i in range(len(sides))]
    for file, size, colours in zip(files, sides, [*COLOURS.values()] * 2, strict=False):
        Image.fromarray(made(*colours, size)[0]).convert(mode).save(file)
    pixels = np.empty(len(files), object)
    pixels[:] = [np.asarray(Image.open(file)) for file in files]
    batch = {"path": [str(file) for file in files], "image": pixels}
    assert rows(predictor(batch)) == rows_of(predictor, files)


def test_pixels_alone_tell_less_than_some_files(predictor, golden, tmp_path):
    """The page on scale names these kinds, and no others."""
    files = [*golden[: len(GOLDEN)], tmp_path / "CMYK in colour.jpg"]
    Image.fromarray(COLOUR).convert("CMYK").save(files[-1])
    differing = set()
    for file in files:
        with Image.open(file) as image:
            batch = {"path": [str(file)], "image": np.asarray(image)[None]}
        if rows(predictor(batch)) != rows_of(predictor, [file]):
            differing.add(file.stem)
    assert differing == {
        "16-bit grey with a transparent level", "CMYK in colour", "animation",
        "colour with a transparent colour", "grey with a transparent level", "palette",
        "palette with a transparent colour", "palette with shades of transparency",
        "rotated by EXIF",
    }  # fmt: skip


def test_a_table_has_the_same_types_whatever_is_in_it(predictor, files):
    whole = predictor({"path": files[:3]})
    assert [str(field.type) for field in whole.schema] == [
        "string", "string", "double", "string", "double", "bool", "bool", "string", "string",
    ]  # fmt: skip
    assert whole.column_names == list(COLUMNS)
    assert whole["error"].null_count == 3
    assert predictor({"path": ["none.png"]}).schema == whole.schema
    assert predictor({"path": []}).schema == whole.schema


def test_columns_of_other_names_and_pixels_of_other_types_are_refused(predictor):
    with pytest.raises(InputError, match="lacks the column path, it has image; expected"):
        predictor({"image": np.zeros((2, 8, 8), np.uint8)})
    odd = [np.zeros((8, 8)), np.zeros((8, 8), np.int64), np.zeros((2, 8, 8, 3), np.uint8)]
    odd += [np.zeros((0, 8), np.uint8), np.zeros((8, 8, 1), np.uint8), np.zeros((1, 9, 8), "u1")]
    pixels = np.empty(len(odd), object)
    pixels[:] = odd
    a, b, c, d, *others = predictor({"path": list("abcdef"), "image": pixels})["error"].to_pylist()
    assert a.startswith("a cannot be read (floating-point pixels have no fixed range)")
    expected = "expected uint8 of shape (H, W), (H, W, 3) or (H, W, 4)"
    assert b == f"b has int64 pixels of shape (8, 8); {expected}"
    assert c == f"c has uint8 pixels of shape (2, 8, 8, 3); {expected}"
    assert d == f"d has uint8 pixels of shape (0, 8); {expected}"
    assert others == [None, None]


def test_a_batch_is_computed_on_one_thread_and_nothing_loads_torch(run, files):
    code = (
        "import sys, pickle\n"
        "predictor = pickle.loads(sys.stdin.buffer.read())\n"
        "print(len(predictor({'path': sys.argv[1:]})), 'torch' in sys.modules)\n"
        "print(predictor._alone.model._session.get_session_options().intra_op_num_threads)"
    )
    pickled = pickle.dumps(Predictor(run))
    ended = subprocess.run(
        [sys.executable, "-c", code, *files[:3]], input=pickled, capture_output=True, check=True
    )
    assert ended.stdout.split() == [b"3", b"False", b"1"]
    used = Predictor(run)
    used({"path": files[:1]})
    assert rows(pickle.loads(pickle.dumps(used))({"path": files})) == rows_of(used, files)
