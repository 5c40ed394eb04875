"""Commands of the engine as actions of the venue: members in signing order, numbers as plain text.

Converts exact integers to the action that is signed. Commands released together are sent together: cancels
first (but for those of an order that is released with them), then orders that close, then the others, of
both the post-only ones first, at most `BATCH_MAX` of one kind in an action; an order with attached ones is an
action of its own. Called by the gateway. Source: the exchange endpoint's reference, 2026-08.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping
from typing import Any, Final

import msgspec

from adapters.transport.governor import Priority
from engine.events import (
    CancelOrder,
    Event,
    InstrumentListed,
    ModifyOrder,
    QueryAccount,
    QueryOrder,
    ScheduleCancel,
    SetLeverage,
    SubmitOrder,
)
from engine.events.terms import CLOSE
from engine.values import BUY, format_scaled

__all__ = ["BATCH_MAX", "Job", "jobs_of"]

BATCH_MAX: Final = 50
"""Entries of one action; the venue takes 200, and a smaller one loses less when its answer is lost."""


_TRADING: Final = (SubmitOrder, CancelOrder, ModifyOrder, SetLeverage)


class Job(msgspec.Struct, frozen=True):
    """One task: an action and the commands in it, in the order of its entries; or a query, without an action.

    A job with a `refusal` is not sent; `refusal` is the reason.
    """

    action: dict[str, Any] | None
    commands: tuple[Event, ...]
    expires_ms: int | None = None
    refusal: str = ""

    @property
    def priority(self) -> Priority:
        """Its place in the venue's limits: cancels first, then what only closes."""
        if isinstance(self.commands[0], CancelOrder | ScheduleCancel):
            return Priority.CANCEL
        return Priority.EXIT if all(map(_closes, self.commands)) else Priority.ORDER

    @property
    def is_query(self) -> bool:
        """Whether it queries an order or the account."""
        return self.action is None


class Wire:
    """Turns commands into entries. `assets` maps the names of instruments to the venue's numbers."""

    def __init__(self, instruments: Iterable[InstrumentListed], assets: Mapping[str, int]) -> None:
        self._listed = {one.instrument: one for one in instruments}
        self._assets = assets

    def trades(self, instrument: int) -> bool:
        """Return whether an instrument is one of this session's; an order may be left from another one."""
        return instrument in self._listed

    def asset(self, instrument: int) -> int:
        """Return the venue's number of an instrument."""
        return self._assets[self._listed[instrument].name]

    def order(self, command: SubmitOrder) -> dict[str, Any]:
        """Return an order's entry."""
        listed, terms = self._listed[command.instrument], command.terms
        if terms.trigger:
            kind: dict[str, Any] = {
                "trigger": {
                    "isMarket": terms.market,
                    "triggerPx": format_scaled(terms.trigger_price, listed.price_scale),
                    "tpsl": terms.trigger,
                }
            }
        else:
            kind = {"limit": {"tif": terms.tif}}
        return {
            "a": self.asset(command.instrument),
            "b": terms.side == BUY,
            "p": format_scaled(terms.worst, listed.price_scale),
            "s": format_scaled(terms.size, listed.size_scale),
            "r": terms.reduce_only,
            "t": kind,
            "c": command.client_order_id,
        }

    def changed(self, command: ModifyOrder) -> dict[str, Any]:
        """Return the entry that takes the place of an order."""
        listed = self._listed[command.instrument]
        return {
            "a": self.asset(command.instrument),
            "b": command.side == BUY,
            "p": format_scaled(command.limit_price, listed.price_scale),
            "s": format_scaled(command.size, listed.size_scale),
            "r": command.reduce_only,
            "t": {"limit": {"tif": command.tif}},
            "c": command.client_order_id,
        }


def jobs_of(commands: Iterable[Event], wire: Wire) -> list[Job]:
    """Return the jobs for commands that were released together; those that reduce risk come first."""
    commands = list(commands)
    fresh = {one.client_order_id for one in commands if isinstance(one, SubmitOrder)}
    cancels: dict[bool, list[CancelOrder]] = {True: [], False: []}
    plain: dict[tuple[bool, bool], list[SubmitOrder]] = defaultdict(list)
    families: dict[str, list[SubmitOrder]] = {}
    rest: list[Job] = []
    for command in commands:
        if isinstance(command, _TRADING) and not wire.trades(command.instrument):
            words = "its instrument is not traded in this session; start one with it among --instruments"
            rest.append(Job({}, (command,), refusal=words))
        elif isinstance(command, CancelOrder):
            cancels[command.client_order_id in fresh].append(command)
        elif isinstance(command, SubmitOrder):
            families.setdefault(command.terms.parent or command.client_order_id, []).append(command)
        elif isinstance(command, ModifyOrder):
            rest.append(_modify(command, wire))
        elif isinstance(command, SetLeverage):
            action = {
                "type": "updateLeverage",
                "asset": wire.asset(command.instrument),
                "isCross": command.cross,
                "leverage": command.leverage,
            }
            rest.append(Job(action, (command,)))
        elif isinstance(command, ScheduleCancel):
            time_ms = command.cancel_at_ns // 1_000_000
            action = {"type": "scheduleCancel", **({"time": time_ms} if time_ms else {})}
            rest.append(Job(action, (command,)))
        elif isinstance(command, QueryOrder | QueryAccount):
            rest.append(Job(None, (command,)))
    grouped: list[Job] = []
    for family in families.values():
        if len(family) > 1:
            grouped.append(_orders(family, "normalTpsl", wire))
        else:
            plain[_closes(family[0]), family[0].terms.tif == "Alo"].append(family[0])
    jobs = [_cancels(part, wire) for part in _parts(cancels[False])]
    for closes in (True, False):
        for post_only in (True, False):
            jobs += [_orders(part, "na", wire) for part in _parts(plain[closes, post_only])]
    return jobs + grouped + rest + [_cancels(part, wire) for part in _parts(cancels[True])]


def _closes(command: Event) -> bool:
    """Return whether a command only closes a position, or reduces an order that does."""
    if isinstance(command, SubmitOrder):
        return command.terms.role == CLOSE
    return isinstance(command, ModifyOrder) and command.reduce_only


def _orders(commands: list[SubmitOrder], grouping: str, wire: Wire) -> Job:
    action = {"type": "order", "orders": [wire.order(one) for one in commands], "grouping": grouping}
    return Job(action, tuple(commands), _milliseconds(min(one.expires_ns for one in commands)))


def _cancels(commands: list[CancelOrder], wire: Wire) -> Job:
    entries = [{"asset": wire.asset(one.instrument), "cloid": one.client_order_id} for one in commands]
    return Job({"type": "cancelByCloid", "cancels": entries}, tuple(commands))


def _modify(command: ModifyOrder, wire: Wire) -> Job:
    """Without "always place" (`a`): with it the venue places the new order even if the old one is filled by
    then, so that both would be. The cost: a Gtc becomes post-only, and one that crosses is refused.
    """
    entry = {"oid": command.client_order_id, "order": wire.changed(command)}
    action = {"type": "batchModify", "modifies": [entry]}
    return Job(action, (command,), _milliseconds(command.expires_ns))


def _milliseconds(expires_ns: int) -> int | None:
    return expires_ns // 1_000_000 or None


def _parts(commands: list[Any]) -> Iterable[list[Any]]:
    return (commands[start : start + BATCH_MAX] for start in range(0, len(commands), BATCH_MAX))
