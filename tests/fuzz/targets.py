"""The readers of what strangers write, each as a function of bytes, and the errors it may raise.

A target reads some bytes as one part of the engine would. Promises to check: nothing but the declared errors
leaves it, and neither time nor memory grows with anything but the length of the bytes. Called by
`test_fuzz.py` for seconds and by `run.py` for minutes.
"""

from __future__ import annotations

import contextlib
import shutil
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any, Final, NamedTuple

import msgspec

from adapters.files import import_files
from adapters.hyperliquid.answers import PerpDex, SpotMeta, WireFunding
from adapters.hyperliquid.channels import MarketProtocol
from adapters.hyperliquid.decode import Decoder
from adapters.hyperliquid.gateway.account_wire import (
    EventsFrame,
    FillsFrame,
    LedgerFrame,
    OpenOrder,
    OrderAnswer,
    UpdatesFrame,
    WireFill,
    WireFundingRow,
    WireLedgerRow,
    WireState,
)
from adapters.hyperliquid.gateway.outcomes import read_outcomes
from adapters.hyperliquid.gateway.posts import AccountProtocol, Posts
from adapters.hyperliquid.gateway.reading import Reading
from adapters.hyperliquid.gateway.reports import report
from adapters.hyperliquid.gateway.sender import read_answer
from adapters.hyperliquid.listing import asset_ids, list_instruments
from adapters.hyperliquid.wire import (
    BboFrame,
    BookFrame,
    CandleFrame,
    ContextFrame,
    ExchangeStatus,
    Meta,
    MidsFrame,
    SpotContextFrame,
    TradesFrame,
    WireBook,
    WireCandle,
    WireTrade,
)
from adapters.transport.decoding import decode_body
from adapters.transport.protocol import Salvaged
from engine.config import load_config, parse_config
from engine.errors import CommandError, ConfigError, EngineError, JournalError, UsageError, VenueProtocolError
from engine.events import InstrumentListed, OrderTerms, SubmitOrder
from engine.journal import Frame, read_frames, recover
from engine.mirror.errors import MirrorError
from engine.records import check_frame, records_of
from engine.stores.errors import StoreError
from tests.files.kit import CountingIds
from tests.fuzz import lighter_account, others
from tests.fuzz.mending import mended
from tests.hyperliquid.venue import START_NS

__all__ = ["TARGETS", "Target"]

_LISTED: Final = (
    InstrumentListed(START_NS, 1, "hyperliquid", "BTC", price_scale=1, size_scale=5, price_figures=5),
    InstrumentListed(START_NS, 2, "hyperliquid", "ETH", price_scale=2, size_scale=4, price_figures=5),
    InstrumentListed(START_NS, 3, "hyperliquid", "@107", price_scale=4, size_scale=4, kind="spot"),
)
_USER: Final = "0x" + "1" * 40
_CLOID: Final = "0x" + "a" * 32
_SCRATCH: Final = others.SCRATCH
"""Files in memory: most of the time of a target would be spent in syncs."""


class Target(NamedTuple):
    """One reader. `form` is that of its bytes: json, msgpack, text or bytes; mutations follow it."""

    read: Callable[[bytes], None]
    errors: tuple[type[EngineError], ...]
    form: str


def _frames(data: bytes) -> None:
    """A frame whose bytes are whole. Its first two bytes say the count and where the derived blob begins."""
    count, share = data[0] if data else 1, data[1] if len(data) > 1 else 255
    blob = data[2:]
    middle = len(blob) if share == 255 else len(blob) * share // 255
    frame = Frame(1, max(1, count), 0, blob[:middle], blob[middle:], bytes(32), "x.seg", 128)
    check_frame(frame)
    for _ in records_of(frame):
        pass


def _segment(data: bytes) -> None:
    """A segment, plain or sealed; as it is, or with all its checks computed again."""
    sealed = data[:1] == b"z"
    body = data[2:]
    if data[1:2] != b"r":
        body = mended(body, sealed=sealed)
    with tempfile.TemporaryDirectory(prefix="fuzz-", dir=_SCRATCH) as folder:
        root = Path(folder)
        day = root / "2024-12-05"
        day.mkdir()
        (root / "journal.id").write_bytes(b"66" * 16 + b"\n")
        (day / f"{1:020d}.seg{'.zst' if sealed else ''}").write_bytes(body)
        try:
            for frame in read_frames(day):
                check_frame(frame)
        finally:
            recover(root)


