"""Recorded frames of Binance: they decode, books rebuild, trades make the venue's own candles."""

from __future__ import annotations

import csv
import gzip
import json
from collections import Counter
from itertools import pairwise
from typing import Any

import msgspec
import pytest

from adapters.binance.decode import Decoder
from adapters.binance.raw import BinanceRawDecoder
from adapters.binance.wire import DepthSnapshot, KlineRow, RestAggTrade, decode_body, decode_message
from adapters.transport.sequence import CHAINED, CONTIGUOUS
from adapters.transport.synced import SyncedBook
from engine.events import BookRead, CandleRead, Quote, Trade
from engine.values import BUY
from tests.binance.samples import (
    _SHARED,
    LATER_NS,
    frames,
    listed,
    market_of,
    recorded_instrument,
    recording,
)

MS = 1_000_000
SYNC = {
    "spot": ("rec_spot_depth_sync_nknusdt", "NKNUSDT", CONTIGUOUS),
    "futures": ("rec_futures_depth_sync_sushiusdt", "SUSHIUSDT", CHAINED),
}


class _Numbered(msgspec.Struct):
    e: str = ""
    E: int = 0
    u: int = 0


class _Message(msgspec.Struct):
    data: _Numbered


@pytest.mark.parametrize(("kind", "trades", "quotes"), [("spot", 9_757, 28_040), ("futures", 21_313, 66_089)])
def test_every_recorded_frame_decodes_and_the_book_stays_that_of_the_best_prices(
    kind: str, trades: int, quotes: int
) -> None:
    """Six minutes of BTCUSDT. The book has the best bid and ask that the venue sent of the same update."""
    btc = recorded_instrument(kind)
    decoder = BinanceRawDecoder(market_of(kind), [btc])
    counts: Counter[str] = Counter()
    ids: list[int] = []
    best: dict[int, Quote] = {}
    update_at: dict[int, int] = {}  # the newest update of a diff, by its time
    compared = 0
    for recv_ns, text in frames(kind):
        data = msgspec.json.decode(text, type=_Message).data
        if data.e == "depthUpdate":
            update_at[data.E * MS] = data.u
        for event in decoder.decode(text, recv_ns):
            counts[type(event).__name__] += 1
            if isinstance(event, Trade):
                ids.append(int(event.trade_id))
            elif isinstance(event, Quote):
                best[data.u] = event
            elif isinstance(event, BookRead):
                quote = best.get(update_at.get(event.venue_ns, 0))
                if quote is not None and event.bids and event.asks:
                    assert event.bids[0][:2] == (quote.bid, quote.bid_size)
                    assert event.asks[0][:2] == (quote.ask, quote.ask_size)
                    compared += 1
    assert (counts["Trade"], counts["Quote"]) == (trades, quotes)
    assert ids == [*range(ids[0], ids[0] + trades)]
    assert counts["BookRead"] > 2000
    assert compared > 100
    assert decoder._decoder.refused == 0


def _sync(kind: str, leave_out: int | None = None) -> tuple[list[str], list[BookRead], Any]:
    """Play a recorded snapshot and its diffs as they came; return reasons, reads and the recording."""
    name, symbol, rule = SYNC[kind]
    found = recording(name)
    one = listed(market_of(kind), symbol)
    decoder = Decoder([one], counts=False)
    book = SyncedBook(one, rule, pulled=True, every_ms=0, levels=5)
    row = decode_body(json.dumps(found["snapshot"]).encode(), DepthSnapshot)
    snapshot = decoder.snapshot(one, row, 1000, LATER_NS)
    reasons, reads, taken = [], [], False
    for place, row in enumerate(found["frames"]):
        if not taken and row["recv"] > found["snapshot_recv"]:
            reasons.append(book.take_snapshot(snapshot))
            taken = True
        if place == leave_out:
            continue
        frame = decode_message(json.dumps(row["frame"]))
        diff = decoder.diff(frame.event, LATER_NS)  # type: ignore[union-attr]
        assert diff is not None
        reasons.append(book.take_diff(diff[1]))
        read = book.read(place)
        reads += [read] if read is not None else []
    return reasons, reads, found


def _model(found: Any) -> dict[str, dict[str, float]]:
    """The same book as plain dictionaries of floats, by the rules as they are documented."""
    sides = {
        side: {price: float(size) for price, size in found["snapshot"][side]} for side in ("bids", "asks")
    }
    for row in found["frames"]:
        data = row["frame"]["data"]
        if data["u"] < found["snapshot"]["lastUpdateId"]:
            continue
        for side, key in (("bids", "b"), ("asks", "a")):
            for price, size in data[key]:
                sides[side][price] = float(size)
    return {side: {price: size for price, size in rows.items() if size} for side, rows in sides.items()}


