"""Values are exact at the instrument's scale and at a valid time, or they are left out or refused."""

from __future__ import annotations

import json
from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from adapters.hyperliquid.decode import Decoder
from adapters.hyperliquid.salvage import decode_or_salvage
from adapters.transport.health import FeedHealth
from adapters.transport.protocol import Salvaged
from adapters.transport.trades import TradeMemory, by_time
from adapters.transport.values import EARLIEST_NS
from engine.errors import VenueProtocolError
from engine.events import InstrumentListed, Quote, Trade
from engine.values import BUY, SELL

from .frames import recorded
from .venue import BTC, ETH, START_MS, START_NS, bbo_text, row, trades_text

NOW_NS = START_NS + 10**9

# V01 of the list of faults, and similar texts.
NOT_NUMBERS = (
    "NaN", "nan", "Infinity", "-Infinity", "sNaN", "1e1000000", "1e31", "1_000", " 1", "1 ", "+1", "0x1",
    "", ".", "1.", ".5", "1,5", "١٢", "\uff11", "1\n", "--1", "1e", "1" * 90, "True", "null",
)  # fmt: skip


def decoded(text: str, decoder: Decoder | None = None) -> list[object]:
    return list((decoder or Decoder((BTC, ETH))).decode_frame(text, NOW_NS))


def test_recorded_trades_are_read_completely_and_once() -> None:
    """F01: 64 trades with distinct ids, 30 of them the replay; decoding all again adds none."""
    listed = InstrumentListed(0, 1, "hyperliquid", "BTC", 1, 5, price_figures=5)
    decoder = Decoder((listed,))
    health = FeedHealth()
    memory = TradeMemory(health, since_ns=0)
    batches = []
    for recv_ns, text in recorded() * 2:
        trades = [event for event in decoder.decode_frame(text, recv_ns) if isinstance(event, Trade)]
        if trades:
            batches.append((len(trades), memory.take(trades)))
    assert batches[0][0] == 30
    assert len(batches) == 18
    fresh = [trade for _, new in batches for trade in new]
    assert len(fresh) == 64
    assert len({trade.trade_id for trade in fresh}) == 64
    assert health.duplicates == 64
    assert not decoder.dropped
    first = fresh[0]
    assert (first.price, first.size, first.aggressor) == (1_050_560, 219, BUY)
    assert (first.venue_ns, first.trade_id) == (1_737_918_794_873_000_000, 121451470284048)
    assert [trade.venue_ns for trade in fresh] == sorted(trade.venue_ns for trade in fresh)
    assert all(trade.venue_ns < trade.recv_ns for trade in fresh)


@given(st.integers(1, 10**9), st.integers(1, 10**12), st.booleans())
def test_prices_and_sizes_are_exact(price: int, size: int, trailing: bool) -> None:
    px, sz = (format(Decimal(value).scaleb(-scale), "f") for value, scale in ((price, 1), (size, 5)))
    if trailing:
        sz += "000"
    (trade,) = decoded(trades_text([row(1, px=px, sz=sz)]))
    assert isinstance(trade, Trade)
    assert (trade.price, trade.size) == (price, size)


@pytest.mark.parametrize("text", [*NOT_NUMBERS, "-1", "-0.5", "0", "0.0", "0e5", "1.23", "9" * 19])
def test_v01_v05_v09_a_message_with_an_invalid_price_is_refused(text: str) -> None:
    """V01, V05, V09: not a number, negative, zero, finer than the scale, beyond 64 bits."""
    for message in (
        trades_text([row(2, px=text)]),
        bbo_text("BTC", 1, (text, "1"), None),
        bbo_text("BTC", 1, None, (text, "1")),
    ):
        with pytest.raises(VenueProtocolError, match="BTC"):
            decoded(message)


@pytest.mark.parametrize("text", [*NOT_NUMBERS, "-1", "0", "1.23"])
def test_f15_an_invalid_print_of_a_message_costs_itself_only(text: str) -> None:
    """F15: the others count, and the place of the invalid one is known."""
    decoder = Decoder((BTC, ETH))
    message = trades_text([row(1), row(2, px=text), row(3)])
    assert [event.trade_id for event in decoded(message, decoder)] == [10**12 + 1, 10**12 + 3]
    (damage,) = decoder.damages
    assert (damage.channel, damage.name, damage.placed) == ("trades", "BTC", True)
    rows = [row(1), row(2), {**row(3), "side": "C"}, {**row(4), "sz": 1}, "row", row(5)]
    salvaged = decode_or_salvage(json.dumps({"channel": "trades", "data": rows}))
    assert isinstance(salvaged, Salvaged)
    pieces = decoder.pieces(salvaged.frame.data, NOW_NS)
    assert [[one.trade_id - 10**12 for one in piece] for piece in pieces] == [[1, 2], [], [], [5]]
    assert [(one.name, one.placed) for one in salvaged.damages] == [("BTC", True), ("BTC", True), ("", True)]


@pytest.mark.parametrize(
    ("message", "channel", "name"),
    [
        (trades_text([row(1), row(2)])[:-7], "trades", "BTC"),
        (trades_text([row(1), row(2, coin="ETH")])[:-7], "trades", ""),
        (trades_text([row(1, sz="0")])[1:], "trades", "BTC"),
        (b"\xff" + trades_text([row(1)]).encode(), "trades", "BTC"),
        (bbo_text("BTC", 1, ("1", "1"), None).replace("time", "tome"), "bbo", "BTC"),
        (bbo_text("BTC", 1, ("1", "1"), None)[:20], "bbo", ""),
        (trades_text([row(1)]).replace("channel", "chamel"), "", ""),
        ('{"channel":"candle","data":{"s":"ETH","t":1}}', "candle", "ETH"),
        ('{"channel":"activeSpotAssetCtx","data":{"coin":"@1"}}', "activeAssetCtx", "@1"),
        ("[" * 100_000, "", ""),
        ("[]", "", ""),
    ],
)
def test_f15_a_broken_message_is_attributed_if_it_names_one_channel_and_instrument(
    message: str | bytes, channel: str, name: str
) -> None:
    """F15: nothing of it is used."""
    found = decode_or_salvage(message)
    assert isinstance(found, Salvaged)
    assert found.frame is None
    assert [(one.channel, one.name, one.placed) for one in found.damages] == [(channel, name, False)]


