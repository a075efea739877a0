"""The benchmark: its arithmetic, its table, its figure, and that one bad peer stops no other."""

import ast
import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

ROOT = Path(__file__).parents[1]
sys.path.insert(0, str(ROOT))  # `bench` is no part of the installed package

from bench import run, summary  # noqa: E402

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
        "load_average_before": [0.1, 0.2, 0.3],
        **ours,
    }


@pytest.fixture
def results():
    return {
        "name": "tutorial",
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
        assert one.runs == len(FITS[name])
        assert _values(one.fit) == _three(FITS[name])
        assert _values(one.process) == _three(np.array(FITS[name]) + 5)
        assert _values(one.accuracies) == _three(ACCURACIES[name])
        assert one.accuracy == pytest.approx(np.mean(ACCURACIES[name]))
        assert one.deviation == pytest.approx(np.std(ACCURACIES[name], ddof=1))
        assert one.first_loss == pytest.approx(0.5 + np.mean(SEEDS[name]) / 100)
        assert one.last_loss == pytest.approx(0.24 + np.mean(SEEDS[name]) / 100)
    assert found["keras-tensorflow"].calibration is None
    assert found["lookbook-tutorial"].calibration == pytest.approx(np.median([7.0, 8.5]))


def test_ratios_are_of_medians_and_of_the_same_seeds(results):
    reference, ours = summary.summarise(results)
    assert reference.ratio == 1
    assert _values(reference.pairwise) == (1, 1, 1)
    assert ours.ratio == pytest.approx(np.median([8.0, 9.5]) / np.median([44.0, 40.0, 47.5]))
    # seed 1 failed: seeds 0 and 2 are compared with the reference's seeds 0 and 2
    assert _values(ours.pairwise) == _three(np.array([8.0, 9.5]) / np.array([44.0, 47.5]))


def test_without_the_reference_there_is_no_ratio(results):
    results["entries"] = results["entries"][2:]
    (ours,) = summary.summarise(results)
    assert ours.ratio is None
    assert ours.pairwise is None
    assert "| – | – |" in summary.to_markdown(results, "x.png")
    assert "T is" not in summary.to_markdown(results, "x.png")


def test_one_run_has_no_deviation(results):
    results["measurements"] = results["measurements"][:1]
    (only,) = summary.summarise(results)
    assert only.deviation is None
    assert "| 87.30 % |" in summary.to_markdown(results, "x.png")


# ---- the table ----


def test_table_has_one_row_for_each_entry_that_ran(results):
    text = summary.to_markdown(results, "tutorial.png")
    table = [line for line in text.splitlines() if line.startswith("|")]
    assert len({line.count("|") for line in table}) == 1
    assert table[2] == (
        "| keras-tensorflow | 40.0 / 44.0 / 47.5 | 1.000 | 1.000 / 1.000 / 1.000 | "
        "87.47 ± 0.21 % | 87.30 to 87.70 % | 0.5100 → 0.2500 | 45.0 / 49.0 / 52.5 |"
    )
    assert table[3] == (
        "| lookbook-tutorial | 8.00 / 8.75 / 9.50 | 0.199 | 0.182 / 0.191 / 0.200 | "
        "88.07 ± 0.11 % | 87.99 to 88.15 % | 0.5100 → 0.2500 | 13.0 / 13.8 / 14.5 |"
    )
    assert len(table) == 4


def test_table_carries_its_conditions(results):
    text = summary.to_markdown(results, "tutorial.png")
    for words in (
        "](tutorial.png)",
        "T is keras-tensorflow's median fit, 44.00 s.",
        "lookbook-tutorial trains a twin for the temperature after its fit, 7.75 s (median)",
        "**lookbook-tutorial failed, seed 1: ValueError: no**",
        "- Started: 2026-01-02T03:04:05+00:00",
        "- Data: Fashion-MNIST, 60,000 training pictures, 10,000 test pictures",
        "- Runs: seeds 0, 1, 2; each run is a process of its own",
        "- Machine: A Processor, 2 cores, Linux x86_64",
        "- Load average at the start: 0.50, 0.25, 0.12 (1, 5 and 15 minutes)",
        "- Code: commit 0123456789abcdef, clean tree",
        "- keras-tensorflow: a script; cpu, 2 threads; python 3.11.7\n",
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
    assert run._stem(None, whole=True) == "tutorial"
    assert run._stem(None, whole=False) == "tutorial-part"
    assert run._stem(2000, whole=True) == "tutorial-trial-2000"
    assert run._stem(2000, whole=False) == "tutorial-part-trial-2000"


# ---- the figure ----


def test_figure_shows_each_run_as_a_dot_and_names_each_entry(results):
    (axes,) = summary.plot(results).axes
    assert axes.get_xscale() == "log"
    assert {text.get_text() for text in axes.texts} == set(FITS)
    for group, name in zip(
        axes.collections, ("lookbook-tutorial", "keras-tensorflow"), strict=True
    ):
        np.testing.assert_allclose(
            group.get_offsets(), np.stack([FITS[name], ACCURACIES[name]], axis=1)
        )
    low, high = axes.get_xlim()
    assert (low, high) == (5, 100)


def test_each_entry_of_a_side_has_a_marker_of_its_own():
    styles = summary._styles([{"name": str(i), "ours": i % 2 == 0} for i in range(8)])
    assert len({(colour, marker) for _, colour, marker in styles}) == 8
    assert len({colour for _, colour, _ in styles}) == 2


def test_redraw_needs_the_json_alone(results, tmp_path):
    path = tmp_path / "tutorial.json"
    path.write_text(json.dumps(results))
    command = [sys.executable, str(ROOT / "bench" / "run.py"), "--redraw", str(path)]
    ended = subprocess.run(command, capture_output=True, text=True, check=True, cwd=tmp_path)
    assert ended.stdout == f"wrote {tmp_path / 'tutorial.md'}\nwrote {tmp_path / 'tutorial.png'}\n"
    table = (tmp_path / "tutorial.md").read_text(encoding="utf-8")
    assert table == summary.to_markdown(results, "tutorial.png")
    with Image.open(tmp_path / "tutorial.png") as picture:
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
    monkeypatch.setattr(run, "_run", lambda command: commands.append(command) or "")
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
        ("", "expected one JSON line, got 0 lines that begin with ''"),
        ("Epoch 1\n{}\n", "expected one JSON line, got 2 lines that begin with 'Epoch 1\\n{}\\n'"),
        ("3\n", "expected one JSON line, got 1 lines that begin with '3\\n'"),
        (
            '{"fit_seconds": 1, "accuracy": 1, "versions": {}, "threads": 1, "device": "cpu"}\n',
            "the JSON line lacks first_loss, last_loss",
        ),
    ],
)
def test_what_a_peer_prints_is_checked(printed, message):
    with pytest.raises(run.PeerError) as raised:
        run._parse(printed)
    assert str(raised.value) == message


