"""Every route, with good requests and bad ones."""

from __future__ import annotations

import asyncio
import gc
import gzip
import io
import json
import re
import shutil
import weakref
from collections.abc import Awaitable, Callable
from dataclasses import replace
from typing import Any

import httpx
import numpy as np
import pytest
from PIL import Image

from conftest import as_model, made_images
from kinds import SHAPES, squares
from lookbook.inference.predictor import Predictor
from lookbook.networks.devices import settle
from lookbook.recipes import QUICK
from lookbook.serving.batcher import Batcher
from lookbook.serving.http.application import Application, State
from lookbook.serving.http.limits import Bodies, Token
from lookbook.serving.http.origins import allow_origins
from lookbook.serving.http.pages import korean as korean_texts
from lookbook.serving.http.routes import make_routes
from lookbook.serving.metrics import Metrics
from lookbook.serving.readers import Readers
from lookbook.serving.repository import Repository, Source
from lookbook.training.calibration import learn_novelty
from lookbook.training.loop import fit

RUN = "runs/bars-tutorial-1"
Ask = Callable[[httpx.AsyncClient], Awaitable[None]]


@pytest.fixture(scope="module")
def repository(place) -> Repository:
    made = Repository([Source.parse(f"m={place / RUN}")], max_batch=8)
    made.load()
    return made


@pytest.fixture
def asked(repository) -> Callable[..., State]:
    """Run a client against the application; return its state."""

    def ask(test: Ask, *, origins: tuple[str, ...] = (), **settings: Any) -> State:
        async def main() -> State:
            metrics = Metrics()
            batcher = Batcher(asyncio.get_running_loop(), 16, metrics)
            state = State(repository, batcher, Readers(1), metrics, 100_000, Bodies(100_000))
            state = replace(state, **settings)
            app: Any = Application(state, make_routes(state))
            app = allow_origins(app, origins) if origins else app
            transport = httpx.ASGITransport(app)
            async with httpx.AsyncClient(transport=transport, base_url="http://a") as client:
                await test(client)
            batcher.close()
            state.readers.close()
            return state

        return asyncio.run(main())

    return ask


IMAGES, LABELS = made_images(12, seed=5)
INPUT = {"name": "images", "datatype": "UINT8", "shape": [12, 12, 10]}
REQUEST = {"inputs": [INPUT | {"data": IMAGES.ravel().tolist()}]}


def png(image: np.ndarray) -> bytes:
    file = io.BytesIO()
    Image.fromarray(image).save(file, "PNG")
    return file.getvalue()


def test_the_protocols_routes_say_what_there_is(asked):
    async def ask(client: httpx.AsyncClient) -> None:
        assert (await client.get("/v2/health/live")).json() == {"live": True}
        assert (await client.get("/v2/health/ready")).json() == {"ready": True}
        assert (await client.get("/v2")).json()["name"] == "lookbook"
        about = (await client.get("/v2/models/m")).json()
        assert about == (await client.get("/v2/models/m/versions/1")).json()
        assert (about["name"], about["versions"]) == ("m", ["1"])
        assert about["inputs"] == [{"name": "images", "datatype": "UINT8", "shape": [-1, 12, 10]}]
        assert [each["name"] for each in about["outputs"]] == ["logits", "probs", "novelty"]
        for path in ("/v2/models/m/ready", "/v2/models/m/versions/1/ready"):
            assert (await client.get(path)).json() == {"name": "m", "ready": True}

    asked(ask)


def test_it_says_that_it_is_not_ready_and_still_answers(asked):
    async def ask(client: httpx.AsyncClient) -> None:
        for path in ("/v2/health/ready", "/v2/models/m/ready"):
            answer = await client.get(path)
            assert (answer.status_code, answer.json()["ready"]) == (400, False)
        assert (await client.get("/v2/health/live")).status_code == 200
        assert (await client.post("/v2/models/m/infer", json=REQUEST)).status_code == 200

    asked(ask, is_ready=False)


