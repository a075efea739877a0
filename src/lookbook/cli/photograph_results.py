"""Write how a run recognises photographs as a terminal shows it. Nothing is printed."""

from __future__ import annotations

from typing import TYPE_CHECKING

from lookbook.cli import terminal
from lookbook.core.translation import t

if TYPE_CHECKING:
    from lookbook.runs.photograph_schema import KindScore, PhotographEvaluation


def photographs(found: PhotographEvaluation) -> str:
    """Write what photographs showed: the figures, then how each kind was answered."""
    lines = [
        *_recognised(found),
        (t("surest half"), _with_error(found, "accuracy_top_half", t("right, of these alone"))),
        *_refused(found),
        (t("calibration error"), terminal.percent(found.ece, 2)),
        (t("measured on"), _photographs_of(found)),
    ]
    rows = [[t("kind"), t("right"), t("refused"), t("photographs"), t("most often taken for")]]
    rows += [_kind_row(found, one) for one in found.per_kind]
    return f"{terminal.labelled(lines)}\n\n{terminal.table(rows, right={1, 2, 3})}"


def _recognised(found: PhotographEvaluation) -> list[tuple[str, str]]:
    """Write how many photographs are recognised, of the kinds that have a right class."""
    if found.accuracy_with_shoes is None:
        known = _names([one.kind for one in found.per_kind if one.classes])
        return [(t("accuracy"), _with_error(found, "accuracy", known))]
    one_class = _names([one.kind for one in found.per_kind if len(one.classes) == 1])
    shoes = t("shoes too: any of their classes is right")
    groups = t("upper body, trousers, dress, shoes")
    lines = [
        (t("garments"), _with_error(found, "accuracy_garments", one_class)),
        (t("with shoes"), _with_error(found, "accuracy_with_shoes", shoes)),
        (t("right group"), _with_error(found, "accuracy_groups", groups)),
    ]
    return lines if found.accuracy_garments is not None else lines[1:]


def _refused(found: PhotographEvaluation) -> list[tuple[str, str]]:
    """Write how many photographs are refused, rightly and wrongly."""
    if found.garments_refused is None:
        wrongly = _with_error(found, "refused", t("the others"))
    else:
        wrongly = _with_error(found, "garments_refused", t("garments"))
    unknown = _names([one.kind for one in found.per_kind if not one.classes])
    how = t('{names}: told as "not sure" or "not one of these"', names=unknown)
    rightly = found.unknown_refused is not None
    lines = [(t("refused rightly"), _with_error(found, "unknown_refused", how))] if rightly else []
    return [*lines, (t("refused wrongly"), wrongly)]


def _with_error(found: PhotographEvaluation, name: str, about: str) -> str:
    """Write a share with its standard error, and what it is of."""
    sign = "±" if terminal.can_show("±") else "+-"
    share, error = terminal.percent(getattr(found, name)), 100 * found.standard_errors[name]
    return f"{share} {sign} {error:.1f}  ({about})"


def _names(kinds: list[str]) -> str:
    return ", ".join(map(terminal.visible, kinds[:10])) + (", …" if len(kinds) > 10 else "")


def _photographs_of(found: PhotographEvaluation) -> str:
    """Write which photographs were measured on, and what there was not."""
    conditions = found.conditions
    said = [t("{n:,} photographs; each kind counts the same; with standard errors", n=found.n)]
    if conditions.unreadable:
        said.append(t("{n:,} cannot be read", n=conditions.unreadable))
    if conditions.lacking:
        said.append(t("none of {names}", names=_names(conditions.lacking)))
    return f"{terminal.visible(conditions.data)}  ({', '.join(said)})"


def _kind_row(found: PhotographEvaluation, one: KindScore) -> list[str]:
    """Write how the photographs of a kind were answered."""
    none = "–" if terminal.can_show("–") else "-"
    wrong = none
    if one.most_wrong is not None:
        count = one.answers[found.classes.index(one.most_wrong)]
        wrong = f"{terminal.visible(one.most_wrong)}  {count:,}"
    right = none if one.right is None else terminal.percent(one.right / one.n)
    return [one.kind, right, terminal.percent(one.refused / one.n), f"{one.n:,}", wrong]
