"""Halts: what stops all openings, of the engine, a market or a strategy, and what an operator can do.

A halt of the engine or of a market, a failure and a pause cancel the live orders that open (execution does,
on `EngineHalted`, `MarketHalted` and `ActorFailed`; this module on a pause), drop opening parts that wait,
and leave protection alone: exits pass, and stops and trails go on. Halts last until an operator resumes, over
restarts; a stop ends with its session.

    command    target
    halt       -                              no opening until "resume"
    pause      "" or a strategy               the same, and its targets stand
    flatten    "", a market, a strategy or    closes the books with protective bounds, sets their targets to
               "manual", "external"           0 and pauses their strategies
    resume     "", a market or a strategy     "" ends all halts, and the counts of losses begin again
    stop       -                              the session ends: nothing is opened any more

Called by `gates`. State: the manager's `gate`.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from engine.actors.base import Emit
from engine.actors.books.book import EXTERNAL, MANUAL
from engine.clock import SECOND_NS
from engine.events import (
    ActorFailed,
    ActorRestarted,
    EngineHalted,
    FillBooked,
    MarketHalted,
    OperatorCommand,
    OrderTerms,
    PositionDiffers,
    StrategyBegan,
)
from engine.events.terms import PROTECTIVE
from engine.values import format_scaled

if TYPE_CHECKING:
    from engine.actors.orders.actor import OrderManager

__all__ = ["DISARMED", "Halts"]

STOPPED: Final = "operator: stop"

DISARMED: Final = "an operator disarmed the engine: no order leaves before it is started again"

STOP_NS: Final = 10 * SECOND_NS
"""How long exits are tried again after an orderly stop began."""

FLATTEN_NS: Final = 60 * SECOND_NS
"""The same if the stop closes all positions."""


class Halts:
    """See the module."""

    def __init__(self, manager: OrderManager) -> None:
        self.m = manager

    # Refusals.

    def stopping(self, at_ns: int, terms: OrderTerms) -> tuple[str, str] | None:
        """Return why nothing is sent while the session stops, or None. Exits that are owed get some time."""
        gate = self.m.gate
        if not gate.stop_ns:
            return None
        span_ns = FLATTEN_NS if self.m.config.risk.on_stop == "flatten" else STOP_NS
        owed = terms.role == "close" and (terms.purpose in PROTECTIVE or terms.purpose == "target")
        if owed and at_ns < gate.stop_ns + span_ns:
            return None
        return "stopping", "the session is stopping"

    def refusal(self, owner: str, instrument: int) -> tuple[str, str] | None:
        """Return the halt that refuses an opening, or None."""
        gate = self.m.gate
        if instrument in gate.markets:
            return "market_halted", gate.markets[instrument]
        if gate.halted:
            return "halted", gate.halted
        if owner in gate.quarantined:
            return "quarantined", gate.quarantined[owner]
        if self.paused(owner):
            return "paused", f"{owner} is paused until an operator resumes"
        return None

    def withdraws(self, owner: str, instrument: int) -> bool:
        """Return whether a halt withdraws the openings of targets of this book; a pause does not."""
        gate = self.m.gate
        return bool(gate.halted) or instrument in gate.markets or owner in gate.quarantined

    def paused(self, owner: str) -> bool:
        """Return whether a strategy is paused."""
        return owner in self.m.gate.paused or "" in self.m.gate.paused

    # What halts.

    def begin(self) -> None:
        """Begin a session: a stop ended with its session, and a strategy that failed begins again.

        Any other halt stays.
        """
        gate = self.m.gate
        gate.quarantined.clear()
        gate.failed.clear()
        gate.disarmed = ""
        gate.stop_ns = 0
        if gate.halted == STOPPED:
            gate.halted = ""

    def began(self, began: StrategyBegan, emit: Emit) -> None:
        """Cancel what a strategy without its state would open; it has no targets any more."""
        m, at_ns, name = self.m, began.at_ns, began.name
        why = f"{name}: {began.why}"
        m.targets.forget(at_ns, name, why, emit)
        m.requests.drop_openings(at_ns, emit, owner=name)
        for client_order_id, order in tuple(m.live.items()):
            if order.owner == name and not order.exits:
                m.cancel(at_ns, client_order_id, order, why, emit)

    def halt(self, at_ns: int, reason: str, emit: Emit) -> None:
        """Stop all openings. The reason of an earlier halt is kept."""
        gate = self.m.gate
        if gate.halted not in ("", STOPPED):
            return
        gate.halted = reason
        emit(EngineHalted(at_ns, reason))

    def flatten_all(self, at_ns: int, reason: str, emit: Emit) -> None:
        """Close all books but `external`."""
        self._flatten(at_ns, self._books(), reason, emit)

    def note_market(self, halted: MarketHalted) -> None:
        """Stop the openings in a market: the books or this module halted it."""
        self.m.gate.markets.setdefault(halted.instrument, halted.reason)

    def failed(self, failed: ActorFailed, emit: Emit) -> None:
        """Halt the engine, or only the strategy, as its policy says."""
        self.m.gate.failed[failed.actor] = None
        if failed.policy == "quarantine":
            self.m.gate.quarantined[failed.actor] = f"{failed.actor} failed: {failed.error}"
        else:
            self.halt(failed.at_ns, f"{failed.actor} failed: {failed.error}", emit)

    def restarted(self, restarted: ActorRestarted) -> None:
        """Let a restarted strategy open again."""
        self.m.gate.quarantined.pop(restarted.actor, None)
        self.m.gate.failed.pop(restarted.actor, None)

    def note_difference(self, differs: PositionDiffers, emit: Emit) -> None:
        """Halt a market whose position at the venue is not explained by the fills."""
        if differs.adopted:
            return
        scale = self.m.instruments[differs.instrument].size_scale
        own, venue = format_scaled(differs.own, scale), format_scaled(differs.venue, scale)
        reason = f"own fills make a position of {own}, the venue says {venue}"
        if differs.instrument not in self.m.gate.markets:
            self.m.gate.markets[differs.instrument] = reason
            emit(MarketHalted(differs.at_ns, differs.instrument, reason))

    def note_fill(self, fill: FillBooked, left: int, emit: Emit) -> None:
        """Halt after a fill beyond the order; `left` is what the order could still fill after it."""
        if left < 0 and self.m.real:
            self.halt(fill.at_ns, f"{fill.client_order_id} filled more than was ordered", emit)

    # Operators.

    def command(self, command: OperatorCommand, emit: Emit) -> None:
        """Apply a command of the engine itself or of an earlier version: one without a request."""
        at_ns, target = command.recv_ns, command.target
        match command.command:
            case "halt":
                self.halt(at_ns, "operator: halt", emit)
            case "pause":
                self.pause(at_ns, target, emit)
            case "resume":
                self.resume(at_ns, target, target, emit)
            case "flatten":
                number = self.m.instruments.names().get(target)
                owner = target if target and number is None else None
                self.flatten(at_ns, owner, number, emit)
            case "stop":
                self.stop(at_ns, emit)

    def flatten(self, at_ns: int, owner: str | None, market: int | None, emit: Emit) -> list[tuple[str, int]]:
        """Close the books of an owner, of a market, or all but `external`, and pause their strategies.

        Return the (owner, instrument) of the books.
        """
        books = self._books(owner, market)
        for entry in self.m.config.strategies:
            name = entry.title
            if (owner is None and market is None) or owner == name or any(name == one for one, _ in books):
                self.pause(at_ns, name, emit)
        self._flatten(at_ns, books, "operator: flatten", emit)
        return books

    def stop(self, at_ns: int, emit: Emit) -> None:
        """End the session as configured: nothing is opened any more."""
        gate = self.m.gate
        if gate.stop_ns:
            return
        gate.stop_ns = at_ns
        if not gate.halted:
            gate.halted = STOPPED
            emit(EngineHalted(at_ns, STOPPED))
        on_stop = self.m.config.risk.on_stop
        if on_stop == "flatten":
            self.flatten_all(at_ns, STOPPED, emit)
        elif on_stop == "cancel":
            for client_order_id, order in tuple(self.m.live.items()):
                self.m.cancel(at_ns, client_order_id, order, STOPPED, emit)
        self.m.protection.park(at_ns, emit)

    def pause(self, at_ns: int, owner: str, emit: Emit) -> None:
        """Stop the openings of one strategy, or of all (""); its targets stand."""
        self.m.gate.paused[owner] = None
        self.cancel_openings(at_ns, owner, "paused", emit)

    def cancel_openings(self, at_ns: int, owner: str, why: str, emit: Emit) -> None:
        """Cancel the live orders that open, and drop what waits to: of one strategy, or of all ("")."""
        m = self.m
        m.requests.drop_openings(at_ns, emit, owner=owner)
        for client_order_id, order in tuple(m.live.items()):
            if owner in ("", order.owner) and not order.exits:
                m.cancel(at_ns, client_order_id, order, why, emit)

    def stop_strategy(self, at_ns: int, owner: str, emit: Emit) -> None:
        """Withdraw what a strategy would open; its exits and its protection go on."""
        self.m.gate.stopped[owner] = None
        self.cancel_openings(at_ns, owner, "stopped", emit)
        self.m.targets.clamp(at_ns, emit, owner=owner)

    def disarm(self, at_ns: int, emit: Emit) -> None:
        """Let no order leave any more, before the next session."""
        self.m.gate.disarmed = "operator: disarm"
        self.cancel_openings(at_ns, "", "disarmed", emit)

    def resume(self, at_ns: int, owner: str | None, market: str | None, emit: Emit) -> None:
        """End halts and pauses: those of a strategy, of a market, or all."""
        gate = self.m.gate
        if owner or market:
            if owner:
                gate.paused.pop(owner, None)
            for number in self.m.instruments:
                if market and self.m.instruments.means(market, number):
                    gate.markets.pop(number, None)
        else:
            gate.halted = STOPPED if gate.stop_ns else ""
            gate.markets.clear()
            gate.paused.clear()
            self.m.gates.losses.forgive()
        self.m.targets.retry(at_ns, emit)

    def _books(self, owner: str | None = None, market: int | None = None) -> list[tuple[str, int]]:
        """Return the (owner, instrument) of the books of an owner or a market, or all but `external`.

        A book holds something, wants something or has a live order. Markets in order of number, owners in
        order of configuration.
        """
        m = self.m
        names = dict.fromkeys([*(entry.title for entry in m.config.strategies), MANUAL])
        found: list[tuple[str, int]] = []
        for number in sorted(m.instruments):
            known = [name for name, size in m.books.get(number, {}).items() if size]
            known += [name for name, target in m.aims.get(number, {}).items() if target.wanted]
            orders = (*m.live.values(), *m.approved)
            known += [order.owner for order in orders if order.instrument == number]
            for name in dict.fromkeys([*names, *sorted(known)]):
                named = owner == name or (owner is None and name != EXTERNAL and market in (None, number))
                if named and name in known:
                    found.append((name, number))
        return found

    def _flatten(self, at_ns: int, books: list[tuple[str, int]], reason: str, emit: Emit) -> None:
        """Close books with protective bounds; nothing is wanted in them any more."""
        m = self.m
        for owner, instrument in books:
            m.requests.make_way(at_ns, owner, instrument, reason, emit)
            held = m.book(owner, instrument)
            if held:
                m.exits.owe(at_ns, owner, instrument, "flatten", abs(held), "", reason, emit)
            m.targets.zero(at_ns, owner, instrument, reason, emit)
