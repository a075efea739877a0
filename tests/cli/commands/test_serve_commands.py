"""`lookbook serve` where its packages are missing."""

from __future__ import annotations

import pytest

from lookbook.cli.commands import serve
from lookbook.errors import InputError


@pytest.mark.parametrize("missing", serve.NEEDED)
def test_missing_packages_are_named_with_what_installs_them(monkeypatch, missing):
    monkeypatch.setattr(serve, "find_spec", lambda name: None if name == missing else object())
    with pytest.raises(InputError, match=r"install them: pip install 'lookbook\[serve\]'"):
        serve.serve(["runs/a"])
