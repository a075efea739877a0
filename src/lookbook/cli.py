"""Parse a command, call what does it, print, exit: the only module that prints or exits."""

from __future__ import annotations

import os
import signal
import sys
import time
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from lookbook import builtin, recipes, runs, terminal
from lookbook.errors import InputError, LookbookError, LookbookWarning

if TYPE_CHECKING:
    from lookbook.datasets import Dataset
    from lookbook.prediction import Prediction
    from lookbook.runs import Run

app = typer.Typer(
    name="lookbook",
    help="Train small image classifiers in seconds on a laptop, and see everything that they do.",
    epilog="First steps: lookbook demo, or lookbook look",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    rich_markup_mode="rich",
    context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100},
)

# ---- what several commands take ----


def _complete_data(incomplete: str) -> list[str]:
    return [name for name in builtin.BUILTIN if name.startswith(incomplete)]


def _complete_recipe(incomplete: str) -> list[str]:
    return [name for name in recipes.RECIPES if name.startswith(incomplete)]


def _complete_run(incomplete: str) -> list[str]:
    return [str(r.folder) for r in runs.list_runs() if str(r.folder).startswith(incomplete)]


Data = Annotated[
    str,
    typer.Argument(
        help=f"{', '.join(builtin.BUILTIN)}, a folder of class folders, an .npz file, or a folder "
        "of IDX files.",
        autocompletion=_complete_data,
    ),
]
RunName = Annotated[
    str,
    typer.Argument(help="Folder of a run, or its name in runs/.", autocompletion=_complete_run),
]
Size = Annotated[
    int | None,
    typer.Option(help="Pixels on a side to which picture files are brought.", min=8, max=224),
]


# ---- the commands ----


@app.command(epilog="Example: lookbook fetch fashion-mnist")
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
    from lookbook import download

    wanted = download.find_builtin(dataset)
    if source is not None and not source.is_dir():
        raise InputError(f"no folder {source}; name the folder that holds the files")
    with terminal.show_download() as report:
        kept = download.fetch(wanted, folder=source, report=report)
    print(f"{wanted.title} is there, verified: {kept}")
    print(f"next: lookbook look {dataset}")


@app.command(epilog="Example: lookbook look fashion-mnist --index 20000")
def look(
    data: Data = "fashion-mnist",
    index: Annotated[
        int | None, typer.Option(help="Training picture to show; default: one in the middle.")
    ] = None,
    out: Annotated[
        Path | None, typer.Option(help="Folder for the figures; default: look/<data>.")
    ] = None,
    size: Size = None,
) -> None:
    """Show a dataset: shapes, class balance, raw pixels, labels, pictures."""
    train, test = _load_both(data, size)
    chosen = len(train) // 3 if index is None else index
    if not 0 <= chosen < len(train):
        raise InputError(
            f"no training picture {chosen}: there are {len(train):,}; "
            f"expected --index 0 to {len(train) - 1}"
        )
    image = train.images[chosen]
    row = min(10, len(image) - 1)
    before, after = terminal.pixel_row(image, row)
    print(f"training part  {train.images.shape} {train.images.dtype}, labels {train.labels.shape}")
    print(f"test part      {test.images.shape} {test.images.dtype}, labels {test.labels.shape}\n")
    print(f"pictures of each class (training)\n{terminal.balance(train)}\n")
    print(f"{terminal.label_table(train.classes)}\n")
    print(f"training picture {chosen:,}: {train.classes[train.labels[chosen]]}")
    print(f"{terminal.shade(image)}\n")
    print(f"row {row} of its pixels, 0 (no ink) to 255\n{before}\n")
    print(f"the same row scaled, (x - min) / (max - min) with min 0 and max 255\n{after}\n")
    folder = out or Path("look") / Path(data).name
    drawn = _draw_look(train, chosen, folder)
    print("drawn  " + "\n       ".join(str(path) for path in drawn))
    print(f"next: lookbook train {data}")


@app.command(epilog="Example: lookbook train fashion-mnist --recipe tutorial --seed 0")
def train(
    data: Data = "fashion-mnist",
    recipe: Annotated[
        str, typer.Option(help="What to train and how.", autocompletion=_complete_recipe)
    ] = "tutorial",
    epochs: Annotated[
        int | None, typer.Option(help="Passes over the pictures; default: the recipe's.", min=1)
    ] = None,
    seed: Annotated[int, typer.Option(help="Decides weights, order and validation part.")] = 0,
    out: Annotated[
        Path | None, typer.Option(help="Folder of the run; default: runs/<data>-<recipe>-<number>.")
    ] = None,
    size: Size = None,
    final: Annotated[
        bool,
        typer.Option(
            "--final",
            help="Train on the validation part, too, after all choices are made; a twin trained "
            "without it gives the temperature.",
        ),
    ] = False,
) -> None:
    """Train a classifier on the training part; the test part is not read."""
    run = _train(data, recipe, epochs, seed, out, size, final=final)
    print(f"\n{terminal.trained(run)}")
    print(f"run                  {run.folder}")
    print(f"next: lookbook evaluate {run.folder}")
    if run.metrics["stopped"]:
        _say(f"stopped by Ctrl-C after {run.history[-1]['epoch']} epochs; the run can be used")
        raise typer.Exit(130)


