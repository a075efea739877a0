"""Measure a run, and say what images show: the commands `evaluate` and `predict`."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import closing
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal, NamedTuple, NoReturn

import typer

from lookbook.cli import options, photograph_results, progress, results, terminal
from lookbook.core.environment import usable_cores
from lookbook.core.names import few
from lookbook.core.translation import t
from lookbook.errors import InputError
from lookbook.runs import store
from lookbook.runs.ranges import COVERAGE, SETS
from lookbook.runs.schema import ExternalEvaluation

if TYPE_CHECKING:
    from lookbook.bulk.prediction import BulkPrediction
    from lookbook.bulk.unfinished import Summary
    from lookbook.inference.prediction import PredictionDocument
    from lookbook.inference.predictor import Prediction
    from lookbook.runs.store import Run

#: images up to which each answer is shown with all its probabilities, and of more on a line
MOST_IN_FULL = 10
#: images that fit into one figure
MOST_IN_FIGURE = 40
#: names of files of arrays
_ARRAYS = re.compile(r"(\.npz|\.npy|-ubyte|-ubyte\.gz)$", re.IGNORECASE)


def evaluate(
    run: options.RunName,
    data: Annotated[
        str | None,
        typer.Option(
            help="Other labelled images of the same classes: a folder of class folders, an .npz "
            "file, or IDX files. What they show stands beside the run's own result and is not "
            "kept.",
            autocompletion=options.complete_data,
        ),
    ] = None,
    photos: Annotated[
        Path | None,
        typer.Option(
            help="Photographs, in a folder for each kind: shirt/, hat/, … What they show is kept "
            "in the run, and stands in its report, until others are measured."
        ),
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON object.")] = False,
) -> None:
    """Measure a run on the test part: once, then the result is kept in the run."""
    if photos is not None and data is not None:
        raise InputError(
            "--photos goes without --data: a folder for each kind says what photographs show; "
            "leave one of them out"
        )
    chosen = store.read_run(run)
    if photos is not None:
        _evaluate_photographs(chosen, photos, as_json=as_json)
        return
    from lookbook.evaluation import evaluate

    found = evaluate.evaluate(chosen, data=data)
    if as_json:
        terminal.print_json(found.to_json())
        return
    apart = chosen.conditions.data.calibrated_apart
    measured = chosen.metrics
    print(
        results.evaluation(
            found, measured.weaknesses, calibrated_apart=apart, set_by=measured.validation
        )
    )
    if isinstance(found, ExternalEvaluation) and found.own is None:
        terminal.suggest(terminal.command_line("evaluate", chosen.folder), apart=True)
        return
    terminal.suggest(terminal.command_line("report", chosen.folder), apart=True)


def _evaluate_photographs(run: Run, photos: Path, *, as_json: bool) -> None:
    """Measure a run on photographs, and show what they say."""
    from lookbook.evaluation.photographs import evaluate_photographs

    with progress.show_images() as tell:
        found = evaluate_photographs(run, photos, tell=tell)
    if as_json:
        terminal.print_json(found.to_json())
        return
    print(photograph_results.photographs(found))
    terminal.suggest(terminal.command_line("report", run.folder), apart=True)


def predict(
    run: Annotated[
        str,
        typer.Argument(
            help="Folder of a run, its name in runs/, or a model file alone: model.onnx. Where it "
            "is none of these, lookbook's own model answers, which knows ten kinds of clothing.",
            autocompletion=options.complete_run,
        ),
    ],
    inputs: Annotated[
        list[str] | None,
        typer.Argument(
            help="test:NUMBER for a test image, image files, or folders of them; with --processes "
            "also arrays: .npz, .npy or IDX."
        ),
    ] = None,
    figure: Annotated[
        Path | None,
        typer.Option(help="Draw images and bar charts into this file: PNG, JPEG, PDF, SVG, …"),
    ] = None,
    coverage: Annotated[
        float | None,
        typer.Option(
            help="Share of images that get an answer, the others are 'not sure'; default: 0.9.",
            min=COVERAGE.lowest,
            max=COVERAGE.highest,
        ),
    ] = None,
    sets: Annotated[
        float | None,
        typer.Option(
            help="Also name the likely classes, so many that they hold the right one this often.",
            min=SETS.lowest,
            max=SETS.highest,
        ),
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON list.")] = False,
    out: Annotated[
        Path | None,
        typer.Option(
            help="Write a table of all answers into this file: CSV, JSON lines (.jsonl) or Parquet."
        ),
    ] = None,
    processes: Annotated[
        int | None,
        typer.Option(
            help="For many images: so many processes write the table of --out part by part, and "
            "go on with it after a stop.",
            min=1,
            max=1024,
        ),
    ] = None,
    engine: Annotated[
        Literal["ray"] | None,
        typer.Option(help="The same by the processes of Ray, on this machine or with --address."),
    ] = None,
    address: Annotated[
        str | None,
        typer.Option(help="HOST:PORT of a cluster of Ray that this machine is part of."),
    ] = None,
) -> None:
    """Say what images show, with the probability of every class."""
    model, inputs = options.choose_model(run, inputs or [])
    if out is not None:
        from lookbook.inference.inputs import refuse_absent

        refuse_absent(inputs)
    if processes is not None or engine is not None:
        flag = "--processes" if engine is None else "--engine"
        alone = {"--figure": figure is not None, "--sets": sets is not None, "--json": as_json}
        _refuse_others(flag, [other for other, given in alone.items() if given])
        _predict_many(model, inputs, out, coverage, _Workers(flag, processes, address))
        return
    if address is not None:
        raise InputError("--address names a cluster of Ray; add --engine ray")
    if arrays := [given for given in inputs if _ARRAYS.search(given)]:
        raise InputError(
            f"{arrays[0]} holds many images: their answers become a table, with --out "
            "predictions.csv --processes 2"
        )
    if model is not None and not model.endswith(".onnx"):
        store.read_run(model)  # says what is wrong before numpy is imported
    from lookbook.inference import prediction
    from lookbook.inference.inputs import list_inputs

    named = list_inputs(inputs)
    if figure is not None:
        _check_figure(figure, len(named))
    if out is not None:
        prediction.check_table(out, sets=sets)
    shown = _Answers(model, len(named), as_json=as_json, keep=figure is not None, out=out)
    with closing(prediction.predict_each(model, named, coverage=coverage, sets=sets)) as answers:
        if out is None:
            for answer in answers:
                shown.add(answer)
        else:
            with progress.show_images() as tell:
                prediction.write_table(shown.pass_on(answers, tell), out)
    shown.end(figure)


class _Workers(NamedTuple):
    """Who writes a table: the flag that asks for it, how many processes, and which cluster."""

    flag: str
    processes: int | None
    address: str | None

    def run(self, work: BulkPrediction, tell: Callable[[int, int], None]) -> Summary:
        """Have a table written."""
        n = self.processes or usable_cores()
        if self.flag != "--engine":
            return work.run(n, tell)
        from lookbook.bulk.cluster import Cluster, check_cluster

        check_cluster(self.address)
        return work.run(n, tell, partial(Cluster, address=self.address))


def _refuse_others(flag: str, others: list[str]) -> None:
    if others:
        raise InputError(
            f"{others[0]} goes without {flag}, which writes a table alone; leave one of them out"
        )


def _predict_many(
    model: str | None,
    inputs: list[str],
    out: Path | None,
    coverage: float | None,
    workers: _Workers,
) -> None:
    """Write a table by several processes; say what is kept where that stops."""
    if out is None:
        raise InputError(f"{workers.flag} writes a table; name it, such as --out predictions.csv")
    if workers.address is not None and (workers.processes or workers.flag != "--engine"):
        raise InputError(
            "--address goes with --engine ray, and without --processes: a cluster has as many as "
            "it has cores"
        )
    from lookbook.bulk.prediction import BulkPrediction

    work = BulkPrediction(model, inputs, out, coverage=coverage)
    try:
        with progress.show_images() as tell:
            done = workers.run(work, tell)
    except BaseException:
        if work.done and work.folder.exists():
            terminal.say(
                t(
                    "{done:,} of {all:,} images are done and kept in {folder}; the same command "
                    "goes on",
                    done=work.done,
                    all=len(work),
                    folder=work.folder,
                )
            )
        raise
    if model is None and not terminal.is_quiet():
        print(_bundled_model())
    _tell_of_table(out, Counter(done.verdicts), done.n_failed, model)
    if done.least_sure is not None and Path(name := done.least_sure[0]).is_file():
        terminal.suggest(
            terminal.command_line("predict", *_words(model), name, "--figure", "prediction.png"),
            apart=True,
        )
    if done.n_failed:
        _end_without_all(done.n_failed, done.images, done.failed, out)


def _bundled_model() -> str:
    """Write that the bundled model answered, what it knows, and how good it is."""
    run = store.read_run(store.BUNDLED)
    rows = [(t("answered by"), t("lookbook's own model: no run was named"))]
    rows.append((t("it knows"), ", ".join(run.conditions.data.classes)))
    if found := run.evaluation() or run.metrics.validation:
        right = terminal.percent(found.accuracy)
        said = t("{right} of {n:,} photographs that it did not learn from", right=right, n=found.n)
        rows.append((t("right"), said))
    return terminal.labelled(rows)


def _rough(model: str) -> str:
    """Write that percentages of a model are rough, on a line of its own; nothing where not."""
    from lookbook.inference.model import Model, open_source

    opened = open_source(model)
    known = opened.card if isinstance(opened, Model) else opened.metrics
    rows = results.percentages(known.validation)
    return terminal.labelled(rows) if rows else ""


def _words(model: str | None) -> list[str]:
    """Return what names a model in a command: nothing, for the bundled one."""
    return [] if model is None else [model]


def _tell_of_table(
    out: Path, verdicts: Mapping[str, int], n_failed: int, model: str | None
) -> None:
    """Print what a table holds; the table is the result, so not where results alone are shown."""
    if not terminal.is_quiet():
        print(results.table_of_answers(out, verdicts, n_failed))
        if model is not None and (rough := _rough(model)):
            print(rough)


def _end_without_all(n_failed: int, n: int, names: Sequence[str], out: Path) -> NoReturn:
    """Say that a table has rows without an answer, and end with a code that says so."""
    failed = f"{n_failed:,} of {n:,} images have no answer"
    terminal.say_error(f"{failed}: {few(names)}; the column error of {out} says why")
    raise typer.Exit(1)


def _check_figure(path: Path, n: int) -> None:
    """Refuse a figure before any work is done for it."""
    from lookbook.reports import figures

    figures.check_place(path)
    if n > MOST_IN_FIGURE:
        raise InputError(
            f"a figure holds up to {MOST_IN_FIGURE} images, got {n:,}; name fewer of them"
        )


class _Answers:
    """Shows answers as they come: in full, or of many one a line, or as JSON in the end.

    Of those that stand in a table it shows how many there are of each verdict.
    """

    def __init__(
        self, model: str | None, n: int, *, as_json: bool, keep: bool, out: Path | None
    ) -> None:
        self._model, self._n, self._as_json, self._keep, self._out = model, n, as_json, keep, out
        self._kept: list[Prediction] = []
        self._documents: list[PredictionDocument] = []
        self._failures: list[InputError] = []
        self._n_failed, self._verdicts = 0, Counter[str]()
        #: the answer that is to be looked at next: the first one, or the least sure of a table
        self._next: Prediction | None = None

    def add(self, answer: Prediction | InputError) -> None:
        """Show one answer, or why there is none."""
        if isinstance(answer, InputError):
            self._n_failed += 1
            self._failures = [*self._failures, answer][:4]
            if self._out is None:
                terminal.say_error(str(answer))
            return
        self._verdicts[answer.verdict] += 1
        if self._keep:
            self._kept.append(answer)
        if self._as_json:
            from lookbook.inference.prediction import PredictionDocument

            self._documents.append(PredictionDocument.of(answer))
        elif self._out is None:
            self._show(answer)
        less_sure = self._next and self._out and answer.confidence < self._next.confidence
        if less_sure or not self._next:
            self._next = answer

    def _show(self, answer: Prediction) -> None:
        if self._n > MOST_IN_FULL:
            print(results.answer_line(answer))
        else:
            print(("\n" if self._next else "") + results.prediction(answer))

    def pass_on(
        self, answers: Iterable[Prediction | InputError], tell: Callable[[int, int], None]
    ) -> Iterator[Prediction | InputError]:
        """Give answers to a table, and tell how many there were."""
        for n, answer in enumerate(answers, 1):
            self.add(answer)
            yield answer
            tell(n, self._n)

    def end(self, figure: Path | None) -> None:
        """Draw, say what can be done next, and end with a code that says whether some failed."""
        drawn = _draw_predictions(self._kept, figure) if figure and self._kept else None
        if self._as_json:
            if self._documents:
                terminal.print_json([one.to_json() for one in self._documents])
        else:
            self._show_end(drawn)
        if self._n_failed:
            self._end_with_failures()

    def _show_end(self, drawn: Path | None) -> None:
        """Print what was written, and what can be done next."""
        hushed = self._out is not None and terminal.is_quiet()
        if self._model is None and self._next and not hushed:
            print("\n" * (self._out is None) + _bundled_model())
        if self._out is not None:
            _tell_of_table(self._out, self._verdicts, self._n_failed, self._model)
        elif self._model and self._next and (rough := _rough(self._model)):
            print(f"\n{rough}")
        if drawn:
            print(f"\n{t('drawn')} {drawn}")
        elif self._next:
            again = terminal.command_line(
                "predict", *_words(self._model), self._next.source, "--figure", "prediction.png"
            )
            terminal.suggest(again, apart=True)

    def _end_with_failures(self) -> None:
        if self._out is not None:
            names = [each.source for each in self._failures]
            _end_without_all(self._n_failed, self._n, names, self._out)
        if self._n > MOST_IN_FULL:
            terminal.say_error(f"{self._n_failed:,} of {self._n:,} images have no answer")
        raise typer.Exit(self._failures[0].exit_code)


def _draw_predictions(found: list[Prediction], path: Path) -> Path:
    from lookbook.reports import figures

    return figures.save(figures.plot_predictions(found), path, argument="figure")
