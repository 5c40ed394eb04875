"""What the browser tests share: waiting for what a page shows."""

from __future__ import annotations

import re
import time
from collections.abc import Callable
from typing import Any

__all__ = [
    "WAIT_S",
    "holds",
    "open_view",
    "press_fresh",
    "shows",
    "stale_after_s",
    "until",
    "wait_fresh",
    "watch_silence",
]

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


def press_fresh(page: Any, button: str, outcome: str) -> None:
    """Press a button until its command leaves the page, which sends none in a moment in which it is stale."""
    for _ in range(20):
        wait_fresh(page)
        page.click(button)
        until(page, f"document.getElementById({outcome!r}).textContent !== ''")
        if "Only Halt is sent" not in page.inner_text(f"#{outcome}"):
            return
    raise AssertionError(f"{button}: the page was stale at every try")


def watch_silence(page: Any) -> None:
    """Note what the line says first when the page turns stale. Called before what makes it so."""
    page.evaluate(
        "window.saidFirst = null; new MutationObserver(() => {"
        " const line = document.getElementById('line');"
        " if (line.dataset.tone === 'stale') window.saidFirst ??= line.textContent;"
        "}).observe(document.getElementById('line'), { attributeFilter: ['data-tone'] }), 0"
    )


def stale_after_s(page: Any) -> float:
    """Wait until the page is stale, and return how long it had received nothing then, by its own clock."""
    page.wait_for_selector('#line[data-tone="stale"]')
    said = str(page.evaluate("window.saidFirst"))
    found = re.search(r"nothing received for ([0-9.]+) s", said)
    assert found is not None, said
    return float(found[1])


def holds(page: Any, condition: Callable[[], bool]) -> None:
    """Wait until a condition of the test holds, while the browser goes on."""
    deadline = time.monotonic() + WAIT_S
    while not condition():
        assert time.monotonic() < deadline, "the condition does not hold"
        page.wait_for_timeout(50)
