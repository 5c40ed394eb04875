"""The venue's own messages as events, compared with values written by hand."""

from __future__ import annotations

import gzip
import json
import random

import pytest

from adapters.coinbase.answers import Candles, MarketTrades, Product
from adapters.coinbase.channels import HEARTBEATS, Channel, MarketProtocol
from adapters.coinbase.decode import Decoder
from adapters.coinbase.listing import list_instruments, names_of
from adapters.coinbase.raw import CoinbaseRawDecoder
from adapters.coinbase.wire import HeartbeatFrame, WireCandle, WireTrade, decode_message
from adapters.transport.decoding import decode_body
from adapters.transport.protocol import ConfirmedAll, Salvaged
from engine.clock import SECOND_NS
from engine.errors import UsageError, VenueProtocolError
from engine.events import BookRead, CandleRead, Event, Quote, Trade
from engine.values import BUY, SELL
from tests.coinbase.payloads import NOW_NS, ROOT, SHARED, own_lines, parsed, payload, product
from tests.fuzz.mutations import mutated
from tests.profiles import pick

HOUR_NS = 3600 * SECOND_NS
MINUTE_NS = 60 * SECOND_NS
SECONDS = ROOT.parent / "shared" / "data" / "trades-and-candles"


def test_trades_have_the_takers_side() -> None:
    events = Decoder([product()]).decode_frame(payload("adv_ws_market_trades"), NOW_NS)
    assert events == [
        Trade(NOW_NS, 1775572202_789012000, 1, 6890050, 150000, SELL, 995098700),
        Trade(NOW_NS, 1775572202_800000000, 1, 6890000, 5000000, BUY, 995098701),
    ]


def test_a_captured_trade_at_the_best_ask_was_bought() -> None:
    """The answer shows the best bid and ask: SELL, at the ask, is the side of the maker."""
    answer = decode_body(payload("adv_http_ticker_trades").encode(), MarketTrades)
    rows = [decode_body(bytes(row), WireTrade) for row in answer.trades]
    (trades,) = Decoder([product()]).pieces(rows, NOW_NS)
    assert [trade.trade_id for trade in trades] == [995098661, 995098662, 995098663]
    newest = trades[-1]
    assert newest == Trade(NOW_NS, 1775521738_544778000, 1, 6892367, 64000, BUY, 995098663)
    assert parsed("adv_http_ticker_trades")["best_ask"] == "68923.67"


def test_a_book_is_a_snapshot_and_its_changes() -> None:
    decoder = CoinbaseRawDecoder([product()])
    (book,) = decoder.decode(payload("adv_ws_l2_snapshot"), NOW_NS)
    at_ns = 1775572200_123456000
    bids = ((6890000, 150000000, 0), (6889950, 75000000, 0), (6889900, 230000000, 0))
    asks = ((6890100, 50000000, 0), (6890150, 120000000, 0), (6890200, 80000000, 0))
    assert book == BookRead(NOW_NS, at_ns, 1, bids, asks)
    (after,) = decoder.decode(payload("adv_ws_l2_update"), NOW_NS)
    assert isinstance(after, BookRead)
    assert after.bids == ((6890000, 200000000, 0), *bids[1:])
    assert after.asks == asks[1:]


def test_candles_are_exact_and_have_no_count_of_trades() -> None:
    rows = decode_body(payload("adv_http_candles").encode(), Candles).candles
    decoder = Decoder([product()])
    candle = decode_body(bytes(rows[0]).replace(b"{", b'{"product_id":"BTC-USD",', 1), WireCandle)
    start_ns = 1712192400 * SECOND_NS
    assert decoder.candle(candle, HOUR_NS, NOW_NS, "history") == CandleRead(
        NOW_NS,
        start_ns + HOUR_NS,
        1,
        HOUR_NS,
        start_ns,
        *(6631240, 6633199, 6605514, 6618160, 35582896243, 0),
        "history",
    )