def _market(data: bytes) -> None:
    """A message of the market data's stream."""
    decoder = Decoder(_LISTED)
    protocol = MarketProtocol()
    for message in (data, data.decode("utf-8", "surrogateescape")):
        frame = protocol.decode(message)
        if isinstance(frame, Salvaged):
            frame = frame.frame
        if type(frame) in protocol.controls:
            protocol.read_control(frame)
        elif isinstance(frame, TradesFrame):
            decoder.pieces(frame.data, START_NS)
        elif isinstance(frame, CandleFrame):
            rows = frame.data if isinstance(frame.data, list) else [frame.data]
            for row in rows:
                _each(lambda row=row: decoder.candle(row, START_NS, "stream"))
        elif isinstance(frame, BboFrame):
            decoder.quote(frame.data, START_NS)
        elif isinstance(frame, BookFrame):
            decoder.book(frame.data, START_NS)
        elif isinstance(frame, ContextFrame | SpotContextFrame):
            decoder.context(frame.data, START_NS)
        elif isinstance(frame, MidsFrame):
            decoder.mids(frame.data.mids, START_NS)
        msgspec.msgpack.encode([one.reason for one in decoder.damages])


def _each(read: Callable[[], object]) -> None:
    with contextlib.suppress(VenueProtocolError):
        read()


def _info(data: bytes) -> None:
    """Answers to reads of the market over HTTP; the first byte chooses the request."""
    kind, body = data[:1], data[1:]
    decoder = Decoder(_LISTED)
    if kind == b"m":
        meta = decode_body(body, Meta)
        list_instruments(meta, START_NS, [one.name for one in meta.universe] or ["BTC"], loopback=True)
        asset_ids(meta)
    elif kind == b"d":
        metas = decode_body(body, list[Meta])
        list_instruments(metas[0] if metas else Meta([]), START_NS, ["xyz:ABC"], dexs=metas[1:])
    elif kind == b"s":
        spot = decode_body(body, SpotMeta)
        list_instruments(Meta([]), START_NS, [one.name for one in spot.universe[:5]], spot=spot)
    elif kind == b"p":
        decode_body(body, list[PerpDex | None])
    elif kind == b"t":
        decode_body(body, ExchangeStatus)
    elif kind == b"r":
        decoder.pieces(decode_body(body, list[WireTrade]), START_NS)
    elif kind == b"b":
        decoder.book(decode_body(body, WireBook), START_NS)
    elif kind == b"c":
        for candle in decode_body(body, list[WireCandle]):
            _each(lambda candle=candle: decoder.candle(candle, START_NS, "history"))
    elif kind == b"f":
        for rate in decode_body(body, list[WireFunding]):
            _each(lambda rate=rate: decoder.funding(rate, START_NS))


def _account(data: bytes) -> None:
    """A message of the account's stream, or an answer about it; the first byte chooses."""
    kind, body = data[:1], data[1:]
    reading = Reading(_LISTED, user=_USER)
    events: list[Any] = []
    if kind == b"w":
        protocol = AccountProtocol(Posts())
        frame = protocol.decode(body)
        if type(frame) in protocol.controls:
            protocol.read_control(frame)
        elif isinstance(frame, FillsFrame):
            events += [reading.fill(row, START_NS) for row in frame.data.fills]
        elif isinstance(frame, UpdatesFrame):
            for row in frame.data:
                events.append(reading.update(row, START_NS))
                reading.executed(row)
        elif isinstance(frame, LedgerFrame):
            events += [reading.transfer(row, START_NS) for row in frame.data.non_funding_ledger_updates]
        elif isinstance(frame, EventsFrame):
            if frame.data.funding is not None:
                events.append(reading.funding(frame.data.funding, START_NS))
            if frame.data.liquidation is not None:
                events.append(reading.liquidation(frame.data.liquidation, START_NS))
    elif kind == b"f":
        events += [reading.fill(row, START_NS) for row in decode_body(body, list[WireFill])]
    elif kind == b"u":
        events += [reading.payment(row, START_NS) for row in decode_body(body, list[WireFundingRow])]
    elif kind == b"l":
        rows = decode_body(body, list[WireLedgerRow])
        events += [reading.transfer(row, START_NS) for row in rows]
    elif kind == b"o":
        events += [reading.foreign(row, START_NS, START_NS) for row in decode_body(body, list[OpenOrder])]
    elif kind == b"q":
        events.append(reading.answer(decode_body(body, OrderAnswer), _CLOID, START_NS, START_NS, 1))
    elif kind == b"s":
        state = decode_body(body, WireState)
        events += reading.positions("", state, START_NS)
        reading.unrealized([state])
        reading.money(state.margin_summary.account_value, state.withdrawable)
    msgspec.msgpack.encode([event for event in events if event is not None])


