"""The benchmark: its arithmetic, its table, its figure, and that one bad peer stops no other."""

import ast
import json
import re
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from matplotlib.text import Text
from PIL import Image

ROOT = Path(__file__).parents[2]
sys.path.insert(0, str(ROOT))  # `bench` is no part of the installed package

from bench.peers import lookbook_recipe  # noqa: E402

from bench import run, summary  # noqa: E402
from lookbook.recipes import RECIPES  # noqa: E402

# made up: keras-tensorflow is slow, ours fast, and ours failed with seed 1
FITS = {"keras-tensorflow": [44.0, 40.0, 47.5], "lookbook-tutorial": [8.0, 9.5]}
ACCURACIES = {"keras-tensorflow": [0.873, 0.877, 0.874], "lookbook-tutorial": [0.8815, 0.8799]}
SEEDS = {"keras-tensorflow": [0, 1, 2], "lookbook-tutorial": [0, 2]}


def _measurement(name, seed, fit, accuracy):
    ours = {"calibration_seconds": fit - 1} if name.startswith("lookbook") else {}
    return {
        "name": name,
        "seed": seed,
        "fit_seconds": fit,
        "accuracy": accuracy,
        "first_loss": 0.5 + seed / 100,
        "last_loss": 0.24 + seed / 100,
        "versions": {"python": "3.11.7", "source_sha256": "ab" * 32},
        "threads": 2,
        "device": "cpu",
        "process_seconds": fit + 5,
        "load_average_before": [0.1 + seed, 0.2, 0.3],
        **ours,
    }


@pytest.fixture
def results():
    return {
        "trial": False,
        "conditions": {
            "started": "2026-01-02T03:04:05+00:00",
            "data": {"title": "Fashion-MNIST", "train_pictures": 60_000, "test_pictures": 10_000},
            "machine": {"processor": "A Processor", "cores": 2, "system": "Linux x86_64"},
            "load_average": [0.5, 0.25, 0.125],
            "commit": "0123456789abcdef",
            "clean": True,
            "versions": {"python": "3.11.7"},
        },
        "entries": [
            {"name": "keras-tensorflow", "about": "a script", "ours": False, "requirements": []},
            {"name": "absent", "about": "never ran", "ours": False, "requirements": []},
            {"name": "lookbook-tutorial", "about": "a command", "ours": True, "requirements": []},
        ],
        "measurements": [
            _measurement(name, seed, fit, accuracy)
            for name in FITS
            for seed, fit, accuracy in zip(SEEDS[name], FITS[name], ACCURACIES[name], strict=True)
        ],
        "failures": [
            {"name": "lookbook-tutorial", "seed": 1, "message": "Traceback\nValueError: no"}
        ],
    }


# ---- the summary, against numpy ----


def _three(values):
    return pytest.approx((np.min(values), np.median(values), np.max(values)))


def _values(spread):
    return spread.least, spread.middle, spread.most


def test_summaries_agree_with_numpy(results):
    found = {one.name: one for one in summary.summarise(results)}
    assert list(found) == ["keras-tensorflow", "lookbook-tutorial"]
    for name, one in found.items():
        assert one.seeds == len(FITS[name])
        assert _values(one.fit) == _three(FITS[name])
        assert _values(one.accuracies) == _three(ACCURACIES[name])
        assert one.accuracy == pytest.approx(np.mean(ACCURACIES[name]))
        assert one.deviation == pytest.approx(np.std(ACCURACIES[name], ddof=1))
    assert [one.ours for one in found.values()] == [False, True]
    assert found["keras-tensorflow"].calibration is None
    assert found["lookbook-tutorial"].calibration == pytest.approx(np.median([7.0, 8.5]))
    # the whole process takes fit + 5 s, of which our twin takes fit - 1
    assert found["keras-tensorflow"].process == pytest.approx(
        np.median(FITS["keras-tensorflow"]) + 5
    )
    assert found["lookbook-tutorial"].process == pytest.approx(6)


def test_ratios_are_of_the_same_seed_and_else_of_the_median(results):
    reference, ours = summary.summarise(results)
    assert _values(reference.ratio) == (1, 1, 1)
    # seed 1 failed: seeds 0 and 2 are compared with the reference's seeds 0 and 2
    assert _values(ours.ratio) == _three(np.array([8.0, 9.5]) / np.array([44.0, 47.5]))
    results["measurements"].append(_measurement("lookbook-tutorial", 3, 11.0, 0.88))
    _, ours = summary.summarise(results)
    assert _values(ours.ratio) == _three([8.0 / 44, 9.5 / 47.5, 11.0 / 44])


