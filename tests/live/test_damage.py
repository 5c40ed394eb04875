"""A session on a venue that damages messages: what is healthy is recorded, bars are right or marked."""

from __future__ import annotations

from pathlib import Path

import msgspec
import trio
from trio.abc import Clock

from adapters.sandbox.wire import Trades
from engine.config import DataConfig
from engine.events import FeedDamaged, FeedDown, FeedGap, InstrumentListed, Trade
from engine.runtime.live import Live
from tests.live.kit import assert_replays, bars_against_candles, config, of, serving, trade
from tests.profiles import pick

SECONDS = pick(75, deep=600)


async def test_f15_f16_a_session_records_what_a_damaged_venue_sends(
    paced_clock: Clock, tmp_path: Path
) -> None:
    """F15, F16: 1 % of the market's messages; SOL closes the connection, and XRP is never confirmed."""
    settings = msgspec.structs.replace(
        config("tests.live.traders:Quiet"), data=DataConfig(warmup_bars=0, check_minutes=0)
    )
    played: list[Trade] = []
    cuts: list[object] = []

    async def script(live: Live) -> None:
        await trio.sleep(SECONDS)
        venue.sandbox.faults.disarm()
        await trio.sleep(70)  # the last doubts are settled, and bars repaired

    names = ("BTC", "ETH", "SOL", "XRP")
    async with serving(instruments=names, faults="damage:0.01@market") as venue:
        hub = venue.sandbox._hub
        subscribe, add_trade = hub._subscribe, hub.add_trade

        def refuse(peer, subscription, now_ms) -> None:
            if subscription == Trades("SOL"):
                cuts.append(peer)
                peer.abort()
            elif subscription != Trades("XRP"):
                subscribe(peer, subscription, now_ms)

        def play(one: Trade) -> None:
            played.append(one)
            add_trade(one)

        hub._subscribe, hub.add_trade = refuse, play
        result = await trade(tmp_path, venue, settings, script, paper=True)
        whole, marked = await bars_against_candles(tmp_path, venue)
        damaged = venue.sandbox.faults.fired["damage"]
    found = [(one.instrument, one.trade_id) for one in of(Trade, tmp_path)]
    assert len(found) == len(set(found)), "a print was recorded twice"
    numbers = {one.name: one.instrument for one in of(InstrumentListed, tmp_path)}
    opened = [one for one in of(FeedGap, tmp_path) if not one.closed]
    ids = set(found)
    first_ns, last_ns = (
        edge(one.venue_ns for one in of(Trade, tmp_path) if one.instrument == numbers["BTC"])
        for edge in (min, max)
    )
    for one in played:
        if one.instrument in (numbers["SOL"], numbers["XRP"]) or not first_ns < one.venue_ns < last_ns:
            continue
        missed = (one.instrument, one.trade_id) not in ids
        assert not missed or any(
            gap.instrument == one.instrument and gap.from_ns <= one.venue_ns <= gap.to_ns for gap in opened
        ), one
    assert damaged > 3
    assert len(found) > 5 * SECONDS
    assert len(of(FeedDown, tmp_path)) <= len(cuts) + 3
    assert {"trades"} < {one.channel for one in of(FeedDamaged, tmp_path)}
    assert "SET ASIDE: the subscription to trades of SOL makes the venue close" in result.health["feed"]
    assert whole >= 2 * (SECONDS // 60)
    assert marked <= whole
    assert_replays(tmp_path)
