"""Parse a command, call what does it, say what went wrong, exit: no other module does."""

from __future__ import annotations

import os
import sys
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from itertools import pairwise
from pathlib import Path
from typing import Annotated, Any

import typer
from typer.core import TyperGroup
from typer.exceptions import TyperException

from lookbook.cli import options, process, progress, terminal
from lookbook.cli.commands import data, evaluate, reports, serve, train
from lookbook.core import translation
from lookbook.core.environment import Launch
from lookbook.core.translation import t, translate
from lookbook.errors import NAMES, InputError, LookbookError, OutputError, describe

#: the commands in the order of the help, each with what it does and an example
COMMANDS: dict[str, tuple[Callable[..., None], str]] = {
    "fetch": (data.fetch, "fashion-mnist"),
    "look": (data.look, "fashion-mnist --index 20000"),
    "train": (train.train, "fashion-mnist --budget 30s"),
    "evaluate": (evaluate.evaluate, "runs/fashion-mnist-tutorial-1"),
    "predict": (
        evaluate.predict,
        "runs/fashion-mnist-tutorial-1 test:2000 test:800 coat.jpg",
    ),
    "figures": (reports.figures, "runs/fashion-mnist-tutorial-1"),
    "report": (reports.report, "runs/fashion-mnist-standard-1 --lang ko"),
    "export": (reports.export, "runs/fashion-mnist-standard-1 --to html"),
    "serve": (serve.serve, "runs/fashion-mnist-standard-1"),
    "runs": (train.list_runs, ""),
    "cache": (data.cache, ""),
    "demo": (train.demo, ""),
}


class _Commands(TyperGroup):
    """The commands, with an end that tells: typer ends without a word after Ctrl-C."""

    def make_context(self, *args: Any, **kwargs: Any) -> Any:
        translation.set_language(_language_of(args[1]))
        with _harmless_errors():
            return super().make_context(*args, **kwargs)

    def invoke(self, ctx: Any) -> Any:
        try:
            try:
                with _harmless_errors(), progress.show_reading():
                    return super().invoke(ctx)
            finally:
                sys.stdout.flush()  # a full disk shows here, while there is still someone to tell
        except KeyboardInterrupt:
            if process.has_joined() and not process.speaks():
                pass  # another one did
            elif ctx.invoked_subcommand == "train":
                terminal.say(t("stopped by Ctrl-C; lookbook runs lists what can go on"))
            else:
                terminal.say(t("stopped by Ctrl-C"))
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


def _show_version(asked: bool) -> None:
    if asked:
        from importlib.metadata import version

        print(f"lookbook {version('lookbook')}", flush=True)
        raise typer.Exit


@app.callback()
def _options(
    context: typer.Context,
    version: Annotated[
        bool,
        typer.Option(
            "--version", callback=_show_version, is_eager=True, help="Show the version and exit."
        ),
    ] = False,
) -> None:
    del version  # its callback has answered
    command = context.invoked_subcommand
    if command != "train" and Launch.here().size > 1:
        raise InputError(f"torchrun is for lookbook train alone: {command} takes one process")


for _name, (_command, _example) in COMMANDS.items():
    _epilog = f"Example: lookbook {_name} {_example}".rstrip()
    app.command(_name, epilog=_epilog)(options.common(_command))


def main() -> None:
    """Run the command line; errors become one message and an exit code."""
    process.open_streams()
    with terminal.harmless_streams():
        _run_app()


def _run_app() -> None:
    warnings.showwarning = terminal.show_warning
    terminal.forget_notes()
    try:
        _check_place()
        with process.silent_beside_the_first():
            app(prog_name="lookbook")
    except LookbookError as error:
        if process.speaks():
            terminal.say_error(str(error))
        sys.exit(error.exit_code)
    except SystemExit as ended:
        process.end_at_once(ended.code)
        raise
    except OSError as error:
        if error.filename == process.OUTPUT:
            terminal.say_error(f"cannot write the output: {error.strerror}")
            sys.exit(1)
        terminal.say_error(describe(error))
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
