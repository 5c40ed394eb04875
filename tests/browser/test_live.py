"""The page of a real engine on the sandbox: looking, trading by hand, stopping, what survives a restart."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.browser.conftest import Watched
from tests.browser.kit import open_view, press_fresh, shows, stale_after_s, until, wait_fresh, watch_silence
from tests.browser.running import RunningEngine
from tests.commands.kit import engine

CONFIG = """
[[strategies]]
use = "engine.strategies.crossover:Crossover"
params = { fast = 3, slow = 6, interval = "1s", notional = "5000" }

[bars]
intervals = ["1s", "5s", "1m"]

[flow]
footprint = ["5s"]
level = { BTC = "10", ETH = "1" }
profile = ["1m"]
"""


@pytest.fixture
def journal(tmp_path: Path) -> Path:
    (tmp_path / "engine.toml").write_text(CONFIG)
    return tmp_path / "journal"


def start(journal: Path, speed: int = 5) -> RunningEngine:
    return RunningEngine(journal, "--speed", str(speed), "--config", str(journal.with_name("engine.toml")))


@pytest.fixture
def running(journal: Path) -> Iterator[RunningEngine]:
    with start(journal) as started:
        yield started


def log_in(watched: Watched, running: RunningEngine, view: str) -> Any:
    page = watched.page
    page.goto(f"{running.link}#{view}")
    wait_fresh(page)
    assert "token" not in page.url
    return page


def test_a_person_looks_trades_stops_and_lifts(watched: Watched, journal: Path, picture: Any) -> None:
    """At speed 1: the clock of a faster session runs ahead of the one that the next start finds."""
    with start(journal, 1) as running:
        look_trade_and_halt(watched, running, picture)
    page = watched.page
    with start(journal, 1) as again:
        page.goto(f"{again.link}#overview")
        wait_fresh(page)
        shows(page, "line", "HALTED")
        page.click("#lift")
        page.click("#confirm-yes")
        shows(page, "outcome", "resume: done")
        until(page, "!document.getElementById('line').textContent.includes('HALTED')")
    (day,) = [path for path in journal.iterdir() if path.is_dir() and path.name[:2] == "20"]
    replayed = engine("replay", day)
    assert replayed.code == 0, replayed.err


def look_trade_and_halt(watched: Watched, running: RunningEngine, picture: Any) -> None:
    page = log_in(watched, running, "market")
    prices = set()
    for _ in range(100):
        prices.add(page.inner_text("#quotes"))
        if len(prices) > 3:
            break
        page.wait_for_timeout(100)
    assert len(prices) > 3, "prices move"

    open_view(page, "trade")
    assert page.inner_text("#mode") == "PAPER"
    page.select_option("#ticket-market", "BTC")
    page.fill("#ticket-size", "0.01")
    shows(page, "ticket-preview", "margin")
    press_fresh(page, "#ticket-send", "ticket-outcome")
    shows(page, "ticket-outcome", "order: done", 30)
    open_view(page, "overview")
    shows(page, "positions", "manual")
    fill = page.locator("#fills tbody tr", has_text="manual").first
    fill.locator("button.link").click()
    page.wait_for_selector("#why-chain .asked")
    assert "OperatorCommand" in page.inner_text("#why-chain")
    page.click("#why-close")
    page.evaluate("scrollTo(0, 0)")
    picture("dashboard-overview")

    page.locator("#positions tbody tr", has_text="manual").locator("button.act").click()
    page.click("#confirm-yes")
    shows(page, "outcome", "flatten")
    page.mouse.move(5, 5)
    until(page, "!document.querySelector('#positions tbody').textContent.includes('manual')")

    page.click("#halt")
    shows(page, "outcome", "halt: done")
    shows(page, "line", "HALTED")
    watched.check(running.address)


def test_a_frozen_engine_makes_the_page_stale_within_two_seconds(
    watched: Watched, running: RunningEngine
) -> None:
    watched.allowed = ("ERR_",)
    page = log_in(watched, running, "trade")
    page.fill("#ticket-size", "0.01")
    watch_silence(page)
    running.freeze()
    assert stale_after_s(page) < 2.0
    commands = []
    page.on(
        "request", lambda request: commands.append(request.post_data) if request.method == "POST" else None
    )
    page.evaluate("document.getElementById('ticket').requestSubmit()")
    page.evaluate("document.getElementById('halt-flatten').disabled = false")
    with page.expect_request("**/api/commands"):
        page.click("#halt")
    page.wait_for_timeout(300)
    assert ['"command":"halt"' in body for body in commands] == [True]
    running.thaw()
    wait_fresh(page)
    shows(page, "line", "HALTED")
    assert page.input_value("#ticket-size") == "0.01"
    watched.check(running.address)


WITHOUT_WHY = """
[...document.querySelectorAll("main tbody tr")]
  .filter((row) => row.checkVisibility() && row.innerText.trim() && !/\\bwhy\\b/.test(row.innerText))
  .map((row) => [row.closest("[id]")?.id, row.innerText])
"""


def test_every_view_of_a_session_fills_without_an_error(
    watched: Watched, running: RunningEngine, picture: Any
) -> None:
    page = log_in(watched, running, "market")
    until(page, "document.querySelectorAll('#trades tbody tr').length > 5")
    page.emulate_media(color_scheme="dark")
    for view, place in (("events", "event-rows"), ("health", "feeds"), ("overview", "health-lines")):
        open_view(page, view)
        until(page, f"document.getElementById('{place}').querySelectorAll('tbody tr, dd').length > 0")
        assert page.evaluate(WITHOUT_WHY) == [], view
    open_view(page, "market")
    page.select_option("#market-interval", "5s")
    shows(page, "profile-note", "bars")
    until(page, "document.querySelectorAll('#profile .level').length > 3", 40)
    shows(page, "footprint", "Delta", 40)
    open_view(page, "strategies")
    shows(page, "view-strategies", "EMA", 40)
    assert page.evaluate(WITHOUT_WHY) == []
    open_view(page, "market")
    picture("dashboard-market")
    page.set_viewport_size({"width": 390, "height": 800})
    for view in ("overview", "market", "trade", "strategies", "events", "health"):
        open_view(page, view)
        assert page.evaluate("document.documentElement.scrollWidth") == 390
    open_view(page, "overview")
    picture("dashboard-phone")
    watched.check(running.address)


def test_logging_out_ends_the_session(watched: Watched, running: RunningEngine) -> None:
    watched.allowed = ("401",)
    page = log_in(watched, running, "overview")
    page.click("#logout")
    page.wait_for_selector("#login-secret")
    page.reload()
    page.wait_for_selector("#login-secret")
    page.fill("#login-secret", "x" * 43)
    page.keyboard.press("Enter")
    shows(page, "login-error", "not valid")
    watched.check(running.address)
