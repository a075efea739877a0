"""Pages for people: what each of them is sent with, and the one on the routes. No network."""

from __future__ import annotations

from importlib.metadata import version
from typing import Any, NamedTuple

from lookbook.core import templates
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


def docs(document: Document, models: list[str], no_page: list[str]) -> tuple[bytes, str]:
    """Return the page that says what the routes are, and which models have no page; its policy."""
    page = templates.fill(
        "serving/docs",
        (),
        title=f"lookbook {version('lookbook')}: routes",
        lead="Open Inference Protocol v2 for programs, /predict for image files, /metrics for "
        'Prometheus. Errors are JSON: {"error": "what was expected"}.',
        models=models,
        no_page=no_page,
        routes=list(_routes(document)),
    )
    return page.encode(), _DOCS_POLICY


def _routes(document: Document) -> list[_Route]:
    return [
        _Route(
            method.upper(),
            path,
            one.get("description", one.get("summary", "")),
            [(each["name"], _about(each)) for each in one.get("parameters", [])],
            list(one.get("requestBody", {}).get("content", {})),
            [(status, each["description"]) for status, each in sorted(one["responses"].items())],
        )
        for path, operations in document["paths"].items()
        for method, one in operations.items()
    ]


def _about(parameter: dict[str, Any]) -> str:
    """Return what is said of a parameter, and where it stands."""
    return f"{parameter['in']}. {parameter.get('description', '')}".strip()
