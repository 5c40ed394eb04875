"""Follows the records and says where new risk was taken that must not be (I9), without the engine's gates.

An opening is approved only while the feed is up and was heard within the age that a price may have, the
account has been read since its stream came up, no halt is in force, and at most three orders are Unknown.
"""

from __future__ import annotations

from collections.abc import Iterable

from engine.config import RiskConfig
from engine.events import (
    AccountRead,
    EngineHalted,
    Event,
    FeedDown,
    FeedHeard,
    FeedUp,
    GatewayDown,
    InstrumentListed,
    OperatorCommand,
    OrderApproved,
    OrderChanged,
    Quote,
    SessionStarted,
    Trade,
)
from engine.events.terms import CLOSE

__all__ = ["forbidden_openings"]

UNKNOWN_MAX = 3
MS = 1_000_000
STOP = "operator: stop"
"""An orderly stop refuses openings until its session has ended."""


class _Known:
    """What the records say of one venue: why nothing may be opened there, and when its feed was heard."""

    def __init__(self) -> None:
        self.feed = self.account = "no session"
        self.heard_ns = 0
        self.unknown: set[str] = set()


def forbidden_openings(records: Iterable[Event], risk: RiskConfig, *, real: bool) -> list[str]:
    """Return what was approved and must not have been, with the reason. On paper no account is read.

    Each venue has a feed and an account of its own; with several no account may be opened in before all were
    read once in the journal.
    """
    found: list[str] = []
    halted = ""
    venues: dict[str, _Known] = {}
    of: dict[int, _Known] = {}
    unread: set[str] = set()
    for event in records:
        if isinstance(event, InstrumentListed):
            unread |= {event.venue} - venues.keys()
            of[event.instrument] = venues.setdefault(event.venue, _Known())
        elif isinstance(event, Trade | Quote):
            known = of[event.instrument]
            known.heard_ns = max(known.heard_ns, event.recv_ns)
        elif isinstance(event, FeedHeard):
            venues[event.feed].heard_ns = max(venues[event.feed].heard_ns, event.heard_ns)
        elif isinstance(event, SessionStarted):
            for known in venues.values():
                known.feed, known.account = "it has not come up", "it has not been read" if real else ""
            halted = "" if halted == STOP else halted
        elif isinstance(event, FeedUp):
            venues[event.feed].feed, venues[event.feed].heard_ns = "", event.recv_ns
        elif isinstance(event, FeedDown):
            venues[event.feed].feed = event.reason
        elif isinstance(event, AccountRead):
            for known in _accounts(venues, event.venue):
                known.account = ""
            unread.discard(event.venue)
        elif isinstance(event, GatewayDown):
            for known in _accounts(venues, event.venue):
                known.account = event.reason
        elif isinstance(event, EngineHalted):
            halted = event.reason
        elif isinstance(event, OperatorCommand):
            halted = "" if event.command == "resume" else halted
        elif isinstance(event, OrderChanged):
            unknown = of[event.instrument].unknown
            (unknown.add if event.state == "Unknown" else unknown.discard)(event.client_order_id)
        elif isinstance(event, OrderApproved) and event.terms.role != CLOSE:
            known = of[event.instrument]
            age_ms = (event.at_ns - known.heard_ns) // MS
            for why, wrong in (
                (f"the feed is down: {known.feed}", known.feed),
                (f"the account is not known: {known.account}", known.account),
                (f"{sorted(unread)} was never read", real and len(venues) > 1 and unread),
                (f"a halt is in force: {halted}", halted),
                (f"the feed was heard {age_ms} ms ago", age_ms > risk.max_price_age_ms),
                (f"{len(known.unknown)} orders are Unknown", len(known.unknown) > UNKNOWN_MAX),
            ):
                if wrong:
                    found.append(f"an opening was approved while {why}: {event}")
    return found


def _accounts(venues: dict[str, _Known], name: str) -> Iterable[_Known]:
    return (venues[name],) if name else venues.values()
