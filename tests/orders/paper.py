"""Runs a plan as a paper session in one process."""

from __future__ import annotations

import json
from typing import Any

from engine.events import (
    BookRead,
    Candle,
    ClockAdvanced,
    ContextRead,
    EngineLagging,
    Event,
    FeedDown,
    FeedGap,
    FeedLagging,
    FeedUp,
    OperatorCommand,
    Quote,
    Trade,
)
from engine.values import parse_scaled
from tests.orders.sequences import PRICE_SCALE, STRATEGIES, Plan, Step
from tests.orders.session import EVE, MINUTE_NS, MS, NOON, RATE_SCALE, Session

__all__ = ["Run", "scripts_of"]


class Run(Session):
    """The session of a plan. `play` runs its steps, then stops it."""

    def __init__(self, plan: Plan) -> None:
        self.plan = plan
        before = plan.steps[: len(plan.steps) - plan.calm]
        self.calm_ms = sum(step.after_ms for step in before) + 1 if plan.calm else 0
        begin_ns = EVE if plan.settings.begin == "eve" else NOON
        super().__init__(plan.settings, scripts=scripts_of(plan), begin_ns=begin_ns)

    def play(self) -> Run:
        """Run every step, then stop the session."""
        due_ns = self.begin_ns
        for step in self.plan.steps:
            due_ns += step.after_ms * MS
            self.now_ns = max(self.now_ns, due_ns)  # a stop takes longer than a step
            if step.kind in ("restart", "kill"):
                self.restart(after_s=0, orderly=step.kind == "restart")
            elif step.kind != "call":
                self.send(self.event_of(step))
        self.stop()
        return self

    def event_of(self, step: Step) -> Event:
        """Return the input of a step."""
        now, market, values = self.now_ns, step.market, step.values
        if step.kind == "trade":
            self.trades += 1
            return Trade(now, now - 3 * MS, market, *values, self.trades)
        if step.kind == "quote":
            return Quote(now, now - 3 * MS, market, *values)
        if step.kind == "book":
            bids, asks = (tuple((price, size, 1) for price, size in side) for side in values)
            return BookRead(now, now - 3 * MS, market, bids, asks)
        if step.kind == "candle":
            end = now // MINUTE_NS * MINUTE_NS
            return Candle(now, end, market, MINUTE_NS, end - MINUTE_NS, *values)
        if step.kind == "context":
            mark, oracle, rate = values
            unit = 10 ** (RATE_SCALE - PRICE_SCALE[market])
            funding = parse_scaled(rate, RATE_SCALE, signed=True)
            return ContextRead(now, market, RATE_SCALE, mark * unit, oracle * unit, None, funding, None, None)
        if step.kind == "up":
            return FeedUp(now, "sim", 2)
        if step.kind == "down":
            return FeedDown(now, "sim", "test")
        if step.kind == "lag":
            who, lag_ms = values
            return EngineLagging(now, lag_ms) if who == "engine" else FeedLagging(now, "sim", lag_ms)
        if step.kind == "gap":
            return FeedGap(now, "sim", market, now - values[0] * MS, now)
        if step.kind == "operator":
            return OperatorCommand(now, *values)
        assert step.kind == "clock", step.kind
        return ClockAdvanced(now)


def scripts_of(plan: Plan) -> dict[str, str]:
    """Return the script of each strategy as JSON."""
    scripts: dict[str, list[Any]] = {name: [] for name in STRATEGIES}
    at_ms = 0
    for step in plan.steps:
        at_ms += step.after_ms
        if step.kind == "call":
            strategy, hook, *call = step.values
            scripts[strategy].append([at_ms, hook, *call])
    return {name: json.dumps(script) for name, script in scripts.items()}
