"""The venue's own messages as events, compared with values written by hand."""

from __future__ import annotations

import json

import msgspec
import pytest

from adapters.kraken.answers import AssetPair, RestCandle, RestTrade, decode_answer
from adapters.kraken.channels import Channel, MarketProtocol
from adapters.kraken.decode import Decoder, TradeTimes, checksum
from adapters.kraken.listing import list_instruments, rest_names
from adapters.kraken.raw import KrakenRawDecoder
from adapters.kraken.wire import BookFrame, CandleFrame, OtherFrame, decode_message
from adapters.transport.decoding import decode_body
from adapters.transport.levels import OrderBook
from adapters.transport.protocol import ANSWERED, UNREAD, Confirmed, Refused
from engine.errors import UsageError, VenueProtocolError
from engine.events import BookRead, CandleRead, Event, InstrumentListed, Quote, Trade
from engine.values import BUY, SELL, parse_scaled
from tests.kraken.payloads import NOW_NS, SHARED, own_lines, pair, parsed, payload

NS = 1_000_000_000
MINUTE_NS = 60 * NS


def kraken_pairs() -> dict[str, AssetPair]:
    rows = {
        "XXBTZUSD": {"altname": "XBTUSD", "wsname": "XBT/USD", "base": "XXBT", "quote": "ZUSD"},
        "XDGUSD": {"altname": "XDGUSD", "wsname": "XDG/USD", "base": "XXDG", "quote": "ZUSD"},
        "SOLUSD": {"altname": "SOLUSD", "wsname": "SOL/USD", "base": "SOL", "quote": "ZUSD"},
    }
    grid = {"pair_decimals": 1, "lot_decimals": 8, "tick_size": "0.1", "costmin": "0.5"}
    return {key: msgspec.convert({**row, **grid}, AssetPair) for key, row in rows.items()}


def test_trades_are_exact() -> None:
    events = Decoder([pair()]).decode_frame(payload("ws_trade_update"), NOW_NS)
    assert events == [
        Trade(NOW_NS, 1696613755_440295000, 1, 1059442, 27625, BUY, 10218208),
        Trade(NOW_NS, 1696613756_123456000, 1, 1059105, 12460, SELL, 10218209),
    ]


def test_a_ticker_is_the_best_bid_and_ask() -> None:
    (quote,) = Decoder([pair()]).decode_frame(payload("ws_ticker_snapshot"), NOW_NS)
    assert quote == Quote(NOW_NS, 1671960659_123456000, 1, 1059442, 250000000, 1059443, 320000000)


def test_a_ticker_of_an_older_form_has_the_time_of_receipt_and_an_empty_side_is_zero() -> None:
    row = '{"symbol":"BTC/USD","bid":null,"bid_qty":0,"ask":5.1,"ask_qty":2}'
    text = f'{{"channel":"ticker","type":"update","data":[{row}]}}'
    assert Decoder([pair()]).decode_frame(text, NOW_NS) == [Quote(NOW_NS, NOW_NS, 1, 0, 0, 51, 200000000)]


def test_a_pushed_candle_is_exact_and_only_the_raw_decoder_takes_an_open_one_for_an_event() -> None:
    decoder = Decoder([pair()])
    assert decoder.decode_frame(payload("ws_ohlc_update"), NOW_NS) == []
    frame = decode_message(payload("ws_ohlc_update"))
    assert isinstance(frame, CandleFrame)
    start_ns = 1696436700 * NS
    expected = CandleRead(
        NOW_NS,
        start_ns + MINUTE_NS,
        1,
        MINUTE_NS,
        start_ns,
        *(1060382, 1060443, 1060381, 1060401, 3092768066226, 12),
        "stream",
    )
    assert decoder.candle(frame.data[0], NOW_NS, "stream") == expected
    assert KrakenRawDecoder([pair()]).decode(payload("ws_ohlc_update"), NOW_NS) == [expected]


def test_answers_and_pongs_are_understood() -> None:
    protocol = MarketProtocol([Channel("ticker", "BTC/USD")])
    ack = decode_message(payload("ws_subscribe_ack"))
    assert protocol.read_control(ack) == Confirmed(Channel("ticker", "BTC/USD"))
    assert protocol.read_control(decode_message(payload("ws_pong"))) is ANSWERED
    for name in ("ws_add_order_request", "ws_add_order_response_success"):
        frame = decode_message(payload(name))
        assert isinstance(frame, OtherFrame)
        assert protocol.read_control(frame) is UNREAD
    refusal = '{"method":"subscribe","success":false,"error":"Currency pair not supported","req_id":1}'
    refused = protocol.read_control(decode_message(refusal))
    assert refused == Refused("Currency pair not supported", Channel("ticker", "BTC/USD"))
    again = refusal.replace("Currency pair not supported", "Already subscribed")
    assert protocol.read_control(decode_message(again)) == Confirmed(Channel("ticker", "BTC/USD"))


