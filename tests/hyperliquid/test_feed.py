"""The life cycle of the feed: up, live, down, up again."""

from __future__ import annotations

import gc
from itertools import pairwise

import pytest
import trio
from trio_websocket import WebSocketConnection

from adapters.transport.connection import Connection
from adapters.transport.health import FeedLimits
from engine.events import FeedDamaged, FeedHeard, FeedUp, Quote, Trade
from engine.values import BUY, SELL
from tests.profiles import pick

from .truth import now_ms
from .venue import BTC, ETH, START_MS, START_NS, Venue, bbo_text, row, scene, trades_text


async def test_a_feed_comes_up_and_emits_trades_and_quotes_exactly(autojump_clock) -> None:
    async with scene(instruments=(BTC, ETH)) as play:
        await play.live()
        up = play.engine.ups[0]
        assert (up.feed, up.subscriptions, up.attempt) == ("hyperliquid", 4, 1)
        await play.venue.trade(row(1, px="64000.0", sz="0.00036"))
        await play.venue.trade(row(2, coin="ETH", px="1800.25", sz="12.5"))
        await play.venue.say(bbo_text("ETH", 210, ("1800.1", "3.0"), ("1800.2", "0.0001")))
        await play.venue.say(bbo_text("BTC", 220, None, ("64001.0", "1")))
        await play.settle()
        now = play.engine.events[-1].recv_ns
        assert play.engine.of(Trade) == [
            Trade(now, START_NS + 100_000_000, 1, 640000, 36, BUY, 10**12 + 1),
            Trade(now, START_NS + 200_000_000, 2, 180025, 125000, SELL, 10**12 + 2),
        ]
        assert play.engine.of(Quote) == [
            Quote(now, START_NS + 210_000_000, 2, 180010, 30000, 180020, 1),
            Quote(now, START_NS + 220_000_000, 1, 0, 0, 640010, 100000),
        ]


async def test_every_instrument_is_subscribed_to_trades_and_quotes_once(autojump_clock) -> None:
    async with scene(instruments=(BTC, ETH)) as play:
        await play.live()
        asked = [(r["subscription"]["type"], r["subscription"]["coin"]) for r in play.venue.requests]
        assert sorted(asked) == [("bbo", "BTC"), ("bbo", "ETH"), ("trades", "BTC"), ("trades", "ETH")]


async def test_n08_nothing_is_emitted_before_every_subscription_is_confirmed(autojump_clock) -> None:
    """N08: with a late answer, earlier data is emitted after FeedUp and none is lost."""

    def prepare(venue: Venue) -> None:
        venue.trades["BTC"] = [row(1), row(2)]
        venue.unconfirmed = ("bbo",)

    async with scene(prepare=prepare) as play:
        await play.settle()
        await play.venue.trade(row(3))
        await trio.sleep(5)
        assert play.engine.events == []
        assert not play.feed.health.live
        await play.venue.say(
            '{"channel":"subscriptionResponse","data":{"method":"subscribe",'
            '"subscription":{"type":"bbo","coin":"BTC","extra":[1]}}}'
        )
        await play.live()
        assert isinstance(play.engine.events[0], FeedUp)
        assert play.engine.trade_ids == [1, 2, 3]


async def test_n08_without_any_confirmation_the_connection_ends(autojump_clock) -> None:
    """N08: not counted as live; the reason names the subscription."""

    def prepare(venue: Venue) -> None:
        venue.unconfirmed = ("trades", "bbo")

    async with scene(prepare=prepare) as play:
        await play.until(lambda: play.engine.downs)
        assert 10 <= trio.current_time() < 12
        assert "trades of BTC was not confirmed within 10 s" in play.engine.downs[0].reason
        assert play.engine.ups == []


async def test_n08_a_refusal_that_names_nothing_is_part_of_the_reason(autojump_clock) -> None:
    """N08: the venue replies with an error."""
    words = '{"channel":"error","data":"Invalid subscription {\\"kind\\":\\"bbo\\"}\\u0000<b>"}'

    def prepare(venue: Venue) -> None:
        venue.unconfirmed = ("trades", "bbo")
        venue.before_ack = [words]

    async with scene(prepare=prepare) as play:
        await play.until(lambda: play.engine.downs)
        assert "; a subscription is refused: 'Invalid subscription" in play.engine.downs[0].reason
        assert "\0" not in play.engine.downs[0].reason
        assert play.feed.health.venue_errors == 1


async def test_an_error_while_live_is_counted_and_changes_nothing(autojump_clock) -> None:
    async with scene() as play:
        await play.live()
        await play.venue.say('{"channel":"error","data":"Already subscribed: {}"}')
        await play.venue.trade(row(1))
        await play.settle()
        assert play.feed.health.venue_errors == 1
        assert play.engine.trade_ids == [1]
        assert play.engine.downs == []