def test_inference_is_that_of_the_model_in_json_and_in_bytes(asked, repository):
    expected = repository.get("m").model.predict(IMAGES)

    async def ask(client: httpx.AsyncClient) -> None:
        for path in ("/v2/models/m/infer", "/v2/models/m/versions/1/infer"):
            answer = (await client.post(path, json=REQUEST | {"id": "7"})).json()
            assert (answer["model_name"], answer["model_version"], answer["id"]) == ("m", "1", "7")
            assert answer["outputs"][1]["data"] == expected.probs.ravel().tolist()
        packed = gzip.compress(json.dumps(REQUEST).encode())
        answer = await client.post(
            "/v2/models/m/infer", content=packed, headers={"content-encoding": "gzip"}
        )
        assert answer.json()["outputs"][0]["data"] == expected.logits.ravel().tolist()
        binary = INPUT | {"parameters": {"binary_data_size": IMAGES.nbytes}}
        head = json.dumps({"inputs": [binary], "parameters": {"binary_data_output": True}}).encode()
        answer = await client.post(
            "/v2/models/m/infer", content=head + IMAGES.tobytes(),
            headers={"inference-header-content-length": str(len(head))},
        )  # fmt: skip
        n = int(answer.headers["inference-header-content-length"])
        values = np.frombuffer(answer.content[n:], "<f4")
        assert (values == np.concatenate([each.ravel() for each in expected])).all()

    state = asked(ask)
    counted = state.metrics.write(0).decode()
    assert 'lookbook_requests_total{route="infer",status="200"} 4.0' in counted
    assert "lookbook_batch_images_count" in counted
    verdicts = [line for line in counted.splitlines() if line.startswith("lookbook_answers_total")]
    assert sum(float(line.split()[-1]) for line in verdicts) == 4 * 12


@pytest.mark.parametrize(
    ("path", "route"),
    [
        ("/v2/", "/v2"),
        ("/v2/models/m", "/v2/models/{name}"),
        ("/v2/models/x", "/v2/models/{name}"),
        ("/v2/models/m/ready", "/v2/models/{name}/ready"),
        ("/v2/models/m/versions/1", "/v2/models/{name}/versions/{version}"),
        ("/v2/models/m/versions/1/ready", "/v2/models/{name}/versions/{version}/ready"),
        ("/v2/models/m/infer", "infer"),
        ("/v2/models", "other"),
        ("/v2/models/m/nothing", "other"),
    ],
)
def test_every_route_is_counted_and_logged_by_its_template(asked, caplog, path, route):
    async def ask(client: httpx.AsyncClient) -> None:
        await client.get(path)

    with caplog.at_level("INFO", "lookbook.serving"):
        state = asked(ask, logs_requests=True)
    assert f'lookbook_requests_total{{route="{route}",' in state.metrics.write(0).decode()
    assert [record.route for record in caplog.records] == [route]


