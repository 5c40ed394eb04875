"""What others do on the account of a session with real orders: the books follow, and nothing is doubled."""

from __future__ import annotations

from decimal import Decimal
from pathlib import Path

from trio.abc import Clock

from engine.events import (
    AccountAdjusted,
    BookAdjusted,
    EquityMarked,
    FillBooked,
    FundingPaid,
    Liquidated,
    MarketHalted,
    OrderRefused,
    PositionChanged,
    PositionDiffers,
    SubmitOrder,
    TransferSeen,
)
from engine.runtime.live import Live
from tests.live.kit import of
from tests.live.stage import Stage, books, fills, orders, staged

LONG = "1: target 1; 2: target 0; 3: target 2"


def money(root: Path) -> dict[str, Decimal]:
    """Return the last state of the account's money."""
    last = of(EquityMarked, root)[-1]
    fields = ("equity", "start", "realized", "unrealized", "fees", "funding", "adjustments")
    return {name: Decimal(int(getattr(last, name))).scaleb(-last.scale) for name in fields}


async def assert_money(root: Path, stage: Stage) -> None:
    """Assert that the engine's equity is the venue's: no fill and no fee is left out."""
    found = money(root)
    assert abs(found["equity"] - await stage.equity()) < Decimal("0.01")


async def test_three_fills_of_somebody_else_leave_a_target_that_is_kept(
    paced_clock: Clock, tmp_path: Path
) -> None:
    """Sold by hand three times 0.01: the target of 0 closes what is left, and no more."""
    async with staged() as stage:

        async def script(live: Live) -> None:
            await stage.signal(1)
            for _ in range(3):
                await stage.others("sell", "0.01")
            assert await stage.position() == Decimal("0.97")
            await stage.signal(2)
            assert await stage.position() == 0

        result = await stage.trade(tmp_path, {"Long": LONG}, script)
        assert await stage.open_orders() == []
        await assert_money(tmp_path, stage)
    assert result.positions == []
    assert books(tmp_path) == {}
    assert [size for _, size, _ in fills(tmp_path)] == [
        Decimal(1),
        *[Decimal("-0.01")] * 3,
        Decimal("-0.97"),
    ]
    assert [one.external for one in of(FillBooked, tmp_path)] == [False, True, True, True, False]
    first = of(BookAdjusted, tmp_path)[0]
    assert (first.owner, first.before, first.after, first.account, first.venue) == (
        "Long",
        1000,
        990,
        990,
        990,
    )
    assert not of(MarketHalted, tmp_path)
    assert not of(PositionDiffers, tmp_path)
    assert len(orders(tmp_path)) == 2
    assert stage.said[0] == "BTC Long adjusted 1 is now 0.99: fill from outside"
    assert len(stage.said) == 3


async def test_a_fill_of_somebody_else_is_shared_by_size_and_its_rest_stays_external(
    paced_clock: Clock, tmp_path: Path
) -> None:
    async with staged() as stage:

        async def script(live: Live) -> None:
            await stage.signal(1)
            await stage.others("sell", "0.2")
            await stage.signal(2)
            assert await stage.position() == Decimal("0.2")
            await stage.others("sell", "0.5")

        scripts = {"One": "1: target 0.3", "Two": "1: target 0.1"}
        await stage.trade(tmp_path, scripts, script)
        assert await stage.position() == Decimal("-0.3")
        await assert_money(tmp_path, stage)
    assert books(tmp_path) == {"external": Decimal("-0.3")}
    by_hand = [(owner, size) for owner, size, _ in fills(tmp_path)[2:]]
    assert by_hand == [
        ("One", Decimal("-0.15")),
        ("Two", Decimal("-0.05")),
        ("One", Decimal("-0.15")),
        ("Two", Decimal("-0.05")),
        ("external", Decimal("-0.3")),
    ]
    assert not of(MarketHalted, tmp_path)


