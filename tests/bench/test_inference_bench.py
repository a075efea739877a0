"""The benchmark of inference: what is compared is the same network, and the arithmetic is right."""

import json
import subprocess
import sys
from itertools import product
from pathlib import Path

import numpy as np
import onnxruntime
import pytest
from PIL import Image

from bench import inference
from bench.harness.record import Record
from bench.peers import predict_speed
from lookbook.core.arrays import softmax
from lookbook.inference.model import Model
from lookbook.networks.weights import load_network
from lookbook.recipes import SMALL
from lookbook.training.pipeline import train

ROOT = Path(__file__).parents[2]
# made up: images per second at batch 1 and 1,000 with one thread, in three rounds
RATES = {
    "lookbook": {1: [900.0, 1000.0, 1100.0], 1000: [2000.0, 2500.0, 2250.0]},
    "onnxruntime": {1: [1800.0, 1600.0, 1700.0], 1000: [4000.0, 4500.0, 5000.0]},
}


@pytest.fixture
def results():
    return {
        "name": "inference",
        "trial": False,
        "conditions": {
            "started": "2026-01-02T03:04:05+00:00",
            "data": [
                {
                    "name": "standard",
                    "network": "conv",
                    "widths": [48, 96],
                    "mirror": True,
                    "shape": [28, 28],
                    "classes": 10,
                    "parameters": 160_512,
                    "data": "fashion-mnist",
                }
            ],
            "machine": {"processor": "A Processor", "cores": 2, "system": "Linux x86_64"},
            "load_average": [0.5, 0.25, 0.125],
            "commit": "0123456789abcdef",
            "clean": True,
            "versions": {"python": "3.11.7"},
            "rounds": 3,
            "seconds": 1.0,
            "threads": [1, 2],
            "batches": [1, 1000],
        },
        "entries": [
            {"name": "lookbook", "about": "all of it", "ours": True},
            {"name": "onnxruntime", "about": "the network alone", "ours": False},
            {"name": "keras-predict", "about": "not measured", "ours": False},
        ],
        "measurements": [
            {
                "name": name,
                "run": 0,
                "threads": threads,
                "round": turn,
                # the second thread doubles all
                "rates": {str(batch): threads * RATES[name][batch][turn] for batch in (1, 1000)},
                "versions": {"python": "3.11.7", "source_sha256": "ab" * 32},
            }
            for turn, name, threads in product(range(3), RATES, (1, 2))
        ],
        "failures": [{"name": "keras-predict", "run": 0, "message": "Traceback\nImportError: no"}],
    }


# ---- what they say ----


def test_ratios_are_of_the_same_round(results):
    found = inference.ratio(results, "onnxruntime", 0, 1, 1000)
    expected = np.array(RATES["lookbook"][1000]) / RATES["onnxruntime"][1000]
    assert (found.least, found.middle, found.most) == pytest.approx(
        (expected.min(), np.median(expected), expected.max())
    )
    # round 1 failed for the peer: only rounds 0 and 2 are compared
    results["measurements"] = [
        one for one in results["measurements"] if (one["name"], one["round"]) != ("onnxruntime", 1)
    ]
    found = inference.ratio(results, "onnxruntime", 0, 1, 1000)
    assert (found.least, found.most) == pytest.approx((0.45, 0.5))
    assert inference.ratio(results, "keras-predict", 0, 1, 1000) is None


def test_table_has_pictures_per_second_and_multiples(results):
    text = inference.to_markdown(results, "inference.png")
    for words in (
        "## Recipe standard, 28×28: 160,512 parameters",
        "|  | batch 1, 1 thread | batch 1, 2 threads | batch 1,000, 1 thread |",
        "| lookbook | 900 / 1,000 / 1,100 | 1,800 / 2,000 / 2,200 | 2,000 / 2,250 / 2,500 |",
        "| of onnxruntime's | 0.50 / 0.62 / 0.65 |",
        "](inference.png)",
        "**failed: keras-predict, run 0: ImportError: no**",
        "- Machine: A Processor, 2 cores, Linux x86_64",
        "- Code: commit 0123456789abcdef, clean tree",
        "- Rounds: 3; each entry is measured for 1 s at each size of batch",
        "- Keras beside recipe standard: the small convnet of its documentation",
        "- lookbook: all of it; python 3.11.7\n",
    ):
        assert words in text
    assert "trial" not in text
    assert "of keras-predict's" not in text


def test_figure_has_a_panel_for_each_batch_and_a_number_at_each_dot(results):
    left, right = inference.plot(results).axes
    assert left.get_title(loc="left") == "recipe standard, batch 1"
    assert {text.get_text() for text in left.texts} == {"1,000", "2,000", "1,700", "3,400"}
    assert {text.get_text() for text in right.texts} == {"2,250", "4,500", "9,000"}
    assert left.get_xscale() == "log"
    names = [label.get_text() for label in left.get_yticklabels()]
    assert names == ["lookbook", "onnxruntime", "keras-predict"]