def test_a_product_is_listed_with_its_grid_and_a_shared_market_once() -> None:
    one = decode_body(payload("adv_http_product").encode(), Product)
    other = decode_body(
        json.dumps(parsed("adv_http_product") | {"product_id": "BTC-USDC", "alias": "BTC-USD"}).encode(),
        Product,
    )
    (listed,) = list_instruments([one, other], ["BTC-USDC", "BTC-USD"], 5)
    assert (listed.key, listed.kind, listed.silence, listed.ids) == (
        *("coinbase:BTC-USD", "spot", "none", "sequence"),
    )
    assert (listed.price_scale, listed.size_scale, listed.price_step, listed.size_step) == (2, 8, 1, 1)
    assert (listed.rules.base, listed.rules.quote, listed.rules.value_min) == ("BTC", "USD", "1")
    assert names_of([one, other]) == ["BTC-USD"]
    with pytest.raises(UsageError, match="did you mean BTC-USD"):
        list_instruments([one], ["btc/usd"], 0)
    gone = decode_body(payload("adv_http_product").replace("online", "delisted").encode(), Product)
    with pytest.raises(UsageError, match="BTC-USD is not traded on coinbase now"):
        list_instruments([gone], ["BTC-USD"], 0)


def test_answers_and_heartbeats_are_understood() -> None:
    protocol = MarketProtocol()
    found = protocol.read_control(protocol.decode(payload("adv_ws_subscriptions")))
    assert isinstance(found, ConfirmedAll)
    assert set(found.keys) == {
        *(Channel("level2", "BTC-USD"), Channel("market_trades", "BTC-USD")),
        Channel("market_trades", "ETH-USD"),
    }
    assert isinstance(decode_message(payload("adv_ws_heartbeats")), HeartbeatFrame)
    own = protocol.read_control(protocol.decode(own_lines()[0]))
    assert isinstance(own, ConfirmedAll)
    assert HEARTBEATS in own.keys


def test_a_number_that_is_skipped_puts_the_whole_connection_in_doubt() -> None:
    protocol = MarketProtocol()
    frames = [protocol.decode(line) for line in own_lines()]
    assert not any(isinstance(frame, Salvaged) for frame in frames)
    lost = MarketProtocol()
    found = [lost.decode(line) for number, line in enumerate(own_lines()) if number != 2]
    (gap,) = [frame for frame in found if isinstance(frame, Salvaged)]
    (damage,) = gap.damages
    assert (damage.channel, damage.name) == ("", "")
    assert "between 1 and 3" in damage.reason
    assert lost.decode(own_lines()[-1]) == decode_message(own_lines()[-1])  # repeated
    again = [lost.decode(line) for line in own_lines()]  # another connection counts from 0
    assert not any(isinstance(frame, Salvaged) for frame in again)


def test_recordings_of_the_older_feed_are_decoded() -> None:
    skl = product("SKL-USD", 1, 4, 1)
    btc = product("SKL-BTC", 2, 8, 1)
    gbp = product("BAND-GBP", 3, 4, 2)
    decoder = CoinbaseRawDecoder([skl, btc, gbp])
    matches = [
        event for row in parsed("ex_rec_ws_match") for event in decoder.decode(json.dumps(row), NOW_NS)
    ]
    assert matches[0] == Trade(NOW_NS, 1618677817_089723000, 2, 1305, 9850, BUY, 280232)
    assert matches[1] == Trade(NOW_NS, 1618677817_121358000, 1, 7910, 4500, BUY, 1568268)
    (last,) = decoder.decode(json.dumps(parsed("ex_rec_ws_last_match")[0]), NOW_NS)
    assert last == Trade(NOW_NS, 1618677810_244075000, 3, 147775, 4, BUY, 881613)
    (book,) = decoder.decode(payload("ex_rec_ws_snapshot_trimmed"), NOW_NS)
    assert isinstance(book, BookRead)
    assert (book.bids[0], book.asks[0]) == ((147693, 2751, 0), (148024, 1277, 0))
    updates = [row for row in parsed("ex_rec_ws_l2update") if row["product_id"] == "BAND-GBP"]
    (after,) = [event for row in updates for event in decoder.decode(json.dumps(row), NOW_NS)]
    assert isinstance(after, BookRead)
    assert [level[0] for level in after.asks[:4]] == [148024, 148069, 148095, 148143]
    for name in ("ex_rec_ws_subscriptions", "ex_rec_ws_ticker"):  # these tickers have no sizes
        assert [event for row in parsed(name) for event in decoder.decode(json.dumps(row), NOW_NS)] == []
    sized = json.dumps(parsed("ex_rec_ws_ticker")[0] | {"best_bid_size": "1.5", "best_ask_size": "2"})
    assert decoder.decode(sized, NOW_NS) == [Quote(NOW_NS, 1618677810_244075000, 3, 147550, 150, 148060, 200)]
    with pytest.raises(VenueProtocolError, match="not a valid"):
        decoder.decode('{"type":"error","message":"SKL is not a valid product"}', NOW_NS)


