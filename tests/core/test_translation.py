"""What the command line says in Korean: all that it says in English, and nothing is left in it."""

from __future__ import annotations

import errno
import json
import os
import re
from collections.abc import Iterator
from importlib.resources import files
from string import Formatter
from typing import get_args

import pytest
import typer
from rich.cells import cell_len

import wording
from lookbook import errors
from lookbook.bulk.cluster import _no_cluster
from lookbook.cli import main as cli
from lookbook.cli import progress, results, terminal
from lookbook.core import translation
from lookbook.errors import InputError, LookbookWarning
from lookbook.inference.predictor import Seen
from lookbook.training.cross_validation import CALIBRATION_FOLDS

CATALOGUE = json.loads(files("lookbook.core").joinpath("messages.ko.json").read_text("utf-8"))
SOURCE = wording.Source()
#: each thing that an error or a note may say → where it is said
SENTENCES = {wording.filled(said): where for where, said in SOURCE.sentences(wording.SAID)}
#: what stands inside them as a reason
REASONS = {wording.filled(said): where for where, said in SOURCE.sentences(wording.REASONS)}
TEXTS = {sample: (where, names) for where, sample, names in SOURCE.texts()}
#: texts of results that are chosen while the program runs
CHOSEN = {
    *progress.STEPS.values(),
    *filter(None, results.VERDICTS.values()),
    *(seen for seen in get_args(Seen) if seen != "whole"),
    *("run", "recipe", "data", "accuracy", "fit", "started (UTC)"),
    *("imports", "planning", "calibration", "export", "saving and the rest", "calibration twin"),
    *(f"calibration fold {number}" for number in range(1, CALIBRATION_FOLDS + 1)),
}
#: sentences that are chosen while the program runs
INNER = {
    *("delete it, and evaluate again", "restore it, or train again"),
    "delete it, and do the demo again",
    "undo what normalised them, to levels of 0 to 255, then .astype('uint8')",
    "its 16-bit levels end at {high} of 65,535; save them with 8 bits",
    "its 16-bit levels end at {high} of 65,535; multiply them by {n}",
    "{n} of {all} images have no answer",
    "{n} of {all} images have no answer: {names}; the column error of {path} says why",
    "cannot write the output: {error:t}",
}
#: what stays English in a Korean sentence: code, commands, options, names of files and of keys
CODE = re.compile(
    r"""lookbook(?:[.][\w.]+(?:[(][^)]*[)])?(?:[.]\w+)*|(?:[ ](?:--)?[A-Za-z][\w./:=-]*)+)
    |'[^']*'|file,CLASS[^ ]*|(?:apt-get|npm|pip|ray)\ \w+|--\S+|[\w.]+[(][^)]*[)]
    |\w+(?:[-./_]\w*)+""",
    re.ASCII | re.VERBOSE,
)
ENGLISH = re.compile(
    r"\b(?:the|is|are|was|were|of|to|and|or|not|it|its|this|that|with|for|from|in|on|by|as|has|have"
    r"|no|but|must|cannot|expected|got|again|each|choose|write|name|give|delete|train|beside"
    r"|[a-z]{2,} [a-z]{2,})\b"
)


@pytest.fixture(autouse=True)
def korean() -> Iterator[None]:
    """Say all in Korean, and in English again in the end."""
    translation.set_language("ko")
    yield
    translation.set_language("en")


def fields(text: str) -> set[str]:
    return {name for _, name, _, _ in Formatter().parse(text) if name}


def fault_of(sentence: str, said: str) -> str | None:
    """Return what is wrong with the Korean of a sentence."""
    if not re.search("[a-z]{3}", re.sub(r"V\d+", "", CODE.sub("", sentence))):
        return None  # nothing but values
    if not re.search("[가-힣]", said):
        return "no Korean"
    if english := ENGLISH.search(CODE.sub("", said)):
        return f"{english.group()!r} is left in {said!r}"
    values = [sorted(set(re.findall(r"V\d+", text))) for text in (said, sentence)]
    return None if values[0] == values[1] else f"other values in {said!r}"


