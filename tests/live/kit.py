"""Runs a sandbox and a session in one process, and compares their records afterwards.

The sandbox's records are read over the wire (`/info`), so nothing here depends on how it stores accounts.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from decimal import Decimal
from pathlib import Path
from typing import Any

import trio

from adapters.hyperliquid.gateway.keys import Signer
from adapters.hyperliquid.signing import address_of
from adapters.hyperliquid.venue import HyperliquidVenue
from adapters.sandbox.server import Sandbox, SandboxOptions
from engine.commands.planning import LiveOptions, make_plan
from engine.commands.stores import session_stores
from engine.config import BarsConfig, Config, DataConfig, RiskConfig, StrategyConfig, VenueConfig
from engine.events import BarClosed, Event, InstrumentListed, OrderFilled, PositionChanged
from engine.journal import list_days
from engine.loading.strategies import make_builder
from engine.records import JournalHistory, open_day, read_records
from engine.runtime.live import Live
from engine.runtime.notices import Notice
from engine.runtime.plan import LiveResult
from engine.values import format_scaled
from replay.verification import replay_day
from tests.loopback import http_client
from tests.pacing import pacing

__all__ = [
    "ACCOUNT",
    "KEY",
    "Venue",
    "assert_agrees",
    "assert_replays",
    "bars_against_candles",
    "config",
    "of",
    "positions",
    "serving",
    "trade",
]

MINUTE_NS = 60_000_000_000
KEY = "0x" + "07" * 32
ACCOUNT = address_of(KEY)


def config(use: str = "tests.live.traders:Busy", *, on_stop: str = "cancel", **venue: Any) -> Config:
    """Return a configuration for real orders on the sandbox. Risk limits are wide, order sizes small."""
    return Config(
        mode="live",
        strategies=(StrategyConfig(use=use),),
        bars=BarsConfig(intervals=("5s", "1m")),
        risk=RiskConfig(max_orders_per_minute=0, on_stop=on_stop),
        data=DataConfig(warmup_bars=0, check_minutes=1),
        venue=VenueConfig(network="sandbox", account=ACCOUNT, **venue),
    )


class Venue:
    """The account as shown by the sandbox's `/info`."""

    def __init__(self, sandbox: Sandbox, base_url: str) -> None:
        self.sandbox = sandbox
        self.base_url = base_url

    async def ask(self, kind: str, **more: Any) -> Any:
        """Return the body of an answer to `/info`."""
        async with http_client() as client:
            answer = await client.post(f"{self.base_url}/info", json={"type": kind, "user": ACCOUNT, **more})
        assert answer.status_code == 200, answer.text
        return answer.json()

    async def positions(self) -> dict[str, Decimal]:
        """Return the signed position in each instrument that is not flat."""
        state = await self.ask("clearinghouseState")
        return {
            one["position"]["coin"]: Decimal(one["position"]["szi"])
            for one in state["assetPositions"]
            if Decimal(one["position"]["szi"])
        }

    async def fills(self) -> list[dict[str, Any]]:
        """Return the account's fills."""
        return list(await self.ask("userFills"))

    async def orders(self) -> list[dict[str, Any]]:
        """Return the account's open and ended orders."""
        return list(await self.ask("historicalOrders"))

    async def open_orders(self) -> list[dict[str, Any]]:
        """Return the account's open orders."""
        return list(await self.ask("openOrders"))


@asynccontextmanager
async def serving(**options: Any) -> AsyncIterator[Venue]:
    """Run a sandbox with the account on a free port."""
    chosen = {
        "port": 0,
        "instruments": ("BTC", "ETH"),
        "accounts": ((ACCOUNT, "100000"),),
        "rate_limit": False,
        **options,
    }
    sandbox = Sandbox(SandboxOptions(**chosen))
    async with pacing(), trio.open_nursery() as nursery:
        address = await nursery.start(sandbox.serve)
        yield Venue(sandbox, address.base_url)
        nursery.cancel_scope.cancel()


