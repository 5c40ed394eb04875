"""Commands go to the gateway of their venue; what a gateway says of its account bears the venue's name."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from engine.events import (
    AccountRead,
    CancelOrder,
    ClockChecked,
    Event,
    GatewayDown,
    GatewayUp,
    OrderUnknown,
    QueryAccount,
    ScheduleAnswered,
    ScheduleCancel,
    SetLeverage,
    TransferSeen,
)
from engine.runtime.router import Marked, Router, edges_of


class Gateway:
    def __init__(self) -> None:
        self.name = "gateway"
        self.released: list[tuple[int, list[Event]]] = []

    def release(self, durable_seq: int, commands: Iterable[Any]) -> None:
        self.released.append((durable_seq, [one for _, _, one in commands]))

    async def run(self) -> None: ...


class Inputs:
    def __init__(self) -> None:
        self.events: list[Event] = []

    async def send(self, events: list[Event]) -> None:
        self.events += events

    def offer(self, events: list[Event]) -> bool:
        self.events += events
        return len(self.events) < 100


def test_a_command_goes_to_the_gateway_of_its_venue_and_to_no_other() -> None:
    one, other = Gateway(), Gateway()
    router = Router({"a": one, "b": other}, {1: "a", 2: "b", 3: "c"}.get)  # type: ignore[arg-type]
    to_a, to_b = CancelOrder(0, "x", 1), SetLeverage(0, 2, 5, cross=True)
    watched, unlisted = CancelOrder(0, "y", 3), CancelOrder(0, "z", 9)
    every, own = QueryAccount(0, "jumped"), ScheduleCancel(0, 5, "b")
    commands = [(seq, 0, one) for seq, one in enumerate((to_a, to_b, watched, unlisted, every, own))]
    router.release(7, commands)
    assert one.released == [(7, [to_a, every])]
    assert other.released == [(7, [to_b, every, own])]
    router.release(8, [(9, 0, to_a)])
    assert len(other.released) == 1, "nothing for it"


def test_gateways_are_edges_of_their_own_that_do_not_end_the_session() -> None:
    edges = edges_of(Router({"a": Gateway(), "b": Gateway()}, str))
    assert [(one.name, one.gives_up) for one in edges] == [("a gateway", False), ("b gateway", False)]
    assert [(one.name, one.gives_up) for one in edges_of(Gateway())] == [("gateway", True)]


async def test_what_is_said_of_an_account_bears_the_name_of_its_venue() -> None:
    inputs = Inputs()
    marked = Marked("b", inputs)
    of_account = [
        GatewayUp(0, "gateway", "main", "sandbox"),
        GatewayDown(0, "gateway", "cut"),
        AccountRead(0, 0, "gateway", 8, 0, 0, 0, 0),
        TransferSeen(0, 0, 8, 5, "", "deposit", "1"),
        ScheduleAnswered(0, 0, accepted=True),
        ClockChecked(0, "gateway", 5),
    ]
    await marked.send(of_account)
    assert {getattr(one, "venue", "") for one in inputs.events} == {"b"}
    assert [getattr(one, "gateway", "") for one in inputs.events[:3]] == ["b gateway"] * 3
    assert marked.offer([OrderUnknown(0, "x", "lost")])
    assert inputs.events[-1] == OrderUnknown(0, "x", "lost")
