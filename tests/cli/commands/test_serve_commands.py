"""`lookbook serve` where its packages are missing, and what it keeps beside its workers."""

from __future__ import annotations

import gc
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
