"""Every payload of the wire reference decodes to the right event, or to what REST answers."""

from __future__ import annotations

import json
from typing import Any

import pytest

from adapters.binance.decode import Decoder
from adapters.binance.raw import BinanceRawDecoder
from adapters.binance.wire import (
    DepthSnapshot,
    Frame,
    FundingRate,
    KlineRow,
    OpenInterest,
    PremiumIndex,
    decode_body,
    decode_message,
)
from engine.errors import VenueProtocolError
from engine.events import (
    CandleRead,
    ContextRead,
    Event,
    FundingRead,
    InstrumentListed,
    LiquidationRead,
    Quote,
    Trade,
)
from engine.values import BUY, SELL
from tests.binance.samples import LATER_NS, listed, market_of, payload, payloads

MS = 1_000_000


def events_of(name: str, stream: str, grid: tuple[int, int]) -> list[Event]:
    market = market_of(name)
    text = payload(name).decode()
    if not text.lstrip().startswith('{"stream"') and '"stream"' not in text[:20]:
        text = json.dumps({"stream": stream, "data": json.loads(text)}, ensure_ascii=False)
    symbol = stream.partition("@")[0].upper()
    decoder = BinanceRawDecoder(market, [listed(market, symbol, grid=grid)])
    return list(decoder.decode(text, LATER_NS))


def test_trades_and_the_side_of_their_taker() -> None:
    """m: the buyer was the maker, so the taker sold."""
    (spot,) = events_of("ws_spot_aggtrade_combined", "ethusdt@aggTrade", (2, 5))
    text = json.loads(payload("ws_spot_aggtrade_combined"))["data"]
    assert spot == Trade(*(LATER_NS, text["T"] * MS, 1, 163_246, 34_305), SELL if text["m"] else BUY, 226_532)
    (raw,) = events_of("ws_spot_trade_combined", "ethusdt@trade", (2, 5))
    text = json.loads(payload("ws_spot_trade_combined"))["data"]
    assert raw == Trade(
        *(LATER_NS, text["T"] * MS, 1, 414_974, 43_870), SELL if text["m"] else BUY, 705_291_099
    )


def test_a_trade_of_the_year_1970_is_impossible() -> None:
    assert events_of("ws_futures_aggtrade", "btcusdt@aggTrade", (3, 0)) == []


def test_best_bid_and_ask_of_spot_have_the_time_of_receipt() -> None:
    """This capture has a time, which live frames of spot do not; see the recorded frames."""
    (quote,) = events_of("ws_spot_bookticker_combined", "ethusdt@bookTicker", (2, 4))
    assert isinstance(quote, Quote)
    assert (quote.bid, quote.bid_size, quote.ask, quote.ask_size) == (450_724, 23_595, 450_725, 28_457)
    (future,) = events_of("ws_futures_bookticker_combined", "bnbusdt@bookTicker", (4, 2))
    assert future == Quote(LATER_NS, 1_568_014_460_891 * MS, 1, 253_519, 3_121, 253_652, 4_066)


def test_candles_open_and_closed() -> None:
    (closed,) = events_of("ws_futures_kline_closed", "btcusdt@kline_1m", (4, 0))
    start_ns = 1_638_747_660_000 * MS
    assert closed == CandleRead(
        *(LATER_NS, start_ns + 60_000 * MS, 1, 60_000 * MS, start_ns, 10, 25, 10, 20, 1000, 0), "stream"
    )
    with pytest.raises(VenueProtocolError, match="inconsistent prices"):  # as documented: low above open
        events_of("ws_futures_kline_open", "btcusdt@kline_1m", (4, 0))


def test_marks_index_and_the_rate_of_one_hour() -> None:
    (context,) = events_of("ws_futures_markprice", "btcusdt@markPrice@1s", (2, 3))
    assert context == ContextRead(
        LATER_NS,
        1,
        12,
        11_794_150_000_000_000,
        11_784_626_590_910_000,
        None,
        381_670_000,  # 0.00038167; without trading rules it is of one hour
        None,
        None,
    )


def test_liquidations_are_marked_as_sampled() -> None:
    (found,) = events_of("ws_futures_forceorder", "btcusdt@forceOrder", (2, 3))
    assert found == LiquidationRead(
        *(LATER_NS, 1_568_014_460_893 * MS, 1, SELL, 991_012, 14), "", sampled=True
    )


