"""The words of lines that name no instrument: session, clock, engine, feeds, gateways, commands. Pure.

Called by `notices.py`.
"""

from __future__ import annotations

from typing import Final

from engine.clock import iso_text
from engine.events import (
    ActorRestarted,
    ClockJumped,
    DayOpened,
    EngineHalted,
    EngineLagging,
    Event,
    FeedDown,
    FeedLagging,
    FeedPolling,
    FeedUp,
    GatewayDown,
    GatewayUp,
    OperatorCommand,
    SessionStarted,
    SessionStopped,
)
from engine.operator.words import asked_words

__all__ = ["command_words", "words_of"]

_STOPPED: Final = "operator: stop"


def words_of(event: Event) -> tuple[str, str, str] | None:
    """Return name, state and detail of the line of an event, None if it has none."""
    match event:
        case SessionStarted():
            mode = "REAL ORDERS" if event.mode == "live" else "paper trading, no order is real"
            strategies = ", ".join(name for name, _, _ in event.strategies) or "no strategies"
            return ("session", "started", f"{mode}; {strategies}; session {event.session}")
        case SessionStopped():
            return ("session", "stopped", event.reason)
        case DayOpened():
            return ("day", "opened", event.day)
        case EngineHalted() if event.reason != _STOPPED:
            return ("engine", "halted", event.reason)
        case ActorRestarted():
            return (event.actor, "restarted", f"its state is rebuilt from {event.events:,} records")
        case FeedUp():
            again = f", after {event.attempt} attempts" if event.attempt > 1 else ""
            return event.feed, "up", f"{event.subscriptions} subscriptions are confirmed{again}"
        case FeedDown():
            return event.feed, "down", _reconnect(event.reason, event.backoff_ms)
        case GatewayUp():
            return event.gateway, "up", f"account {event.account} on {event.network}"
        case GatewayDown():
            return event.gateway, "down", _reconnect(event.reason, event.backoff_ms)
        case FeedLagging():
            return _feed_line(event)
        case FeedPolling():
            what = f"candles are polled: {event.reason}" if event.active else "the stream is back"
            return event.feed, "polling" if event.active else "up", what
        case ClockJumped():
            return ("clock", "jumped", _jump_line(event))
        case EngineLagging():
            return _lag_line(event)
    return None


def command_words(command: OperatorCommand) -> str:
    """Return a command in the words of its request, and who asked."""
    said = asked_words(command.command, command.target, command.arguments)
    by = ", ".join(word for word in (command.who and f"by {command.who}", command.detail) if word)
    return f"{said} ({by})" if by else said


def _reconnect(reason: str, backoff_ms: int) -> str:
    return f"{reason}; reconnects in {backoff_ms / 1000:.1f} s" if backoff_ms else reason


def _jump_line(jumped: ClockJumped) -> str:
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


def _lag_line(event: EngineLagging) -> tuple[str, str, str]:
    busy = f"; {event.handler} took {event.handler_ms:,} ms" if event.handler else ""
    if not event.lag_ms:
        return ("engine", "running", f"handles its inputs on time again{busy}")
    return ("engine", "lagging", f"handles its inputs {event.lag_ms:,} ms late{busy}")


def _feed_line(event: FeedLagging) -> tuple[str, str, str]:
    if not event.lag_ms:
        return (event.feed, "running", "delivers on time again")
    return (
        event.feed,
        "lagging",
        f"the newest that surely arrived is {event.lag_ms:,} ms old; bars wait, nothing is opened",
    )