@pytest.mark.slow
def test_redraw_needs_the_json_alone(results, tmp_path):
    path = tmp_path / "inference.json"
    path.write_text(json.dumps(results))
    command = [sys.executable, "-m", "bench", "inference", "--redraw", str(path)]
    ended = subprocess.run(command, capture_output=True, text=True, check=True, cwd=ROOT)
    assert (
        ended.stdout == f"wrote {tmp_path / 'inference.md'}\nwrote {tmp_path / 'inference.png'}\n"
    )
    table = (tmp_path / "inference.md").read_text(encoding="utf-8")
    assert table == inference.to_markdown(results, "inference.png")
    with Image.open(tmp_path / "inference.png") as picture:
        assert min(picture.size) > 500


# ---- what is measured ----


def _bare(path, scaled):
    session = onnxruntime.InferenceSession(path, providers=["CPUExecutionProvider"])
    return session.run(None, {"pixels": scaled})[0]


def test_the_bare_network_gives_the_logits_of_the_whole_model(run, tmp_path):
    inputs, bare = inference.prepare(run, tmp_path)
    arrays = np.load(inputs)
    assert arrays["raw"].shape == (1000, 12, 10)
    assert arrays["scaled"].shape == (1000, 1, 12, 10)
    logits = Model.open(run.model).predict(arrays["raw"]).logits
    np.testing.assert_allclose(_bare(bare, arrays["scaled"]), logits, atol=1e-4)


@pytest.mark.slow
@pytest.mark.filterwarnings("error::torch.jit.TracerWarning")
def test_the_bare_network_sees_one_view_alone(tmp_path):
    images = np.random.default_rng(0).integers(0, 256, (600, 28, 28), np.uint8)
    np.savez(tmp_path / "noise.npz", images=images, labels=np.arange(600) % 3)
    run = train(str(tmp_path / "noise.npz"), SMALL, epochs=1, out=tmp_path / "run")
    inputs, bare = inference.prepare(run, tmp_path)
    arrays = np.load(inputs)
    logits = Model.open(run.model).predict(arrays["raw"]).logits
    found = _bare(bare, arrays["scaled"])
    sure = softmax(found).max(axis=1) >= load_network(run).sure.item()
    assert 0.5 < sure.mean() < 1
    np.testing.assert_allclose(found[sure], logits[sure], atol=1e-4)
    assert np.abs(found[~sure] - logits[~sure]).max() > 0.01


def test_keras_gets_the_network_that_belongs_to_the_run(run, tmp_path):
    entry = next(one for one in inference.ENTRIES if one.name == "keras-predict")
    files = (tmp_path / "inputs.npz", tmp_path / "bare.onnx")
    command = inference.command(entry, run, files, Path("python"), ["--threads", "1"])
    assert command[0] == "python"
    assert command[-6:] == ["--network", "dense", "--classes", "3", "--widths", "128"]
    assert inference.command(entry, run, files, None, []) is None


def test_the_newest_run_of_each_recipe_is_taken(place, monkeypatch):
    monkeypatch.chdir(place)
    assert [one.recipe["name"] for one in inference.choose_runs(None)] == ["tutorial"]
    assert inference.choose_runs(["bars-tutorial-1"])[0].metrics["parameters"] > 0


def test_rates_count_pictures_not_calls():
    seen = []
    rate = predict_speed.rate(lambda batch: seen.append(len(batch)), np.zeros((10, 2)), 4, 0.0)
    assert rate > 0
    assert seen == [4, 4]  # one call to get warm, one that counts

    class Clock:
        now = 0.0

        def perf_counter(self):
            return self.now

    clock = Clock()

    def predict(_batch):
        clock.now += 0.5

    original, predict_speed.time = predict_speed.time, clock
    try:
        assert predict_speed.rate(predict, np.zeros((10, 2)), 5, 3.0) == 10
    finally:
        predict_speed.time = original


@pytest.mark.slow
@pytest.mark.skipif(sys.platform != "linux", reason="cores are given by affinity")
def test_a_trial_measures_what_there_is(run, tmp_path, monkeypatch):
    monkeypatch.setattr(Record, "keras_python", lambda _record: None)
    monkeypatch.setattr(inference, "THREADS", (1,))
    arguments = ["--trial", "--run", str(run.folder), "--out", str(tmp_path)]
    monkeypatch.setattr(sys, "argv", ["inference.py", *arguments])
    assert inference.main() == 0
    written = json.loads((tmp_path / "inference-trial-run.json").read_text())
    assert [one["name"] for one in written["measurements"]] == ["lookbook", "onnxruntime"]
    assert all(rate > 0 for one in written["measurements"] for rate in one["rates"].values())
    assert written["measurements"][0]["versions"]["onnxruntime"] == onnxruntime.__version__
    assert "**A trial" in (tmp_path / "inference-trial-run.md").read_text(encoding="utf-8")
    assert (tmp_path / "inference-trial-run.png").exists()
