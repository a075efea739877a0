"""Parts of the data: refused before they are read, loaded again, and known to have changed."""

from __future__ import annotations

import hashlib
import shutil
import warnings
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from conftest import with_data
from lookbook.cli import results
from lookbook.core.files import write_document
from lookbook.data.formats import image_folder
from lookbook.data.formats.source import DataSource
from lookbook.data.sources import load, resolve
from lookbook.errors import InputError, LookbookWarning
from lookbook.evaluation.evaluate import evaluate
from lookbook.exports.bundle import write_bundle
from lookbook.recipes import QUICK, STANDARD, TUTORIAL
from lookbook.reports.page import write_run_report
from lookbook.reports.report_data import collect
from lookbook.runs.config import TrainConfig, TrainRequest
from lookbook.runs.data_parts import TrainingParts, load_part, load_split
from lookbook.runs.store import Run, read_run
from lookbook.training import pipeline
from lookbook.training.pipeline import train

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


# ---- data that changed since ----


def save_shades(folder: Path, n: int) -> Path:
    """Grey images of two classes: dark ones and light ones."""
    for number in range(n):
        name = "dark" if number % 2 else "light"
        (folder / name).mkdir(parents=True, exist_ok=True)
        shade = number if number % 2 else 255 - number
        Image.new("L", (10, 12), shade).save(folder / name / f"{number:02}.png")
    return folder


@pytest.fixture
def shades(tmp_path):
    return save_shades(tmp_path / "album", 40)


@pytest.fixture
def shades_run(shades, tmp_path):
    return train(str(shades), TUTORIAL.with_epochs(1), out=tmp_path / "run")


def refusal(run: Run) -> str:
    with pytest.raises(InputError) as caught:
        evaluate(run)
    return str(caught.value)


def changed(run: Run, what: str) -> str:
    return (
        f"the data of {run.folder} changed since it was trained on: {what}; restore it, or train "
        f"again: {run.train_again()}"
    )


def test_data_that_is_as_it_was_is_evaluated(shades, shades_run):
    assert evaluate(shades_run).n == len(load(shades, "test"))


def test_images_that_were_added_are_told(shades, shades_run):
    before = len(load(shades))
    save_shades(shades, 60)
    assert refusal(shades_run) == changed(
        shades_run,
        f"its training part is not the same ({len(load(shades))} images, were {before})",
    )


def test_classes_that_were_added_are_told(shades, shades_run):
    (shades / "grey").mkdir()
    for number in range(5):
        Image.new("L", (10, 12), 99).save(shades / "grey" / f"{number}.png")
    assert refusal(shades_run) == changed(
        shades_run, "its classes are dark, grey, light, were dark, light"
    )


def test_arrays_whose_labels_changed_are_told(tmp_path):
    path = tmp_path / "data.npz"
    images = np.random.default_rng(0).integers(0, 256, (40, 9, 8), dtype=np.uint8)
    labels = np.arange(40) % 2
    np.savez(path, images=images, labels=labels)
    run = train(str(path), TUTORIAL.with_epochs(1), out=tmp_path / "run")
    np.savez(path, images=images, labels=labels[::-1])
    assert refusal(run) == changed(run, "its training part is not the same (32 images, were 32)")


def test_a_training_part_beside_a_test_part_is_the_one_that_was_learnt_from(
    own_run, bars, tmp_path
):
    """Corrected labels and suspects are known by their number: of other images, they mislead."""
    with np.load(bars) as arrays:
        kept = dict(arrays)
    path = tmp_path / "other.npz"
    np.savez(path, **kept | {"train_images": kept["train_images"][::-1]})
    own_run = with_data(own_run, name=str(path))
    for read in (lambda: load_part(own_run, "train"), lambda: collect(own_run)):
        with pytest.raises(InputError) as caught:
            read()
        assert str(caught.value) == changed(
            own_run, "its training part is not the same (300 images, were 300)"
        )


def test_a_test_part_of_its_own_may_be_another(own_run, bars, tmp_path):
    with np.load(bars) as arrays:
        kept = dict(arrays)
    path = tmp_path / "other.npz"
    np.savez(path, **kept | {"test_images": kept["test_images"][:9], "test_labels": [0, 1, 2] * 3})
    own_run = with_data(own_run, name=str(path))
    assert len(load_part(own_run, "test")) == 9


@pytest.fixture
def parted(tmp_path):
    """A folder with a training, a validation and a test part, of 40, 24 and 12 images."""
    for part, n in (("train", 40), ("valid", 24), ("test", 12)):
        save_shades(tmp_path / "parted" / part, n)
    return tmp_path / "parted"