def test_without_the_reference_there_is_no_ratio(results):
    results["entries"] = results["entries"][2:]
    results["measurements"] = results["measurements"][3:]
    (ours,) = summary.summarise(results)
    assert ours.ratio is None
    text = summary.to_markdown(results, "x.png")
    assert "| 8.00 / 8.75 / 9.50 | – |" in text
    assert "T is" not in text


def test_one_run_has_no_deviation(results):
    results["measurements"] = results["measurements"][:1]
    (only,) = summary.summarise(results)
    assert only.deviation is None
    assert "| 1 | 87.30 % (87.30 to 87.30 %) |" in summary.to_markdown(results, "x.png")


# ---- the table ----


def test_table_has_one_row_for_each_entry_that_ran(results):
    text = summary.to_markdown(results, "x.png")
    table = [line for line in text.splitlines() if line.startswith("|")]
    assert len({line.count("|") for line in table}) == 1
    assert table[2:] == [
        "| keras-tensorflow | a script | 3 | 87.47 ± 0.21 % (87.30 to 87.70 %) | "
        "40.0 / 44.0 / 47.5 | 1 | 49.0 | – |",
        "| lookbook-tutorial | a command | 2 | 88.07 ± 0.11 % (87.99 to 88.15 %) | "
        "8.00 / 8.75 / 9.50 | 0.182 / 0.191 / 0.200 | 6.0 | 7.75 |",
    ]


def test_table_has_the_peers_first_and_of_each_side_the_fastest(results):
    for name, ours, fit in (("slow", True, 90), ("fast", False, 1), ("slowest", False, 900)):
        results["entries"].insert(
            0, {"name": name, "about": "made up", "ours": ours, "requirements": []}
        )
        results["measurements"].append(_measurement(name, 0, fit, 0.9))
    table = [line for line in summary.to_markdown(results, "x.png").splitlines() if "%" in line]
    names = ["fast", "keras-tensorflow", "slowest", "lookbook-tutorial", "slow"]
    assert [line.split(" | ")[0].strip("| ") for line in table if line.startswith("|")] == names


def test_table_carries_its_conditions(results):
    text = summary.to_markdown(results, "fashion-mnist.png")
    for words in (
        "](fashion-mnist.png)",
        "T is keras-tensorflow's median fit, 44.00 s;",
        "are counted neither in the fit nor in the whole process",
        "**lookbook-tutorial failed, seed 1: ValueError: no**",
        "- Started: 2026-01-02T03:04:05+00:00",
        "- Data: Fashion-MNIST, 60,000 training pictures, 10,000 test pictures",
        "- Runs: seeds 0, 1, 2 (lookbook-tutorial: 0, 2); each run is a process of its own",
        "- Machine: A Processor, 2 cores, Linux x86_64",
        "- Load average: 0.50, 0.25, 0.12 at the start (1, 5 and 15 minutes); "
        "0.10 to 2.10, median 1.10, before each run",
        "- Code: commit 0123456789abcdef, clean tree",
        "- keras-tensorflow, lookbook-tutorial: cpu, 2 threads; python 3.11.7\n",
    ):
        assert words in text
    assert "trial" not in text


def test_a_trial_says_that_it_is_one(results):
    results["trial"] = True
    results["conditions"]["data"]["train_pictures"] = 2000
    results["conditions"]["clean"] = False
    text = summary.to_markdown(results, "x.png")
    assert "**A trial with the first 2,000 training pictures only, not a result.**" in text
    assert "the first 2,000 training pictures, 10,000 test pictures" in text
    assert "with changes that are not committed" in text


def test_results_of_a_part_never_take_the_place_of_the_whole():
    assert run._stem(None, whole=True) == "fashion-mnist"
    assert run._stem(None, whole=False) == "fashion-mnist-part"
    assert run._stem(2000, whole=True) == "fashion-mnist-trial-2000"
    assert run._stem(2000, whole=False) == "fashion-mnist-part-trial-2000"


# ---- the figure ----


def test_figure_shows_each_entry_with_its_spread_and_marks_the_reference(results):
    (axes,) = summary.plot(results).axes
    assert axes.get_xscale() == "log"
    assert {text.get_text() for text in axes.texts} == {
        "keras-tensorflow",
        "tutorial",
        "T = 44.0 s",
    }
    for drawn, name in zip(axes.containers, FITS, strict=True):
        fits, accuracies = FITS[name], ACCURACIES[name]
        dot, _, (across, upright) = drawn.lines
        assert dot.get_xydata()[0] == pytest.approx((np.median(fits), np.mean(accuracies)))
        (ends,) = across.get_segments()
        assert ends[:, 0] == pytest.approx((min(fits), max(fits)))
        (ends,) = upright.get_segments()
        assert ends[:, 1] == pytest.approx((min(accuracies), max(accuracies)))
    looks = {(drawn.lines[0].get_color(), drawn.lines[0].get_marker()) for drawn in axes.containers}
    assert len(looks) == 2
    assert axes.get_xlim() == (5, 100)


