"""The page on recorded days: any moment of them, jumps to what happened, and a link to a moment."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.browser.conftest import Watched
from tests.browser.kit import open_view, shows, until, wait_fresh

SAMPLE = Path(__file__).resolve().parents[2] / "journal" / "2024-12-05"


@pytest.fixture(scope="module")
def link() -> Iterator[str]:
    command = [sys.executable, "-m", "engine", "dashboard", str(SAMPLE), "--bind", "127.0.0.1:0", "--json"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        yield json.loads(process.stdout.readline())["dashboard"]
        process.terminate()
        process.wait(30)


def test_a_recorded_day_is_shown_as_of_any_moment(watched: Watched, link: str, picture: Any) -> None:
    page = watched.page
    page.goto(link)
    wait_fresh(page)
    shows(page, "timeline-now", "seq")
    assert page.inner_text("#mode") == "RECORDED"
    assert not page.locator("#halt").is_visible()
    end = page.inner_text("#timeline-now")

    page.select_option("#timeline-kind", "fill")
    page.click("#timeline-back")
    shows(page, "timeline-note", "fill:")
    until(page, f"document.getElementById('timeline-now').textContent !== {end!r}")
    at_fill = page.inner_text("#timeline-now")
    seq = at_fill.rpartition("seq ")[2]
    newest = page.locator("#fills tbody tr").first
    newest.locator("button").click()
    shows(page, "why-title", f"Why seq {seq}")
    page.wait_for_selector("#why-chain .asked")
    page.click("#why-close")

    page.evaluate(
        "const slider = document.getElementById('timeline-at');"
        "slider.value = (Number(slider.min) + Number(slider.max)) / 2;"
        "slider.dispatchEvent(new Event('input'))"
    )
    until(page, "document.getElementById('timeline-now').textContent.includes('seq')")
    middle = page.inner_text("#timeline-now")
    assert middle not in (end, at_fill)
    address = page.url
    assert f"seq={middle.rpartition('seq ')[2]}" in address
    page.goto("about:blank")
    page.goto(address)
    wait_fresh(page)
    shows(page, "timeline-now", middle)
    page.click("#timeline-next")
    shows(page, "timeline-note", "fill:")

    open_view(page, "market")
    until(page, "document.querySelectorAll('#trades tbody tr').length > 5")
    picture("dashboard-recorded")
    watched.check(link.partition("?")[0])
