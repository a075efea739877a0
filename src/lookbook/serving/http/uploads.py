"""Uploaded image files: from the body of a request to answers for people."""

from __future__ import annotations

import math
from collections.abc import AsyncGenerator, Mapping, Sequence
from typing import TYPE_CHECKING, Any, Self
from urllib.parse import parse_qsl

import msgspec
import numpy as np
from msgspec import Struct
from starlette.datastructures import Headers, UploadFile
from starlette.formparsers import MultiPartException, MultiPartParser

from lookbook.core.bounded_io import NamedBytes
from lookbook.errors import InputError
from lookbook.inference.prediction import PredictionDocument
from lookbook.inference.predictor import Prediction, Sample
from lookbook.runs.ranges import COVERAGE, SETS
from lookbook.serving.http.limits import Receive, read_body
from lookbook.serving.refusals import Refusal

if TYPE_CHECKING:
    from lookbook.serving.http.application import State
    from lookbook.serving.repository import ServedModel

#: letters of a file's name that are kept
MAX_NAME = 200
_WHOLE = ("application/octet-stream", "")


class Asked(Struct, frozen=True):
    """What an address asks for besides."""

    model: str | None = None
    version: str | None = None
    coverage: float | None = None
    sets: float | None = None

    @classmethod
    def of(cls, query: bytes) -> Self:
        """Read the part of an address behind its question mark.

        Raises
        ------
        Refusal
            A name is none of these, or a value out of its range.
        """
        pairs = parse_qsl(query.decode("latin-1"), keep_blank_values=True)
        given: dict[str, str] = {}
        for name, value in pairs:
            if name in given:
                raise Refusal(
                    422,
                    f"the parameter {name[:60]!r} of the address stands there twice; give it once",
                )
            given[name] = value
        if unknown := sorted(given.keys() - set(cls.__struct_fields__)):
            known = ", ".join(cls.__struct_fields__)
            raise Refusal(
                422, f"no parameter {unknown[0][:60]!r} of the address; there are {known}"
            )
        shares = {name: _share(name, given[name]) for name in _SHARES if name in given}
        return cls(given.get("model"), given.get("version"), **shares)


_SHARES = {"coverage": COVERAGE, "sets": SETS}


def _share(name: str, text: str) -> float:
    """Return a number that stands in an address."""
    lowest, highest = _SHARES[name]
    try:
        share = float(text)
    except ValueError:
        share = math.nan
    if not lowest <= share <= highest:
        raise Refusal(
            422, f"{name}: expected a number from {lowest} to {highest}, got {text[:60]!r}"
        )
    return share


async def answer_request(
    state: State, scope: Mapping[str, Any], receive: Receive
) -> tuple[int, bytes]:
    """Answer the image files of a request; return status and body.

    Raises
    ------
    Refusal
        They cannot be taken.
    """
    asked = Asked.of(scope["query_string"])
    served = state.repository.get(asked.model, asked.version)
    state.batcher.check_room()
    headers = Headers(raw=scope["headers"])
    with state.bodies.share() as take:
        body = await read_body(receive, dict(scope["headers"]), state.max_body, take)
        files = await files_in(body, headers, state.batcher.max_queue)
        answers = await answer(state, served, files, coverage=asked.coverage, sets=asked.sets)
    found: dict[str, Any] = {
        "model_name": served.name,
        "model_version": served.version,
        "answers": [document(each) for each in answers],
    }
    errors = [each for each in answers if isinstance(each, InputError)]
    if len(errors) < len(answers):
        return 200, msgspec.json.encode(found)
    return 422, msgspec.json.encode(found | {"error": str(errors[0])})


async def files_in(body: bytes, headers: Headers, max_files: int) -> list[NamedBytes]:
    """Return the files that a body holds: the parts of a form, or the body itself.

    Raises
    ------
    Refusal
        It holds none, more than `max_files`, or something else.
    """
    kind = headers.get("content-type", "").partition(";")[0].strip().lower()
    if kind == "multipart/form-data":
        files = await _parts(body, headers, max_files)
    elif kind in _WHOLE or kind.startswith("image/"):
        files = [NamedBytes("image", body)] if body else []
    else:
        raise Refusal(
            415,
            f"expected an image as the body, or image files as multipart/form-data, got {kind!r}",
        )
    if not files:
        raise Refusal(422, "expected one image file or more, got none")
    return files


class _Form(MultiPartParser):
    """A form that knows whether its last boundary has come: without it a part may be missing."""

    is_whole = False

    def on_end(self) -> None:
        """Note that it has."""
        self.is_whole = True


async def _parts(body: bytes, headers: Headers, max_files: int) -> list[NamedBytes]:
    """Return the files of a form."""

    async def stream() -> AsyncGenerator[bytes, None]:
        yield body

    parser = _Form(headers, stream(), max_files=max_files, max_fields=100)
    parser.spool_max_size = len(body) + 1  # it is in memory already, and is bounded
    try:
        form = await parser.parse()
    except (MultiPartException, KeyError, ValueError) as error:
        message = getattr(error, "message", "") or "it has no boundary, or is cut short"
        if message.startswith("Too many files"):
            raise Refusal(413, f"expected at most {max_files:,} files at once, got more") from error
        raise Refusal(400, f"the form cannot be read: {message}") from error
    if not parser.is_whole:
        raise Refusal(400, "the form is cut short: it ends without its last boundary")
    files = []
    for name, part in form.multi_items():
        if not isinstance(part, UploadFile):
            known = ", ".join(Asked.__struct_fields__)
            raise Refusal(
                422,
                f"expected image files, each with a file name, got the field {name[:60]!r}; "
                f"what is asked besides stands in the address: {known}",
            )
        files.append(NamedBytes((part.filename or name)[:MAX_NAME], await part.read()))
    return files


async def answer(
    state: State,
    model: ServedModel,
    files: Sequence[NamedBytes],
    *,
    coverage: float | None = None,
    sets: float | None = None,
) -> list[Prediction | InputError]:
    """Return the answers to image files, in their order.

    Raises
    ------
    Refusal
        There is no room for them, or no process to read them, or the model has no thresholds, or
        takes no images.
    """
    try:
        predictor = model.predictor(coverage=coverage, sets=sets)
    except InputError as error:
        raise Refusal(422, str(error)) from error
    steps = model.model.preprocessing
    if steps is None:
        raise Refusal(
            422, f"{model.name} takes rows of features and no images: use its infer route"
        )
    with state.batcher.room_for(len(files)):
        samples = await state.readers.read(files, steps)
    images = [each.image for each in samples if isinstance(each, Sample)]
    if not images:
        return [each for each in samples if isinstance(each, InputError)]
    outputs = await state.batcher.answer(model, np.stack(images), is_counted=False)
    rows = zip(*outputs, strict=True)
    answers = [
        predictor.judge(each, *next(rows)) if isinstance(each, Sample) else each for each in samples
    ]
    for each in answers:
        if isinstance(each, Prediction):
            state.metrics.count_verdict(model.name, model.version, each.verdict)
    return answers


def document(answered: Prediction | InputError) -> dict[str, Any]:
    """Return what is said of a file: as `predict --json` prints it, or why there is no answer."""
    if isinstance(answered, InputError):
        return {"input": answered.source, "error": str(answered)}
    return PredictionDocument.of(answered).to_json()
