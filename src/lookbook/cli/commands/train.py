"""Train a run, list the runs, do the whole tutorial: the commands `train`, `runs` and `demo`."""

from __future__ import annotations

import math
import shlex
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from lookbook import recipes
from lookbook.cli import course, options, process, progress, results, terminal
from lookbook.cli.commands import data as data_commands
from lookbook.cli.commands import evaluate as evaluate_commands
from lookbook.cli.commands import reports as report_commands
from lookbook.core import files, translation
from lookbook.core.environment import Launch
from lookbook.core.translation import t
from lookbook.errors import DamagedFileError, InputError
from lookbook.runs import places, store
from lookbook.runs.config import TrainRequest, choose_recipe
from lookbook.runs.schema import Demo

if TYPE_CHECKING:
    from lookbook.runs.backbone_schema import FrozenBackbone
    from lookbook.runs.store import Run


def train(
    context: typer.Context,
    data: options.Data = "fashion-mnist",
    recipe: Annotated[
        str | None,
        typer.Option(
            help="What to train and how; default: transfer where colour images gain by it and the "
            "extra `pretrained` is installed, else standard, or what makes most of the budget.",
            autocompletion=options.complete_recipe,
        ),
    ] = None,
    epochs: Annotated[
        float | None,
        typer.Option(
            help="Passes over the images, parts of one count; default: the recipe's.",
            min=0.001,
            max=1_000_000,
        ),
    ] = None,
    budget: Annotated[
        str | None,
        typer.Option(help="Time for all of it, from start to written run: 30s, 2m, 1h."),
    ] = None,
    seed: Annotated[
        int,
        typer.Option(help="Decides weights, order and validation part.", min=0, max=2**63 - 1),
    ] = 0,
    out: Annotated[
        Path | None, typer.Option(help="Folder of the run; default: runs/<data>-<recipe>-<number>.")
    ] = None,
    size: options.Size = None,
    mirror: Annotated[
        bool | None,
        typer.Option(
            "--mirror/--no-mirror",
            help="Whether an image and its mirror image show the same: not so for letters and "
            "digits. Default: as the recipe says, and no for the built-in digits and letters.",
        ),
    ] = None,
    final: Annotated[
        bool,
        typer.Option(
            "--final",
            help="Train on the validation part, too, after all choices are made; a twin trained "
            "without it gives the temperature.",
        ),
    ] = False,
    corrections: Annotated[
        Path | None,
        typer.Option(
            help="A table of suspected labels, from `lookbook report`, with a person's corrections."
        ),
    ] = None,
    class_weights: Annotated[
        recipes.ClassWeights,
        typer.Option(
            help="auto: balance classes where the largest has more than 6 times the images of the "
            "smallest, and this at most 50, so that rare ones are recognised more often; none: "
            "never."
        ),
    ] = "auto",
    groups: Annotated[
        str | None,
        typer.Option(
            metavar="PATTERN|COLUMN",
            help="Keep images of one person or scene on one side of a split, as copies always are: "
            r"a pattern of files' names such as 'person-(\d+)', or an array of an .npz file.",
        ),
    ] = None,
    from_scratch: Annotated[
        bool,
        typer.Option(
            "--from-scratch",
            help="Without --recipe, choose none that starts from pretrained weights.",
        ),
    ] = False,
    backbone: Annotated[
        Path | None,
        typer.Option(
            metavar="FILE.onnx",
            help="A network of your own, images in and one vector out: it stays as it is, and a "
            "head is fitted to its features.",
        ),
    ] = None,
    backbone_mean: Annotated[
        str | None,
        typer.Option(
            metavar="NUMBERS",
            help="What it wants subtracted from pixels in 0..1, such as 0.485,0.456,0.406; "
            "default: `mean` of its metadata.",
        ),
    ] = None,
    backbone_std: Annotated[
        str | None,
        typer.Option(
            metavar="NUMBERS",
            help="What pixels are then divided by, such as 0.229,0.224,0.225; default: `std` of "
            "its metadata.",
        ),
    ] = None,
    resume: Annotated[
        str | None,
        typer.Option(
            metavar="RUN",
            help="Go on with a run that was stopped or killed; nothing else is asked.",
        ),
    ] = None,
) -> None:
    """Train a classifier on the training part; the test part is not read."""
    if resume is not None:
        _refuse_beside(context, "resume", "the run says itself what it is made of")
        run, before = _resume(resume)
    else:
        before = 0.0
        seconds = None if budget is None else _seconds(budget)
        if seconds is not None and epochs is not None:
            raise InputError("--budget and --epochs both say when training ends; give one of them")
        if recipe is not None:
            recipes.find_recipe(recipe)
        from lookbook.data.sources import resolve

        known = _backbone(backbone, backbone_mean, backbone_std)
        request = TrainRequest(
            resolve(data),
            choose_recipe(recipe, known),
            epochs=int(epochs) if epochs is not None and epochs.is_integer() else epochs,
            budget=seconds,
            seed=seed,
            out=out,
            size=size,
            mirror=mirror,
            final=final,
            corrections=corrections,
            class_weights=class_weights,
            groups=groups,
            from_scratch=from_scratch,
            backbone=known,
        )
        run = _train(request)
    print(f"\n{results.trained(run, process.seconds_so_far(), before)}")
    terminal.suggest(
        terminal.command_line("evaluate", run.folder), terminal.command_line("report", run.folder)
    )
    if run.metrics.stopped:
        last = run.history[-1]
        terminal.say(
            t(
                "stopped by Ctrl-C in epoch {epoch}, after {done:,} of {all:,} images; "
                "the run can be used{go_on}",
                epoch=last.epoch,
                done=last.images,
                all=last.images_per_epoch,
                go_on=_go_on(run),
            )
        )
        raise typer.Exit(130)


