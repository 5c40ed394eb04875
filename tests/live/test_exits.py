"""Exits of real orders: they never open, none is lost, and a gap is answered until the position is flat."""

from __future__ import annotations

from decimal import Decimal
from itertools import pairwise
from pathlib import Path

import pytest
from trio.abc import Clock

from engine.events import ExitDelayed, FillBooked, OrderRefused, OrderUnknown, ScheduleCancel, SubmitOrder
from engine.runtime.live import Live
from tests.live.kit import ACCOUNT, of
from tests.live.stage import Stage, books, fills, orders, staged


async def assert_flat(root: Path, stage: Stage) -> None:
    """Assert that nothing is held and nothing is left that could trade."""
    assert await stage.position() == 0
    assert await stage.open_orders() == []
    assert books(root) == {}


async def test_a_trail_that_fires_and_a_target_of_0_sell_once(paced_clock: Clock, tmp_path: Path) -> None:
    """The print that fires the trail is the one on which the strategy asks for 0: one sell."""
    async with staged() as stage:

        async def script(live: Live) -> None:
            await stage.signal(1)
            await stage.signal(2)
            await stage.price(101)
            stage.quote(98, 98)
            stage.at = 9800
            await stage.signal(3)
            await stage.price(100)

        result = await stage.trade(tmp_path, {"Long": "1: target 1; 2: trail 1 2; 3: target 0"}, script)
        await assert_flat(tmp_path, stage)
    assert [(purpose, size) for _, purpose, size in orders(tmp_path)] == [("target", 1000), ("trail", -1000)]
    assert result.positions == []


@pytest.mark.parametrize("protection", ["stop sell 1 97", "trail 1 3"])
async def test_protection_that_fires_while_a_target_of_0_is_on_its_way_sells_once(
    paced_clock: Clock, tmp_path: Path, protection: str
) -> None:
    async with staged() as stage:

        async def script(live: Live) -> None:
            await stage.signal(1)
            await stage.signal(2)
            await stage.signal(3, wait=False)
            await stage.price(96)
            await stage.price(100)

        await stage.trade(tmp_path, {"Long": f"1: target 1; 2: {protection}; 3: target 0"}, script)
        await assert_flat(tmp_path, stage)
    assert sum(size for _, size, _ in fills(tmp_path)) == 0
    assert not [one for one in of(FillBooked, tmp_path) if one.over]


async def test_two_exits_at_once_sell_once(paced_clock: Clock, tmp_path: Path) -> None:
    """A bracket, a stop and a trail, all through at one price, and a target of 0 on that print."""
    async with staged() as stage:

        async def script(live: Live) -> None:
            await stage.signal(1)
            await stage.signal(2)
            await stage.price(100)
            stage.quote(96, 96)
            stage.at = 9600
            await stage.signal(3)
            await stage.wait(3)

        calls = (
            "1: buy 1 limit=100 stop_loss=97 take_profit=110; 2: stop sell 1 98; 2: trail 1 2; 3: target 0"
        )
        await stage.trade(tmp_path, {"Long": calls}, script)
        await assert_flat(tmp_path, stage)
    assert sum(size for _, size, _ in fills(tmp_path)) == 0
    assert not [one for one in of(FillBooked, tmp_path) if one.over]


async def test_an_order_that_turns_a_position_round_closes_first(paced_clock: Clock, tmp_path: Path) -> None:
    async with staged() as stage:

        async def script(live: Live) -> None:
            await stage.signal(1)
            await stage.signal(2)
            assert await stage.position() == -2
            await stage.signal(3)
            assert await stage.position() == 1

        await stage.trade(tmp_path, {"Long": "1: target 1; 2: target -2; 3: buy 3"}, script)
    sent = [one.terms for one in of(SubmitOrder, tmp_path)]
    assert [(one.role, one.side * one.size, one.reduce_only) for one in sent] == [
        ("open", 1000, False),
        ("close", -1000, True),
        ("open", -2000, False),
        ("close", 2000, True),
        ("open", 1000, False),
    ]
    assert books(tmp_path) == {"Long": Decimal(1)}


async def test_a_target_of_0_takes_over_from_a_resting_exit(paced_clock: Clock, tmp_path: Path) -> None:
    """Long 1 with a sell at 110: the exit is canceled, the position sold, and nothing opens at 110."""
    async with staged() as stage:

        async def script(live: Live) -> None:
            await stage.signal(1)
            await stage.signal(2)
            (resting,) = await stage.open_orders()
            assert resting["limitPx"] == "110.0"
            await stage.signal(3)
            await stage.price(111)

        scripts = {"Long": "1: target 1; 2: sell 1 limit=110; 3: target 0"}
        await stage.trade(tmp_path, scripts, script)
        await assert_flat(tmp_path, stage)
    assert [price for _, _, price in fills(tmp_path)] == [100, 100]