async def test_a_flat_account_closes_the_books_against_each_other(paced_clock: Clock, tmp_path: Path) -> None:
    """Long 1 and Short -0.4; somebody sells 0.6 at 101: both are closed as if at 101."""
    async with staged() as stage:

        async def script(live: Live) -> None:
            await stage.signal(1)
            await stage.price(101)
            await stage.others("sell", "0.6")
            assert await stage.position() == 0
            await stage.signal(2)

        scripts = {"Long": "1: target 1; 2: target 0", "Short": "1: target -0.4; 2: target 0"}
        await stage.trade(tmp_path, scripts, script)
        await assert_money(tmp_path, stage)
    assert books(tmp_path) == {}
    assert len(orders(tmp_path)) == 2, "nothing was left to close"
    found = money(tmp_path)
    assert found["realized"] == Decimal("0.6")


async def test_a_liquidation_empties_the_books_and_halts_its_market(
    paced_clock: Clock, tmp_path: Path
) -> None:
    """One 15 and Two 5 at 100, sold by the venue at 91: a target of 0 sends nothing, one of 2 is refused."""
    async with staged(cash="200") as stage:

        async def script(live: Live) -> None:
            await stage.signal(1)
            assert await stage.position() == 20
            await stage.price(91)
            assert await stage.position() == 0
            await stage.signal(2)
            await stage.signal(3)

        call = "1: target {}; 2: target 0; 3: target 2"
        risk = {"max_order_notional": "0", "max_position_notional": "0"}
        scripts = {"One": call.format(15), "Two": call.format(5)}
        result = await stage.trade(tmp_path, scripts, script, risk=risk)
        await assert_money(tmp_path, stage)
    assert books(tmp_path) == {}
    assert of(Liquidated, tmp_path)
    closed = [one for one in of(FillBooked, tmp_path) if one.cause == "liquidation"]
    assert [(one.owner, one.size, one.price) for one in closed] == [
        ("One", 15_000, 9100),
        ("Two", 5_000, 9100),
    ]
    assert money(tmp_path)["realized"] == -180
    assert len(orders(tmp_path)) == 2, "nothing was sold again"
    assert [one.instrument for one in of(MarketHalted, tmp_path)] == [1]
    assert {one.limit for one in of(OrderRefused, tmp_path)} == {"market_halted"}
    assert list(result.halted_markets) == ["BTC"]
    assert any(line.startswith("BTC halted liquidation") for line in stage.said)
    assert any(line.startswith("account liquidated ") for line in stage.said)


async def test_an_adopted_position_is_one_position_of_its_strategy(
    paced_clock: Clock, tmp_path: Path
) -> None:
    async with staged() as stage:
        await stage.others("buy", "5")

        async def script(live: Live) -> None:
            await stage.signal(1)
            assert await stage.position() == 0
            await stage.signal(2)
            assert await stage.position() == 1
            await stage.signal(3)
            assert await stage.position() == 0

        scripts = {"S": "1: sell 5; 2: target 1; 3: target 0"}
        await stage.trade(tmp_path, scripts, script, venue={"adopt": True})
        await assert_money(tmp_path, stage)
    (differs,) = of(PositionDiffers, tmp_path)
    assert (differs.own, differs.venue, differs.adopted) == (0, 5000, True)
    assert books(tmp_path) == {}
    assert not of(MarketHalted, tmp_path)
    assert [size for _, _, size in orders(tmp_path)] == [-5000, 1000, -1000]


async def test_with_several_strategies_the_one_that_adopts_is_named(
    paced_clock: Clock, tmp_path: Path
) -> None:
    async with staged() as stage:
        await stage.others("buy", "5")

        async def script(live: Live) -> None:
            await stage.signal(1)
            assert await stage.position() == 4

        scripts = {"Long": "1: target 3", "Other": "1: target 1"}
        await stage.trade(tmp_path, scripts, script, venue={"adopt": {"BTC": "Long"}})
    assert books(tmp_path) == {"Long": Decimal(3), "Other": Decimal(1)}


