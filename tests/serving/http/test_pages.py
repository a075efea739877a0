"""The page of a server, in a browser: it asks the server, and says what that says."""

from __future__ import annotations

import httpx
import numpy as np
import pytest
from PIL import Image

from conftest import made_images
from served import serving

RUN = "runs/bars-tutorial-1"


@pytest.mark.slow
def test_the_page_shows_what_the_server_says(browser, place, tmp_path):
    images, _ = made_images(3, seed=9)
    Image.fromarray(images[1]).save(tmp_path / "bar.png")
    with serving(f"m={place / RUN}") as served:
        expected = httpx.post(
            f"{served.url}/predict", content=(tmp_path / "bar.png").read_bytes()
        ).json()["answers"][0]
        context = browser.new_context(locale="en-US")
        page = context.new_page()
        troubles: list[str] = []
        asked: list[str] = []
        page.on("pageerror", lambda error: troubles.append(str(error)))
        page.on("console", lambda told: told.type == "error" and troubles.append(told.text))
        page.on("request", lambda request: asked.append(request.url))
        page.goto(served.url)
        assert "go to the server that sent the page" in page.locator(".lead").inner_text()
        page.set_input_files("#file", tmp_path / "bar.png")
        page.wait_for_function("() => current !== null")
        shown = page.evaluate("current.probs")
        assert np.float32(shown) == pytest.approx(expected["probs"], abs=1e-6)
        values = page.locator("#bars .value").all_inner_texts()
        assert values == [f"{100 * p:.1f}\N{NO-BREAK SPACE}%" for p in expected["probs"]]
        assert troubles == []
        assert {url.removeprefix(served.url) for url in asked if url.startswith("http")} == {
            "/",
            "/v2/models/m/versions/1/infer",
        }
        page.goto(f"{served.url}/docs")
        assert "POST /predict" in page.locator("main").inner_text()
        assert troubles == []
        page.goto(served.url)
        served.end()
        page.set_input_files("#file", tmp_path / "bar.png")
        page.wait_for_function("() => document.getElementById('trouble').textContent")
        assert page.locator("#trouble").inner_text().startswith("The server does not answer")
        context.close()


@pytest.mark.slow
def test_a_browser_asks_for_the_token_as_a_password(browser, place, tmp_path):
    (tmp_path / "token").write_text("s3cret")
    images, _ = made_images(3, seed=9)
    Image.fromarray(images[1]).save(tmp_path / "bar.png")
    with serving(f"m={place / RUN}", "--token-file", tmp_path / "token") as served:
        context = browser.new_context(http_credentials={"username": "me", "password": "s3cret"})
        page = context.new_page()
        assert page.goto(served.url).status == 200
        page.set_input_files("#file", tmp_path / "bar.png")
        page.wait_for_function("() => current !== null")
        context.close()
