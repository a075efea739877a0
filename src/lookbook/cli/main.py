"""Parse a command, call what does it, print the results, exit: no other module does."""

from __future__ import annotations

import functools
import inspect
import json
import math
import os
import shlex
import sys
import time
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from itertools import pairwise
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

import typer
from typer.core import TyperGroup
from typer.exceptions import TyperException

from lookbook import recipes
from lookbook.cli import process, progress, terminal
from lookbook.core import files, translation
from lookbook.core.translation import t, translate
from lookbook.data import catalog
from lookbook.errors import NAMES, InputError, LookbookError, LookbookWarning, OutputError, describe
from lookbook.runs import store

if TYPE_CHECKING:
    from lookbook.data.dataset import Dataset
    from lookbook.inference.predictor import Prediction
    from lookbook.reports.report_data import Dossier
    from lookbook.runs.store import Run


class _Commands(TyperGroup):
    """The commands, with an end that tells: typer ends without a word after Ctrl-C."""

    def make_context(self, *args: Any, **kwargs: Any) -> Any:
        translation.set_language(_language_of(args[1]))
        with _harmless_errors():
            return super().make_context(*args, **kwargs)

    def invoke(self, ctx: Any) -> Any:
        try:
            try:
                with _harmless_errors():
                    return super().invoke(ctx)
            finally:
                sys.stdout.flush()  # a full disk shows here, while there is still someone to tell
        except KeyboardInterrupt:
            if ctx.invoked_subcommand == "train":
                _say(t("stopped by Ctrl-C; lookbook runs lists what can go on"))
            else:
                _say(t("stopped by Ctrl-C"))
            raise typer.Exit(130) from None


def _language_of(words: list[str]) -> translation.Lang:
    """Return the language in which to say what is wrong with the words of a command."""
    named = [word for before, word in pairwise(("", *words)) if before == "--lang"]
    named += [word.removeprefix("--lang=") for word in words if word.startswith("--lang=")]
    wanted = (*named, os.environ.get("LOOKBOOK_LANG"))[0]
    return "ko" if wanted == "ko" else "en"


@contextmanager
def _harmless_errors() -> Iterator[None]:
    """Keep what typer says of wrong use from steering the terminal: it repeats the words given."""
    try:
        yield
    except TyperException as error:
        if (message := getattr(error, "message", None)) is not None:
            error.message = terminal.harmless(message)
            said = error.format_message()
            error.format_message = lambda: translate(said)  # type: ignore[method-assign]  # typer speaks English
        raise


app = typer.Typer(
    cls=_Commands,
    name="lookbook",
    help="Train small image classifiers in seconds on a laptop, and see everything that they do.",
    epilog="First steps: lookbook demo, or lookbook look",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    rich_markup_mode="rich",
    context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100},
)

# ---- what several commands take ----


def _show_version(asked: bool) -> None:
    if asked:
        from importlib.metadata import version

        print(f"lookbook {version('lookbook')}", flush=True)
        raise typer.Exit


@app.callback()
def _options(
    version: Annotated[
        bool,
        typer.Option(
            "--version", callback=_show_version, is_eager=True, help="Show the version and exit."
        ),
    ] = False,
) -> None:
    del version  # its callback has answered


def _complete_data(incomplete: str) -> list[str]:
    return [name for name in catalog.BUILTIN if name.startswith(incomplete)]


def _complete_recipe(incomplete: str) -> list[str]:
    return [name for name in recipes.RECIPES if name.startswith(incomplete)]


def _complete_run(incomplete: str) -> list[str]:
    folders = [run.folder for run in store.list_runs()]
    names = [name for folder in folders for name in (str(folder), folder.name)]
    return [name for name in names if name.startswith(incomplete)]


