"""Transfers of money, the venue's clock, and what it says about fills and triggers besides their numbers."""

from __future__ import annotations

from typing import Any

import pytest
import trio

from adapters.hyperliquid.gateway.account_wire import WireFill, WireLedgerRow
from adapters.hyperliquid.gateway.reading import Reading
from engine.errors import VenueProtocolError
from engine.events import (
    AccountRead,
    ClockChecked,
    InstrumentListed,
    OrderAccepted,
    OrderCanceled,
    OrderFilled,
    OrderRead,
    OrderRejected,
    QueryAccount,
    QueryOrder,
    TransferSeen,
)
from tests.hyperliquid.gateway.kit import BTC, USER, Clock, Venue, fill_row, name, order, scene, update
from tests.hyperliquid.venue import START_MS, START_NS

OTHER = "0x" + "e" * 40
VAULT = "0x" + "d" * 40


def row(number: int, kind: str, *, ms: int = START_MS + 1, **members: Any) -> dict[str, Any]:
    """Return a row of the ledger."""
    return {"time": ms, "hash": f"0x{number:064x}", "delta": {"type": kind, **members}}


def between(user: str, destination: str, **members: Any) -> dict[str, Any]:
    return {"user": user, "destination": destination, **members}


def seen(kind: str, *, instruments: tuple[InstrumentListed, ...] = (BTC,), **members: Any) -> float | None:
    """Return the amount of the transfer that a row is read as."""
    found = row(1, kind, **members)
    wire = WireLedgerRow(found["time"], found["hash"], found["delta"])
    moved = Reading(instruments, user=USER).transfer(wire, START_NS)
    return None if moved is None else int(moved.amount) / 10**moved.scale


@pytest.mark.parametrize(
    ("kind", "members", "amount"),
    [
        ("deposit", {"usdc": "200079.847397"}, 200_079.847397),
        ("withdraw", {"usdc": "99.0", "fee": "1.0", "nonce": 1}, -100),
        ("accountClassTransfer", {"usdc": "5.5", "toPerp": True}, 5.5),
        ("accountClassTransfer", {"usdc": "5.5", "toPerp": False}, -5.5),
        ("internalTransfer", between(USER, OTHER, usdc="10.0", fee="1.0"), -11),
        ("internalTransfer", between(OTHER, USER.upper().replace("X", "x"), usdc="10.0", fee="1.0"), 10),
        ("subAccountTransfer", between(OTHER, USER, usdc="3.0"), 3),
        ("vaultDeposit", {"vault": VAULT, "usdc": "7.0"}, -7),
        ("vaultWithdraw", {"vault": VAULT, "user": USER, "netWithdrawnUsd": "6.5"}, 6.5),
        ("vaultCreate", {"vault": VAULT, "usdc": "100.0", "fee": "100.0"}, -200),
        ("vaultDistribution", {"vault": VAULT, "usdc": "2.0"}, 2),
        ("vaultDeposit", {"vault": USER, "usdc": "7.0"}, 7),
        ("send", between(OTHER, USER, token="USDC", amount="4.0", sourceDex="", destinationDex=""), 4),
        ("send", between(USER, OTHER, amount="4.0", fee="1.0", sourceDex="", destinationDex=""), -5),
        ("send", between(USER, USER, amount="4.0", sourceDex="spot", destinationDex=""), 4),
        ("send", between(USER, USER, amount="4.0", sourceDex="", destinationDex="xyz"), -4),
    ],
)
def test_a_movement_of_money_is_read_with_its_sign_and_its_fee(
    kind: str, members: dict[str, Any], amount: float
) -> None:
    assert seen(kind, **members) == amount


def test_a_transfer_within_the_account_moves_nothing() -> None:
    listed = InstrumentListed(START_NS, 1, "hyperliquid", "xyz:SP500", 2, 2)
    members = between(USER, USER, amount="4.0", sourceDex="", destinationDex="xyz")
    assert seen("send", instruments=(listed,), **members) is None


