"""A time of a venue far ahead of the clock is refused, at every venue and for every type of event."""

from __future__ import annotations

import contextlib
from collections.abc import Sequence
from typing import Any

import pytest

from adapters.apex.raw import ApexRawDecoder
from adapters.binance.decode import Decoder as BinanceDecoder
from adapters.binance.markets import USDM
from adapters.binance.raw import BinanceRawDecoder
from adapters.binance.wire import DepthSnapshot
from adapters.coinbase.raw import CoinbaseRawDecoder
from adapters.hyperliquid.decode import Decoder
from adapters.kraken.raw import KrakenRawDecoder
from adapters.lighter.raw import LighterRawDecoder
from adapters.transport.values import ValueDecoder
from engine.clock import SECOND_NS
from engine.errors import VenueProtocolError
from engine.events import Event, InstrumentListed, Trade
from tests.commands.kit import ROOT

AHEAD_NS = 5 * SECOND_NS

LATE_NS = 1_900_000_000 * SECOND_NS
"""Later than every kept message."""


def listed(venue: str, name: str, price_scale: int, size_scale: int, **more: Any) -> InstrumentListed:
    return InstrumentListed(0, 1, venue, name, price_scale, size_scale, **more)


def decoders() -> dict[str, Any]:
    """Return what reads the messages of each venue, new."""
    spot = {"kind": "spot", "ids": "sequence"}
    return {
        "apex": ApexRawDecoder([listed("apex", "BTC-USDT", 1, 3, silence="none")]),
        "binance": BinanceRawDecoder(USDM, [listed("binance-usdm", "BTCUSDT", 2, 3, ids="sequence")]),
        "coinbase": CoinbaseRawDecoder([listed("coinbase", "BTC-USD", 2, 8, **spot)]),
        "hyperliquid": Decoder([listed("hyperliquid", "BTC", 1, 5, price_figures=5)]),
        "kraken": KrakenRawDecoder([listed("kraken", "BTC/USD", 1, 8, **spot)]),
        "lighter": LighterRawDecoder([listed("lighter", "ETH", 2, 4, ids="sequence")], {0: "ETH"}),
    }


def messages(venue: str) -> list[str]:
    paths = sorted((ROOT / "tests" / "frames" / venue).glob("market-*.jsonl"))
    return [line for path in paths for line in path.read_text(encoding="utf-8").splitlines()]


def events_of(venue: str, recv_ns: int, ahead_ns: int) -> list[tuple[Event, int]]:
    """Return what the kept messages of a venue give at a time, with the venue's time of each."""
    decoder = decoders()[venue]
    for one in (decoder, *vars(decoder).values()):
        if isinstance(one, ValueDecoder):
            one.ahead_ns = ahead_ns
    decode = getattr(decoder, "decode", None) or decoder.decode_frame
    found: list[tuple[Event, int]] = []
    for message in messages(venue):
        try:
            events: Sequence[Event] = decode(message, recv_ns)
        except VenueProtocolError:
            continue
        found += [(one, at_ns) for one in events if (at_ns := time_of(one))]
    return found


def time_of(event: Any) -> int:
    """Return the venue's time of an event, 0 if it has none. A candle may end after its receipt."""
    at_ns: int = getattr(event, "start_ns", 0) or getattr(event, "venue_ns", 0)
    return at_ns


@pytest.mark.parametrize("venue", sorted(decoders()))
def test_t06_no_event_of_any_type_has_a_time_far_ahead_of_its_receipt(venue: str) -> None:
    """Fifty minutes before its time a message gives nothing with that time."""
    whole = events_of(venue, LATE_NS, AHEAD_NS)
    kinds = {type(one) for one, _ in whole}
    assert Trade in kinds
    assert len(kinds) > 1
    for at_ns in sorted({at_ns for _, at_ns in whole}):
        recv_ns = at_ns - 50 * 60 * SECOND_NS
        early = events_of(venue, recv_ns, AHEAD_NS)
        assert [one for one, at_ns in early if at_ns > recv_ns + AHEAD_NS] == []


@pytest.mark.parametrize(("ahead_s", "refused"), [(-1, False), (5, False), (5.001, True), (3000, True)])
def test_t06_a_snapshot_of_a_book_has_the_same_bound(ahead_s: float, refused: bool) -> None:
    """It is read over HTTP and has no type of event of its own."""
    btc = listed("binance-usdm", "BTCUSDT", 2, 3)
    decoder = BinanceDecoder([btc], counts=True)
    decoder.ahead_ns = AHEAD_NS
    row = DepthSnapshot(1, [("1", "1")], [("2", "1")], E=round((LATE_NS / SECOND_NS + ahead_s) * 1000))
    with pytest.raises(VenueProtocolError, match="impossible") if refused else contextlib.nullcontext():
        assert decoder.snapshot(btc, row, 1000, LATE_NS).venue_ns == row.E * 1_000_000