def test_a_subscription_names_one_pair_and_asks_for_the_newest_trades() -> None:
    one = Channel("book", "BTC/USD").subscription(7, 25)
    members = {"channel": "book", "symbol": ["BTC/USD"], "depth": 25}
    asked = {"method": "subscribe", "params": {**members, "snapshot": True}, "req_id": 7}
    assert json.loads(one.text) == asked
    assert json.loads(one.end) == {"method": "unsubscribe", "params": members, "req_id": 7}
    ticker = json.loads(Channel("ticker", "BTC/USD").subscription(1, 10).text)
    assert ticker["params"]["event_trigger"] == "bbo"
    candles = json.loads(Channel("ohlc", "BTC/USD", 15).subscription(1, 10).text)
    assert candles["params"]["interval"] == 15


def test_the_checksum_of_the_documentation_is_computed() -> None:
    frame = decode_message(payload("ws_book_checksum_example"))
    assert isinstance(frame, BookFrame)
    found = Decoder([pair()]).book(frame.data[0], NOW_NS)
    assert found is not None
    book = OrderBook(10)
    book.replace(found[1].bids, found[1].asks)
    assert checksum(book) == found[1].check == 3310070434
    (read,) = KrakenRawDecoder([pair()]).decode(payload("ws_book_checksum_example"), NOW_NS)
    assert isinstance(read, BookRead)
    assert read.bids[0] == (452835, 10000000, 0)
    assert read.asks[-1] == (452995, 18772827, 0)


def test_every_recorded_checksum_is_right() -> None:
    """40 updates of the older feed, whose checksum has the same rule with eight decimals everywhere."""
    recorded = parsed("rec_v1_book_xmrusd_checksum")
    xmr = pair("XMR/USD", price_scale=8)
    book = OrderBook(1000)
    snapshot = recorded["snapshot"][1]
    book.replace(_levels(snapshot["bs"], xmr), _levels(snapshot["as"], xmr))
    checked = 0
    for update in recorded["updates"]:
        changes = update[1]
        book.apply(_levels(changes.get("b", []), xmr), _levels(changes.get("a", []), xmr))
        assert checksum(book) == int(changes["c"])
        checked += 1
    assert checked == 40


def _levels(rows: list[list[str]], listed: InstrumentListed) -> list[tuple[int, int]]:
    return [
        (parse_scaled(row[0], listed.price_scale), parse_scaled(row[1], listed.size_scale)) for row in rows
    ]


def test_a_book_whose_checksum_is_wrong_is_not_read() -> None:
    """The shape of the documentation's fixtures: three levels with the checksum of another book."""
    frame = decode_message(payload("ws_book_snapshot_shape"))
    assert isinstance(frame, BookFrame)
    found = Decoder([pair()]).book(frame.data[0], NOW_NS)
    assert found is not None
    listed, snapshot, _ = found
    assert (listed.name, snapshot.venue_ns) == ("BTC/USD", 1696613755_440295000)
    assert list(snapshot.bids) == [(1059442, 13600000), (1059354, 2400000), (1059201, 5200000)]
    assert KrakenRawDecoder([pair()]).decode(payload("ws_book_snapshot_shape"), NOW_NS) == []


def test_a_pair_is_listed_under_its_present_name_and_found_under_the_old_ones() -> None:
    pairs = decode_answer(payload("http_asset_pairs").encode(), dict[str, AssetPair])
    (listed,) = list_instruments(pairs, ["XBTUSDT"], 5)
    assert (listed.key, listed.recv_ns, listed.kind) == ("kraken:BTC/USDT", 5, "spot")
    assert (listed.price_scale, listed.size_scale, listed.price_step) == (1, 8, 1)
    assert (listed.silence, listed.ids) == ("flat", "sequence")
    rules = listed.rules
    assert (rules.base, rules.quote, rules.value_min) == ("BTC", "USDT", "0.5")
    assert (rules.taker_fee, rules.maker_fee, rules.on_margin) == ("0.004", "0.0025", False)
    assert rest_names(pairs) == {"BTC/USDT": "XBTUSDT"}


@pytest.mark.parametrize("name", ["BTC/USD", "XBT/USD", "XBTUSD", "XXBTZUSD"])
def test_all_names_of_a_pair_are_one_instrument(name: str) -> None:
    assert [one.name for one in list_instruments(kraken_pairs(), [name, "BTC/USD"], 0)] == ["BTC/USD"]


