"""Lighter's messages become exact events, or typed errors."""

from __future__ import annotations

import json
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from adapters.lighter.info_wire import FundingsAnswer, ListingAnswer, TradesAnswer, WireFunding, WireMarket
from adapters.lighter.listing import list_instruments
from adapters.lighter.raw import LighterRawDecoder
from adapters.lighter.salvage import Reader, Subscribed
from adapters.lighter.wire import OtherFrame, WireCandle, WireTrade, decode_message
from adapters.transport.decoding import decode_body
from adapters.transport.protocol import Salvaged
from adapters.transport.sequence import Diff, Snapshot
from engine.errors import UsageError, VenueProtocolError
from engine.events import (
    BookRead,
    CandleRead,
    ContextRead,
    Event,
    FundingRead,
    LiquidationRead,
    Quote,
    Trade,
)
from engine.values import BUY, SELL
from tests.lighter.examples import ETH, LATER_NS, NAMES, SPOT, decoder, example, own_lines
from tests.profiles import pick

MINUTE_NS = 60_000_000_000


def events_of(text: str) -> list[Event]:
    return list(LighterRawDecoder([ETH, SPOT], NAMES).decode(text, LATER_NS))


def test_a_trade_is_exact_and_the_maker_side_is_turned() -> None:
    assert events_of(example("ws_trade_update")) == [
        Trade(LATER_NS, 1773854156654_000000, 1, 218183, 1336, SELL, 16164557907)
    ]


def test_a_quote_has_the_time_of_its_change() -> None:
    assert events_of(example("ws_ticker_update")) == [
        Quote(LATER_NS, 1774883844921166_000, 1, 206430, 10392, 206448, 4950)
    ]


def test_statistics_are_a_context_and_percent_becomes_a_fraction() -> None:
    (context,) = events_of(example("ws_market_stats_update_single"))
    fine = 10**10
    assert context == ContextRead(
        LATER_NS,
        1,
        10,
        206447 * fine // 100,
        206448 * fine // 100,
        206439 * fine // 100,
        100,  # 0.000001 percent
        None,
        272508411 * fine // 10**4,
    )


def test_candles_are_exact_and_volumes_lose_their_binary_noise() -> None:
    start_ns = 1778821440000_000000
    (candle,) = events_of(example("ws_candle_subscribed"))
    prices = (226420, 226434, 226336, 226397)
    assert candle == CandleRead(
        LATER_NS, start_ns + MINUTE_NS, 1, MINUTE_NS, start_ns, *prices, 132237, 0, "stream"
    )
    (later,) = events_of(example("ws_candle_update"))
    assert isinstance(later, CandleRead)
    assert (later.close, later.volume) == (226389, 132243)


def test_a_book_is_a_snapshot_or_a_change_that_names_the_one_before() -> None:
    frame: Any = decode_message(example("ws_order_book_subscribed"))
    asks = [(232500, 990000), (234125, 3401028)]
    assert decoder().book(frame, LATER_NS) == (
        ETH,
        Snapshot(904845, [(200000, 200)], asks, 1778138389655150_000),
    )
    frame = decode_message(example("ws_order_book_update"))
    assert decoder().book(frame, LATER_NS) == (
        ETH,
        Diff(9182389998, 9182390020, [], [(206454, 3285)], 1774884082309144_000, before=9182389998),
    )


def test_answers_over_http_are_exact() -> None:
    answer = decode_body(example("http_recent_trades").encode(), TradesAnswer)
    rows = [msgspec.json.decode(row, type=WireTrade) for row in answer.trades or []]
    (trade,) = decoder().trades(rows, 0, ETH, LATER_NS).pieces[0]
    assert trade == Trade(LATER_NS, 1777945103092_000000, 1, 236131, 5, SELL, 19211490282)
    outer = json.loads(example("http_candles"))
    candles = [
        decoder().candle(
            msgspec.json.decode(json.dumps(row), type=WireCandle), ETH, MINUTE_NS, LATER_NS, "history"
        )
        for row in outer["c"]
        if row["t"] % 60_000 == 0
    ]
    assert all(isinstance(one, CandleRead) for one in candles)
    listing = decode_body(example("http_order_book_details").encode(), ListingAnswer)
    (listed,) = list_instruments(listing.order_book_details or [], ["ETH"])
    assert (listed.price_scale, listed.size_scale, listed.kind) == (2, 4, "perp")
    rules = listed.rules
    assert (rules.value_min, rules.leverage, rules.leverage_max, rules.taker_fee) == ("10", 20, 50, "0")
    (book,) = json.loads(example("http_order_books"))["order_books"]
    assert list_instruments([msgspec.convert(book, WireMarket)], ["ETH"])[0].price_scale == 2
    with pytest.raises(UsageError, match="no instrument 'ETHUSD'"):
        list_instruments(listing.order_book_details or [], ["ETHUSD"])