Data = Annotated[
    str,
    typer.Argument(
        help=f"{', '.join(catalog.BUILTIN)}, a folder of class folders, an .npz file, or a folder "
        "of IDX files.",
        autocompletion=_complete_data,
    ),
]
RunName = Annotated[
    str,
    typer.Argument(help="Folder of a run, or its name in runs/.", autocompletion=_complete_run),
]
Quiet = Annotated[
    bool,
    typer.Option(
        "--quiet",
        "-q",
        callback=progress.set_quiet,
        help="Print results and errors alone: no progress, no notes, no next step.",
    ),
]


def _set_language(lang: translation.Lang) -> translation.Lang:
    translation.set_language(lang)
    return lang


Language = Annotated[
    translation.Lang,
    typer.Option(
        "--lang",
        envvar="LOOKBOOK_LANG",
        callback=_set_language,
        is_eager=True,  # so that what else is wrong is said in it
        help="Language of results and errors, and of a report.",
    ),
]
Size = Annotated[
    int | None,
    typer.Option(help="Pixels on a side to which image files are brought.", min=8, max=224),
]


def _common(command: Callable[..., None]) -> Callable[..., None]:
    """Give a command the options that all have; their callbacks do what they ask for."""
    signature = inspect.signature(command, eval_str=True)
    options = {"quiet": (False, Quiet), "lang": ("en", Language)}
    added = [
        inspect.Parameter(name, inspect.Parameter.KEYWORD_ONLY, default=default, annotation=kind)
        for name, (default, kind) in options.items()
        if name not in signature.parameters
    ]
    parameters = [*signature.parameters.values(), *added]

    @functools.wraps(command)
    def run(*args: Any, **kwargs: Any) -> None:
        command(*args, **{k: v for k, v in kwargs.items() if k in signature.parameters})

    run.__signature__ = signature.replace(parameters=parameters)  # type: ignore[attr-defined]  # as `inspect` reads it
    run.__annotations__ = {each.name: each.annotation for each in parameters}
    return run


# ---- the commands ----


@app.command(epilog="Example: lookbook fetch fashion-mnist")
@_common
def fetch(
    dataset: Annotated[
        str, typer.Argument(help="Name of the dataset.", autocompletion=_complete_data)
    ] = "fashion-mnist",
    source: Annotated[
        Path | None,
        typer.Option("--from", help="A folder that holds the publisher's files already."),
    ] = None,
) -> None:
    """Fetch a built-in dataset, verify it, and keep it in the cache."""
    from lookbook.data import download

    wanted = download.find_builtin(dataset)
    if source is not None and not source.is_dir():
        raise InputError(f"no folder {source}; name the folder that holds the files")
    with progress.show_download() as report:
        kept = download.fetch(wanted, folder=source, report=report)
    print(t("{title} is there, verified: {path}", title=wanted.title, path=kept))
    _suggest(_command("look", dataset))


@app.command(epilog="Example: lookbook look fashion-mnist --index 20000")
@_common
def look(
    data: Data = "fashion-mnist",
    index: Annotated[
        int | None, typer.Option(help="Training image to show; default: one in the middle.")
    ] = None,
    out: Annotated[
        Path | None, typer.Option(help="Folder for the figures; default: look/<data>.")
    ] = None,
    size: Size = None,
) -> None:
    """Show a dataset: shapes, class balance, raw pixels, labels, images."""
    folder = out or Path("look") / catalog.stem_of(Path(data).resolve())
    train, test = _load_both(data, size)
    chosen = len(train) // 3 if index is None else index
    if not 0 <= chosen < len(train):
        raise InputError(
            f"no training image {chosen}: there are {len(train):,}; "
            f"expected --index 0 to {len(train) - 1}"
        )
    image = train.images[chosen]
    row = min(10, len(image) - 1)
    before, after = terminal.pixel_row(image, row)
    print(terminal.parts(train, test) + "\n")
    print(f"{t('images of each class (training)')}\n{terminal.balance(train)}\n")
    print(f"{terminal.label_table(train.classes)}\n")
    name = terminal.visible(train.classes[train.labels[chosen]])
    print(t("training image {index:,}: {name}", index=chosen, name=name))
    print(f"{terminal.shade(image)}\n")
    if image.ndim == 2:
        print(t("row {row} of its pixels, 0 (no ink) to 255", row=row))
    else:
        print(t("row {row} of its red channel, 0 to 255", row=row))
    print(f"{before}\n")
    print(t("the same row scaled, (x - min) / (max - min) with min 0 and max 255"))
    print(f"{after}\n")
    _list(t("drawn"), _draw_look(train, chosen, folder))
    _suggest(_command("train", data, *([] if size is None else ["--size", size])))