@pytest.mark.parametrize(
    ("method", "path", "options", "status", "expected"),
    [
        ("GET", "/nothing", {}, 404, "no route '/nothing'; GET /docs lists them"),
        ("GET", "/a%0a%1b[31m", {}, 404, r"no route '/a\n\x1b[31m'; GET"),
        ("GET", "/" + 9999 * "x", {}, 404, f"no route '/{199 * 'x'}…'; GET"),
        ("GET", "/v2/models/x", {}, 404, "no model 'x'; there are ['m']"),
        ("GET", "/v2/models/m/versions/2", {}, 404, "no version '2' of 'm'"),
        ("GET", "/v2/models/x/ready", {}, 404, "no model 'x'"),
        ("POST", "/v2/models/x/infer", {"json": REQUEST}, 404, "no model 'x'"),
        ("POST", "/v2/models/m/versions/a/infer", {"json": REQUEST}, 404, "no version 'a'"),
        ("GET", "/v2/models/m/infer", {}, 405, "expected POST, got GET"),
        ("DELETE", "/predict", {}, 405, "expected POST, got DELETE"),
        ("POST", "/v2/models/m/infer", {}, 400, "inference request, got an empty body"),
        *(
            (
                "POST", "/v2/models/m/infer", {"json": {"inputs": [INPUT | {"data": data}]}},
                400, f"in lists of lists as the shape says, got {got}",
            )
            for data, got in (
                (0.5, "0.5"), ("abc", '"abc"'), ([1, 0.5], "0.5"), ([1, "a"], '"a"'),
                ([None], "null"), ({"a": 1}, '{"a":1}'), ([[1], 2], "[1]"),
            )
        ),
        ("POST", "/v2/models/m/infer", {"content": b"x" * 100_001}, 413, "at most 100,000 bytes"),
        (
            "POST", "/v2/models/m/infer",
            {"content": gzip.compress(b"x" * 10**7), "headers": {"content-encoding": "gzip"}},
            413, "at most 100,000 bytes",
        ),
        (
            "POST", "/v2/models/m/infer", {"content": b"x", "headers": {"content-encoding": "br"}},
            415, "expected the content-encoding gzip",
        ),
        (
            "POST", "/v2/models/m/infer",
            {"content": b"x", "headers": {"inference-header-content-length": "-1"}},
            400, "expected a number of bytes",
        ),
        (
            "POST", "/v2/models/m/infer",
            {"content": bytes(17 * 120), "headers": {"inference-header-content-length": "0"}},
            413, "expected 16 images or fewer",
        ),
        ("POST", "/predict", {}, 422, "expected one image file or more"),
        *(
            (
                "POST", f"/predict?sets={text}", {"content": b"x"},
                422, f"sets: expected a number from 0.01 to 0.999, got '{text}'",
            )
            for text in ("2", "1", "0.9995", "0.001", "nan", "-1", "a", "")
        ),
        (
            "POST", "/predict?coverage=0.001", {"content": b"x"},
            422, "coverage: expected a number from 0.01 to 1, got '0.001'",
        ),
        (
            "POST", "/predict?sets=0.9&version=1&sets=0.9", {"content": b"x"},
            422, "the parameter 'sets' of the address stands there twice",
        ),
        (
            "POST", "/predict?set=0.9", {"content": b"x"},
            422, "no parameter 'set' of the address; there are model, version, coverage, sets",
        ),
        ("POST", "/v2/models/m/infer", {"content": b'{"id":"\xff"}'}, 400, "a JSON inference"),
        (
            "POST", "/v2/models/m/infer",
            {"content": json.dumps(REQUEST).replace('"data": [', '"data": [1e400, ').encode()},
            400, "input 'images'",
        ),
        ("POST", "/predict?model=x", {"content": b"x"}, 404, "no model 'x'"),
        ("GET", "/?model=", {}, 404, "no model ''"),
        ("POST", "/predict", {"content": b"no image"}, 422, "is not an image that can be read"),
        ("POST", "/predict", {"json": {"url": "http://a/b.png"}}, 415, "expected an image"),
        ("POST", "/predict", {"data": {"a": "b"}}, 415, "expected an image as the body"),
        ("POST", "/predict", {"files": [("a", b"x")] * 17}, 413, "at most 16 files at once"),
        (
            "POST", "/predict",
            {"content": b"x", "headers": {"content-type": "multipart/form-data"}},
            400, "the form cannot be read",
        ),
        (
            "POST", "/predict",
            {
                "content": b"--a--\r\n",
                "headers": {"content-type": "multipart/form-data; boundary=a"},
            },
            422, "expected one image file or more",
        ),
        ("POST", "/predict", {"content": b"x" * 100_001}, 413, "at most 100,000 bytes"),
    ],
)  # fmt: skip
def test_bad_requests_are_told_what_was_expected(asked, method, path, options, status, expected):
    async def ask(client: httpx.AsyncClient) -> None:
        answer = await client.request(method, path, **options)
        assert answer.status_code == status, answer.text
        assert expected in answer.json()["error"]
        assert answer.headers["content-type"] == "application/json"
        assert answer.headers["x-request-id"]

    asked(ask)