def _train(request: TrainRequest, elsewhere: float = 0.0) -> Run:
    """Train; what this process spent `elsewhere`, in seconds, is no part of it."""
    if Launch.here().is_first:
        request.place()  # says what is wrong before torch is imported: more than a second
        choice = request.choice
        if choice is not None and choice.why == "missing" and not terminal.is_quiet():
            terminal.say(f"{t('note')}: {course.missing(choice)}")
        if request.reduced is not None and not terminal.is_quiet():
            terminal.say(f"{t('note')}: {course.reduced(*request.reduced)}")
    process.tune()
    with process.uncollected():
        from lookbook.training import pipeline
        from lookbook.training.callbacks import Listener, StopWhen

    process.end_with_others()
    with process.stop_on_ctrl_c() as should_stop, progress.show_progress() as tell:
        return pipeline.train_since(
            process.seconds_so_far() - elsewhere,
            request,
            callbacks=[Listener(tell), StopWhen(should_stop)],
        )


def _resume(run: str) -> tuple[Run, float]:
    """Go on with a training; return the seconds that it was fitted before, too."""
    if Launch.here().is_first:
        store.read_request(run)  # says what is wrong before torch is imported
    process.tune()
    with process.uncollected():
        from lookbook.training import pipeline
        from lookbook.training.callbacks import Listener, StopWhen, TimeBefore

    process.end_with_others()
    with process.stop_on_ctrl_c() as should_stop, progress.show_progress() as tell:
        before = TimeBefore()
        callbacks = [Listener(tell), StopWhen(should_stop), before]
        resumed = pipeline.resume_since(process.seconds_so_far(), run, callbacks=callbacks)
        return resumed, before.seconds


def _go_on(run: Run) -> str:
    """Say how a training that was stopped goes on, where there was room to keep what it takes."""
    if not places.unfinished(run.folder).exists():
        return ""
    return t("; go on: {command}", command=_resume_line(run.folder, Launch.here().local_size))


def _resume_line(folder: Path, processes: int) -> str:
    """Write the command that goes on with a training, in as many processes."""
    return terminal.shared(terminal.command_line("train", "--resume", folder), processes)


def _begun_by(folder: Path) -> int:
    """Return how many processes shared an unfinished training."""
    try:
        return store.read_request(folder)[1].begun_by
    except DamagedFileError:
        return 1  # `train --resume` says what is wrong with it


def _seconds(text: str) -> float:
    """Read a duration: 30s, 2m, 1.5h; a number alone counts seconds.

    >>> _seconds("30s"), _seconds("2m"), _seconds("45")
    (30.0, 120.0, 45.0)
    """
    units = {"s": 1, "m": 60, "h": 3600}
    number, unit = (text[:-1], text[-1:]) if text[-1:] in units else (text, "s")
    try:
        seconds = float(number) * units[unit]
    except ValueError:
        seconds = math.nan
    if not 0 < seconds < math.inf:
        raise InputError(f"a budget is a time like 30s, 2m or 1h, got '{text}'")
    return seconds


def _backbone(path: Path | None, mean: str | None, std: str | None) -> FrozenBackbone | None:
    """Return what is known of a backbone that is named."""
    if path is None and mean is None and std is None:
        return None
    from lookbook.inference.graphs.backbone import find_backbone

    return find_backbone(
        path, _pixel_levels("--backbone-mean", mean), _pixel_levels("--backbone-std", std)
    )


def _pixel_levels(option: str, text: str | None) -> list[float] | None:
    """Read numbers with commas between them.

    >>> _pixel_levels("--backbone-mean", "0.485,0.456")
    [0.485, 0.456]
    """
    if text is None:
        return None
    try:
        return [float(word) for word in text.split(",")]
    except ValueError:
        raise InputError(
            f"{option} takes numbers with commas between them, such as 0.485,0.456,0.406, got "
            f"'{text}'"
        ) from None


