"""Documents: attributes inside, the JSON of earlier versions by key."""

from __future__ import annotations

import json
from dataclasses import dataclass

import pytest
from msgspec import Struct, field

from lookbook.core.document import Document


class Part(Document, Struct, frozen=True, kw_only=True):
    accuracy: float
    interval: tuple[float, float]


class Whole(Document, Struct, frozen=True, kw_only=True):
    zeal: int
    images: int = field(name="pictures")
    part: Part | None
    name: str = "caf\udce9"


@dataclass(frozen=True)
class Plain(Document):
    epochs: int | float
    widths: tuple[int, ...]


WHOLE = Whole(zeal=1, images=2, part=Part(accuracy=0.5, interval=(0.25, 0.75)))
DICT = {
    "zeal": 1,
    "pictures": 2,
    "part": {"accuracy": 0.5, "interval": [0.25, 0.75]},
    "name": "caf\udce9",
}


def test_a_document_is_read_by_key_as_in_earlier_versions():
    assert WHOLE["pictures"] == WHOLE.images == 2
    assert WHOLE["part"]["interval"] == [0.25, 0.75]
    assert dict(WHOLE) == DICT
    assert json.dumps(dict(WHOLE)) == json.dumps(DICT)  # in that order, too
    assert WHOLE.keys() == list(WHOLE) == list(DICT)
    assert "pictures" in WHOLE
    assert "images" not in WHOLE
    assert (WHOLE.get("pictures"), WHOLE.get("other"), WHOLE.get("other", 3)) == (2, None, 3)
    with pytest.raises(KeyError, match="images"):
        WHOLE["images"]


def test_a_dataclass_is_a_document_like_others():
    assert dict(Plain(10, (128,))) == {"epochs": 10, "widths": [128]}
    assert isinstance(Plain(10, ())["epochs"], int)
