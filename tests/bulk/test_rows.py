"""Rows of a part: bit by bit those that `predict` gives of each image, whatever they come from."""

from __future__ import annotations

import pickle

import numpy as np
import pytest
from PIL import Image

from conftest import made_images
from kinds import SHAPES, squares
from lookbook.bulk import parts
from lookbook.bulk.parts import Source
from lookbook.bulk.rows import answer_part, to_arrow
from lookbook.errors import InputError, LookbookWarning
from lookbook.estimator import LookbookClassifier
from lookbook.inference.prediction import COLUMNS, row_of
from lookbook.inference.predictor import Predictor
from made_photographs import COLOURS, made


def rows_of(predictor, inputs):
    """Answer inputs part by part, each as another process gets it."""
    source = Source.of(inputs, predictor)
    rows = []
    for part in source.parts(predictor.batch_size):
        told = []
        cells = answer_part(predictor, pickle.loads(pickle.dumps(part)), told.append)
        assert list(cells) == list(COLUMNS)
        rows += list(zip(*map(list, cells.values()), strict=True))
        assert told[-1] == len(part)
        assert [row[0] for row in rows[-len(part) :]] == [part.name(i) for i in range(len(part))]
    return rows


@pytest.fixture
def small_parts(monkeypatch):
    monkeypatch.setattr(parts, "ARRAY_IMAGES", 130)
    monkeypatch.setattr(parts, "FILES", 70)


def fitted(shape):
    images, labels = squares(shape, 400)
    return Predictor(LookbookClassifier(epochs=1, random_state=0).fit(images, labels).model_)


@pytest.mark.usefixtures("small_parts")
@pytest.mark.parametrize("shape", SHAPES, ids=str)
def test_images_of_an_array_get_the_rows_of_each_alone(shape, tmp_path):
    predictor = fitted(shape).on_one_core()
    images = squares(shape, 300, seed=1)[0]
    images[::3] = 255 - images[::3]
    np.savez(tmp_path / "고양이.npz", images=images[..., None] if len(shape) == 2 else images)
    expected = [row_of(answer) for answer in predictor.predict(images)]
    found = rows_of(predictor, [tmp_path / "고양이.npz"])
    assert [row[1:] for row in found] == [row[1:] for row in expected]
    assert [row[0] for row in found] == [f"{tmp_path}/고양이.npz:{i}" for i in range(300)]
    kinds = {str: str, float: float, bool: np.bool_}
    assert all(isinstance(cell, kinds[kind]) or cell is None
               for cell, kind in zip(found[0], COLUMNS.values(), strict=True))  # fmt: skip


@pytest.mark.usefixtures("small_parts")
@pytest.mark.parametrize("shape", SHAPES, ids=str)
def test_files_get_the_rows_of_predict(shape, tmp_path):
    predictor = fitted(shape)
    paths = [tmp_path / f"옷 {number:03}.png" for number in range(150)]
    for number, (path, image) in enumerate(zip(paths, squares(shape, 150, seed=2)[0], strict=True)):
        shown = Image.fromarray(255 - image if number % 2 else image)
        shown.resize((40, 31) if number % 3 else shape[1::-1]).save(path)
    paths[66].write_bytes(b"no image")
    expected = [row_of(answer) for answer in predictor.predict_each([*paths, "nowhere.png"])]
    assert rows_of(predictor.on_one_core(), [tmp_path, "nowhere.png"]) == expected
    assert [bool(row[7]) for row in expected] == 66 * [False] + [True] + 83 * [False] + [True]


def test_photographs_get_the_rows_of_predict(cutting_run, tmp_path):
    for number, (name, colours) in enumerate(COLOURS.items()):
        Image.fromarray(made(*colours, seed=number)[0]).save(tmp_path / f"{name}.png")
    Image.new("RGB", (60, 90), "navy").save(tmp_path / "nothing.png")
    predictor = Predictor(cutting_run)
    expected = [row_of(answer) for answer in predictor.predict(tmp_path)]
    assert {row[8] for row in expected} == {"cut out", "nothing stands out"}
    assert rows_of(predictor.on_one_core(), [tmp_path]) == expected


def test_thresholds_are_compared_as_precisely_as_they_are_kept(hard_run, tmp_path):
    """In float32, a probability may be as great as a threshold that it does not reach."""
    images = made_images(500, seed=7)[0]
    images = np.clip(images + np.random.default_rng(0).integers(0, 130, images.shape), 0, 255)
    images = images.astype(np.uint8)
    np.save(tmp_path / "images.npy", images)
    for coverage in (None, 0.6):
        predictor = Predictor(hard_run, coverage=coverage).on_one_core()
        answers = predictor.predict(images)
        for sure in (predictor.thresholds.sure, np.nextafter(float(answers[3].confidence), 1)):
            object.__setattr__(predictor.thresholds, "sure", float(sure))
            expected = [row_of(answer)[1:] for answer in predictor.predict(images)]
            assert [row[1:] for row in rows_of(predictor, [tmp_path / "images.npy"])] == expected
            assert expected[3][4] or sure != np.nextafter(float(answers[3].confidence), 1)


def test_notes_on_dark_images_are_told(run, tmp_path):
    Image.fromarray(np.full((20, 30), 700, np.uint16)).save(tmp_path / "dark.png")
    with pytest.warns(LookbookWarning, match=r"dark\.png is nearly black"):
        rows_of(Predictor(run), [tmp_path])


@pytest.mark.usefixtures("small_parts")
def test_inputs_of_all_kinds_keep_their_order(run, tmp_path):
    images = made_images(200, seed=7)[0]
    np.savez_compressed(tmp_path / "a.npz", x=images)
    (tmp_path / "few").mkdir()
    for number in range(3):
        Image.fromarray(images[number]).save(tmp_path / "few" / f"{number}.png")
    alone = tmp_path / "few" / "2.png"
    found = rows_of(Predictor(run), [alone, tmp_path / "few", tmp_path / "a.npz", alone])
    names = [row[0] for row in found]
    files = [str(tmp_path / "few" / f"{number}.png") for number in range(3)]
    arrays = [f"{tmp_path / 'a.npz'}:{i}" for i in range(200)]
    assert names == [str(alone), *files, *arrays, str(alone)]
    assert [row[1:3] for row in found[1:4]] == [row[1:3] for row in found[4:7]]


def test_a_test_image_is_refused(run):
    with pytest.raises(InputError, match=r"^test:3 is a test image, which several processes"):
        Source.of(["test:3"], Predictor(run))


def test_rows_become_a_table_of_arrow(run, tmp_path):
    pytest.importorskip("pyarrow")
    np.save(tmp_path / "images.npy", made_images(5, seed=7)[0])
    (tmp_path / "broken.png").write_bytes(b"no image")
    predictor = Predictor(run)
    inputs = [tmp_path / "images.npy", tmp_path / "broken.png"]
    tables = [
        to_arrow(answer_part(predictor, part))
        for part in Source.of(inputs, predictor).parts(predictor.batch_size)
    ]
    assert tables[0].schema == tables[1].schema
    assert [field.name for field in tables[0].schema] == list(COLUMNS)
    assert [*map(tuple, (row.values() for row in tables[0].to_pylist()))] == rows_of(
        predictor, inputs[:1]
    )
    assert tables[1].to_pylist()[0]["probability"] is None
