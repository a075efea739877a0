"""Answer requests over HTTP: the command `serve`."""

from __future__ import annotations

import logging
import re
import shlex
import sys
from importlib.util import find_spec
from ipaddress import ip_address
from pathlib import Path
from typing import Annotated

import typer

from lookbook.cli import options, terminal
from lookbook.core.translation import language, t
from lookbook.errors import InputError
from lookbook.runs.store import BUNDLED

#: packages of the extra, as they are imported
NEEDED = ("fastapi", "uvicorn", "httptools", "python_multipart", "prometheus_client")
_log = logging.getLogger("lookbook.serving")


def serve(
    models: Annotated[
        list[str] | None,
        typer.Argument(
            help="PATH or NAME=PATH: a run, a model file, a bundle, or a folder of versions: 1, "
            "2; without any lookbook's own model.",
            autocompletion=options.complete_run,
        ),
    ] = None,
    host: Annotated[
        str, typer.Option(help="Address to listen on; 0.0.0.0 for all of this machine.")
    ] = "127.0.0.1",
    port: Annotated[int, typer.Option(help="Port; 0 for a free one.", min=0, max=65535)] = 8000,
    n_workers: Annotated[
        int,
        typer.Option(
            "--workers", help="Processes that answer, which share the cores.", min=1, max=64
        ),
    ] = 1,
    max_batch: Annotated[
        int, typer.Option(help="Images that go through a network at once.", min=1, max=1000)
    ] = 32,
    max_queue: Annotated[
        int,
        typer.Option(help="Images that may wait in a worker; more are refused with 429.", min=1),
    ] = 256,
    max_body: Annotated[
        int, typer.Option(help="Megabytes of a request, packed and unpacked.", min=1, max=1024)
    ] = 32,
    token_file: Annotated[
        Path | None,
        typer.Option(help="File with a token that requests must carry: Authorization: Bearer …."),
    ] = None,
    allow_origin: Annotated[
        list[str] | None,
        typer.Option(help="Address of a site whose pages may ask, too; can be given repeatedly."),
    ] = None,
    log_requests: Annotated[
        bool, typer.Option("--log-requests", help="Write a line on each request.")
    ] = False,
) -> None:
    """Answer requests over HTTP: Open Inference Protocol, photographs, metrics."""
    if not all(map(find_spec, NEEDED)):
        raise InputError(
            "lookbook serve needs packages that are not installed; install them: "
            "pip install 'lookbook[serve]'"
        )
    from lookbook.serving import logs
    from lookbook.serving.http import server, workers
    from lookbook.serving.repository import Source

    for origin in allow_origin or ():
        if not re.fullmatch(r"https?://[^/\s]+", origin):
            raise InputError(
                f"--allow-origin {origin}: expected the address of a site, such as "
                "https://example.org"
            )
    settings = server.Settings(
        sources=tuple(map(Source.parse, models or [str(BUNDLED)])),
        host=host,
        port=port,
        workers=n_workers,
        max_batch=max_batch,
        max_queue=max_queue,
        max_body=max_body << 20,
        token_file=token_file,
        origins=tuple(allow_origin or ()),
        logs_requests=log_requests,
        lang=None if language() == "en" else language(),
    )
    settings.token()  # says what is wrong with it before anything is opened
    listening = server.bind(host, port)
    logs.set_up()  # models that are opened may have something to say
    repository = server.load(settings)
    names = ", ".join(repository.names)

    def tell() -> None:
        url, address = server.url_of(listening), ip_address(listening.getsockname()[0])
        if address.is_unspecified:
            print(
                t(
                    "serving {models} on {url}, and on all other addresses of this machine",
                    models=names,
                    url=url,
                )
            )
        else:
            print(t("serving {models} on {url}", models=names, url=url))
        if token_file is None and not address.is_loopback:
            _log.warning(
                "whoever reaches %s may ask; --token-file FILE lets in those alone who have a "
                "token",
                host,
            )
        terminal.suggest(f"curl {_with_token(token_file)}-F file=@photo.jpg {url}/predict")
        sys.stdout.flush()  # in a pipe, too: nothing follows

    if n_workers == 1:
        server.run(settings, repository, listening, tell)
    else:
        del repository  # each worker opens the models for itself
        workers.run(settings, listening, tell)


def _with_token(token_file: Path | None) -> str:
    """Return what curl needs to send the token, where there is one."""
    if token_file is None:
        return ""
    return f'-H "Authorization: Bearer $(cat {shlex.quote(str(token_file))})" '
