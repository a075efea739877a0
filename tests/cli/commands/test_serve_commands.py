"""`lookbook serve` where its packages are missing, and what it keeps beside its workers."""

from __future__ import annotations

import gc
import json
import logging
import shutil
import subprocess
import weakref

import pytest

from lookbook.cli.commands import serve
from lookbook.errors import InputError
from lookbook.serving.http import server, workers


@pytest.fixture(autouse=True)
def own_logging():
    """Leave logging as it was: the command writes it to the standard error of its test."""
    root, ours = logging.getLogger(), logging.getLogger("lookbook.serving")
    before = root.handlers[:], root.level, ours.level
    yield
    root.handlers[:] = before[0]
    root.setLevel(before[1])
    ours.setLevel(before[2])


@pytest.mark.parametrize("missing", serve.NEEDED)
def test_missing_packages_are_named_with_what_installs_them(monkeypatch, missing):
    monkeypatch.setattr(serve, "find_spec", lambda name: None if name == missing else object())
    with pytest.raises(InputError, match=r"install them: pip install 'lookbook\[serve\]'"):
        serve.serve(["runs/a"])


def test_the_parent_of_workers_keeps_no_model(monkeypatch, call):
    kept, load = [], server.load

    def load_noted(settings):
        repository = load(settings)
        kept.append(weakref.ref(repository.get().model))
        return repository

    def run(_settings, listening, tell):
        gc.collect()
        kept.append(kept.pop()())
        tell()
        listening.close()

    monkeypatch.setattr(server, "load", load_noted)
    monkeypatch.setattr(workers, "run", run)
    code, said, _ = call("serve", "m=runs/bars-tutorial-1", "--port", 0, "--workers", 2)
    assert (code, kept) == (0, [None])
    assert said.startswith("serving m on http://127.0.0.1:")


@pytest.fixture
def start(monkeypatch, call):
    """Start the command, and end it as soon as it says that it answers."""

    def run(_settings, _repository, listening, tell):
        tell()
        listening.close()

    monkeypatch.setattr(server, "run", run)

    def starting(*options, model="m=runs/bars-tutorial-1"):
        return call("serve", model, "--port", 0, *options)

    return starting


@pytest.mark.parametrize("name", ["token.txt", "my $token.txt"])
def test_the_next_step_carries_the_token(start, tmp_path, name):
    token = tmp_path / name
    token.write_text("s3cret\n")
    code, said, _ = start("--token-file", token)
    step = said.partition("next: ")[2]
    assert (code, step[:5]) == (0, "curl ")
    words = subprocess.check_output(["sh", "-c", f"printf '%s|' {step[5:]}"], text=True).split("|")
    assert words[:2] == ["-H", "Authorization: Bearer s3cret"]
    assert words[-2].endswith("/predict")


def test_without_a_token_the_next_step_asks_for_none(start):
    assert "Bearer" not in start()[1]


@pytest.mark.parametrize("with_token", [False, True])
def test_all_addresses_are_said_to_be_listened_on(start, tmp_path, with_token):
    (tmp_path / "token").write_text("s3cret")
    token = ["--token-file", tmp_path / "token"] if with_token else []
    _, out, said = start("--host", "0.0.0.0", *token)
    assert ", and on all other addresses of this machine\n" in out
    assert ("whoever reaches" in said) != with_token
    assert "all other addresses" not in start(*token)[1]


def test_all_on_standard_error_is_json_from_the_start_on(start, place, tmp_path):
    shutil.copytree(place / "runs" / "bars-tutorial-1", tmp_path / "versions" / "1")
    (tmp_path / "versions" / "2").mkdir()
    code, out, said = start("--host", "0.0.0.0", model=tmp_path / "versions")
    assert code == 0
    assert [line.partition(" ")[0] for line in out.splitlines()] == ["serving", "next:"]
    messages = [json.loads(line)["message"] for line in said.splitlines()]
    assert len(messages) == 3
    for message, part in zip(messages, ["1 answers", "2 is not taken", "whoever"], strict=True):
        assert part in message
