"""Hostile answers about orders and accounts: what is not proved stays Unknown; nothing is sent twice."""

from __future__ import annotations

import gzip
import json
from pathlib import Path
from typing import Any

import pytest
import trio
from trio.abc import Clock

from engine.events import (
    Event,
    OrderFilled,
    OrderRejected,
    OrderUnknown,
    SubmitOrder,
)
from tests.hostile.sessions import MIB, play
from tests.hostile.stranger import (
    Act,
    Stranger,
    answering,
    dripping,
    executed_then,
    flooding,
    frame,
    response,
)
from tests.live.kit import of
from tests.live.stage import Stage

# httpx leaves its own generators to the collector when an answer is not read to its end.
pytestmark = pytest.mark.filterwarnings(
    "ignore::ResourceWarning", "ignore::pytest.PytestUnraisableExceptionWarning"
)


def ok(*statuses: Any) -> bytes:
    return json.dumps(
        {"status": "ok", "response": {"type": "order", "data": {"statuses": statuses}}}
    ).encode()


OUTCOMES: dict[str, Act] = {
    "html": answering(b"<html>maintenance</html>"),
    "empty": answering(b""),
    "cut": answering(b'{"status":"ok"', length=5000),
    "nested": answering(b'{"status":"ok","response":' + b"[" * 100_000),
    "nested-status": answering(ok(json.loads("[" * 200 + "]" * 200))),
    "redirect": answering(b"", 307, {"location": "/exchange"}),
    "bomb": answering(gzip.compress(bytes(64 * MIB), 9), headers={"content-encoding": "gzip"}),
    "body-of-200-mib": flooding(response(b"", length=200 * MIB), b" " * 65_536, 3200),
    "slow": dripping(response(ok({"resting": {"oid": 5}})), 1.0),
    "not-http": flooding(b"\x00\xff", b"\x00" * 100, 1),
    "other-coding": answering(b"{}", headers={"content-encoding": "br"}),
    "a-million-statuses": answering(ok(*["success"] * 80_000)),
    "no-status": answering(ok()),
    "two-statuses": answering(ok({"resting": {"oid": 5}}, {"resting": {"oid": 6}})),
    "oid-negative": answering(ok({"resting": {"oid": -1}})),
    "oid-wide": answering(ok({"resting": {"oid": 2**70}})),
    "oid-digits": answering(
        b'{"status":"ok","response":{"data":{"statuses":[{"resting":{"oid":' + b"9" * 5000 + b"}}]}}}"
    ),
    "oid-true": answering(ok({"resting": {"oid": True}})),
    "size-nan": answering(ok({"filled": {"oid": 5, "totalSz": "NaN"}})),
    "size-infinity": answering(ok({"filled": {"oid": 5, "totalSz": "1e999"}})),
    "unknown-status": answering(ok("\x1b[2Jdone")),
    "success": answering(ok("success")),
    "error-500": answering(b"\x1b[2J", 500),
    "error-429": answering(b"{}", 429, {"retry-after": "9" * 400}),
}


@pytest.mark.parametrize("name", OUTCOMES)
async def test_n16_o01_an_answer_that_is_none_leaves_an_order_unknown_until_the_venue_proves_it(
    paced_clock: Clock, tmp_path: Path, name: str
) -> None:
    async def script(stage: Stage, stranger: Stranger) -> None:
        stranger.answers["order"] = executed_then(OUTCOMES[name])
        await stage.signal(1)
        await stage.wait(12)
        assert stranger.requests["order"] == 1
        assert of(OrderUnknown, tmp_path)
        del stranger.answers["order"]
        await stage.signal(2)
        await stage.wait(3)

    result = await play(tmp_path, script)
    assert not of(OrderRejected, tmp_path)
    assert result.live_orders == 0
    assert result.positions == []


async def test_i10_an_order_stays_unknown_while_no_question_is_answered(
    paced_clock: Clock, tmp_path: Path
) -> None:
    """I10: no opening is sent meanwhile; once the venue answers, its state is known."""
    html = answering(b"<html>")

    async def script(stage: Stage, stranger: Stranger) -> None:
        stranger.answers |= {"order": executed_then(html), "orderStatus": html, "userFillsByTime": html}
        stranger.answers["frontendOpenOrders"] = html
        stranger.speak = lambda text: [] if "userFills" in text or "orderUpdates" in text else [frame(text)]
        await stage.signal(1)
        await stage.wait(60)
        assert stranger.requests["orderStatus"] > 3
        assert {
            type(one) for one in of(Event, tmp_path) if isinstance(one, OrderFilled | OrderRejected)
        } == set()
        assert len(of(SubmitOrder, tmp_path)) == 1
        stranger.answers.clear()
        stranger.speak = lambda text: [frame(text)]
        await stage.wait(70)
        assert of(OrderFilled, tmp_path)

    result = await play(tmp_path, script)
    assert result.live_orders == 0


