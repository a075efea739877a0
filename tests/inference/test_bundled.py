"""The bundled model: it is there without a run, says that it answered, and keeps its bounds."""

from __future__ import annotations

import json

import pytest

import lookbook
from conftest import lookbook as program
from lookbook.cli.commands.evaluate import evaluate
from lookbook.data.catalog import CLOTHING
from lookbook.inference.model import Model
from lookbook.runs.store import BUNDLED, read_run
from models.clothing.scenes import render


@pytest.fixture(scope="module")
def scene(tmp_path_factory):
    """An image file that shows no clothes."""
    path = tmp_path_factory.mktemp("scene") / "scene.png"
    render(1)[0].save(path)
    return path


def test_it_is_a_run_without_weights_whose_model_is_small():
    run = read_run(BUNDLED)
    run.check_files()
    model = Model.open(run.model)
    assert run.is_bundled
    assert len(model.content) <= 2_000_000
    assert model.classes == CLOTHING.classes
    assert model.card.data.name == run.conditions.data.name == "clothing"
    assert "CC0" in model.card.licence
    assert not (BUNDLED / "weights.safetensors").exists()


@pytest.mark.filterwarnings("ignore:clothing is gone")
def test_what_its_evaluation_was_measured_on_set_no_threshold(capsys):
    evaluate(str(BUNDLED))
    told = " ".join(capsys.readouterr().out.split())
    assert "learn from it, and other images set percentages and thresholds" in told
    assert "thresholds were set by it" not in told


def test_a_predictor_without_a_run_has_it(scene):
    predictor = lookbook.Predictor()
    (answer,) = predictor.predict(scene)
    assert answer.by_bundled
    assert answer.classes == CLOTHING.classes
    assert not lookbook.Predictor(BUNDLED / "model.onnx").is_bundled


@pytest.mark.slow
def test_the_command_line_answers_by_it_and_says_so(scene, tmp_path):
    ended = program("predict", scene, cwd=tmp_path)
    assert ended.returncode == 0, ended.stderr
    assert "answered by  lookbook's own model: no run was named" in ended.stdout
    assert f"it knows     {', '.join(CLOTHING.classes)}" in ended.stdout
    assert ended.stdout.endswith(f"next: lookbook predict {scene} --figure prediction.png\n")
    ended = program("predict", scene.parent, scene, "--json", cwd=tmp_path)
    assert [each["model"] for each in json.loads(ended.stdout)] == ["bundled", "bundled"]
    ended = program("predict", scene, "--out", "answers.csv", cwd=tmp_path)
    assert "answered by  lookbook's own model" in ended.stdout


@pytest.mark.slow
def test_its_web_demo_is_one_command_away(tmp_path):
    ended = program("export", "--to", "html", cwd=tmp_path)
    assert ended.returncode == 0, ended.stderr
    page = (tmp_path / "clothing-try.html").read_text()
    assert "Photographs of clothing" in page
    assert len(page) < 4_000_000


def test_scenes_are_the_same_for_a_seed():
    one, other = (render(5, seed=3) for _ in range(2))
    assert [each.tobytes() for each in one] == [each.tobytes() for each in other]
    assert {each.size for each in one} == {(320, 240)}
