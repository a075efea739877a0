"""Documents: typed objects that are JSON in a file."""

from __future__ import annotations

import json
from collections.abc import ItemsView, Iterator, KeysView, Mapping, ValuesView
from typing import Any

# 5 ms to import; pydantic took 34 ms, which every `lookbook runs` would wait for
import msgspec


class Document:
    """An object that a JSON file holds: a msgspec Struct or a dataclass, its fields in that order.

    It is a mapping of its JSON, too, the way of earlier versions: `document["key"]`, `items()`,
    `pandas.DataFrame(documents)`.

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

    def __len__(self) -> int:
        return len(self.to_json())

    def __contains__(self, key: object) -> bool:
        return key in self.to_json()

    def keys(self) -> KeysView[str]:
        """Return the keys of the JSON, in its order."""
        return self.to_json().keys()

    def values(self) -> ValuesView[Any]:
        """Return the JSON values, in their order."""
        return self.to_json().values()

    def items(self) -> ItemsView[str, Any]:
        """Return the keys with their JSON values, in their order."""
        return self.to_json().items()

    def get(self, key: str, default: Any = None) -> Any:
        """Return the JSON value of a key, or `default` where there is none."""
        return self.to_json().get(key, default)


# not a base: its metaclass is another one than a Struct's
Mapping.register(Document)