@pytest.mark.parametrize(
    ("kind", "members"),
    [
        ("liquidation", {"liquidatedNtlPos": "356.8", "accountValue": "2.9", "liquidatedPositions": []}),
        ("spotTransfer", between(OTHER, USER, token="PURR", amount="1.0")),
        ("rewardsClaim", {"amount": "1.0"}),
        ("somethingNew", {"usdc": 5, "fee": None}),
    ],
)
def test_rows_that_move_no_collateral_are_counted_and_left_out(kind: str, members: dict[str, Any]) -> None:
    assert seen(kind, **members) is None


@pytest.mark.parametrize("usdc", ["1e5", "", "x", 5, None])
def test_a_transfer_without_a_number_is_an_error(usdc: object) -> None:
    if usdc == "":
        assert seen("deposit", usdc=usdc) is None
    else:
        with pytest.raises(VenueProtocolError):
            seen("deposit", usdc=usdc)


async def test_a_transfer_is_reported_once_by_stream_snapshot_and_reading(autojump_clock: Clock) -> None:
    def prepare(venue: Venue) -> None:
        venue.ledger = [row(1, "deposit", usdc="1000.0", ms=START_MS - 1), row(2, "deposit", usdc="50.0")]

    async with scene(prepare=prepare) as at:
        kinds = [type(one) for one in at.engine.events]
        assert kinds.index(TransferSeen) < kinds.index(AccountRead), "the equity read includes it"
        await at.venue.say_ledger(row(3, "withdraw", usdc="20.0", fee="1.0"))
        await at.venue.drop()
        await at.live(2)
        moved = at.engine.of(TransferSeen)
        assert [(one.amount, one.asset, one.kind) for one in moved] == [
            (50 * 10**8, "", "deposit"),
            (-21 * 10**8, "", "withdraw"),
        ], "the first one is from before the journal"
        assert len({one.transfer_id for one in moved}) == 2


async def test_a_transfer_that_the_stream_does_not_report_is_read(autojump_clock: Clock) -> None:
    async with scene(reconcile_s=5) as at:
        at.venue.ledger.append(row(1, "deposit", usdc="50.0"))  # and no frame
        await at.live(2)
        assert len(at.engine.of(TransferSeen)) == 1


async def test_the_account_is_read_when_asked(autojump_clock: Clock) -> None:
    async with scene() as at:
        before = len(at.engine.of(AccountRead))
        at.venue.fills.append(fill_row(1, 50, None))  # and no frame
        at.release(QueryAccount(START_NS, "in doubt"))
        await trio.sleep(2)
        assert len(at.engine.of(AccountRead)) == before + 1
        assert len(at.engine.of(OrderFilled)) == 1


async def test_a_reading_that_is_under_way_does_not_answer_a_later_question(autojump_clock: Clock) -> None:
    async with scene() as at:
        before, answer = at.gateway.health.reconciliations, at.venue.info

        async def slowly(body: dict[str, Any]) -> Any:
            await trio.sleep(1)
            return await answer(body)

        at.venue.info = slowly
        at.release(QueryAccount(START_NS, "first"))
        await trio.sleep(1.5)
        at.release(QueryAccount(START_NS, "second"))
        await trio.sleep(20)
        assert at.gateway.health.reconciliations == before + 2


@pytest.mark.parametrize(
    ("members", "cause"),
    [
        ({"liquidation": {"liquidatedUser": USER, "markPx": "1.0", "method": "market"}}, "liquidation"),
        ({"liquidation": {"liquidatedUser": USER, "markPx": "1.0", "method": "backstop"}}, "liquidation"),
        ({"liquidation": {"liquidatedUser": OTHER, "markPx": "1.0", "method": "market"}}, ""),
        ({"liquidation": {"markPx": "1.0", "method": "market"}}, ""),
        ({"dir": "Auto-Deleveraging"}, "adl"),
        ({"dir": "Close Long"}, ""),
    ],
)
async def test_a_fill_says_whether_the_venue_closed_the_position(
    autojump_clock: Clock, members: dict[str, Any], cause: str
) -> None:
    async with scene() as at:
        await at.venue.say_fills(fill_row(1, 50, None, **members))
        await at.settle()
        (fill,) = at.engine.of(OrderFilled)
        assert (fill.client_order_id, fill.cause, fill.fee_asset) == ("", cause, "")


