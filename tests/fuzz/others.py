"""More readers of what strangers write: streams of the other venues, requests of operators, brokers, stores.

See `targets.py`, which has the readers of journals, files and Hyperliquid.
"""

from __future__ import annotations

import contextlib
import tempfile
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, Final

import msgspec

from adapters.apex.channels import MarketProtocol as ApexProtocol
from adapters.apex.raw import ApexRawDecoder
from adapters.binance.channels import Channel
from adapters.binance.channels import MarketProtocol as BinanceProtocol
from adapters.binance.gateway.account_wire import (
    AlgoEvent,
    AlgoRow,
    BalanceUpdate,
    ExecutionReport,
    FuturesAccount,
    Income,
    OrderEvent,
    OrderRow,
    PositionRow,
    SpotAccount,
    TradeRow,
    decode_user_message,
)
from adapters.binance.gateway.reading import Found, Reading
from adapters.binance.markets import USDM
from adapters.binance.raw import BinanceRawDecoder
from adapters.coinbase.channels import MarketProtocol as CoinbaseProtocol
from adapters.coinbase.raw import CoinbaseRawDecoder
from adapters.kraken.channels import MarketProtocol as KrakenProtocol
from adapters.kraken.raw import KrakenRawDecoder
from adapters.lighter.channels import MarketProtocol as LighterProtocol
from adapters.lighter.raw import LighterRawDecoder
from adapters.transport.protocol import Salvaged
from engine.errors import VenueProtocolError
from engine.events import InstrumentListed
from engine.journal import read_frames
from engine.mirror.broker import Message, Stored, StreamState
from engine.mirror.pulling import pull
from engine.operator.requests import command_of, parse_request, request_of
from engine.records import check_frame
from engine.stores.csv_bars import CsvStore

__all__ = [
    "SCRATCH",
    "apex",
    "binance",
    "binance_account",
    "broker",
    "coinbase",
    "csv_store",
    "kraken",
    "lighter",
    "operator",
]

MESSAGES_MAX: Final = 50
SCRATCH: Final = "/dev/shm" if Path("/dev/shm").is_dir() else None

_BTC: Final = InstrumentListed(0, 1, "binance-usdm", "BTCUSDT", 2, 3, silence="none", ids="sequence")
_NAMES: Final = {0: "ETH", 2048: "ETH/USDC"}


def _stream(data: bytes, protocol: Any, decode: Callable[[bytes, int], Any], recv_ns: int) -> None:
    """One message, or an array of messages: each is read by the protocol, and decoded.

    Raises VenueProtocolError if none of them can be used.
    """
    messages = [data]
    with contextlib.suppress(msgspec.MsgspecError, UnicodeError, RecursionError):
        found = msgspec.json.decode(data, type=list[msgspec.Raw])
        messages = [bytes(one) for one in found[:MESSAGES_MAX]]
    failed: VenueProtocolError | None = None
    used = 0
    for message in messages:
        try:
            frame = protocol.decode(message)
            if isinstance(frame, Salvaged):
                msgspec.json.encode([one.reason for one in frame.damages])
                frame = frame.frame
            if type(frame) in protocol.controls:
                protocol.read_control(frame)
            msgspec.msgpack.encode([*decode(message, recv_ns)])
            used += 1
        except VenueProtocolError as error:
            failed = error
    if failed is not None and not used:
        raise failed


def binance(data: bytes) -> None:
    """The market data of Binance."""
    channels = [Channel("aggTrade", "BTCUSDT"), Channel("bookTicker", "BTCUSDT")]
    decoder = BinanceRawDecoder(USDM, [_BTC])
    _stream(data, BinanceProtocol(channels), decoder.decode, 1_790_000_043_000_000_000)


def kraken(data: bytes) -> None:
    """The market data of Kraken."""
    listed = InstrumentListed(0, 1, "kraken", "BTC/USD", 1, 8, kind="spot", ids="sequence")
    decoder = KrakenRawDecoder([listed])
    _stream(data, KrakenProtocol([]), decoder.decode, 1_795_168_802_000_000_000)


def coinbase(data: bytes) -> None:
    """The market data of Coinbase."""
    listed = InstrumentListed(0, 1, "coinbase", "BTC-USD", 2, 8, kind="spot", ids="sequence")
    decoder = CoinbaseRawDecoder([listed])
    _stream(data, CoinbaseProtocol(), decoder.decode, 1_795_168_802_000_000_000)


def lighter(data: bytes) -> None:
    """The market data of Lighter."""
    listed = [
        InstrumentListed(0, 1, "lighter", "ETH", 2, 4, silence="none", ids="sequence"),
        InstrumentListed(0, 2, "lighter", "ETH/USDC", 2, 4, kind="spot", silence="none", ids="sequence"),
    ]
    decoder = LighterRawDecoder(listed, _NAMES)
    _stream(data, LighterProtocol(_NAMES), decoder.decode, 1_774_883_846_000_000_000)


