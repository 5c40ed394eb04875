"""How the engine and its edges are: feeds, gateways, clocks, lag, gaps, requests to the venue.

Owns what events say of it; what only the process knows (sync times, queues) the server adds. Called by
`View`.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Collection
from typing import Any, Final

import msgspec
from msgspec.structs import replace

from engine.actors.orders.conditions import UNREAD
from engine.clock import SECOND_NS
from engine.config import parse_config
from engine.events import (
    COMMANDS,
    AccountRead,
    ClockChecked,
    ClockJumped,
    EdgeChanged,
    EngineLagging,
    Event,
    FeedDamaged,
    FeedDown,
    FeedGap,
    FeedHeard,
    FeedLagging,
    FeedPolling,
    FeedUp,
    GatewayDown,
    GatewayUp,
    OrderApproved,
    SessionStarted,
    TailRepaired,
)
from engine.views.markets import Kept
from engine.views.shapes import FeedRow, GapRow
from engine.views.units import ms

__all__ = ["GAPS_MAX", "FeedState", "HealthState", "gap_row"]

GAPS_MAX: Final = 1_000
"""Gaps, disconnections and damages remembered."""

_MINUTE_NS: Final = 60 * SECOND_NS
_COUNTED_MAX: Final = 10_000
_EDGES_MAX: Final = 200


class FeedState(msgspec.Struct):
    """One feed, gateway or other edge. Times in nanoseconds."""

    name: str
    what: str
    state: str = "starting"
    reason: str = ""
    since_ns: int = 0
    heard_ns: int = 0
    proved_ns: int = 0
    lag_ms: int = 0
    downs: int = 0
    restarts: int = 0
    seq: int = 0


class HealthState:
    """State: edges by name, lag, clock, gaps, and the times of the latest commands and approvals."""

    def __init__(self) -> None:
        self.edges: dict[str, FeedState] = {}
        self.lag_ms = 0
        self.lag_handler = ""
        self.offset_ns: int | None = None
        self.offsets_ns: dict[str, int] = {}
        self.checked_ns = 0
        self.reconciled_ns = 0
        self.unread: dict[str, str] = {}
        self.gaps: deque[Kept] = deque(maxlen=GAPS_MAX)
        self.gaps_today = 0
        self.commands_ns: deque[int] = deque(maxlen=_COUNTED_MAX)
        self.approvals_ns: deque[int] = deque(maxlen=_COUNTED_MAX)
        self.handlers: dict[type[Event], Callable[[int, Any], None]] = {
            SessionStarted: self._begin,
            FeedUp: self._up,
            FeedHeard: self._heard,
            FeedLagging: self._lagging,
            FeedDown: self._down,
            FeedPolling: self._polling,
            FeedGap: self._gap,
            FeedDamaged: self._gap,
            ClockJumped: self._gap,
            TailRepaired: self._gap,
            GatewayUp: self._gateway_up,
            GatewayDown: self._gateway_down,
            AccountRead: self._account,
            EdgeChanged: self._edge,
            EngineLagging: self._engine_lag,
            ClockChecked: self._clock,
            OrderApproved: self._approved,
            **dict.fromkeys(COMMANDS, self._command),
        }

    def copy(self) -> HealthState:
        """Return a copy that is changed on its own."""
        twin = HealthState()
        handlers = twin.handlers
        vars(twin).update(vars(self))
        twin.handlers = handlers
        twin.edges = {name: replace(edge) for name, edge in self.edges.items()}
        for name in ("gaps", "commands_ns", "approvals_ns", "unread", "offsets_ns"):
            setattr(twin, name, getattr(self, name).copy())
        return twin

    def begin_day(self) -> None:
        """Count the day's gaps from here."""
        self.gaps_today = 0

    def _begin(self, _seq: int, started: SessionStarted) -> None:
        """Begin a session: its feeds are not connected yet, and the account is not read."""
        self.edges.clear()
        self.offsets_ns.clear()
        self.lag_ms = 0
        accounts = parse_config(started.config).named_accounts if started.mode == "live" else ()
        self.unread = dict.fromkeys(accounts or ("",), UNREAD) if started.mode == "live" else {}

    @property
    def unreconciled(self) -> str:
        """Why an account is not known, "" if it is; with the name of its venue where there are several."""
        return "; ".join(f"{venue}: {why}" if venue else why for venue, why in self.unread.items() if why)

    # Edges.

    def of(self, name: str, what: str) -> FeedState:
        """Return an edge."""
        edge = self.edges.get(name)
        if edge is None:
            if len(self.edges) >= _EDGES_MAX:
                del self.edges[next(iter(self.edges))]
            edge = self.edges[name] = FeedState(name, what)
        elif what:
            edge.what = what
        return edge

    def _change(self, seq: int, at_ns: int, edge: FeedState, state: str, reason: str) -> None:
        if state != edge.state:
            edge.since_ns = at_ns
        edge.state, edge.reason, edge.seq = state, reason, seq

    def _up(self, seq: int, up: FeedUp) -> None:
        edge = self.of(up.feed, "feed")
        self._change(seq, up.recv_ns, edge, "up", "")
        edge.heard_ns, edge.proved_ns, edge.lag_ms = up.recv_ns, 0, 0

    def _heard(self, _seq: int, heard: FeedHeard) -> None:
        edge = self.of(heard.feed, "feed")
        edge.heard_ns, edge.proved_ns = heard.heard_ns, heard.proved_ns

    def _lagging(self, seq: int, lagging: FeedLagging) -> None:
        edge = self.of(lagging.feed, "feed")
        edge.lag_ms, edge.seq = lagging.lag_ms, seq

    def _down(self, seq: int, down: FeedDown) -> None:
        edge = self.of(down.feed, "feed")
        self._change(seq, down.recv_ns, edge, "down", down.reason)
        edge.downs += 1
        self._gap(seq, down)

    def _polling(self, seq: int, polling: FeedPolling) -> None:
        edge = self.of(polling.feed, "feed")
        if polling.active:
            self._change(seq, polling.recv_ns, edge, "polling", polling.reason)

    def _gateway_up(self, seq: int, up: GatewayUp) -> None:
        self._change(seq, up.recv_ns, self.of(up.gateway, "gateway"), "up", "")

    def _gateway_down(self, seq: int, down: GatewayDown) -> None:
        edge = self.of(down.gateway, "gateway")
        self._change(seq, down.recv_ns, edge, "down", down.reason)
        edge.downs += 1
        self.unread[down.venue] = f"the account's stream is lost: {down.reason}"

    def _account(self, _seq: int, read: AccountRead) -> None:
        self.reconciled_ns = read.venue_ns
        self.unread.pop(read.venue, None)

    def _edge(self, seq: int, changed: EdgeChanged) -> None:
        edge = self.of(changed.actor, "")
        edge.restarts = changed.restarts
        connected = edge.what in ("feed", "gateway") and changed.state == "running"
        if not connected:  # a feed that runs is "up" once it is connected
            self._change(seq, changed.recv_ns, edge, changed.state, changed.detail)

    # The engine.

    def _engine_lag(self, _seq: int, lagging: EngineLagging) -> None:
        self.lag_ms, self.lag_handler = lagging.lag_ms, lagging.handler

    def _clock(self, _seq: int, checked: ClockChecked) -> None:
        self.offset_ns, self.checked_ns = checked.offset_ns, checked.recv_ns
        self.offsets_ns[checked.venue] = checked.offset_ns

    def farthest_ns(self, venues: Collection[str]) -> int | None:
        """Return the difference of the clock that is farthest off; of several venues each has its own."""
        own = [self.offsets_ns[venue] for venue in sorted(venues) if venue in self.offsets_ns]
        return max(own, key=abs, default=self.offset_ns)

    def _command(self, _seq: int, command: Any) -> None:
        self.commands_ns.append(command.at_ns)

    def _approved(self, _seq: int, approved: OrderApproved) -> None:
        self.approvals_ns.append(approved.at_ns)

    def _gap(self, seq: int, event: Event) -> None:
        self.gaps.appendleft((seq, event))
        self.gaps_today += 1

    # Rows.

    def last_minute(self, times: deque[int], now_ns: int) -> int:
        """Return how many of the times are within the last minute."""
        count = 0
        for at_ns in reversed(times):
            if at_ns <= now_ns - _MINUTE_NS:
                break
            count += 1
        return count

    def feed_row(self, edge: FeedState) -> FeedRow:
        """Return an edge."""
        return FeedRow(
            edge.name,
            edge.what or "edge",
            edge.state,
            edge.reason,
            ms(edge.since_ns),
            ms(edge.heard_ns),
            ms(edge.proved_ns),
            edge.lag_ms,
            edge.downs,
            edge.restarts,
            edge.seq,
        )

    def feeds(self) -> list[FeedState]:
        """Return the feeds."""
        return [edge for edge in self.edges.values() if edge.what == "feed"]


