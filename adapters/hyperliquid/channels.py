"""What is subscribed to: prints and the touch of every coin, and the channels a session asks for.

Owns the names of channels and how acknowledgements are matched. Promises: one book per coin, since fast and
default books come on one channel and only a member tells them apart. Called by `feed.py` and `line.py`.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Final, NamedTuple

from adapters.hyperliquid.listing import dex_of
from adapters.hyperliquid.wire import Subscription, subscribe_text
from engine.config import CHANNELS
from engine.errors import UsageError
from engine.events import InstrumentListed

__all__ = ["VENUE_INTERVALS", "Wanted", "check_channels", "share_out", "venue_intervals"]

VENUE_INTERVALS: Final = ("1m", "3m", "5m", "15m", "30m", "1h", "2h", "4h", "8h", "12h", "1d")
"""The venue's candle intervals that divide a day; of those shorter than a minute it has none."""


class Wanted(NamedTuple):
    """One subscription, as the venue names it. Equal to what its acknowledgement echoes of these members."""

    kind: str
    coin: str = ""
    interval: str = ""
    fast: bool = False
    dex: str = ""

    def text(self) -> str:
        """Return the message that asks for it; members that are not set are left out."""
        options = {
            name: value
            for name, value in (("interval", self.interval), ("fast", self.fast), ("dex", self.dex))
            if value
        }
        return subscribe_text(self.kind, self.coin, **options)

    def __str__(self) -> str:
        """Return it for people."""
        of = f" of {self.coin}" if self.coin else ""
        return f"the subscription to {self.kind}{of}"

    @classmethod
    def echoed(cls, echo: Subscription) -> Wanted:
        """Return what an acknowledgement confirms: matched by our members, whatever else it has."""
        return cls(echo.type, echo.coin or "", echo.interval or "", bool(echo.fast), echo.dex or "")


def check_channels(channels: Sequence[str]) -> None:
    """Raise UsageError for channels that cannot be had, or not together."""
    for channel in channels:
        if channel not in CHANNELS:
            raise UsageError(f"there is no channel {channel!r}; known: {', '.join(CHANNELS)}")
    if "l2Book" in channels and "l2BookFast" in channels:
        raise UsageError("l2Book and l2BookFast come on one channel, mixed; choose one of them")


def venue_intervals(intervals: Sequence[str]) -> tuple[str, ...]:
    """Return those intervals that the venue has candles of, shortest first."""
    return tuple(name for name in VENUE_INTERVALS if name in intervals)


def share_out(
    instruments: Sequence[InstrumentListed],
    channels: Sequence[str],
    intervals: Sequence[str],
    per_connection: int,
) -> list[tuple[tuple[InstrumentListed, ...], tuple[Wanted, ...]]]:
    """Return what each connection carries: its instruments, all of each, and its subscriptions.

    A connection takes coins until it has `per_connection` subscriptions, and at least one.
    """
    shares: list[tuple[list[InstrumentListed], list[Wanted]]] = []
    dexs: set[str] = set()
    for listed in instruments:
        wanted = list(_of_coin(listed.name, channels, venue_intervals(intervals)))
        dex = dex_of(listed.name)
        if "allMids" in channels and dex not in dexs:
            dexs.add(dex)
            wanted.append(Wanted("allMids", dex=dex))
        if not shares or len(shares[-1][1]) + len(wanted) > per_connection:
            shares.append(([], []))
        shares[-1][0].append(listed)
        shares[-1][1].extend(wanted)
    return [(tuple(coins), tuple(wanted)) for coins, wanted in shares]


def _of_coin(coin: str, channels: Sequence[str], intervals: Sequence[str]) -> Iterator[Wanted]:
    yield Wanted("trades", coin)
    yield Wanted("bbo", coin)
    if "l2Book" in channels or "l2BookFast" in channels:
        yield Wanted("l2Book", coin, fast="l2BookFast" in channels)
    if "candle" in channels:
        for interval in intervals:
            yield Wanted("candle", coin, interval)
    if "activeAssetCtx" in channels:
        yield Wanted("activeAssetCtx", coin)