def test_a_diff_of_a_book_waits_for_its_snapshot() -> None:
    market = market_of("futures")
    decoder = Decoder([listed(market, "BTCUSDT", grid=(4, 0))], counts=False)
    text = json.dumps({"stream": "btcusdt@depth", "data": json.loads(payload("ws_futures_depth_diff"))})
    frame = decode_message(text)
    assert isinstance(frame, Frame)
    assert decoder.diff(frame.event, LATER_NS) is None  # of 1970
    assert (frame.event.U, frame.event.u, frame.event.pu) == (157, 160, 149)
    assert frame.event.b == [("0.0024", "10")]


def _answer(name: str, shape: Any) -> Any:
    return decode_body(payload(name), shape)


def test_answers_of_rest() -> None:
    market = market_of("futures")
    btc = listed(market, "BTCUSDT")
    decoder = Decoder([btc], counts=True)
    rates = [
        decoder.funding(btc, row, LATER_NS) for row in _answer("http_futures_funding_rate", list[FundingRate])
    ]
    assert rates == [
        FundingRead(LATER_NS, 1_570_608_000_000 * MS, 1, 12, -37_500_000_000, 0),
        FundingRead(LATER_NS, 1_570_636_800_000 * MS, 1, 12, 100_000_000, 0),
    ]
    context = decoder.context(_answer("http_futures_premium_index", PremiumIndex), LATER_NS)
    assert context is not None
    assert (context.mark, context.funding) == (11_793_631_045_620_000, 382_460_000)
    interest = _answer("http_futures_open_interest", OpenInterest)
    context = decoder.open_interest(btc, interest.open_interest, LATER_NS)
    assert (context.open_interest, context.mark) == (10_659_509_000_000_000, 11_793_631_045_620_000)
    snapshot = decoder.snapshot(btc, _answer("http_spot_depth", DepthSnapshot), 1000, LATER_NS)
    assert snapshot.whole
    # The documented candle is of a week, opened by a number or by text: not an interval of bars.
    for row in _answer("http_futures_klines", list[KlineRow]):
        assert decoder.answered_candle(btc, "1w", row, LATER_NS, "history") is None


def test_candles_of_rest_in_both_spellings_of_a_time() -> None:
    market = market_of("spot")
    eth = listed(market, "ETHUSDT", grid=(2, 4))
    decoder = Decoder([eth], counts=True)
    rows = _answer("http_spot_klines", list[KlineRow])
    assert len(rows) > 1
    length_ms = rows[0][6] + 1 - int(rows[0][0])
    interval = {60_000: "1m", 3_600_000: "1h", 86_400_000: "1d"}[length_ms]
    for row in rows:
        found = decoder.answered_candle(eth, interval, row, LATER_NS, "history")
        again = decoder.answered_candle(eth, interval, (str(row[0]), *row[1:]), LATER_NS, "history")
        assert found is not None
        assert found == again
        assert found.trades == row[8]
        assert found.close == round(float(row[4]) * 100)
    assert Decoder([eth], counts=False).answered_candle(eth, interval, rows[0], LATER_NS, "check").trades == 0  # type: ignore[union-attr]


@pytest.mark.parametrize("name", payloads("user_"))
def test_messages_of_an_account_are_none_of_a_market(name: str) -> None:
    with pytest.raises(VenueProtocolError):
        decode_message(payload(name))


def test_names_that_are_not_ascii() -> None:
    market = market_of("spot")
    odd = InstrumentListed(0, 1, market.venue, "币安人生USDT", 4, 2, kind="spot", ids="sequence")
    decoder = BinanceRawDecoder(market, [odd])
    text = (
        '{"stream":"币安人生usdt@aggTrade","data":{"e":"aggTrade","E":1790000000100,"s":"币安人生USDT",'
        '"a":7,"p":"0.1234","q":"5.00","f":1,"l":2,"T":1790000000000,"m":false,"M":true}}'
    )
    assert decoder.decode(text, LATER_NS) == [Trade(LATER_NS, 1_790_000_000_000 * MS, 1, 1234, 500, BUY, 7)]