def gap_row(seq: int, event: Event, labels: dict[int, str]) -> GapRow:
    """Return a gap, a disconnection, a damage, a jump of the clock or a repair."""
    match event:
        case FeedGap():
            label = labels.get(event.instrument, "")
            span = ms(event.from_ns), ms(event.to_ns)
            return GapRow(seq, ms(event.recv_ns), "gap", event.feed, label, *span, event.closed, "")
        case FeedDown():
            at_ms = ms(event.recv_ns)
            return GapRow(seq, at_ms, "down", event.feed, "", at_ms, at_ms, False, event.reason)
        case FeedDamaged():
            at_ms, label = ms(event.recv_ns), labels.get(event.instrument, "")
            reason = f"{event.channel}: {event.reason}" if event.channel else event.reason
            return GapRow(seq, at_ms, "damaged", event.feed, label, at_ms, at_ms, not event.in_doubt, reason)
        case ClockJumped():
            span = ms(event.from_ns), ms(event.to_ns)
            return GapRow(seq, ms(event.recv_ns), "jumped", "", "", *span, not event.ahead, event.cause)
        case TailRepaired():
            at_ms = ms(event.recv_ns)
            reason = f"{event.length} bytes of {event.file} were cut and saved"
            return GapRow(seq, at_ms, "repaired", "", "", at_ms, at_ms, False, reason)
        case _:
            raise AssertionError(f"{type(event).__name__} is no gap")