def test_every_error_and_note_has_its_korean():
    assert len(SENTENCES) > 250
    faults = [
        (where, sentence, fault_of(sentence, translation.translate(sentence)))
        for sentence, where in SENTENCES.items()
    ]
    assert [fault for fault in faults if fault[2]] == [], "see messages.ko.json"


def test_every_reason_inside_an_error_has_its_korean():
    assert len(REASONS) > 20
    for reason, where in REASONS.items():
        whole = translation.translate(f"a.png cannot be read: {reason}; check its permissions")
        inner = whole.removeprefix("a.png: 읽을 수 없습니다(").removesuffix("). 권한을 확인하세요")
        assert fault_of(reason, inner) is None, (where, reason)


def test_every_text_of_a_result_has_its_korean_with_the_same_values():
    assert len(TEXTS) > 90
    for text, (where, names) in TEXTS.items():
        if text != wording.VALUE:
            assert text in CATALOGUE["results"], f"{where}: messages.ko.json lacks {text!r}"
            assert fields(text) == names == fields(CATALOGUE["results"][text]), where


@pytest.mark.parametrize("number", [*errors._REMEDIES, errno.ENOENT])
def test_what_the_system_refuses_is_said_in_korean(number):
    error = OSError(number, os.strerror(number), "a.png")
    said = translation.translate(errors.describe(error))
    assert said.startswith("a.png: ")
    assert fault_of(errors.describe(error), said) is None


def used_by(text: str, kinds: tuple[str, ...]) -> set[str]:
    """Return the translations that a sample takes."""
    for form in translation._forms("ko", kinds):
        if found := form.pattern.fullmatch(text):
            inner = [used_by(found[name], get_args(translation.Kind)) for name in form.inner]
            return {form.translation}.union(*inner)
    return set()


def test_the_catalogue_has_nothing_that_is_not_said():
    assert CATALOGUE["results"].keys() <= TEXTS.keys() | CHOSEN
    assert CATALOGUE["results"].keys() >= CHOSEN
    used = set().union(
        *(used_by(sample, ("sentences",)) for sample in SENTENCES),
        *(used_by(sample, get_args(translation.Kind)) for sample in REASONS),
    )
    for kind in get_args(translation.Kind):
        for key, korean in CATALOGUE[kind].items():
            assert fields(key) >= fields(korean), key
            chosen = kind != "sentences" or key in INNER or "{error:t}; " in key
            assert chosen or korean in used, key


def test_nothing_is_printed_past_the_catalogue():
    """Every text with words that is printed is an argument of `t`, or of `translate`."""
    for place, call in SOURCE.calls:
        if place.module.startswith(wording.SPEAKERS) and wording.called(call) in (
            "print",
            "_say",
            "write",
        ):
            for text in wording.printed(call):
                left = CODE.sub("", text.replace("lookbook", ""))
                assert not re.search("[a-z]{3}", left), f"{place.module}.py:{call.lineno}"


def test_the_command_line_turns_every_argument_and_call_that_an_error_names():
    marked = [sentence for sentence in SENTENCES if "`" in sentence]
    assert len(marked) > 15
    for sentence in marked:
        valued = re.sub(r"(?<=[(])V\d+(?=[)]`)", "'a'", sentence)
        valued = re.sub(r"`V\d+`", "`out`", valued)  # whatever argument the caller names
        assert "`" not in terminal.as_typed(valued), (SENTENCES[sentence], sentence)
        assert "`" not in terminal.as_typed(translation.translate(valued)), sentence


