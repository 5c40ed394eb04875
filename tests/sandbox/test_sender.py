"""The effect of each frame fault on one client's stream."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any, cast

import pytest
import trio
import trio.testing
from hypothesis import given
from hypothesis import strategies as st

from adapters.exchange.faults import Faults
from adapters.exchange.sender import FrameSender
from adapters.sandbox.protocol import HyperliquidProtocol
from adapters.sandbox.wire import PONG, channel_of, frame, scope_of
from tests.profiles import examples


def _channel(text: str) -> tuple[str, str]:
    channel = channel_of(text)
    return channel, scope_of(channel)


class Client:
    """A fake websocket with its TCP connection and queue. Records the frames and their times."""

    def __init__(self, spec: str = "", seed: int = 1) -> None:
        self.faults = Faults(spec, seed, HyperliquidProtocol.sizes)
        self.received: list[tuple[str, float]] = []
        self.restarts: list[int] = []
        self.aborted = self.half_open = False
        self.sent_at = -1.0
        self.queue, frames = trio.open_memory_channel[str](1000)
        self.sender = FrameSender(
            cast("Any", self), frames, cast("Any", self), self.faults, self.restarts.append, _channel
        )

    @property
    def texts(self) -> list[str]:
        return [text for text, _ in self.received]

    async def send(self, message: dict[str, str]) -> None:
        await trio.lowlevel.checkpoint()
        assert not self.aborted
        if not self.half_open:
            self.received.append((message["text"], trio.current_time()))

    def abort(self) -> None:
        self.aborted = True

    def go_half_open(self) -> None:
        self.half_open = True


@asynccontextmanager
async def running(client: Client) -> AsyncIterator[None]:
    async with trio.open_nursery() as nursery:
        nursery.start_soon(client.sender.run)
        yield
        await trio.sleep(60)
        nursery.cancel_scope.cancel()


def trade_frames(count: int) -> list[str]:
    return [frame("trades", f"[{number}]") for number in range(count)]


async def test_without_faults_frames_are_sent_in_order(autojump_clock: trio.testing.MockClock) -> None:
    client = Client()
    async with running(client):
        for text in trade_frames(50):
            client.queue.send_nowait(text)
    assert client.texts == trade_frames(50)


async def test_a_dropped_frame_is_lost_and_others_are_not(autojump_clock: trio.testing.MockClock) -> None:
    client = Client()
    one, two, three = trade_frames(3)
    async with running(client):
        client.queue.send_nowait(one)
        await trio.testing.wait_all_tasks_blocked()
        client.faults.arm("drop")
        client.queue.send_nowait(two)
        client.queue.send_nowait(three)
    assert client.texts == [one, three]


async def test_a_duplicated_frame_is_sent_twice(autojump_clock: trio.testing.MockClock) -> None:
    client = Client()
    one, two = trade_frames(2)
    client.faults.arm("duplicate")
    async with running(client):
        client.queue.send_nowait(one)
        client.queue.send_nowait(two)
    assert client.texts == [one, one, two]


async def test_a_delayed_frame_delays_those_after_it(autojump_clock: trio.testing.MockClock) -> None:
    client = Client()
    one, two = trade_frames(2)
    client.faults.arm("delay", ms=700)
    async with running(client):
        began = trio.current_time()
        client.queue.send_nowait(one)
        client.queue.send_nowait(two)
    assert client.texts == [one, two]
    assert [at - began for _, at in client.received] == pytest.approx([0.7, 0.7])


async def test_a_reordered_frame_is_sent_after_later_ones(autojump_clock: trio.testing.MockClock) -> None:
    client = Client()
    texts = trade_frames(20)
    client.faults.arm("reorder")
    async with running(client):
        for text in texts:
            client.queue.send_nowait(text)
    assert client.texts != texts
    assert sorted(client.texts) == sorted(texts)
    assert 1 <= client.texts.index(texts[0]) <= 9
    assert [text for text in client.texts if text != texts[0]] == texts[1:]


async def test_a_reordered_frame_without_later_ones_is_sent_after_its_time(
    autojump_clock: trio.testing.MockClock,
) -> None:
    client = Client()
    client.faults.arm("reorder", ms=400)
    async with running(client):
        began = trio.current_time()
        client.queue.send_nowait(trade_frames(1)[0])
    assert [at - began for _, at in client.received] == pytest.approx([0.4])


@given(st.integers(0, 2**32), st.integers(1, 120))
@examples(0.3)
def test_reordering_loses_no_frame_and_moves_none_by_more_than_nine(seed: int, count: int) -> None:
    client_texts: list[str] = []

    async def main() -> None:
        client = Client("reorder:0.4", seed)
        async with running(client):
            for text in trade_frames(count):
                client.queue.send_nowait(text)
        client_texts.extend(client.texts)

    trio.run(main, clock=trio.testing.MockClock(autojump_threshold=0))
    assert sorted(client_texts) == sorted(trade_frames(count))
    for place, text in enumerate(trade_frames(count)):
        assert abs(client_texts.index(text) - place) <= 9


async def test_a_silent_channel_does_not_affect_others_and_pongs(
    autojump_clock: trio.testing.MockClock,
) -> None:
    client = Client()
    book = frame("l2Book", "{}")
    client.faults.arm("silent")
    async with running(client):
        for text in (*trade_frames(3), book, PONG, *trade_frames(3)):
            client.queue.send_nowait(text)
    assert client.texts == [book, PONG]
    assert client.faults.fired == {"silent": 1}


async def test_a_damaged_frame_is_not_what_it_was(autojump_clock: trio.testing.MockClock) -> None:
    client = Client("damage:1@market")
    sent = [frame("trades", f'[{{"sz":"0.{number}"}}]') for number in range(1, 21)]
    async with running(client):
        for text in (*sent, PONG):
            client.queue.send_nowait(text)
    *damaged, pong = client.texts
    assert pong == PONG
    assert all(one != before for one, before in zip(damaged, sent, strict=True))
    zeros = [one for one in damaged if one.endswith('"0"}]}')]
    assert 0 < len(zeros) < 20
    assert client.faults.fired == {"damage": 20}


async def test_half_open_sends_nothing_and_does_not_count_as_sent(
    autojump_clock: trio.testing.MockClock,
) -> None:
    client = Client()
    client.faults.arm("half-open", scope="market")
    async with running(client):
        client.queue.send_nowait(PONG)
        await trio.testing.wait_all_tasks_blocked()
        proved = client.sent_at
        await trio.sleep(1)
        for text in (*trade_frames(2), PONG):
            client.queue.send_nowait(text)
    assert client.texts == [PONG]
    assert client.sent_at == proved
    assert not client.aborted


async def test_a_cut_ends_the_connection_before_the_frame(autojump_clock: trio.testing.MockClock) -> None:
    client = Client()
    client.faults.arm("cut", scope="user")
    async with running(client):
        client.queue.send_nowait(trade_frames(1)[0])
        client.queue.send_nowait(frame("userFills", "{}"))
    assert client.aborted
    assert client.texts == trade_frames(1)


async def test_a_restart_is_requested_with_its_duration(autojump_clock: trio.testing.MockClock) -> None:
    client = Client()
    client.faults.arm("restart", scope="ws", ms=1500)
    async with running(client):
        client.queue.send_nowait(trade_frames(1)[0])
    assert client.restarts == [1500]
    assert client.texts == []


async def test_answers_are_never_hit(autojump_clock: trio.testing.MockClock) -> None:
    client = Client("drop:1")
    answers = [frame(channel, "{}") for channel in ("subscriptionResponse", "error", "post")] + [PONG]
    async with running(client):
        for text in answers:
            client.queue.send_nowait(text)
    assert client.texts == answers
    assert not client.faults.fired
