"""Pages for people: what each of them is sent with, and the one on the routes. No network."""

from __future__ import annotations

import json
from collections.abc import Callable
from functools import cache
from importlib.metadata import version
from typing import Any, NamedTuple

from lookbook.core import templates
from lookbook.core.templates import Lang
from lookbook.serving.http.description import Document

#: of every page: nobody frames it, it tells nobody where it was, and runs nothing of others
HEADERS = {
    "x-frame-options": "DENY",
    "referrer-policy": "no-referrer",
    "cross-origin-opener-policy": "same-origin",
    "cache-control": "no-cache",
}
_DOCS_POLICY = (
    "default-src 'none'; style-src 'unsafe-inline'; img-src data:; base-uri 'none'; "
    "form-action 'none'; frame-ancestors 'none'"
)


def policy_of(page: bytes) -> str:
    """Return the policy that a page states itself: its own script, and this server."""
    start = page.index(b'http-equiv="Content-Security-Policy" content="')
    policy = page[start:].split(b'"', 4)[3]
    return f"{policy.decode()}; frame-ancestors 'none'"


class _Route(NamedTuple):
    method: str
    path: str
    summary: str
    parameters: list[tuple[str, str]]
    bodies: list[str]
    answers: list[tuple[str, str]]


#: a text in English → in the language of a page
_Say = Callable[[str], str]


def language_of(accepted: str) -> Lang:
    """Return the language that a browser asks for first, of those that there are.

    >>> language_of("ko-KR,ko;q=0.9,en;q=0.8"), language_of("fr, ko"), language_of("")
    ('ko', 'ko', 'en')
    """
    asked = [each.partition(";")[0].partition("-")[0].strip() for each in accepted.split(",")]
    return next((lang for each in asked for lang in templates.LANGS if lang == each), "en")


def docs(
    document: Document, models: list[str], no_page: list[str], lang: Lang
) -> tuple[bytes, str]:
    """Return the page that says what the routes are, and which models have no page; its policy."""
    say = _korean if lang == "ko" else str
    page = templates.fill(
        "serving/docs",
        (),
        lang=lang,
        other=next(each for each in templates.LANGS if each != lang),
        say=say,
        title=f"lookbook {version('lookbook')}: {say('routes')}",
        lead=say(_LEAD),
        models=models,
        no_page=no_page,
        routes=list(_routes(document, say)),
    )
    return page.encode(), _DOCS_POLICY


_LEAD = (
    "Open Inference Protocol v2 for programs, /predict for image files, /metrics for "
    'Prometheus. Errors are JSON: {"error": "what was expected"}.'
)


def _korean(text: str) -> str:
    return korean().get(text, text)


@cache
def korean() -> dict[str, str]:
    """Return the texts of that page in Korean, by the English ones."""
    return dict(json.loads(templates.asset("serving/docs.ko.json")))


def _routes(document: Document, say: _Say) -> list[_Route]:
    return [
        _Route(
            method.upper(),
            path,
            say(one.get("description", one.get("summary", ""))),
            [(each["name"], _about(each, say)) for each in one.get("parameters", [])],
            list(one.get("requestBody", {}).get("content", {})),
            [
                (status, say(each["description"]))
                for status, each in sorted(one["responses"].items())
            ],
        )
        for path, operations in document["paths"].items()
        for method, one in operations.items()
    ]


def _about(parameter: dict[str, Any], say: _Say) -> str:
    """Return what is said of a parameter, and where it stands."""
    return f"{say(parameter['in'])}. {say(parameter.get('description', ''))}".strip()
