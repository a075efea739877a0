"""Fetch a dataset, look at one, and list what is kept: the commands `fetch`, `look`, `cache`."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from lookbook.cli import options, progress, terminal
from lookbook.core.translation import t
from lookbook.errors import InputError

if TYPE_CHECKING:
    from lookbook.data.cache.entries import Kept
    from lookbook.data.catalog import BuiltinDataset
    from lookbook.data.dataset import Dataset
    from lookbook.data.formats.source import DataSource

LOOK_FIGURES = ("balance.png", "picture.png", "pictures.png")


def fetch(
    dataset: Annotated[
        str, typer.Argument(help="Name of the dataset.", autocompletion=options.complete_data)
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
    if wanted.folders:
        _fetch_collection(wanted, source)
    else:
        with progress.show_download() as report:
            kept = download.fetch(wanted, folder=source, report=report)
        print(t("{title} is there, verified: {path}", title=wanted.title, path=kept))
    terminal.suggest(terminal.command_line("look", dataset))


def _fetch_collection(wanted: BuiltinDataset, source: Path | None) -> None:
    """Copy a collection of image files, and say which of its parts are verified."""
    from lookbook.data.formats import collection

    kept, parts = collection.copy_collection(wanted, source)
    print(t("{title} is there: {path}", title=wanted.title, path=kept))
    how = {
        True: t("verified"),
        False: t("no hash of it is published: recorded as it is, and compared from now on"),
    }
    titles = {
        "train": t("training part"),
        "validation": t("validation part"),
        "test": t("test part"),
    }
    rows = [
        (titles[each.part], f"{each.images:,} {t('images')}  ({how[each.verified]})")
        for each in parts
    ]
    print(terminal.labelled(rows))


def look(
    data: options.Data = "fashion-mnist",
    index: Annotated[
        int | None, typer.Option(help="Training image to show; default: one in the middle.")
    ] = None,
    out: Annotated[
        Path | None, typer.Option(help="Folder for the figures; default: look/<data>.")
    ] = None,
    size: options.Size = None,
) -> None:
    """Show a dataset: shapes, class balance, raw pixels, labels, images."""
    from lookbook.core.arrays import telling_row
    from lookbook.data.sources import resolve

    source = resolve(data)
    folder = out or Path("look") / source.stem
    train, test = load_both(source, size)
    chosen = len(train) // 3 if index is None else index
    if not 0 <= chosen < len(train):
        raise InputError(
            f"no training image {chosen}: there are {len(train):,}; "
            f"expected --index 0 to {len(train) - 1}"
        )
    image = train.images[chosen]
    row = telling_row(image)
    before, after = terminal.pixel_row(image, row)
    print(_parts(train, test) + "\n")
    print(f"{t('images of each class (training)')}\n{_balance(train)}\n")
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
    terminal.print_paths(t("drawn"), _draw_look(train, chosen, folder))
    terminal.suggest(
        terminal.command_line("train", data, *([] if size is None else ["--size", size]))
    )


def cache(
    folder: Annotated[
        Path | None, typer.Argument(help="A folder of images; without it all that are kept.")
    ] = None,
    clear: Annotated[
        bool, typer.Option("--clear", help="Remove what is kept; no image file is touched.")
    ] = False,
) -> None:
    """List the large image folders that are kept decoded, or remove them."""
    from lookbook.data.cache import entries as images

    kept = images.list_kept(folder)
    if not kept:
        print(t("no image folder is kept decoded"))
    elif clear:
        freed = images.clear(kept)
        print(t("freed: {size:,.1f} MB", size=freed / 1e6))
    else:
        print(_kept_table(kept))
    words = [] if folder is None else [folder]
    if kept and not clear:
        terminal.suggest(terminal.command_line("cache", *words, "--clear"))
    else:
        terminal.suggest(terminal.command_line("look", *words))


def _kept_table(kept: list[Kept]) -> str:
    """Write which folders are kept, how large they are, and when they were last used."""
    rows = [[t("folder"), t("images"), "MB", t("last used (UTC)")]]
    for each in kept:
        used = datetime.fromtimestamp(each.last_used, UTC).strftime("%Y-%m-%d %H:%M")
        images = f"{each.images:,}" if each.is_whole else t("{n:,}, unfinished", n=each.images)
        rows.append([terminal.visible(each.folder), images, f"{each.n_bytes / 1e6:,.1f}", used])
    return terminal.table(rows, right={1, 2})


def load_both(source: DataSource, size: int | None) -> tuple[Dataset, Dataset]:
    """Return training and test part of some data, with images of one size."""
    train_part = source.load("train", size=size)
    return train_part, source.load("test", size=train_part.size, channels=train_part.channels)


def _parts(train: Dataset, test: Dataset) -> str:
    """Write shapes and types of both parts of the data."""
    return terminal.labelled(
        [
            (title, f"{part.images.shape} {part.images.dtype}, {t('labels')} {part.labels.shape}")
            for title, part in ((t("training part"), train), (t("test part"), test))
        ]
    )


def _balance(dataset: Dataset) -> str:
    """Write how many images each class has, with bars."""
    most = int(dataset.counts.max())
    rows = [
        [name, f"{count:,}", terminal.bar(count / most, 24)]
        for name, count in zip(dataset.classes, dataset.counts, strict=True)
    ]
    return terminal.table(rows, right={1})


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
    return [figures.save(figure, folder / name, argument="out") for figure, name in named]
