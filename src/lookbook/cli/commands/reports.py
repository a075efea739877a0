"""Draw and write what shows a run: the commands `figures`, `report` and `export`."""

from __future__ import annotations

import shlex
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import typer

from lookbook.cli import options, process, progress, results, terminal
from lookbook.cli.commands import data as data_commands
from lookbook.core import files
from lookbook.core.translation import language, t
from lookbook.errors import InputError
from lookbook.runs import store

if TYPE_CHECKING:
    from lookbook.reports.report_data import ReportData
    from lookbook.runs.store import Run

#: language → the page's name in its run
REPORTS = {"en": "report.html", "ko": "report.ko.html"}
RUN_FIGURES = ("predictions.png", "first-15.png", "confusion.png", "history.png")


def figures(
    run: options.RunName,
    out: Annotated[
        Path | None, typer.Option(help="Folder for the figures; default: figures/ in the run.")
    ] = None,
) -> None:
    """Draw predictions, confusion matrix and learning curves of a run as PNG."""
    chosen = store.read_run(run)
    terminal.print_paths(t("drawn"), _draw_figures(chosen, out or chosen.place("figures")))
    terminal.suggest(terminal.command_line("predict", chosen.folder, "test:0"))


def _draw_figures(run: Run, folder: Path) -> list[Path]:
    import numpy as np

    from lookbook.evaluation import evaluate
    from lookbook.inference import prediction
    from lookbook.reports import figures
    from lookbook.runs.data_parts import load_part

    test = load_part(run, "test")
    found = evaluate.evaluate_part(run, test)
    examples, first = prediction.predict_examples(run, test)
    drawn = (
        figures.plot_predictions(examples),
        figures.plot_predictions(first, columns=3),
        figures.plot_confusion(np.array(found.confusion_matrix), tuple(found.classes)),
        figures.plot_history(run.history),
    )
    named = zip(drawn, RUN_FIGURES, strict=True)
    return [figures.save(figure, folder / name, argument="out") for figure, name in named]


def report(
    run: Annotated[
        str | None,
        typer.Argument(
            help="Folder of a run, or its name in runs/.", autocompletion=options.complete_run
        ),
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
    lang: options.Language = "en",
    out: Annotated[
        Path | None, typer.Option(help="The HTML file; default: report.html in the run.")
    ] = None,
    corrections: Annotated[
        Path | None,
        typer.Option(help="Also write the suspected labels into this CSV file, to be judged."),
    ] = None,
) -> None:
    """Write one HTML file that shows everything about a run, or about any probabilities."""
    if corrections is not None:
        if corrections.exists():
            raise InputError(f"{corrections} exists and is not overwritten; choose another name")
        files.check_above(corrections)
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
    from lookbook.reports.report_data import collect

    with progress.show_steps() as tell:
        collected = collect(chosen, tell)
        written = page.write_run_report(collected, target, lang)
    if corrections is not None:
        _write_corrections(corrections, collected)
        data, options = chosen.train_arguments()
        again = terminal.call_line("train", data, **options, corrections=corrections)
        print(t("fill in its column 'correction', then: {command}", command=again))
    terminal.print_paths(t("report"), [written])
    terminal.suggest(t("open it in a browser"))


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
    from lookbook.data.sources import resolve
    from lookbook.reports import page
    from lookbook.reports.report_data import examine_data

    source = resolve(data)
    with progress.show_steps() as tell:
        training, test = data_commands.load_both(source, None)
        probs = handed.arrange(test, training)
        findings = examine_data(training, test, tell, mirror=source.mirrors_well)
        written = page.report_on(
            test,
            probs,
            target,
            title=source.title,
            subtitle=predictions.stem,
            training=training,
            findings=findings,
            source=source,
            lang=lang,
        )
    terminal.print_paths(t("report"), [written])
    terminal.suggest(t("open it in a browser"))


def _check_file(target: Path, name: str) -> None:
    """Refuse a place for a page before any work is done for it: a folder, or what is no page."""
    if target.is_dir():
        raise InputError(f"{target} is a folder; name a file: --out {target / name}")
    files.check_free(target, files.PAGE)


def _write_corrections(path: Path, collected: ReportData) -> None:
    from lookbook.data import corrections

    parts = collected.given, collected.training, collected.test
    # with a mark, by which spreadsheets know the encoding
    table = corrections.to_csv(collected.findings, *parts).encode("utf-8-sig", "replace")
    files.write_bytes(path, table, argument="corrections")
    print(f"{t('suspects')} {path}")


def export(
    *,
    run: Annotated[
        str | None,
        typer.Argument(
            help="Folder of a run, or its name in runs/; without it lookbook's own model.",
            autocompletion=options.complete_run,
        ),
    ] = None,
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
    onnxruntime: Annotated[
        Path | None,
        typer.Option(
            help="With html, for networks that the page does not compute itself: folder of the npm "
            "package onnxruntime-web, which the page then holds."
        ),
    ] = None,
) -> None:
    """Write a run's model for use elsewhere: in 8 bits, as a page, or with all that explains it."""
    from lookbook.exports import formats

    formats.check_onnxruntime(onnxruntime, to)
    chosen = store.read_run(store.BUNDLED if run is None else run)
    target = formats.place(chosen, to, out)
    if to == "html":
        _export_page(chosen, target, onnxruntime)
    else:
        {"int8": _export_int8, "folder": _export_bundle}[to](chosen, target)


def _export_int8(run: Run, target: Path) -> None:
    from lookbook.exports import int8

    print(results.comparison(int8.quantize(run, target)))
    terminal.suggest(terminal.command_line("predict", target, "photo.jpg"))


def _export_page(run: Run, target: Path, onnxruntime: Path | None) -> None:
    from lookbook.exports import onnxruntime_page, web_demo

    # English is what nobody asked for: who opens it may have a browser that speaks Korean
    lang = None if language() == "en" else language()
    if onnxruntime is None:
        written = web_demo.write_web_demo(run, target, lang)
    else:
        written = onnxruntime_page.write_onnxruntime_page(run, target, onnxruntime, lang)
    size = t("{size:.1f} MB, needs no network", size=written.stat().st_size / 1e6)
    data = run.conditions.data.name
    rows = [(t("page"), f"{written}  ({size})")]
    if web_demo.has_samples(written):
        rows.append(("", t("its samples are test images of {data}", data=data)))
    print(terminal.labelled(rows))
    terminal.suggest(t("open it in a browser, or send it to your phone"))


def _export_bundle(run: Run, target: Path) -> None:
    from lookbook.exports import bundle

    written = bundle.write_bundle(run, target)
    lines = [(t("wrote"), str(path)) for path in sorted(written.iterdir())]
    sample = next((path for path in written.iterdir() if path.stem == "sample"), "photo.jpg")
    if isinstance(sample, Path):
        data = run.conditions.data.name
        lines.append(("", t("{file} is a test image of {data}", file=sample.name, data=data)))
    print(terminal.labelled(lines))
    terminal.suggest(shlex.join(["python", str(written / "predict.py"), str(sample)]))