@pytest.mark.slow
@pytest.mark.parametrize("seed", range(4))
def test_names_in_the_figure_cover_neither_each_other_nor_a_dot(results, seed):
    rng = np.random.default_rng(seed)
    # a crowd at the bottom, as the tutorial's network gives in every library
    fits = [44.0, 9, 10.5, 12, 22, *rng.uniform(1, 300, 7)]
    accuracies = [0.875, *rng.normal(0.877, 0.002, 4), *rng.uniform(0.88, 0.94, 7)]
    names = [summary.REFERENCE, *(f"lookbook-entry-{i}" for i in range(11))]
    results["entries"] = [{"name": n, "about": "", "ours": i > 3} for i, n in enumerate(names)]
    results["measurements"] = [
        _measurement(name, 0, fit, accuracy)
        for name, fit, accuracy in zip(names, fits, accuracies, strict=True)
    ]
    figure = summary.plot(results)
    (axes,) = figure.axes
    figure.draw_without_rendering()
    texts = [text for text in axes.texts if not text.get_text().startswith("T = ")]
    boxes = [Text.get_window_extent(text) for text in texts]
    assert len(boxes) == 12
    dots = axes.transData.transform(np.stack([fits, accuracies], axis=1))
    for i, box in enumerate(boxes):
        assert not any(box.overlaps(other) for other in boxes[:i])
        assert not any(box.contains(*dot) for dot in dots)
        assert axes.bbox.contains(box.x0, box.y0)
        assert axes.bbox.contains(box.x1, box.y1)


@pytest.mark.slow
def test_redraw_needs_the_json_alone(results, tmp_path):
    path = tmp_path / "fashion-mnist.json"
    path.write_text(json.dumps(results))
    command = [sys.executable, str(ROOT / "bench" / "run.py"), "--redraw", str(path)]
    ended = subprocess.run(command, capture_output=True, text=True, check=True, cwd=tmp_path)
    written = [tmp_path / f"fashion-mnist.{kind}" for kind in ("md", "png")]
    assert ended.stdout == "".join(f"wrote {path}\n" for path in written)
    table = (tmp_path / "fashion-mnist.md").read_text(encoding="utf-8")
    assert table == summary.to_markdown(results, "fashion-mnist.png")
    with Image.open(tmp_path / "fashion-mnist.png") as picture:
        assert min(picture.size) > 1000


# ---- measuring, with made-up peers ----

GOOD = """
import json, sys
seed = int(sys.argv[sys.argv.index("--seed") + 1])
with open(__file__ + ".log", "a") as log:
    log.write(" ".join(sys.argv[1:]) + "\\n")
with open(sys.argv[sys.argv.index("--data") + 1], "a") as turns:
    turns.write(f"good {seed}\\n")
print(json.dumps({"fit_seconds": 2.5, "accuracy": 0.5 + seed / 10, "first_loss": 1.0,
                  "last_loss": 0.5, "versions": {}, "threads": 1, "device": "cpu"}))
"""
BAD = """
import sys
seed = int(sys.argv[sys.argv.index("--seed") + 1])
with open(sys.argv[sys.argv.index("--data") + 1], "a") as turns:
    turns.write(f"bad {seed}\\n")
raise SystemExit("no such instruction set")
"""


def _peer(folder, name, source, **options):
    script = folder / f"{name}.py"
    script.write_text(source)
    return run.Peer(name=name, about="made up", script=str(script), **options)


def test_a_failing_peer_is_reported_and_the_others_go_on(tmp_path, capsys):
    turns = tmp_path / "turns.txt"
    peers = (
        _peer(tmp_path, "bad", BAD),
        _peer(tmp_path, "good", GOOD, arguments=("--recipe", "quick")),
    )
    measurements, failures = run.measure(peers, turns, range(2), 100)
    assert [(one["name"], one["seed"], one["accuracy"]) for one in measurements] == [
        ("good", 0, 0.5),
        ("good", 1, 0.6),
    ]
    assert all(one["process_seconds"] > 0 for one in measurements)
    message = "no such instruction set"
    assert failures == [{"name": "bad", "seed": s, "message": message} for s in (0, 1)]
    said = capsys.readouterr().err
    assert "bad failed, seed 0: no such instruction set; the others go on\n" in said
    # they take turns, seed by seed
    assert turns.read_text().split("\n")[:4] == ["bad 0", "good 0", "bad 1", "good 1"]
    log = (tmp_path / "good.py.log").read_text().splitlines()
    assert log[1] == f"--data {turns} --seed 1 --train-pictures 100 --recipe quick"