async def test_a_stop_that_fired_is_reported_before_its_end(autojump_clock: Clock) -> None:
    async with scene() as at:
        stop = order(
            1, price=0, bound=567_000, side=-1, reduce_only=True, trigger="sl", trigger_price=630_000
        )
        at.release(stop)
        await at.settle()
        found = at.venue.find(name(1))
        assert found is not None
        oid = found["order"]["oid"]
        await at.venue.say(
            "orderUpdates", [update(oid, name(1), "triggered"), update(oid, name(1), "canceled")]
        )
        await at.settle()
        _, fired, ended = at.engine.about(name(1))
        assert isinstance(fired, OrderAccepted)
        assert fired.triggered
        assert isinstance(ended, OrderCanceled)


@pytest.mark.parametrize(
    ("status", "condition", "fired"),
    [
        ("open", "Price below 63000", False),
        ("triggered", "N/A", True),
        ("canceled", "Triggered", True),
        ("canceled", "Price below 63000", False),
        ("filled", "Triggered", True),
    ],
)
async def test_the_answer_about_a_stop_says_whether_it_fired(
    autojump_clock: Clock, status: str, condition: str, fired: bool
) -> None:
    async with scene() as at:
        shown = update(70, name(1), status)
        shown["order"]["triggerCondition"] = condition
        at.venue.orders[70] = shown
        at.release(QueryOrder(START_NS, name(1), 1, 1))
        await at.settle()
        (read,) = at.engine.of(OrderRead)
        assert read.triggered is fired


@pytest.mark.parametrize("ahead_ms", [0, 4_000, -20_000])
async def test_the_venues_clock_is_reported_and_decides_when_an_order_has_expired(
    autojump_clock: Clock, ahead_ms: int
) -> None:
    def prepare(venue: Venue) -> None:
        venue.ahead_ms = ahead_ms

    async with scene(prepare=prepare) as at:
        (checked,) = at.engine.of(ClockChecked)
        assert checked.offset_ns == ahead_ms * 1_000_000
        soon, late = START_NS + (ahead_ms + 10_000) * 10**6, START_NS + (ahead_ms - 1) * 10**6
        at.release(order(1, expires_ns=soon))
        at.release(order(2, expires_ns=late))
        await at.settle()
        assert at.venue.placed == [name(1)]
        assert [one.client_order_id for one in at.engine.of(OrderRejected)] == [name(2)]


async def test_the_venues_clock_is_reported_again_once_it_has_moved(autojump_clock: Clock) -> None:
    async with scene(reconcile_s=5) as at:
        for ahead_ms in (50, 1_500, 1_450):
            at.venue.ahead_ms = ahead_ms
            await at.live(at.gateway.health.reconciliations + 1)
        assert [one.offset_ns for one in at.engine.of(ClockChecked)] == [0, 1_500 * 10**6]


@pytest.mark.parametrize(
    ("text", "found"), [("-0.18", -18_000), (None, None), ("0.0000001", None), ("1e30", None)]
)
def test_a_fill_says_which_position_it_found_if_that_can_be_a_size(
    text: str | None, found: int | None
) -> None:
    wire = WireFill("BTC", "100", "0.05", "B", START_MS, 7, 8, True, "0", start_position=text)
    fill = Reading((BTC,), user=USER).fill(wire, START_NS)
    assert fill is not None
    assert fill.found == found
