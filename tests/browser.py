"""A real browser for tests: headless Chromium, offline, that notes whatever a page does."""

from __future__ import annotations

import shutil
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from playwright.sync_api import Browser, Page, sync_playwright

AXE = Path(sys.prefix) / "web" / "node_modules" / "axe-core" / "axe.min.js"
FLAGS = [
    "--no-sandbox",
    "--disable-gpu",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
]


@contextmanager
def chromium(*flags: str) -> Iterator[Browser]:
    """Start the machine's Chromium."""
    program = next(filter(None, map(shutil.which, ("chromium", "google-chrome"))), None)
    if program is None:
        pytest.fail("no Chromium on this machine; make test installs it (Debian: chromium)")
    with sync_playwright() as tools:
        browser = tools.chromium.launch(executable_path=program, args=[*FLAGS, *flags])
        yield browser
        browser.close()


@contextmanager
def opened(
    browser: Browser,
    path: Path,
    anchor: str = "",
    *,
    width: int = 1280,
    dark: bool = False,
    locale: str = "en-US",
) -> Iterator[Page]:
    """Open a file without any network; fail on errors in the console and on requests."""
    context = browser.new_context(
        viewport={"width": width, "height": 900},
        color_scheme="dark" if dark else "light",
        locale=locale,
        reduced_motion="reduce",  # anchors are reached at once
    )
    context.set_offline(True)
    page = context.new_page()
    troubles: list[str] = []
    page.on("pageerror", lambda error: troubles.append(f"error: {error}"))
    page.on(
        "console", lambda told: told.type in ("error", "warning") and troubles.append(told.text)
    )
    page.on(
        "request", lambda asked: troubles.append(asked.url) if _leaves(asked.url, path) else None
    )
    page.goto(path.resolve().as_uri() + anchor)
    yield page
    assert troubles == []
    context.close()


def _leaves(url: str, path: Path) -> bool:
    inside = ("data:", "blob:", path.resolve().as_uri())
    return not url.startswith(inside)


def axe_violations(page: Page) -> list[Any]:
    """Return what axe-core finds, each with the places where it is."""
    if not AXE.exists():
        pytest.fail("axe-core is not here; make test installs it")
    page.evaluate(AXE.read_text(encoding="utf-8"))
    found = page.evaluate("axe.run()")
    return [
        (one["id"], [node["html"][:200] for node in one["nodes"][:3]])
        for one in found["violations"]
    ]