def test_only_the_command_line_speaks_of_flags_and_commands():
    """What a command alone can do stands as a command: fetch from a folder, write a table."""
    allowed = "lookbook fetch V|lookbook serve V|lookbook report RUN --corrections|ray start"
    commands = "|".join(each.name or each.callback.__name__ for each in cli.app.registered_commands)
    for sentence, where in SENTENCES.items():
        if not where.startswith(wording.SPEAKERS) and not re.search(allowed, sentence):
            assert not re.search(r"(?<![-\w])--[a-z]", sentence), (where, sentence)
            assert not re.search(rf"lookbook (?:{commands})\b", sentence), (where, sentence)


def test_values_stay_as_they_are_and_sentences_inside_are_translated():
    assert translation.translate("no run test; there are none yet: `lookbook.train(...)`") == (
        "test: 그런 실행 결과가 없습니다. 아직 하나도 없습니다: `lookbook.train(...)`"
    )
    assert translation.translate("runs/a is missing; restore the file, or train again: x --y") == (
        "runs/a: 파일이 없습니다. 파일을 되돌려 놓거나 다시 훈련하세요: x --y"
    )
    said = translation.translate(str(_no_cluster("this machine", "Connection refused")))
    assert said.startswith(
        "이 컴퓨터에서 응답하는 Ray 클러스터가 없습니다(연결이 거부되었습니다). "
    )
    assert translation.translate("a sentence that nobody knows") == "a sentence that nobody knows"


def in_process(*words: object) -> None:
    cli.app([str(word) for word in words], prog_name="lookbook", standalone_mode=False)


def test_results_are_korean_where_the_option_or_the_environment_asks(run, capsys, monkeypatch):
    in_process("evaluate", run.folder, "--lang", "ko")
    by_option = capsys.readouterr().out
    monkeypatch.setenv("LOOKBOOK_LANG", "ko")
    in_process("evaluate", run.folder)
    assert capsys.readouterr().out == by_option
    assert by_option.startswith("테스트 정확도")
    assert f"\n다음: lookbook report {run.folder}" in by_option
    rows = [line for line in by_option.splitlines() if line.startswith(("클래스", "top", "middle"))]
    assert len({cell_len(row) for row in rows}) == 1  # the columns line up
    in_process("evaluate", run.folder, "--lang", "en")
    assert capsys.readouterr().out.startswith("test accuracy")


def test_notes_and_errors_are_korean(capsys, monkeypatch):
    def fail(**_):
        raise InputError("no run 1; x")

    monkeypatch.setattr(cli, "app", fail)
    with pytest.raises(SystemExit) as ended:
        cli._run_app()
    assert ended.value.code == 2
    assert capsys.readouterr().err == "오류: 1: 그런 실행 결과가 없습니다. x\n"
    note = LookbookWarning("without sample images: runs/a is missing; x")
    terminal.show_warning(note, LookbookWarning)
    assert (
        capsys.readouterr().err == "알림: 예시 이미지 없이 만듭니다: runs/a: 파일이 없습니다. x\n"
    )


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["trian"], "그런 명령이 없습니다: 'trian'('train' 말씀인가요?)"),
        (["evaluate"], "인수 'run'이(가) 빠졌습니다."),
        (["train", "--epochs", "0"], "'--epochs'의 값이 잘못되었습니다: 0.001 이상이어야 합니다"),
        (["train", "--foo"], "그런 옵션이 없습니다: --foo"),
        (["export", "x", "--to", "pdf"], "'--to'의 값이 잘못되었습니다: 'pdf'은(는) "),
    ],
)
def test_what_is_said_of_wrong_words_is_korean(words, said, monkeypatch):
    monkeypatch.setenv("LOOKBOOK_LANG", "ko")
    with pytest.raises(typer.TyperException) as caught:
        in_process(*words)
    assert caught.value.format_message().startswith(said)


def test_help_stays_english(monkeypatch, capsys):
    monkeypatch.setenv("LOOKBOOK_LANG", "ko")
    in_process("evaluate", "--help")
    shown = capsys.readouterr().out
    assert "Measure a run on the test part" in shown
    assert not re.search("[가-힣]", shown)