@pytest.mark.parametrize("kind", ["spot", "futures"])
def test_a_recorded_sequence_of_diffs_rebuilds_the_book(kind: str) -> None:
    reasons, reads, found = _sync(kind)
    assert not any(reasons)
    assert len(reads) > 10
    model = _model(found)
    best_bids = sorted(((float(price), size) for price, size in model["bids"].items()), reverse=True)[:5]
    best_asks = sorted((float(price), size) for price, size in model["asks"].items())[:5]
    assert [(price / 1e4, size) for price, size, _ in reads[-1].bids] == best_bids
    assert [(price / 1e4, size) for price, size, _ in reads[-1].asks] == best_asks


@pytest.mark.parametrize("kind", ["spot", "futures"])
def test_a_diff_that_is_left_out_is_found(kind: str) -> None:
    _, whole, found = _sync(kind)
    reasons, reads, _ = _sync(kind, leave_out=20)
    broken = [one for one in reasons if one]
    assert len(broken) == 1
    assert "missing" in broken[0]
    assert reads == whole[: len(reads)]
    assert reads[-1].venue_ns <= found["frames"][19]["frame"]["data"]["E"] * MS


def test_the_rule_of_spot_would_break_a_book_of_futures_with_every_diff() -> None:
    found = recording(SYNC["futures"][0])
    rows = [row["frame"]["data"] for row in found["frames"]]
    assert all(after["pu"] == before["u"] for before, after in pairwise(rows))
    assert not any(after["U"] == before["u"] + 1 for before, after in pairwise(rows))


@pytest.mark.parametrize("name", ["rec_spot_kline_agg_bookticker", "rec_futures_agg_kline_bookticker"])
def test_recorded_frames_of_candles_aggregate_trades_and_best_prices(name: str) -> None:
    rows = recording(name)["frames"]
    symbols = sorted({row["frame"]["stream"].partition("@")[0].upper() for row in rows})
    market = market_of(name)
    decoder = BinanceRawDecoder(
        market, [listed(market, symbol, number, (8, 8)) for number, symbol in enumerate(symbols, start=1)]
    )
    counts: Counter[str] = Counter()
    for row in rows:
        (event,) = decoder.decode(json.dumps(row["frame"]), int(row["recv"] * 1e9))
        kind = row["frame"]["stream"].partition("@")[2].partition("_")[0]
        assert type(event) is {"bookTicker": Quote, "kline": CandleRead, "aggTrade": Trade}[kind]
        if kind == "bookTicker" and market.kind == "spot":
            assert event.venue_ns == event.recv_ns  # type: ignore[attr-defined]
        counts[kind] += 1
    assert set(counts) == {"bookTicker", "kline", "aggTrade"}


def _table(name: str) -> list[list[str]]:
    path = _SHARED / "data" / "trades-and-candles" / f"binance-spot-XRPETH-201910-{name}.csv.gz"
    if not path.is_file():
        pytest.skip("the recorded trades are not beside the project")
    with gzip.open(path, "rt") as lines:
        return list(csv.reader(lines))[1:]


@pytest.mark.parametrize(("interval", "length_ms"), [("1m", 60_000), ("5m", 300_000)])
def test_recorded_trades_make_the_venues_candles(interval: str, length_ms: int) -> None:
    """12,477 aggregate trades of two days, as REST answers them, against all candles: all fields equal."""
    xrp = listed(market_of("spot"), "XRPETH")
    decoder = Decoder([xrp], counts=False)
    bars: dict[int, list[int]] = {}
    last_id = None
    for time, number, side, price, amount, _ in _table("trades"):
        row = RestAggTrade(int(number), price, f"{float(amount):.8f}", int(time), side == "sell")
        trade = decoder.answered_trade("aggTrade", xrp, row, LATER_NS)
        assert trade is not None
        assert (trade.aggressor == BUY) == (side == "buy")
        assert last_id is None or trade.trade_id == last_id + 1
        last_id = int(trade.trade_id)
        start = int(time) // length_ms * length_ms
        bar = bars.setdefault(start, [trade.price, trade.price, trade.price, 0, 0])
        bar[1:] = [max(bar[1], trade.price), min(bar[2], trade.price), trade.price, bar[4] + trade.size]
    rows = _table(interval)
    assert len(rows) == len(bars)
    for time, *prices, volume in rows:
        start = int(time)
        odd = (f"{float(volume):.8f}", start + length_ms - 1, "0", 1, "0", "0", "0")
        kline: KlineRow = (start, *prices, *odd)  # type: ignore[assignment]
        candle = decoder.answered_candle(xrp, interval, kline, LATER_NS, "check")
        assert candle is not None
        assert [candle.open, candle.high, candle.low, candle.close, candle.volume] == bars[start]
