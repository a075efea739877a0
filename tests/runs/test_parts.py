"""Parts of the data for a training: asked for, refused before they are read, and loaded again."""

from __future__ import annotations

import hashlib
from dataclasses import replace

import numpy as np
import pytest
from PIL import Image

from lookbook.data import image_folder
from lookbook.data.sources import DataSource, resolve
from lookbook.errors import InputError
from lookbook.recipes import QUICK, STANDARD, TUTORIAL
from lookbook.runs.config import TrainConfig, TrainRequest
from lookbook.runs.parts import TrainingParts
from lookbook.training import pipeline

#: of how the folder is taken: tests of image folders hold what it says
pytestmark = pytest.mark.filterwarnings("ignore:.* is taken as it is split")


@pytest.fixture
def album(tmp_path):
    """A folder with a training, a validation and a test part; the first image is odd."""
    rng = np.random.default_rng(0)
    for part, n in (("train", 12), ("valid", 3), ("test", 2)):
        for name, level in (("cat", 120), ("dog", 240)):
            (tmp_path / "album" / part / name).mkdir(parents=True)
            for number in range(n):
                image = np.zeros((9, 10), np.uint8)
                image[2:7, 2:8] = rng.integers(100, level, (5, 6))
                if (part, number) == ("train", 0):
                    image = 255 - image
                Image.fromarray(image).save(tmp_path / "album" / part / name / f"{number}.png")
    return tmp_path / "album"


def config_of(request: TrainRequest, parts: TrainingParts) -> TrainConfig:
    return TrainConfig(
        data=parts.data.name,
        recipe=STANDARD,
        seed=request.seed,
        size=request.size,
        final=request.final,
        fit_seconds=None,
        train_sha256=parts.data.train_sha256,
        validation_sha256=parts.data.validation_sha256,
        split=parts.data.split,
        corrections=parts.data.corrections,
        versions={},
        processor="",
        threads=None,
    )


@pytest.mark.parametrize("final", [False, True])
@pytest.mark.parametrize("size", [None, 12])
@pytest.mark.parametrize("name", ["album", "album/train"])
def test_what_is_loaded_again_is_what_a_training_began_with(album, name, size, final):
    request = TrainRequest(resolve(album.parent / name), seed=3, size=size, final=final)
    parts = TrainingParts.load(request)
    again = TrainingParts.reload(config_of(request, parts), album / "run")
    assert again.data == parts.data
    for key in ("whole", "training", "validation", "learnt"):
        one, other = getattr(parts, key), getattr(again, key)
        assert one.sha256() == other.sha256(), key
        assert one.files == other.files, key


def test_a_validation_part_of_its_own_is_learnt_from_by_a_final_run_alone(album):
    plain, final = (
        TrainingParts.load(TrainRequest(resolve(album), final=final)) for final in (False, True)
    )
    assert [len(each) for each in (plain.training, plain.validation, plain.learnt)] == [24, 6, 24]
    assert [len(each) for each in (final.training, final.validation, final.learnt)] == [24, 6, 30]
    assert final.data == plain.data
    assert final.data.train_images == 24
    assert final.data.validation_sha256 == resolve(album).load("validation").sha256()


def test_odd_images_are_inverted_and_the_hash_is_of_what_was_given(album):
    parts, given = TrainingParts.load(TrainRequest(resolve(album))), resolve(album).load("train")
    odd = [name.endswith("/0.png") for name in given.files]
    assert parts.data.polarity == "light on dark"
    assert (given.images[:, 0, 0] == np.where(odd, 255, 0)).all()
    assert (parts.training.images[:, 0, 0] == 0).all()
    assert (parts.training.images[odd] == 255 - given.images[odd]).all()
    assert parts.data.train_sha256 == given.sha256() != parts.training.sha256()


def test_corrected_labels_are_learnt_and_loaded_again(album, tmp_path):
    given = resolve(album).load("train")
    index = given.files.index("train/dog/0.png")  # an odd one: a report shows it inverted
    shown = hashlib.sha256((255 - given.images[index]).tobytes()).hexdigest()[:16]
    columns, row = "part,index,picture,label,suggestion,confidence,correction", "dog,cat,0.9,cat"
    (tmp_path / "labels.csv").write_text(f"{columns}\ntrain,{index},sha256:{shown},{row}\n")
    request = TrainRequest(resolve(album), corrections=tmp_path / "labels.csv")
    parts = TrainingParts.load(request)
    again = TrainingParts.reload(config_of(request, parts), tmp_path / "run")
    assert parts.data.corrections == [(index, 0)]
    assert parts.data.train_sha256 == given.sha256()
    assert np.flatnonzero(parts.training.labels != given.labels).tolist() == [index]
    assert again.training.sha256() == parts.training.sha256()


def test_a_folder_is_walked_once_for_its_parts_and_classes(album, monkeypatch):
    walked, find_layout = [], image_folder.find_layout
    monkeypatch.setattr(
        image_folder, "find_layout", lambda folder: walked.append(folder) or find_layout(folder)
    )
    TrainingParts.load(TrainRequest(resolve(album)))
    assert walked == [album]


@pytest.mark.parametrize(
    ("changed", "message"),
    [
        ({"seed": -1}, "the seed must be in 0"),
        ({"recipe": TUTORIAL, "mirror": True}, "the recipe 'tutorial' is a dense network"),
        ({"recipe": replace(QUICK, name="a\0")}, r"the recipe's name 'a\\x00' has letters"),
        ({"source": resolve("nowhere.npz")}, "nowhere.npz does not exist"),
        ({"out": "album"}, "album exists and is not overwritten"),
        ({"source": resolve("nowhere.npz"), "out": "album"}, "nowhere.npz does not exist"),
    ],
)
def test_a_training_that_is_refused_reads_no_image(album, monkeypatch, changed, message):
    monkeypatch.chdir(album.parent)
    monkeypatch.setattr(DataSource, "load", lambda *_, **__: pytest.fail("images were read"))
    request = replace(TrainRequest(resolve("album"), out="run"), **changed)
    with pytest.raises(InputError, match=f"^{message}"):
        pipeline.train_since(0.0, request)
    assert [path.name for path in album.parent.iterdir()] == ["album"]
