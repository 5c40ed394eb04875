"""Which commands go together, in which order, and with which priority."""

from __future__ import annotations

from typing import Any

from adapters.hyperliquid.gateway.actions import BATCH_MAX, Job, Wire, jobs_of
from engine.events import CancelOrder, Event, InstrumentListed, ModifyOrder, OrderTerms, SubmitOrder
from engine.values import BUY, SELL

BTC = InstrumentListed(0, 1, "hyperliquid", "BTC", 1, 5)
WIRE = Wire([BTC], {"BTC": 0})


def submit(name: str, role: str, **terms: Any) -> SubmitOrder:
    side = BUY if role == "open" else SELL
    return SubmitOrder(0, name, "S", 1, OrderTerms(side, 1000, 500, role=role, **terms))


def modify(name: str, *, reduce_only: bool) -> ModifyOrder:
    return ModifyOrder(0, name, 1, SELL, 1000, 500, "Gtc", reduce_only)


def summary(*commands: Event) -> list[tuple[str, list[str]]]:
    """Return the priority and the orders of each job."""

    def names(job: Job) -> list[str]:
        return [getattr(one, "client_order_id", "") for one in job.commands]

    return [(job.priority.name, names(job)) for job in jobs_of(commands, WIRE)]


def test_cancels_come_first_then_exits_then_openings() -> None:
    assert summary(
        submit("open", "open"),
        submit("exit", "close"),
        CancelOrder(0, "old", 1),
        submit("open maker", "open", tif="Alo"),
        submit("exit maker", "close", tif="Alo"),
        submit("exit too", "close"),
    ) == [
        ("CANCEL", ["old"]),
        ("EXIT", ["exit maker"]),
        ("EXIT", ["exit", "exit too"]),
        ("ORDER", ["open maker"]),
        ("ORDER", ["open"]),
    ]


def test_a_change_of_an_exit_counts_as_an_exit() -> None:
    assert summary(modify("exit", reduce_only=True), modify("open", reduce_only=False)) == [
        ("EXIT", ["exit"]),
        ("ORDER", ["open"]),
    ]


def test_an_order_with_its_children_opens() -> None:
    children = [submit(name, "close", trigger=name, parent="entry") for name in ("sl", "tp")]
    assert summary(submit("entry", "open"), *children) == [("ORDER", ["entry", "sl", "tp"])]


def test_an_action_holds_a_bounded_number_of_orders() -> None:
    jobs = summary(*(submit(str(number), "close") for number in range(BATCH_MAX + 1)))
    assert [len(names) for _, names in jobs] == [BATCH_MAX, 1]
