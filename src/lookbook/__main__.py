"""Run the command line as `python -m lookbook`."""

from __future__ import annotations

from lookbook.cli.main import main

main()
