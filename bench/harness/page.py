"""Write the page of a benchmark in Markdown: warnings, table, conditions."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING

from bench.harness.record import describe

if TYPE_CHECKING:
    from bench.harness.record import Results

TRIAL = "A trial with little of everything, not a result."


def markdown(
    results: Results,
    title: str,
    body: Iterable[str],
    conditions: Iterable[str],
    trial: str = TRIAL,
) -> str:
    """Return a page: what keeps it from being whole, the body, then the conditions."""
    return "\n".join(
        [
            f"# {title}",
            "",
            *warnings(results, trial),
            *body,
            "",
            "## Conditions",
            "",
            *(f"- {line}" for line in conditions),
            "",
        ]
    )


def table(heads: tuple[str, ...], rows: list[list[str]], left: int = 1) -> list[str]:
    """Return the lines of a Markdown table: the first columns to the left, all others right."""
    lines = [f"| {' | '.join(row)} |" for row in [list(heads), *rows]]
    return [lines[0], "|" + "---|" * left + "---:|" * (len(heads) - left), *lines[1:]]


def warnings(results: Results, trial: str = TRIAL) -> list[str]:
    """Say first what keeps the table from being the whole result."""
    lines = [f"**{trial}**"] if results["trial"] else []
    lines += [f"**{describe(failure)}**" for failure in results["failures"]]
    return [part for line in lines for part in (line, "")]
