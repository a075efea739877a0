"""Write what was decided for a training, and why: its start, copies, uneven classes."""

from __future__ import annotations

from typing import TYPE_CHECKING

from lookbook.cli import terminal
from lookbook.core.translation import t

if TYPE_CHECKING:
    from lookbook.runs.balance_schema import ClassBalance
    from lookbook.runs.recipe_choice import RecipeChoice
    from lookbook.runs.schema import Conditions, KeptTogether


def lines(conditions: Conditions) -> list[tuple[str, str]]:
    """Write what was decided for a training, as `labelled` takes it."""
    choice = conditions.recipe_choice or None
    return [
        *([] if choice is None else [(t("start"), start(choice))]),
        *_kept_together(conditions.data.kept_together),
        *_balance(conditions.class_weights),
    ]


def start(choice: RecipeChoice) -> str:
    """Write whether a training of colour images starts from pretrained weights, and why."""
    n, side = choice.images, choice.side
    said = {
        "pays": t(
            "pretrained weights, which suit {n:,} colour images of {side} pixels", n=n, side=side
        ),
        "missing": t("from scratch: pretrained weights are not installed"),
        "asked": t("from scratch, as was asked for"),
        "small": t(
            "from scratch: for pretrained weights, images of {side} pixels are too small", side=side
        ),
        "many": t("from scratch: for pretrained weights, {n:,} images are too many", n=n),
        "short": t(
            "from scratch: for pretrained weights and {n:,} images, the budget is too short", n=n
        ),
    }
    return said[choice.why]


def missing(choice: RecipeChoice) -> str:
    """Write what to install, before a training that would gain by it."""
    return t(
        "pretrained weights make more of {n:,} colour images of {side} pixels; install them: "
        "pip install 'lookbook[pretrained]'",
        n=choice.images,
        side=choice.side,
    )


def reduced(side: int, seen: int) -> str:
    """Write that files are seen smaller than they are, before a training with a short budget."""
    return t(
        "images of {side} pixels are seen at {seen}×{seen}, to learn more of them in this time; "
        "--size {side} leaves them as large",
        side=side,
        seen=seen,
    )


def _kept_together(found: KeptTogether | None) -> list[tuple[str, str]]:
    """Write how many images the split kept together."""
    if found is None or not found.groups:
        return []
    if found.groups == 1:
        said = t("{images:,} images in one group", images=found.images)
    else:
        said = t("{images:,} images in {groups:,} groups", images=found.images, groups=found.groups)
    copies = sum(map(len, found.copies))
    if found.by is None:
        why = t("copies, exact or near")
    elif copies:
        why = t("by {by}; {n:,} are copies, exact or near", by=terminal.visible(found.by), n=copies)
    else:
        why = t("by {by}", by=terminal.visible(found.by))
    return [(t("kept together"), f"{said}  ({why})")]


def _balance(found: ClassBalance | None) -> list[tuple[str, str]]:
    """Write whether uneven classes were balanced, and why, or why not."""
    if found is None or found.why == "even":
        return []
    why = {
        "uneven": t("balanced, to recognise rare classes; few images set their percentages"),
        "little": t("not balanced: they are too alike to gain by it"),
        "enough": t("not balanced: the smallest has enough images"),
        "asked": t("not balanced, as was asked for"),
    }
    times = t(
        "the largest class has {times:.1f} times the {n:,} images of the smallest",
        times=found.ratio,
        n=found.smallest,
    )
    return [(t("class weights"), f"{why[found.why]}  ({times})")]
