"""Changes whose answers are lost: not taken for not carried out while they may still arrive."""

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
from engine.commands.planning import LiveOptions
from engine.config import Config, StrategyConfig, VenueConfig
from engine.events import MarketHalted, ModifyOrder, OrderChanged, OrderUnknown, SubmitOrder
from tests.binance.gateway.kit import API_KEY, SECRET
from tests.binance.stage import KINDS, events, replays, settings_of, staged
from tests.exchange.late import LateWay
from tests.live.kit import KEY, config, serving
from tests.orders.test_lost_exits import play, trader

FATES: dict[str, dict[str, Any]] = {
    "arrives after the order was read": {"late_s": 3.0},
    "is lost": {"late_s": None},
}


def changes(request: bytes) -> bool:
    """Return whether a request changes an order."""
    return bool(
        b'"batchModify"' in request
        or re.match(rb"PUT /fapi/v1/order\?|POST /api/v3/order/cancelReplace", request)
    )


def followed(root: Path, way: LateWay) -> list[int]:
    """Return what was open of the order in hundredths of the bid, once for each time it was said to work."""
    found = events(root)
    assert len(way.held) == 1
    assert any(isinstance(one, OrderUnknown) for one in found)
    assert not any(isinstance(one, MarketHalted) for one in found)
    (bid,) = [one for one in found if isinstance(one, SubmitOrder)]
    (change,) = [one for one in found if isinstance(one, ModifyOrder)]
    states = [one for one in found if isinstance(one, OrderChanged)]
    at = next(number for number, one in enumerate(states) if one.state == "PendingReplace")
    working = [one for one in states[at:] if one.state in ("New", "PartiallyFilled")]
    first = states.index(working[0])
    assert {one.state for one in states[at:first]} == {"PendingReplace", "Unknown"}
    assert [one.state for one in states if one not in working][-2:] == ["PendingCancel", "Canceled"]
    if way.answers:
        assert working[0].at_ns > change.at_ns + 3 * SECOND_NS
    else:
        assert working[0].at_ns > change.proof_ns - SECOND_NS, "the clocks are the same"
    replays(root)
    return [one.remaining * 100 // bid.terms.size for one in working]


def changer(settings: Config) -> Config:
    strategy = StrategyConfig(use="tests.orders.leaving:Changing")
    settings = trader(settings)
    venue = msgspec.structs.replace(settings.venue, answer_ms=2000, expires_ms=5000)
    return msgspec.structs.replace(settings, strategies=(strategy,), venue=venue)


@pytest.mark.parametrize("fate", FATES)
async def test_a_change_that_arrives_after_a_reading_is_found_on_hyperliquid(
    fate: str, paced_clock: Clock, tmp_path: Path
) -> None:
    async with serving(instruments=("BTC",), maker=True) as venue, trio.open_nursery() as nursery:
        way = LateWay(venue.base_url, changes, **FATES[fate])
        options = LiveOptions(
            config=changer(config()), root=tmp_path, venue=HyperliquidVenue(), signer=Signer(KEY)
        )
        await play(options, way, nursery)
        assert await venue.open_orders() == []
        nursery.cancel_scope.cancel()
    assert followed(tmp_path, way) == [300 if way.answers else 100]


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("fate", FATES)
async def test_a_change_that_arrives_after_a_reading_is_found_on_binance(
    kind: str, fate: str, paced_clock: Clock, tmp_path: Path
) -> None:
    accounts = ((f"{API_KEY}:{SECRET}", "100000"),)
    async with staged(kind, accounts=accounts, maker=True) as stage, trio.open_nursery() as nursery:
        way = LateWay(stage.base_url, changes, **FATES[fate])
        settings = changer(settings_of(stage, (), "aggregate"))
        settings = msgspec.structs.replace(
            settings, venue=VenueConfig(network="sandbox", answer_ms=2000, expires_ms=5000)
        )
        signer = BinanceSigner(f"{API_KEY} {SECRET}", "main")
        options = LiveOptions(config=settings, root=tmp_path, venue=KINDS[kind][1](), signer=signer)
        await play(options, way, nursery)
        account = stage.protocol.trading.accounts[0]
        assert not account.orders, account.orders
        nursery.cancel_scope.cancel()
    assert followed(tmp_path, way) == [300 if way.answers else 100]
