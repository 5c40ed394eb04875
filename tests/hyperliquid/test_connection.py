"""Network failures: the feed reconnects, loses no trade, and waits between attempts."""

from __future__ import annotations

import json
import socket

import pytest
import trio
from trio_websocket import ConnectionClosed, WebSocketRequest, serve_websocket
from wsproto.events import Ping, TextMessage

from adapters.hyperliquid.envelope import FRAME_BYTES_MAX
from adapters.hyperliquid.feed import HyperliquidFeed
from adapters.hyperliquid.wire import WireTrade
from adapters.transport.decoding import decode_body
from adapters.transport.health import FeedLimits
from engine.events import Trade
from tests.profiles import pick
from tests.transport.streams import BlackHole, Counted, Cut, Sliced

from .venue import BTC, START_NS, Engine, TrioClock, Venue, row, scene, trades_text


@pytest.mark.parametrize(
    "error",
    [
        ConnectionRefusedError(111, "Connection refused"),
        socket.gaierror(-2, "Name or service not known"),
        OSError("all attempts failed"),
        trio.BrokenResourceError("TLS"),
    ],
)
async def test_n01_n02_waits_grow_while_a_venue_cannot_be_reached(autojump_clock, error: Exception) -> None:
    """N01, N02: waits of 0.5 s to 30 s with jitter, each with a FeedDown that has the reason."""
    chances = iter([0.0, 1.0, 0.5] + [1.0] * 20)

    def prepare(venue: Venue) -> None:
        venue.refuse = lambda number: error if number <= 9 else None

    async with scene(prepare=prepare, jitter=lambda: next(chances)) as play:
        await play.until(lambda: play.feed.health.live, seconds=300)
        await play.settle()
        waits = [down.backoff_ms for down in play.engine.downs]
        assert waits == [500, 2000, 3000, 8000, 16000, 30000, 30000, 30000, 30000]
        assert all(down.reason.startswith("cannot connect: ") for down in play.engine.downs)
        assert play.venue.dials == 10
        assert play.engine.ups[0].attempt == 10
        assert trio.current_time() == pytest.approx(149.5, abs=1)


async def test_n01_a_stable_minute_resets_the_backoff(autojump_clock) -> None:
    """N01: less than a minute does not."""
    async with scene() as play:
        for times, seconds in enumerate((1, 1, 1, 61), start=1):
            await play.live(times)
            await trio.sleep(seconds)
            await play.venue.drop()
        await play.live(5)
        assert [down.backoff_ms for down in play.engine.downs] == [500, 1000, 2000, 500]


@pytest.mark.parametrize("reset", [True, False], ids=["reset", "end"])
async def test_n03_a_cut_at_any_byte_loses_no_trade(autojump_clock, reset: bool) -> None:
    """N03: cut at each byte of handshake, acknowledgements and messages; each trade is emitted once."""

    def trades(venue: Venue) -> None:
        venue.trades["BTC"] = [row(-1), row(1), row(2)]

    counted: list[Counted] = []

    def count_one(stream: trio.abc.Stream, number: int) -> trio.abc.Stream:
        counted.append(Counted(stream))
        return counted[-1]

    def count(venue: Venue) -> None:
        trades(venue)
        venue.wrap = count_one

    async with scene(since_ns=START_NS, prepare=count) as play:
        await play.live()
        await play.venue.trade(row(3))
        await play.settle()
        total = counted[0].received
    assert 500 < total < 3000
    # By default the two tests together cut at every fourth byte.
    step = pick(8, deep=1)
    for offset in range(4 * int(reset) % step, total, step):

        def cut(venue: Venue, offset: int = offset) -> None:
            trades(venue)
            venue.wrap = lambda stream, number: Cut(stream, offset, reset=reset) if number == 1 else stream

        async with scene(since_ns=START_NS, prepare=cut, limits=FeedLimits(backoff_s_min=0.02)) as play:
            await play.until(lambda: play.engine.times_up or play.engine.downs)
            await play.venue.trade(row(3))
            await play.until(lambda: play.venue.served and play.feed.health.live and play.engine.downs)
            await play.settle()
            assert play.engine.trade_ids == [1, 2, 3], offset
            assert play.feed.health.connections == 2
            assert all(gap.closed for gap in play.engine.gaps)


@pytest.mark.parametrize("full", [False, True], ids=["writes vanish", "writes block"])
async def test_n04_n18_x16_a_half_open_connection_ends_within_20_seconds(autojump_clock, full: bool) -> None:
    """N04, N18, X16: an unanswered ping ends the connection; the missed trades are emitted afterwards."""
    for moment in (0.0, 1.9, 2.1, 5.0, 9.9, 10.1, 15.0):
        dead = trio.Event()

        def prepare(venue: Venue, dead: trio.Event = dead) -> None:
            venue.wrap = lambda s, number: BlackHole(s, dead, full=full) if number == 1 else s

        async with scene(prepare=prepare) as play:
            await play.live()
            await play.venue.trade(row(1))
            await trio.sleep(moment)
            dead.set()
            died = trio.current_time()
            await play.venue.trade(row(2))
            await play.until(lambda: play.engine.downs)
            assert trio.current_time() - died <= 20
            await play.live(2)
            assert play.engine.trade_ids == [1, 2]
            reason = play.engine.downs[0].reason
            assert reason == (
                "a message could not be written within 5 s" if full else "no message within 8 s of a ping"
            )


