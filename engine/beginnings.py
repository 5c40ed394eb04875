"""Which strategies begin a session without their state, why, and what they hold nevertheless.

A strategy that was edited, got another parameter, failed, or kept what cannot be stored begins with a new
state, while its book, its exits and its stops go on. Owns the reasons, which follow from recorded facts only,
and the `StrategyBegan` events: for each such strategy, and for each book whose name is not configured. Called
by the registry when a session begins.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from engine.actors import Actor, Books, OrderManager
from engine.actors.books.book import EXTERNAL, MANUAL
from engine.config import parse_config
from engine.events import SessionStarted, StrategyBegan

__all__ = ["FAILED", "NOT_CONFIGURED", "UNREADABLE", "UNSTORABLE", "beginnings", "reason"]

FAILED = "it failed"
UNSTORABLE = "its state could not be stored"
UNREADABLE = "its state could not be read"
NOT_CONFIGURED = "no strategy of this name is configured"


def reason(name: str, before: SessionStarted | None, now: SessionStarted) -> str:
    """Return why a strategy does not take over a stored state: what is another than in the session before."""
    was = _facts(before, {new: old for old, new in now.moves}.get(name, name)) if before else None
    if was is None:
        return "it did not run in the session before"
    use, params, source = _facts(now, name) or ("", {}, "")
    if source != was[2]:
        return "its code changed"
    return "its parameters changed" if (use, params) != was[:2] else "the account changed"


def beginnings(
    started: SessionStarted, actors: Iterable[Actor], without: Mapping[str, str]
) -> list[StrategyBegan]:
    """Return the strategies that begin without their state, and the books without a strategy.

    `without` has the reasons by name. Only those that hold or ask for something are returned.
    """
    held: dict[str, list[tuple[int, int]]] = {}
    for actor in actors:
        if isinstance(actor, Books):
            for number, owner, book in actor.all_books():
                if book.size:
                    held.setdefault(owner, []).append((number, book.size))
        elif isinstance(actor, OrderManager):
            for live in actor.live.values():
                held.setdefault(live.owner, [])
            for targets in actor.aims.values():
                for owner, target in targets.items():
                    if target.wanted is not None:
                        held.setdefault(owner, [])
    configured = [entry.title for entry in parse_config(started.config).strategies]
    others = sorted(held.keys() - {*configured, MANUAL, EXTERNAL})
    why = {name: without[name] for name in configured if name in without and name in held}
    why |= dict.fromkeys(others, NOT_CONFIGURED)
    return [
        StrategyBegan(started.recv_ns, name, name in configured, words, tuple(sorted(held[name])))
        for name, words in why.items()
    ]


def _facts(started: SessionStarted, name: str) -> tuple[str, dict[str, object], str] | None:
    """Return module:Class, parameters and source hash of a strategy, None if it is not in a session."""
    sources = {title: source for title, _, source in started.strategies}
    for entry in parse_config(started.config).strategies:
        if entry.title == name:
            return entry.use, dict(entry.params), sources.get(name, "")
    return None
