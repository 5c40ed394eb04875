"""Trades of a venue that counts them up by one: their ids prove whether one is missing.

Promises: a piece of trades proves that none is missing since a known one if it reaches back to the trade
after it; a message whose ids skip some is split where they do. Pure. Called by the feed of such a venue,
whose trackers get `follows` as their proof (`gaps.py`).
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import NamedTuple

from adapters.transport.gaps import Carrier, GapTracker, Pieces
from adapters.transport.protocol import Damage
from adapters.transport.trades import Key, TradeMemory
from engine.events import Trade

__all__ = ["Missing", "NumberedTracker", "follows", "split", "split_message", "whole"]


class Missing(NamedTuple):
    """The trades between two ids are missing, in a stream that was whole before."""

    after: int
    before: int

    def __str__(self) -> str:
        """Return the reason of a damage."""
        return f"trades between {self.after} and {self.before} are missing"


def follows(memory: TradeMemory, trades: list[Trade], key: Key | None = None) -> bool:
    """Return whether trades without a gap begin no later than the one after a known trade, else the last.

    They must reach that trade too: older ones alone prove nothing. Without a known id, see `overlaps`.
    """
    known = memory.last_key if key is None else key
    if known is None or not trades:
        return memory.overlaps(trades, key)
    ids = [int(trade.trade_id) for trade in trades]
    return min(ids) <= int(known[1]) + 1 and max(ids) >= int(known[1])


def split(pieces: Pieces, memory: TradeMemory) -> tuple[Pieces, list[Missing]]:
    """Return pieces of one instrument, split where ids are missing, and what is missing of a whole stream.

    Each piece is in the order of ids. What follows a loss is joined by its tracker, which reports a gap, so
    nothing is reported for it here.
    """
    whole = memory.waiting is None and not memory.resuming
    last = _last_id(memory)
    found: Pieces = []
    missing: list[Missing] = []
    for piece in pieces:
        found.append([])
        for trade in piece:
            number = int(trade.trade_id)
            if last is not None and number > last + 1:
                found.append([])
                if whole:
                    missing.append(Missing(last, number))
            found[-1].append(trade)
            last = number if last is None else max(last, number)
        if len(pieces) > 1:
            last = None  # what is between two pieces is reported already
    return found, missing


def split_message(
    pieces: Pieces, trackers: Mapping[int, GapTracker], names: Mapping[int, str], channel: str
) -> tuple[list[Pieces], list[Damage]]:
    """Return the trades of a message by instrument, split where ids are missing, and what is missing.

    `names` of instruments are those of their damages, on `channel`.
    """
    taken: list[Pieces] = []
    damages: list[Damage] = []
    for number in dict.fromkeys(trade.instrument for piece in pieces for trade in piece):
        own = [[trade for trade in piece if trade.instrument == number] for piece in pieces]
        own, missing = split(own, trackers[number].memory)
        taken.append(own)
        name = names[number]
        damages += [Damage(channel, name, f"{name}: {one}", True) for one in missing]
    return taken, damages


def _last_id(memory: TradeMemory) -> int | None:
    if memory.waiting is not None:
        held = [int(trade.trade_id) for piece in memory.waiting for trade in piece]
        return max(held, default=None)
    if memory.resuming or memory.last_key is None:
        return None
    return int(memory.last_key[1])


def whole(pieces: Pieces) -> Pieces:
    """Return trades in the order of ids, split where one is missing, without repetitions."""
    found = {int(trade.trade_id): trade for piece in pieces for trade in piece}
    pieces = [[]]
    last: int | None = None
    for trade_id in sorted(found):
        if last is not None and trade_id != last + 1:
            pieces.append([])
        pieces[-1].append(found[trade_id])
        last = trade_id
    return pieces


class NumberedTracker(GapTracker):
    """The trades of one instrument whose ids count up by one: what is joined is split where ids are missing.

    Messages may be lost while trades are held, before a connection is up and after; only ids show that.
    """

    def _join(self, pieces: Pieces, recv_ns: int, carrier: Carrier, *, complete: bool = True) -> None:
        found = whole(self.memory.carried + pieces)
        self.memory.carried = []
        if len(pieces) > 1 and not pieces[-1]:
            found.append([])
        super()._join(found, recv_ns, carrier, complete=complete)
