"""Times of the account far ahead of the venue's clock: no money is lost, and nothing waits for them."""

from __future__ import annotations

import json
from typing import Any

import pytest
from trio.testing import MockClock as Clock

from adapters.hyperliquid.gateway.account_wire import WireFill, WireFunding, WireState, WireUpdate
from adapters.hyperliquid.gateway.reading import Reading
from adapters.transport.decoding import decode_body
from engine.errors import VenueProtocolError
from engine.events import ClockChecked, OrderCanceled

from .kit import BTC, START_MS, START_NS, Venue, fill_row, name, said, scene, update

AHEAD_NS = 5 * 10**9


def reading() -> Reading:
    found = Reading([BTC])
    found.ahead_ns = AHEAD_NS
    return found


def wire(row: Any, shape: Any) -> Any:
    return decode_body(json.dumps(row).encode(), shape)


@pytest.mark.parametrize("ahead_s", [30, 3000])
def test_t06_a_fill_and_an_end_count_at_the_last_possible_time(ahead_s: int) -> None:
    """T06: money must not be lost because its time is wrong."""
    ms = START_MS + ahead_s * 1000
    filled = reading().fill(wire(fill_row(1, 2, name(1), ms=ms), WireFill), START_NS)
    assert filled is not None
    assert filled.venue_ns == START_NS + AHEAD_NS
    ended = reading().update(wire(update(2, name(1), "canceled", ms=ms), WireUpdate), START_NS)
    assert isinstance(ended, OrderCanceled)
    assert ended.venue_ns == START_NS + AHEAD_NS


@pytest.mark.parametrize("ahead_s", [30, 3000])
def test_t06_a_payment_waits_for_its_time_and_a_state_is_refused(ahead_s: int) -> None:
    """T06: a payment is known by its time, and fills before the time of a state count as part of it."""
    ms = START_MS + ahead_s * 1000
    row = {"time": ms, "coin": "BTC", "usdc": "-1", "szi": "1", "fundingRate": "0.0001"}
    own = reading()
    assert own.funding(wire(row, WireFunding), START_NS) is None
    assert own.dropped["time"] == 1
    later = own.funding(wire(row, WireFunding), START_NS + ahead_s * 10**9)
    assert later is not None
    assert later.venue_ns == ms * 10**6
    state = {"assetPositions": [], "marginSummary": {"accountValue": "1"}, "withdrawable": "1", "time": ms}
    with pytest.raises(VenueProtocolError, match="impossible"):
        own.positions("", wire(state, WireState), START_NS)


async def test_one_wrong_answer_about_the_venues_clock_does_not_count(autojump_clock: Clock) -> None:
    """Orders would expire by it, and nothing could be opened until the next reading."""

    def prepare(venue: Venue) -> None:
        answer = venue.answer_info
        asked = []

        async def answer_once_wrong(body: dict[str, Any]) -> Any:
            if body["type"] == "exchangeStatus":
                asked.append(body)
                if len(asked) == 1:
                    return said({"time": venue.now_ms + 3_000_000, "specialStatuses": None})
            return await answer(body)

        venue.info = answer_once_wrong

    async with scene(prepare=prepare) as at:
        (checked,) = at.engine.of(ClockChecked)
        assert checked.offset_ns == 0