async def test_n04_a_venue_that_answers_no_ping_but_sends_data_is_alive(autojump_clock) -> None:
    """N04: any message shows that the connection works."""
    async with scene() as play:
        play.venue.answers_pings = False
        await play.live()
        for number in range(60):
            await play.venue.trade(row(number))
            await trio.sleep(5)
        assert play.engine.downs == []


async def test_n05_a_server_that_accepts_and_stays_silent_is_given_up_after_10_seconds(
    autojump_clock,
) -> None:
    """N05: TCP works, the websocket handshake never comes."""
    dead = trio.Event()
    dead.set()

    def prepare(venue: Venue) -> None:
        venue.wrap = lambda stream, number: BlackHole(stream, dead) if number == 1 else stream

    async with scene(prepare=prepare) as play:
        await play.until(lambda: play.engine.downs)
        assert 10 <= trio.current_time() < 11.5
        assert play.engine.downs[0].reason == "no connection within 10 s"
        await play.live()


async def test_n05_dialing_has_the_same_deadline(autojump_clock) -> None:
    """N05: packets are lost before the connection exists."""
    async with scene() as play:
        await play.live()

        async def hang() -> trio.abc.Stream:
            await trio.sleep_forever()
            raise AssertionError

        play.feed._streams[0]._dial = hang
        await play.venue.drop()
        await play.until(lambda: len(play.engine.downs) == 2)
        assert play.engine.downs[1].reason == "no connection within 10 s"


async def test_n07_a_quiet_market_stays_connected_for_hours(autojump_clock) -> None:
    """N07: nothing but pongs, in the deep profile for a day."""
    hours = pick(6, deep=24)
    async with scene() as play:
        await play.live()
        await trio.sleep(hours * 3600)
        assert play.engine.downs == []
        assert play.venue.served == 1
        assert hours * 360 - 10 <= play.venue.pings <= hours * 360 + 10


async def test_n12_messages_in_one_byte_pieces_are_the_same_messages(autojump_clock) -> None:
    """N12: the stream sliced into single bytes."""

    def prepare(venue: Venue) -> None:
        venue.trades["BTC"] = [row(number) for number in range(5)]
        venue.wrap = lambda stream, _: Sliced(stream)

    async with scene(prepare=prepare) as play:
        await play.live()
        await play.venue.trade(row(5), row(6))
        await play.settle()
        assert play.engine.trade_ids == list(range(7))
        assert play.engine.downs == []


async def test_n12_fragments_with_pings_between_are_one_message(autojump_clock) -> None:
    """N12: one-character continuation frames, protocol pings in between."""
    async with scene() as play:
        await play.live()
        (server,) = play.venue.sockets
        text = trades_text([row(1)])
        for at, letter in enumerate(text):
            await server._send(TextMessage(data=letter, message_finished=at == len(text) - 1))
            if at % 7 == 0:
                await server._send(Ping(payload=b"p"))
        await play.settle()
        assert play.engine.trade_ids == [1]
        assert play.engine.downs == []


@pytest.mark.parametrize(
    "raw", [b"\x83\x00", b"\xff\xff\xff", b"\x81\x02\xff\xfe", b"\x80\x01a", b"\x81\xff" + b"\xff" * 8]
)
async def test_n12_bytes_that_are_not_websocket_frames_close_the_connection(
    autojump_clock, raw: bytes
) -> None:
    """N12: unknown opcodes, reserved bits, bad UTF-8, a continuation without a start, an absurd length."""
    async with scene() as play:
        await play.live()
        await play.venue.trade(row(1))
        await play.venue.sockets[0]._stream.send_all(raw)
        await play.live(2)
        await play.venue.trade(row(2))
        await play.settle()
        assert play.engine.trade_ids == [1, 2]
        assert len(play.engine.downs) == 1


async def test_n13_a_message_above_one_mebibyte_is_closed_with_1009_and_counted(autojump_clock) -> None:
    """N13: 1 MiB is read (and refused as an unknown message); one more byte is not read."""
    async with scene() as play:
        await play.live()
        envelope = '{"channel":"error","data":""}'
        fits = envelope.replace('""', '"' + "x" * (FRAME_BYTES_MAX - len(envelope)) + '"')
        await play.venue.say(fits)
        await play.settle()
        assert play.engine.downs == []
        assert play.feed.health.venue_errors == 1
        (server,) = play.venue.sockets
        await play.venue.say(fits.replace("xx", "xxx", 1))
        await play.live(2)
        assert "(1009)" in play.engine.downs[0].reason
        assert play.feed.health.frames_oversize == 1
        assert server.closed is not None
        assert server.closed.code == 1009


