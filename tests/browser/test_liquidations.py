"""Liquidations, open interest and funding on the page of a market: recorded and live, dark and narrow."""

from __future__ import annotations

import json
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from engine.clock import SECOND_NS
from engine.config import BarsConfig, Config, FlowConfig
from engine.events import ClockAdvanced, ContextRead, Event, FundingRead, LiquidationRead
from engine.journal import list_days
from engine.values import BUY, SELL
from tests.browser.conftest import Watched
from tests.browser.kit import WAIT_S, open_view, shows, until, wait_fresh
from tests.browser.running import RunningEngine
from tests.replay.kit import NOON, batches, opening, steady, stopped, use, write_journal

FORCED = 60
OPEN_INTEREST = "open interest 1\u202f324\u202f900, funding -0.0012 % for one hour"
CONFIG = """
[bars]
intervals = ["10s", "1m"]
[flow]
liquidations = ["10s"]
[data]
channels = ["forceOrder", "markPrice", "openInterest"]
"""


def recorded(root: Path) -> Path:
    """Record twenty minutes with a cascade of liquidations, and return the day."""
    config = Config(
        strategies=(use("Averages"),),
        bars=BarsConfig(("10s", "1m"), 300),
        flow=FlowConfig(liquidations=("10s", "1m"), level={"AAA": "0.05"}),
    )
    trades: list[Any] = steady(4000, NOON, gap_ms=300)
    prices = [one for one in trades if one.instrument == 1]
    data: list[Any] = [*trades]
    for index in range(FORCED):
        near = prices[(index * index * 37 + 400) % len(prices)]
        at_ns = near.recv_ns
        side = SELL if index % 3 else BUY
        size = 1000 + (index * 7919) % 9000
        data.append(LiquidationRead(at_ns, at_ns, 1, side, near.price, size, index + 1, True))
    for minute in range(20):
        at_ns = NOON + minute * 60 * SECOND_NS + SECOND_NS
        interest, funding = 1_000_000 + minute * minute * 900, 125 - minute * 13
        data.append(ContextRead(at_ns, 1, 7, None, None, None, funding, None, f"{interest}0000000"))
    for minute, rate, per_unit in ((10, 100, False), (12, 2_180_000, True)):
        at_ns = NOON + minute * 60 * SECOND_NS
        data.append(FundingRead(at_ns, at_ns, 1, 7, rate, 0, per_unit))
    data.sort(key=lambda one: one.recv_ns)
    inputs: list[Event] = [*opening(config, NOON), *data]
    end = data[-1].recv_ns + 70 * SECOND_NS
    inputs += [ClockAdvanced(end), stopped(end)]
    write_journal(root, batches(inputs, range(0, len(inputs), 100)))
    (day,) = list_days(root)
    return day.path


@pytest.fixture(scope="module")
def day(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return recorded(tmp_path_factory.mktemp("forced") / "journal")


@contextmanager
def started(*command: str) -> Iterator[dict[str, str]]:
    """Run a command until the test ends; yield the first line that it prints."""
    whole = [sys.executable, "-m", "engine", *command, "--json"]
    with subprocess.Popen(whole, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        try:
            yield json.loads(process.stdout.readline())
        finally:
            process.terminate()
            process.wait(30)


def chart_until(page: Any, holds: Callable[[bytes], bool]) -> bytes:
    """Return what the chart shows at rest once a condition holds, or after a while."""
    deadline = time.monotonic() + WAIT_S
    while not holds(shown := chart_of(page)) and time.monotonic() < deadline:
        page.wait_for_timeout(100)
    return shown


def chart_of(page: Any) -> bytes:
    """Return what the chart shows, once it has come to rest."""
    before, now = b"", page.locator("#market-chart").screenshot()
    while before != now:
        page.wait_for_timeout(100)
        before, now = now, page.locator("#market-chart").screenshot()
    return bytes(now)


def test_a_recorded_day_shows_its_liquidations_open_interest_and_funding(
    watched: Watched, day: Path, picture: Any
) -> None:
    page = watched.page
    with started("dashboard", str(day), "--bind", "127.0.0.1:0") as printed:
        link = printed["dashboard"]
        page.goto(f"{link}#market")
        wait_fresh(page)
        open_view(page, "market")
        page.select_option("#market-instrument", "AAA")
        page.select_option("#market-interval", "10s")
        until(page, f"document.querySelectorAll('#liquidations tbody tr').length === {FORCED}")
        newest = page.inner_text("#liquidations tbody tr >> nth=0")
        assert "long" in newest or "short" in newest
        shows(page, "liquidations-note", "only some")
        shows(page, "context-note", OPEN_INTEREST)

        assert page.input_value("#heat-interval") == "10s"
        tens = chart_of(page)
        page.select_option("#heat-interval", "1m")
        until(page, "document.getElementById('heat-interval').value === '1m'")
        minutes = chart_until(page, lambda chart: chart != tens)
        page.select_option("#heat-interval", "off")
        none = chart_until(page, lambda chart: chart != minutes)
        assert none != tens, "each choice draws another map, or none"
        page.select_option("#heat-interval", "10s")
        assert chart_until(page, lambda chart: chart == tens) == tens

        page.click("#liquidations tbody tr >> nth=0 >> button")
        page.wait_for_selector("#why-chain .asked")
        assert "LiquidationRead" in page.inner_text("#why-chain")
        page.click("#why-close")
        page.evaluate("document.getElementById('context-chart').scrollIntoView({block: 'center'})")
        picture("dashboard-open-interest")
        page.evaluate("scrollTo(0, 0)")
        picture("dashboard-liquidations")
        page.click("#theme")
        assert chart_of(page) != tens
        picture("dashboard-liquidations-dark")
        page.set_viewport_size({"width": 390, "height": 844})
        chart_of(page)
        assert page.evaluate("document.documentElement.scrollWidth") == 390
        page.evaluate("document.getElementById('market-chart').scrollIntoView({block: 'center'})")
        picture("dashboard-liquidations-phone")
        page.evaluate(
            "const slider = document.getElementById('timeline-at'); slider.value = Number(slider.min);"
            "slider.dispatchEvent(new Event('input'))"
        )
        until(page, "document.querySelectorAll('#liquidations tbody tr').length === 0")
        shows(page, "context-note", "None yet")
        watched.check(link.partition("?")[0])


def test_a_live_session_shows_what_its_venue_sends(watched: Watched, day: Path, tmp_path: Path) -> None:
    page = watched.page
    (tmp_path / "engine.toml").write_text(CONFIG)
    venue = ("--venue", "binance-usdm")
    options = ("--config", str(tmp_path / "engine.toml"))
    with started("sandbox", *venue, "--tape", str(day), "--port", "0", "--speed", "20") as printed:
        served = ("--base-url", printed["base_url"])
        with RunningEngine(tmp_path / "journal", *venue, *served, *options) as running:
            page.goto(f"{running.link}#market")
            wait_fresh(page)
            open_view(page, "market")
            page.select_option("#market-instrument", "AAA")
            until(page, "document.querySelectorAll('#liquidations tbody tr').length > 3", 40)
            until(page, "document.getElementById('heat-interval').value === '10s'", 40)
            shows(page, "context-note", "open interest", 40)
            watched.check(running.address)
