"""Real orders at two venues through the command line: SIGKILL, a restart, and what each venue then holds."""

from __future__ import annotations

import json
import time
from decimal import Decimal
from pathlib import Path
from typing import Any

import httpx

from adapters.binance.gateway.keys import Signer
from adapters.hyperliquid.signing import address_of
from engine.events import FillBooked, InstrumentListed, OrderFilled, SubmitOrder
from engine.journal import list_days
from engine.records import read_records
from tests.binance.gateway.kit import API_KEY, SECRET
from tests.commands.kit import PATIENCE_S, assert_replays, engine, start, trade_until, wait_for
from tests.live.two_venues import BINANCE, HYPERLIQUID, positions_at
from tests.profiles import pick

KEY = "0x" + "33" * 32
ADDRESS = address_of(KEY)
SPEED = 20
KILLS = pick(1, deep=8)
CONFIG = """
mode = "live"
[[strategies]]
use = "tests.live.traders:Both"
[bars]
intervals = ["5s"]
[risk]
max_orders_per_minute = 0
on_stop = "keep"
[account]
currency = "USDC"
prices = {{ USDT = "1" }}
[venue]
account = "{address}"
key_file = "{folder}/hyperliquid.key"
[venues.binance-usdm]
account = "main"
key_file = "{folder}/binance.key"
"""


def write_config(folder: Path) -> Path:
    for name, key in (("hyperliquid", KEY), ("binance", f"{API_KEY} {SECRET}")):
        path = folder / f"{name}.key"
        path.write_text(key)
        path.chmod(0o600)
    config = folder / "both.toml"
    config.write_text(CONFIG.format(address=ADDRESS, folder=folder))
    return config


def asked(url: str, path: str, **params: str | int) -> Any:
    """Ask Binance's sandbox about its account."""
    signer = Signer(f"{API_KEY} {SECRET}", "main")
    with httpx.Client(base_url=url, trust_env=False) as client:
        now_ms = client.get("/fapi/v1/time").json()["serverTime"]
        query = signer.query({**params, "timestamp": now_ms})
        answer = client.get(f"{path}?{query}", headers=signer.headers())
    assert answer.status_code == 200, answer.text
    return answer.json()


def told(url: str, kind: str) -> Any:
    """Ask Hyperliquid's sandbox about its account."""
    with httpx.Client(base_url=url, trust_env=False) as client:
        return client.post("/info", json={"type": kind, "user": ADDRESS}).json()


def test_killed_with_orders_at_two_venues_nothing_is_doubled_at_either(tmp_path: Path) -> None:
    root, config = tmp_path / "j", write_config(tmp_path)
    venues = ("--venue", HYPERLIQUID, "--venue", BINANCE)
    accounts = (f"{HYPERLIQUID}={ADDRESS}:50000", f"{BINANCE}={API_KEY}:{SECRET}:50000")
    options = [word for one in accounts for word in ("--account", one)]
    sandbox = start(
        *("sandbox", "--port", 0, "--json", "--maker", "--speed", SPEED, "--rate-limit", "off"),
        *("--instruments", "BTC", *venues, *options),
    )
    try:
        assert sandbox.stdout is not None
        found = json.loads(sandbox.stdout.readline())["venues"]
        urls = {name: one["base_url"] for name, one in found.items()}
        addresses = [word for name, url in urls.items() for word in ("--base-url", f"{name}={url}")]
        both = ("--config", config, *venues, *addresses, "--arm", HYPERLIQUID, "--arm", BINANCE)
        refused = engine("live", "--journal", root, "--config", config, *venues, *addresses, "--arm")
        assert refused.code == 6
        assert "--arm hyperliquid --arm binance-usdm" in refused.err
        sent = 0
        for _ in range(KILLS):
            process = start("live", "--journal", root, *both)
            wait_for(process, root, SubmitOrder, sent + 6)
            process.kill()
            process.communicate()
            sent = sum(isinstance(one, SubmitOrder) for one in events(root))
            time.sleep(0.2)
        done = trade_until(root, {OrderFilled: 2}, *both, "--json")
        assert done.code == 0, done.err
        assert {one["venue"] for one in json.loads(done.out)["positions"]} <= {HYPERLIQUID, BINANCE}
        check(root, urls)
    finally:
        sandbox.kill()
        sandbox.communicate(timeout=PATIENCE_S)
    assert_replays(root)


def events(root: Path) -> list[Any]:
    return [event for day in list_days(root) for _, _, event in read_records(day.path)]


def check(root: Path, urls: dict[str, str]) -> None:
    """Compare fills and positions with those of each venue."""
    listed = {one.instrument: one.venue for one in events(root) if isinstance(one, InstrumentListed)}
    booked: dict[str, list[int]] = {HYPERLIQUID: [], BINANCE: []}
    for one in events(root):
        if isinstance(one, FillBooked):
            assert not one.external, "a fill is of no order of ours"
            booked[listed[one.instrument]].append(one.trade_id)
    theirs = {
        HYPERLIQUID: [one["tid"] for one in told(urls[HYPERLIQUID], "userFills")],
        BINANCE: [one["id"] for one in asked(urls[BINANCE], "/fapi/v1/userTrades", symbol="BTCUSDT")],
    }
    held = {
        HYPERLIQUID: {
            one["position"]["coin"]: Decimal(one["position"]["szi"])
            for one in told(urls[HYPERLIQUID], "clearinghouseState")["assetPositions"]
        },
        BINANCE: {
            one["symbol"]: Decimal(one["positionAmt"])
            for one in asked(urls[BINANCE], "/fapi/v3/positionRisk")
        },
    }
    for venue in urls:
        assert sorted(booked[venue]) == sorted(theirs[venue]), f"{venue}: a fill was lost or doubled"
        ours = positions_at(root, venue)
        assert ours == {name: size for name, size in held[venue].items() if size}, venue
