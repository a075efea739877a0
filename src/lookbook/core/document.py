"""Documents: typed objects that are JSON in a file."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

# 5 ms to import; pydantic took 34 ms, which every `lookbook runs` would wait for
import msgspec


class Document:
    """An object that a JSON file holds: a msgspec Struct or a dataclass, its fields in that order.

    `document["key"]`, the way of earlier versions, gives the JSON value of that key.

    >>> class Point(Document, msgspec.Struct, frozen=True, kw_only=True):
    ...     place: tuple[int, int]
    ...     images: int = msgspec.field(name="pictures")
    >>> point = Point(place=(1, 2), images=3)
    >>> point.images, point["pictures"], point["place"], dict(point)
    (3, 3, [1, 2], {'place': [1, 2], 'pictures': 3})
    """

    __slots__ = ()

    def to_json(self) -> dict[str, Any]:
        """Return what the file holds, of plain lists and dictionaries."""
        return dict(json.loads(json.dumps(self, default=msgspec.to_builtins)))

    def __getitem__(self, key: str) -> Any:
        return self.to_json()[key]

    def __iter__(self) -> Iterator[str]:
        return iter(self.to_json())

    def keys(self) -> list[str]:
        """Return the keys of the JSON, in its order."""
        return list(self)

    def get(self, key: str, default: Any = None) -> Any:
        """Return the JSON value of a key, or `default` where there is none."""
        return self.to_json().get(key, default)
