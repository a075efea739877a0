"""Documents: attributes inside, the JSON of earlier versions by key."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass

import pytest
from msgspec import Struct, field, structs

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
    assert list(WHOLE.keys()) == list(WHOLE) == list(DICT)
    assert WHOLE.keys() - {"name"} == {"zeal", "pictures", "part"}
    assert list(WHOLE.items()) == list(DICT.items())
    assert list(WHOLE.values()) == list(DICT.values())
    assert len(WHOLE) == 4
    assert isinstance(WHOLE, Mapping)
    assert "pictures" in WHOLE
    assert "images" not in WHOLE
    assert (WHOLE.get("pictures"), WHOLE.get("other"), WHOLE.get("other", 3)) == (2, None, 3)
    with pytest.raises(KeyError, match="images"):
        WHOLE["images"]


def test_a_dataclass_is_a_document_like_others():
    assert dict(Plain(10, (128,))) == {"epochs": 10, "widths": [128]}
    assert isinstance(Plain(10, ())["epochs"], int)


@pytest.mark.parametrize("documents", [[WHOLE, WHOLE], [Plain(10, (128,)), Plain(20, (64, 32))]])
def test_pandas_makes_the_same_tables_of_documents_as_of_dictionaries(documents):
    pandas = pytest.importorskip("pandas")
    if documents[0] is WHOLE:
        # beside pyarrow, pandas keeps text as UTF-8, which a name of a file may not be
        documents = [structs.replace(each, name="가") for each in documents]
    dicts = [dict(each) for each in documents]
    table = pandas.DataFrame(documents)
    assert list(table.columns) == list(dicts[0])
    assert table.astype(str).equals(pandas.DataFrame(dicts).astype(str))
    assert pandas.Series(documents[0]).equals(pandas.Series(dicts[0]))


def test_a_document_still_equals_its_like_alone_and_can_be_hashed():
    twin = Whole(zeal=1, images=2, part=Part(accuracy=0.5, interval=(0.25, 0.75)))
    assert {WHOLE: 1}[twin] == 1
    assert dict(WHOLE) != WHOLE != Part(accuracy=0.5, interval=(0.25, 0.75))
