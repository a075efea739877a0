"""The benchmark of speed: one bad peer stops no other, and the peers are what they say."""

import ast
import json
import re
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from bench import speed, speed_summary
from bench.harness import peer_process
from bench.harness.peer_process import SCRIPTS, Peer
from bench.harness.record import describe
from bench.peers import lookbook_recipe
from lookbook.recipes import RECIPES
from speed_results import made_up_results

ROOT = Path(__file__).parents[2]


@pytest.mark.slow
def test_redraw_needs_the_json_alone(tmp_path):
    results = made_up_results()
    path = tmp_path / "speed.json"
    path.write_text(json.dumps(results))
    command = [sys.executable, "-m", "bench", "speed", "--redraw", str(path)]
    ended = subprocess.run(command, capture_output=True, text=True, check=True, cwd=ROOT)
    written = [tmp_path / f"speed.{kind}" for kind in ("md", "png")]
    assert ended.stdout == "".join(f"wrote {path}\n" for path in written)
    table = (tmp_path / "speed.md").read_text(encoding="utf-8")
    assert table == speed_summary.to_markdown(results, "speed.png")
    with Image.open(tmp_path / "speed.png") as picture:
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
    return Peer(name=name, about="made up", script=str(script), **options)


def test_a_failing_peer_is_reported_and_the_others_go_on(tmp_path, capsys):
    turns = tmp_path / "turns.txt"
    peers = (
        _peer(tmp_path, "bad", BAD),
        _peer(tmp_path, "good", GOOD, arguments=("--recipe", "quick")),
    )
    record = speed.measure(peers, turns, range(2), 100)
    assert [(one["name"], one["seed"], one["accuracy"]) for one in record.measurements] == [
        ("good", 0, 0.5),
        ("good", 1, 0.6),
    ]
    assert all(one["process_seconds"] > 0 for one in record.measurements)
    message = "no such instruction set"
    assert record.failures == [{"name": "bad", "seed": s, "message": message} for s in (0, 1)]
    said = capsys.readouterr().err
    assert "failed: bad, seed 0: no such instruction set; the others go on\n" in said
    # they take turns, seed by seed
    assert turns.read_text().split("\n")[:4] == ["bad 0", "good 0", "bad 1", "good 1"]
    log = (tmp_path / "good.py.log").read_text().splitlines()
    assert log[1] == f"--data {turns} --seed 1 --train-pictures 100 --recipe quick"


def test_a_peer_with_fewer_seeds_takes_no_further_turn(tmp_path):
    turns = tmp_path / "turns.txt"
    peers = (_peer(tmp_path, "long", GOOD, seeds=2), _peer(tmp_path, "good", GOOD))
    record = speed.measure(peers, turns, range(3))
    done = [("long", 0), ("good", 0), ("long", 1), ("good", 1), ("good", 2)]
    assert [(one["name"], one["seed"]) for one in record.measurements] == done
    record = speed.measure(peers, turns, range(1))
    assert [(one["name"], one["seed"]) for one in record.measurements] == done[:2]


def test_ctrl_c_keeps_what_was_measured(tmp_path, capsys, monkeypatch):
    once, asked = peer_process.output_of, iter([False, False, True])

    def interrupted(command):
        if next(asked):
            raise KeyboardInterrupt
        return once(command)

    monkeypatch.setattr(peer_process, "output_of", interrupted)
    peers = (_peer(tmp_path, "one", GOOD), _peer(tmp_path, "other", GOOD))
    record = speed.measure(peers, tmp_path / "turns.txt", range(2))
    done = [("one", 0), ("other", 0)]
    assert [(one["name"], one["seed"]) for one in record.measurements] == done
    assert [describe(one) for one in record.failures] == ["failed: the rest: stopped by Ctrl-C"]
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
    record = speed.measure(peers, tmp_path / "turns.txt", range(1), None, tmp_path)
    assert [one["name"] for one in record.measurements] == ["good"]
    assert [(one["name"], one["seed"]) for one in record.failures] == [("missing", None)]
    said = capsys.readouterr().err
    assert "missing: installing no-such-package==0 into" in said
    assert "failed: missing, set-up: ERROR: No matching distribution found" in said
    assert not (tmp_path / "nowhere" / "requirements.txt").exists()


# ---- the peers that there are ----


def test_names_are_unique_and_every_requirement_is_pinned():
    assert len({peer.name for peer in speed.PEERS}) == len(speed.PEERS)
    assert speed_summary.REFERENCE in {peer.name for peer in speed.PEERS}
    pins = {}
    for peer in speed.PEERS:
        assert all("==" in requirement for requirement in peer.requirements)
        assert bool(peer.requirements) == (peer.environment is not None)
        assert not (peer.ours and peer.requirements)
        assert pins.setdefault(peer.environment, peer.requirements) == peer.requirements


def test_each_recipe_is_an_entry_and_only_recipes_are_ours():
    ours = {peer.name: peer for peer in speed.PEERS if peer.ours}
    assert set(ours) == {f"lookbook-{name}" for name in RECIPES if name != "transfer"} | {
        "lookbook-quick-10"
    }
    quick = ours["lookbook-quick-10"]
    assert quick.about == "lookbook train fashion-mnist --recipe quick --epochs 10 --final"
    assert quick.arguments[:4] == ("--recipe", "quick", "--epochs", "10")
    assert speed._entry(quick)["ours"]
    # it runs in the project's environment, and yet is not ours
    (loop,) = (peer for peer in speed.PEERS if peer.name == "pytorch-loop")
    assert loop.environment is None
    assert not speed._entry(loop)["ours"]


def test_scripts_exist_and_none_imports_lookbook():
    for peer in speed.PEERS:
        tree = ast.parse((SCRIPTS / peer.script).read_text(encoding="utf-8"))
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
    ours = Peer("ours", "made up", "lookbook_recipe.py", arguments=("--recipe", "tutorial"))
    record = speed.measure((ours,), path, range(1), 200)
    assert record.failures == []
    (found,) = record.measurements
    assert found["accuracy"] == 1
    assert found["first_loss"] > found["last_loss"] > 0
    assert found["process_seconds"] > found["fit_seconds"] + found["calibration_seconds"] > 0
    assert found["versions"]["torch"]


@pytest.mark.slow
@pytest.mark.parametrize("name", ["pytorch-loop", "sklearn-mlp"])
def test_peers_that_need_no_keras_print_what_is_asked_for(tmp_path, name):
    path = _made_up_data(tmp_path / "made-up.npz", side=28)
    (peer,) = (peer for peer in speed.PEERS if peer.name == name)
    # scikit-learn is here, too
    peer = replace(peer, requirements=(), environment=None)
    record = speed.measure((peer,), path, range(1), 200)
    assert record.failures == []
    (found,) = record.measurements
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
    ours = Peer("ours", "made up", "lookbook_recipe.py", arguments=("--recipe", "quack"))
    path = _made_up_data(tmp_path / "made-up.npz", side=8)
    record = speed.measure((ours,), path, range(1))
    assert record.measurements == []
    (failure,) = record.failures
    said = failure["message"].splitlines()[-1]
    assert said.startswith("error: no recipe is called 'quack'; did you mean 'quick'?")
