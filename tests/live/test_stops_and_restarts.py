"""What a stop leaves at the venue, what a restart finds there, and what it says about both."""

from __future__ import annotations

from decimal import Decimal
from pathlib import Path

import pytest
from trio.abc import Clock

from engine.events import ExitDelayed, FillBooked, OrderChanged, SubmitOrder, TrailChanged
from engine.runtime.live import Live
from tests.live.kit import of
from tests.live.stage import books, fills, orders, staged

STOPPED = "1: target 1; 2: stop sell 1 97; 3: target 0"


async def nothing(live: Live) -> None:
    """Leave the strategies alone."""


async def test_a_stop_at_the_venue_stays_and_the_summary_names_it(paced_clock: Clock, tmp_path: Path) -> None:
    async with staged() as stage:

        async def script(live: Live) -> None:
            await stage.signal(1)
            await stage.signal(2)

        result = await stage.trade(tmp_path, {"Long": STOPPED}, script)
        (stop,) = await stage.open_orders()
        assert (stop["side"], stop["sz"], stop["reduceOnly"]) == ("A", "1.0", True)
        (left,) = result.positions
        assert (left.market, left.owner, left.size) == ("BTC", "Long", "1")
        assert left.protected_by == [f"a stop of 1 at 97 at the venue ({stop['cloid']})"]
        assert result.live_orders == 0
        # The next session knows it, and it still works.
        again = await stage.trade(tmp_path, {"Long": STOPPED}, nothing)
        assert again.positions == result.positions
        assert [one["oid"] for one in await stage.open_orders()] == [stop["oid"]]

        async def gap(live: Live) -> None:
            await stage.price(95)

        last = await stage.trade(tmp_path, {"Long": STOPPED}, gap)
        assert await stage.position() == 0
        assert last.positions == []
    assert len(orders(tmp_path)) == 2
    assert fills(tmp_path)[-1] == ("Long", Decimal(-1), Decimal(95))


async def test_a_stop_that_filled_while_the_engine_was_down_is_found(
    paced_clock: Clock, tmp_path: Path
) -> None:
    async with staged() as stage:

        async def script(live: Live) -> None:
            await stage.signal(1)
            await stage.signal(2)

        await stage.trade(tmp_path, {"Long": STOPPED}, script)
        await stage.price(95)
        assert await stage.position() == 0
        await stage.price(100)

        async def wait(live: Live) -> None:
            await stage.wait(90)
            assert await stage.position() == 0

        result = await stage.trade(tmp_path, {"Long": STOPPED}, wait)
    assert result.positions == []
    assert books(tmp_path) == {}
    assert len(orders(tmp_path)) == 2, "nothing was bought again"


async def test_a_stop_that_fired_and_missed_while_the_engine_was_down_is_sold_at_the_start(
    paced_clock: Clock, tmp_path: Path
) -> None:
    """Target 10 at 100, stop 97; down; bid 85 is beyond the bound 87.30; at the start it is sold at 85."""
    call = "1: target 10; 2: stop sell 10 97"
    async with staged() as stage:

        async def script(live: Live) -> None:
            await stage.signal(1)
            await stage.signal(2)

        await stage.trade(tmp_path, {"Long": call}, script)
        await stage.price(85)
        assert await stage.open_orders() == []
        assert await stage.position() == 10
        await stage.trade(tmp_path, {"Long": call}, nothing)
        assert await stage.position() == 0
        equity = await stage.equity()
    assert fills(tmp_path)[-1] == ("Long", Decimal(-10), Decimal(85))
    assert equity == 1000 - 150 - Decimal("0.45") - Decimal("0.3825")
    assert [one.owner for one in of(ExitDelayed, tmp_path)] == ["Long"]


