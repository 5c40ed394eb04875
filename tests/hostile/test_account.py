"""Hostile words about an account: what cannot be true costs the connection, and is never booked."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import trio
from trio.abc import Clock

from engine.events import AccountRead, ForeignOrderSeen, GatewayDown, OrderFilled, PositionRead, SubmitOrder
from engine.journal import list_days
from tests.commands.kit import engine
from tests.hostile.sessions import NOW_MS, fill, play
from tests.hostile.stranger import Act, Stranger, answering, changing, frame
from tests.live.kit import ACCOUNT, of
from tests.live.stage import Stage


def fills(*rows: Any, user: str = ACCOUNT) -> str:
    return json.dumps({"channel": "userFills", "data": {"user": user, "fills": rows}})


def update(**members: Any) -> str:
    order = {
        "coin": "BTC",
        "side": "B",
        "limitPx": "100",
        "sz": "1",
        "oid": 77,
        "timestamp": NOW_MS,
        "origSz": "1",
        "cloid": "0x" + "a" * 32,
    }
    row = {"order": order | members, "status": members.get("status", "open"), "statusTimestamp": NOW_MS}
    return json.dumps({"channel": "orderUpdates", "data": [row | members]})


WORDS = {
    "fills-of-another-account": fills(fill(), user="0x" + "9" * 40),
    "fill-nan": fills(fill(px="NaN")),
    "fill-zero": fills(fill(sz="0")),
    "fill-digits": fills(fill(sz="9" * 30)),
    "fill-fee-1e999": fills(fill(fee="1e999")),
    "fill-year-2255": fills(fill(time=9_000_000_000_000)),
    "fill-year-1970": fills(fill(time=10**15)),
    "fill-tid-wide": fills(fill(tid=2**63)),
    "fill-long-cloid": fills(fill(cloid="\x1b[2J" * 100)),
    "fills-million": json.dumps({"channel": "userFills", "data": {"user": ACCOUNT, "fills": [0] * 400_000}}),
    "cancels-many": json.dumps(
        {"channel": "user", "data": {"nonUserCancel": [{"coin": "BTC", "oid": n} for n in range(2000)]}}
    ),
    "update-nested": update(children=json.loads("[" * 50 + "]" * 50)),
    "ledger-type": json.dumps(
        {
            "channel": "userNonFundingLedgerUpdates",
            "data": {
                "nonFundingLedgerUpdates": [{"time": NOW_MS + 9000, "hash": "", "delta": {"type": ["send"]}}]
            },
        }
    ),
    "ledger-far": json.dumps(
        {
            "channel": "userNonFundingLedgerUpdates",
            "data": {
                "nonFundingLedgerUpdates": [
                    {"time": 9_000_000_000_000, "hash": "", "delta": {"type": "deposit", "usdc": "5"}}
                ]
            },
        }
    ),
    "funding-far": json.dumps(
        {
            "channel": "user",
            "data": {
                "funding": {"time": 9 * 10**12, "coin": "BTC", "usdc": "1", "szi": "1", "fundingRate": "0"}
            },
        }
    ),
    "html-message": "<html>",
    "nested-message": '{"channel":"userFills","data":' + "[" * 100_000,
}


@pytest.mark.parametrize("part", range(3))
async def test_v08_v05_words_about_an_account_that_cannot_be_true_cost_the_connection_only(
    paced_clock: Clock, tmp_path: Path, part: int
) -> None:
    chosen = [*WORDS.values()][part::3]

    async def script(stage: Stage, stranger: Stranger) -> None:
        for text in chosen:
            downs = len(of(GatewayDown, tmp_path))
            await stranger.say(frame(text))
            await stage.wait(8)
            assert len(of(GatewayDown, tmp_path)) == downs + 1, text[:100]
        await stage.signal(1)
        await stage.wait(3)
        assert await stage.position() == 1
        await stage.signal(2)
        await stage.wait(3)

    result = await play(tmp_path, script)
    assert result.positions == []
    assert len(of(OrderFilled, tmp_path)) == 2, "none of them was booked"


IGNORED = {
    "market": fills(fill(coin="NOWHERE\x1b[2J")),
    "update": update(cloid="0x" + "b" * 32, status="canceled"),
    "update-nan": update(sz="NaN", status="canceled"),
    "update-cloid": update(cloid="\x1b[2J=1+1"),
    "update-status": update(status="\x1b[2J"),
    "canceled": json.dumps({"channel": "user", "data": {"nonUserCancel": [{"coin": "BTC", "oid": 1}] * 3}}),
    "liquidation-of-others": json.dumps(
        {
            "channel": "user",
            "data": {
                "liquidation": {
                    "lid": 1,
                    "liquidated_user": "0x" + "9" * 40,
                    "liquidated_ntl_pos": "1",
                    "liquidated_account_value": "1",
                }
            },
        }
    ),
    "unknown-post": json.dumps(
        {"channel": "post", "data": {"id": 9, "response": {"type": "action", "payload": {"status": "ok"}}}}
    ),
}


async def test_v08_words_about_other_orders_and_markets_change_nothing(
    paced_clock: Clock, tmp_path: Path
) -> None:
    async def script(stage: Stage, stranger: Stranger) -> None:
        for text in IGNORED.values():
            await stranger.say(frame(text))
            await stage.wait(2)
        assert not of(GatewayDown, tmp_path)
        await stage.signal(1)
        await stage.wait(3)
        await stage.signal(2)
        await stage.wait(3)

    result = await play(tmp_path, script)
    assert result.positions == []
    assert len(of(OrderFilled, tmp_path)) == 2


def with_member(*path: Any, value: Any) -> Act:
    """Change one member of an answer."""

    def edit(found: Any) -> Any:
        inner = found
        for key in path[:-1]:
            inner = inner[key]
        inner[path[-1]] = value
        return found

    return changing(edit)


def appended(row: Any, times: int = 1) -> Act:
    return changing(lambda rows: [*rows, *[row] * times])


OPEN = {"coin": "BTC", "side": "B", "limitPx": "1", "sz": "1", "oid": 5, "timestamp": NOW_MS, "origSz": "1"}
READS: dict[str, tuple[str, Act]] = {
    "state-far": ("clearinghouseState", with_member("time", value=9_000_000_000_000)),
    "state-1970": ("clearinghouseState", with_member("time", value=0)),
    "state-digits": ("clearinghouseState", with_member("time", value=10**30)),
    "value-nan": ("clearinghouseState", with_member("marginSummary", "accountValue", value="NaN")),
    "value-number": ("clearinghouseState", with_member("marginSummary", "accountValue", value=float("inf"))),
    "withdrawable-1e999": ("clearinghouseState", with_member("withdrawable", value="1e999")),
    "positions-million": ("clearinghouseState", with_member("assetPositions", value=[0] * 900_000)),
    "state-html": ("clearinghouseState", answering(b"<html>")),
    "fills-nan": ("userFillsByTime", appended(fill(px="NaN"))),
    "fills-far": ("userFillsByTime", appended(fill(time=9_000_000_000_000))),
    "fills-nested": ("userFillsByTime", answering(b"[" * 100_000)),
    "orders-nested": (
        "frontendOpenOrders",
        appended({**OPEN, "children": json.loads("[" * 300 + "]" * 300)}),
    ),
    "orders-cloid": ("frontendOpenOrders", appended({**OPEN, "cloid": "x" * 5000})),
    "orders-nan": ("frontendOpenOrders", appended({**OPEN, "sz": "NaN"})),
    "orders-many": ("frontendOpenOrders", appended(OPEN, 20_000)),
    "fills-many": ("userFillsByTime", appended(fill(), 20_000)),
    "orders-members": ("frontendOpenOrders", answering(b"[" + b"0," * 600_000 + b"0]")),
    "ledger-rows": (
        "userNonFundingLedgerUpdates",
        appended({"time": NOW_MS, "hash": "", "delta": {"type": {"a": 1}}}),
    ),
    "clock-digits": ("exchangeStatus", answering(b'{"time":' + b"9" * 30 + b"}")),
    "clock-far": ("exchangeStatus", answering(b'{"time":9000000000001}')),
}


@pytest.mark.parametrize("part", range(3))
async def test_t06_v05_an_account_that_cannot_be_read_is_never_taken_for_flat(
    paced_clock: Clock, tmp_path: Path, part: int
) -> None:
    """A position is held; each answer is broken for a while, and the position is not read as another one."""
    chosen = [*READS.values()][part::3]

    async def script(stage: Stage, stranger: Stranger) -> None:
        await stage.signal(1)
        await stage.wait(3)
        for kind, act in chosen:
            stranger.answers[kind] = act
            readings = len(of(AccountRead, tmp_path))
            stage.sandbox.drop_connections()
            await stage.wait(6)
            assert len(of(AccountRead, tmp_path)) == readings, kind
            del stranger.answers[kind]
            # A long answer is charged for its rows, so that the next one may wait for the budget.
            with trio.fail_after(180):
                while len(of(AccountRead, tmp_path)) == readings:
                    await stage.wait(1)
        assert {one.size for one in of(PositionRead, tmp_path)} <= {0, 1000}
        assert of(PositionRead, tmp_path)[-1].size == 1000
        await stage.wait(35)  # the longest wait of a feed that was cut several times
        await stage.signal(2)
        await stage.wait(5)

    result = await play(tmp_path, script)
    assert result.positions == []


async def test_o29_v06_orders_of_others_are_shown_escaped_and_left_alone(
    paced_clock: Clock, tmp_path: Path
) -> None:
    row = {**OPEN, "cloid": "\x1b[2J\u202e=cmd|x"}

    async def script(stage: Stage, stranger: Stranger) -> None:
        stranger.answers["frontendOpenOrders"] = appended(row)
        await stage.wait(70)
        assert of(ForeignOrderSeen, tmp_path)[-1].client_order_id == row["cloid"], "stored as data"
        assert not stranger.requests["cancel"]
        assert not stranger.requests["cancelByCloid"]

    await play(tmp_path, script)
    assert not of(SubmitOrder, tmp_path)
    shown = engine("inspect", next(one.path for one in list_days(tmp_path)), "--type", "ForeignOrderSeen").out
    assert "cmd|x" in shown
    assert shown.replace("\n", "").isprintable()


async def test_t06_an_account_read_hours_ahead_hides_no_later_fill(
    paced_clock: Clock, tmp_path: Path
) -> None:
    """T06: the place from which fills are read follows the venue's time, but never beyond our own."""

    def hours_ahead(state: Any) -> Any:
        return {**state, "time": state["time"] + 20 * 3_600_000}

    async def script(stage: Stage, stranger: Stranger) -> None:
        stranger.speak = lambda text: [] if "userFills" in text and "fills" in text else [frame(text)]
        stranger.answers["clearinghouseState"] = changing(hours_ahead)
        await stage.signal(1)
        await stage.wait(70)
        assert len(of(OrderFilled, tmp_path)) == 1
        await stage.others("sell", "0.1")
        await stage.wait(70)
        assert len(of(OrderFilled, tmp_path)) == 2, "the fill was read over HTTP"

    await play(tmp_path, script)