def test_f15_mids_and_candles_are_read_without_the_invalid_ones() -> None:
    """F15."""
    found = decode_or_salvage('{"channel":"allMids","data":{"mids":{"BTC":"1.5","ETH":3}}}')
    assert isinstance(found, Salvaged)
    assert (found.frame.data.mids, [one.name for one in found.damages]) == ({"BTC": "1.5"}, ["ETH"])
    candle = {"t": 0, "T": 59_999, "s": "BTC", "i": "1m", "v": "1", "n": 1} | dict.fromkeys("ohlc", "2")
    text = json.dumps({"channel": "candle", "data": [candle, {**candle, "o": 1}, candle]})
    found = decode_or_salvage(text)
    assert isinstance(found, Salvaged)
    assert (len(found.frame.data), [one.name for one in found.damages]) == (2, ["BTC"])
    decoder = Decoder((BTC, ETH))
    mids = decoder.mids({"BTC": "x", "ETH": "2"}, NOW_NS)
    assert mids is not None
    assert (mids.instruments, [one.name for one in decoder.damages]) == ((2,), ["BTC"])


@pytest.mark.parametrize("text", [*NOT_NUMBERS, "-1", "0", "0.000001", "9" * 15])
def test_v01_v05_v09_a_message_with_an_invalid_size_is_refused(text: str) -> None:
    """V01, V05, V09."""
    for message in (trades_text([row(1, sz=text)]), bbo_text("BTC", 1, ("64000.0", text), None)):
        with pytest.raises(VenueProtocolError):
            decoded(message)


@pytest.mark.parametrize(
    "ms",
    [
        0,
        -1,
        -START_MS,
        START_MS // 1000,
        START_MS * 1000,
        START_MS * 10**6,
        2**63 - 1,
        -(2**63),
        START_MS + 10**9,
    ],
)
def test_t06_a_trade_with_an_invalid_time_is_left_out_and_counted(ms: int) -> None:
    """T06: negative, 1970, seconds, microseconds, nanoseconds, far in the future."""
    decoder = Decoder((BTC,))
    bad = {**row(2), "time": ms}
    trades = decoded(trades_text([row(1), bad, row(3)]), decoder)
    assert [trade.trade_id - 10**12 for trade in trades] == [1, 3]  # type: ignore[attr-defined]
    assert decoder.dropped == {"time": 1}
    assert decoded(bbo_text("BTC", ms - START_MS, ("1.0", "1"), None), decoder) == []
    assert decoder.dropped == {"time": 2}


@given(st.integers(-(2**63), 2**63 - 1))
def test_t06_times_do_not_overflow_and_times_before_the_bound_are_left_out(ms: int) -> None:
    """T06: for any 64-bit value."""
    for trade in decoded(trades_text([{**row(1), "time": ms}])):
        assert isinstance(trade, Trade)
        assert trade.venue_ns == ms * 10**6 >= EARLIEST_NS


def test_t06_times_a_few_seconds_ahead_are_accepted() -> None:
    """T06, T03: the engine's clock may be the wrong one."""
    assert len(decoded(trades_text([row(1, ms=7_000)]))) == 1


def test_f02_trades_of_one_millisecond_with_equal_price_and_size_are_all_emitted() -> None:
    """F02: different ids only."""
    trades = decoded(trades_text([row(n, ms=5, px="64000.0", sz="0.01") for n in range(4)]))
    assert len(trades) == 4


def test_v08_other_instruments_are_left_out_and_counted() -> None:
    """V08: in another spelling as well, or in a frame with subscribed ones."""
    decoder = Decoder((BTC,))
    message = trades_text([row(1, coin="btc"), row(2), row(3, coin="ETH")])
    assert len(decoded(message, decoder)) == 1
    assert decoded(bbo_text("ETH", 1, None, None), decoder) == []
    assert decoder.dropped == {"foreign": 3}


def test_sides_of_the_quote_may_be_empty_but_not_crossed() -> None:
    decoder = Decoder((BTC,))
    (quote,) = decoded(bbo_text("BTC", 1, None, None), decoder)
    assert isinstance(quote, Quote)
    assert (quote.bid, quote.bid_size, quote.ask, quote.ask_size) == (0, 0, 0, 0)
    assert decoded(bbo_text("BTC", 2, ("2.0", "1"), ("1.9", "1")), decoder) == []
    assert decoded(bbo_text("BTC", 2, ("2.0", "1"), ("2.0", "1")), decoder) == []
    assert decoder.dropped == {"crossed": 2}


def test_trades_have_the_takers_side() -> None:
    trades = decoded(trades_text([row(1), row(2)]))
    assert [trade.aggressor for trade in trades] == [BUY, SELL]  # type: ignore[attr-defined]


@given(st.lists(st.integers(0, 5)))
def test_trades_are_ordered_by_time_and_equal_times_keep_the_venues_order(times: list[int]) -> None:
    trades = [Trade(1, at, 1, 1, 1, 1, number) for number, at in enumerate(times)]
    expected = sorted(trades, key=lambda trade: (trade.venue_ns, trade.trade_id))
    assert by_time(trades) == expected
