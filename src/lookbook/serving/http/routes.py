"""Routes beside inference: health, metadata, image files, metrics, pages."""

from __future__ import annotations

from importlib.metadata import version as version_of
from typing import TYPE_CHECKING, Annotated, Any

from fastapi import FastAPI, Path, Query, Request, Response
from fastapi.exceptions import RequestValidationError
from fastapi.responses import HTMLResponse, JSONResponse, PlainTextResponse, RedirectResponse
from starlette.exceptions import HTTPException

from lookbook.core.templates import Lang
from lookbook.runs.ranges import COVERAGE, SETS
from lookbook.serving.http import pages
from lookbook.serving.http.description import IN_PATH, describe_all
from lookbook.serving.metrics import CONTENT_TYPE
from lookbook.serving.refusals import Refusal

if TYPE_CHECKING:
    from lookbook.serving.http.application import State
    from lookbook.serving.repository import ServedModel

#: letters of an address that an error repeats
MAX_SHOWN = 200
Name = Annotated[str, Path(description=IN_PATH["name"])]
Version = Annotated[str, Path(description=IN_PATH["version"])]
_PREDICTED = (
    "An answer to each file, in their order; in the place of one that cannot be read, an error."
)
OptionalVersion = Annotated[str | None, Query(description="Version; the newest if left out.")]


def make_routes(state: State) -> FastAPI:
    """Return the application of all routes but inference."""
    app = FastAPI(
        title="lookbook", version=version_of("lookbook"), docs_url=None, redoc_url=None,
        redirect_slashes=False,
    )  # fmt: skip
    _add_errors(app)
    _add_health(app, state)
    _add_metadata(app, state)
    _add_infer(app)
    _add_predict(app)
    _add_metrics(app, state)
    _add_pages(app, state)

    def describe_now() -> dict[str, Any]:
        """Return the description of what there is now: versions come and go."""
        models = state.repository
        versions = {version for name in models.names for version in models.versions(name)}
        return describe_all(app, models.names, sorted(versions))

    app.openapi = describe_now  # type: ignore[method-assign]  # the way that FastAPI documents
    return app


def _add_errors(app: FastAPI) -> None:
    """Say all errors as the protocol does."""

    @app.exception_handler(HTTPException)
    async def of_starlette(request: Request, error: HTTPException) -> JSONResponse:
        said = _expected(request, error)
        return JSONResponse({"error": said}, error.status_code, error.headers)

    @app.exception_handler(Exception)
    async def of_the_server(_request: Request, _error: Exception) -> JSONResponse:
        return JSONResponse({"error": "an error of the server; its log says more"}, 500)

    @app.exception_handler(Refusal)
    async def of_ours(_request: Request, refusal: Refusal) -> JSONResponse:
        return JSONResponse({"error": refusal.reason}, refusal.status, refusal.headers)

    @app.exception_handler(RequestValidationError)
    async def of_parameters(_request: Request, error: RequestValidationError) -> JSONResponse:
        first = error.errors()[0]
        place = ".".join(str(each) for each in first["loc"])
        got = str(first["input"])[:MAX_SHOWN]
        return JSONResponse({"error": f"{place}: {first['msg']}, got {got!r}"}, 422)


def _expected(request: Request, error: HTTPException) -> str:
    """Return what was expected where Starlette says only what its status is called."""
    if error.status_code == 404:
        path = request.scope["path"]
        shown = path if len(path) <= MAX_SHOWN else f"{path[:MAX_SHOWN]}…"
        return f"no route {shown!r}; GET /docs lists them"
    if error.status_code == 405:
        allowed = (error.headers or {}).get("Allow", "another method")
        return f"expected {allowed}, got {request.method}"
    return str(error.detail)


def _add_health(app: FastAPI, state: State) -> None:
    """Add what is asked by whoever keeps the server running: 400 is the protocol's "no"."""

    @app.get("/v2/health/live", response_description="The server runs.")
    async def live() -> dict[str, bool]:
        """Say that the server runs."""
        return {"live": True}

    @app.get("/v2/health/ready", response_description="Requests are welcome.")
    async def ready(response: Response) -> dict[str, bool]:
        """Say whether requests are welcome: 400 from the moment on when the server ends."""
        response.status_code = 200 if state.is_ready else 400
        return {"ready": state.is_ready}

    def of_model(name: str, version: str | None, response: Response) -> dict[str, Any]:
        state.repository.get(name, version)
        response.status_code = 200 if state.is_ready else 400
        return {"name": name, "ready": state.is_ready}

    @app.get("/v2/models/{name}/ready", response_description="The model answers.")
    async def model_ready(name: Name, response: Response) -> dict[str, Any]:
        """Say whether a model answers."""
        return of_model(name, None, response)

    @app.get(
        "/v2/models/{name}/versions/{version}/ready", response_description="The version answers."
    )
    async def version_ready(name: Name, version: Version, response: Response) -> dict[str, Any]:
        """Say whether a version of a model answers."""
        return of_model(name, version, response)


