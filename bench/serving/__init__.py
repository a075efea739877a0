"""Measure `lookbook serve` beside MLServer and a plain FastAPI handler, and what must never happen.

::

    python -m bench serving RUN --photos DIR       bench/results/…/serving.*
    python -m bench serving RUN --parts overload   one part, into serving-part.*
    python -m bench serving --redraw               the page again, from the .json alone

Servers run on the first core, clients on the last. Peers get environments of their own.
"""

from __future__ import annotations

from collections.abc import Sequence

from bench.serving import command
from bench.serving.command import redraw

__all__ = ["main", "redraw"]


def main(arguments: Sequence[str] | None = None) -> int:
    """Measure the parts that are asked for, or write the page again; return the exit code."""
    return command.main(arguments, __doc__)
