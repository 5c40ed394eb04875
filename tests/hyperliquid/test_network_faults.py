"""The feed on a failing network: refused, silent, cut at any byte, in small pieces, closed with any code."""

from __future__ import annotations

import json

import pytest
import trio

from adapters.hyperliquid.envelope import FRAME_BYTES_MAX
from adapters.transport.health import FeedLimits
from engine.events import Trade

from .venue import Scene, Venue, row, scene


class Cut(trio.abc.Stream):
    """Ends, as a reset does, once `left` bytes have come in; hands them over in slivers of `piece` bytes."""

    def __init__(self, stream: trio.abc.Stream, left: int | None = None, piece: int = 1 << 16) -> None:
        self._stream = stream
        self._left = left
        self._piece = piece

    async def send_all(self, data: bytes | bytearray | memoryview) -> None:
        await self._stream.send_all(data)

    async def wait_send_all_might_not_block(self) -> None:
        await self._stream.wait_send_all_might_not_block()

    async def receive_some(self, max_bytes: int | None = None) -> bytes:
        size = min(self._piece, max_bytes or self._piece)
        if self._left is not None:
            if not self._left:
                await self._stream.aclose()
                raise trio.BrokenResourceError("reset")
            size = min(size, self._left)
        data = bytes(await self._stream.receive_some(size))
        if self._left is not None:
            self._left -= len(data)
        return data

    async def aclose(self) -> None:
        await self._stream.aclose()


class Deaf(trio.abc.Stream):
    """A black hole from the moment `gone` is set: nothing arrives and writes vanish."""

    def __init__(self, stream: trio.abc.Stream, gone: trio.Event) -> None:
        self._stream = stream
        self._gone = gone

    async def send_all(self, data: bytes | bytearray | memoryview) -> None:
        await trio.lowlevel.checkpoint()
        if not self._gone.is_set():
            await self._stream.send_all(data)

    async def wait_send_all_might_not_block(self) -> None:
        await trio.lowlevel.checkpoint()

    async def receive_some(self, max_bytes: int | None = None) -> bytes:
        data = bytes(await self._stream.receive_some(max_bytes))
        if self._gone.is_set():
            await trio.sleep_forever()
        return data

    async def aclose(self) -> None:
        await self._stream.aclose()


async def test_n01_waits_grow_while_a_venue_refuses_connections(autojump_clock) -> None:
    """N01: one FeedDown per attempt, from a quarter of a second to at most 30 s; never a busy loop."""

    def prepare(venue: Venue) -> None:
        venue.refuse = lambda number: OSError(111, "refused") if number <= 9 else None

    async with scene(prepare=prepare) as play:
        await play.live()
        waits = [down.backoff_ms for down in play.engine.downs]
        assert len(waits) == 9
        assert waits == sorted(waits)
        assert 250 <= waits[0] <= 1000
        assert 15_000 <= waits[-1] <= 30_000
        assert play.engine.ups[0].attempt == 10
        assert "refused" in play.engine.downs[0].reason


async def test_n01_the_waits_have_jitter(autojump_clock) -> None:
    shares = iter([0.0, 1.0] * 20)

    def prepare(venue: Venue) -> None:
        venue.refuse = lambda number: OSError("no") if number <= 2 else None

    async with scene(prepare=prepare, jitter=lambda: next(shares)) as play:
        await play.live()
        first, second = (down.backoff_ms for down in play.engine.downs)
        assert second == 4 * first


async def test_n03_a_reset_at_any_byte_loses_and_doubles_nothing(autojump_clock) -> None:
    """N03: handshake, acknowledgements, replay or a live trade: cut anywhere, everything is emitted once."""
    async with scene() as play:
        await play.live()
    cuts = list(range(0, 360, 7)) + list(range(360, 1500, 23))
    for left in cuts:

        def prepare(venue: Venue, left: int = left) -> None:
            venue.trades["BTC"] = [row(0)]
            venue.wrap = lambda stream, number: Cut(stream, left) if number == 1 else stream

        async with scene(prepare=prepare) as play:
            await play.settle()
            await play.venue.trade(row(1), row(2))
            await play.until(lambda play=play: play.feed.health.live)
            await play.settle()
            await play.venue.trade(row(3))
            await play.until(lambda play=play: 3 in play.engine.trade_ids)
            await play.settle()
            assert play.engine.trade_ids == [0, 1, 2, 3], left
            assert all(gap.closed for gap in play.engine.gaps if play.engine.ups[0].attempt == 1), left


async def test_n04_a_half_open_connection_is_closed_within_20_seconds(autojump_clock) -> None:
    """N04: nothing arrives, writes vanish."""
    gone = trio.Event()

    def prepare(venue: Venue) -> None:
        venue.wrap = lambda stream, number: Deaf(stream, gone) if number == 1 else stream

    async with scene(prepare=prepare) as play:
        await play.live()
        await play.venue.trade(row(0))
        await play.settle()
        gone.set()
        since = trio.current_time()
        await play.until(lambda: play.engine.downs)
        assert trio.current_time() - since <= 20
        assert "of a ping" in play.engine.downs[0].reason
        play.venue.trades["BTC"].append(row(1))
        await play.live(2)
        assert play.engine.trade_ids == [0, 1]


async def test_n04_a_venue_that_answers_no_ping_but_sends_data_is_alive(autojump_clock) -> None:
    """Any frame is a sign of life; N07: and without data the pongs are, for as long as it stays quiet."""
    async with scene() as play:
        await play.live()
        play.venue.answers_pings = False
        for number in range(30):
            await play.venue.trade(row(number))
            await trio.sleep(4)
        assert play.engine.downs == []
        play.venue.answers_pings = True
        await trio.sleep(3600)
        assert play.engine.downs == []
        assert play.venue.pings >= 300


