"""Refusals: what a request lacks, with the status that says so."""

from __future__ import annotations

import msgspec


class Refusal(Exception):  # noqa: N818  # the server's answer, and no fault of it
    """A request that is not answered: an HTTP status of 4xx, and what was expected, in English."""

    def __init__(self, status: int, reason: str, headers: dict[str, str] | None = None) -> None:
        super().__init__(reason)
        self.status, self.reason, self.headers = status, reason, headers or {}

    @property
    def body(self) -> bytes:
        """The protocol's error: JSON with one key."""
        return msgspec.json.encode({"error": self.reason})
