"""`lookbook serve` where its packages are missing, and what it keeps beside its workers."""

from __future__ import annotations

import gc
import subprocess
import weakref

import pytest

from lookbook.cli.commands import serve
from lookbook.errors import InputError
from lookbook.serving.http import server, workers


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
    code, _, said = call("serve", "m=runs/bars-tutorial-1", "--port", 0, "--workers", 2)
    assert (code, kept) == (0, [None])
    assert said.startswith("serving m on http://127.0.0.1:")


@pytest.fixture
def start(monkeypatch, call):
    """Start the command, and end it as soon as it says that it answers."""

    def run(_settings, _repository, listening, tell):
        tell()
        listening.close()

    monkeypatch.setattr(server, "run", run)
    return lambda *options: call("serve", "m=runs/bars-tutorial-1", "--port", 0, *options)


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
    assert ", and on all other addresses of this machine\n" in out + said
    assert ("whoever reaches" in said) != with_token
    _, out, said = start(*token)
    assert "all other addresses" not in out + said
