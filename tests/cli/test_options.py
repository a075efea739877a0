"""What all commands take: quiet, and words that a shell completes."""

from __future__ import annotations

import warnings

import pytest
import typer

from conftest import lookbook
from lookbook.cli import main as cli
from lookbook.cli import options, terminal
from lookbook.errors import InputError, LookbookWarning

RUN = "runs/bars-tutorial-1"


@pytest.mark.slow
def test_words_complete_in_a_shell(place):
    def complete(words, number):
        return lookbook(
            cwd=place,
            _LOOKBOOK_COMPLETE="complete_bash",
            COMP_WORDS=words,
            COMP_CWORD=str(number),
        ).stdout.split()

    assert complete("lookbook fe", 1) == ["fetch"]
    assert complete("lookbook look kmn", 2) == ["kmnist"]
    assert complete("lookbook train --recipe t", 3) == ["tutorial", "transfer"]
    assert complete("lookbook evaluate runs/", 2) == [RUN]
    assert complete("lookbook evaluate bars", 2) == ["bars-tutorial-1"]


def in_process(*words):
    """Run a command in this process: nothing needs to be imported anew."""
    cli.app([str(word) for word in words], prog_name="lookbook", standalone_mode=False)


@pytest.fixture
def _notes_are_said(monkeypatch):
    """Say notes as the program does; the tests' own settings make errors of them."""
    with warnings.catch_warnings():
        warnings.simplefilter("always", LookbookWarning)
        monkeypatch.setattr(warnings, "showwarning", terminal.show_warning)
        yield
    terminal.set_quiet(False)


@pytest.mark.usefixtures("_notes_are_said")
def test_quiet_leaves_results_and_errors_alone(bars, own_run, tmp_path, capsys, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "runs" / "damaged").mkdir()
    (tmp_path / "runs" / "damaged" / "conditions.json").write_text("{")
    train = ("train", bars, "--recipe", "tutorial", "--epochs", "1")
    shown = []
    for quiet in ((), ("-q",)):
        for command in (("evaluate", own_run.folder), ("runs",), train):
            in_process(*command, *quiet)
        shown.append(capsys.readouterr())
    loud, silent = shown
    assert silent.err == ""
    assert "next:" not in silent.out
    assert "note: left out the run damaged" in loud.err
    assert "epoch 1/1" in loud.err
    assert loud.out.count("next: lookbook ") == 3
    # what was found is said all the same
    for result in ("test accuracy ", "runs/bars-tutorial-1", "validation accuracy "):
        assert result in silent.out
    with pytest.raises(InputError, match="no run nothing"):
        in_process("evaluate", "nothing", "--quiet")


def test_every_command_can_be_quiet():
    commands = typer.main.get_command(cli.app).commands
    for name, command in commands.items():
        assert any("--quiet" in parameter.opts for parameter in command.params), name


# ---- the bundled model ----


@pytest.fixture
def here(tmp_path, monkeypatch):
    """A folder with a run `a`, also by its name, and a photograph."""
    for folder in (tmp_path / "a", tmp_path / "runs" / "b"):
        folder.mkdir(parents=True)
        (folder / "conditions.json").write_text("{}")
    (tmp_path / "photo.jpg").write_bytes(b"")
    (tmp_path / "album").mkdir()
    monkeypatch.chdir(tmp_path)


@pytest.mark.usefixtures("here")
@pytest.mark.parametrize(
    ("words", "chosen"),
    [
        (["a", "photo.jpg"], ("a", ["photo.jpg"])),
        (["b", "photo.jpg"], ("b", ["photo.jpg"])),
        (["model.onnx", "photo.jpg", "album"], ("model.onnx", ["photo.jpg", "album"])),
        (["photo.jpg"], (None, ["photo.jpg"])),
        (["album", "a"], (None, ["album", "a"])),
        (["gone.JPEG", "a"], (None, ["gone.JPEG", "a"])),
        (["https://example.org/a"], (None, ["https://example.org/a"])),
    ],
)
def test_the_first_word_is_the_model_if_it_is_one(words, chosen):
    assert options.choose_model(words[0], words[1:]) == chosen


@pytest.mark.usefixtures("here")
def test_what_is_no_model_and_no_image_is_a_mistyped_run():
    wrong = pytest.raises(InputError, match=r"^no run runs/c; ")
    # the runs here are none that can be read
    with pytest.warns(LookbookWarning, match="left out the run b"), wrong:
        options.choose_model("runs/c", ["photo.jpg"])


@pytest.mark.usefixtures("here")
def test_a_model_without_anything_to_answer_is_refused():
    with pytest.raises(InputError, match=r"^a is a model, and there is nothing for it to answer"):
        options.choose_model("a", [])
