"""Which events a person is told at once, and in which words."""

from __future__ import annotations

import pytest
from msgspec.structs import replace

from engine.events import (
    AccountAdjusted,
    BookAdjusted,
    CandleRead,
    EngineHalted,
    Event,
    ExitDelayed,
    FeedLagging,
    Liquidated,
    MarginCalled,
    MarketHalted,
    OrderRefused,
    PositionDiffers,
    ProtectionChanged,
    Trade,
)
from engine.instruments import Instruments
from engine.runtime.notices import LOUD, Notices, refusals_text, short_warm_up
from tests.actors.harness import LISTED, T


@pytest.mark.parametrize(
    ("event", "line"),
    [
        (EngineHalted(T, "operator: halt"), "engine halted operator: halt"),
        (MarketHalted(T, 1, "liquidation at the venue"), "AAA halted liquidation at the venue"),
        (
            ExitDelayed(T, "Long", 1, 1500, 3, T, "not filled"),
            "AAA Long delayed an exit of 1.5 is not done after 3 tries: not filled",
        ),
        (BookAdjusted(T, "Long", 1, 1000, 970, 970, 970, "fill from outside"),
         "AAA Long adjusted 1 is now 0.97: fill from outside"),
        (PositionDiffers(T, 1, 1000, 400), "AAA adjusted own fills make 1, the venue says 0.4"),
        (PositionDiffers(T, 1, 0, 400, True), "AAA adjusted own fills make 0, the venue says 0.4, adopted"),
        (AccountAdjusted(T, 2, 25_000, "deposit"), "account adjusted 250: deposit"),
        (Liquidated(T, 7, 2, 182_000, 1_900), "account liquidated positions worth 1820"),
        (FeedLagging(T, "hyperliquid", 6_100),
         "hyperliquid lagging the newest that surely arrived is 6,100 ms old; bars wait, nothing is opened"),
        (MarginCalled(T, 2, 9_000, 10_000), "account margin equity 90 is below the initial margin 100"),
    ],
)  # fmt: skip
def test_what_happens_to_positions_is_told_at_once(event: Event, line: str) -> None:
    health = Notices(Instruments(LISTED.values())).of(event)
    assert health is not None
    assert f"{health.name} {health.state} {health.detail}" == line
    assert health.state in LOUD


@pytest.mark.parametrize("event", [EngineHalted(T, "operator: stop"), Trade(T, T, 1, 100, 1, 1)])
def test_an_orderly_stop_and_the_market_are_not(event: Event) -> None:
    assert Notices(Instruments(LISTED.values())).of(event) is None


def test_protection_is_told_when_the_venue_no_longer_holds_it() -> None:
    notices = Notices(Instruments(LISTED.values()))

    def told(at_venue: int, in_engine: int, size: int = 1000) -> str:
        event = ProtectionChanged(T, "Long", 1, size, at_venue, in_engine, 0, "refused by the venue")
        health = notices.of(event)
        return "" if health is None else health.detail

    assert told(0, 1000) == "", "a new stop, not accepted yet"
    assert told(1000, 0) == ""
    assert told(0, 1000).startswith("stops of 1 are held by the engine, not the venue (position 1)")
    assert told(400, 600) == ""
    assert told(0, 1000) != ""
    assert told(0, 0, 0) == ""
    assert told(0, 500) == ""


def test_refusals_are_counted_by_limit() -> None:
    notices = Notices(Instruments(LISTED.values()))
    for limit in ("margin", "stale", "margin"):
        assert notices.of(OrderRefused(T, 1, "Long", 1, 1, 1, limit, "words")) is None
    assert refusals_text(notices.refused) == "3: 2 margin, 1 stale"


def test_a_short_warm_up_names_each_series_and_its_bars() -> None:
    minute = 60 * 10**9

    def read(number: int, purpose: str = "history") -> CandleRead:
        start = number * minute
        return CandleRead(T, start + minute, 1, minute, start, 1, 1, 1, 1, 0, 0, purpose)

    two = [read(0), read(1, "flat")]
    assert short_warm_up(two, [LISTED[1]], ["1m"], 2) == ""
    assert short_warm_up(two, [LISTED[1]], ["1m", "5m"], 3) == "of 3 bars, AAA 1m has 2, AAA 5m has 0"
    assert "short" in LOUD


def test_sizes_are_at_the_scale_that_was_in_force_at_the_event() -> None:
    listed = Instruments([replace(LISTED[1], size_scale=3)])
    notices = Notices(listed)
    finer = replace(LISTED[1], size_scale=5)
    # The session lists it again before the first of its events is on disk.
    listed[1] = finer
    before = notices.of(BookAdjusted(T, "Long", 1, 1000, 970, 970, 970, "fill from outside"))
    assert before is not None
    assert before.detail == "1 is now 0.97: fill from outside"
    notices.of(ProtectionChanged(T, "Long", 1, 1000, 500, 400, 0, ""))
    notices.of(finer)
    after = notices.of(BookAdjusted(T, "Long", 1, 97_000, 50_000, 50_000, 50_000, "fill from outside"))
    assert after is not None
    assert after.detail == "0.97 is now 0.5: fill from outside"
    less = notices.of(ProtectionChanged(T, "Long", 1, 100_000, 30_000, 60_000, 0, "refused"))
    assert less is not None
    assert less.detail == "stops of 0.6 are held by the engine, not the venue (position 1): refused"
