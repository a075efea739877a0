"""Logs of the server: a JSON object a line on standard error, through Python's logging."""

from __future__ import annotations

import logging
import time

import msgspec

#: what a record may carry besides its message
_EXTRAS = ("request_id", "route", "status", "ms")


class JsonLines(logging.Formatter):
    """Writes a record as a JSON object on one line."""

    def format(self, record: logging.LogRecord) -> str:
        """Return the line.

        >>> record = logging.LogRecord("a", logging.INFO, "a.py", 1, "%d images", (3,), None)
        >>> record.created = 0
        >>> JsonLines().format(record)
        '{"time":"1970-01-01T00:00:00.000Z","level":"info","logger":"a","message":"3 images"}'
        """
        seconds = time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime(record.created))
        line = {
            "time": f"{seconds}.{int(record.created % 1 * 1000):03d}Z",
            "level": record.levelname.lower(),
            "logger": record.name,
            "message": record.getMessage(),
        }
        line |= {name: getattr(record, name) for name in _EXTRAS if hasattr(record, name)}
        if record.exc_info:
            line["error"] = self.formatException(record.exc_info)
        return msgspec.json.encode(line).decode()


def set_up() -> None:
    """Write what this package logs, and what others warn of."""
    handler = logging.StreamHandler()
    handler.setFormatter(JsonLines())
    logging.basicConfig(handlers=[handler], level=logging.WARNING, force=True)
    logging.getLogger("lookbook.serving").setLevel(logging.INFO)
    # it warns of each form that it cannot read: who sent it is told
    logging.getLogger("python_multipart").setLevel(logging.ERROR)
