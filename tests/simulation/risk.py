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


def forbidden_openings(records: Iterable[Event], risk: RiskConfig, *, real: bool) -> list[str]:
    """Return what was approved and must not have been, with the reason. On paper no account is read."""
    found: list[str] = []
    feed, account, halted = "no session", "no session", ""
    heard_ns = 0
    unknown: set[str] = set()
    for event in records:
        if isinstance(event, Trade | Quote):
            heard_ns = max(heard_ns, event.recv_ns)
        elif isinstance(event, FeedHeard):
            heard_ns = max(heard_ns, event.heard_ns)
        elif isinstance(event, SessionStarted):
            feed, account = "it has not come up", "it has not been read" if real else ""
            halted = "" if halted == STOP else halted
        elif isinstance(event, FeedUp):
            feed, heard_ns = "", event.recv_ns
        elif isinstance(event, FeedDown):
            feed = event.reason
        elif isinstance(event, AccountRead):
            account = ""
        elif isinstance(event, GatewayDown):
            account = event.reason
        elif isinstance(event, EngineHalted):
            halted = event.reason
        elif isinstance(event, OperatorCommand):
            halted = "" if event.command == "resume" else halted
        elif isinstance(event, OrderChanged):
            (unknown.add if event.state == "Unknown" else unknown.discard)(event.client_order_id)
        elif isinstance(event, OrderApproved) and event.terms.role != CLOSE:
            age_ms = (event.at_ns - heard_ns) // MS
            for why, wrong in (
                (f"the feed is down: {feed}", feed),
                (f"the account is not known: {account}", account),
                (f"a halt is in force: {halted}", halted),
                (f"the feed was heard {age_ms} ms ago", age_ms > risk.max_price_age_ms),
                (f"{len(unknown)} orders are Unknown", len(unknown) > UNKNOWN_MAX),
            ):
                if wrong:
                    found.append(f"an opening was approved while {why}: {event}")
    return found
