"""Copies and groups in a run: kept, used again, and counted in a test part of the data's own."""

from __future__ import annotations

import json

import numpy as np
import pytest
from PIL import Image

from data.test_copies import scenes
from data.test_groups import clones, number_of
from lookbook import evaluate, read_run, resume, train
from lookbook.cli import results
from lookbook.core.files import write_document
from lookbook.inference.model import Model
from lookbook.recipes import TUTORIAL
from lookbook.reports.page import write_run_report
from lookbook.reports.report_data import collect
from lookbook.runs.data_parts import load_part, load_split
from lookbook.training.callbacks import Callback

SHORT = TUTORIAL.with_epochs(2)


@pytest.fixture
def parted(tmp_path):
    """Forty scenes to learn from; of twenty-four to test, six are the same and five nearly so."""
    images = scenes(58, (32, 32), seed=4)
    for name in ("강아지", "고양이"):
        (tmp_path / "사진/test" / name).mkdir(parents=True)
    for number, image in enumerate(images):
        part = "train" if number < 40 else "test"
        place = tmp_path / "사진" / part / ("강아지", "고양이")[number % 2]
        place.mkdir(parents=True, exist_ok=True)
        Image.fromarray(image).save(place / f"{number}.png")
        if number < 6:
            Image.fromarray(image).save(tmp_path / "사진/test" / place.name / f"복사 {number}.png")
        if 10 <= number < 15:
            path = tmp_path / "사진/test" / place.name / f"{number + 100}.jpg"
            Image.fromarray(image).save(path, quality=80)
    return tmp_path / "사진"


def test_copies_in_a_test_part_of_its_own_are_counted_and_said(parted, tmp_path):
    run = train(parted, SHORT, out=tmp_path / "run")
    found = evaluate(run)
    assert (found.copies.exact, found.copies.near, found.n) == (6, 5, 29)
    test = load_part(run, "test")
    new = [i for i, name in enumerate(test.files) if name.endswith(".png") and "복사" not in name]
    answers = Model.open(run.model).predict(test.images[new]).probs.argmax(axis=1)
    assert len(new) == 18
    assert found.copies.accuracy_without == (answers == test.labels[new]).mean()
    kept = json.loads((run.folder / "evaluation.json").read_text())
    assert kept["copies"]["exact"] == 6
    told = results.evaluation(found)
    assert "11 of 29 test images are copies of training images (6 exact, 5 near)" in told
    assert f"without them: {100 * found.copies.accuracy_without:.2f} %" in told


@pytest.mark.slow
def test_a_report_says_so_in_both_languages(parted, tmp_path):
    run = train(parted, SHORT, out=tmp_path / "run")
    collected = collect(run)
    for lang, words in (
        ("en", "11 of 29 test pictures are copies of training pictures (6 exact, 5 near)"),
        ("ko", "테스트 이미지 29장 가운데 11장이 훈련 이미지의 복사본입니다"),
    ):
        page = write_run_report(collected, tmp_path / f"{lang}.html", lang).read_text("utf-8")
        assert words in page


def test_a_test_part_without_copies_says_nothing_and_an_earlier_version_did_not_look(
    parted, tmp_path
):
    for path in [*parted.glob("test/*/복사*"), *parted.glob("test/*/*.jpg")]:
        path.unlink()
    run = train(parted, SHORT, out=tmp_path / "run")
    found = evaluate(run)
    assert (found.copies.exact, found.copies.near) == (0, 0)
    assert "copies" not in results.evaluation(found)
    kept = json.loads((run.folder / "evaluation.json").read_text())
    del kept["copies"]
    write_document(run.folder / "evaluation.json", kept)
    assert evaluate(run).to_json() == kept


def test_a_run_keeps_its_copies_and_goes_by_them(tmp_path):
    folder = clones(tmp_path / "사진")
    run = train(folder, SHORT, out=tmp_path / "run")
    kept = run.conditions.data.kept_together
    assert (kept.by, kept.groups, kept.images, len(kept.copies)) == (None, 20, 40, 20)
    assert "40 images in 20 groups  (copies, exact or near)" in results.trained(run, 1.0)
    training, validation = load_split(run)
    sides = [
        {number_of(name) for name in part.files}
        for part in (training, validation, load_part(run, "test"))
    ]
    assert sum(map(len, sides)) == len(set.union(*sides)) == 48
    assert evaluate(run).copies is None  # there are none: nothing is looked for
    # an earlier version parted them; its run is judged as it was then
    document = run.conditions.to_json()
    del document["data"]["kept_together"]
    write_document(run.folder / "conditions.json", document)
    with pytest.raises(Exception, match="training part is not the same"):
        load_part(read_run(run.folder), "train")


class Stop(Callback):
    def on_epoch_end(self, state, progress):
        state.stop()


def test_groups_of_ones_own_are_kept_for_evaluation_and_for_going_on(tmp_path):
    images, whose = scenes(120, (16, 16)), np.arange(120) // 6
    path = tmp_path / "data.npz"
    np.savez(path, images=images, labels=np.arange(120) % 2, whose=whose)
    options = {"recipe": SHORT, "groups": "whose"}
    whole = train(path, out=tmp_path / "whole", **options)
    stopped = train(path, out=tmp_path / "stopped", callbacks=[Stop()], **options)
    assert stopped.metrics.stopped
    assert resume(stopped.folder).weights.read_bytes() == whole.weights.read_bytes()
    at = {image.tobytes(): int(name) for image, name in zip(images, whose, strict=True)}
    people = [
        {at[image.tobytes()] for image in part.images}
        for part in (*load_split(whole), load_part(whole, "test"))
    ]
    assert sum(map(len, people)) == len(set.union(*people)) == 20
    assert evaluate(whole).n == len(load_part(whole, "test"))
    assert "120 images in 20 groups  (by whose)" in results.trained(whole, 1.0)
