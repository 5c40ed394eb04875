"""The page of an engine that sends real orders, to an exchange of the sandbox that keeps the account."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from tests.browser.conftest import Watched
from tests.browser.kit import open_view, shows, until, wait_fresh
from tests.browser.running import RunningEngine
from tests.commands.kit import sandbox
from tests.commands.test_arming import ADDRESS, KEY

CONFIG = """
mode = "live"
instruments = ["BTC"]
[bars]
intervals = ["1s", "1m"]
[data]
channels = ["l2Book", "activeAssetCtx"]
[[strategies]]
use = "engine.strategies.crossover:Crossover"
[venue]
network = "sandbox"
account = "{}"
key_file = "{}"
"""


def test_a_real_order_is_confirmed_protected_and_closed(
    watched: Watched, tmp_path: Path, picture: Any
) -> None:
    key = tmp_path / "key"
    key.write_text(KEY)
    key.chmod(0o600)
    config = tmp_path / "c.toml"
    config.write_text(CONFIG.format(ADDRESS, key))
    page = watched.page
    with sandbox("--account", f"{ADDRESS}:50000", "--maker", "--speed", "5", "--rate-limit", "off") as url:
        options = ("--venue", "hyperliquid", "--base-url", url, "--config", str(config), "--arm")
        with RunningEngine(tmp_path / "journal", *options) as running:
            page.goto(f"{running.link}#market")
            wait_fresh(page)
            assert page.inner_text("#mode") == "REAL ORDERS"
            filled = "(row) => row.innerText.trim()"
            until(page, f"[...document.querySelectorAll('#book tbody tr')].filter({filled}).length > 3")
            until(page, "/Mark\\s*[0-9]/.test(document.getElementById('quotes').innerText)")

            open_view(page, "trade")
            page.select_option("#ticket-unit", "quote")
            page.fill("#ticket-size", "1000")
            page.fill("#ticket-stop-loss", "50000")
            shows(page, "ticket-preview", "margin")
            page.click("#ticket-send")
            page.fill("#confirm-input", "BTC")
            picture("dashboard-real-order")
            page.click("#confirm-yes")
            shows(page, "ticket-outcome", "order: done", 40)
            open_view(page, "overview")
            shows(page, "positions", "stop 50000 (venue)", 30)
            shows(page, "orders", "50000")

            page.locator("#positions tbody tr", has_text="manual").locator("button.act").click()
            page.click("#confirm-yes")
            page.mouse.move(5, 5)
            until(page, "!document.querySelector('#positions tbody').textContent.includes('manual')", 40)
            until(page, "!document.querySelector('#orders tbody').textContent.includes('50000')", 40)
            open_view(page, "trade")
            page.select_option("#control-what", "disarm")
            page.click("#control-send")
            page.click("#confirm-yes")
            shows(page, "control", "disarm: done")
            watched.check(running.address)
