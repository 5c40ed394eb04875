"""ApeX Omni's messages become exact events, or typed errors."""

from __future__ import annotations

import json
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from adapters.apex.channels import MarketProtocol
from adapters.apex.info_wire import KlinesAnswer, WireContract, WireFunding
from adapters.apex.listing import list_instruments
from adapters.apex.networks import MAINNET_URL, websocket_url
from adapters.apex.raw import ApexRawDecoder
from adapters.apex.salvage import Reader
from adapters.apex.wire import Topic, WireKline, decode_message
from adapters.transport.decoding import decode_body
from adapters.transport.protocol import ANSWERED, Confirmed, Refused, Reply, Salvaged
from engine.errors import UsageError, VenueProtocolError
from engine.events import BookRead, CandleRead, ContextRead, Event, FundingRead, Quote, Trade
from engine.values import BUY, SELL
from tests.apex.examples import BTC, LATER_NS, NAMES, decoder, example, own_lines
from tests.profiles import pick

MINUTE_NS = 60_000_000_000
MS = 1_000_000


def events_of(*texts: str) -> list[Event]:
    decode = ApexRawDecoder([BTC])
    return [event for text in texts for event in decode.decode(text, LATER_NS)]


def test_a_snapshot_of_trades_is_turned_and_a_delta_is_not() -> None:
    snapshot = events_of(own_lines()[1])
    assert snapshot == [
        Trade(LATER_NS, 1790586413100 * MS, 1, 840002, 30, SELL, "a1"),
        Trade(LATER_NS, 1790586413300 * MS, 1, 840001, 20, SELL, "b1"),
        Trade(LATER_NS, 1790586413300 * MS, 1, 840005, 10, BUY, "b2"),
    ]
    delta = events_of(own_lines()[2])
    assert [one.trade_id for one in delta if isinstance(one, Trade)] == ["c1", "c2"]


def test_a_book_has_its_best_bid_last_and_an_empty_change_counts() -> None:
    first, second = own_lines()[3], own_lines()[5]
    quote, book = events_of(first)
    assert quote == Quote(LATER_NS, 1790586413372944_000, 1, 840000, 100, 840001, 200)
    assert isinstance(book, BookRead)
    assert book.bids == ((840000, 100, 0), (839990, 300, 0))
    assert book.asks == ((840001, 200, 0), (840009, 1500, 0))
    assert [type(one) for one in events_of(first, second)] == [Quote, BookRead], "u 11 is missing"
    after = events_of(first, own_lines()[4], second)
    assert after[-1] == BookRead(
        LATER_NS, 1790586413600000_000, 1, ((839990, 300, 0),), ((840001, 250, 0), (840009, 1500, 0))
    )