async def test_n05_a_server_that_accepts_and_stays_silent_is_given_up_after_10_seconds(
    autojump_clock,
) -> None:
    """N05: the deadline spans dialing and the handshake."""

    def prepare(venue: Venue) -> None:
        venue.wrap = lambda stream, number: Cut(stream, None) if number > 1 else Deaf(stream, _set())

    async with scene(prepare=prepare) as play:
        await play.until(lambda: play.engine.downs)
        assert 9.9 <= trio.current_time() <= 10.5
        assert "no connection within 10 s" in play.engine.downs[0].reason
        await play.live()


@pytest.mark.parametrize("piece", [1, 2, 7])
async def test_n12_pieces_of_a_few_bytes_give_the_same_events(autojump_clock, piece: int) -> None:
    """N12: fragmentation below the protocol changes nothing."""

    def prepare(venue: Venue) -> None:
        venue.trades["BTC"] = [row(n) for n in range(5)]
        venue.wrap = lambda stream, _: Cut(stream, None, piece)

    async with scene(prepare=prepare) as play:
        await play.live()
        await play.venue.trade(row(5))
        await play.settle()
        assert play.engine.trade_ids == list(range(6))
        assert play.engine.downs == []


async def test_n12_fragments_with_pings_between_them_are_joined(autojump_clock) -> None:
    """N12: one message in many websocket fragments, protocol pings in the middle of it."""
    from wsproto.events import Ping, TextMessage

    async with scene() as play:
        await play.live()
        socket = play.venue.sockets[0]
        text = json.dumps({"channel": "trades", "data": [row(1)]})
        for at, letter in enumerate(text):
            await socket._send(TextMessage(data=letter, message_finished=at == len(text) - 1))
            if at % 50 == 0:
                await socket._send(Ping(payload=b"x"))
        await play.settle()
        assert play.engine.trade_ids == [1]
        assert play.engine.downs == []


async def test_n13_a_message_above_a_mebibyte_ends_the_connection_with_1009(autojump_clock) -> None:
    """N13: closed with 1009, counted, and connected again."""
    async with scene() as play:
        await play.live()
        socket = play.venue.sockets[0]
        await play.venue.say("x" * (FRAME_BYTES_MAX + 1))
        await play.live(2)
        assert socket.closed is not None
        assert socket.closed.code == 1009
        assert play.feed.health.frames_oversize == 1
        assert "1009" in play.engine.downs[0].reason


@pytest.mark.parametrize("code", [1000, 1001, 1006, 1008, 1011, 1012, 1013])
@pytest.mark.parametrize("state", ["before", "live"])
async def test_n21_the_feed_recovers_from_every_close_code(autojump_clock, code: int, state: str) -> None:
    """N21: any reason of a close; a policy (1008) or "try again later" (1013) gets the longest wait."""
    confirmed = state == "live"

    def prepare(venue: Venue) -> None:
        venue.trades["BTC"] = [row(0)]
        venue.confirms = lambda kind, _: confirmed or kind == "trades" or len(venue.requests) > 4

    async with scene(prepare=prepare) as play:
        await _end(play, code, live=confirmed)
        await play.until(lambda: play.engine.downs)
        down = play.engine.downs[0]
        assert (down.backoff_ms >= 15_000) == (code in (1008, 1013))
        await play.until(lambda: play.feed.health.live or len(play.engine.downs) > 1, seconds=60)
        confirmed = True
        await play.until(lambda: play.feed.health.live, seconds=120)
        await play.settle()
        await play.venue.trade(row(1))
        await play.settle()
        assert play.engine.trade_ids == [0, 1]


@pytest.mark.parametrize("status", [403, 429, 500, 503])
async def test_n15_n16_a_refused_handshake_is_a_loss_with_its_status(autojump_clock, status: int) -> None:
    """N15: too many connections, or a ban: the longest wait at once. N16: a fault: the usual one."""

    def prepare(venue: Venue) -> None:
        venue.reject_status = status

    async with scene(prepare=prepare) as play:
        await play.until(lambda: play.engine.downs)
        assert f"HTTP {status}" in play.engine.downs[0].reason
        assert (play.engine.downs[0].backoff_ms >= 15_000) == (status < 500)
        play.venue.reject_status = 0
        await play.live()


async def test_a_stable_minute_resets_the_wait(autojump_clock) -> None:
    async with scene(limits=FeedLimits(stable_s=60)) as play:
        for number in range(4):
            await play.live(number + 1)
            await play.venue.drop()
            await play.until(lambda number=number: len(play.engine.downs) == number + 1)
        await play.live(5)
        await trio.sleep(61)
        await play.venue.drop()
        await play.until(lambda: len(play.engine.downs) == 5)
        waits = [down.backoff_ms for down in play.engine.downs]
        assert waits[0] < waits[1] < waits[2] < waits[3]
        assert waits[4] == waits[0]
        assert not play.engine.of(Trade)


def _set() -> trio.Event:
    event = trio.Event()
    event.set()
    return event


async def _end(play: Scene, code: int, *, live: bool) -> None:
    if live:
        await play.live()
    else:
        await play.until(lambda: play.venue.sockets and len(play.venue.requests) >= 2)
        await play.settle()
    if code == 1006:
        await play.venue.drop()
    else:
        # The fake stops reading when it closes, so it would wait for the answer for ever.
        with trio.move_on_after(0.1):
            await play.venue.close(code, "bye")
