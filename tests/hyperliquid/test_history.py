"""History over HTTP: odd rows cost themselves, all pages are read, silent minutes of a warm-up are flat."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import httpx
import pytest

from adapters.hyperliquid.history import read_candles, read_closed, read_rates, warmup
from adapters.hyperliquid.info import HyperliquidInfo
from adapters.transport.governor import Priority
from engine.errors import VenueProtocolError
from engine.events import CandleRead
from engine.venue import Unusable
from tests.hyperliquid.venue import BTC, ETH, START_MS

MINUTE_MS = 60_000
NS = 1_000_000
FIRST_MS = START_MS // MINUTE_MS * MINUTE_MS
Row = dict[str, Any]


def row(number: int, **other: Any) -> Row:
    """The candle of minute `number`."""
    start = FIRST_MS + number * MINUTE_MS
    price = f"{60_000 + number}.0"
    return {
        "t": start,
        "T": start + MINUTE_MS - 1,
        "s": "BTC",
        "i": "1m",
        "n": 3,
        "v": "0.5",
        "o": price,
        "c": price,
        "h": price,
        "l": price,
        **other,
    }


def serving(rows: list[Any], page: int = 5000) -> HyperliquidInfo:
    """A venue with these candles, `page` of them in an answer at most, and rates with the same times."""

    def answer(request: httpx.Request) -> httpx.Response:
        asked = json.loads(request.content)
        if asked["type"] == "fundingHistory":
            span, name = asked, "time"
        else:
            span, name = asked["req"], "t"
        # A row without a time is in every answer that reaches the row after it.
        if span["coin"] != "BTC":
            return httpx.Response(200, stream=httpx.ByteStream(b"[1, 2"))
        found = [
            one
            for one in rows
            if not isinstance(one, dict) or span["startTime"] <= one.get(name, 0) <= span["endTime"]
        ]
        return httpx.Response(200, stream=httpx.ByteStream(json.dumps(found[:page]).encode()))

    return HyperliquidInfo("http://127.0.0.1:1", transport=httpx.MockTransport(answer))


async def candles(
    rows: list[Any], first: int, last: int, odd: Callable[[Unusable], None] | None, page: int = 5000
) -> list[int]:
    """Read minutes `first` to `last`; return the numbers of the candles."""
    start, end = ((FIRST_MS + number * MINUTE_MS) * NS for number in (first, last))
    async with serving(rows, page) as info:
        read = await read_candles(
            info,
            BTC,
            MINUTE_MS * NS,
            start,
            end,
            purpose="history",
            recv_ns=end,
            priority=Priority.HISTORY,
            odd=odd,
        )
    return [minute(one) for one in read]


def minute(candle: CandleRead) -> int:
    return (candle.start_ns // NS - FIRST_MS) // MINUTE_MS


ODD: dict[str, Any] = {
    "high below low": row(3, h="1.0"),
    "price of a wrong type": row(3, o=1.5),
    "no price": {**row(3), "c": None},
    "not on the grid": row(3, c="60003.123456"),
    "another series": row(3, s="ETH"),
    "half a minute": row(3, T=FIRST_MS),
}


@pytest.mark.parametrize("odd", ODD.values(), ids=ODD.keys())
async def test_an_odd_candle_costs_itself_and_is_reported_with_its_time(odd: Row) -> None:
    unusable: list[Unusable] = []
    rows = [*(row(number) for number in (0, 1, 2)), odd, row(4)]
    for page in (1, 2, 5000):
        unusable.clear()
        assert await candles(rows, 0, 5, unusable.append, page) == [0, 1, 2, 4]
        assert [one.at_ns for one in unusable] == [(FIRST_MS + 3 * MINUTE_MS) * NS]
        assert unusable[0].reason


async def test_a_row_without_a_time_is_reported_and_costs_itself() -> None:
    unusable: list[Unusable] = []
    assert await candles([row(0), "text", row(1)], 0, 2, unusable.append) == [0, 1]
    assert [one.at_ns for one in unusable] == [None]


async def test_who_takes_no_odd_rows_gets_an_error() -> None:
    for odd in (row(1, h="1.0"), row(1, o=1.5)):
        with pytest.raises(VenueProtocolError):
            await candles([row(0), odd, row(2)], 0, 3, None)


async def test_an_answer_with_too_many_pages_is_an_error_and_not_a_shorter_history() -> None:
    rows = [row(number) for number in range(40)]
    with pytest.raises(VenueProtocolError, match="pages"):
        await candles(rows, 0, 40, None, page=1)
    assert await candles(rows, 0, 40, None, page=2) == list(range(40))


async def test_an_odd_rate_costs_itself() -> None:
    rates: list[Any] = [
        {"coin": "BTC", "fundingRate": "0.0001", "premium": "0", "time": FIRST_MS + number}
        for number in range(5)
    ]
    rates[1] = {**rates[1], "fundingRate": "many"}
    rates[3] = {**rates[3], "premium": None}
    for page in (1, 5000):
        unusable: list[Unusable] = []
        async with serving(rates, page) as info:
            found = await read_rates(
                info, BTC, FIRST_MS * NS, (FIRST_MS + 5) * NS, FIRST_MS * NS, unusable.append
            )
        assert [one.venue_ns // NS - FIRST_MS for one in found] == [0, 2, 4]
        assert sorted((one.at_ns or 0) // NS - FIRST_MS for one in unusable) == [1, 3]


def now(number: int) -> int:
    """Ten seconds after the start of a minute."""
    return (FIRST_MS + number * MINUTE_MS + 10_000) * NS


def bars(found: list[CandleRead]) -> list[tuple[int, int, str]]:
    """Minute, close in dollars above 60,000, purpose; a flat one has no volume."""
    assert all(one.purpose == "history" or (one.volume, one.trades) == (0, 0) for one in found)
    assert all(one.venue_ns - one.start_ns == MINUTE_MS * NS for one in found)
    return [(minute(one), one.close // 10 - 60_000, one.purpose) for one in found]


async def test_silent_minutes_of_a_warm_up_are_flat_at_the_close_before() -> None:
    unusable: list[Unusable] = []
    async with serving([row(2), row(90), row(93), row(94), row(97)]) as info:
        found = await warmup(info, [BTC], ["1m"], 8, now(99), unusable.append)
    assert bars(found) == [
        (91, 90, "flat"),
        (92, 90, "flat"),
        (93, 93, "history"),
        (94, 94, "history"),
        (95, 94, "flat"),
        (96, 94, "flat"),
        (97, 97, "history"),
        (98, 97, "flat"),
    ]
    assert unusable == []


async def test_a_warm_up_has_fewer_bars_if_the_venue_has_no_older_candle() -> None:
    async with serving([row(5), row(7)]) as info:
        found = await warmup(info, [BTC], ["1m"], 50, now(9), [].append)
    assert bars(found) == [(5, 5, "history"), (6, 5, "flat"), (7, 7, "history"), (8, 7, "flat")]
    async with serving([]) as info:
        assert await warmup(info, [BTC], ["1m"], 50, now(9), [].append) == []


async def test_nothing_of_a_warm_up_is_made_up_after_an_odd_candle() -> None:
    unusable: list[Unusable] = []
    async with serving([row(1), row(3, h="1.0"), row(5), "text"]) as info:
        found = await warmup(info, [BTC], ["1m"], 8, now(8), unusable.append)
    assert bars(found) == [(1, 1, "history"), (5, 5, "history")]
    async with serving([row(1), row(3, h="1.0"), row(5)]) as info:
        found = await warmup(info, [BTC], ["1m"], 8, now(8), unusable.append)
    assert bars(found) == [
        *((1, 1, "history"), (2, 1, "flat")),
        *((5, 5, "history"), (6, 5, "flat"), (7, 5, "flat")),
    ]


async def test_an_answer_that_cannot_be_used_costs_its_own_series() -> None:
    unusable: list[Unusable] = []
    async with serving([row(number) for number in range(20)]) as info:
        found = await warmup(info, [BTC, ETH], ["1m"], 3, now(20), unusable.append)
    assert bars(found) == [(number, number, "history") for number in (17, 18, 19)]
    assert [one.at_ns for one in unusable] == [None]


async def test_a_reading_of_a_session_covers_the_span_that_was_asked_for() -> None:
    async with serving([row(number) for number in range(30)]) as info:
        found = await read_closed(info, [BTC], ["1m"], now(10), now(20), [].append)
    minutes = [minute(one) for one in found if isinstance(one, CandleRead)]
    assert minutes[0] <= 10
    assert minutes == list(range(minutes[0], 20))