@pytest.mark.slow
def test_image_files_are_answered_as_the_predictor_does(asked, place):
    expected = Predictor(place / RUN).predict(list(map(Image.fromarray, IMAGES[:3])))
    files = [("file", (f"{i}.png", png(image))) for i, image in enumerate(IMAGES[:3])]
    files.insert(1, ("file", ("bad.png", files[0][1][1][:60])))

    async def ask(client: httpx.AsyncClient) -> None:
        answer = await client.post("/predict", files=files)
        assert answer.status_code == 200
        answers = answer.json()["answers"]
        assert "cannot be read" in answers.pop(1)["error"]
        assert [each["input"] for each in answers] == ["0.png", "1.png", "2.png"]
        for found, one in zip(answers, expected, strict=True):
            assert found["class"] == one.name
            assert found["probs"] == [float(p) for p in one.probs]
            assert found["verdict"] == one.verdict
            assert found["likely"] is None
        alone = await client.post("/predict", content=png(IMAGES[0]))
        assert alone.json()["answers"][0]["probs"] == answers[0]["probs"]

    state = asked(ask)
    assert state.batcher.n_images == 0


@pytest.mark.slow
@pytest.mark.parametrize("shape", SHAPES, ids=str)
def test_every_kind_of_image_is_answered_as_pixels_and_as_a_file(asked, tmp_path, shape):
    training, (images, _) = squares(shape, 64), squares(shape, 6, seed=1)
    recipe = replace(QUICK.suited_to(64, colour=len(shape) == 3), widths=(8, 8)).with_epochs(1)
    fitted = fit(training, None, settle(recipe), 4)
    learn_novelty(fitted.classifier, training)
    model = as_model(fitted.classifier, training[0], "가나다라")
    (tmp_path / "model.onnx").write_bytes(model.content)
    repository = Repository([Source.parse(f"squares={tmp_path / 'model.onnx'}")], max_batch=4)
    repository.load()
    expected = repository.get("squares").model.predict(images).probs
    predicted = Predictor(model).predict(Image.fromarray(images[0]))[0]

    async def ask(client: httpx.AsyncClient) -> None:
        given = {"name": "images", "datatype": "UINT8", "shape": images.shape}
        body = {"inputs": [given | {"data": images.ravel().tolist()}]}
        answer = (await client.post("/v2/models/squares/infer", json=body)).json()
        assert answer["outputs"][1]["data"] == expected.ravel().tolist()
        files = [("file", ("사진.png", png(images[0])))]
        (answer,) = (await client.post("/predict", files=files)).json()["answers"]
        assert answer["input"] == "사진.png"
        assert answer["class"] == predicted.name
        assert answer["probs"] == pytest.approx(predicted.probs.tolist(), abs=1e-6)

    asked(ask, repository=repository, max_body=10_000_000)


def test_without_its_token_nothing_but_health_is_answered(asked):
    async def ask(client: httpx.AsyncClient) -> None:
        for path in ("/v2/health/live", "/v2/health/ready"):
            assert (await client.get(path)).status_code == 200
        for method, path in (
            ("GET", "/"), ("GET", "/docs"), ("GET", "/openapi.json"), ("GET", "/metrics"),
            ("GET", "/v2"), ("GET", "/nothing"), ("POST", "/predict"),
            ("POST", "/v2/models/m/infer"),
        ):  # fmt: skip
            answer = await client.request(method, path)
            assert answer.status_code == 401, path
            assert answer.headers["www-authenticate"].startswith("Basic realm=")
        authorised = {"authorization": "Bearer s3cret"}
        answer = await client.post("/v2/models/m/infer", json=REQUEST, headers=authorised)
        assert answer.status_code == 200
        described = (await client.get("/openapi.json", headers=authorised)).json()
        assert "401" in described["paths"]["/predict"]["post"]["responses"]

    asked(ask, token=Token("s3cret"))