def test_a_market_that_is_closed_or_listed_twice_is_refused() -> None:
    row = {"symbol": "OLD", "market_id": 5, "supported_size_decimals": 1, "supported_price_decimals": 1}
    (market,) = msgspec.convert([{**row, "status": "inactive"}], list[WireMarket])
    with pytest.raises(UsageError, match="OLD is 'inactive' on lighter"):
        list_instruments([market], ["OLD"])
    with pytest.raises(VenueProtocolError, match="twice"):
        list_instruments([market, market], ["OLD"])


def test_a_settled_rate_has_the_sign_of_who_pays_and_either_unit_of_time() -> None:
    for at, rate, direction, expected in (
        (1_700_002_800, '"0.0012"', "long", 120_000),
        (1_700_002_800_000, "0.0012", "short", -120_000),
        (1_700_002_800, "1.2e-07", "long", 12),
    ):
        text = f'{{"fundings":[{{"timestamp":{at},"rate":{rate},"value":"1","direction":"{direction}"}}]}}'
        (row,) = decode_body(text.encode(), FundingsAnswer).fundings or []
        found = decoder().funding(msgspec.json.decode(row, type=WireFunding), ETH, LATER_NS)
        assert found == FundingRead(LATER_NS, 1_700_002_800 * 10**9, 1, 10, expected, 0)


def test_frames_of_every_kind_of_market_data() -> None:
    """Own frames: lists that are null or out of order, forced trades, a spot market, a negative rate."""
    decode = LighterRawDecoder([ETH, SPOT], NAMES)
    events = [event for text in own_lines() for event in _decoded(decode, text)]
    trades = [event for event in events if isinstance(event, Trade)]
    assert [(one.trade_id, one.aggressor) for one in trades] == [
        (101, SELL),
        (103, BUY),
        (105, SELL),
        (106, BUY),
    ]
    forced = [event for event in events if isinstance(event, LiquidationRead)]
    at_ns = 1774883845000_000000
    assert forced == [
        LiquidationRead(LATER_NS, at_ns, 1, SELL, 206000, 15000, 105),
        LiquidationRead(LATER_NS, at_ns, 1, BUY, 206010, 5000, 106),
    ]
    contexts = [event for event in events if isinstance(event, ContextRead)]
    assert [(one.instrument, one.funding) for one in contexts] == [(1, -120_000), (2, None)]
    books = [event for event in events if isinstance(event, BookRead)]
    assert books[0].bids == ((206400, 30000, 0),)
    assert books[0].asks == ((206450, 10000, 0), (206500, 20000, 0))


def _decoded(decode: LighterRawDecoder, text: str) -> list[Event]:
    return list(decode.decode(text, LATER_NS))


PUSHED = (
    *("ws_candle_subscribed", "ws_candle_update", "ws_market_stats_update_single"),
    *("ws_order_book_subscribed", "ws_order_book_update", "ws_ticker_update", "ws_trade_update"),
)
OTHERS = (
    *("ws_account_all_assets_update", "ws_account_all_trades_update", "ws_account_orders_update"),
    "ws_height_update",
)


@pytest.mark.parametrize("name", [*PUSHED, *OTHERS])
def test_every_message_of_the_stream_decodes_without_damage(name: str) -> None:
    frame = Reader(NAMES).decode(example(name))
    assert not isinstance(frame, Salvaged)
    assert isinstance(frame, OtherFrame) is (name in OTHERS)


