"""Write the generated parts of the pages: the module table and the command reference.

`python docs/generate.py` writes them, `--check` only says whether they are up to date.
"""

from __future__ import annotations

import ast
import os
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
SOURCE = ROOT / "src" / "lookbook"
COMMANDS = (
    "fetch",
    "look",
    "train",
    "evaluate",
    "predict",
    "figures",
    "report",
    "export",
    "runs",
    "demo",
)


def module_table() -> str:
    """Return a Markdown table of the modules: name and first line."""
    rows = []
    for path in sorted(SOURCE.glob("*.py")):
        if path.stem not in ("__init__", "__main__"):
            docstring = ast.get_docstring(ast.parse(path.read_text())) or ""
            rows.append(f"| `{path.stem}` | {docstring.splitlines()[0]} |")
    return "\n".join(["| module | what it is for |", "|---|---|", *rows])


def command_reference() -> str:
    """Return the `--help` text of each command, as a terminal of 80 columns shows it."""
    environment = os.environ | {"COLUMNS": "80", "TERMINAL_WIDTH": "80", "NO_COLOR": "1"}
    parts = []
    for command in ((), *((name,) for name in COMMANDS)):
        shown = subprocess.run(  # noqa: S603  # our own program
            [sys.executable, "-m", "lookbook", *command, "--help"],
            capture_output=True,
            text=True,
            check=True,
            env=environment,
        ).stdout
        lines = "\n".join(line.rstrip() for line in shown.strip("\n").splitlines())
        title = " ".join(("lookbook", *command))
        parts.append(f"## {title}\n\n```text\n{lines.strip()}\n```")
    return "# Command reference\n\nGenerated from `--help`.\n\n" + "\n\n".join(parts) + "\n"


def between(text: str, mark: str, content: str) -> str:
    """Replace what stands between a pair of comment marks."""
    start, end = f"<!-- {mark} -->", f"<!-- /{mark} -->"
    before, rest = text.split(start)
    _, after = rest.split(end)
    return f"{before}{start}\n{content}\n{end}{after}"


def pages() -> dict[Path, str]:
    """Return each generated page with the text that it should have."""
    architecture = ROOT / "docs" / "architecture.md"
    return {
        architecture: between(architecture.read_text(), "modules", module_table()),
        ROOT / "docs" / "commands.md": command_reference(),
    }


def main() -> None:
    """Write the pages, or with --check say which are out of date."""
    stale = []
    for path, text in pages().items():
        if not path.exists() or path.read_text() != text:
            stale.append(path.name)
            if "--check" not in sys.argv:
                path.write_text(text)
    if stale and "--check" in sys.argv:
        sys.exit(f"out of date: {', '.join(stale)}; run: make docs")


if __name__ == "__main__":
    main()
