"""What the browser tests share: waiting for what a page shows."""

from __future__ import annotations

import time
from typing import Any

__all__ = ["open_view", "shows", "until", "wait_fresh"]

WAIT_S = 15.0


def until(page: Any, expression: str, wait_s: float = WAIT_S) -> None:
    """Wait until a JavaScript expression is true.

    Playwright's own way evaluates text inside the page, which the page's policy forbids.
    """
    deadline = time.monotonic() + wait_s
    while not page.evaluate(expression):
        assert time.monotonic() < deadline, f"{expression} is not true after {wait_s:g} s"
        page.wait_for_timeout(50)


def shows(page: Any, place: str, text: str, wait_s: float = WAIT_S) -> None:
    """Wait until there is an element with an id, and it shows a text."""
    until(page, f"document.getElementById({place!r})?.textContent.includes({text!r})", wait_s)


def open_view(page: Any, name: str) -> None:
    """Open a view by its tab. It is shown by an event after the click, and a key before that is lost."""
    page.click(f".tabs a[href='#{name}']")
    page.wait_for_selector(f"#view-{name}")


def wait_fresh(page: Any) -> None:
    """Wait until the page has read everything and receives messages."""
    page.wait_for_selector('#line:is([data-tone="fresh"], [data-tone="halted"], [data-tone="paused"])')
