"""Origins: pages of other sites that may ask, and what those are told that may not."""

from __future__ import annotations

from typing import TYPE_CHECKING

from starlette.middleware.cors import CORSMiddleware
from starlette.responses import JSONResponse, Response

from lookbook.serving import tensors

if TYPE_CHECKING:
    from starlette.datastructures import Headers

    from lookbook.serving.http.application import App

_ASKED_HEADERS = "access-control-request-headers"
_HEADERS = ("authorization", "content-type", tensors.JSON_LENGTH, "x-request-id")


def allow_origins(app: App, origins: tuple[str, ...]) -> App:
    """Let pages of other sites ask, too."""
    return _Sites(
        app,
        allow_origins=origins,
        allow_methods=["GET", "POST"],
        allow_headers=_HEADERS,
        expose_headers=[tensors.JSON_LENGTH, "x-request-id", "retry-after"],
    )


class _Sites(CORSMiddleware):
    """Says a refusal as all errors are said: Starlette says it in plain text."""

    def preflight_response(self, request_headers: Headers) -> Response:
        """Answer a browser that asks whether a page may ask."""
        answer = super().preflight_response(request_headers)
        if answer.status_code == 200:
            return answer
        refusal = JSONResponse({"error": self._expected(request_headers)}, answer.status_code)
        for name, value in answer.headers.items():
            refusal.headers.setdefault(name, value)
        return refusal

    def _expected(self, asked: Headers) -> str:
        origin, method = asked["origin"], asked["access-control-request-method"]
        if not self.is_allowed_origin(origin):
            sites = ", ".join(self.allow_origins)
            return f"expected a page of {sites} (--allow-origin), got {origin!r}"
        if method not in self.allow_methods:
            return f"expected {' or '.join(self.allow_methods)}, got {method!r}"
        known = self.allow_headers
        names = [each.strip() for each in asked.get(_ASKED_HEADERS, "").lower().split(",")]
        if unknown := [each for each in names if each and each not in known]:
            return f"expected no other headers than {', '.join(known)}, got {unknown[0]!r}"
        return "expected no page of the internet that asks a private network"