async def test_data_before_confirmation_is_bounded(autojump_clock) -> None:
    """A venue that floods and never confirms costs a bounded amount of memory."""

    def prepare(venue: Venue) -> None:
        venue.unconfirmed = ("trades", "bbo")
        venue.before_ack = [trades_text([row(number)]) for number in range(30)]

    async with scene(prepare=prepare, limits=FeedLimits(held_bytes_max=4000)) as play:
        await play.until(lambda: play.engine.downs)
        assert "too much data before" in play.engine.downs[0].reason
        assert trio.current_time() < 1


async def test_v08_other_instruments_and_unknown_channels_are_dropped_and_counted(autojump_clock) -> None:
    """V08: messages of other subscriptions."""
    async with scene() as play:
        await play.live()
        await play.venue.say(trades_text([row(1, coin="DOGE")]))
        await play.venue.say(bbo_text("ETH", 1, None, None))
        await play.venue.say('{"channel":"userFills","data":{"user":"0x","fills":[]}}')
        await play.venue.say("Websocket connection established.")
        await play.settle()
        found = [(one.channel, one.instrument, one.in_doubt) for one in play.engine.of(FeedDamaged)]
        assert found == [("trades", 1, True), ("bbo", 0, False)], "whose print it was is not known"
        assert len(play.engine.events) == 3
        assert play.engine.downs == []
        assert play.feed.health.dropped == {"foreign": 2, "channel": 2}