async def test_what_a_stop_closed_is_not_bought_again_until_the_next_call(
    paced_clock: Clock, tmp_path: Path
) -> None:
    async with staged() as stage:

        async def script(live: Live) -> None:
            await stage.signal(1)
            await stage.signal(2)
            await stage.price(96)
            assert await stage.position() == 0
            await stage.price(100)
            await stage.wait(90)
            assert await stage.position() == 0
            await stage.signal(1)
            assert await stage.position() == 1

        result = await stage.trade(tmp_path, {"Long": "1: target 1; 2: stop sell 1 97"}, script)
        assert await stage.position() == 1
    assert [price for _, _, price in fills(tmp_path)] == [100, 96, 100]
    (left,) = result.positions
    assert (left.market, left.owner, left.size, left.protected_by) == ("BTC", "Long", "1", [])
    assert str(left) == "BTC Long 1, protected by NOTHING"


@pytest.mark.parametrize(("price", "sold"), [(95, 95), (88, 88)])
async def test_a_gap_through_a_stop_is_filled_within_its_bound(
    paced_clock: Clock, tmp_path: Path, price: int, sold: int
) -> None:
    """A live stop with a limit 1 % from its trigger stays unfilled at 5 %; a protective exit has 10 %."""
    async with staged() as stage:

        async def script(live: Live) -> None:
            await stage.signal(1)
            await stage.signal(2)
            await stage.price(price)

        await stage.trade(tmp_path, {"Long": "1: target 1; 2: stop sell 1 97"}, script)
        await assert_flat(tmp_path, stage)
    assert fills(tmp_path)[-1] == ("Long", Decimal(-1), Decimal(sold))
    assert not of(ExitDelayed, tmp_path)
    stop = of(SubmitOrder, tmp_path)[1].terms
    assert (stop.trigger, stop.trigger_price, stop.bound, stop.reduce_only) == ("sl", 9700, 8730, True)


async def test_a_gap_beyond_the_bound_is_answered_until_the_position_is_flat(
    paced_clock: Clock, tmp_path: Path
) -> None:
    """Stop 97, best bid 85: the bound 87.30 is missed; a quarter of a second later it is sold at 85."""
    async with staged() as stage:

        async def script(live: Live) -> None:
            await stage.signal(1)
            await stage.signal(2)
            await stage.price(85)
            await stage.wait(2)

        result = await stage.trade(tmp_path, {"Long": "1: target 1; 2: stop sell 1 97"}, script)
        await assert_flat(tmp_path, stage)
    assert fills(tmp_path)[-1] == ("Long", Decimal(-1), Decimal(85))
    delayed = of(ExitDelayed, tmp_path)
    assert [(one.owner, one.left) for one in delayed] == [("Long", 1000)]
    again = of(SubmitOrder, tmp_path)[-1]
    assert (again.terms.purpose, again.terms.bound) == ("stop", 7650)
    assert 250_000_000 <= again.at_ns - delayed[0].at_ns < 500_000_000
    assert result.owed == []


async def test_an_exit_without_buyers_is_tried_until_there_are_some(
    paced_clock: Clock, tmp_path: Path
) -> None:
    """No bid at all for twenty seconds: told at once and again, then sold."""
    async with staged() as stage:

        async def script(live: Live) -> None:
            await stage.signal(1)
            await stage.signal(2)
            await stage.price(100)  # arms the trail
            stage.quote(0, 96)
            stage.print(96)
            await stage.wait(22)
            assert await stage.position() == 1
            stage.quote(95, 96)
            await stage.wait(6)

        await stage.trade(tmp_path, {"Long": "1: target 1; 2: trail 1 2"}, script)
        await assert_flat(tmp_path, stage)
    at = [one.at_ns / 1e9 for one in of(ExitDelayed, tmp_path)]
    assert len(at) >= 2
    assert all(10 <= later - earlier <= 15.5 for earlier, later in pairwise(at))
    tries = [one.at_ns for one in of(SubmitOrder, tmp_path) if one.terms.purpose == "trail"]
    gaps = [round((later - earlier) / 1e9, 1) for earlier, later in pairwise(tries)]
    assert gaps[:4] == [pytest.approx(gap, abs=0.2) for gap in (0.25, 0.5, 1, 2)]
    assert all(gap <= 5.2 for gap in gaps)


