"""What a terminal is given: any encoding, nothing that steers it, columns that line up."""

from __future__ import annotations

import json
import os
import subprocess
import sys

import pytest
from PIL import Image

from lookbook.cli import terminal
from lookbook.errors import InputError, LookbookWarning, write_call
from lookbook.training.pipeline import resume

RUN = "runs/bars-tutorial-1"


@pytest.mark.slow
@pytest.mark.parametrize(("encoding", "arrow"), [("ascii", ">"), ("cp949", "→"), ("utf-8", "→")])
def test_a_terminal_of_any_encoding_is_served(place, bars, tmp_path, encoding, arrow):
    for command, where in (
        (["look", bars, "--out", tmp_path], place),
        (["predict", RUN, "test:5"], place),
        (["runs"], place),
    ):
        ended = subprocess.run(
            [sys.executable, "-m", "lookbook", *map(str, command)],
            cwd=where,
            capture_output=True,
            check=False,
            env=os.environ | {"PYTHONIOENCODING": encoding},
        )
        shown = ended.stdout.decode(encoding)
        assert ended.returncode == 0, ended.stderr
        assert "?" not in shown
        if command[0] != "runs":
            assert ("#" in shown) if encoding != "utf-8" else ("█" in shown)
        if command[0] == "predict":
            assert f"\n{arrow}  bottom" in shown


#: steers a terminal, in one byte and in two, and turns the letters that follow around
HOSTILE = "a\x1b[31m\x9b2J\u202eb\nerror: c.png"


def steers(text: str) -> bool:
    """Say whether a text has anything but letters and the ends of its lines."""
    return not text.replace("\n", "").isprintable()


@pytest.mark.parametrize("options", [[], ["--json"]])
def test_a_name_cannot_steer_the_terminal(call, tmp_path, options):
    for folder in ("there", "not-there"):
        image = tmp_path / folder / HOSTILE
        if folder == "there":
            image.parent.mkdir()
            Image.new("L", (10, 12)).save(image, format="PNG")
        code, *streams = call("predict", RUN, image, *options)
        assert code == (0 if folder == "there" else 2)
        text = "".join(streams)
        assert not steers(text)
        assert "\\u202e" in text
        assert not [line for line in text.splitlines() if line.startswith("error: c.png")]
        if code == 0 and options:
            assert json.loads(streams[0])[0]["input"] == str(image)


@pytest.mark.parametrize(
    "words",
    [[HOSTILE], ["train", f"--{HOSTILE}"], ["train", HOSTILE], ["predict", HOSTILE, "x.png"]],
)
def test_words_of_the_command_line_cannot_steer_the_terminal(call, words):
    code, out, err = call(*words)
    assert (code, out) == (2, "")
    assert "\\x1b[31m" in err
    assert not steers(err)


def test_a_note_cannot_steer_the_terminal(capsys):
    with terminal.harmless_streams():
        terminal.show_warning(HOSTILE, LookbookWarning)
    assert capsys.readouterr().err == "note: a\\x1b[31m\\x9b2J\\u202eb\\nerror: c.png\n"


def test_names_of_all_languages_are_shown_as_they_are():
    for name in ("물방울", "日本語\u3000名", "👩\u200d🔬", "نص", "a\tb\n"):
        assert terminal.harmless(name) == name


@pytest.mark.parametrize(
    ("said", "typed"),
    [
        ("choose another `out`", "choose another --out"),
        ("leave `from_scratch` out", "leave --from-scratch out"),
        ("take another one: `recipe='standard'`", "take another one: --recipe standard"),
        ("`lookbook.list_runs()` lists them", "lookbook runs lists them"),
        ("start one: `lookbook.train(...)`", "start one: lookbook train"),
        ("with: `lookbook.predict(model, image)`", "with: lookbook predict MODEL IMAGE"),
        (write_call("load_data", "mnist"), "lookbook fetch mnist"),
        ("look for them: `lookbook.load(data)`", "look for them: lookbook look DATA"),
        (write_call("export", "my runs/a", to="folder"), "lookbook export 'my runs/a' --to folder"),
        (write_call("resume", "it's `mine`\n"), "lookbook train --resume 'it'\"'\"'s `mine`\\n'"),
        (
            write_call("train", "mnist", seed=1, epochs=0.5, size=None, mirror=False, final=True),
            "lookbook train mnist --seed 1 --epochs 0.5 --no-mirror --final",
        ),
    ],
)
def test_arguments_and_calls_are_said_as_flags_and_commands(said, typed):
    assert terminal.as_typed(said) == typed


def test_what_several_processes_do_together_is_advised_to_all_of_them(monkeypatch):
    for name, value in {"RANK": "3", "WORLD_SIZE": "4", "LOCAL_WORLD_SIZE": "2"}.items():
        monkeypatch.setenv(name, value)
    monkeypatch.setenv("MASTER_ADDR", "localhost")
    monkeypatch.setenv("MASTER_PORT", "1")
    together = "torchrun --nproc-per-node 2 -m lookbook train"
    assert terminal.as_typed(write_call("resume", "runs/a b")) == f"{together} --resume 'runs/a b'"
    assert terminal.as_typed(write_call("train", "mnist")) == f"{together} mnist"
    assert terminal.as_typed(write_call("load_data", "mnist")) == "lookbook fetch mnist"


@pytest.mark.parametrize(
    "name",
    [
        *("`mine`", "`out.png`", "`lookbook.nothing()`", "`lookbook.train(1)(2)`"),
        *("`lookbook.train(()`", "`lookbook.train(*x)`", "`lookbook.train(**x)`"),
        *("`lookbook.train(a.b)`", f"`lookbook.train({'(' * 230})`"),
    ],
)
def test_names_of_files_are_no_calls(name):
    assert terminal.as_typed(f"no image file {name}") == f"no image file {name}"


def test_a_python_user_reads_a_call_and_a_shell_user_a_command(call, run):
    with pytest.raises(InputError, match=r"evaluate it: `lookbook\.evaluate\('.*'\)`$"):
        resume(run.folder)
    code, _, said = call("train", "--resume", run.folder)
    assert (code, said.partition("evaluate it: ")[2]) == (2, f"lookbook evaluate {run.folder}\n")


def test_a_table_is_as_wide_as_its_cells_and_reads_nothing_into_them(monkeypatch):
    monkeypatch.setenv("COLUMNS", "20")
    cells = ["[red]dog[/red]", ":dog:", "x" * 300]
    assert terminal.table([cells, ["", "", "y"]]) == "  ".join(cells) + "\n" + " " * 23 + "y"


def test_tables_of_wide_letters_line_up():
    shown = terminal.table([["가방", "1"], ["two\nlines", "22"]], right={1})
    assert shown == "가방         1\ntwo\\nlines  22"
    assert terminal.label_table(("가방", "Ankle boot")).splitlines()[2:] == [
        "|     0 | 가방       |",
        "|     1 | Ankle boot |",
    ]
