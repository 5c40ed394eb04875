"""Carries out commands: sends the transaction of one, and reports what is known of its outcome.

Owns the reports for each command by its outcome. An order that was not sent is rejected. That the venue took
a transaction is no report: what becomes of it shows on the account's stream, or by the engine's query if
nothing does. If the answer is lost, or the venue has the client index already, the order is reported as
Unknown, so that it is queried. Nothing is sent twice. Called by the gateway.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Final

from adapters.lighter.gateway.memory import Orders, client_index
from adapters.lighter.gateway.rest import Rest
from adapters.lighter.gateway.wire import Wire, is_too_large
from adapters.transport.gateway import priority_of
from adapters.transport.gateway_health import GatewayHealth
from adapters.transport.outcomes import NOT_TRADED, TAKEN, Done, Lost, Outcome, Refused
from engine.events import (
    CancelOrder,
    CancelRejected,
    Event,
    LeverageAnswered,
    ModifyOrder,
    ModifyRejected,
    OrderRejected,
    OrderUnknown,
    ScheduleAnswered,
    ScheduleCancel,
    SetLeverage,
    SubmitOrder,
)

__all__ = ["Sending"]

_TWICE: Final = "not sent: another order has the number of its client id"
_LARGE: Final = "not sent: its price or size is larger than the venue's transactions can hold"


class Sending:
    """See the module."""

    def __init__(
        self,
        rest: Rest,
        wire: Wire,
        orders: Orders,
        health: GatewayHealth,
        now_ns: Callable[[], int],
        venue_ms: Callable[[], int],
    ) -> None:
        self._rest = rest
        self._wire = wire
        self._orders = orders
        self._health = health
        self._now_ns = now_ns
        self._venue_ms = venue_ms

    async def carry_out(self, command: Event) -> list[Event]:
        """Send a command's transaction and return its reports."""
        if isinstance(command, ScheduleCancel):
            return await self._schedule(command)
        assert isinstance(command, SubmitOrder | CancelOrder | ModifyOrder | SetLeverage), type(command)
        if isinstance(command, SubmitOrder):
            return await self._submit(command)
        if isinstance(command, CancelOrder):
            return await self._cancel(command)
        if isinstance(command, ModifyOrder):
            return await self._modify(command)
        return await self._set_leverage(command)

    async def _send(
        self, kind: str, members: Mapping[str, int], command: Event, expires_ns: int = 0
    ) -> Outcome:
        outcome = await self._rest.act(kind, members, priority_of(command), expires_ns // 1_000_000)
        self._health.note(outcome)
        return outcome

    async def _submit(self, command: SubmitOrder) -> list[Event]:
        name, terms, recv_ns = command.client_order_id, command.terms, self._now_ns()
        if not self._wire.trades(command.instrument):
            return [OrderRejected(recv_ns, recv_ns, name, NOT_TRADED)]
        if is_too_large(terms):
            return [OrderRejected(recv_ns, recv_ns, name, _LARGE)]
        index = self._orders.give(name)
        if not index:
            return [OrderRejected(recv_ns, recv_ns, name, _TWICE)]
        members = self._wire.submit(command, index, self._venue_ms())
        outcome = await self._send("create", members, command, command.expires_ns)
        if isinstance(outcome, Done):
            return []
        if isinstance(outcome, Refused) and outcome.taken:
            return [OrderUnknown(self._now_ns(), name, TAKEN)]
        if words := self._refusal(outcome):
            recv_ns = self._now_ns()
            return [OrderRejected(recv_ns, recv_ns, name, words)]
        return self._unknown(name, outcome)

    async def _cancel(self, command: CancelOrder) -> list[Event]:
        name, words = command.client_order_id, NOT_TRADED
        if self._wire.trades(command.instrument):
            outcome = await self._send("cancel", self._wire.cancel(command, client_index(name)), command)
            words = self._refusal(outcome)
            if not words:
                return self._unknown(name, outcome)
        recv_ns = self._now_ns()
        return [CancelRejected(recv_ns, recv_ns, name, words)]

    async def _modify(self, command: ModifyOrder) -> list[Event]:
        name, words = command.client_order_id, NOT_TRADED
        if self._wire.trades(command.instrument):
            filled = self._orders.filled(name)
            members = self._wire.modify(command, client_index(name), filled)
            before = self._orders.shape(name)
            self._orders.change(name, command.limit_price, command.size + filled)
            outcome = await self._send("modify", members, command, command.expires_ns)
            words = self._refusal(outcome)
            if not words:
                return self._unknown(name, outcome)
            self._orders.unchanged(name)
            self._orders.note_shape(name, *before)
        recv_ns = self._now_ns()
        return [ModifyRejected(recv_ns, recv_ns, name, words)]

    async def _set_leverage(self, command: SetLeverage) -> list[Event]:
        words = NOT_TRADED
        if self._wire.trades(command.instrument):
            outcome = await self._send("leverage", self._wire.leverage(command), command)
            words = self._words(outcome)
        now_ns, wanted = self._now_ns(), (command.leverage, command.cross)
        return [LeverageAnswered(now_ns, command.instrument, *wanted, not words, words)]

    async def _schedule(self, command: ScheduleCancel) -> list[Event]:
        words = self._words(await self._send("cancel-all", self._wire.schedule(command), command))
        return [ScheduleAnswered(self._now_ns(), command.cancel_at_ns, not words, words)]

    def _unknown(self, name: str, outcome: Outcome) -> list[Event]:
        """Return the report of an outcome that is not a refusal: none for a transaction that was taken."""
        return [OrderUnknown(self._now_ns(), name, outcome.reason)] if isinstance(outcome, Lost) else []

    def _refusal(self, outcome: Outcome) -> str:
        """Return why nothing was done, "" if something may have been."""
        if isinstance(outcome, Refused):
            return outcome.text
        return f"not sent: {outcome.reason}" if isinstance(outcome, Lost) and outcome.unsent else ""

    def _words(self, outcome: Outcome) -> str:
        """Return why something was not done, as far as is known; "" if the venue took it."""
        if isinstance(outcome, Done):
            return ""
        return outcome.text if isinstance(outcome, Refused) else outcome.reason