def test_every_payload_is_in_these_tests() -> None:
    names = {path.stem for path in SHARED.glob("*.json")}
    if not names:
        pytest.skip("the payloads are not beside the project")
    decoder = CoinbaseRawDecoder([product()])
    for name in sorted(one for one in names if one.startswith("adv_ws_")):
        decoder.decode(payload(name), NOW_NS)
    assert len(names) == 14


def test_recorded_seconds_make_the_venues_own_minutes() -> None:
    """Candles of a day as REST gives them: the shorter ones merge to the longer ones in every field."""
    btc = product("BTC-USD", 1, 2, 8)
    decoder = Decoder([btc])

    def candles(kind: str, interval_ns: int) -> list[CandleRead]:
        path = SECONDS / f"coinbase-BTCUSD-20161007-{kind}.csv.gz"
        if not path.is_file():
            pytest.skip("the recorded day is not beside the project")
        found = []
        with gzip.open(path, "rt", encoding="utf-8") as lines:
            for line in lines:
                ms, opened, high, low, close, volume = line.strip().split(",")
                start = str(1475798400 + int(ms) // 1000)
                row = WireCandle(start, low, high, opened, close, volume, "BTC-USD")
                candle = decoder.candle(row, interval_ns, NOW_NS, "check")
                assert candle is not None
                found.append(candle)
        return found

    merged: dict[int, list[CandleRead]] = {}
    for one in candles("second", SECOND_NS):
        merged.setdefault(one.start_ns // MINUTE_NS * MINUTE_NS, []).append(one)
    minutes = candles("minute", MINUTE_NS)
    assert [one.start_ns for one in minutes] == list(merged)
    for minute in minutes:
        own = merged[minute.start_ns]
        highs, lows = [one.high for one in own], [one.low for one in own]
        assert (minute.open, minute.high, minute.low, minute.close, minute.volume) == (
            *(own[0].open, max(highs), min(lows), own[-1].close, sum(int(one.volume) for one in own)),
        )
    assert len(minutes) == 1419


def test_the_kept_messages_give_their_events() -> None:
    decoder = Decoder([product()])
    events: list[Event] = [one for line in own_lines() for one in decoder.decode_frame(line, NOW_NS)]
    assert [type(event).__name__ for event in events] == ["Trade", "Trade", "Quote"]
    assert [one.trade_id for one in events if isinstance(one, Trade)] == [101, 102]
    assert [one.aggressor for one in events if isinstance(one, Trade)] == [SELL, BUY]
    assert decoder.dropped == {}


def test_a_damaged_message_gives_exact_events_or_the_one_error() -> None:
    chance = random.Random(17)
    older = '{"type":"match","trade_id":5,"side":"sell","size":"1","price":"2","product_id":"BTC-USD",'
    older += '"time":"2026-11-20T10:00:00Z"}'
    lines = [line.encode() for line in (*own_lines(), older)]
    decoder, raw, protocol = Decoder([product()]), CoinbaseRawDecoder([product()]), MarketProtocol()
    whole = Decoder([product()]).decode_frame(lines[1], NOW_NS)
    for number in range(pick(500, deep=20_000)):
        text = mutated(chance.choice(lines), "json", chance)
        protocol.decode(text)
        for decode in (decoder.decode_frame, raw.decode):
            try:
                events = decode(text if number % 2 else text.decode("utf-8", "replace"), NOW_NS)
            except VenueProtocolError:
                continue
            for event in events:
                assert isinstance(event, Trade | Quote | BookRead | CandleRead)
                if isinstance(event, Trade):
                    assert 0 < event.price < 2**63
                    assert 0 < event.size < 2**63
        if number % 50 == 0:
            assert decoder.decode_frame(lines[1], NOW_NS) == whole


def test_a_damaged_trade_leaves_the_others_of_its_message() -> None:
    message = json.loads(own_lines()[1])
    del message["events"][0]["trades"][0]["time"]
    decoder = Decoder([product()])
    trades = decoder.decode_frame(json.dumps(message), NOW_NS)
    assert [one.trade_id for one in trades if isinstance(one, Trade)] == [101]