async def test_a_position_that_nobody_adopts_stays_external_and_halts_its_market(
    paced_clock: Clock, tmp_path: Path
) -> None:
    async with staged() as stage:
        await stage.others("sell", "5")

        async def script(live: Live) -> None:
            await stage.signal(1)
            assert await stage.position() == -5

        result = await stage.trade(tmp_path, {"Long": LONG}, script)
    assert books(tmp_path) == {"external": Decimal(-5)}
    assert list(result.halted_markets) == ["BTC"]
    assert {one.limit for one in of(OrderRefused, tmp_path)} == {"market_halted"}
    assert not of(SubmitOrder, tmp_path)


async def test_money_that_moves_in_and_out_is_no_profit(paced_clock: Clock, tmp_path: Path) -> None:
    async with staged() as stage:

        async def script(live: Live) -> None:
            await stage.signal(1)
            await stage.deposit("250")
            await stage.price(103)
            await stage.signal(2)

        await stage.trade(tmp_path, {"Long": LONG}, script)
        await assert_money(tmp_path, stage)
        venue = await stage.equity()
    assert [(one.kind, int(one.amount)) for one in of(TransferSeen, tmp_path)] == [
        ("internalTransfer", 250 * 10**8)
    ]
    assert [int(one.amount) / 10**one.scale for one in of(AccountAdjusted, tmp_path)] == [250]
    found = money(tmp_path)
    fees = Decimal("0.045") + Decimal("0.04635")
    assert (found["start"], found["adjustments"], found["realized"]) == (1000, 250, 3)
    assert found["fees"] == fees
    assert venue == 1253 - fees


async def test_funding_is_shared_by_the_books_and_equity_follows_the_venue(
    paced_clock: Clock, tmp_path: Path
) -> None:
    """Long 1 and Short -0.4 over the hour: the account pays for 0.6, of which Short receives its part."""
    async with staged() as stage:

        async def script(live: Live) -> None:
            await stage.signal(1)
            await stage.price(104)
            await stage.wait(310)
            await stage.signal(2)

        scripts = {"Long": "1: target 1; 2: target 0", "Short": "1: target -0.4; 2: target 0"}
        await stage.trade(tmp_path, scripts, script)
        await assert_money(tmp_path, stage)
    (paid,) = of(FundingPaid, tmp_path)
    amount = Decimal(int(paid.amount)).scaleb(-paid.scale)
    assert amount == Decimal("-0.6") * 104 * Decimal("0.0000125")
    last = {one.strategy: one for one in of(PositionChanged, tmp_path)}
    shares = {
        owner: Decimal(int(one.funding)).scaleb(-5 - one.finer)
        for owner, one in last.items()
        if owner != "external"
    }
    assert shares["Long"] + shares["Short"] == amount
    assert shares["Long"] < 0 < shares["Short"]
    assert money(tmp_path)["funding"] == amount


async def test_a_payment_that_the_stream_lost_is_read_when_it_is_back(
    paced_clock: Clock, tmp_path: Path
) -> None:
    """The stream is silent over the hour and comes back a moment later. No difference is unexplained."""
    async with staged() as stage:

        async def script(live: Live) -> None:
            await stage.signal(1)
            stage.sandbox.faults.arm("silent", scope="user")
            await stage.wait(302)
            stage.sandbox.drop_connections()
            await stage.wait(5)
            await stage.signal(2)

        await stage.trade(tmp_path, {"Long": "1: target 10; 2: target 0"}, script)
        await assert_money(tmp_path, stage)
    (paid,) = of(FundingPaid, tmp_path)
    assert Decimal(int(paid.amount)).scaleb(-paid.scale) == Decimal("-0.0125")
    assert of(AccountAdjusted, tmp_path) == []


async def test_a_transfer_while_the_engine_is_down_is_no_profit(paced_clock: Clock, tmp_path: Path) -> None:
    async with staged() as stage:

        async def first(live: Live) -> None:
            await stage.signal(1)

        async def second(live: Live) -> None:
            await stage.signal(2)

        await stage.trade(tmp_path, {"Long": LONG}, first)
        await stage.deposit("250")
        await stage.wait(60)
        await stage.trade(tmp_path, {"Long": LONG}, second)
        await assert_money(tmp_path, stage)
    found = money(tmp_path)
    assert (found["start"], found["adjustments"], found["realized"]) == (1000, 250, 0)