@pytest.mark.parametrize("name", ["http_next_nonce", "http_orders"])
def test_answers_about_an_account_are_no_messages_of_the_market(name: str) -> None:
    """Their code is that of success; what they hold is read by the gateway."""
    assert decode_body(example(name).encode(), TradesAnswer) == TradesAnswer()
    with pytest.raises(VenueProtocolError, match="required field `type`"):
        decode_message(example(name))


def test_a_market_of_a_recording_is_named_by_the_first_quote() -> None:
    decode = LighterRawDecoder([ETH, SPOT])
    lines = own_lines()
    assert decode.decode(lines[2], LATER_NS) == []
    found = decode.decode(lines[1], LATER_NS)
    assert [type(one) for one in found] == [Trade, Trade, Quote]


@pytest.mark.parametrize(
    ("old", "new", "channel"),
    [
        ('"0.1000"', '"0.10001"', "trade"),
        ('"0.1000"', '"0"', "trade"),
        ('"0.1000"', '"-1"', "trade"),
        ('"2064.40"', '"NaN"', "trade"),
        ('"market_id":0,"size":"0.1000"', '"market_id":1,"size":"0.1000"', "trade"),
        ("1774883844900", "1", "trade"),
    ],
)
def test_one_trade_that_cannot_be_used_costs_itself(old: str, new: str, channel: str) -> None:
    one = decoder()
    frame: Any = decode_message(own_lines()[2].replace(old, new))
    pieces, _ = one.prints(frame, LATER_NS)
    assert [[trade.trade_id for trade in piece] for piece in pieces] == [[], [101]]
    assert [damage.channel for damage in one.damages] == [channel]


def test_a_trade_of_a_wrong_shape_is_left_out_and_its_neighbours_are_not_proved() -> None:
    text = own_lines()[2].replace('"is_maker_ask":true', '"is_maker_ask":7')
    found = Reader(NAMES).decode(text)
    assert isinstance(found, Subscribed)
    salvaged = found.data
    assert isinstance(salvaged, Salvaged)
    assert [damage[:2] for damage in salvaged.damages] == [("trade", "ETH")]
    pieces, _ = decoder().prints(salvaged.frame, LATER_NS, whole=False)
    assert [[trade.trade_id for trade in piece] for piece in pieces] == [[], [101]]


@pytest.mark.parametrize(
    ("line", "old", "new"),
    [
        (1, '"b":{"price":"2064.30"', '"b":{"price":"2064.305"'),
        (1, '"s":"ETH"', '"s":"BTC"'),
        (5, '"2064.10"', '"2064.1x"'),
        (6, '"market_id":0', '"market_id":3'),
        (8, "2264.34", "2264.345"),
        (8, '"h":2264.34', '"h":2264.1'),
        (8, "1774883820000", "1774883820001"),
    ],
)
def test_a_message_that_cannot_be_used_is_a_typed_error(line: int, old: str, new: str) -> None:
    text = own_lines()[line]
    assert old in text
    with pytest.raises(VenueProtocolError):
        events_of(text.replace(old, new))


def test_a_book_that_is_crossed_in_the_quote_is_left_out() -> None:
    one = decoder()
    frame: Any = decode_message(own_lines()[1].replace("2064.30", "2064.49"))
    assert one.quote(frame, LATER_NS) is None
    assert one.dropped == {"crossed": 1}


@given(st.data())
def test_damaged_frames_never_raise_anything_else(data: st.DataObject) -> None:
    for _ in range(pick(5, deep=20)):
        text = data.draw(st.sampled_from(own_lines()))
        at = data.draw(st.integers(0, len(text) - 1))
        kind = data.draw(st.sampled_from(("cut", "flip", "insert", "bytes")))
        message: str | bytes = text
        if kind == "cut":
            message = text[:at]
        elif kind == "flip":
            message = text[:at] + data.draw(st.characters()) + text[at + 1 :]
        elif kind == "insert":
            junk = data.draw(st.sampled_from(('"', "}", "9" * 30, "null", "\x00", "[" * 50)))
            message = text[:at] + junk + text[at:]
        else:
            message = text.encode()[:at] + b"\xff" + text.encode()[at:]
        try:
            events = LighterRawDecoder([ETH, SPOT], NAMES).decode(message, LATER_NS)
        except VenueProtocolError:
            continue
        assert all(isinstance(event, Event) for event in events)
