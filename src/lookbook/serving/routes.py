"""Routes beside inference: health, metadata, metrics, described for OpenAPI."""

from __future__ import annotations

from importlib.metadata import version
from typing import TYPE_CHECKING, Annotated, Any

import msgspec
from fastapi import FastAPI, Query, Request, Response
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse
from starlette.exceptions import HTTPException

from lookbook.errors import InputError
from lookbook.serving import uploads
from lookbook.serving.description import describe_all
from lookbook.serving.limits import read_body
from lookbook.serving.metrics import CONTENT_TYPE
from lookbook.serving.refusals import Refusal

if TYPE_CHECKING:
    from lookbook.serving.application import State
    from lookbook.serving.repository import ServedModel


def make_routes(state: State) -> FastAPI:
    """Return the application of all routes but inference."""
    app = FastAPI(
        title="lookbook", version=version("lookbook"), docs_url=None, redoc_url=None,
        redirect_slashes=False,
    )  # fmt: skip
    _add_errors(app)
    _add_health(app, state)
    _add_metadata(app, state)

    _add_predict(app, state)

    @app.get("/metrics", response_class=Response)
    def metrics() -> Response:
        """Return what Prometheus collects."""
        content = state.metrics.write(state.batcher.n_images)
        return Response(content, media_type=CONTENT_TYPE)

    def openapi() -> dict[str, Any]:
        """Return the description of what there is now: versions come and go."""
        models = state.repository
        versions = {version for name in models.names for version in models.versions(name)}
        return describe_all(app, models.names, sorted(versions))

    app.openapi = openapi  # type: ignore[method-assign]  # the way that FastAPI documents
    return app


def _add_errors(app: FastAPI) -> None:
    """Say all errors as the protocol does."""

    @app.exception_handler(HTTPException)
    async def of_starlette(_request: Request, error: HTTPException) -> JSONResponse:
        return JSONResponse({"error": str(error.detail)}, error.status_code, error.headers)

    @app.exception_handler(Refusal)
    async def of_ours(_request: Request, refusal: Refusal) -> JSONResponse:
        return JSONResponse({"error": refusal.reason}, refusal.status, refusal.headers)

    @app.exception_handler(RequestValidationError)
    async def of_parameters(_request: Request, error: RequestValidationError) -> JSONResponse:
        first = error.errors()[0]
        place = ".".join(str(each) for each in first["loc"])
        return JSONResponse({"error": f"{place}: {first['msg']}"}, 422)


def _add_health(app: FastAPI, state: State) -> None:
    """Add what is asked by whoever keeps the server running: 400 is the protocol's "no"."""

    @app.get("/v2/health/live")
    async def live() -> dict[str, bool]:
        """Say that the server runs."""
        return {"live": True}

    @app.get("/v2/health/ready")
    async def ready(response: Response) -> dict[str, bool]:
        """Say whether requests are welcome: 400 from the moment on when the server ends."""
        response.status_code = 200 if state.is_ready else 400
        return {"ready": state.is_ready}

    @app.get("/v2/models/{name}/ready")
    @app.get("/v2/models/{name}/versions/{version}/ready")
    async def model_ready(
        name: str, response: Response, version: str | None = None
    ) -> dict[str, Any]:
        """Say whether a model answers."""
        state.repository.get(name, version)
        response.status_code = 200 if state.is_ready else 400
        return {"name": name, "ready": state.is_ready}


def _add_metadata(app: FastAPI, state: State) -> None:
    """Add what says which models there are, and what they take."""

    @app.get("/v2/", include_in_schema=False)
    @app.get("/v2")
    async def server() -> dict[str, Any]:
        """Describe the server."""
        return {
            "name": "lookbook",
            "version": version("lookbook"),
            "extensions": ["binary_tensor_data"],
        }

    @app.get("/v2/models/{name}")
    @app.get("/v2/models/{name}/versions/{version}")
    async def model(name: str, version: str | None = None) -> dict[str, Any]:
        """Describe a model: its versions, what it takes and answers."""
        return describe(state.repository.get(name, version), state.repository.versions(name))


def _add_predict(app: FastAPI, state: State) -> None:
    """Add what answers image files."""

    @app.post("/predict")
    async def predict(
        request: Request,
        model: Annotated[
            str | None, Query(description="Name; the first where none is given.")
        ] = None,
        version: Annotated[str | None, Query(description="The newest where none is given.")] = None,
        coverage: Annotated[float | None, Query(gt=0, le=1)] = None,
        sets: Annotated[float | None, Query(gt=0, le=1)] = None,
    ) -> Response:
        """Say what image files show: one as the body, or one or many as multipart/form-data."""
        served = state.repository.get(model or state.repository.names[0], version)
        state.batcher.check_room()
        headers = dict(request.scope["headers"])
        body = await read_body(request.receive, headers, state.max_body)
        files = await uploads.files_in(body, request.headers, state.batcher.max_queue)
        answers = await uploads.answer(state, served, files, coverage=coverage, sets=sets)
        document: dict[str, Any] = {
            "model_name": served.name,
            "model_version": served.version,
            "answers": [uploads.document(each) for each in answers],
        }
        failed = [each for each in answers if isinstance(each, InputError)]
        if len(failed) == len(answers):
            document["error"] = str(failed[0])
        content = msgspec.json.encode(document)
        status = 422 if "error" in document else 200
        return Response(content, status, media_type="application/json")


def describe(model: ServedModel, versions: list[str]) -> dict[str, Any]:
    """Return a model's metadata as the protocol has them."""
    tensors = model.signature
    return {
        "name": model.name,
        "versions": versions,
        "platform": "onnx_onnxv1",
        "inputs": [_tensor(tensors.images)],
        "outputs": [_tensor(each) for each in tensors.outputs],
    }


def _tensor(tensor: Any) -> dict[str, Any]:
    return {"name": tensor.name, "datatype": tensor.datatype, "shape": list(tensor.shape)}