async def trade(
    root: Path,
    venue: Venue,
    settings: Config,
    script: Callable[[Live], Awaitable[None]],
    *,
    paper: bool = False,
    notify: Callable[[Notice], None] = lambda _: None,
    **more: Any,
) -> LiveResult:
    """Run a session, armed or on paper; it stops when the script ends. Its rows go to SQLite in `root`."""
    options = LiveOptions(
        config=settings,
        root=root,
        venue=HyperliquidVenue(),
        signer=None if paper else Signer(KEY),
        stores=session_stores(settings, root),
        **more,
    )
    plan = await make_plan(options, venue.base_url)
    live = Live(plan, notify)

    async def drive() -> None:
        await script(live)
        live.stop("script")

    async with trio.open_nursery() as nursery:
        nursery.start_soon(drive)
        result = await live.run()
        nursery.cancel_scope.cancel()
    return result


def events(root: Path) -> list[Event]:
    """Return every event of a journal."""
    return [record[2] for day in list_days(root) for record in read_records(day.path)]


def of(kind: type[Any], root: Path) -> list[Any]:
    """Return the events of a type."""
    return [event for event in events(root) if isinstance(event, kind)]


def positions(root: Path) -> dict[str, Decimal]:
    """Return the journal's positions by instrument, without flat ones."""
    listed = {one.instrument: one for one in of(InstrumentListed, root)}
    last: dict[tuple[str, int], int] = {}
    for change in of(PositionChanged, root):
        last[change.strategy, change.instrument] = change.size
    sums: dict[str, Decimal] = {}
    for (_, number), size in last.items():
        one = listed[number]
        sums[one.name] = sums.get(one.name, Decimal(0)) + Decimal(format_scaled(size, one.size_scale))
    return {name: size for name, size in sums.items() if size}


def fill_ids(root: Path) -> list[tuple[int, int]]:
    """Return (trade id, venue order id) of every recorded fill, including duplicates."""
    return [(one.trade_id, one.venue_order_id) for one in of(OrderFilled, root)]


def assert_replays(root: Path) -> list[str]:
    """Assert that each day of a journal replays identical on its own; return the digests."""
    digests = []
    for day in list_days(root):
        report, _ = replay_day(open_day(day.path), make_builder(), history=JournalHistory(root))
        assert report.identical, (day.path.name, report.divergence)
        digests.append(report.digest)
    return digests


async def assert_agrees(root: Path, venue: Venue) -> None:
    """Assert that the journal has the venue's orders, fills and positions, and that it replays identical."""
    orders = await venue.orders()
    by_client: dict[str, set[int]] = {}
    for one in orders:
        by_client.setdefault(one["order"].get("cloid") or "none", set()).add(one["order"]["oid"])
    doubled = {name: oids for name, oids in by_client.items() if len(oids) > 1}
    assert not doubled, "an order was placed twice"
    ours = fill_ids(root)
    assert len(ours) == len(set(ours)), "a fill was counted twice"
    theirs = {(one["tid"], one["oid"]) for one in await venue.fills()}
    assert set(ours) == theirs, "a fill was lost or made up"
    assert positions(root) == await venue.positions()
    assert await venue.open_orders() == []
    assert_replays(root)


async def bars_against_candles(root: Path, venue: Venue) -> tuple[int, int]:
    """Return the number of complete one-minute bars, and of those marked incomplete.

    Asserts that every complete bar equals the venue's candle (I8).
    """
    whole = marked = 0
    listed = {one.instrument: one for one in of(InstrumentListed, root)}
    last: dict[tuple[int, int], BarClosed] = {}
    for bar in of(BarClosed, root):
        if bar.interval_ns == MINUTE_NS:
            last[bar.instrument, bar.start_ns] = bar
    for number, one in listed.items():
        request = {"coin": one.name, "interval": "1m", "startTime": 0}
        candles = {row["t"]: row for row in await venue.ask("candleSnapshot", req=request)}
        for (instrument, start_ns), bar in last.items():
            if instrument != number:
                continue
            if bar.incomplete:
                marked += 1
                continue
            whole += 1
            row = candles.get(start_ns // 1_000_000)
            if row is None:
                assert bar.trades == 0, f"{one.name} {start_ns}: the venue has no such candle"
                continue
            ours = [
                format_scaled(price, one.price_scale) for price in (bar.open, bar.high, bar.low, bar.close)
            ]
            theirs = [row[key] for key in "ohlc"]
            assert [Decimal(text) for text in ours] == [Decimal(text) for text in theirs], (
                one.name,
                bar,
                row,
            )
            assert Decimal(format_scaled(bar.volume, one.size_scale)) == Decimal(row["v"])
            assert bar.trades == row["n"]
    return whole, marked
