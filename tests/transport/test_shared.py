"""One request answers all that wait, and none is answered with something older than its call."""

from __future__ import annotations

import trio

from adapters.transport.shared import Shared
from engine.errors import VenueUnreachable


async def test_calls_at_one_time_share_two_requests_and_get_what_is_newer_than_they_are(
    autojump_clock,
) -> None:
    requests: list[float] = []

    async def ask() -> float:
        requests.append(trio.current_time())
        await trio.sleep(1)
        return requests[-1]

    shared = Shared(ask)
    answers: list[tuple[float, float]] = []

    async def call(after_s: float) -> None:
        await trio.sleep(after_s)
        began = trio.current_time()
        answers.append((began, await shared.get()))

    async with trio.open_nursery() as nursery:
        for number in range(50):
            nursery.start_soon(call, number / 100)
    assert len(requests) == 2
    assert all(asked >= began for began, asked in answers)
    await shared.get()
    assert len(requests) == 3, "an old answer is not used again"


async def test_a_failure_is_of_one_caller_and_the_next_one_asks(autojump_clock) -> None:
    tries: list[int] = []

    async def ask() -> int:
        tries.append(len(tries))
        await trio.sleep(1)
        if len(tries) == 1:
            raise VenueUnreachable("no answer")
        return len(tries)

    shared = Shared(ask)
    found: list[int | str] = []

    async def call() -> None:
        try:
            found.append(await shared.get())
        except VenueUnreachable:
            found.append("failed")

    async with trio.open_nursery() as nursery:
        for _ in range(3):
            nursery.start_soon(call)
    assert found == ["failed", 2, 2]