def test_a_change_of_statistics_keeps_the_rest() -> None:
    fine = 10**10
    whole, changed = events_of(own_lines()[6], own_lines()[7])
    first = (840015 * fine // 10, 8400225 * fine // 100, None, 134_000, None)
    assert whole == ContextRead(LATER_NS, 1, 10, *first, 12075 * fine // 100)
    assert changed == ContextRead(LATER_NS, 1, 10, *first, 121 * fine)
    assert events_of(own_lines()[7]) == [], "a change of what is not known"


def test_candles_over_both_ways_are_exact() -> None:
    start_ns = 1672324800000 * MS
    prices = (166495, 166770, 166080, 166770)
    (pushed,) = events_of(example("ws_candle_docs_example"))
    five_ns = 5 * MINUTE_NS
    assert pushed == CandleRead(
        LATER_NS, start_ns + five_ns, 1, five_ns, start_ns, *prices, 2081, 0, "stream"
    )
    rows = (decode_body(example("http_klines").encode(), KlinesAnswer).data or {})["BTCUSDT"]
    klines = [msgspec.json.decode(row, type=WireKline) for row in rows]
    first, second = (decoder().candle(one, BTC, MINUTE_NS, LATER_NS, "history") for one in klines)
    assert first is not None
    assert second is not None
    assert (first.start_ns, first.open, first.high, first.low, first.close, first.volume) == (
        1750504980000 * MS,
        1038394,
        1038620,
        1038366,
        1038366,
        448,
    )
    assert (second.start_ns, second.close, second.volume) == (1750505040000 * MS, 1038526, 500)


def test_a_listing_has_the_steps_of_the_grid_and_both_spellings() -> None:
    contract = decode_body(example("http_symbol_config_btc_usdt_subset").encode(), WireContract)
    for name in ("BTC-USDT", "BTCUSDT"):
        (listed,) = list_instruments([contract], [name])
        assert (listed.name, listed.price_scale, listed.price_step) == ("BTC-USDT", 1, 1)
        assert (listed.size_scale, listed.size_step, listed.rules.leverage_max) == (3, 1, 100)
        assert listed.rules.size_max == 50_000
    coarse = msgspec.structs.replace(contract, tick_size="0.50", step_size="10")
    (listed,) = list_instruments([coarse], ["BTC-USDT"])
    assert (listed.price_scale, listed.price_step, listed.size_scale, listed.size_step) == (1, 5, 0, 10)
    with pytest.raises(UsageError, match="no instrument 'NOPE'"):
        list_instruments([contract], ["NOPE"])
    closed = msgspec.structs.replace(contract, enable_trade=False)
    with pytest.raises(UsageError, match="is not traded"):
        list_instruments([closed], ["BTC-USDT"])
    with pytest.raises(VenueProtocolError, match="twice"):
        list_instruments([contract, contract], ["BTC-USDT"])


@pytest.mark.parametrize("at", ['"fundingTimestamp":1700002800', '"fundingTime":1700002800000'])
def test_settled_rates_have_either_unit_of_time(at: str) -> None:
    row = decode_body(f'{{"rate":"-0.0000125",{at}}}'.encode(), WireFunding)
    at_ns = 1_700_002_800 * 10**9
    assert decoder().funding(row, BTC, LATER_NS) == FundingRead(LATER_NS, at_ns, 1, 10, -125_000, 0)


def test_control_frames_are_what_the_venue_means() -> None:
    protocol = MarketProtocol(NAMES, lambda: 5 * MS)
    said = [protocol.read_control(protocol.decode(own_lines()[number])) for number in (0, 9, 10, 11, 12)]
    assert said == [
        Confirmed(Topic("orderBook200", "BTCUSDT")),
        Reply('{"op":"pong","args":["1790586413937"]}'),
        ANSWERED,
        Confirmed(Topic("recentlyTrade", "BTCUSDT")),
        Refused("error:handler not found", Topic("orderBook25", "NOPEUSDT")),
    ]
    assert protocol.ping == '{"op":"ping","args":["5"]}'
    assert websocket_url(MAINNET_URL, 7) == "wss://quote.omni.apex.exchange/realtime_public?v=2&timestamp=7"
    assert websocket_url("http://127.0.0.1:1", 7) == "ws://127.0.0.1:1/realtime_public?v=2&timestamp=7"


def test_answers_about_orders_are_not_read() -> None:
    for name in ("http_create_order_market_sell", "http_fills", "http_cancel_order"):
        assert "data" in json.loads(example(name))
        with pytest.raises(VenueProtocolError):
            decode_message(example(name))
    request = example("http_create_order_request_form")
    with pytest.raises(VenueProtocolError, match="without a topic"):
        decode_message(request)


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ('"0.020"', '"0.0201"'),
        ('"84000.1"', '"NaN"'),
        ('"s":"BTCUSDT","S":"Sell","v":"0.020"', '"s":"ETHUSDT","S":"Sell","v":"0.020"'),
        ('"T":1790586413300,"s":"BTCUSDT","S":"Sell"', '"T":1,"s":"BTCUSDT","S":"Sell"'),
    ],
)
def test_one_trade_that_cannot_be_used_costs_itself(old: str, new: str) -> None:
    one = decoder()
    text = own_lines()[1]
    assert old in text
    frame: Any = decode_message(text.replace(old, new))
    pieces = one.prints(frame, LATER_NS)
    assert [[trade.trade_id for trade in piece] for piece in pieces] == [[], ["a1"], ["b2"]]
    assert [damage.channel for damage in one.damages] == ["recentlyTrade"]


def test_a_trade_of_a_wrong_shape_is_left_out() -> None:
    found = Reader(NAMES).decode(own_lines()[2].replace('"Buy"', '"Bye"'))
    assert isinstance(found, Salvaged)
    assert [damage[:2] for damage in found.damages] == [("recentlyTrade", "BTC-USDT")]
    pieces = decoder().prints(found.frame, LATER_NS, whole=False)
    assert [[one.trade_id for one in piece] for piece in pieces] == [[], ["c1"]]


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
            events = ApexRawDecoder([BTC]).decode(message, LATER_NS)
        except VenueProtocolError:
            continue
        assert all(isinstance(event, Event) for event in events)
