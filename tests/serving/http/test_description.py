"""The OpenAPI description names every route, what it takes, and the errors that it answers."""

import pytest
from fastapi import FastAPI

from lookbook.serving.http import description


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
        found = {"200", "400", "401", "404", "413", "415", "429"}
        assert statuses(document, "post", path) == found


def test_every_route_has_its_errors_and_no_other(document):
    assert statuses(document, "get", "/v2/health/live") == {"200"}
    assert statuses(document, "get", "/v2/models/{name}/ready") == {"200", "400", "401", "404"}
    metadata = "/v2/models/{name}/versions/{version}"
    assert statuses(document, "get", metadata) == {"200", "401", "404"}
    assert {"422", "429"} <= statuses(document, "post", "/predict")


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