def test_pages_are_whole_and_bound_by_policies(asked):
    async def ask(client: httpx.AsyncClient) -> None:
        page = await client.get("/")
        assert '"server":"v2/models/m/versions/1/infer"' in page.text
        assert "connect-src 'self'" in page.headers["content-security-policy"]
        assert '"many":' not in page.text  # weights stay with the server
        docs = await client.get("/docs")
        assert "/v2/models/{name}/infer" in docs.text
        assert "<script" not in docs.text
        for each in (page, docs):
            assert each.headers["x-content-type-options"] == "nosniff"
            assert each.headers["x-frame-options"] == "DENY"
            assert each.headers["content-security-policy"].startswith("default-src 'none'")
            assert "http://" not in each.text.replace("http://www.w3.org", "")

    asked(ask)


def test_docs_are_in_korean_where_that_is_asked_for(asked, place, tmp_path):
    shutil.copy(place / RUN / "model.onnx", tmp_path / "bare.onnx")
    alone = Repository([Source.parse(str(tmp_path / "bare.onnx"))], max_batch=8)
    alone.load()
    korean = {"accept-language": "ko-KR,ko;q=0.9,en;q=0.8"}
    pages: list[str] = []

    async def ask(client: httpx.AsyncClient) -> None:
        pages.append((await client.get("/docs?lang=ko")).text)
        assert (await client.get("/docs", headers=korean)).text == pages[0]
        english = (await client.get("/docs?lang=en", headers=korean)).text
        assert (await client.get("/docs")).text == english
        assert 'href="docs?lang=ko"' in english
        assert 'href="docs?lang=en"' in pages[0]
        wrong = await client.get("/docs?lang=fr")
        assert wrong.status_code == 422
        assert wrong.json() == {"error": "query.lang: Input should be 'en' or 'ko', got 'fr'"}

    async def ask_server_in_korean(client: httpx.AsyncClient) -> None:
        assert (await client.get("/docs")).text == pages[0]

    asked(ask, repository=alone)
    alone.lang = "ko"
    asked(ask_server_in_korean, repository=alone)
    said = re.sub(r"<(code|style|title)\b.*?</\1>|<[^>]*>", " ", pages[0], flags=re.DOTALL)
    words = set(re.findall(r"[A-Za-z]{4,}", said))
    assert words <= {
        "lookbook", "English", "bare", "openapi", "json", "JSON", "HTTP", "Prometheus", "Open",
        "Inference", "Protocol", "predict", "metrics", "error", "multipart", "form", "data",
        "Authorization", "Bearer", "Retry", "After", "onnx",
    }  # fmt: skip
    assert {english for english in korean_texts() if english in said} <= {"routes"}


def test_the_page_opens_in_the_language_of_the_server(asked, place):
    made = Repository([Source.parse(f"m={place / RUN}")], max_batch=8, lang="ko")
    made.load()

    async def ask(client: httpx.AsyncClient) -> None:
        assert '"lang":"ko"' in (await client.get("/")).text

    asked(ask, repository=made)


def test_docs_say_which_models_have_no_page_to_try_them_on(asked, place, tmp_path):
    shutil.copy(place / RUN / "model.onnx", tmp_path / "bare.onnx")
    alone = Repository([Source.parse(str(tmp_path / "bare.onnx"))], max_batch=8)
    alone.load()

    async def ask(client: httpx.AsyncClient) -> None:
        assert (await client.get("/")).headers["location"] == "docs"
        assert "No page to try bare on" in (await client.get("/docs")).text

    async def ask_with_run(client: httpx.AsyncClient) -> None:
        assert "No page to try" not in (await client.get("/docs")).text

    asked(ask, repository=alone)
    asked(ask_with_run)


def test_other_sites_may_ask_only_where_they_are_allowed(asked):
    async def ask(client: httpx.AsyncClient) -> None:
        asks = {"origin": "https://b", "access-control-request-method": "POST"}
        answer = await client.options("/v2/models/m/infer", headers=asks)
        assert answer.headers["access-control-allow-origin"] == "https://b"
        answer = await client.get("/v2", headers={"origin": "https://c"})
        assert "access-control-allow-origin" not in answer.headers

    async def ask_unasked(client: httpx.AsyncClient) -> None:
        answer = await client.get("/v2", headers={"origin": "https://b"})
        assert "access-control-allow-origin" not in answer.headers

    asked(ask, origins=("https://b",))
    asked(ask_unasked)


