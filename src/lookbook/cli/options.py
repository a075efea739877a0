"""The options that several commands take, and the words that a shell completes."""

from __future__ import annotations

import functools
import inspect
import re
from collections.abc import Callable
from pathlib import Path
from typing import Annotated, Any

import typer

from lookbook import recipes
from lookbook.cli import terminal
from lookbook.core import translation
from lookbook.data import catalog
from lookbook.errors import InputError
from lookbook.runs import store

#: how the names of files that can be predicted end, and how addresses begin
_IMAGE = re.compile(
    r"(\.(npz|npy|png|jpe?g|gif|bmp|tiff?|webp|heic)|-ubyte(\.gz)?)$|^[a-z][a-z0-9+.-]*://",
    re.IGNORECASE,
)


def complete_data(incomplete: str) -> list[str]:
    """Return the built-in datasets that begin so."""
    return [name for name in catalog.BUILTIN if name.startswith(incomplete)]


def complete_recipe(incomplete: str) -> list[str]:
    """Return the recipes that begin so."""
    return [name for name in recipes.RECIPES if name.startswith(incomplete)]


def complete_run(incomplete: str) -> list[str]:
    """Return the runs here that begin so, by folder and by name."""
    folders = [run.folder for run in store.list_runs()]
    names = [name for folder in folders for name in (str(folder), folder.name)]
    return [name for name in names if name.startswith(incomplete)]


def choose_model(first: str, others: list[str]) -> tuple[str | None, list[str]]:
    """Return the model that the first word names, or None for the bundled one, and its inputs.

    Raises
    ------
    InputError
        The word is no model and nothing to answer, or there is nothing to answer.
    """
    if not (first.endswith(".onnx") or store.is_run(first)):
        if not (Path(first).exists() or _IMAGE.search(first) or first.startswith("test:")):
            store.read_run(first)  # says which runs there are
        return None, [first, *others]
    if not others:
        raise InputError(
            f"{first} is a model, and there is nothing for it to answer; add image files, folders "
            "of them, or test:NUMBER"
        )
    return first, others


Data = Annotated[
    str,
    typer.Argument(
        help=f"{', '.join(catalog.BUILTIN)}, a folder of class folders, an .npz file, or a folder "
        "of IDX files.",
        autocompletion=complete_data,
    ),
]
RunName = Annotated[
    str,
    typer.Argument(help="Folder of a run, or its name in runs/.", autocompletion=complete_run),
]
Quiet = Annotated[
    bool,
    typer.Option(
        "--quiet",
        "-q",
        callback=terminal.set_quiet,
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
        help="Language of results, errors and pages.",
    ),
]
Size = Annotated[
    int | None,
    typer.Option(help="Pixels on a side to which image files are brought.", min=8, max=288),
]


def common(command: Callable[..., None]) -> Callable[..., None]:
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