@app.command(epilog="Example: lookbook train fashion-mnist --budget 30s")
@_common
def train(
    context: typer.Context,
    data: Data = "fashion-mnist",
    recipe: Annotated[
        str | None,
        typer.Option(
            help="What to train and how; default: standard, or what makes most of the budget.",
            autocompletion=_complete_recipe,
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
    size: Size = None,
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
        run = _resume(resume)
    else:
        seconds = None if budget is None else _seconds(budget)
        if seconds is not None and epochs is not None:
            raise InputError("--budget and --epochs both say when training ends; give one of them")
        run = _train(
            data,
            None if recipe is None else recipes.find_recipe(recipe),
            epochs=int(epochs) if epochs is not None and epochs.is_integer() else epochs,
            budget=seconds,
            seed=seed,
            out=out,
            size=size,
            mirror=mirror,
            final=final,
            corrections=corrections,
        )
    print(f"\n{terminal.trained(run, process.seconds_so_far())}")
    _suggest(_command("evaluate", run.folder), _command("report", run.folder))
    if run.metrics["stopped"]:
        last = run.history[-1]
        _say(
            t(
                "stopped by Ctrl-C in epoch {epoch}, after {done:,} of {all:,} images; "
                "the run can be used{go_on}",
                epoch=last["epoch"],
                done=last["pictures"],
                all=last["pictures_per_epoch"],
                go_on=_go_on(run),
            )
        )
        raise typer.Exit(130)


@app.command(epilog="Example: lookbook evaluate runs/fashion-mnist-tutorial-1")
@_common
def evaluate(
    run: RunName,
    data: Annotated[
        str | None,
        typer.Option(
            help="Other labelled images of the same classes: a folder of class folders, an .npz "
            "file, or IDX files. What they show stands beside the run's own result and is not "
            "kept.",
            autocompletion=_complete_data,
        ),
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON object.")] = False,
) -> None:
    """Measure a run on the test part: once, then the result is kept in the run."""
    chosen = store.read_run(run)
    from lookbook.evaluation import evaluate

    found = evaluate.evaluate(chosen, data=data)
    if as_json:
        _print_json(found)
        return
    print(terminal.results(found, chosen.metrics.get("weaknesses", [])))
    if found.get("own", True) is None:
        _suggest(_command("evaluate", chosen.folder), apart=True)
        return
    _suggest(_command("report", chosen.folder), apart=True)


@app.command(
    epilog="Example: lookbook predict runs/fashion-mnist-tutorial-1 test:2000 test:800 coat.jpg"
)
@_common
def predict(
    run: Annotated[
        str,
        typer.Argument(
            help="Folder of a run, its name in runs/, or a model file alone: model.onnx.",
            autocompletion=_complete_run,
        ),
    ],
    inputs: Annotated[
        list[str],
        typer.Argument(help="test:NUMBER for a test image, image files, or folders of them."),
    ],
    figure: Annotated[
        Path | None,
        typer.Option(help="Draw images and bar charts into this file: PNG, JPEG, PDF, SVG, …"),
    ] = None,
    coverage: Annotated[
        float | None,
        typer.Option(
            help="Share of images that get an answer, the others are 'not sure'; default: 0.9.",
            min=0.01,
            max=1,
        ),
    ] = None,
    sets: Annotated[
        float | None,
        typer.Option(
            help="Also name the likely classes, so many that they hold the right one this often.",
            min=0.01,
            max=0.999,
        ),
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON list.")] = False,
) -> None:
    """Say what images show, with the probability of every class."""
    if not run.endswith(".onnx"):
        store.read_run(run)  # says what is wrong before numpy is imported
    from lookbook.inference import prediction, predictor

    named = predictor.list_inputs(inputs)
    if figure is not None:
        _check_figure(figure, len(named))
    answers = prediction.predict_each(run, named, coverage=coverage, sets=sets)
    shown = _Answers(run, len(named), as_json=as_json, keep=figure is not None)
    for answer in answers:
        shown.add(answer)
    shown.end(figure)


@app.command(epilog="Example: lookbook figures runs/fashion-mnist-tutorial-1")
@_common
def figures(
    run: RunName,
    out: Annotated[
        Path | None, typer.Option(help="Folder for the figures; default: figures/ in the run.")
    ] = None,
) -> None:
    """Draw predictions, confusion matrix and learning curves of a run as PNG."""
    chosen = store.read_run(run)
    _list(t("drawn"), _draw_figures(chosen, out or chosen.place("figures")))
    _suggest(_command("predict", chosen.folder, "test:0"))


@app.command(epilog="Example: lookbook report runs/fashion-mnist-standard-1 --lang ko")
@_common
def report(
    run: Annotated[
        str | None,
        typer.Argument(help="Folder of a run, or its name in runs/.", autocompletion=_complete_run),
    ] = None,
    predictions: Annotated[
        Path | None,
        typer.Option(
            help="Instead of a run: probabilities for DATA's test part. An .npy file in its order, "
            "or with names: a table (file,CLASS,CLASS,…), or an .npz of probs, files, classes."
        ),
    ] = None,
    data: Annotated[
        str | None, typer.Option(help="With --predictions: the data, as `train` takes it.")
    ] = None,
    lang: Language = "en",
    out: Annotated[
        Path | None, typer.Option(help="The HTML file; default: report.html in the run.")
    ] = None,
    corrections: Annotated[
        Path | None,
        typer.Option(help="Also write the suspected labels into this CSV file, to be judged."),
    ] = None,
) -> None:
    """Write one HTML file that shows everything about a run, or about any probabilities."""
    if corrections is not None and corrections.exists():
        raise InputError(f"{corrections} exists and is not overwritten; choose another name")
    if predictions is not None:
        if run is not None or corrections is not None:
            raise InputError(
                "--predictions goes with --data, --lang and --out alone; a run, and --corrections, "
                "need a model of this program"
            )
        _report_predictions(predictions, data, lang, out)
        return
    if run is None or data is not None:
        raise InputError(
            "name a run, as in lookbook report runs/fashion-mnist-standard-1, or give both "
            "--predictions probs.npy and --data DATA"
        )
    chosen = store.read_run(run)
    target = out or chosen.folder / REPORTS[lang]
    _check_file(target, REPORTS[lang])
    process.tune()  # the first report on a run trains networks, too
    from lookbook.reports import page
    from lookbook.reports.report_data import gather

    with progress.show_steps() as tell:
        dossier = gather(chosen, tell)
        written = page.write_run_report(dossier, target, lang)
    if corrections is not None:
        _write_corrections(corrections, dossier)
        again = f"{chosen.train_command()} --corrections {shlex.quote(str(corrections))}"
        print(t("fill in its column 'correction', then: {command}", command=again))
    _list(t("report"), [written])
    _suggest(t("open it in a browser"))


@app.command(epilog="Example: lookbook export runs/fashion-mnist-standard-1 --to html")
@_common
def export(
    run: RunName,
    to: Annotated[
        Literal["int8", "html", "folder"],
        typer.Option(
            help="int8: a model file in 8 bits; html: a page to try the model on; folder: the "
            "model with its card and examples."
        ),
    ],
    out: Annotated[
        Path | None, typer.Option(help="File or folder; default: a place in the run.")
    ] = None,
) -> None:
    """Write a run's model for use elsewhere: in 8 bits, as a page, or with all that explains it."""
    from lookbook.exports import formats

    chosen = store.read_run(run)
    target = formats.place(chosen, to, out)
    {"int8": _export_int8, "html": _export_page, "folder": _export_kit}[to](chosen, target)


@app.command("runs", epilog="Example: lookbook runs")
@_common
def list_runs() -> None:
    """List the runs in this folder's runs/, newest first."""
    found = store.list_runs()
    unfinished = store.list_unfinished()
    for folder in unfinished:
        again = _command("train", "--resume", folder)
        print(t("unfinished: {folder}; go on: {command}", folder=folder, command=again))
    if not found:
        if not unfinished:
            print(t("no runs in runs/ yet"))
            _suggest("lookbook train")
        return
    print(terminal.run_table(found))
    _suggest(_command("figures", found[0].folder), apart=True)


@app.command(epilog="Example: lookbook demo")
@_common
def demo() -> None:
    """Do the whole tutorial: fetch, look, train, evaluate, draw, and say how it went."""
    run = _unchanged_demo()
    if run is None:
        seconds: dict[str, float] = {}
        with _step("lookbook fetch", seconds):
            fetch()
        with _step("lookbook look", seconds):
            look()
        with _step("lookbook train", seconds):
            elsewhere = sum(seconds.values())
            run = _train("fashion-mnist", recipes.TUTORIAL, elsewhere=elsewhere)
            print(f"\n{terminal.trained(run, process.seconds_so_far() - elsewhere)}")
        if run.metrics["stopped"]:
            raise KeyboardInterrupt
        with _step(_command("evaluate", run.folder), seconds):
            evaluate(str(run.folder))
        with _step(_command("figures", run.folder), seconds):
            figures(str(run.folder))
        with _step(_command("report", run.folder), seconds):
            report(str(run.folder), lang=translation.language())
        files.write_document(run.folder / DEMO, {"seconds": seconds})
    elif not (run.folder / REPORTS[translation.language()]).exists():
        report(str(run.folder), lang=translation.language())
    print(_demo_summary(run))


#: what a demo leaves in its run: how long each step took
DEMO = store.DEMO
#: language → the page's name in its run
REPORTS = {"en": "report.html", "ko": "report.ko.html"}
LOOK_FIGURES = ("balance.png", "picture.png", "pictures.png")
RUN_FIGURES = ("predictions.png", "first-15.png", "confusion.png", "history.png")


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
    return next((run for run in whole if run.conditions["versions"] == now), None)


def _demo_files(folder: Path) -> list[Path]:
    """List what a demo leaves behind, besides the run itself."""
    return [
        folder / DEMO,
        folder / store.EVALUATION,
        *(folder / "figures" / name for name in RUN_FIGURES),
        *(Path("look") / "fashion-mnist" / name for name in LOOK_FIGURES),
    ]


def _demo_summary(run: Run) -> str:
    from lookbook.evaluation import evaluate

    found = evaluate.evaluate(run)
    seconds = store.read_document(run.folder / DEMO)["seconds"]
    took = ", ".join(f"{name} {terminal.duration(s)}" for name, s in seconds.items())
    accuracy = terminal.percent(found["accuracy"], 2)
    program = f"{Path(sys.argv[0]).parent}/lookbook" if ".venv" in sys.argv[0] else "lookbook"
    right = t(
        "Right for {accuracy} of {n:,} test images ({interval}).",
        accuracy=accuracy,
        n=found["n"],
        interval=terminal.interval(found["interval"]),
    )
    page = run.folder / REPORTS[translation.language()]
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


# ---- the parts of commands ----


def _train(
    data: str, recipe: recipes.Recipe | None, *, elsewhere: float = 0.0, **options: Any
) -> Run:
    """Train; what this process spent `elsewhere`, in seconds, is no part of it."""
    _check_data(data)
    if options.get("out") is not None:
        store.check_target(options["out"])
    process.tune()
    with process.uncollected():
        from lookbook.training import pipeline

    with process.stop_on_ctrl_c() as should_stop, progress.show_progress() as tell:
        return pipeline.train_since(
            process.seconds_so_far() - elsewhere,
            data,
            recipe,
            tell=tell,
            should_stop=should_stop,
            **options,
        )


def _resume(run: str) -> Run:
    store.read_request(run)  # says what is wrong before torch is imported
    process.tune()
    with process.uncollected():
        from lookbook.training import pipeline

    with process.stop_on_ctrl_c() as should_stop, progress.show_progress() as tell:
        return pipeline.resume_since(
            process.seconds_so_far(), run, tell=tell, should_stop=should_stop
        )


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


def _refuse_beside(context: typer.Context, option: str, why: str) -> None:
    """Refuse whatever the user gave besides one option, but for how things are said."""
    given = []
    for each in context.command.params:
        source = context.get_parameter_source(each.name or "")
        if source and source.name == "COMMANDLINE" and each.name not in {option, "lang", "quiet"}:
            given.append(each.opts[0] if each.opts[0].startswith("-") else each.opts[0].upper())
    if given:
        raise InputError(f"--{option} goes alone, got {', '.join(given)} beside it: {why}")


def _check_data(data: str) -> None:
    """Refuse what is no data before torch is imported, which takes more than a second."""
    if data not in catalog.BUILTIN and not (data and Path(data).exists()):
        from lookbook.data.dataset import load

        load(data)  # says what is wrong


def _load_both(data: str, size: int | None) -> tuple[Dataset, Dataset]:
    from lookbook.data.dataset import load

    train_part = load(data, "train", size=size)
    return train_part, load(data, "test", size=train_part.size, channels=train_part.channels)


def _draw_look(dataset: Dataset, index: int, folder: Path) -> list[Path]:
    from lookbook.reports import figures

    title = f"training image {index:,}: {dataset.classes[dataset.labels[index]]}"
    first = max(0, min(index - 12, len(dataset) - 25))
    drawn = (
        figures.plot_balance(dataset),
        figures.plot_picture(dataset.images[index], title),
        figures.plot_pictures(dataset, first),
    )
    named = zip(drawn, LOOK_FIGURES, strict=True)
    return [figures.save(figure, folder / name) for figure, name in named]


def _draw_figures(run: Run, folder: Path) -> list[Path]:
    from lookbook.evaluation import evaluate
    from lookbook.inference import prediction
    from lookbook.reports import figures
    from lookbook.runs.parts import load_part

    test = load_part(run, "test")
    found = evaluate.evaluate_part(run, test)
    examples, first = prediction.predict_examples(run, test)
    drawn = (
        figures.plot_predictions(examples),
        figures.plot_predictions(first, columns=3),
        figures.plot_confusion(found["confusion_matrix"], tuple(found["classes"])),
        figures.plot_history(run.history),
    )
    named = zip(drawn, RUN_FIGURES, strict=True)
    return [figures.save(figure, folder / name) for figure, name in named]


def _draw_predictions(found: list[Prediction], path: Path) -> Path:
    from lookbook.reports import figures

    return figures.save(figures.plot_predictions(found), path)


#: images up to which each answer is shown with all its probabilities, and of more on a line
MOST_IN_FULL = 10
#: images that fit into one figure
MOST_IN_FIGURE = 40


def _check_figure(path: Path, n: int) -> None:
    """Refuse a figure before any work is done for it."""
    from lookbook.reports import figures

    figures.check_place(path)
    if n > MOST_IN_FIGURE:
        raise InputError(
            f"a figure holds up to {MOST_IN_FIGURE} images, got {n:,}; name fewer of them"
        )


class _Answers:
    """Shows answers as they come: in full, or of many one a line, or as JSON in the end."""

    def __init__(self, run: str, n: int, *, as_json: bool, keep: bool) -> None:
        self._run, self._n, self._as_json, self._keep = run, n, as_json, keep
        self._kept: list[Prediction] = []
        self._documents: list[dict[str, Any]] = []
        self._failures: list[InputError] = []
        self._first: Prediction | None = None

    def add(self, answer: Prediction | InputError) -> None:
        """Show one answer, or why there is none."""
        if isinstance(answer, InputError):
            self._failures.append(answer)
            _say_error(str(answer))
            return
        if self._keep:
            self._kept.append(answer)
        if self._as_json:
            self._documents.append(_prediction_json(answer))
        elif self._n > MOST_IN_FULL:
            print(terminal.answer_line(answer))
        else:
            print(("\n" if self._first else "") + terminal.prediction(answer))
        self._first = self._first or answer

    def end(self, figure: Path | None) -> None:
        """Draw, say what can be done next, and end with a code that says whether some failed."""
        drawn = _draw_predictions(self._kept, figure) if figure and self._kept else None
        if self._as_json and self._documents:
            _print_json(self._documents)
        elif drawn:
            print(f"\n{t('drawn')} {drawn}")
        elif self._first:
            again = _command("predict", self._run, self._first.source, "--figure", "prediction.png")
            _suggest(again, apart=True)
        if self._failures:
            if self._n > MOST_IN_FULL:
                failed = f"{len(self._failures):,} of {self._n:,} images have no answer"
                _say_error(failed)
            raise typer.Exit(self._failures[0].exit_code)


def _prediction_json(one: Prediction) -> dict[str, Any]:
    return {
        "input": one.source,
        "class": one.name,
        "label": one.label,
        "confidence": one.confidence,
        "true_class": None if one.truth is None else one.classes[one.truth],
        "right": one.right,
        "probs": [float(p) for p in one.probs],
        "classes": one.classes,
        "inverted": one.inverted,
        "novelty": one.novelty,
        "verdict": one.verdict,
        "strange": one.strange,
        "unsure": one.unsure,
        "likely": None if one.likely is None else [one.classes[k] for k in one.likely],
    }


def _export_int8(run: Run, target: Path) -> None:
    from lookbook.exports import int8

    print(terminal.comparison(int8.quantize(run, target)))
    _suggest(_command("predict", target, "photo.jpg"))


def _export_page(run: Run, target: Path) -> None:
    from lookbook.exports import web_demo

    written = web_demo.write_tryout(run, target)
    size = t("{size:.1f} MB, needs no network", size=written.stat().st_size / 1e6)
    data = run.conditions["data"]["name"]
    rows = [(t("page"), f"{written}  ({size})")]
    if web_demo.has_samples(written):
        rows.append(("", t("its samples are test images of {data}", data=data)))
    print(terminal.labelled(rows))
    _suggest(t("open it in a browser, or send it to your phone"))


def _export_kit(run: Run, target: Path) -> None:
    from lookbook.exports import bundle

    written = bundle.write_kit(run, target)
    lines = [(t("wrote"), str(path)) for path in sorted(written.iterdir())]
    sample = next((path for path in written.iterdir() if path.stem == "sample"), "photo.jpg")
    if isinstance(sample, Path):
        data = run.conditions["data"]["name"]
        lines.append(("", t("{file} is a test image of {data}", file=sample.name, data=data)))
    print(terminal.labelled(lines))
    _suggest(shlex.join(["python", str(written / "predict.py"), str(sample)]))


def _report_predictions(
    predictions: Path, data: str | None, lang: Literal["en", "ko"], out: Path | None
) -> None:
    if data is None:
        raise InputError("--predictions needs --data DATA, whose test part they are for")
    target = out or predictions.with_suffix(".html")
    _check_file(target, REPORTS[lang])
    from lookbook.evaluation import probabilities

    handed = probabilities.read(predictions)
    process.tune()
    from lookbook.reports import page
    from lookbook.reports.report_data import examine_data

    with progress.show_steps() as tell:
        training, test = _load_both(data, None)
        probs = handed.arrange(test, training)
        findings = examine_data(training, test, tell, mirror=catalog.mirrors_well(data))
        written = page.report_on(
            test,
            probs,
            target,
            title=catalog.title_of(data),
            subtitle=predictions.stem,
            training=training,
            findings=findings,
            data=data,
            lang=lang,
        )
    _list(t("report"), [written])
    _suggest(t("open it in a browser"))


def _check_file(target: Path, name: str) -> None:
    """Refuse a place for a page before any work is done for it: a folder, or what is no page."""
    if target.is_dir():
        raise InputError(f"{target} is a folder; name a file: --out {target / name}")
    files.check_free(target, files.PAGE)


def _write_corrections(path: Path, dossier: Dossier) -> None:
    from lookbook.data import corrections

    parts = dossier.given, dossier.training, dossier.test
    # with a mark, by which spreadsheets know the encoding
    files.write_bytes(
        path, corrections.to_csv(dossier.findings, *parts).encode("utf-8-sig", "replace")
    )
    print(f"{t('suspects')} {path}")


# ---- messages and exit codes ----


def _command(*words: object) -> str:
    """Write a command of this program as a shell takes it."""
    return shlex.join(["lookbook", *map(str, words)]).replace("\n", "\\n")


def _go_on(run: Run) -> str:
    """Say how a training that was stopped goes on, where there was room to keep what it takes."""
    if not store.unfinished(run.folder).exists():
        return ""
    return t("; go on: {command}", command=_command("train", "--resume", run.folder))


def _suggest(first: str, *others: str, apart: bool = False) -> None:
    """Print what can be done next, below a blank line where it stands `apart`."""
    if not progress.is_quiet():
        said = t("next") + ":"
        below = f"\n{' ' * terminal.columns(said)} "
        print("\n" * apart + f"{said} {below.join((first, *others))}")


def _list(what: str, paths: list[Path]) -> None:
    """Print paths below each other, after what they are."""
    print(terminal.labelled([("" if i else what, str(path)) for i, path in enumerate(paths)]))


def _print_json(document: Any) -> None:
    text = terminal.harmless_json(files.to_json(document))
    # programs read it: better \u codes than question marks where the output lacks a letter
    print(text if terminal.can_show(text) else json.dumps(document, indent=2) + "\n", end="")


def _say(message: str) -> None:
    # one line: a name with a line break in it says nothing of its own
    print(message.replace("\n", "\\n"), file=sys.stderr)


#: notes that this command told: both parts of a folder may have the same
_told: set[str] = set()


def _say_error(message: str) -> None:
    _say(f"{t('error')}: {translate(message)}")


def _show_warning(message: Warning | str, category: type[Warning], *_: Any, **__: Any) -> None:
    note = f"{t('note')}: {translate(str(message))}"
    if issubclass(category, LookbookWarning) and not progress.is_quiet() and note not in _told:
        _told.add(note)
        _say(note)


def main() -> None:
    """Run the command line; errors become one message and an exit code."""
    process.open_streams()
    with terminal.harmless_streams():
        _run_app()


def _run_app() -> None:
    warnings.showwarning = _show_warning
    _told.clear()
    try:
        _check_place()
        app(prog_name="lookbook")
    except LookbookError as error:
        _say_error(str(error))
        sys.exit(error.exit_code)
    except SystemExit as ended:
        process.end_at_once(ended.code)
        raise
    except OSError as error:
        if error.filename == process.OUTPUT:
            _say_error(f"cannot write the output: {error.strerror}")
            sys.exit(1)
        _say_error(describe(error))
        sys.exit(2 if error.errno in NAMES else 1)


def _check_place() -> None:
    """Refuse a working folder that is gone: relative names mean nothing there, and torch dies."""
    try:
        Path.cwd()
    except OSError as error:
        raise OutputError(
            f"the working folder cannot be used ({error.strerror}): it was deleted, or its "
            "permissions were taken; go to another one with cd"
        ) from error