# ---- the peers that there are ----


def test_names_are_unique_and_every_requirement_is_pinned():
    assert len({peer.name for peer in run.PEERS}) == len(run.PEERS)
    assert summary.REFERENCE in {peer.name for peer in run.PEERS}
    pins = {}
    for peer in run.PEERS:
        assert all("==" in requirement for requirement in peer.requirements)
        assert bool(peer.requirements) == (peer.environment is not None)
        assert pins.setdefault(peer.environment, peer.requirements) == peer.requirements


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


def test_our_own_entry_prints_what_is_asked_for(tmp_path):
    rng = np.random.default_rng(0)
    labels = np.arange(400) % 2
    # dark and light pictures: anyone can tell them apart
    images = (labels[:, None, None] * 200 + rng.integers(0, 50, (400, 8, 8))).astype(np.uint8)
    path = tmp_path / "made-up.npz"
    np.savez(
        path,
        train_images=images[:300],
        train_labels=labels[:300],
        test_images=images[300:],
        test_labels=labels[300:],
        classes=np.array(["dark", "light"]),
    )
    ours = run.Peer("ours", "made up", "lookbook_recipe.py", arguments=("--recipe", "tutorial"))
    (found,), failures = run.measure((ours,), path, range(1), 200)
    assert failures == []
    assert found["accuracy"] == 1
    assert found["first_loss"] > found["last_loss"] > 0
    assert found["process_seconds"] > found["fit_seconds"] + found["calibration_seconds"] > 0
    assert found["versions"]["torch"]
