"""Recorded events that a person should know about at once, and the count of refusals.

Owns which events become a line, and its words. Nothing depends on a line. Called by the live session for
every record that is durable.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Final

from engine.clock import iso_text
from engine.events import (
    AccountAdjusted,
    BookAdjusted,
    CandleRead,
    ClockJumped,
    EngineHalted,
    EngineLagging,
    Event,
    ExitDelayed,
    FeedLagging,
    InstrumentListed,
    Liquidated,
    MarginCalled,
    MarketHalted,
    OrderRefused,
    PositionDiffers,
    ProtectionChanged,
)
from engine.instruments import Instruments, labels
from engine.runtime.supervisor import Health
from engine.values import format_scaled, parse_interval, rescale

__all__ = ["LOUD", "Notices", "refusals_text", "short_warm_up"]

LOUD: Final = frozenset(
    {
        "failed",
        "halted",
        "jumped",
        "reset",
        "delayed",
        "adjusted",
        "unprotected",
        "liquidated",
        "margin",
        "open",
        "short",
        "stuck",
        "lagging",
    }
)
"""The states of lines that are shown also without a terminal."""

_STOPPED: Final = "operator: stop"


def short_warm_up(
    events: Sequence[Event], instruments: Sequence[InstrumentListed], intervals: Sequence[str], count: int
) -> str:
    """Return which series of a warm-up have fewer than `count` bars, "" if none has, or if all have none.

    A venue without any history, such as a sandbox that has just begun, is no surprise.
    """
    bars = Counter((one.instrument, one.interval_ns) for one in events if isinstance(one, CandleRead))
    if not bars:
        return ""
    names = labels(instruments)
    short = [
        f"{names[listed.instrument]} {interval} has {number:,}"
        for listed in instruments
        for interval in intervals
        if (number := bars[listed.instrument, parse_interval(interval)]) < count
    ]
    return f"of {count:,} bars, {', '.join(short)}" if short else ""


class Notices:
    """Makes lines of events. `refused` counts refusals by the limit that refused.

    `instruments` give the labels. The scales of sizes are those in force at each event: those at first, then
    what events list.
    """

    def __init__(self, instruments: Instruments) -> None:
        self.refused: Counter[str] = Counter()
        self._instruments = instruments
        self._scales = {number: listed.size_scale for number, listed in instruments.items()}
        self._protected: dict[tuple[str, int], tuple[int, int]] = {}

    def of(self, event: Event) -> Health | None:
        """Return the line of an event, or None."""
        match event:
            case InstrumentListed():
                self._learn(event)
            case OrderRefused():
                self.refused[event.limit] += 1
            case EngineHalted() if event.reason != _STOPPED:
                return Health("engine", "halted", event.reason)
            case ClockJumped():
                return Health("clock", "jumped", jump_text(event))
            case EngineLagging():
                return _lag_line(event)
            case FeedLagging():
                return _feed_line(event)
            case MarketHalted():
                return Health(self._name(event.instrument), "halted", event.reason)
            case ExitDelayed():
                left = self._size(event.instrument, event.left)
                detail = f"an exit of {left} is not done after {event.tries} tries: {event.reason}"
                return Health(self._book(event.owner, event.instrument), "delayed", detail)
            case BookAdjusted():
                before, after = (self._size(event.instrument, one) for one in (event.before, event.after))
                detail = f"{before} is now {after}: {event.reason}"
                return Health(self._book(event.owner, event.instrument), "adjusted", detail)
            case PositionDiffers():
                own, venue = (self._size(event.instrument, one) for one in (event.own, event.venue))
                taken = ", adopted" if event.adopted else ""
                detail = f"own fills make {own}, the venue says {venue}{taken}"
                return Health(self._name(event.instrument), "adjusted", detail)
            case AccountAdjusted():
                amount = format_scaled(event.amount, event.scale)
                return Health("account", "adjusted", f"{amount}: {event.reason}")
            case Liquidated():
                worth = format_scaled(event.notional, event.scale)
                return Health("account", "liquidated", f"positions worth {worth}")
            case MarginCalled():
                equity, needed = (format_scaled(one, event.scale) for one in (event.equity, event.required))
                return Health("account", "margin", f"equity {equity} is below the initial margin {needed}")
            case ProtectionChanged():
                return self._protection(event)
        return None

    def _protection(self, event: ProtectionChanged) -> Health | None:
        """Return a line when stops that the venue held are held by the engine only.

        A new stop, before the venue has accepted it, and a trailing stop are the engine's in any case.
        """
        key = event.owner, event.instrument
        venue, engine_part = self._protected.get(key, (0, 0))
        self._protected[key] = event.at_venue, event.in_engine
        if event.in_engine <= engine_part or event.at_venue >= venue or not event.size:
            return None
        held, engine = (self._size(event.instrument, one) for one in (abs(event.size), event.in_engine))
        detail = f"stops of {engine} are held by the engine, not the venue (position {held}): {event.reason}"
        return Health(self._book(*key), "unprotected", detail.removesuffix(": "))

    def _learn(self, listed: InstrumentListed) -> None:
        """Use the scale of a listing from now on; sizes that were noted move to it."""
        scale = self._scales.get(listed.instrument, listed.size_scale)
        for key, sizes in self._protected.items():
            if key[1] == listed.instrument:
                venue, engine = (rescale(one, scale, listed.size_scale) for one in sizes)
                self._protected[key] = venue, engine
        self._scales[listed.instrument] = listed.size_scale

    def _name(self, instrument: int) -> str:
        return self._instruments.label(instrument)

    def _book(self, owner: str, instrument: int) -> str:
        return f"{self._name(instrument)} {owner}"

    def _size(self, instrument: int, size: int) -> str:
        return format_scaled(size, self._scales[instrument])


def jump_text(jumped: ClockJumped) -> str:
    """Return what a jump of the clock was and what follows, in one line."""
    span_s = abs(jumped.to_ns - jumped.from_ns) / 1e9
    moments = f"from {iso_text(jumped.from_ns)[:19]}Z to {iso_text(jumped.to_ns)[:19]}Z"
    if not jumped.ahead:
        return f"the machine's clock was set back by {span_s:,.1f} s, {moments}; the engine's time goes on"
    what = {
        "paused": "the engine stood still",
        "suspended": "the machine was suspended",
        "stepped": "the machine's clock was set ahead",
    }[jumped.cause]
    return f"{what} for {span_s:,.1f} s, {moments}; nothing is opened until prices are proved to be new"


def _lag_line(event: EngineLagging) -> Health:
    busy = f"; {event.handler} took {event.handler_ms:,} ms" if event.handler else ""
    if not event.lag_ms:
        return Health("engine", "running", f"handles its inputs on time again{busy}")
    return Health("engine", "lagging", f"handles its inputs {event.lag_ms:,} ms late{busy}")


def _feed_line(event: FeedLagging) -> Health:
    if not event.lag_ms:
        return Health(event.feed, "running", "delivers on time again")
    return Health(
        event.feed,
        "lagging",
        f"the newest that surely arrived is {event.lag_ms:,} ms old; bars wait, nothing is opened",
    )


def refusals_text(refused: Mapping[str, int]) -> str:
    """Return the refusals by reason, most frequent first, such as "12: 10 margin, 2 stale"."""
    ordered = sorted(refused.items(), key=lambda one: (-one[1], one[0]))
    reasons = ", ".join(f"{count:,} {limit}" for limit, count in ordered)
    return f"{sum(refused.values()):,}: {reasons}"
