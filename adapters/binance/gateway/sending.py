"""Carries out commands: sends the requests of one, and reports its outcome.

Owns the reports for each command by its outcome. An order that was not sent is rejected. If the venue
already has its client id, the order exists there and is reported as Unknown, so that it is queried; so is
everything whose answer is lost. Nothing is sent twice. Called by the gateway.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Final, TypeVar

import msgspec
import trio

from adapters.binance.gateway.account_wire import AlgoRow, OrderRow
from adapters.binance.gateway.memory import Orders
from adapters.binance.gateway.outcomes import LEVERAGE_SAME
from adapters.binance.gateway.reading import WAITING_NUMBER, Reading, end_reason, is_ended
from adapters.binance.gateway.rest import Rest
from adapters.binance.gateway.wire import Call, Wire
from adapters.transport.gateway import priority_of
from adapters.transport.gateway_health import GatewayHealth
from adapters.transport.outcomes import NOT_TRADED, TAKEN, Done, Lost, Outcome, Refused
from engine.errors import VenueProtocolError
from engine.events import (
    CancelOrder,
    CancelRejected,
    Event,
    LeverageAnswered,
    ModifyOrder,
    ModifyRejected,
    OrderAccepted,
    OrderCanceled,
    OrderModified,
    OrderRejected,
    OrderUnknown,
    ScheduleAnswered,
    ScheduleCancel,
    SetLeverage,
    SubmitOrder,
)

__all__ = ["Sending"]

_Row = TypeVar("_Row")
_decode_order: Final = msgspec.json.Decoder(OrderRow).decode
_decode_algo: Final = msgspec.json.Decoder(AlgoRow).decode


class _Replaced(msgspec.Struct, frozen=True, rename="camel"):
    new_order_response: OrderRow


_decode_replaced: Final = msgspec.json.Decoder(_Replaced).decode


class Sending:
    """See the module."""

    def __init__(
        self,
        rest: Rest,
        wire: Wire,
        reading: Reading,
        orders: Orders,
        health: GatewayHealth,
        now_ns: Callable[[], int],
        venue_ms: Callable[[], int],
    ) -> None:
        self._rest = rest
        self._wire = wire
        self._reading = reading
        self._orders = orders
        self._health = health
        self._now_ns = now_ns
        self._venue_ms = venue_ms

    async def carry_out(self, command: Event) -> list[Event]:
        """Send a command's request and return its reports."""
        if isinstance(command, ScheduleCancel):
            return await self._schedule(command)
        assert isinstance(command, SubmitOrder | CancelOrder | ModifyOrder | SetLeverage), type(command)
        if not self._wire.trades(command.instrument):
            return self._not_traded(command)
        if isinstance(command, SubmitOrder):
            return await self._submit(command)
        if isinstance(command, CancelOrder):
            return await self._cancel(command)
        if isinstance(command, ModifyOrder):
            return await self._modify(command)
        return await self._set_leverage(command)

    async def _send(self, call: Call, command: Event, expires_ns: int = 0) -> Outcome:
        outcome = await self._rest.act(
            call.method,
            call.path,
            call.params,
            priority_of(command),
            expires_ms=expires_ns // 1_000_000,
            is_order=call.is_order,
        )
        self._health.note(outcome)
        return outcome

    async def _submit(self, command: SubmitOrder) -> list[Event]:
        name, number = command.client_order_id, command.instrument
        conditional = self._wire.is_conditional(command.terms)
        if conditional:
            self._orders.note_conditional(name)
        self._orders.note_shape(name, command.terms.worst, command.terms.size)
        outcome = await self._send(self._wire.submit(command), command, command.expires_ns)
        recv_ns = self._now_ns()
        if isinstance(outcome, Lost):
            if outcome.unsent:
                return [OrderRejected(recv_ns, recv_ns, name, f"not sent: {outcome.reason}")]
            return [OrderUnknown(recv_ns, name, outcome.reason)]
        if isinstance(outcome, Refused):
            if outcome.taken:
                return [OrderUnknown(recv_ns, name, TAKEN)]
            return [OrderRejected(recv_ns, recv_ns, name, outcome.text)]
        if conditional:
            algo = _read(_decode_algo, outcome)
            if algo is None:
                return [OrderUnknown(recv_ns, name, "an answer without an order")]
            self._orders.note_conditional(name, number, algo.fired)
            return [OrderAccepted(recv_ns, recv_ns, name, algo.fired or WAITING_NUMBER, bool(algo.fired))]
        row = _read(_decode_order, outcome)
        if row is None:
            return [OrderUnknown(recv_ns, name, "an answer without an order")]
        self._orders.note_number(number, row.order_id, name)
        return [OrderAccepted(recv_ns, recv_ns, name, row.order_id), *self._end(name, number, row)]

    def _end(self, name: str, number: int, row: OrderRow) -> list[Event]:
        """Return the end that an answer shows, if its fills are reported: an Ioc ends in its answer."""
        try:
            if not is_ended(row.status):
                return []
            executed = self._reading.size(number, row.executed_qty)
            left = self._reading.size(number, row.orig_qty) - executed
        except VenueProtocolError:
            return []
        recv_ns, now = self._now_ns(), trio.current_time()
        if row.status == "FILLED":
            return self._orders.await_fills(name, executed, now)
        reason = end_reason(row.status, row.time_in_force, reduce_only=row.reduce_only)
        end = OrderCanceled(recv_ns, recv_ns, name, number, max(0, left), reason)
        return self._orders.await_fills(name, executed, now, end)

    async def _cancel(self, command: CancelOrder) -> list[Event]:
        name = command.client_order_id
        conditional = self._orders.is_conditional(name)
        call = self._wire.cancel(command, conditional=conditional, fired=self._orders.fired(name))
        outcome = await self._send(call, command)
        recv_ns = self._now_ns()
        if isinstance(outcome, Lost) and not outcome.unsent:
            return [OrderUnknown(recv_ns, name, outcome.reason)]
        if isinstance(outcome, Done):
            return []  # The stream reports the end, with what was filled.
        words = outcome.text if isinstance(outcome, Refused) else f"not sent: {outcome.reason}"
        return [CancelRejected(recv_ns, recv_ns, name, words)]

    async def _modify(self, command: ModifyOrder) -> list[Event]:
        name, number = command.client_order_id, command.instrument
        spot = self._wire.dialect.spot
        filled = self._orders.filled(name)
        replaces = spot and not self._keeps(command)
        if replaces:
            self._orders.replace(command)
            call = self._wire.replace(command)
        else:
            call = self._wire.reduce(command, filled) if spot else self._wire.modify(command, filled)
        outcome = await self._send(call, command, command.expires_ns)
        recv_ns = self._now_ns()
        if isinstance(outcome, Lost) and not outcome.unsent:
            return [OrderUnknown(recv_ns, name, outcome.reason)]
        if not isinstance(outcome, Done):
            words = outcome.text if isinstance(outcome, Refused) else f"not sent: {outcome.reason}"
            held = self._orders.settled(name, replaced=False) if replaces else []
            return [ModifyRejected(recv_ns, recv_ns, name, words), *held]
        if replaces:
            replaced = _read(_decode_replaced, outcome)
            row = None if replaced is None else replaced.new_order_response
        elif spot:
            row = None
        else:
            row = _read(_decode_order, outcome)
        if row is None and (replaces or not spot):
            return [OrderUnknown(recv_ns, name, "an answer without an order")]
        total = command.size + filled
        venue_id = self._orders.number_of(name)
        if row is not None:
            venue_id = row.order_id
            self._orders.note_number(number, venue_id, name)
            total = self._reading.size(number, row.orig_qty) + (filled if replaces else 0)
        left = max(0, total - self._orders.filled(name))
        self._orders.note_shape(name, command.limit_price, total)
        held = self._orders.settled(name, replaced=True) if replaces else []
        return [OrderModified(recv_ns, recv_ns, name, number, venue_id, left, command.limit_price), *held]

    def _keeps(self, command: ModifyOrder) -> bool:
        """Return whether a spot order can be changed in place: it only becomes smaller."""
        price, size = self._orders.shape(command.client_order_id)
        return (
            price == command.limit_price
            and command.size + self._orders.filled(command.client_order_id) < size
        )

    async def _set_leverage(self, command: SetLeverage) -> list[Event]:
        words = ""
        for call in self._wire.leverage(command) if not self._wire.dialect.spot else []:
            outcome = await self._send(call, command)
            if isinstance(outcome, Lost):
                words = words or outcome.reason
            elif isinstance(outcome, Refused) and outcome.code != LEVERAGE_SAME:
                words = words or outcome.text
        return [
            LeverageAnswered(
                self._now_ns(), command.instrument, command.leverage, command.cross, not words, words
            )
        ]

    async def _schedule(self, command: ScheduleCancel) -> list[Event]:
        if self._wire.dialect.spot:
            return [ScheduleAnswered(self._now_ns(), command.cancel_at_ns, False, "spot has no such switch")]
        words = ""
        for call in self._wire.schedule(command, self._venue_ms()):
            outcome = await self._send(call, command)
            if not isinstance(outcome, Done):
                words = words or (outcome.text if isinstance(outcome, Refused) else outcome.reason)
        return [ScheduleAnswered(self._now_ns(), command.cancel_at_ns, not words, words)]

    def _not_traded(self, command: SubmitOrder | CancelOrder | ModifyOrder | SetLeverage) -> list[Event]:
        recv_ns = self._now_ns()
        if isinstance(command, SubmitOrder):
            return [OrderRejected(recv_ns, recv_ns, command.client_order_id, NOT_TRADED)]
        if isinstance(command, CancelOrder):
            return [CancelRejected(recv_ns, recv_ns, command.client_order_id, NOT_TRADED)]
        if isinstance(command, ModifyOrder):
            return [ModifyRejected(recv_ns, recv_ns, command.client_order_id, NOT_TRADED)]
        return [
            LeverageAnswered(recv_ns, command.instrument, command.leverage, command.cross, False, NOT_TRADED)
        ]


def _read(decode: Callable[[bytes], _Row], outcome: Done) -> _Row | None:
    """Return the order in an answer, None for one that cannot be read."""
    try:
        return decode(outcome.body)
    except (msgspec.MsgspecError, UnicodeError, RecursionError):
        return None