@pytest.mark.parametrize(
    ("headers", "expected"),
    [
        ({"origin": "https://c"}, "expected a page of https://b (--allow-origin), got 'https://c'"),
        ({"access-control-request-method": "PUT"}, "expected GET or POST, got 'PUT'"),
        ({"access-control-request-headers": "content-type,x-a"}, "x-request-id, got 'x-a'"),
        ({"access-control-request-private-network": "true"}, "asks a private network"),
    ],
)
def test_a_page_that_may_not_ask_is_told_as_json_what_is_allowed(asked, headers, expected):
    async def ask(client: httpx.AsyncClient) -> None:
        asks = {"origin": "https://b", "access-control-request-method": "POST"} | headers
        answer = await client.options("/v2/models/m/infer", headers=asks)
        assert answer.status_code == 400
        assert answer.headers["content-type"] == "application/json"
        assert expected in answer.json()["error"]
        assert "Origin" in answer.headers["vary"]

    asked(ask, origins=("https://b",))


def test_requests_keep_the_id_that_they_have(asked):
    async def ask(client: httpx.AsyncClient) -> None:
        for path in ("/v2", "/v2/models/m/infer"):
            answer = await client.request("POST", path, headers={"x-request-id": "abc"})
            assert answer.headers["x-request-id"] == "abc"

    asked(ask)


def test_every_route_is_described(asked):
    async def ask(client: httpx.AsyncClient) -> None:
        paths = (await client.get("/openapi.json")).json()["paths"]
        assert len(paths) == 13
        for path, operations in paths.items():
            for operation in operations.values():
                assert operation["responses"]["200"]["description"] != "Successful Response", path
                assert all(each.get("description") for each in operation.get("parameters", []))

    asked(ask)


def test_a_version_that_was_asked_is_not_kept_once_its_folder_is_gone(asked, place, tmp_path):
    for version in ("1", "2"):
        shutil.copytree(place / RUN, tmp_path / "m" / version)
    repository = Repository([Source.parse(f"m={tmp_path / 'm'}")], max_batch=8)
    repository.load()
    served = weakref.ref(repository.get("m", "1"))
    network = weakref.ref(repository.get("m", "1").model)

    async def ask(client: httpx.AsyncClient) -> None:
        answers = [
            await client.post("/predict?version=1", content=png(IMAGES[0])),
            await client.get("/?version=1"),
            await client.post("/v2/models/m/versions/1/infer", json=REQUEST),
        ]
        assert [each.status_code for each in answers] == [200, 200, 200]

    asked(ask, repository=repository)
    shutil.rmtree(tmp_path / "m/1")
    repository.refresh()
    gc.collect()
    assert (served(), network()) == (None, None)


def test_a_form_that_is_cut_short_or_holds_other_fields_is_refused(asked):
    head = {"content-type": "multipart/form-data; boundary=XX"}
    part = b'--XX\r\nContent-Disposition: form-data; name="file"; filename="a.png"\r\n\r\n'
    field = b'--XX\r\nContent-Disposition: form-data; name="sets"\r\n\r\n0.9\r\n'
    whole = part + png(IMAGES[0]) + b"\r\n--XX--\r\n"

    async def ask(client: httpx.AsyncClient) -> None:
        async def answer_to(body: bytes, query: str = "") -> tuple[int, str]:
            answer = await client.post(f"/predict{query}", content=body, headers=head)
            return answer.status_code, answer.json().get("error", "")

        assert (await answer_to(whole))[0] == 200
        for cut in (4, 6, 50):
            status, said = await answer_to(part + png(IMAGES[1]) + b"\r\n" + whole[:-cut])
            assert (status, said) == (
                400,
                "the form is cut short: it ends without its last boundary",
            )
        status, said = await answer_to(field + whole)
        assert status == 422
        assert "got the field 'sets'; what is asked besides stands in the address" in said
        status, said = await answer_to(whole, "?sets=0.9&sets=0.8")
        assert (status, "stands there twice" in said) == (422, True)

    asked(ask)