async def test_a_stop_that_a_person_canceled_stays_canceled(paced_clock: Clock, tmp_path: Path) -> None:
    async with staged() as stage:

        async def script(live: Live) -> None:
            await stage.signal(1)
            await stage.signal(2)
            (stop,) = await stage.open_orders()
            await stage.cancel(stop["oid"])
            await stage.wait(70)
            assert await stage.open_orders() == []

        result = await stage.trade(tmp_path, {"Long": STOPPED}, script)
        assert await stage.position() == 1
    assert [one.protected_by for one in result.positions] == [[]]


async def test_a_stop_that_is_gone_after_downtime_is_placed_again(paced_clock: Clock, tmp_path: Path) -> None:
    """The engine was not there to see who canceled it."""
    async with staged() as stage:

        async def script(live: Live) -> None:
            await stage.signal(1)
            await stage.signal(2)

        await stage.trade(tmp_path, {"Long": STOPPED}, script)
        (stop,) = await stage.open_orders()
        await stage.cancel(stop["oid"])
        result = await stage.trade(tmp_path, {"Long": STOPPED}, nothing)
        (again,) = await stage.open_orders()
        assert again["oid"] != stop["oid"]
    assert [len(one.protected_by) for one in result.positions] == [1]


async def test_a_trail_is_parked_at_the_venue_and_taken_back(paced_clock: Clock, tmp_path: Path) -> None:
    call = {"Long": "1: target 1; 2: trail 1 3"}
    async with staged() as stage:

        async def script(live: Live) -> None:
            await stage.signal(1)
            await stage.signal(2)
            await stage.price(104)

        result = await stage.trade(tmp_path, call, script)
        (stop,) = await stage.open_orders()
        assert stop["reduceOnly"]
        assert [one.protected_by for one in result.positions] == [
            [f"a trailing stop of 1 at 101 at the venue ({stop['cloid']})"]
        ]

        async def on(live: Live) -> None:
            await stage.wait()
            await stage.price(106)
            assert await stage.open_orders() == [], "the trail is the engine's again"
            await stage.price(Decimal("102.9"))
            assert await stage.position() == 0

        await stage.trade(tmp_path, call, on)
    states = [one.state for one in of(TrailChanged, tmp_path)]
    assert "parked" in states
    assert fills(tmp_path)[-1] == ("Long", Decimal(-1), Decimal("102.9"))


@pytest.mark.parametrize(("on_stop", "held", "left"), [("cancel", 1, 0), ("flatten", 0, 0), ("keep", 1, 1)])
async def test_what_a_stop_does_is_configured(
    paced_clock: Clock, tmp_path: Path, on_stop: str, held: int, left: int
) -> None:
    async with staged() as stage:

        async def script(live: Live) -> None:
            await stage.signal(1)
            await stage.signal(2)

        scripts = {"Long": "1: target 1; 2: stop sell 1 97; 2: buy 1 limit=90"}
        result = await stage.trade(tmp_path, scripts, script, risk={"on_stop": on_stop})
        assert await stage.position() == held
        open_orders = await stage.open_orders()
        assert len(open_orders) == left
        assert all(one["side"] == "A" for one in open_orders), "entries are canceled in any case"
    assert [one.size for one in result.positions] == ["1"] * held
    assert result.live_orders == 0
    assert result.owed == []
    if on_stop == "cancel":
        assert str(result.positions[0]).endswith("protected by NOTHING")


async def test_an_exit_on_its_way_has_time_to_end(paced_clock: Clock, tmp_path: Path) -> None:
    """A late answer: the session ends after it, and flat."""
    async with staged() as stage:

        async def script(live: Live) -> None:
            await stage.signal(1)
            stage.sandbox.faults.arm("late-reply", scope="exchange", ms=4000)
            await stage.signal(3, wait=False)

        result = await stage.trade(tmp_path, {"Long": STOPPED}, script)
        assert await stage.position() == 0
    assert result.positions == []
    assert result.live_orders == 0