@app.command(epilog="Example: lookbook evaluate runs/fashion-mnist-tutorial-1")
def evaluate(
    run: RunName,
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON object.")] = False,
) -> None:
    """Measure a run on the test part: once, then the result is kept in the run."""
    chosen = runs.read_run(run)
    from lookbook import evaluation

    found = evaluation.evaluate(chosen)
    if as_json:
        print(runs.to_json(found), end="")
        return
    print(terminal.results(found))
    print(f"\nnext: lookbook figures {chosen.folder}")


@app.command(
    epilog="Example: lookbook predict runs/fashion-mnist-tutorial-1 test:2000 test:800 coat.jpg"
)
def predict(
    run: RunName,
    inputs: Annotated[
        list[str], typer.Argument(help="test:NUMBER for a test picture, or picture files.")
    ],
    figure: Annotated[
        Path | None, typer.Option(help="Draw pictures and bar charts into this PNG file.")
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON list.")] = False,
) -> None:
    """Say what pictures show, with the probability of every class."""
    chosen = runs.read_run(run)
    from lookbook import prediction

    found = prediction.predict(chosen, inputs)
    drawn = None
    if figure is not None:
        from lookbook import plots

        drawn = plots.save(plots.plot_predictions(found), figure)
    if as_json:
        print(runs.to_json([_prediction_json(one) for one in found]), end="")
        return
    print("\n\n".join(terminal.prediction(one) for one in found))
    if drawn:
        print(f"\ndrawn {drawn}")
    else:
        print(f"\nnext: lookbook predict {chosen.folder} {inputs[0]} --figure prediction.png")


@app.command(epilog="Example: lookbook figures runs/fashion-mnist-tutorial-1")
def figures(
    run: RunName,
    out: Annotated[
        Path | None, typer.Option(help="Folder for the figures; default: figures/ in the run.")
    ] = None,
) -> None:
    """Draw predictions, confusion matrix and learning curves of a run as PNG."""
    chosen = runs.read_run(run)
    drawn = _draw_figures(chosen, out or chosen.folder / "figures")
    print("drawn  " + "\n       ".join(str(path) for path in drawn))
    print(f"next: lookbook predict {chosen.folder} test:0")


@app.command("runs", epilog="Example: lookbook runs")
def list_runs() -> None:
    """List the runs in this folder's runs/, newest first."""
    found = runs.list_runs()
    if not found:
        print("no runs in runs/ yet\nnext: lookbook train")
        return
    print(terminal.run_table(found))
    print(f"\nnext: lookbook figures {found[0].folder}")


@app.command(epilog="Example: lookbook demo")
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
            run = _train("fashion-mnist", "tutorial", None, 0, None, None, final=False)
            print(f"\n{terminal.trained(run)}")
        if run.metrics["stopped"]:
            raise KeyboardInterrupt
        with _step(f"lookbook evaluate {run.folder}", seconds):
            evaluate(str(run.folder))
        with _step(f"lookbook figures {run.folder}", seconds):
            figures(str(run.folder))
        runs.write_document(run.folder / DEMO, {"seconds": seconds})
    print(_demo_summary(run))


#: what a demo leaves in its run: how long each step took
DEMO = "demo.json"


@contextmanager
def _step(command: str, seconds: dict[str, float]) -> Iterator[None]:
    print(f"\n$ {command}", flush=True)
    start = time.perf_counter()
    yield
    seconds[command.split()[1]] = time.perf_counter() - start


def _unchanged_demo() -> Run | None:
    """Return the newest demo's run, if code and versions are still those that made it."""
    from lookbook.conditions import versions

    now = versions()
    done = [run for run in runs.list_runs() if (run.folder / DEMO).exists()]
    return next((run for run in done if run.conditions["versions"] == now), None)


def _demo_summary(run: Run) -> str:
    import json

    found = run.evaluation() or {}
    seconds = json.loads((run.folder / DEMO).read_text())["seconds"]
    took = ", ".join(f"{name} {terminal.duration(s)}" for name, s in seconds.items())
    accuracy = terminal.percent(found["accuracy"], 2)
    program = f"{Path(sys.argv[0]).parent}/lookbook" if ".venv" in sys.argv[0] else "lookbook"
    return f"""
Trained the tutorial's network (784-128-10) on Fashion-MNIST.
Right for {accuracy} of {found["n"]:,} test pictures ({terminal.interval(found["interval"])}).
time     {took}
run      {run.folder}
figures  {run.folder / "figures"} and look/fashion-mnist
next     {program} predict {run.folder} test:2000 test:800
         {program} look fashion-mnist --index 7
         {program} runs"""


# ---- the parts of commands ----


def _train(
    data: str,
    recipe: str,
    epochs: int | None,
    seed: int,
    out: Path | None,
    size: int | None,
    *,
    final: bool,
) -> Run:
    chosen = recipes.find_recipe(recipe).with_epochs(epochs)
    if out is not None:
        runs.check_target(out)
    start = time.perf_counter()
    # PyTorch's threads spin while they wait for each other. Where another program takes one of
    # two cores, a step of 0.5 ms then takes 10 ms and more; with this limit 2 ms, and it costs
    # nothing measurable where the machine is free.
    os.environ.setdefault("GOMP_SPINCOUNT", "10000")
    from lookbook import training

    imported = time.perf_counter() - start
    with _stop_on_ctrl_c() as should_stop, terminal.show_progress() as tell:
        return training.train(
            data,
            chosen,
            seed=seed,
            out=out,
            size=size,
            final=final,
            import_seconds=imported,
            tell=tell,
            should_stop=should_stop,
        )


@contextmanager
def _stop_on_ctrl_c() -> Iterator[Callable[[], bool]]:
    """Make the first Ctrl-C a request to stop after the step; the second one ends at once."""
    asked = False

    def ask(_number: int, _frame: Any) -> None:
        nonlocal asked
        if asked:
            raise KeyboardInterrupt
        asked = True

    before = signal.signal(signal.SIGINT, ask)
    try:
        yield lambda: asked
    finally:
        signal.signal(signal.SIGINT, before)


def _load_both(data: str, size: int | None) -> tuple[Dataset, Dataset]:
    from lookbook.datasets import load

    train_part = load(data, "train", size=size)
    return train_part, load(data, "test", size=train_part.size, channels=train_part.channels)


def _draw_look(dataset: Dataset, index: int, folder: Path) -> list[Path]:
    from lookbook import plots

    title = f"training picture {index:,}: {dataset.classes[dataset.labels[index]]}"
    first = max(0, min(index - 12, len(dataset) - 25))
    return [
        plots.save(plots.plot_balance(dataset), folder / "balance.png"),
        plots.save(plots.plot_picture(dataset.images[index], title), folder / "picture.png"),
        plots.save(plots.plot_pictures(dataset, first), folder / "pictures.png"),
    ]


def _draw_figures(run: Run, folder: Path) -> list[Path]:
    from lookbook import evaluation, plots, prediction
    from lookbook.model import Model

    found = evaluation.evaluate(run)
    test = evaluation.load_part(run, "test")
    model = Model.open(run.model)

    def draw(indices: list[int], columns: int) -> plots.Figure:
        chosen = [prediction.predict_test(model, test, index) for index in indices]
        return plots.plot_predictions(chosen, columns=columns)

    # the tutorial's two pictures, where a test part has that many
    pair = [2000, 800] if len(test) > 2000 else [0, len(test) // 2]
    first = list(range(min(15, len(test))))
    return [
        plots.save(draw(pair, 1), folder / "predictions.png"),
        plots.save(draw(first, 3), folder / "first-15.png"),
        plots.save(
            plots.plot_confusion(found["confusion_matrix"], tuple(found["classes"])),
            folder / "confusion.png",
        ),
        plots.save(plots.plot_history(run.history), folder / "history.png"),
    ]


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
    }


# ---- messages and exit codes ----


def _say(message: str) -> None:
    print(message, file=sys.stderr)


def _show_warning(message: Warning | str, category: type[Warning], *_: Any, **__: Any) -> None:
    if issubclass(category, LookbookWarning):
        _say(f"note: {message}")


def main() -> None:
    """Run the command line; errors become one message and an exit code."""
    warnings.showwarning = _show_warning
    try:
        app(prog_name="lookbook")
    except LookbookError as error:
        _say(f"error: {error}")
        sys.exit(error.exit_code)
    except KeyboardInterrupt:
        _say("stopped by Ctrl-C; nothing was written")
        sys.exit(130)