def test_an_unknown_pair_is_refused_with_the_nearest_name() -> None:
    with pytest.raises(UsageError, match="did you mean BTC/USD"):
        list_instruments(kraken_pairs(), ["btc-usd"], 0)
    with pytest.raises(UsageError, match=r"no pair 'QQQQ'; it has BTC/USD, DOGE/USD, SOL/USD"):
        list_instruments(kraken_pairs(), ["QQQQ"], 0)
    assert list_instruments(kraken_pairs(), ["XDGUSD"], 0)[0].name == "DOGE/USD"


def test_rest_trades_are_exact_and_have_the_websockets_time() -> None:
    rows = decode_answer(payload("http_trades_trimmed").encode(), dict[str, msgspec.Raw])
    trades = [decode_body(row, RestTrade) for row in decode_body(rows["XBTUSDT"], list[msgspec.Raw])]
    times = TradeTimes()
    # The websocket rounds the last digit up where REST has fewer digits.
    times.settle(1, 10218208, 1762795433_971745000)
    (piece,) = Decoder([pair("BTC/USDT")], times=times).rest_pieces(trades, pair("BTC/USDT"), NOW_NS)
    assert len(piece) == 11
    assert piece[0] == Trade(NOW_NS, 1762795433_971745000, 1, 1054336, 27625, BUY, 10218208)
    assert piece[1] == Trade(NOW_NS, 1762795457_846737000, 1, 1054101, 5000, BUY, 10218209)
    assert piece[-1] == Trade(NOW_NS, 1762820035_982277000, 1, 1058994, 9443, SELL, 10219207)


def test_recorded_trades_make_the_venues_own_candles() -> None:
    """The minutes of the capture of which all trades are in it: every field, and the flat ones after."""
    answer = decode_answer(payload("http_trades_trimmed").encode(), dict[str, msgspec.Raw])
    rows = [decode_body(row, RestTrade) for row in decode_body(answer["XBTUSDT"], list[msgspec.Raw])]
    usdt = pair("BTC/USDT")
    decoder = Decoder([usdt])
    (trades,) = decoder.rest_pieces(rows, usdt, NOW_NS)
    candles = decode_answer(payload("http_ohlc_trimmed").encode(), dict[str, msgspec.Raw])
    found = {
        row.time * NS: decoder.rest_candle(row, usdt, MINUTE_NS, NOW_NS, "check")
        for row in decode_body(candles["XBTUSDT"], list[RestCandle])
    }
    compared = 0
    for start_ns in (1762819920 * NS, 1762819980 * NS, 1762820040 * NS):
        own = [one for one in trades if start_ns <= one.venue_ns < start_ns + MINUTE_NS]
        candle = found[start_ns]
        prices = [one.price for one in own] or [found[start_ns - MINUTE_NS].close]
        assert (candle.open, candle.high, candle.low, candle.close) == (
            *(prices[0], max(prices), min(prices), prices[-1]),
        )
        assert (candle.volume, candle.trades) == (sum(one.size for one in own), len(own))
        compared += len(own)
    assert compared == 3


def test_every_payload_is_read() -> None:
    """Each is an event, a control frame, or an answer; the names are those of the folder."""
    names = {path.stem for path in SHARED.glob("*.json")}
    if not names:
        pytest.skip("the payloads are not beside the project")
    for name in sorted(one for one in names if one.startswith("ws_")):
        decode_message(payload(name))
    assert {one for one in names if not one.startswith("ws_")} == {
        *("http_asset_pairs", "http_ohlc_trimmed", "http_ticker", "http_trades_trimmed"),
        "rec_v1_book_xmrusd_checksum",
    }


def test_the_kept_messages_give_their_events() -> None:
    decoder = Decoder([pair()])
    events: list[Event] = [one for line in own_lines() for one in decoder.decode_frame(line, NOW_NS)]
    assert [type(event).__name__ for event in events] == ["Trade", "Trade", "Trade", "Quote"]
    assert isinstance(events[1], Trade)
    assert (events[1].size, events[1].trade_id) == (50, 102)
    assert isinstance(events[2], Trade)
    assert events[2].size == 50  # written with an exponent
    assert decoder.dropped == {}


def test_an_answer_with_an_error_is_refused_with_its_text() -> None:
    with pytest.raises(VenueProtocolError, match="EQuery:Unknown asset pair"):
        decode_answer(b'{"error":["EQuery:Unknown asset pair"]}', dict[str, AssetPair])