async def test_netted_strategies_have_a_stop_each(paced_clock: Clock, tmp_path: Path) -> None:
    """Long 1 with a stop at 97 and Short 1 make an account of 0: the stop works all the same."""
    async with staged() as stage:

        async def script(live: Live) -> None:
            await stage.signal(1)
            await stage.signal(2)
            assert await stage.position() == 0
            await stage.price(96)
            await stage.wait(2)  # the engine's stop goes by the mark, which is sent every second
            assert await stage.position() == -1

        scripts = {"Long": "1: target 1; 2: stop sell 1 97", "Short": "2: target -1"}
        await stage.trade(tmp_path, scripts, script)
    assert books(tmp_path) == {"Short": Decimal(-1)}
    assert fills(tmp_path)[-1] == ("Long", Decimal(-1), Decimal(96))


async def test_what_a_bracket_filled_is_protected_when_the_rest_is_canceled(
    paced_clock: Clock, tmp_path: Path
) -> None:
    """Bid 1 at 100 with stop 97 and take-profit 105: 0.4 fills, cancel; 0.1 at 105, then 97."""
    async with staged() as stage:

        async def script(live: Live) -> None:
            stage.quote(99, 101)
            stage.at = 10100
            await stage.signal(1)
            stage.print(100, 400)
            await stage.wait()
            await stage.signal(2)
            assert await stage.position() == Decimal("0.4")
            await stage.price(96)

        scripts = {"Long": "1: buy 1 limit=100 stop_loss=97 take_profit=105; 2: cancel 0"}
        await stage.trade(tmp_path, scripts, script)
        await assert_flat(tmp_path, stage)
    assert [(size, price) for _, size, price in fills(tmp_path)] == [
        (Decimal("0.4"), 100),
        (Decimal("-0.4"), 96),
    ]


async def test_an_exit_whose_answer_is_lost_is_asked_about_and_never_sent_again(
    paced_clock: Clock, tmp_path: Path
) -> None:
    async with staged() as stage:

        async def script(live: Live) -> None:
            await stage.signal(1)
            stage.sandbox.faults.arm("lost-reply", scope="exchange")
            stage.sandbox.faults.arm("drop", 100, scope="user")
            stage.sandbox.faults.arm("5xx", 100, scope="info")
            await stage.signal(2)
            stage.sandbox.faults.disarm()
            stage.sandbox.faults.arm("drop", 100, scope="user")
            assert await stage.position() == 0
            await stage.signal(3)
            stage.sandbox.faults.disarm()
            await stage.wait(20)

        scripts = {"Long": "1: target 1; 2: target 0; 3: sell 1; 3: target 0"}
        await stage.trade(tmp_path, scripts, script)
        await assert_flat(tmp_path, stage)
    assert of(OrderUnknown, tmp_path)
    assert len(orders(tmp_path)) == 2
    assert [one.limit for one in of(OrderRefused, tmp_path)] == ["exit_budget"]


async def test_the_dead_mans_switch_does_not_cancel_a_stop(paced_clock: Clock, tmp_path: Path) -> None:
    async with staged(volumes=((ACCOUNT, "2000000"),)) as stage:

        async def script(live: Live) -> None:
            await stage.signal(1)
            await stage.signal(2)
            await stage.wait(1)
            await stage.wait(60)
            (stop,) = await stage.open_orders()
            assert stop["reduceOnly"]

        scripts = {"Long": "1: target 1; 2: stop sell 1 97"}
        await stage.trade(tmp_path, scripts, script, venue={"dead_man_s": 20})
    asked = [one.cancel_at_ns for one in of(ScheduleCancel, tmp_path)]
    assert asked[0] > 0
    assert asked[-1] == 0
    assert asked.count(0) == 1, "not set again while the stop works, and off at the end"


async def test_a_stop_that_fired_without_a_message_is_no_cancel_of_a_person(
    paced_clock: Clock, tmp_path: Path
) -> None:
    """The frame that says it fired and ended is lost; the reading shows an end beyond the trigger."""
    async with staged() as stage:

        async def script(live: Live) -> None:
            await stage.signal(1)
            await stage.signal(2)
            stage.sandbox.faults.arm("drop", 3, scope="user")
            await stage.price(85)
            stage.sandbox.faults.disarm()
            await stage.wait(70)

        await stage.trade(tmp_path, {"Long": "1: target 1; 2: stop sell 1 97"}, script)
        await assert_flat(tmp_path, stage)
    assert fills(tmp_path)[-1] == ("Long", Decimal(-1), Decimal(85))
