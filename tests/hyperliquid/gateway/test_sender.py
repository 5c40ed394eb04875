"""Sending an action once: answers, lost answers, and the venue's limits (N15, N16, N18, O01)."""

from __future__ import annotations

from typing import Any

import httpx
import msgspec
import pytest
import trio
import trio.testing

from adapters.hyperliquid.gateway.outcomes import Done, Lost, Refused
from adapters.hyperliquid.gateway.sender import RestSender
from adapters.hyperliquid.limits import LIMITS
from adapters.transport.governor import Governor, Priority, Rate

OK = b'{"status":"ok","response":{"type":"default"}}'


def answered(status: int, body: bytes = b"", **headers: str) -> httpx.Response:
    """An answer as it comes from a network: its body is still to be read."""
    return httpx.Response(status, headers=headers, stream=httpx.ByteStream(body))


class Venue(httpx.AsyncBaseTransport):
    """Gives one answer and counts the requests."""

    def __init__(self, answer: Any) -> None:
        self.answer = answer
        self.sent = 0

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        self.sent += 1
        if isinstance(self.answer, Exception):
            raise self.answer
        if self.answer is None:
            await trio.sleep_forever()
        return self.answer  # type: ignore[no-any-return]


async def send(venue: Venue, governor: Governor | None = None, entries: int = 2) -> list[Any]:
    sender = RestSender("http://127.0.0.1:1", governor or Governor(LIMITS), transport=venue)
    try:
        return await sender.send({"action": {}}, entries, Priority.ORDER)
    finally:
        await sender.aclose()


async def test_an_answer_is_read_for_every_entry() -> None:
    assert await send(Venue(answered(200, OK))) == [Done(), Done()]


async def test_n18_without_an_answer_the_order_is_unknown_after_five_seconds(
    autojump_clock: trio.testing.MockClock,
) -> None:
    venue = Venue(None)
    before = trio.current_time()
    outcomes = await send(venue)
    assert trio.current_time() - before == pytest.approx(5.0)
    assert all(isinstance(one, Lost) and not one.unsent for one in outcomes)
    assert venue.sent == 1, "never sent again"


@pytest.mark.parametrize(
    ("error", "unsent"),
    [
        (httpx.ConnectError("refused"), True),
        (httpx.ConnectTimeout("late"), True),
        (httpx.PoolTimeout("full"), True),
        (httpx.ReadError("reset"), False),
        (httpx.WriteError("reset"), False),
        (httpx.RemoteProtocolError("cut"), False),
        (httpx.ReadTimeout("late"), False),
    ],
)
async def test_o01_only_a_request_that_was_not_sent_counts_as_unsent(error: Exception, unsent: bool) -> None:
    venue = Venue(error)
    outcomes = await send(venue)
    assert [(type(one), one.unsent) for one in outcomes] == [(Lost, unsent)] * 2
    assert venue.sent == 1


@pytest.mark.parametrize("status", [500, 502, 503, 504, 429, 302])
async def test_n16_a_server_error_is_not_a_refusal(status: int) -> None:
    outcomes = await send(Venue(answered(status, b"<html>", location="https://x")))
    assert all(isinstance(one, Lost) and not one.unsent for one in outcomes)


async def test_n15_too_many_requests_cut_the_budget() -> None:
    governor = Governor(LIMITS)
    before = governor.budget().weight_limit
    await send(Venue(answered(429, **{"retry-after": "3"})), governor)
    assert governor.budget().refusals == 1
    assert governor.budget().weight_limit < before or governor.budget().paused_s > 0


async def test_without_budget_nothing_is_sent(autojump_clock: trio.testing.MockClock) -> None:
    governor = Governor(msgspec.structs.replace(LIMITS, weight=Rate(1)))
    venue = Venue(answered(200, OK))
    await send(venue, governor)
    outcomes = await send(venue, governor)
    assert all(isinstance(one, Lost) and one.unsent for one in outcomes)
    assert venue.sent <= 1


# httpx leaves a generator behind when a body is not read to its end.
@pytest.mark.filterwarnings("ignore:Async generator:ResourceWarning")
async def test_an_answer_that_does_not_end_is_lost() -> None:
    (outcome,) = await send(Venue(answered(200, b"x" * (2 << 20))), entries=1)
    assert isinstance(outcome, Lost)
    (outcome,) = await send(Venue(answered(422, b"Failed to deserialize")), entries=1)
    assert isinstance(outcome, Refused)