def _answers(data: bytes) -> None:
    """The answer to an order. Whatever it is, the order gets one outcome and one report."""
    status = {b"4": 400, b"5": 500, b"9": 429}.get(data[:1], 200)
    command = SubmitOrder(_CLOID, "S", 1, 1, OrderTerms(1, 100), START_NS)
    outcomes = read_answer(status, data[1:], 2)
    assert len(outcomes) == 2
    assert len(read_outcomes(data[1:], 1)) == 1
    for outcome in outcomes:
        (event,) = report(command, outcome, START_NS)
        msgspec.msgpack.encode(event)


_NAMES: Final = ("a.csv", "a.json", "a.jsonl", "a", "a.csv.gz", "a.zip", "a.csv.xz", "a.csv.zst", "a.parquet")
_LAYOUTS: Final = (None, "columns", "binance-klines", "kraken-trades", "ccxt-ohlcv", "coinbase-trades")


def _imports(data: bytes) -> None:
    """A data file: the first two bytes choose its name and a layout."""
    name = _NAMES[(data[0] if data else 0) % len(_NAMES)]
    layout = _LAYOUTS[(data[1] if len(data) > 1 else 0) % len(_LAYOUTS)]
    folder = Path(tempfile.mkdtemp(prefix="fuzz-", dir=_SCRATCH))
    try:
        path = folder / name
        path.write_bytes(data[2:])
        import_files(
            [path],
            venue="venue",
            instrument="COIN",
            journal=folder / "journal",
            layout=layout,
            ids=CountingIds(),
        )
    finally:
        shutil.rmtree(folder)


def _config(data: bytes) -> None:
    """A configuration file, and a recorded configuration."""
    with tempfile.TemporaryDirectory(prefix="fuzz-", dir=_SCRATCH) as folder:
        path = Path(folder) / "c.toml"
        path.write_bytes(data)
        load_config(path)


def _recorded_config(data: bytes) -> None:
    parse_config(data.decode("utf-8", "replace"))


TARGETS: Final = {
    "frames": Target(_frames, (JournalError,), "msgpack"),
    "segments": Target(_segment, (JournalError,), "bytes"),
    "market": Target(_market, (VenueProtocolError,), "json"),
    "info": Target(_info, (VenueProtocolError, UsageError), "json"),
    "account": Target(_account, (VenueProtocolError,), "json"),
    "answers": Target(_answers, (), "json"),
    "imports": Target(_imports, (UsageError,), "text"),
    "config": Target(_config, (ConfigError,), "text"),
    "recorded-config": Target(_recorded_config, (ConfigError,), "json"),
    "binance": Target(others.binance, (VenueProtocolError,), "json"),
    "binance-account": Target(others.binance_account, (VenueProtocolError,), "json"),
    "kraken": Target(others.kraken, (VenueProtocolError,), "json"),
    "coinbase": Target(others.coinbase, (VenueProtocolError,), "json"),
    "lighter": Target(others.lighter, (VenueProtocolError,), "json"),
    "lighter-account": Target(lighter_account.lighter_account, (VenueProtocolError,), "json"),
    "apex": Target(others.apex, (VenueProtocolError,), "json"),
    "operator": Target(others.operator, (CommandError,), "json"),
    "broker": Target(others.broker, (MirrorError, JournalError, UsageError), "msgpack"),
    "csv-store": Target(others.csv_store, (StoreError,), "text"),
}
