"""What a jump of the clock does to orders: nothing is repeated for the time that has passed."""

from __future__ import annotations

from collections import Counter

import pytest

from engine.clock import SECOND_NS
from engine.events import (
    COMMANDS,
    ClockAdvanced,
    ClockJumped,
    FeedHeard,
    FeedUp,
    OrderRefused,
    OrderUnknown,
    QueryAccount,
    QueryOrder,
    ScheduleCancel,
    SubmitOrder,
)
from tests.actors.rig import Rig

SIX_HOURS = 6 * 3600


def jump(rig: Rig, seconds: int, cause: str = "stepped") -> list[type]:
    """Jump ahead, let what fell due happen, and return the commands that were sent."""
    from_ns, before = rig.now_ns, len(rig.sent)
    rig.now_ns += seconds * SECOND_NS
    rig.send(ClockJumped(rig.now_ns, from_ns, rig.now_ns, cause))
    rig.send(ClockAdvanced(rig.now_ns))
    return [type(one) for one in rig.sent[before:]]


@pytest.mark.parametrize("lost", [False, True])
def test_a_step_of_six_hours_queries_each_order_once(lost: bool) -> None:
    """It was 6,530 queries and 10,817 requests at once."""
    rig = Rig("S", real=True, venue={"dead_man_s": 30})
    for _ in range(7):
        rig.buy("S", 1, limit=90)
    orders = [one.client_order_id for one in rig.sent if isinstance(one, SubmitOrder)]
    assert len(orders) == 7
    for name in orders if lost else ():
        rig.send(OrderUnknown(rig.tick(), name, "no reply"))
    sent = Counter(jump(rig, SIX_HOURS))
    assert sent == {QueryAccount: 1, QueryOrder: 7, ScheduleCancel: 1}
    before = len(rig.sent)
    for _ in range(60):
        rig.wait(1)
    later = Counter(map(type, rig.sent[before:]))
    assert later[SubmitOrder] == 0
    assert later[QueryOrder] <= 7 * 12
    assert set(later) <= set(COMMANDS)


def test_after_a_step_nothing_opens_until_the_feed_has_caught_up() -> None:
    rig = Rig("S")
    rig.send(FeedUp(rig.tick(), "f", 1, heard_ms=2000))
    rig.trade(100)
    rig.buy("S", 1)
    rig.trade(100)
    assert rig.book("S") == 1
    assert jump(rig, SIX_HOURS) == []
    rig.trade(101)
    rig.buy("S", 1)
    assert [one.limit for one in rig.events(OrderRefused)] == ["stale"]
    rig.sell("S", 1)
    rig.trade(101)
    assert rig.book("S") == 0, "an exit passes"
    rig.send(FeedHeard(rig.tick(), "f", rig.now_ns))
    rig.buy("S", 1)
    rig.trade(101)
    assert rig.book("S") == 1


def test_a_target_that_waits_is_worked_once_after_a_jump() -> None:
    """Retries that fell due during the jump are not made up for."""
    rig = Rig("S", real=True)
    rig.target("S", 2)
    first = len(rig.sent)
    sent = Counter(jump(rig, 172_826))
    assert sent[SubmitOrder] == 0
    assert sum(sent.values()) <= 2
    assert len(rig.sent) - first <= 2