def _refuse_beside(context: typer.Context, option: str, why: str) -> None:
    """Refuse whatever the user gave besides one option, but for how things are said."""
    given = []
    for each in context.command.params:
        source = context.get_parameter_source(each.name or "")
        if source and source.name == "COMMANDLINE" and each.name not in {option, "lang", "quiet"}:
            given.append(each.opts[0] if each.opts[0].startswith("-") else each.opts[0].upper())
    if given:
        raise InputError(f"--{option} goes alone, got {', '.join(given)} beside it: {why}")


def list_runs() -> None:
    """List the runs in this folder's runs/, newest first."""
    found = store.list_runs()
    unfinished = places.list_unfinished()
    for folder in unfinished:
        again = _resume_line(folder, _begun_by(folder))
        print(t("unfinished: {folder}; go on: {command}", folder=folder, command=again))
    if not found:
        if not unfinished:
            print(t("no runs in runs/ yet"))
            terminal.suggest("lookbook train")
        return
    print(results.run_table(found))
    terminal.suggest(terminal.command_line("figures", found[0].folder), apart=True)


def demo() -> None:
    """Do the whole tutorial: fetch, look, train, evaluate, draw, and say how it went."""
    from lookbook.data.sources import resolve

    run = _unchanged_demo()
    if run is None:
        seconds: dict[str, float] = {}
        with _step("lookbook fetch", seconds):
            data_commands.fetch()
        with _step("lookbook look", seconds):
            data_commands.look()
        with _step("lookbook train", seconds):
            elsewhere = sum(seconds.values())
            request = TrainRequest(resolve("fashion-mnist"), recipes.TUTORIAL)
            run = _train(request, elsewhere)
            print(f"\n{results.trained(run, process.seconds_so_far() - elsewhere)}")
        if run.metrics.stopped:
            raise KeyboardInterrupt
        with _step(terminal.command_line("evaluate", run.folder), seconds):
            evaluate_commands.evaluate(str(run.folder))
        with _step(terminal.command_line("figures", run.folder), seconds):
            report_commands.figures(str(run.folder))
        with _step(terminal.command_line("report", run.folder), seconds):
            report_commands.report(str(run.folder), lang=translation.language())
        files.write_document(run.folder / store.DEMO, Demo(seconds=seconds))
    elif not (run.folder / report_commands.REPORTS[translation.language()]).exists():
        report_commands.report(str(run.folder), lang=translation.language())
    print(_demo_summary(run))


@contextmanager
def _step(command: str, seconds: dict[str, float]) -> Iterator[None]:
    print(f"\n$ {command}", flush=True)
    start = time.perf_counter()
    yield
    seconds[command.split()[1]] = time.perf_counter() - start


def _unchanged_demo() -> Run | None:
    """Return the newest demo's run, if it is whole and code and versions are those that made it."""
    from lookbook.core.environment import versions

    now = versions()
    whole = [run for run in store.list_runs() if all(p.exists() for p in _demo_files(run.folder))]
    return next((run for run in whole if run.conditions.versions == now), None)


def _demo_files(folder: Path) -> list[Path]:
    """List what a demo leaves behind, besides the run itself."""
    return [
        folder / store.DEMO,
        folder / store.EVALUATION,
        *(folder / "figures" / name for name in report_commands.RUN_FIGURES),
        *(Path("look") / "fashion-mnist" / name for name in data_commands.LOOK_FIGURES),
    ]


def _demo_summary(run: Run) -> str:
    from lookbook.evaluation import evaluate

    found = evaluate.evaluate(run)
    kept: Demo = store.read_document(run.folder / store.DEMO)
    took = ", ".join(f"{name} {terminal.duration(s)}" for name, s in kept.seconds.items())
    accuracy = terminal.percent(found.accuracy, 2)
    program = f"{Path(sys.argv[0]).parent}/lookbook" if ".venv" in sys.argv[0] else "lookbook"
    right = t(
        "Right for {accuracy} of {n:,} test images ({interval}).",
        accuracy=accuracy,
        n=found.n,
        interval=terminal.interval(found.interval),
    )
    page = run.folder / report_commands.REPORTS[translation.language()]
    figures = t("{one} and {other}", one=run.folder / "figures", other="look/fashion-mnist")
    lines = [
        (t("time"), took),
        (t("run"), str(run.folder)),
        (t("figures"), figures),
        (t("report"), t("{path}: open it in a browser", path=page)),
        (t("next"), f"{program} predict {shlex.quote(str(run.folder))} test:2000 test:800"),
        ("", f"{program} look fashion-mnist --index 7"),
        ("", f"{program} runs"),
    ]
    trained = t("Trained the tutorial's network (784-128-10) on Fashion-MNIST.")
    return f"\n{trained}\n{right}\n{terminal.labelled(lines)}"
