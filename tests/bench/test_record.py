"""Turns of measuring: counted, with what is left; failures and Ctrl-C are kept."""

import sys
import time

import pytest

from bench.harness import files, page, peer_process
from bench.harness.record import Record
from lookbook.cli.terminal import duration


@pytest.mark.parametrize(
    ("program", "message"),
    [
        ("print('Epoch 1'); print('{}')", "expected one line with a JSON object, got 'Epoch 1"),
        ("print(3)", "expected one line with a JSON object, got '3"),
        ("print('{\"rates\": 1}')", "the JSON line lacks versions"),
        ("raise SystemExit('no such instruction set')", "no such instruction set"),
        ("raise SystemExit(3)", "ended with exit code 3"),
    ],
)
def test_what_a_script_prints_is_checked(program, message, capsys):
    record = Record()
    assert record.ask({"name": "it"}, [sys.executable, "-c", program], {"rates", "versions"}) == {}
    assert record.measurements == []
    (failure,) = record.failures
    assert failure["message"].startswith(message)
    assert capsys.readouterr().err.startswith("failed: it: ")


def test_ctrl_c_ends_the_turns_and_leaves_a_part(tmp_path, monkeypatch, capsys):
    record = Record()
    answers = iter(["{}", KeyboardInterrupt()])

    def answer(_command):
        if isinstance(given := next(answers), BaseException):
            raise given
        return given

    monkeypatch.setattr(peer_process, "output_of", answer)
    for number in record.turns(range(4), str):
        record.ask({"number": number}, [], set())
    assert [one["number"] for one in record.measurements] == [0]
    results = {"name": "it", "trial": False, "measurements": record.measurements}
    results["failures"] = record.failures
    written = files.finish(results, tmp_path, lambda _path: [], whole=True)
    assert written == tmp_path / "it-part.json"
    assert page.warnings(results) == ["**failed: the rest: stopped by Ctrl-C**", ""]
    said = capsys.readouterr().err
    assert said == "1 of 4: 0\n2 of 4: 1\nstopped; what was measured is kept\n"


def test_the_rest_is_said_once_each_kind_has_had_a_turn(monkeypatch, capsys):
    clock = iter([0, 60, 100, 130, 200, 260, 300, 330])
    monkeypatch.setattr(time, "perf_counter", lambda: next(clock))
    assert list(Record().turns(["a", "b", "a", "b"], str)) == ["a", "b", "a", "b"]
    said = capsys.readouterr().err.splitlines()
    assert said[:2] == ["1 of 4: a", "2 of 4: b"]
    # a took 60 seconds, b 30
    assert said[2:] == [
        f"3 of 4: a, about {duration(90)} left",
        f"4 of 4: b, about {duration(30)} left",
    ]


def test_keras_that_cannot_be_installed_is_reported(monkeypatch):
    def fail(_peer, _scratch):
        raise peer_process.PeerError("ERROR: no network")

    monkeypatch.setattr(peer_process, "set_up", fail)
    record = Record()
    assert record.keras_python() is None
    (failure,) = record.failures
    assert failure["message"] == "ERROR: no network"