def apex(data: bytes) -> None:
    """The market data of ApeX."""
    recv_ns = 1_790_586_415_000_000_000
    decoder = ApexRawDecoder([InstrumentListed(0, 1, "apex", "BTC-USDT", 1, 3, silence="none")])
    _stream(data, ApexProtocol({"BTCUSDT": "BTC-USDT"}, lambda: recv_ns), decoder.decode, recv_ns)


def binance_account(data: bytes) -> None:
    """The user data of Binance, or an answer about an account; the first byte chooses."""
    kind, body = data[:1], data[1:]
    at_ns = 1_790_000_043_000_000_000
    reading = Reading([_BTC])
    events: list[Any] = []
    if kind == b"w":
        event = decode_user_message(body)
        if isinstance(event, ExecutionReport | OrderEvent):
            row = event if isinstance(event, ExecutionReport) else event.order
            price, size, fee = row.last_price, row.last_size, (row.fee or "0", row.fee_asset or "")
            number = row.trade_id, row.order_id
            shown = row.client_id
            events.append(
                reading.fill(row.symbol, 1, price, size, fee, row.maker, number, row.time, shown, "", at_ns)
            )
            if reading.number(row.symbol):
                reading.size(1, row.executed)
        elif isinstance(event, AlgoEvent) and reading.number(event.algo.symbol):
            reading.size(1, event.algo.quantity)
            reading.time_ns(event.time, at_ns)
        elif isinstance(event, BalanceUpdate):
            events.append(reading.moved(event, at_ns))
    elif kind == b"o":
        for one in _rows(body, OrderRow):
            events.append(reading.foreign(one, at_ns, at_ns))
            events.append(reading.answer(Found(one, None), "0xa", at_ns, at_ns, 1))
    elif kind == b"a":
        events += [reading.answer(Found(None, one), "0xa", at_ns, at_ns, 1) for one in _rows(body, AlgoRow)]
    elif kind == b"t":
        events += [reading.trade(one, one.symbol, "", at_ns) for one in _rows(body, TradeRow)]
    elif kind == b"p":
        events += reading.positions(_rows(body, PositionRow), at_ns, at_ns)
    elif kind == b"i":
        for one in _rows(body, Income):
            events += [reading.funding(one, at_ns), reading.transfer(one, at_ns)]
    elif kind == b"f":
        reading.futures_money(_decoded(body, FuturesAccount))
    elif kind == b"s":
        account = _decoded(body, SpotAccount)
        reading.held(account)
        events += reading.balances(account, at_ns, at_ns)
    msgspec.msgpack.encode([event for event in events if event is not None])


def _rows(body: bytes, shape: type[Any]) -> list[Any]:
    found: list[Any] = _decoded(body, list[shape])  # type: ignore[valid-type]
    return found


def _decoded(body: bytes, shape: Any) -> Any:
    """Decode an answer as the gateway does."""
    try:
        return msgspec.json.decode(body, type=shape)
    except (msgspec.MsgspecError, UnicodeError, RecursionError) as error:
        raise VenueProtocolError(str(error)) from None


def operator(data: bytes) -> None:
    """A request of an operator, and the command that it becomes."""
    request = parse_request(data, "somebody")
    command = command_of(request, 1)
    msgspec.msgpack.encode(command)
    request_of(command)


class _Held:
    """A broker that holds what the input says."""

    place = "fuzz"

    def __init__(self, messages: Sequence[Message]) -> None:
        self._messages = messages

    def look(self, subject: str) -> StreamState:
        return StreamState(1, len(self._messages), 1 << 20)

    def read(self, subject: str, begin: int, count: int) -> list[Stored]:
        found = self._messages[begin - 1 : begin - 1 + count]
        return [Stored(begin + place, one.headers, one.data) for place, one in enumerate(found)]


def broker(data: bytes) -> None:
    """The messages of a mirror: msgpack of [headers, data] behind two bytes. A journal is made of them."""
    try:
        found = msgspec.msgpack.decode(data[2:], type=list[tuple[dict[str, str], bytes]])
    except (msgspec.MsgspecError, UnicodeError, RecursionError):
        return  # the broker's own form, not ours
    messages = [Message(headers, body) for headers, body in found]
    with tempfile.TemporaryDirectory(prefix="fuzz-", dir=SCRATCH) as folder:
        root = Path(folder) / "journal"
        pulled = pull(_Held(messages), root)  # type: ignore[arg-type]
        for day in pulled.days:
            for frame in read_frames(root / day):
                check_frame(frame)


def csv_store(data: bytes) -> None:
    """The cursor of a store of CSV files, then a line of `-`, then the end of such a file."""
    cursor, _, lines = data.partition(b"\n-\n")
    with tempfile.TemporaryDirectory(prefix="fuzz-", dir=SCRATCH) as name:
        folder = Path(name) / "bars"
        folder.mkdir()
        beside = Path(name) / "beside.csv"
        beside.write_bytes(b"not ours")
        (folder / ".cursor.json").write_bytes(cursor)
        (folder / "x-COIN-1m.csv").write_bytes(lines)
        store = CsvStore(folder)
        try:
            store.witness()
            with store.transaction():
                store.cursor()
                [*store.instruments()]
        finally:
            store.close()
            assert beside.read_bytes() == b"not ours", "a file outside of the store was changed"
