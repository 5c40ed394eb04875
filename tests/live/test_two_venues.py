"""Real orders at two venues in one session: each account is its own, the gate is one."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import msgspec
import pytest
import trio

from engine.events import (
    AccountAdjusted,
    AccountMarked,
    AccountRead,
    EquityMarked,
    FillBooked,
    GatewayDown,
    GatewayUp,
    InstrumentListed,
    MarketHalted,
    OrderFilled,
    OrderRefused,
    OrderUnknown,
    PositionChanged,
    PositionDiffers,
    SetLeverage,
    SubmitOrder,
    engine_time,
)
from engine.runtime.live import Live
from tests.docs_pages import ROOT, blocks
from tests.live.kit import assert_replays, events, of
from tests.live.two_venues import BINANCE, HYPERLIQUID, config, two_venues
from tests.profiles import pick

SPREAD = "strategies/spread.py"
BOTH = "tests.live.traders:Both"


def slept(seconds: float) -> Callable[[Live], Awaitable[None]]:
    async def script(_live: Live) -> None:
        await trio.sleep(seconds)

    return script


async def test_orders_go_to_both_venues_and_the_equity_is_their_sum(paced_clock: Any, tmp_path: Path) -> None:
    async with two_venues(speed=20.0) as two:
        result = await two.live(tmp_path, config(BOTH), slept(3))
        assert result.live_orders == 0
        await two.agrees(tmp_path)
    listed = {one.instrument: one.venue for one in of(InstrumentListed, tmp_path)}
    assert {listed[one.instrument] for one in of(OrderFilled, tmp_path)} == {HYPERLIQUID, BINANCE}
    assert {one.venue for one in of(GatewayUp, tmp_path)} == {HYPERLIQUID, BINANCE}
    assert {one.venue for one in of(AccountRead, tmp_path)} == {HYPERLIQUID, BINANCE}
    assert not of(PositionDiffers, tmp_path)
    assert not of(AccountAdjusted, tmp_path)
    first = of(EquityMarked, tmp_path)[0]
    assert int(first.equity) == 150_000 * 10**first.scale
    marks = {one.venue: one for one in of(AccountMarked, tmp_path)}
    last = of(EquityMarked, tmp_path)[-1]
    assert int(last.equity) == sum(int(one.equity) for one in marks.values())
    assert {one.venue: one.currency for one in marks.values()} == {HYPERLIQUID: "USDC", BINANCE: "USDT"}


async def test_while_one_venue_is_down_the_other_trades_and_closes(paced_clock: Any, tmp_path: Path) -> None:
    async def script(_live: Live) -> None:
        await trio.sleep(1.5)
        two.exchanges[BINANCE].restart(1.5)
        await trio.sleep(2.5)

    async with two_venues(speed=20.0) as two:
        settings = config(BOTH, on_stop="flatten", answer_ms=500, expires_ms=1000)
        result = await two.live(tmp_path, settings, script)
        await two.agrees(tmp_path)
    listed = {one.instrument: one.venue for one in of(InstrumentListed, tmp_path)}
    first, *_ = of(GatewayDown, tmp_path)
    assert {one.venue for one in of(GatewayDown, tmp_path)} == {BINANCE}
    *_, back = [one for one in of(GatewayUp, tmp_path) if one.venue == BINANCE]
    within = [one for one in events(tmp_path) if first.recv_ns < engine_time(one) < back.recv_ns]
    filled = [one for one in within if isinstance(one, OrderFilled)]
    assert {listed[one.instrument] for one in filled} == {HYPERLIQUID}
    booked = {one.role for one in within if isinstance(one, FillBooked)}
    assert booked == {"open", "close"}, "exits and openings of the other venue go on"
    refused = {listed[one.instrument] for one in within if isinstance(one, OrderRefused)}
    assert refused <= {BINANCE}
    assert (result.live_orders, result.owed, result.positions) == (0, [], [])


async def test_a_venue_that_is_not_armed_is_watched_only(paced_clock: Any, tmp_path: Path) -> None:
    async with two_venues(speed=20.0) as two:
        await two.live(tmp_path, config(BOTH), slept(1.5), armed=[HYPERLIQUID])
        assert await two.fills(BINANCE) == []
        await two.agrees(tmp_path)
    listed = {one.instrument: one.venue for one in of(InstrumentListed, tmp_path)}
    assert {one.venue for one in of(GatewayUp, tmp_path)} == {HYPERLIQUID}
    assert {listed[one.instrument] for one in of(SubmitOrder, tmp_path)} == {HYPERLIQUID}
    refused = {(listed[one.instrument], one.limit) for one in of(OrderRefused, tmp_path)}
    assert (BINANCE, "watched") in refused
    assert not {limit for _, limit in refused} - {"watched", "unreconciled", "stale"}


async def test_margin_is_that_of_the_venue_of_the_order(paced_clock: Any, tmp_path: Path) -> None:
    """At a leverage of 1, 0.01 BTC needs about 100: more than 50 at one venue, whatever is at the other."""
    settings = config(BOTH)
    ones = {"hyperliquid:BTC": 1, "binance-usdm:BTCUSDT": 1}
    settings = msgspec.structs.replace(
        settings, account=msgspec.structs.replace(settings.account, leverage=ones)
    )
    async with two_venues(cash={BINANCE: "50"}, speed=20.0) as two:
        await two.live(tmp_path, settings, slept(1.5))
    listed = {one.instrument: one.venue for one in of(InstrumentListed, tmp_path)}
    short = [one for one in of(OrderRefused, tmp_path) if one.limit == "margin"]
    assert {listed[one.instrument] for one in short} == {BINANCE}
    assert "the account has 50" in short[0].reason
    assert {listed[one.instrument] for one in of(OrderFilled, tmp_path)} == {HYPERLIQUID}
    assert {listed[one.instrument] for one in of(SetLeverage, tmp_path)} == {HYPERLIQUID, BINANCE}
    assert_replays(tmp_path)


async def test_the_spread_of_the_docs_holds_both_legs_for_real(
    paced_clock: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    source = next(one.text for one in blocks(ROOT / "docs" / "venues.md") if one.file == SPREAD)
    (tmp_path / "spread.py").write_text(source, encoding="utf-8")
    settings = config("spread:Spread", on_stop="flatten")
    root = tmp_path / "j"
    async with two_venues(speed=20.0) as two:
        result = await two.live(root, settings, slept(3))
        await two.agrees(root)
    listed = {one.instrument: one.venue for one in of(InstrumentListed, root)}
    held: dict[str, int] = {}
    legs = set()
    for one in of(PositionChanged, root):
        held[listed[one.instrument]] = one.size
        legs.add((held.get(HYPERLIQUID, 0), held.get(BINANCE, 0)))
    assert any(one * other < 0 and one == -other for one, other in legs), legs
    assert result.positions == []


FAULTS = "lost-reply:0.1@exchange,5xx:0.1@exchange,swallow:0.05@exchange,drop:0.1@user,cut:0.005@user"
ARMED = (("lost-reply", "exchange"), ("swallow", "exchange"), ("drop", "user"), ("cut", "user"))
CALM_S = 2
KILLS = pick(1, deep=6)


class Killed(Exception):
    """Breaks a session off where it is."""


async def test_faults_at_both_venues_double_nothing_and_lose_nothing(
    paced_clock: Any, tmp_path: Path
) -> None:
    """Lost answers, cuts, each venue down for a while in turn, and kills, then a calm end."""
    settings = config("tests.live.traders:Busy", on_stop="flatten", answer_ms=500, expires_ms=2000)
    async with two_venues({HYPERLIQUID: FAULTS, BINANCE: FAULTS}, speed=20.0) as two:

        async def hit() -> None:
            for _ in range(2):
                await trio.sleep(0.8)
                for one in two.exchanges.values():
                    for kind, scope in ARMED:
                        one.faults.arm(kind, scope=scope)

        async def broken(_live: Live) -> None:
            await hit()
            raise Killed

        async def down(_live: Live) -> None:
            await hit()
            for venue in (BINANCE, HYPERLIQUID):
                two.exchanges[venue].restart(1.0)
                await trio.sleep(2)
            for one in two.exchanges.values():
                one.faults.disarm()
                one.drop_connections()
            await trio.sleep(CALM_S)

        for _ in range(KILLS):
            with pytest.RaisesGroup(Killed, flatten_subgroups=True, allow_unwrapped=True):
                await two.live(tmp_path, settings, broken)
            for one in two.exchanges.values():  # what is armed still would hit the start of the next session
                one.faults.disarm()
        result = await two.live(tmp_path, settings, down)
        for venue, one in two.exchanges.items():
            assert {kind for kind, _ in ARMED} <= {*one.faults.fired}, (venue, one.faults.fired)
            assert await two.positions(venue) == {}
        await two.agrees(tmp_path)
    assert (result.live_orders, result.owed, result.positions) == (0, [], [])
    assert of(OrderUnknown, tmp_path)
    listed = {one.instrument: one.venue for one in of(InstrumentListed, tmp_path)}
    filled = [listed[one.instrument] for one in of(OrderFilled, tmp_path)]
    assert min(filled.count(HYPERLIQUID), filled.count(BINANCE)) > 2
    assert {one.venue for one in of(GatewayDown, tmp_path)} == {HYPERLIQUID, BINANCE}
    assert not of(MarketHalted, tmp_path)