def _add_metadata(app: FastAPI, state: State) -> None:
    """Add what says which models there are, and what they take."""

    @app.get("/v2/", include_in_schema=False)
    @app.get(
        "/v2",
        response_description="Name and version of the server, and extensions of the protocol.",
    )
    async def server() -> dict[str, Any]:
        """Describe the server."""
        return {
            "name": "lookbook",
            "version": version_of("lookbook"),
            "extensions": ["binary_tensor_data"],
        }

    def of_model(name: str, version: str | None) -> dict[str, Any]:
        return describe(state.repository.get(name, version), state.repository.versions(name))

    @app.get("/v2/models/{name}", response_description="Versions, input and outputs of the model.")
    async def model(name: Name) -> dict[str, Any]:
        """Describe a model: its versions, what it takes and answers."""
        return of_model(name, None)

    @app.get(
        "/v2/models/{name}/versions/{version}",
        response_description="Versions, input and outputs of the model.",
    )
    async def one_version(name: Name, version: Version) -> dict[str, Any]:
        """Describe a version of a model: what it takes and answers."""
        return of_model(name, version)


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


def _add_infer(app: FastAPI) -> None:
    """Add inference to the addresses that are known, so that other methods than POST get 405."""
    for path in ("/v2/models/{name}/infer", "/v2/models/{name}/versions/{version}/infer"):
        app.add_route(path, _answered_before, ["POST"], include_in_schema=False)


def _answered_before(request: Request) -> Response:
    """Stand for a route that `Application` answers before any of these is looked at."""
    raise RuntimeError(f"{request.url.path} is answered by the application")


def _add_predict(app: FastAPI) -> None:
    """Add what answers image files to the description; `Application` answers it, too."""

    @app.post("/predict", response_description=_PREDICTED)
    async def predict(
        request: Request,
        model: Annotated[
            str | None, Query(description="Name of a model; the first if left out.")
        ] = None,
        version: OptionalVersion = None,
        coverage: Annotated[
            float | None,
            Query(
                ge=COVERAGE.lowest,
                le=COVERAGE.highest,
                description="Share of images that are to get an answer, from "
                f"{COVERAGE.lowest} to {COVERAGE.highest}.",
            ),
        ] = None,
        sets: Annotated[
            float | None,
            Query(
                ge=SETS.lowest,
                le=SETS.highest,
                description="How often the set of classes holds the right one, from "
                f"{SETS.lowest} to {SETS.highest}.",
            ),
        ] = None,
    ) -> Response:
        """Say what image files show: one as the body, or one or many as multipart/form-data."""
        del model, version, coverage, sets  # they are here for the description
        return _answered_before(request)


def _add_metrics(app: FastAPI, state: State) -> None:
    @app.get(
        "/metrics",
        response_class=PlainTextResponse,
        response_description="The numbers, as Prometheus takes them.",
    )
    async def metrics() -> Response:
        """Return what Prometheus collects."""
        content = state.metrics.write(state.batcher.n_images)
        return Response(content, headers={"content-type": CONTENT_TYPE})


def _add_pages(app: FastAPI, state: State) -> None:
    """Add pages for people."""

    @app.get("/", response_class=HTMLResponse, response_description="The page.")
    async def demo(
        model: Annotated[
            str | None, Query(description="Name of a model; the first if left out.")
        ] = None,
        version: OptionalVersion = None,
    ) -> Response:
        """Show the page to try a model on; where a model has none, what the routes are."""
        served = state.repository.get(model, version)
        page = served.page
        if page is None:
            return RedirectResponse("docs", 307)
        policy = {"content-security-policy": pages.policy_of(page)}
        return HTMLResponse(page, headers=pages.HEADERS | policy)

    @app.get("/docs", response_class=HTMLResponse, response_description="The page.")
    async def docs(
        request: Request,
        lang: Annotated[
            Lang | None, Query(description="Language; that of the server or browser if left out.")
        ] = None,
    ) -> HTMLResponse:
        """Show what the routes are."""
        models = state.repository
        no_page = [name for name in models.names if not models.get(name).has_page]
        accepted = request.headers.get("accept-language", "")
        lang = lang or models.lang or pages.language_of(accepted)
        page, policy = pages.docs(app.openapi(), models.names, no_page, lang)
        varies = {"content-security-policy": policy, "vary": "accept-language"}
        return HTMLResponse(page, headers=pages.HEADERS | varies)