def test_a_peer_with_fewer_seeds_takes_no_further_turn(tmp_path):
    turns = tmp_path / "turns.txt"
    peers = (_peer(tmp_path, "long", GOOD, seeds=2), _peer(tmp_path, "good", GOOD))
    measurements, _ = run.measure(peers, turns, range(3))
    done = [("long", 0), ("good", 0), ("long", 1), ("good", 1), ("good", 2)]
    assert [(one["name"], one["seed"]) for one in measurements] == done
    measurements, _ = run.measure(peers, turns, range(1))
    assert [(one["name"], one["seed"]) for one in measurements] == done[:2]


def test_ctrl_c_keeps_what_was_measured(tmp_path, capsys, monkeypatch):
    once, asked = run._measure_once, iter([False, False, True])

    def interrupted(*args):
        if next(asked):
            raise KeyboardInterrupt
        return once(*args)

    monkeypatch.setattr(run, "_measure_once", interrupted)
    peers = (_peer(tmp_path, "one", GOOD), _peer(tmp_path, "other", GOOD))
    measurements, failures = run.measure(peers, tmp_path / "turns.txt", range(2))
    assert [(one["name"], one["seed"]) for one in measurements] == [("one", 0), ("other", 0)]
    assert [summary.describe(one) for one in failures] == ["the rest: stopped by Ctrl-C"]
    said = capsys.readouterr().err.splitlines()
    assert said[0] == "1 of 4: one"
    assert re.fullmatch(r"3 of 4: one, about 0\.\d+ s left", said[4])
    assert said[5:] == ["stopped; what was measured is kept"]


@pytest.mark.slow
def test_a_peer_that_cannot_be_installed_is_reported_and_the_others_go_on(
    tmp_path, capsys, monkeypatch
):
    monkeypatch.setenv("PIP_NO_INDEX", "1")
    monkeypatch.setenv("PIP_FIND_LINKS", str(tmp_path))
    missing = _peer(
        tmp_path, "missing", GOOD, requirements=("no-such-package==0",), environment="nowhere"
    )
    peers = (missing, _peer(tmp_path, "good", GOOD))
    measurements, failures = run.measure(peers, tmp_path / "turns.txt", range(1), None, tmp_path)
    assert [one["name"] for one in measurements] == ["good"]
    assert [(one["name"], one["seed"]) for one in failures] == [("missing", None)]
    said = capsys.readouterr().err
    assert "missing: installing no-such-package==0 into" in said
    assert "missing could not be set up: ERROR: No matching distribution found" in said
    assert not (tmp_path / "nowhere" / "requirements.txt").exists()


def test_an_environment_is_kept_until_its_pins_change(tmp_path, monkeypatch):
    commands = []
    monkeypatch.setattr(run, "output_of", lambda command: commands.append(command) or "")
    (tmp_path / "e").mkdir()
    peer = _peer(tmp_path, "p", GOOD, requirements=("a==1", "b==2"), environment="e")
    for _ in range(2):
        assert run.set_up(peer, tmp_path) == tmp_path / "e" / "bin" / "python"
    assert len(commands) == 2
    assert commands[0][1:4] == ["-m", "venv", "--clear"]
    assert commands[1][-2:] == ["a==1", "b==2"]
    run.set_up(_peer(tmp_path, "p", GOOD, requirements=("a==2",), environment="e"), tmp_path)
    assert len(commands) == 4


@pytest.mark.parametrize(
    ("printed", "message"),
    [
        ("", "expected one line with a JSON object, got ''"),
        ("Epoch 1\n{}\n", "expected one line with a JSON object, got 'Epoch 1\\n{}\\n'"),
        ("3\n", "expected one line with a JSON object, got '3\\n'"),
        (
            '{"fit_seconds": 1, "accuracy": 1, "versions": {}, "threads": 1, "device": "cpu"}\n',
            "the JSON line lacks first_loss, last_loss",
        ),
    ],
)
def test_what_a_peer_prints_is_checked(printed, message):
    with pytest.raises(run.PeerError) as raised:
        run.parse(printed, run.REQUIRED)
    assert str(raised.value) == message


# ---- the peers that there are ----


