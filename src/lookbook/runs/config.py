"""What a training was asked for: a recipe with its data, seed, size and time."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any

from lookbook.recipes import Recipe


@dataclass(frozen=True)
class TrainConfig:
    """All that decides a training; kept as `request.json` while it is not finished."""

    #: a name, or a path
    data: str
    #: suited to the images, and settled for the machine
    recipe: Recipe
    seed: int
    #: pixels on a side that images were asked for in; None: as they are
    size: int | None
    #: the validation part is learnt from, too
    final: bool
    #: when the fit ends; None: after the recipe's epochs
    fit_seconds: float | None
    train_sha256: str
    #: of a validation part that the data has of its own
    validation_sha256: str | None
    #: the version of the rule that splits folders; None: an earlier version of the program
    split: int | str | None
    #: (index, label) of images that a person gave another label
    corrections: list[tuple[int, int]]
    versions: dict[str, str]
    #: "", threads None: an earlier version of the program
    processor: str
    threads: int | None

    def to_json(self) -> dict[str, Any]:
        """Return what `request.json` holds, but for its hash."""
        return asdict(self)

    @classmethod
    def from_json(cls, document: dict[str, Any]) -> TrainConfig:
        """Return what a `request.json` of this or an earlier version asks for."""
        return cls(
            data=document["data"],
            recipe=Recipe.from_json(document["recipe"]),
            seed=document["seed"],
            size=document["size"],
            final=document["final"],
            fit_seconds=document["fit_seconds"],
            train_sha256=document["train_sha256"],
            validation_sha256=document.get("validation_sha256"),
            split=document.get("split"),
            corrections=[(index, label) for index, label in document.get("corrections", [])],
            versions=document["versions"],
            processor=document.get("processor", ""),
            threads=document.get("threads"),
        )
