"""Templates: what lacks is an error, and no text is lost."""

from __future__ import annotations

import pytest
from jinja2 import UndefinedError

from lookbook.core.templates import render


def test_a_template_that_asks_for_what_is_not_there_is_an_error():
    with pytest.raises(UndefinedError, match="'script_hash' is undefined"):
        render("exports/try.html")
