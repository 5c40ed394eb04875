"""Limits on openings as a plain model: written from docs/configuration.md and docs/orders.md alone.

`LimitedRun` plays a random plan under limits of its own; `check_limits` follows the records of its session.
Every opening that was approved kept every limit, and every one that was refused for a limit would have broken
it: both are worked out from what was approved, filled and ended.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field
from fractions import Fraction
from random import Random

import msgspec

from engine.config import Config, RiskConfig
from engine.events import (
    ENDED,
    FillBooked,
    InstrumentListed,
    ModifyApproved,
    OrderApproved,
    OrderChanged,
    OrderRefused,
    SubmitOrder,
)
from tests.orders.facts import CLOSE, OPEN, Broken
from tests.orders.paper import Run
from tests.orders.sequences import SIZE_SCALE, UNIT, size_text

__all__ = ["LimitedRun", "Limits", "check_limits", "limits_of"]

SECOND_NS = 1_000_000_000
Book = tuple[str, int]


@dataclass(frozen=True)
class Limits:
    """The limits of a session; 0 for none. Sizes by market, in base units as text."""

    cooldown_s: int = 0
    positions: int = 0
    netting: str = "allow"
    order_size: dict[str, str] = field(default_factory=dict)
    position_size: dict[str, str] = field(default_factory=dict)


def limits_of(number: int) -> Limits:
    """Return the limits of a plan."""
    random = Random(f"{number} limits")

    def sizes(factors: tuple[float, ...]) -> dict[str, str]:
        found = {1: random.choice(factors), 2: random.choice(factors)}
        return {
            name: size_text(market, max(1, round(UNIT[market] * found[market])))
            for market, name in ((1, "AAA"), (2, "BBB"))
            if found[market]
        }

    return Limits(
        random.choice((0, 20, 90, 600)),
        random.choice((0, 1, 2, 3)),
        random.choice(("allow", "allow", "refuse")),
        sizes((0, 0, 1, 2)),
        sizes((0, 1, 2, 3)),
    )


class LimitedRun(Run):
    """The session of a plan under its limits."""

    def make_config(self, scripts: dict[str, str]) -> Config:
        """See `Session`."""
        config = super().make_config(scripts)
        limits = limits_of(self.plan.number)
        risk: RiskConfig = msgspec.structs.replace(
            config.risk,
            cooldown=f"{limits.cooldown_s}s",
            max_open_positions=limits.positions,
            netting=limits.netting,
            max_order_size=limits.order_size,
            max_position_size=limits.position_size,
        )
        return msgspec.structs.replace(config, risk=risk)


@dataclass
class _Model:
    limits: Limits
    names: dict[int, str] = field(default_factory=dict)
    held: dict[Book, int] = field(default_factory=dict)
    waiting: list[OrderApproved] = field(default_factory=list)
    live: dict[str, tuple[Book, int, int]] = field(default_factory=dict)  # book, side, what is open
    stopped_ns: dict[str, int] = field(default_factory=dict)
    refused: Counter[str] = field(default_factory=Counter)

    def opening(self, market: int, side: int) -> int:
        """Return what live and approved orders of a side may still open."""
        orders = [(book[1], way, left) for book, way, left in self.live.values()]
        orders += [(one.instrument, one.terms.side, one.terms.size) for one in self.waiting]
        return sum(left for number, way, left in orders if (number, way) == (market, side))

    def broken_by(self, owner: str, market: int, side: int, size: int, at_ns: int) -> set[str]:
        """Return the limits that an opening breaks."""
        limits, name, found = self.limits, self.names[market], set()
        if (
            limits.cooldown_s
            and at_ns < self.stopped_ns.get(owner, -(10**18)) + limits.cooldown_s * SECOND_NS
        ):
            found.add("cooldown")
        taken = {book for book, size in self.held.items() if size}
        taken |= {book for book, _, left in self.live.values() if left}
        taken |= {(one.strategy, one.instrument) for one in self.waiting}
        if limits.positions and len(taken | {(owner, market)}) > limits.positions:
            found.add("max_open_positions")
        if name in limits.order_size and size > _steps(limits.order_size[name], market):
            found.add("max_order_size")
        own = sum(max(0, p * side) for (_, number), p in self.held.items() if number == market)
        if name in limits.position_size:
            most = _steps(limits.position_size[name], market)
            if own + self.opening(market, side) + size > most:
                found.add("max_position_size")
        others = [p for (who, number), p in self.held.items() if number == market and who != owner]
        others += [way for book, way, left in self.live.values() if book[1] == market and book[0] != owner]
        others += [
            one.terms.side for one in self.waiting if one.instrument == market and one.strategy != owner
        ]
        if limits.netting == "refuse" and any(p * side < 0 for p in others):
            found.add("netting")
        return found


def check_limits(run: LimitedRun) -> Counter[str]:
    """Follow the session; return how many openings each limit refused. Raises Broken."""
    model = _Model(limits_of(run.plan.number))
    for seq, _, event in run.memory.all():
        match event:
            case InstrumentListed():
                model.names[event.instrument] = event.name
            case OrderApproved() if event.terms.role == OPEN:
                terms = event.terms
                broken = model.broken_by(
                    event.strategy, event.instrument, terms.side, terms.size, event.at_ns
                )
                if broken:
                    raise Broken(seq, "an approved opening keeps the limits", f"{broken} {event}")
                model.waiting.append(event)
            case OrderRefused() if event.limit in _LIMITS:
                model.refused[event.limit] += 1
                _check_refusal(seq, model, event)
            case SubmitOrder() if event.terms.role == OPEN:
                model.waiting.pop(0)
                book = event.strategy, event.instrument
                model.live[event.client_order_id] = book, event.terms.side, event.terms.size
            case ModifyApproved() if event.client_order_id in model.live:
                book, side, left = model.live[event.client_order_id]
                model.live[event.client_order_id] = book, side, max(left, event.size)
            case OrderChanged() if event.client_order_id in model.live:
                _follow(model, event)
            case FillBooked():
                _book(model, event)
            case _:
                pass
    return model.refused


_LIMITS = frozenset({"cooldown", "max_open_positions", "netting", "max_order_size", "max_position_size"})


def _check_refusal(seq: int, model: _Model, refused: OrderRefused) -> None:
    side, size = refused.side, refused.size
    broken = model.broken_by(refused.strategy, refused.instrument, side, size, refused.at_ns)
    if refused.limit not in broken:
        raise Broken(seq, "an opening is refused only for a limit that it breaks", f"{broken} {refused}")


def _follow(model: _Model, changed: OrderChanged) -> None:
    name = changed.client_order_id
    if changed.state in ENDED:
        del model.live[name]
    else:
        book, side, _ = model.live[name]
        model.live[name] = book, side, changed.remaining


def _book(model: _Model, fill: FillBooked) -> None:
    book = fill.owner, fill.instrument
    model.held[book] = model.held.get(book, 0) + fill.side * fill.size
    if fill.client_order_id in model.live:
        owner, side, left = model.live[fill.client_order_id]
        model.live[fill.client_order_id] = owner, side, max(0, left - fill.size)
    if fill.role == CLOSE and fill.purpose in ("stop", "trail"):
        model.stopped_ns[fill.owner] = fill.at_ns


def _steps(text: str, market: int) -> int:
    return int(Fraction(text) * 10 ** SIZE_SCALE[market])