async def test_an_exit_that_is_owed_at_the_end_is_named(paced_clock: Clock, tmp_path: Path) -> None:
    async with staged() as stage:

        async def script(live: Live) -> None:
            await stage.signal(1)
            await stage.signal(2)
            stage.quote(50, 96)  # fires the stop, far beyond its bound
            stage.quote(0, 96)
            await stage.wait(3)

        result = await stage.trade(tmp_path, {"Long": STOPPED}, script)
        assert await stage.position() == 1
    (owed,) = result.owed
    assert owed.startswith("1 BTC of Long: ")
    assert [one.size for one in result.positions] == ["1"]


async def test_a_strategy_that_fails_leaves_its_stop_and_says_so(paced_clock: Clock, tmp_path: Path) -> None:
    async with staged() as stage:

        async def script(live: Live) -> None:
            await stage.signal(1)
            await stage.signal(2)
            await stage.signal(3)
            (stop,) = await stage.open_orders()
            assert stop["side"] == "A"
            await stage.price(96)
            assert await stage.position() == 0, "the stop of a failed strategy works"

        scripts = {"Long": "1: target 1; 2: stop sell 1 97; 2: buy 1 limit=90; 3: raise"}
        result = await stage.trade(tmp_path, scripts, script)
    assert len(result.failures) == 1
    assert "as the script says" in result.failures[0]
    assert result.positions == []


async def test_a_session_that_breaks_off_says_what_it_leaves(paced_clock: Clock, tmp_path: Path) -> None:
    async with staged() as stage:

        class Broken(Exception):
            pass

        async def script(live: Live) -> None:
            await stage.signal(1)
            await stage.signal(2)
            raise Broken

        scripts = {"Long": STOPPED, "Other": "1: target 1"}
        with pytest.RaisesGroup(Broken, flatten_subgroups=True, allow_unwrapped=True):
            await stage.trade(tmp_path, scripts, script)
        (stop,) = await stage.open_orders()
    assert stage.said == [
        f"position open BTC Long 1, protected by a stop of 1 at 97 at the venue ({stop['cloid']})",
        "position open BTC Other 1, protected by NOTHING",
    ]


async def test_a_stop_that_only_the_engine_can_hold_is_named_as_ended(
    paced_clock: Clock, tmp_path: Path
) -> None:
    """Long 1 with a stop and Short 1 make an account of 0, on which the venue holds no reduce-only stop."""
    async with staged() as stage:

        async def script(live: Live) -> None:
            await stage.signal(1)
            await stage.signal(2)

        scripts = {"Long": STOPPED, "Short": "1: target -1"}
        result = await stage.trade(tmp_path, scripts, script)
        assert await stage.open_orders() == []
    assert [str(one) for one in result.positions] == [
        "BTC Long 1, protected by NOTHING; ended with the engine: a stop of 1 at 97",
        "BTC Short -1, protected by NOTHING",
    ]


async def test_a_kill_between_order_and_answer_buys_once(paced_clock: Clock, tmp_path: Path) -> None:
    async with staged() as stage:

        class Killed(Exception):
            pass

        async def script(live: Live) -> None:
            stage.sandbox.faults.arm("lost-reply", scope="exchange")
            stage.sandbox.faults.arm("drop", 100, scope="user")
            await stage.signal(1)
            raise Killed

        with pytest.RaisesGroup(Killed, flatten_subgroups=True, allow_unwrapped=True):
            await stage.trade(tmp_path, {"Long": STOPPED}, script)
        stage.sandbox.faults.disarm()
        assert await stage.position() == 1

        async def on(live: Live) -> None:
            await stage.wait(20)
            await stage.signal(1)
            assert await stage.position() == 1

        result = await stage.trade(tmp_path, {"Long": STOPPED}, on)
    assert [one.size for one in result.positions] == ["1"]
    assert len(of(SubmitOrder, tmp_path)) == 1
    assert [one.size for one in of(FillBooked, tmp_path)] == [1000]
    assert of(OrderChanged, tmp_path)[-1].state == "Filled"
