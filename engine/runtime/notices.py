"""Lines for people: which recorded events become one, in which words, and the count of refusals.

Promises: one line for each fill, refusal, halt, gap, reconnect, failure and operator's command. Kinds that
can come by the thousand have LINES_MAX lines a minute; the rest are counted, and `summed` returns the counts.
Nothing depends on a line. Called by the live session for every record that is durable.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Final

import msgspec

from engine.clock import iso_text
from engine.events import (
    AccountAdjusted,
    ActorRestarted,
    BookAdjusted,
    CancelRejected,
    CandleRead,
    ClockJumped,
    CommandAnswered,
    DayOpened,
    EngineHalted,
    EngineLagging,
    Event,
    ExitDelayed,
    FeedDamaged,
    FeedDown,
    FeedGap,
    FeedLagging,
    FeedPolling,
    FeedUp,
    FillBooked,
    FundingPaid,
    GatewayDown,
    GatewayUp,
    InstrumentListed,
    Liquidated,
    LoginFailed,
    LogWritten,
    MarginCalled,
    MarketHalted,
    ModifyRejected,
    OperatorCommand,
    OrderChanged,
    OrderRefused,
    OrderRejected,
    OrderUnknown,
    PositionChanged,
    PositionDiffers,
    ProtectionChanged,
    SessionStarted,
    SessionStopped,
)
from engine.events.base import engine_time
from engine.instruments import Instruments, labels
from engine.runtime.notice_words import command_words, words_of
from engine.values import format_scaled, parse_interval, rescale, side_name

__all__ = ["ERRORS", "LINES_MAX", "WARNINGS", "Notice", "Notices", "refusals_text", "short_warm_up"]

ERRORS: Final = frozenset({"failed", "halted", "stuck", "liquidated", "unprotected", "open"})
"""The states that are errors: money may be at risk, or something stopped. `--quiet` shows only these."""

WARNINGS: Final = frozenset(
    {
        "adjusted",
        "damaged",
        "delayed",
        "down",
        "gap",
        "jumped",
        "lagging",
        "margin",
        "refused",
        "rejected",
        "reset",
        "restarting",
        "short",
        "unknown",
        "unvalued",
    }
)
"""The states that are warnings."""

LINES_MAX: Final = 20
"""Lines a minute of each state in `_COUNTED`."""

_COUNTED: Final = frozenset(
    {"complete", "damaged", "funding", "gap", "log", "refused", "rejected", "unknown"}
)
_REJECTIONS_MAX: Final = 100
_COMMANDS_MAX: Final = 100
_LEFT_SHOWN: Final = 5
_SHOWN: Final[frozenset[type[Event]]] = frozenset(
    {
        *(
            AccountAdjusted,
            ActorRestarted,
            BookAdjusted,
            CancelRejected,
            ClockJumped,
            CommandAnswered,
            DayOpened,
            EngineHalted,
        ),
        *(EngineLagging, ExitDelayed, FeedDamaged, FeedDown, FeedGap, FeedLagging, FeedPolling, FeedUp),
        *(FillBooked, FundingPaid, GatewayDown, GatewayUp, InstrumentListed, Liquidated, LogWritten),
        *(MarginCalled, MarketHalted, ModifyRejected, OperatorCommand, OrderChanged, OrderRefused),
        *(OrderRejected, OrderUnknown, PositionChanged, PositionDiffers, ProtectionChanged, SessionStarted),
        *(LoginFailed, SessionStopped),
    }
)
"""The events looked at: thousands of trades and quotes a second pass by."""


class Notice(msgspec.Struct, frozen=True):
    """A line for people: `name` is what it is about, `state` what happened to it, `detail` the rest.

    `at_ns` is engine time; 0: now. `seq` is that of the record, 0 without one. `fields` are the values in
    `detail`, for programs; numbers are decimal text.
    """

    name: str
    state: str
    detail: str = ""
    at_ns: int = 0
    seq: int = 0
    fields: dict[str, str] = {}

    @property
    def level(self) -> str:
        """The level: "error", "warning" or "info"."""
        return "error" if self.state in ERRORS else "warning" if self.state in WARNINGS else "info"

    @property
    def text(self) -> str:
        """The line without its time."""
        return f"{self.name}: {self.state}: {self.detail}".rstrip(": ")


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

    `instruments` give the labels. The scales of numbers are those in force at each event: those at first,
    then what events list.
    """

    def __init__(self, instruments: Instruments) -> None:
        self.refused: Counter[str] = Counter()
        self._instruments = instruments
        self._listed = dict(instruments)
        self._protected: dict[tuple[str, int], tuple[int, int]] = {}
        self._fills: dict[tuple[str, int], list[tuple[int, FillBooked]]] = {}
        self._rejected: dict[str, str] = {}
        self._shown: Counter[str] = Counter()
        self._commands: dict[str, OperatorCommand] = {}

    def of(self, event: Event, seq: int = 0) -> list[Notice]:
        """Return the lines of an event: none or one, and for a position one of each fill that changed it."""
        if event.__class__ not in _SHOWN:
            return []
        match event:
            case InstrumentListed():
                self._learn(event)
                return []
            case FillBooked():
                self._fills.setdefault((event.owner, event.instrument), []).append((seq, event))
                return []
            case PositionChanged():
                return self._filled(event)
            case OperatorCommand() if event.nonce:
                if len(self._commands) >= _COMMANDS_MAX:
                    self._commands.clear()
                self._commands[event.nonce] = event  # its line has the answer too, which follows in its turn
                return []
            case OrderRefused():
                self.refused[event.limit] += 1
        notice = (
            self._of_command(event)
            or self._of_order(event)
            or self._of_position(event)
            or self._of_feed(event)
        )
        if notice is None and (words := words_of(event)) is not None:
            notice = Notice(*words)
        if notice is None or self._is_counted_only(notice.state):
            return []
        return [msgspec.structs.replace(notice, at_ns=engine_time(event), seq=seq)]

    def summed(self) -> str:
        """Return how many lines of the last minute were only counted, and begin the next minute."""
        more = {state: count - LINES_MAX for state, count in self._shown.items() if count > LINES_MAX}
        self._shown.clear()
        return ", ".join(f"{count:,} {state}" for state, count in sorted(more.items()))

    def _is_counted_only(self, state: str) -> bool:
        if state not in _COUNTED:
            return False
        self._shown[state] += 1
        return self._shown[state] > LINES_MAX

    def _of_command(self, event: Event) -> Notice | None:
        match event:
            case LoginFailed():
                return Notice("api", "rejected", f"a login with a wrong {event.reason} from {event.address}")
            case OperatorCommand():
                return Notice("operator", "command", command_words(event), fields={"command": event.command})
            case CommandAnswered():
                asked = self._commands.get(event.nonce)
                if event.state != "working":
                    self._commands.pop(event.nonce, None)
                what = event.command if asked is None else command_words(asked)
                reason = ": ".join(word for word in (event.code, event.reason) if word)
                left = ", ".join(" ".join(one) for one in event.left[:_LEFT_SHOWN])
                parts = (f"{what} (seq {event.seq}): {event.state}", reason, f"left: {left}" if left else "")
                fields = {"command": event.command, "outcome": event.state, "command_seq": str(event.seq)}
                return Notice("operator", "command", "; ".join(part for part in parts if part), fields=fields)
        return None

    def _of_order(self, event: Event) -> Notice | None:
        match event:
            case OrderRefused():
                what = f"{side_name(event.side)} {self._size(event.instrument, event.size)}"
                fields = {
                    **self._fields(event.strategy, event.instrument),
                    "side": side_name(event.side),
                    "size": self._size(event.instrument, event.size),
                    "limit": event.limit,
                }
                detail = f"{what}: {event.limit}: {event.reason}"
                return Notice(self._book(event.strategy, event.instrument), "refused", detail, fields=fields)
            case OrderRejected():
                if len(self._rejected) >= _REJECTIONS_MAX:
                    self._rejected.clear()
                self._rejected[event.client_order_id] = event.reason
            case OrderChanged() if event.state == "Rejected":
                reason = self._rejected.pop(event.client_order_id, "")
                fields = {
                    **self._fields(event.strategy, event.instrument),
                    "client_order_id": event.client_order_id,
                }
                detail = f"by the venue: {reason} ({event.client_order_id})"
                return Notice(self._book(event.strategy, event.instrument), "rejected", detail, fields=fields)
            case OrderUnknown():
                fields = {"client_order_id": event.client_order_id}
                return Notice(f"order {event.client_order_id}", "unknown", event.reason, fields=fields)
            case CancelRejected() | ModifyRejected():
                what = "its cancel" if isinstance(event, CancelRejected) else "its change"
                fields = {"client_order_id": event.client_order_id}
                detail = f"{what}, by the venue: {event.reason}"
                return Notice(f"order {event.client_order_id}", "rejected", detail, fields=fields)
            case ExitDelayed():
                left = self._size(event.instrument, event.left)
                detail = f"an exit of {left} is not done after {event.tries} tries: {event.reason}"
                fields = {**self._fields(event.owner, event.instrument), "left": left}
                return Notice(self._book(event.owner, event.instrument), "delayed", detail, fields=fields)
            case ProtectionChanged():
                return self._protection(event)
        return None

    def _of_position(self, event: Event) -> Notice | None:
        match event:
            case MarketHalted():
                return Notice(self._name(event.instrument), "halted", event.reason)
            case BookAdjusted():
                before, after = (self._size(event.instrument, one) for one in (event.before, event.after))
                detail = f"{before} is now {after}: {event.reason}"
                return Notice(self._book(event.owner, event.instrument), "adjusted", detail)
            case PositionDiffers():
                own, venue = (self._size(event.instrument, one) for one in (event.own, event.venue))
                taken = ", adopted" if event.adopted else ""
                detail = f"own fills make {own}, the venue says {venue}{taken}"
                return Notice(self._name(event.instrument), "adjusted", detail)
            case FundingPaid():
                amount = format_scaled(event.amount, event.scale)
                what = f"paid {amount[1:]}" if amount.startswith("-") else f"received {amount}"
                name = (
                    self._book(event.owner, event.instrument) if event.owner else self._name(event.instrument)
                )
                return Notice(name, "funding", what, fields={"amount": amount})
            case AccountAdjusted():
                amount = format_scaled(event.amount, event.scale)
                return Notice(_account(event.venue), "adjusted", f"{amount}: {event.reason}")
            case Liquidated():
                worth = format_scaled(event.notional, event.scale)
                return Notice(_account(event.venue), "liquidated", f"positions worth {worth}")
            case MarginCalled():
                equity, needed = (format_scaled(one, event.scale) for one in (event.equity, event.required))
                words = f"equity {equity} is below the initial margin {needed}"
                return Notice(_account(event.venue), "margin", words)
        return None

    def _of_feed(self, event: Event) -> Notice | None:
        match event:
            case FeedDamaged():
                name = self._name(event.instrument) if event.instrument else event.feed
                times = f"{event.count:,} times: " if event.count > 1 else ""
                return Notice(name, "damaged", f"{event.channel}: {times}{event.reason}".removeprefix(": "))
            case FeedGap():
                span = f"from {iso_text(event.from_ns)[:23]}Z to {iso_text(event.to_ns)[:23]}Z"
                what = f"no trade is missing {span}" if event.closed else f"trades {span} may be missing"
                return Notice(self._name(event.instrument), "complete" if event.closed else "gap", what)
            case LogWritten():
                name = self._book(event.strategy, event.instrument) if event.instrument else event.strategy
                return Notice(name, "log", event.text, fields={"owner": event.strategy})
        return None

    def _filled(self, position: PositionChanged) -> list[Notice]:
        """Return a line of each fill that led to a position."""
        owner, number = position.strategy, position.instrument
        held = self._size(number, position.size)
        notices = []
        for seq, fill in self._fills.pop((owner, number), []):
            listed = self._listed[number]
            side, size = side_name(fill.side), self._size(number, fill.size)
            price = format_scaled(fill.price, listed.price_scale + fill.finer)
            fee = format_scaled(fill.fee, listed.money_scale + fill.finer)
            paid = f"fee {fee}{f' {fill.fee_asset}' if fill.fee_asset else ''}"
            why = ", ".join(one for one in (fill.liquidity, fill.cause or fill.purpose) if one)
            fields = {
                **self._fields(owner, number),
                "side": side,
                "size": size,
                "price": price,
                "fee": fee,
                "position": held,
                "client_order_id": fill.client_order_id,
            }
            detail = f"{side} {size} at {price}, {paid} ({why}); position {held}"
            notices.append(Notice(self._book(owner, number), "filled", detail, fill.at_ns, seq, fields))
        return notices

    def _protection(self, event: ProtectionChanged) -> Notice | None:
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
        return Notice(self._book(*key), "unprotected", detail.removesuffix(": "))

    def _learn(self, listed: InstrumentListed) -> None:
        """Use the scales of a listing from now on; sizes that were noted move to it."""
        scale = self._listed.get(listed.instrument, listed).size_scale
        for key, sizes in self._protected.items():
            if key[1] == listed.instrument:
                venue, engine = (rescale(one, scale, listed.size_scale) for one in sizes)
                self._protected[key] = venue, engine
        self._listed[listed.instrument] = listed

    def _fields(self, owner: str, instrument: int) -> dict[str, str]:
        return {"owner": owner, "market": self._name(instrument)}

    def _name(self, instrument: int) -> str:
        return self._instruments.label(instrument)

    def _book(self, owner: str, instrument: int) -> str:
        return f"{self._name(instrument)} {owner}"

    def _size(self, instrument: int, size: int) -> str:
        return format_scaled(size, self._listed[instrument].size_scale)


def refusals_text(refused: Mapping[str, int]) -> str:
    """Return the refusals by reason, most frequent first, such as "12: 10 margin, 2 stale"."""
    ordered = sorted(refused.items(), key=lambda one: (-one[1], one[0]))
    reasons = ", ".join(f"{count:,} {limit}" for limit, count in ordered)
    return f"{sum(refused.values()):,}: {reasons}"


def _account(venue: str) -> str:
    """Return the name of an account in lines: with its venue where there are several."""
    return f"{venue} account" if venue else "account"
