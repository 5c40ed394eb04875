"""The browser tests run only in `make test-browser`; `make test` does not need a browser."""

from __future__ import annotations

import os
from collections.abc import Iterator
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import pytest

from tests.browser.install import find_browser

RUN = "RETAPE_BROWSER_TESTS"
"""Set by `make test-browser`."""
PICTURES = "RETAPE_SCREENSHOTS"
"""The folder that screenshots are written to; without it none is."""

if not os.environ.get(RUN):
    collect_ignore_glob = ["test_*.py"]

FLAGS = (
    "--no-sandbox", "--disable-gpu", "--disable-background-networking", "--disable-component-update",
    "--disable-sync", "--disable-quic", "--enable-precise-memory-info",
)  # fmt: skip


class Watched:
    """A page of the browser, and what must never happen in it: console errors, requests to other hosts."""

    def __init__(self, page: Any) -> None:
        self.page = page
        self.problems: list[str] = []
        self.requests: list[str] = []
        self.allowed: tuple[str, ...] = ()
        """Parts of console messages that a test expects, such as a status of 502."""
        page.set_default_timeout(15_000)
        page.on("console", self._console)
        page.on("pageerror", lambda error: self.problems.append(f"error: {error}"))
        page.on("request", lambda request: self.requests.append(request.url))

    def _console(self, message: Any) -> None:
        if message.type in ("error", "warning"):
            self.problems.append(f"{message.type}: {message.text}")

    def check(self, address: str) -> None:
        """Assert that nothing went wrong, and that every request was to the host of `address`."""
        unexpected = [one for one in self.problems if not any(part in one for part in self.allowed)]
        assert unexpected == []
        elsewhere = [url for url in self.requests if not url.startswith((address, "data:", "blob:"))]
        assert elsewhere == []


@pytest.fixture(scope="session")
def browser() -> Iterator[Any]:
    path = find_browser()
    if path is None or find_spec("playwright") is None:
        pytest.skip("no browser: these tests need Chromium and the package playwright")
    from playwright.sync_api import sync_playwright

    with sync_playwright() as playwright:
        started = playwright.chromium.launch(executable_path=path, args=list(FLAGS))
        yield started
        started.close()


@pytest.fixture
def watched(browser: Any) -> Iterator[Watched]:
    """A page in a profile of its own."""
    context = browser.new_context(viewport={"width": 1400, "height": 900}, color_scheme="light")
    yield Watched(context.new_page())
    context.close()


@pytest.fixture
def picture(watched: Watched) -> Any:
    """A function that writes a screenshot where the caller of the tests asked for some."""
    folder = os.environ.get(PICTURES)

    def write(name: str) -> None:
        if folder:
            watched.page.screenshot(path=Path(folder) / f"{name}.png")

    return write
