"""Exits on a connection that breaks: in the book within the bound of docs/orders.md, never doubled."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import msgspec
import pytest
import trio
from trio.abc import Clock

from adapters.binance.gateway.keys import Signer as BinanceSigner
from adapters.hyperliquid.gateway.keys import Signer
from adapters.hyperliquid.venue import HyperliquidVenue
from engine.clock import SECOND_NS
from engine.commands.planning import LiveOptions, make_plan
from engine.config import BarsConfig, Config, RiskConfig, StrategyConfig, VenueConfig
from engine.events import OrderFilled, OrderUnknown, SubmitOrder
from engine.runtime.live import Live
from engine.values import BUY, SELL
from tests.binance.gateway.kit import API_KEY, SECRET
from tests.binance.stage import KINDS, events, replays, settings_of, staged
from tests.exchange.late import LateWay
from tests.live.kit import KEY, config, serving

BOUND_NS = 4 * SECOND_NS
"""docs/orders.md: an exit whose request is lost is replaced within 4 s."""

FATES: dict[str, dict[str, Any]] = {
    "is lost": {"late_s": None},
    "arrives after its expiry": {"late_s": 2.5},
    "arrives just after its replacement": {"late_s": 3.5},
    "is never answered and arrives after its expiry": {"late_s": 2.5, "cuts": False},
    "arrives in time, its answer does not": {"late_s": 1.0},
}


def sells(request: bytes) -> bool:
    """Return whether a request orders a sale: in these sessions only exits do."""
    placed = re.match(rb"POST /(exchange|api/v3/order\?|fapi/v1/order\?)", request)
    return placed is not None and (b"side=SELL" in request or b'"b":false' in request)


async def play(options: LiveOptions, way: LateWay, nursery: trio.Nursery) -> None:
    """Run a session on this way until its strategy is flat again."""
    base_url = await nursery.start(way.serve)
    live = Live(await make_plan(options, base_url), lambda _: None)

    async def drive() -> None:
        await trio.sleep(24)
        live.stop("script")

    async with trio.open_nursery() as inner:
        inner.start_soon(drive)
        await live.run()
        inner.cancel_scope.cancel()


def followed(root: Path, way: LateWay, fate: str) -> list[OrderFilled]:
    """Assert that the exit came in time and once; return the fills."""
    found = events(root)
    exits = [one for one in found if isinstance(one, SubmitOrder) and one.terms.side == SELL]
    fills = [one for one in found if isinstance(one, OrderFilled)]
    sold = [one for one in fills if one.side == SELL]
    assert len(way.held) == 1
    assert any(isinstance(one, OrderUnknown) for one in found)
    bought = sum(one.size for one in fills if one.side == BUY)
    assert 0 <= bought - sum(one.size for one in sold) < bought // 100, "all, but for a fee in base units"
    assert sold[-1].recv_ns - exits[0].at_ns < BOUND_NS
    in_time = fate.startswith("arrives in time")
    assert len(exits) == (1 if in_time else 2)
    assert {one.client_order_id for one in sold} == {exits[-1].client_order_id}
    if way.answers and not in_time:
        assert any(words in way.answers[0] for words in (b"already expired", b"-1021")), way.answers
    replays(root)
    return fills


def trader(settings: Config) -> Config:
    return msgspec.structs.replace(
        settings,
        mode="live",
        bars=BarsConfig(intervals=("5s",)),
        strategies=(StrategyConfig(use="tests.orders.leaving:Leaving"),),
        risk=RiskConfig(max_orders_per_minute=0, on_stop="cancel"),
    )


@pytest.mark.parametrize("fate", FATES)
async def test_o01_o11_a_lost_exit_is_replaced_within_seconds_on_hyperliquid(
    fate: str, paced_clock: Clock, tmp_path: Path
) -> None:
    async with serving(instruments=("BTC",), maker=True) as venue, trio.open_nursery() as nursery:
        way = LateWay(venue.base_url, sells, **FATES[fate])
        settings = trader(config())
        options = LiveOptions(config=settings, root=tmp_path, venue=HyperliquidVenue(), signer=Signer(KEY))
        await play(options, way, nursery)
        assert await venue.positions() == {}
        theirs = [(one["tid"], one["oid"]) for one in reversed(await venue.fills())]
        nursery.cancel_scope.cancel()
    fills = followed(tmp_path, way, fate)
    assert [(one.trade_id, one.venue_order_id) for one in fills] == theirs


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("fate", FATES)
async def test_o01_o11_a_lost_exit_is_replaced_within_seconds_on_binance(
    kind: str, fate: str, paced_clock: Clock, tmp_path: Path
) -> None:
    accounts = ((f"{API_KEY}:{SECRET}", "100000"),)
    async with staged(kind, accounts=accounts, maker=True) as stage, trio.open_nursery() as nursery:
        way = LateWay(stage.base_url, sells, **FATES[fate])
        settings = trader(settings_of(stage, (), "aggregate"))
        settings = msgspec.structs.replace(settings, venue=VenueConfig(network="sandbox"))
        signer = BinanceSigner(f"{API_KEY} {SECRET}", "main")
        options = LiveOptions(config=settings, root=tmp_path, venue=KINDS[kind][1](), signer=signer)
        await play(options, way, nursery)
        account = stage.protocol.trading.accounts[0]
        assert all(not held.size for held in account.positions.values())
        theirs = [(one.number, one.order.number) for one in account.trades]
        nursery.cancel_scope.cancel()
    fills = followed(tmp_path, way, fate)
    assert [(one.trade_id, one.venue_order_id) for one in fills] == theirs