def test_names_are_unique_and_every_requirement_is_pinned():
    assert len({peer.name for peer in run.PEERS}) == len(run.PEERS)
    assert summary.REFERENCE in {peer.name for peer in run.PEERS}
    pins = {}
    for peer in run.PEERS:
        assert all("==" in requirement for requirement in peer.requirements)
        assert bool(peer.requirements) == (peer.environment is not None)
        assert not (peer.ours and peer.requirements)
        assert pins.setdefault(peer.environment, peer.requirements) == peer.requirements


def test_each_recipe_is_an_entry_and_only_recipes_are_ours():
    ours = {peer.name: peer for peer in run.PEERS if peer.ours}
    assert set(ours) == {f"lookbook-{name}" for name in RECIPES} | {"lookbook-quick-10"}
    quick = ours["lookbook-quick-10"]
    assert quick.about == "lookbook train fashion-mnist --recipe quick --epochs 10 --final"
    assert quick.arguments[:4] == ("--recipe", "quick", "--epochs", "10")
    assert run._entry(quick)["ours"]
    # it runs in the project's environment, and yet is not ours
    (loop,) = (peer for peer in run.PEERS if peer.name == "pytorch-loop")
    assert loop.environment is None
    assert not run._entry(loop)["ours"]


def test_scripts_exist_and_none_imports_lookbook():
    for peer in run.PEERS:
        tree = ast.parse((run.SCRIPTS / peer.script).read_text(encoding="utf-8"))
        imported = {
            name.name.split(".")[0]
            for node in ast.walk(tree)
            if isinstance(node, ast.Import)
            for name in node.names
        } | {
            (node.module or "").split(".")[0]
            for node in ast.walk(tree)
            if isinstance(node, ast.ImportFrom)
        }
        assert "lookbook" not in imported


def _made_up_data(path, side):
    rng = np.random.default_rng(0)
    labels = np.arange(400) % 2
    images = rng.integers(0, 50, (400, side, side)).astype(np.uint8)
    # light on the left or on the right: anyone can tell them apart
    images[labels == 0, :, : side // 2] += 200
    images[labels == 1, :, side // 2 :] += 200
    np.savez(
        path,
        train_images=images[:300],
        train_labels=labels[:300],
        test_images=images[300:],
        test_labels=labels[300:],
        classes=np.array(["left", "right"]),
    )
    return path


@pytest.mark.slow
def test_our_own_entry_prints_what_is_asked_for(tmp_path):
    path = _made_up_data(tmp_path / "made-up.npz", side=8)
    ours = run.Peer("ours", "made up", "lookbook_recipe.py", arguments=("--recipe", "tutorial"))
    (found,), failures = run.measure((ours,), path, range(1), 200)
    assert failures == []
    assert found["accuracy"] == 1
    assert found["first_loss"] > found["last_loss"] > 0
    assert found["process_seconds"] > found["fit_seconds"] + found["calibration_seconds"] > 0
    assert found["versions"]["torch"]


@pytest.mark.slow
@pytest.mark.parametrize("name", ["pytorch-loop", "sklearn-mlp"])
def test_peers_that_need_no_keras_print_what_is_asked_for(tmp_path, name):
    path = _made_up_data(tmp_path / "made-up.npz", side=28)
    (peer,) = (peer for peer in run.PEERS if peer.name == name)
    # scikit-learn is here, too
    peer = replace(peer, requirements=(), environment=None)
    (found,), failures = run.measure((peer,), path, range(1), 200)
    assert failures == []
    assert found["accuracy"] == 1
    assert found["first_loss"] > found["last_loss"] > 0
    assert found["process_seconds"] > found["fit_seconds"] > 0
    assert "calibration_seconds" not in found


@pytest.mark.parametrize(("epochs", "added"), [(None, []), ("10", ["--epochs", "10"])])
def test_passes_of_our_own_entry_are_those_asked_for(monkeypatch, tmp_path, epochs, added):
    commands = []
    monkeypatch.setattr(lookbook_recipe, "_lookbook", lambda *words: commands.append(words) or "")
    lookbook_recipe._train("data", "quick", epochs, 3, tmp_path)
    options = ["--recipe", "quick", "--seed", "3", "--out", str(tmp_path), *added]
    assert commands == [("train", "data", "--final", *options)]


def test_a_failure_of_our_own_entry_ends_with_what_lookbook_said(tmp_path):
    ours = run.Peer("ours", "made up", "lookbook_recipe.py", arguments=("--recipe", "quack"))
    path = _made_up_data(tmp_path / "made-up.npz", side=8)
    measurements, (failure,) = run.measure((ours,), path, range(1))
    assert measurements == []
    said = failure["message"].splitlines()[-1]
    assert said.startswith("error: no recipe is called 'quack'; did you mean 'quick'?")
