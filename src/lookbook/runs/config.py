"""What a training is asked for, and what that comes to: a recipe with its data, seed and time."""

from __future__ import annotations

from dataclasses import dataclass, field
from functools import cached_property
from os import PathLike
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self

import msgspec

from lookbook.core.document import Document
from lookbook.core.environment import Launch
from lookbook.errors import InputError, check_types
from lookbook.recipes import (
    BACKBONE,
    COARSE_SIDE,
    FINER_SIDE,
    NO_GARMENTS,
    STANDARD,
    TRANSFER,
    ClassWeights,
    Recipe,
    find_recipe,
    finer_pays,
    transfer_size,
)
from lookbook.runs.backbone_schema import FrozenBackbone
from lookbook.runs.places import check_target, check_text, free_folder
from lookbook.runs.recipe_choice import RecipeChoice
from lookbook.runs.schema import KeptTogether

if TYPE_CHECKING:
    from lookbook.data.formats.source import DataSource, Outline


@dataclass(frozen=True)
class TrainRequest:
    """What a user asks for, as `lookbook.train` describes it; DATA is resolved, and not read."""

    source: DataSource
    #: None: `transfer` where it pays, else `standard`, or what makes most of the budget
    recipe: Recipe | None = None
    epochs: float | None = None
    seed: int = 0
    out: str | Path | None = None
    size: int | tuple[int, int] | None = None
    final: bool = False
    mirror: bool | None = None
    budget: float | None = None
    corrections: str | Path | None = None
    class_weights: ClassWeights = "auto"
    groups: str | None = None
    #: pretrained weights are no start where no recipe is named
    from_scratch: bool = False
    #: whose features a head is fitted to; the recipe is `BACKBONE` then
    backbone: FrozenBackbone | None = None

    @cached_property
    def choice(self) -> RecipeChoice | None:
        """What is chosen where no recipe is named; None of grey images, which never change it."""
        data = self._outline
        if self.recipe is not None or data is None or not data.colour:
            return None
        side = max(self.size) if isinstance(self.size, tuple) else self.size
        return RecipeChoice.of(
            data,
            side,
            seconds=self.budget,
            fits=1 + self.final,
            from_scratch=self.from_scratch,
            class_weights=self.class_weights,
        )

    @cached_property
    def _outline(self) -> Outline | None:
        """What decides the recipe, or the size for pretrained weights; None where nothing does."""
        asks = self.recipe is None or self.recipe.network == "efficientnet"
        return self.source.outline() if asks else None

    @property
    def chosen(self) -> Recipe | None:
        """The recipe that is named or chosen; None: `standard`, or what the budget says."""
        choice = self.choice
        return TRANSFER if choice is not None and choice.start == "pretrained" else self.recipe

    @property
    def recipe_name(self) -> str:
        """What the run is called after, besides the data."""
        if self.budget is not None and self.recipe is None:
            return "budget"
        return (self.chosen or STANDARD).name

    @property
    def image_size(self) -> int | tuple[int, int] | None:
        """What image files are brought to; None: as the data has it."""
        if self.size is not None or not self.source.resizable:
            return self.size
        if self.chosen is None:
            return self._scratch_size()
        if self.backbone is not None and self.backbone.size is not None:
            return self.backbone.size
        if self.choice is not None:
            return self.choice.side
        data = self._outline
        if data is None:
            return self.chosen.usual_size
        return transfer_size(data.images, data.side, self.budget, 1 + self.final)

    @property
    def reduced(self) -> tuple[int, int] | None:
        """Side of files that would keep their size, and the one to which a budget brings them."""
        data = self._outline
        if data is None or data.resized or self.size is not None or self.chosen is not None:
            return None
        side = self.image_size
        return (data.side, side) if isinstance(side, int) else None

    def _scratch_size(self) -> int | None:
        """Return to what a budget brings files that learn from scratch; None: as ever.

        Those in colour that are brought to one size, and large ones for which it is too short.
        """
        data = self._outline
        if data is None or self.budget is None:
            return None

        def pays(finer: int) -> bool:
            return finer_pays(data.images, data.side, self.budget, 1 + self.final, finer=finer)

        if data.resized:
            return FINER_SIDE if data.colour and pays(FINER_SIDE) else None
        if data.side <= FINER_SIDE or pays(data.side):
            return None
        return FINER_SIDE if pays(FINER_SIDE) else COARSE_SIDE

    def place(self) -> Path:
        """Return the folder of the run, before any work, where nothing speaks against it.

        Raises
        ------
        InputError
            Seed, recipe or a name cannot be trained by, there is no such data, or the folder
            exists.
        OutputError
            It cannot be made there.
        """
        self._check()
        if self.out is None:
            folder = free_folder(self.source.stem, self.recipe_name)
        else:
            folder = Path(self.out)
        if ".." in folder.parts:
            folder = folder.resolve()  # a way back out of a folder that is not there yet
        check_target(folder)
        return folder

    def _check(self) -> None:
        self._check_types()
        if not 0 <= self.seed < 2**63:
            raise InputError(f"the seed must be in 0..{2**63 - 1}, got {self.seed}")
        recipe = self.recipe
        if self.from_scratch and recipe is not None and recipe.network == "efficientnet":
            raise InputError(
                f"the recipe '{recipe.name}' starts from pretrained weights; leave `from_scratch` "
                "out, or take another one: `recipe='standard'`"
            )
        if self.mirror and recipe is not None and recipe.network == "dense":
            raise InputError(
                f"the recipe '{recipe.name}' is a dense network, which sees images as they are; "
                "leave `mirror` out, or take a convolutional one: `recipe='standard'`"
            )
        if recipe is not None and recipe.photographs and self.source.garments is None:
            raise InputError(NO_GARMENTS)
        self._check_backbone()
        if recipe is not None:
            check_text(f"the recipe's name {recipe.name!a}", recipe.name)
        check_text(f"the path of the data, {str(self.source)!a},", str(self.source))
        check_text(f"the path of the data, {self.source.identity!a},", self.source.identity)
        self.source.check()

    def _check_backbone(self) -> None:
        by_backbone = self.recipe is not None and self.recipe.network == "backbone"
        if self.backbone is None and by_backbone:
            raise InputError(
                "the recipe 'backbone' is a head on a network of your own; name its ONNX file: "
                "`backbone`"
            )
        if self.backbone is None:
            return
        if not by_backbone:
            raise InputError("`backbone` is a network of its own; leave `recipe` out")
        if self.from_scratch:
            raise InputError("`backbone` is a start of its own; leave `from_scratch` out")
        if Launch.here().size > 1:
            raise InputError("a head on a backbone is fitted by one process; leave torchrun out")
        if self.epochs is not None:
            raise InputError(
                "a head on features that stay as they are has no epochs; leave `epochs` out"
            )

    def _check_types(self) -> None:
        """Refuse what would be trained by, and could not be read again: `final=1`."""
        check_types(
            recipe=(self.recipe, Recipe | None),
            epochs=(self.epochs, int | float | None),
            seed=(self.seed, int),
            out=(self.out, str | PathLike | None),
            size=(self.size, int | tuple | None),
            final=(self.final, bool),
            mirror=(self.mirror, bool | None),
            budget=(self.budget, int | float | None),
            corrections=(self.corrections, str | PathLike | None),
            class_weights=(self.class_weights, ClassWeights),
            groups=(self.groups, str | None),
            from_scratch=(self.from_scratch, bool),
        )
        for side in self.size if isinstance(self.size, tuple) else ():
            check_types(size=(side, int))


