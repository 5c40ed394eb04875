"""What can be used of a message that is not what the venue documents: the valid trades and candles of a list.

Owns the rules by which a damaged message is attributed and taken apart, and what confirms a subscription.
Promises: a list of trades or candles with some invalid rows is read without them; every other invalid message
is left out as a whole. A text is attributed to a channel and an instrument if it names exactly one channel;
otherwise both are unknown, and the feed doubts everything of the connection. Called by the stream
(`channels.py`) and by decoders of recorded messages.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from typing import Any, Final, NamedTuple

import msgspec

from adapters.lighter.wire import (
    ROWS_MAX,
    CandlesFrame,
    Channel,
    Frame,
    OtherFrame,
    TradesFrame,
    WireCandle,
    WireTrade,
    decode_message,
    is_snapshot,
)
from adapters.transport.decoding import BROKEN
from adapters.transport.protocol import Damage, Salvaged
from adapters.transport.salvage import rows_of, shown
from adapters.transport.text import clip
from engine.errors import VenueProtocolError

__all__ = ["Reader", "Subscribed"]

_CHANNEL: Final = re.compile(r'"channel"\s*:\s*"([a-z_]{1,40}):([0-9]{1,9})(?=[:"])')
_TYPE: Final = re.compile(r'"type"\s*:\s*"(?:subscribed|update)/([a-z_]{1,40})"')
_KINDS: Final = frozenset({"trade", "order_book", "ticker", "market_stats", "spot_market_stats", "candle"})


class Subscribed(NamedTuple):
    """A message that confirms a subscription and carries its first data."""

    key: Channel
    data: Frame | Salvaged


class Reader:
    """Reads messages about the markets whose names are given, by number."""

    def __init__(self, names: Mapping[int, str]) -> None:
        self._names = names

    def decode(self, message: str | bytes) -> Frame | Salvaged | Subscribed:
        """Return one websocket message as a frame, or what can be used of it.

        A message of an unknown type on a channel of ours counts as damaged: its type may be.
        """
        try:
            frame: Any = decode_message(message)
            if is_snapshot(frame):
                return Subscribed(Channel.of(frame.channel), frame)
        except VenueProtocolError as error:
            return self._salvage(shown(message), str(error))
        if isinstance(frame, OtherFrame) and (found := self._attributed(shown(message), "")).channel:
            return Salvaged(None, [found._replace(reason=f"type {clip(frame.type)} is unknown")])
        return frame  # type: ignore[no-any-return]

    def _salvage(self, text: str, reason: str) -> Salvaged | Subscribed:
        try:
            found = msgspec.json.decode(text, type=dict[str, msgspec.Raw])
            channel = Channel.of(msgspec.json.decode(found["channel"], type=str))
            kind, _, of = msgspec.json.decode(found["type"], type=str).partition("/")
        except (*BROKEN, KeyError, VenueProtocolError):
            return Salvaged(None, [self._attributed(text, reason)])
        salvaged = Salvaged(None, [self._attributed(text, reason)])
        if of == channel.kind == "trade":
            salvaged = self._trades(found, channel, salvaged)
        elif of == channel.kind == "candle":
            salvaged = self._candles(found, channel, salvaged)
        return Subscribed(channel, salvaged) if kind == "subscribed" and of == channel.kind else salvaged

    def _trades(self, found: Mapping[str, msgspec.Raw], channel: Channel, whole: Salvaged) -> Salvaged:
        """Return the valid trades of a message."""
        lists: dict[str, list[WireTrade]] = {}
        damages: list[Damage] = []
        for member in ("trades", "liquidation_trades"):
            rows = _rows(found.get(member))
            if rows is None:
                return whole
            found_rows, broken = rows_of(rows, WireTrade, channel.kind, self._name_of(channel))
            lists[member] = [row for row in found_rows if row is not None]
            damages += broken
        if not any(lists.values()) or not damages:
            return whole
        return Salvaged(TradesFrame(channel.text(":"), 0, **lists), damages)

    def _candles(self, found: Mapping[str, msgspec.Raw], channel: Channel, whole: Salvaged) -> Salvaged:
        """Return the valid candles of a message."""
        rows = _rows(found.get("candles"))
        if rows is None:
            return whole
        candles, damages = rows_of(rows, WireCandle, channel.kind, self._name_of(channel))
        valid = [row for row in candles if row is not None]
        if not valid or not damages:
            return whole
        return Salvaged(CandlesFrame(channel.text(":"), 0, valid), damages)

    def _name_of(self, channel: Channel) -> Callable[[msgspec.Raw], str]:
        name = self._names.get(channel.market, "")
        return lambda _: name

    def _attributed(self, text: str, reason: str) -> Damage:
        """Return the damage of a message as a whole."""
        channels = set(_CHANNEL.findall(text))
        kinds = set(_TYPE.findall(text))
        if len(channels) != 1:
            return Damage("", "", reason)
        ((kind, market),) = channels
        name = self._names.get(int(market), "")
        if kind not in _KINDS or (kinds and kinds != {kind}):
            kind = ""
        return Damage(kind, name if kind else "", reason)


def _rows(raw: msgspec.Raw | None) -> list[msgspec.Raw] | None:
    """Return the rows of a list, null or absent ones too; None for anything else."""
    if raw is None:
        return []
    try:
        rows: list[msgspec.Raw] = msgspec.json.decode(raw, type=list[msgspec.Raw] | None) or []
    except BROKEN:
        return None
    return rows if len(rows) <= ROWS_MAX else None
