"""Peers: environments are made once, and what a script prints is checked."""

import pytest

from bench.harness import peer_process
from bench.harness.peer_process import Peer
from bench.speed import REQUIRED


def test_an_environment_is_kept_until_its_pins_change(tmp_path, monkeypatch):
    commands = []
    monkeypatch.setattr(peer_process, "output_of", lambda command: commands.append(command) or "")
    (tmp_path / "e").mkdir()
    peer = Peer("p", "made up", "p.py", requirements=("a==1", "b==2"), environment="e")
    for _ in range(2):
        assert peer_process.set_up(peer, tmp_path) == tmp_path / "e" / "bin" / "python"
    assert len(commands) == 2
    assert commands[0][1:4] == ["-m", "venv", "--clear"]
    assert commands[1][-2:] == ["a==1", "b==2"]
    peer_process.set_up(
        Peer("p", "made up", "p.py", requirements=("a==2",), environment="e"), tmp_path
    )
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
    with pytest.raises(peer_process.PeerError) as raised:
        peer_process.parse(printed, REQUIRED)
    assert str(raised.value) == message
