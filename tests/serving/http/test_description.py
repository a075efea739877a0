"""The OpenAPI description names every route, what it takes, and the errors that it answers."""

import re
from pathlib import Path

import pytest
from fastapi import FastAPI

from lookbook import serving
from lookbook.serving.http import description

ROOT = Path(__file__).parents[3]


@pytest.fixture
def document():
    app = FastAPI(title="a", version="1")

    @app.get("/v2/health/live")
    @app.get("/v2/models/{name}/ready")
    @app.get("/v2/models/{name}/versions/{version}")
    @app.post("/predict")
    def answer(name: str = "", version: str = "", coverage: float = 1.0) -> dict[str, str]:
        """Answer."""
        return {"name": name, "version": version, "coverage": str(coverage)}

    return description.describe_all(app, ["m", "other"], ["1", "2"])


def statuses(document, verb, path):
    return set(document["paths"][path][verb]["responses"])


def test_inference_is_described_beside_the_routes(document):
    for path in ("/v2/models/{name}/infer", "/v2/models/{name}/versions/{version}/infer"):
        asked = document["paths"][path]["post"]
        kinds = {"application/json", "application/octet-stream"}
        assert set(asked["requestBody"]["content"]) == kinds
        assert set(asked["responses"]["200"]["content"]) == kinds
        found = {"200", "400", "401", "404", "408", "413", "415", "429"}
        assert statuses(document, "post", path) == found


def test_every_route_has_its_errors_and_no_other(document):
    assert statuses(document, "get", "/v2/health/live") == {"200"}
    assert statuses(document, "get", "/v2/models/{name}/ready") == {"200", "400", "401", "404"}
    metadata = "/v2/models/{name}/versions/{version}"
    assert statuses(document, "get", metadata) == {"200", "401", "404"}
    assert {"422", "429"} <= statuses(document, "post", "/predict")


def test_every_status_of_an_error_is_described_in_the_schema_and_on_both_pages():
    sources = "".join(path.read_text() for path in Path(serving.__path__[0]).rglob("*.py"))
    refused = {int(status) for status in re.findall(r"Refusal\(\s*(4\d\d)", sources)}
    assert refused == set(description.ERRORS)
    for page in ("docs/serving.md", "docs/serving.ko.md"):
        (listed,) = re.findall(r'`{"error": .*', (ROOT / page).read_text(encoding="utf-8"))
        assert {int(status) for status in re.findall(r"4\d\d", listed)} == refused | {405}


def test_errors_are_described_as_the_protocol_has_them(document):
    responses = document["paths"]["/predict"]["post"]["responses"]
    for status, one in responses.items():
        if status != "200":
            (schema,) = (content["schema"] for content in one["content"].values())
            assert schema["required"] == ["error"]
    assert "Retry-After" in responses["429"]["headers"]


def test_models_and_versions_are_those_that_there_are(document):
    parameters = document["paths"]["/v2/models/{name}/versions/{version}/infer"]["post"][
        "parameters"
    ]
    schemas = {each["name"]: each["schema"] for each in parameters}
    assert schemas["name"]["enum"] == ["m", "other"]
    assert schemas["version"]["enum"] == ["1", "2"]