async def test_n10_repeated_or_reordered_quotes_never_go_back_in_time(autojump_clock) -> None:
    """N10: an older quote must not replace a newer one."""
    async with scene() as play:
        await play.live()
        for ms in (100, 200, 150, 300):
            await play.venue.say(bbo_text("BTC", ms, ("64000.0", "1"), ("64001.0", "1")))
        await play.settle()
        assert [(q.venue_ns - START_NS) // 10**6 for q in play.engine.of(Quote)] == [100, 200, 300]
        assert play.feed.health.dropped["stale-quote"] == 1


async def test_a_crossed_quote_is_left_out(autojump_clock) -> None:
    async with scene() as play:
        await play.live()
        await play.venue.say(bbo_text("BTC", 100, ("64001.0", "1"), ("64001.0", "1")))
        await play.settle()
        assert play.engine.of(Quote) == []
        assert play.feed.health.dropped["crossed"] == 1


async def test_v10_a_stream_that_is_mostly_unusable_is_given_up_and_the_wait_grows(autojump_clock) -> None:
    """V10: more than half of the newest 20 messages: on every connection, without a busy loop."""
    broken = '{"channel":"trades","data":[{"coin":"BTC","px":"NaN"}]}'

    async def flood() -> None:
        while True:
            await play.venue.say(broken)
            await trio.sleep(0.01)

    async with trio.open_nursery() as nursery, scene() as play:
        nursery.start_soon(flood)
        await trio.sleep(120)
        downs = play.engine.downs
        waits = [down.backoff_ms for down in downs]
        assert waits == [500, 1000, 2000, 4000, 8000, *[15000] * (len(waits) - 5)]
        assert len(waits) < 16
        assert "more than half of the newest 20 messages cannot be used" in downs[0].reason
        assert play.feed.health.frames_refused == 11 * len(waits)
        nursery.cancel_scope.cancel()


async def test_f15_a_stream_that_is_half_usable_is_kept(autojump_clock) -> None:
    """F15: every second message is broken, for two minutes."""
    async with scene() as play:
        await play.live()
        for number in range(1200):
            await play.venue.trade(row(number))
            await play.venue.say("{")
            await trio.sleep(0.1)
        assert play.engine.trade_ids == list(range(1200))
        assert play.engine.downs == []
        damages = play.engine.of(FeedDamaged)
        assert len(damages) <= 20 + 120 / 6 + 120 / 8, "a flood of damage does not fill the journal"
        assert sum(len(one.raw) for one in damages) <= 400 * (20 + 120 / 6)
        assert sum(one.count for one in damages) >= 1100, "what is not emitted is counted"


async def test_f15_a_message_or_print_that_cannot_be_used_costs_itself_only(autojump_clock) -> None:
    """F15: it is reported with its text, and nothing else is lost."""
    async with scene() as play:
        await play.live()
        await play.venue.trade(row(1))
        await play.venue.say("{")
        await play.venue.say(trades_text([row(2), row(3, sz="0"), row(4)]))
        await play.venue.say(bbo_text("BTC", 410, ("1", "x"), None))
        await play.venue.trade(row(5))
        await play.settle()
        assert play.engine.trade_ids == [1, 2, 4, 5]
        assert play.engine.downs == []
        found = [(one.channel, one.instrument, one.in_doubt) for one in play.engine.of(FeedDamaged)]
        assert found == [("", 1, True), ("trades", 1, True), ("bbo", 1, False)]
        assert play.engine.of(FeedDamaged)[0].raw == "{"
        assert '"sz": "0"' in play.engine.of(FeedDamaged)[1].raw
        assert play.feed.health.damages == 3


async def test_a_slow_engine_slows_the_feed_and_loses_nothing(autojump_clock) -> None:
    """Backpressure: memory is bounded, and meanwhile the silence of the venue does not count."""
    limits = FeedLimits(pending_max=10, frames_queued_max=4)
    async with scene(limits=limits) as play:
        await play.live()
        play.engine.gate = trio.Event()
        async with trio.open_nursery() as nursery:
            for number in range(200):
                nursery.start_soon(play.venue.trade, row(1000 + number, ms=number))
            await trio.sleep(100)
            assert play.feed.health.pending_high <= 10
            play.engine.gate.set()
        await play.settle()
        assert sorted(play.engine.trade_ids) == list(range(1000, 1200))
        assert play.engine.downs == []


async def test_messages_received_while_the_engine_was_busy_are_one_batch(autojump_clock) -> None:
    async with scene() as play:
        await play.live()
        play.engine.gate = trio.Event()
        for number in range(50):
            await play.venue.trade(row(number))
        await play.settle()
        before = len(play.engine.batches)
        play.engine.gate.set()
        await play.settle()
        assert len(play.engine.batches) - before <= 2
        assert play.engine.trade_ids == list(range(50))


async def test_an_engine_that_accepts_no_events_ends_the_feed(autojump_clock) -> None:
    async def refuse(batch: object) -> None:
        raise trio.BrokenResourceError

    with pytest.RaisesGroup(trio.BrokenResourceError, flatten_subgroups=True):
        async with scene() as play:
            play.feed._send = refuse
            await trio.sleep(5)


async def test_a_stop_closes_the_socket_at_once(autojump_clock) -> None:
    """If the venue never answers the close, the stop takes a second at most (checked by `scene`)."""
    async with scene() as play:
        await play.live()
        socket = play.venue.sockets[0]
    assert socket.closed is not None
    assert socket.closed.code == 1000
    assert trio.current_time() < 1.0


def living(*kinds: type) -> int:
    """Return how many objects of these types are alive."""
    gc.collect()
    return sum(isinstance(thing, kinds) for thing in gc.get_objects())


ROUNDS = pick(120, deep=1000)


async def test_f14_n20_many_reconnects_report_every_trade_once_and_leave_nothing(autojump_clock) -> None:
    """F14: the replay of each connection is emitted once. N20: tasks, connections and memory are released."""
    left = (Connection, WebSocketConnection, trio.Nursery, trio.Event)
    async with scene(limits=FeedLimits(stable_s=0.0, backoff_s_min=0.02)) as play:
        tasks = objects = 0
        for round_number in range(ROUNDS):
            await play.live(round_number + 1)
            await play.venue.trade(row(round_number * 2))
            await play.settle()
            if round_number == 10:
                tasks, objects = trio.lowlevel.current_statistics().tasks_living, living(*left)
            if round_number == ROUNDS - 1:
                assert trio.lowlevel.current_statistics().tasks_living == tasks
                assert living(*left) == objects
            await play.venue.drop()
            play.venue.trades["BTC"].append(row(round_number * 2 + 1))
            await play.until(lambda: not play.feed.health.live)
        assert play.engine.trade_ids == list(range(2 * ROUNDS - 1))
        assert all(gap.closed for gap in play.engine.gaps)
        assert len(play.engine.downs) == ROUNDS


async def test_a_quiet_feed_reports_that_its_connection_answers(autojump_clock) -> None:
    """Prices of a quiet market are as new as the last proof that the connection is alive."""
    async with scene(limits=FeedLimits(heard_s=2.0)) as play:
        await play.live()
        assert [one.heard_ms for one in play.engine.ups] == [2000]
        await trio.sleep(20)
        heard = play.engine.of(FeedHeard)
        assert len(heard) >= 8
        for one, after in pairwise(heard):
            assert after.recv_ns - one.heard_ns <= 5e9, "never older than a price may be"
            assert after.heard_ns > one.heard_ns
        play.venue.answers_pings = False
        await trio.sleep(1)
        last_ns = play.feed.health.last_frame_ns
        await trio.sleep(6)
        assert play.engine.of(FeedHeard)[-1].heard_ns <= last_ns


async def test_a_busy_feed_is_not_pinged_to_prove_its_life(autojump_clock) -> None:
    async with scene(limits=FeedLimits(heard_s=2.0)) as play:
        await play.live()
        pings = play.venue.pings
        for number in range(1, 40):
            text = bbo_text("BTC", now_ms() - START_MS, (f"{60_000 + number}", "1"), ("70000", "1"))
            await play.venue.say(text, "bbo", "BTC")
            await trio.sleep(0.2)
        assert play.venue.pings == pings + 1, "the one of the connection itself"
        assert play.engine.of(FeedHeard)


async def test_a_feed_without_this_proof_says_so(autojump_clock) -> None:
    async with scene() as play:
        await play.live()
        await trio.sleep(20)
        assert [one.heard_ms for one in play.engine.ups] == [0]
        assert not play.engine.of(FeedHeard)
