"""`python -m bench`: every benchmark is listed, has its options, and is found by its results."""

import json
import re
import shutil

import pytest

from bench import __main__ as command
from bench import report
from bench.harness.files import RESULTS

OPTIONS = {
    "speed": {"--seeds", "--only", "--train-pictures", "--out", "--redraw"},
    "budget": {"--seeds", "--trial", "--out", "--redraw"},
    "scaling": {"--rounds", "--trial", "--out", "--redraw"},
    "disk": {"--images", "--scratch", "--trial", "--out", "--redraw"},
    "processes": {"--seeds", "--recipe"},
    "inference": {"--run", "--rounds", "--seconds", "--trial", "--out", "--redraw"},
    "images": {
        *("--photos", "--minutes", "--seeds", "--size", "--batch-size"),
        *("--trial", "--out", "--redraw"),
    },
    "transfer": {"--photos", "--only", "--seeds", "--trial", "--out", "--redraw"},
    "uneven": {"--photos", "--seeds", "--trial", "--out", "--redraw"},
    "uncertainty": {"--digits", "--seeds", "--recipes", "--trial", "--out", "--redraw"},
    "deployment": {"RUN", "--trial", "--out", "--redraw"},
    "recognition": {"DIR", "--runs", "--adapt", "--out", "--redraw"},
    "serving": {
        *("RUN", "--parts", "--photos", "--rounds", "--seconds", "--minutes"),
        *("--trial", "--out", "--redraw"),
    },
    "bulk": {"RUN", "--images", "--trial", "--out", "--redraw"},
    "report": {"FILE"},
}


@pytest.mark.parametrize("arguments", [[], ["--help"]])
def test_without_a_name_all_are_listed(arguments, capsys):
    assert command.main(arguments) == 0
    lines = capsys.readouterr().out.splitlines()[2:]
    assert [line.split()[0] for line in lines] == list(OPTIONS)
    assert all(line.endswith(".") for line in lines)


@pytest.mark.parametrize("name", OPTIONS)
def test_help_names_the_options(name, capsys, monkeypatch):
    monkeypatch.setenv("COLUMNS", "200")
    with pytest.raises(SystemExit) as ended:
        command.main([name, "--help"])
    assert ended.value.code == 0
    shown = capsys.readouterr().out
    assert shown.startswith(f"usage: python -m bench {name} ")
    listed = {line.split()[0] for line in shown.splitlines() if re.match(r"  \S", line)}
    assert {word.rstrip(",") for word in listed} == {*OPTIONS[name], "-h"}


def test_another_name_is_refused(capsys):
    assert command.main(["run"]) == 2
    said = capsys.readouterr().err
    assert said.startswith("error: no benchmark is called 'run'; there are speed, budget, ")


@pytest.mark.slow
def test_every_result_is_written_again_as_it_stands(tmp_path, capsys):
    """From the .json alone: the benchmark that wrote it is found by the name in it."""
    found = sorted(RESULTS.glob("*/*.json"))
    assert {json.loads(path.read_text(encoding="utf-8"))["name"] for path in found} == {
        path.stem for path in found
    }
    for path in found:
        copy = tmp_path / path.parent.name / path.name
        copy.parent.mkdir(exist_ok=True)
        shutil.copy(path, copy)
        assert report.main([str(copy)]) == 0
        page = copy.with_suffix(".md")
        assert page.read_text(encoding="utf-8") == path.with_suffix(".md").read_text("utf-8")
        assert str(page) in capsys.readouterr().out