# For each code and state, the wait before the next attempt.
@pytest.mark.parametrize(
    ("code", "wait_ms"),
    [(1000, 500), (1001, 500), (1008, 15000), (1011, 500), (1012, 500), (1013, 15000), (4000, 500)],
)
@pytest.mark.parametrize("state", ["confirming", "live"])
async def test_n21_the_feed_recovers_from_a_close_in_any_state(
    autojump_clock, code: int, wait_ms: int, state: str
) -> None:
    """N21: 1008 and 1013 cause the longest wait."""
    async with scene() as play:
        if state == "confirming":
            play.venue.unconfirmed = ("bbo",)
            await play.settle()
        else:
            await play.live()
        await play.venue.close(code, "so\nlong")
        await play.until(lambda: play.engine.downs)
        assert f"({code}: 'so\\nlong')" in play.engine.downs[0].reason
        assert play.engine.downs[0].backoff_ms == wait_ms
        play.venue.unconfirmed = ()
        await play.live(2 if state == "live" else 1)


@pytest.mark.parametrize("state", ["confirming", "live"])
async def test_n21_the_feed_recovers_from_an_end_without_a_close_frame(autojump_clock, state: str) -> None:
    """N21: code 1006, as the venue ends connections."""
    async with scene() as play:
        if state == "confirming":
            play.venue.unconfirmed = ("bbo",)
            await play.settle()
        else:
            await play.live()
        await play.venue.drop()
        await play.until(lambda: play.engine.downs)
        assert "1006" in play.engine.downs[0].reason
        play.venue.unconfirmed = ()
        await play.live(2 if state == "live" else 1)


@pytest.mark.parametrize("code", [1000, 1001, 1006, 1008, 1011, 1012, 1013])
@pytest.mark.parametrize("state", ["held", "asking", "silent"])
async def test_n21_a_close_during_a_backfill_loses_nothing(autojump_clock, state: str, code: int) -> None:
    """N21: with data before the confirmation, during the request for missed trades, and before probes."""

    async def recent(coin: str) -> list[WireTrade]:
        await trio.sleep(2)
        rows = play.venue.trades[coin][-100:][::-1]
        return decode_body(json.dumps(rows).encode(), list[WireTrade])

    async with scene(recent=recent) as play:
        await play.live()
        await play.venue.trade(row(0))
        await play.settle()
        await play.venue.drop()
        play.venue.trades["BTC"] += [row(n) for n in range(1, 50)]
        play.venue.replays = state != "silent"
        play.venue.unconfirmed = ("bbo",) if state == "held" else ()
        await play.until(lambda: play.venue.served == 2)
        await trio.sleep({"held": 1, "asking": 1, "silent": 4}[state])
        await (play.venue.drop() if code == 1006 else play.venue.close(code))
        await play.until(lambda: len(play.engine.downs) == 2)
        play.venue.replays, play.venue.unconfirmed = True, ()
        await play.until(lambda: play.engine.gaps)
        await play.settle()
        assert play.engine.trade_ids == list(range(50))
        assert [gap.closed for gap in play.engine.gaps] == [True]


@pytest.mark.parametrize(("status", "wait_ms"), [(400, 500), (403, 15000), (429, 15000), (502, 500)])
async def test_n15_n16_a_handshake_answered_with_an_http_status_is_a_loss(
    autojump_clock, status: int, wait_ms: int
) -> None:
    """N15, N16: a ban causes the longest wait."""

    def prepare(venue: Venue) -> None:
        venue.reject_status = status

    async with scene(prepare=prepare) as play:
        await play.until(lambda: play.engine.downs)
        assert trio.current_time() < 1
        assert play.engine.downs[0].reason == f"the websocket is refused with HTTP {status}"
        assert play.engine.downs[0].backoff_ms == wait_ms


async def test_the_feed_works_over_a_real_socket() -> None:
    """A connection to a loopback address with the library's own server."""

    async def handle(request: WebSocketRequest) -> None:
        socket = await request.accept()
        try:
            while True:
                asked = json.loads(await socket.get_message())
                if asked["method"] == "subscribe":
                    data = {"method": "subscribe", "subscription": asked["subscription"]}
                    await socket.send_message(json.dumps({"channel": "subscriptionResponse", "data": data}))
                    if asked["subscription"]["type"] == "trades":
                        await socket.send_message(trades_text([row(1), row(2)]))
        except ConnectionClosed:
            pass

    engine = Engine()
    with trio.fail_after(120):
        async with trio.open_nursery() as nursery:
            server = await nursery.start(serve_websocket, handle, "127.0.0.1", 0, None)
            feed = HyperliquidFeed(
                name="hyperliquid",
                base_url=f"http://127.0.0.1:{server.port}",
                instruments=(BTC,),
                clock=TrioClock(),
                jitter=lambda: 0.0,
                send=engine.take,
                since_ns=START_NS,
                limits=FeedLimits(),
            )
            nursery.start_soon(feed.run)
            while not engine.of(Trade):  # noqa: ASYNC110
                await trio.sleep(0.005)
            nursery.cancel_scope.cancel()
    assert engine.trade_ids == [1, 2]