MODES = {
    "post-only": "Post only order would have immediately matched, bbo was 99@101. asset=0",
    "halted": "Trading is halted.",
    "maintenance": "\x1b[2JOnly cancels are allowed during an upgrade",
}


async def test_v11_a_venue_that_refuses_openings_is_asked_seldom_and_the_target_is_reached_after_it(
    paced_clock: Clock, tmp_path: Path
) -> None:
    async def script(stage: Stage, stranger: Stranger) -> None:
        for number, words in enumerate(MODES.values()):
            stranger.answers["order"] = answering(ok({"error": words}))
            if not number:
                await stage.signal(1)
            await stage.wait(50)
        assert 3 <= stranger.requests["order"] <= 8, "no loop of refusals"
        assert len(of(OrderRejected, tmp_path)) == stranger.requests["order"]
        del stranger.answers["order"]
        await stage.wait(70)
        assert await stage.position() == 1
        await stage.signal(2)
        await stage.wait(3)

    result = await play(tmp_path, script)
    assert result.positions == []
    assert not of(OrderUnknown, tmp_path)


async def hanging(stream: trio.SocketStream, fetch: Any) -> None:
    await trio.sleep_forever()


async def test_n19_reads_that_hang_do_not_hold_an_order(paced_clock: Clock, tmp_path: Path) -> None:
    async def script(stage: Stage, stranger: Stranger) -> None:
        reads = (
            "clearinghouseState",
            "frontendOpenOrders",
            "orderStatus",
            "userFillsByTime",
            "exchangeStatus",
        )
        kinds = (
            *reads,
            "userNonFundingLedgerUpdates",
            "userFunding",
            "recentTrades",
            "l2Book",
            "candleSnapshot",
        )
        stranger.answers |= dict.fromkeys(kinds, hanging)
        await stage.wait(120)
        assert sum(stranger.requests[kind] for kind in kinds) > 5
        await stage.signal(2)
        sent_at = trio.current_time()
        await stage.signal(1, wait=False)
        while await stage.position() == 0:  # noqa: ASYNC110
            await trio.sleep(0.05)
        assert trio.current_time() - sent_at < 1, "the order waited for a read"
        stranger.answers.clear()
        await stage.wait(80)
        await stage.signal(2)
        await stage.wait(3)

    result = await play(tmp_path, script)
    assert result.positions == []


LIES: dict[str, Act] = {
    "refused-whole": answering(b'{"status":"err","response":"no"}'),
    "refused": answering(ok({"error": "Insufficient margin"})),
    "refused-by-http": answering(b"<html>", 400),
    "duplicate": answering(ok({"error": "Duplicate cloid already used"})),
    "another-oid": answering(ok({"resting": {"oid": 12345}})),
    "filled-another-oid": answering(ok({"filled": {"oid": 12345, "totalSz": "1"}})),
    "overfilled": answering(ok({"filled": {"oid": 100000000001, "totalSz": "500"}})),
    "nothing-filled": answering(ok({"filled": {"oid": 100000000001, "totalSz": "0"}})),
}


@pytest.mark.parametrize("name", LIES)
async def test_l14_o16_after_a_lie_about_an_order_the_books_become_what_the_venue_holds(
    paced_clock: Clock, tmp_path: Path, name: str
) -> None:
    """L14, O16: the order is executed, the answer says something else, and the stream is silent."""

    async def script(stage: Stage, stranger: Stranger) -> None:
        stranger.speak = lambda text: (
            [] if '"userFills","data"' in text or "orderUpdates" in text else [frame(text)]
        )
        stranger.answers["order"] = executed_then(LIES[name])
        await stage.signal(1)
        await stage.wait(0.5)
        silent = not of(OrderFilled, tmp_path)
        await stage.wait(4.5)
        del stranger.answers["order"]
        stranger.speak = lambda text: [frame(text)]
        assert silent or name == "duplicate", "only of an Unknown order the fills are read"
        stage.sandbox.drop_connections()
        await stage.wait(100)
        assert await stage.position() == 1
        await stage.signal(2)
        await stage.wait(10)
        assert await stage.position() == 0

    result = await play(tmp_path, script)
    assert result.positions == []
    assert result.live_orders == 0
