"""What the packages of venues share: rows of history and rows of damaged messages."""

from __future__ import annotations

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from adapters.transport.history import take_rows
from adapters.transport.rest import readable_rows, times_of
from adapters.transport.salvage import only, rows_of
from adapters.transport.values import candle_of
from engine.errors import VenueProtocolError
from engine.events import CandleRead, InstrumentListed
from engine.venue import Unusable


def decoded(row: int) -> str | None:
    if row == 13:
        raise VenueProtocolError("thirteen")
    return None if row == 12 else f"row {row}"


def test_rows_of_a_span_are_taken_and_others_reported_or_raised() -> None:
    found: dict[int, str] = {}
    odd: list[Unusable] = []
    take_rows(found, [9, 10, 11, 12, 13, 14, 15], 10, 15, lambda row: row, decoded, odd.append)
    assert found == {10: "row 10", 11: "row 11", 14: "row 14"}
    assert odd == [Unusable(13, "thirteen")]
    with pytest.raises(VenueProtocolError):
        take_rows(found, [13], 10, 15, lambda row: row, decoded, None)


def test_an_invalid_row_leaves_its_place_and_says_whose_it_is() -> None:
    rows = msgspec.json.decode(b'[1, "x", 3]', type=list[msgspec.Raw])
    found, damages = rows_of(rows, int, "trade", lambda row: bytes(row).decode().strip('"').upper())
    assert found == [1, None, 3]
    ((channel, name, reason, placed),) = damages
    assert (channel, name, placed) == ("trade", "X", True)
    assert "Expected `int`" in reason
    assert (only({"BTC"}), only({"BTC", "ETH"}), only(set())) == ("BTC", "", "")


MINUTE_NS = 60_000_000_000
BTC = InstrumentListed(0, 1, "x", "BTC", 1, 2)


@given(
    st.integers(0, 5).map(lambda one: one * MINUTE_NS // 2),
    st.tuples(*[st.integers(1, 4)] * 4),
    st.integers(-1, 3),
    st.integers(-1, 1),
)
def test_a_candle_is_one_of_its_interval_with_prices_within_high_and_low(
    start_ns: int, prices: tuple[int, ...], volume: int, trades: int
) -> None:
    opened, high, low, close = prices
    good = start_ns % MINUTE_NS == 0 and high >= max(opened, close, low) and low <= min(opened, close)
    try:
        candle = candle_of(BTC, MINUTE_NS, start_ns, prices, volume, trades, 7, "check")
    except VenueProtocolError:
        assert not good or min(volume, trades) < 0
        return
    assert good
    assert min(volume, trades) >= 0
    end_ns = start_ns + MINUTE_NS
    assert candle == CandleRead(7, end_ns, 1, MINUTE_NS, start_ns, *prices, volume, trades, "check")


def test_rows_of_an_answer_are_bounded_and_the_unreadable_reported_with_their_time() -> None:
    class Time(msgspec.Struct):
        t: int

    def time_of(row: msgspec.Raw) -> int | None:
        found = times_of(row, Time)
        return None if found is None else found.t

    rows = msgspec.json.decode(b'[1, {"t": 5}, "x"]', type=list[msgspec.Raw])
    odd: list[Unusable] = []
    assert readable_rows(rows, int, 3, odd.append, time_of) == [1]
    assert [one.at_ns for one in odd] == [5, None]
    assert readable_rows(None, int, 3, None, time_of) == []
    with pytest.raises(VenueProtocolError, match="3 rows"):
        readable_rows(rows, int, 2, odd.append, time_of)
