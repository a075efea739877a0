"""Say what a training run is made of, and name the recipes."""

from __future__ import annotations

from dataclasses import asdict, dataclass, replace
from typing import Any, Literal

from lookbook.errors import InputError, closest


@dataclass(frozen=True)
class Recipe:
    """Everything that decides a training run, but for its data and its seed.

    Each field is the same field in a run's `recipe.json`; those that the command line can change
    are flags of the same name.
    """

    name: str
    network: Literal["dense"] = "dense"
    #: widths of the hidden layers, first to last
    hidden: tuple[int, ...] = (128,)
    optimizer: Literal["adam"] = "adam"
    learning_rate: float = 1e-3
    #: pictures in one step
    batch_size: int = 32
    #: passes over the training pictures
    epochs: int = 10

    def with_epochs(self, epochs: int | None) -> Recipe:
        """Return this recipe with another number of passes, or itself for None.

        >>> TUTORIAL.with_epochs(3).epochs
        3

        Raises
        ------
        InputError
            `epochs` is below 1.
        """
        if epochs is None:
            return self
        if epochs < 1:
            raise InputError(f"epochs must be at least 1, got {epochs}")
        return replace(self, epochs=epochs)

    def to_json(self) -> dict[str, Any]:
        """Return the recipe as `recipe.json` holds it."""
        return asdict(self)

    @classmethod
    def from_json(cls, document: dict[str, Any]) -> Recipe:
        """Return the recipe that `recipe.json` holds.

        >>> Recipe.from_json(TUTORIAL.to_json()) == TUTORIAL
        True
        """
        return cls(**document | {"hidden": tuple(document["hidden"])})


#: The tutorial's network and settings: 784-128-10, ReLU, Adam 1e-3, batch 32, 10 passes.
TUTORIAL = Recipe(name="tutorial")

RECIPES = {recipe.name: recipe for recipe in (TUTORIAL,)}


def find_recipe(name: str) -> Recipe:
    """Return the recipe of that name.

    >>> find_recipe("tutorial").batch_size
    32

    Raises
    ------
    InputError
        There is no recipe of that name; the message lists those that exist.
    """
    if name not in RECIPES:
        known = list(RECIPES)
        raise InputError(
            f"no recipe is called '{name}'{closest(name, known)}; recipes: {', '.join(known)}"
        )
    return RECIPES[name]
