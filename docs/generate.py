"""Write the generated parts of the pages: modules, commands, and tables of measured figures.

`python docs/generate.py` writes them, `--check` only says whether they are up to date.
"""

from __future__ import annotations

import ast
import json
import os
import re
import sys
from collections.abc import Iterable
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT))  # a script sees its own folder alone, not the package `bench`

from bench import recognition, speed_summary, uncertainty  # noqa: E402

SOURCE = ROOT / "src" / "lookbook"
RESULTS = ROOT / "bench" / "results"
#: entry of the benchmark → what the tables call it, in English and in Korean
ENTRIES = {
    "keras-tensorflow": (
        "Keras on TensorFlow, the tutorial's script",
        "Keras(TensorFlow), 튜토리얼의 코드",
    ),
    "keras-jax": ("Keras on JAX, the same", "Keras(JAX), 같은 코드"),
    "sklearn-mlp": (
        "scikit-learn's `MLPClassifier`, the same network",
        "scikit-learn `MLPClassifier`, 같은 신경망",
    ),
    "pytorch-loop": (
        "plain PyTorch loop, the same network",
        "평범한 PyTorch 반복문, 같은 신경망",
    ),
    "keras-convnet": ("Keras's convnet example", "Keras의 합성곱 예제"),
    **{
        f"lookbook-{recipe.replace(' --epochs ', '-')}": (
            f"lookbook, recipe `{recipe}`",
            f"lookbook, 레시피 `{recipe}`",
        )
        for recipe in (
            *("tutorial", "quick", "quick --epochs 10", "small", "medium", "standard"),
            *("strong", "large", "compact"),
        )
    },
}
#: the rows of the READMEs
FIRST = (
    "keras-tensorflow",
    "keras-convnet",
    "lookbook-quick",
    "lookbook-standard",
    "lookbook-strong",
)
#: mark in docs/benchmarks.md → the processor whose table stands there
SPEEDS = {"speed": "amd-epyc-zen3-avx2", "speed-bfloat16": "amd-epyc-zen4-bfloat16"}


def module_table() -> str:
    """Return a Markdown table of the packages and their modules: name and first line."""
    rows = []
    for package in sorted(path.parent for path in SOURCE.glob("*/**/__init__.py")):
        name = package.relative_to(SOURCE)
        rows.append(f"| **`{name}/`** | **{_first_line(package / '__init__.py')}** |")
        rows += [_row(path) for path in sorted(package.glob("*.py")) if path.stem != "__init__"]
    rows.append("| **beside the packages** | |")
    rows += [_row(path) for path in sorted(SOURCE.glob("*.py")) if "__" not in path.stem]
    return "\n".join(["| module | what it is for |", "|---|---|", *rows])


def _row(path: Path) -> str:
    return f"| `{path.stem}` | {_first_line(path)} |"


def _first_line(path: Path) -> str:
    docstring = ast.get_docstring(ast.parse(path.read_text())) or ""
    return docstring.splitlines()[0]


def command_reference() -> str:
    """Return the `--help` text of each command, as a terminal of 80 columns shows it."""
    os.environ |= {"COLUMNS": "80", "TERMINAL_WIDTH": "80", "NO_COLOR": "1"}
    from typer.testing import CliRunner  # noqa: PLC0415  # asks for the width as it is imported

    from lookbook.cli.main import COMMANDS, app  # noqa: PLC0415

    parts = []
    for command in ((), *((name,) for name in COMMANDS)):
        asked = [*command, "--help"]
        shown = CliRunner().invoke(app, asked, prog_name="lookbook", catch_exceptions=False).stdout
        lines = "\n".join(line.rstrip() for line in shown.strip("\n").splitlines())
        title = " ".join(("lookbook", *command))
        parts.append(f"## {title}\n\n```text\n{lines.strip()}\n```")
    return "# Command reference\n\nGenerated from `--help`.\n\n" + "\n\n".join(parts) + "\n"


def speed_table(processor: str, entries: Iterable[str], *, korean: bool) -> str:
    """Return a table of accuracy and time, from these results of the benchmark."""
    results = json.loads((RESULTS / processor / "speed.json").read_text())
    found = {one.name: one for one in speed_summary.summarise(results)}
    most = max(one.seeds for one in found.values())
    rows = []
    for entry in entries:
        if entry not in found:
            continue
        one, names = found[entry], ENTRIES[entry]
        if one.ratio is None or one.deviation is None:
            raise ValueError(f"{entry} was measured once, or not beside Keras")
        seeds = f" (시드 {one.seeds}개)" if korean else f" ({one.seeds} seeds)"
        least, middle, longest = map(_seconds, (one.fit.least, one.fit.middle, one.fit.most))
        fit = f"{middle}초 ({least}~{longest})" if korean else f"{middle} s ({least} to {longest})"
        rows.append(
            f"| {names[korean]}{'' if one.seeds == most else seeds} | {fit} | "
            f"{one.ratio.middle:.3f} | {100 * one.accuracy:.2f} ± {100 * one.deviation:.2f}"
            f"{'' if korean else ' '}% |"
        )
    heads = (
        ("훈련 시간의 중앙값 (최소~최대)", "T에 대한 비율", "테스트 정확도의 평균 ± 표준편차")
        if korean
        else ("fit, median (min to max)", "of T", "test accuracy, mean ± standard deviation")
    )
    return "\n".join([f"| | {' | '.join(heads)} |", "|---|---:|---:|---:|", *rows])


def _seconds(seconds: float) -> str:
    return f"{seconds:.2f}" if seconds < 10 else f"{seconds:.1f}"


def uncertainty_tables() -> str:
    """Return what was measured of probabilities and of strangers."""
    results = json.loads((RESULTS / SPEEDS["speed-bfloat16"] / "uncertainty.json").read_text())
    return "\n" + "\n".join(uncertainty.tables(results)) + "\n"


def recognition_tables() -> str:
    """Return the latest figures of photographs, if there are some."""
    found = [json.loads(path.read_text()) for path in RESULTS.glob("*/recognition.json")]
    if not found:
        return "Nothing is measured yet."
    latest = max(found, key=lambda results: results["conditions"]["started"])
    lines = recognition.tables(latest)
    return "\n" + "\n".join(re.sub("^## ", "### ", line) for line in lines) + "\n"


def between(text: str, mark: str, content: str) -> str:
    """Replace what stands between a pair of comment marks."""
    start, end = f"<!-- {mark} -->", f"<!-- /{mark} -->"
    before, rest = text.split(start)
    _, after = rest.split(end)
    return f"{before}{start}\n{content}\n{end}{after}"


def pages() -> dict[Path, str]:
    """Return each generated page with the text that it should have."""
    names = ("architecture", "model", "recognition")
    architecture, model, photographs = (ROOT / "docs" / f"{name}.md" for name in names)
    speeds = {}
    for suffix, korean in ((".md", False), (".ko.md", True)):
        readme, benchmarks = ROOT / f"README{suffix}", ROOT / "docs" / f"benchmarks{suffix}"
        first = speed_table(SPEEDS["speed"], FIRST, korean=korean)
        speeds[readme] = between(readme.read_text(), "speed", first)
        text = benchmarks.read_text()
        for mark, processor in SPEEDS.items():
            text = between(text, mark, speed_table(processor, ENTRIES, korean=korean))
        speeds[benchmarks] = text
    return {
        architecture: between(architecture.read_text(), "modules", module_table()),
        model: between(model.read_text(), "trust", uncertainty_tables()),
        photographs: between(photographs.read_text(), "recognition", recognition_tables()),
        **speeds,
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