def choose_recipe(asked: Recipe | str | None, backbone: FrozenBackbone | None) -> Recipe | None:
    """Return the recipe that is asked for, or that of a backbone."""
    if asked is None:
        return None if backbone is None else BACKBONE
    return find_recipe(asked)


@dataclass(frozen=True, kw_only=True)
class TrainConfig(Document):
    """All that decides a training; kept, with its hash, as `request.json` until it is finished."""

    #: a name, or a path
    data: str
    #: suited to the images, and settled for the machine
    recipe: Recipe
    seed: int
    #: side, or height and width, that images were asked for in; None: as they are
    size: int | tuple[int, int] | None
    #: the validation part is learnt from, too
    final: bool
    #: when the fit ends; None: after the recipe's epochs
    fit_seconds: float | None
    train_sha256: str
    #: of a validation part that the data has of its own
    validation_sha256: str | None = None
    #: the version of the rule that splits folders; None: an earlier version of the program
    split: int | str | None = None
    #: (index, label) of images that a person gave another label
    corrections: list[tuple[int, int]] = field(default_factory=list)
    versions: dict[str, str]
    #: "", threads None: an earlier version of the program
    processor: str = ""
    threads: int | None = None
    #: which images the split did not part; None: an earlier version, or there is no split
    kept_together: KeptTogether | None = None
    #: how many share it; unset: one
    processes: int | msgspec.UnsetType = msgspec.UNSET
    #: unset: a recipe was named, or images are grey
    recipe_choice: RecipeChoice | msgspec.UnsetType = msgspec.UNSET
    #: whose features a head is fitted to; unset: it is no such recipe
    backbone: FrozenBackbone | msgspec.UnsetType = msgspec.UNSET

    @property
    def begun_by(self) -> int:
        """How many processes share it."""
        return 1 if self.processes is msgspec.UNSET else self.processes

    @classmethod
    def from_json(cls, document: dict[str, Any]) -> Self:
        """Return what a `request.json` of this or an earlier version asks for."""
        return msgspec.convert(document, cls)