@pytest.mark.filterwarnings("ignore:.* is taken as it is split")
def test_a_validation_part_is_used_as_such(parted, tmp_path):
    run = train(str(parted), TUTORIAL.with_epochs(1), out=tmp_path / "run")
    assert run.metrics["training_pictures"] == 40
    assert run.metrics["validation"]["n"] == 24
    assert evaluate(run).n == 12
    assert evaluate(run).conditions.part == "test"
    training, validation = load_split(run)
    assert (len(training), len(validation)) == (40, 24)
    final = train(str(parted), TUTORIAL.with_epochs(1), out=tmp_path / "final", final=True)
    assert final.metrics["training_pictures"] == 64
    assert final.metrics["validation"]["n"] == 24
    assert final.conditions["data"]["train_pictures"] == 40
    save_shades(parted / "valid", 26)
    with pytest.raises(InputError) as caught:
        load_split(run)
    assert str(caught.value) == changed(run, "its validation part is not the same")
    shutil.rmtree(parted / "test")  # the final run learnt from what would be measured on now
    with pytest.warns(LookbookWarning, match="has no test part"):
        assert refusal(final) == changed(
            final, "it has no test part, and the run learnt from its validation part"
        )


@pytest.mark.filterwarnings("ignore:.* is taken as it is split")
def test_without_a_test_part_the_validation_part_is_measured_on_and_said_to_be(parted, tmp_path):
    shutil.rmtree(parted / "test")
    with pytest.raises(InputError, match="nothing would be left to measure it on"):
        train(str(parted), TUTORIAL, out=tmp_path / "final", final=True)
    run = train(str(parted), TUTORIAL.with_epochs(1), out=tmp_path / "run")
    with pytest.warns(LookbookWarning) as caught:
        found = evaluate(run)
    assert [str(warning.message) for warning in caught] == [
        f"{parted} has no test part: its validation part is measured on, by which percentages and "
        "thresholds are set; new images may be answered a little worse"
    ]
    assert found.conditions.part == "validation"
    assert found.accuracy == run.metrics["validation"]["accuracy"]
    assert found.n == 24
    # images that move into the other part are no longer new to the model
    (parted / "train" / "dark" / "01.png").rename(parted / "valid" / "dark" / "99.png")
    with pytest.warns(LookbookWarning), pytest.raises(InputError, match="39 images, were 40"):
        load_part(run, "test")


def test_a_folder_that_has_parts_now_is_not_measured_on(shades, shades_run):
    """What was learnt from might stand in its new test part."""
    for part in ("train", "test"):
        for name in ("dark", "light"):
            (shades / part / name).mkdir(parents=True)
    for number, path in enumerate(sorted(shades.glob("[dl]*/*.png"))):
        path.rename(shades / ("train" if number % 3 else "test") / path.parent.name / path.name)
    for name in ("dark", "light"):
        (shades / name).rmdir()
    assert "its training part is not the same" in refusal(shades_run)


def test_a_run_whose_folder_was_split_otherwise_is_told_so(shades, shades_run):
    """Runs of earlier versions do not say how the test part was drawn."""
    document = shades_run.conditions.to_json()
    for key in ("split", "measured_on", "validation_sha256"):
        del document["data"][key]
    write_document(shades_run.folder / "conditions.json", document)
    assert evaluate(shades_run.folder).n == 8  # the same images: nothing to tell
    (shades_run.folder / "evaluation.json").unlink()
    shades_run = with_data(read_run(shades_run.folder), train_sha256="0" * 64)
    assert refusal(shades_run) == (
        f"{shades_run.folder} was trained by a version that split {shades} otherwise: images that "
        f"it learnt from would count as test images; train again: {shades_run.train_again()}"
    )


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore:.* is taken as it is split", "ignore:.* has no test part")
def test_what_was_measured_on_validation_is_nowhere_called_a_test(parted, tmp_path):
    """Terminal, list of runs, report, card: each says so, or does not call it a test."""
    shutil.rmtree(parted / "test")
    run = train(str(parted), TUTORIAL.with_epochs(1), out=tmp_path / "run")
    found = evaluate(run)
    told = results.evaluation(found)
    assert "test accuracy" not in told
    assert "measured on        the validation part, as there is no test part" in told
    assert "% validation" in results.run_table([run])
    card = (write_bundle(run, tmp_path / "kit") / "README.md").read_text("utf-8")
    assert "| test," not in card
    collected = collect(run)
    for lang, words in (
        ("en", "There is no test part: what is called test"),
        ("ko", "테스트 데이터가 따로 없어"),
    ):
        page = write_run_report(collected, tmp_path / f"{lang}.html", lang).read_text("utf-8")
        assert words in page
        assert "read after training had ended" not in page
    assert not run.conditions.data.calibrated_apart
    # of the bundled model, images of its training part set percentages and thresholds
    apart = replace(collected, run=with_data(run, validation_sha256=None))
    assert apart.run.conditions.data.calibrated_apart
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert len(load_part(apart.run, "test")) == len(collected.test)
    for lang, words, others in (
        ("en", "thresholds were set by others.", "thresholds were set by them"),
        ("ko", "기준값도 다른 이미지로 정했습니다.", "이 이미지들로 정했으므로"),
    ):
        page = write_run_report(apart, tmp_path / f"{lang}.html", lang).read_text("utf-8")
        assert words in page
        assert others not in page


def test_data_that_moved_is_told(own_run, tmp_path):
    own_run = with_data(own_run, name=str(tmp_path / "gone.npz"))
    with pytest.raises(InputError, match=r"gone\.npz does not exist"):
        load_part(own_run, "test")
