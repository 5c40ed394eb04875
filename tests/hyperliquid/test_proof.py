"""What a feed proves: how far every connection has delivered what the venue sent, and how late that is."""

from __future__ import annotations

import random
from itertools import pairwise

import pytest
import trio

from adapters.hyperliquid.limits import LIMITS
from adapters.transport.health import FeedLimits
from engine.actors import Aggregator
from engine.actors.bars import LAGGING
from engine.clock import SECOND_NS
from engine.config import BarsConfig
from engine.events import BarClosed, FeedDown, FeedGap, FeedHeard, FeedLagging
from engine.values import parse_interval
from tests.actors.harness import Harness
from tests.profiles import pick
from tests.transport.streams import Stalled

from .truth import Truth, candle_rows, now_ms
from .venue import BTC, ETH, START_MS, START_NS, Scene, Venue, bbo_text, row, scene

MINUTE_NS = 60 * SECOND_NS
LATE_NS = 750_000_000
SPANS = ("1s", "5s", "1m")
PROVING = FeedLimits(heard_s=2.0, window_ns=MINUTE_NS, late_ns=LATE_NS)
PATIENT = FeedLimits(heard_s=2.0, window_ns=MINUTE_NS, late_ns=LATE_NS, ping_s=60.0, pong_s=50.0)
"""Without the pings that only ask whether the connection is alive."""


def ends(play: Scene, span_ns: int = MINUTE_NS) -> dict[int, int]:
    """Return when the end of each window was proved, by the end."""
    found: dict[int, int] = {}
    before_ns = 0
    for heard in play.engine.of(FeedHeard):
        end_ns = heard.proved_ns // span_ns * span_ns
        if before_ns and before_ns < end_ns:
            found[end_ns] = heard.recv_ns
        before_ns = max(before_ns, heard.proved_ns)
    return found


def proved_ns(play: Scene) -> int:
    return max((heard.proved_ns for heard in play.engine.of(FeedHeard)), default=0)


def quote(coin: str, ms: int) -> str:
    return bbo_text(coin, ms, (str(50_000 + ms % 1000), "1"), ("70000", "1"))


async def test_a_quiet_market_is_proved_before_the_grace_period_of_its_window_is_over(autojump_clock) -> None:
    """One ping a window suffices, though nothing is traded; its answer needs 50 ms here."""
    async with scene(limits=PROVING) as play:
        await play.live()
        await trio.sleep(600)
        assert all(up.proves for up in play.engine.ups)
        proved = ends(play)
        assert len(proved) >= 9
        assert all(0 <= at_ns - end_ns < SECOND_NS for end_ns, at_ns in proved.items())
        assert not play.engine.of(FeedLagging)


@pytest.mark.parametrize("offset_s", [0.3, 0.98, 1.02, 1.7])
async def test_prices_of_a_quiet_market_never_get_too_old_to_trade_on(
    autojump_clock, offset_s: float
) -> None:
    """Openings need a price of the last 5 s; the ping at the end of a window must not delay the next."""
    limits = FeedLimits(heard_s=2.0, window_ns=10 * SECOND_NS, late_ns=LATE_NS)
    async with scene(limits=limits) as play:
        await trio.sleep(offset_s)
        await play.live()
        await trio.sleep(120)
        reports = [one for one in play.engine.of(FeedHeard) if one.proved_ns]
        assert len(reports) > 40
        oldest_ns = max(later.recv_ns - one.proved_ns for one, later in pairwise(reports))
        assert oldest_ns < 4 * SECOND_NS


async def test_a_feed_with_messages_is_proved_by_their_times(autojump_clock) -> None:
    async with scene(limits=PROVING) as play:
        play.venue.answers_pings = False
        await play.live()
        for _ in range(1300):
            await trio.sleep(0.1)
            await play.venue.say(quote("BTC", now_ms() - START_MS), "bbo", "BTC")
        for end_ns, at_ns in ends(play).items():
            assert LATE_NS <= at_ns - end_ns <= LATE_NS + SECOND_NS // 5
        assert (
            play.engine.of(FeedHeard)[-1].proved_ns <= START_NS + round(trio.current_time() * 1e9) - LATE_NS
        )


async def test_a_time_of_the_future_proves_nothing(autojump_clock) -> None:
    async with scene(limits=PROVING) as play:
        play.venue.answers_pings = False
        await play.live()
        await play.venue.say(quote("BTC", now_ms() - START_MS + 50 * 60_000), "bbo", "BTC")
        await trio.sleep(3)
        assert proved_ns(play) == 0


async def test_an_answer_proves_the_oldest_ping_without_one(autojump_clock) -> None:
    """What was sent before an answer has arrived; a newer ping says nothing about it."""
    async with scene(limits=PATIENT) as play:
        play.venue.answers_pings = False
        await play.live()
        pings: list[float] = []
        while len(pings) < 4:
            before = play.venue.pings
            await play.until(lambda count=before: play.venue.pings > count)  # type: ignore[misc]
            pings.append(trio.current_time())
        assert proved_ns(play) == 0
        for at in pings:
            await play.venue.say('{"channel":"pong"}')
            await trio.sleep(3)
            newest_ns = play.feed._streams[0].reached_ns
            assert newest_ns == pytest.approx(START_NS + round(at * 1e9), abs=SECOND_NS // 10)


async def test_a_feed_of_several_connections_has_proved_what_the_slowest_has(autojump_clock) -> None:
    limits = FeedLimits(heard_s=2.0, window_ns=MINUTE_NS, late_ns=LATE_NS, subscriptions_max=2)
    streams: list[Stalled] = []
    async with scene(instruments=(BTC, ETH), limits=limits, prepare=stalling(streams)) as play:
        await play.live()
        await trio.sleep(100)
        streams[1].flows = trio.Event()
        await trio.sleep(0.2)
        stalled_ns = START_NS + round(trio.current_time() * 1e9)
        await trio.sleep(7)
        assert proved_ns(play) < stalled_ns
        lags_s = sorted(play.feed.health.lags_s)
        assert lags_s[0] < 3 < 6 < lags_s[1]
        streams[1].flows.set()
        await trio.sleep(3)
        assert proved_ns(play) > stalled_ns


def stalling(streams: list[Stalled]):  # type: ignore[no-untyped-def]
    """Return a preparation of a venue whose connections can be stalled."""

    def wrap(stream: trio.abc.Stream, number: int) -> trio.abc.Stream:
        streams.append(Stalled(stream))
        return streams[-1]

    def prepare(venue: Venue) -> None:
        venue.wrap = wrap

    return prepare


async def test_a_connection_that_is_read_late_is_reported_and_so_is_its_recovery(autojump_clock) -> None:
    streams: list[Stalled] = []
    async with scene(limits=PROVING, prepare=stalling(streams)) as play:
        await play.live()
        await trio.sleep(30)
        assert "LAGGING" not in str(play.feed.health)
        streams[0].flows = trio.Event()
        await trio.sleep(7.5)
        [late] = play.engine.of(FeedLagging)
        assert 5000 < late.lag_ms < 6000
        assert str(play.feed.health).startswith("LAGGING: what is read is ")
        streams[0].flows.set()
        await trio.sleep(2)
        assert [one.lag_ms for one in play.engine.of(FeedLagging)] == [late.lag_ms, 0]
        assert "LAGGING" not in str(play.feed.health)
        assert not play.engine.of(FeedDown)


async def test_nothing_is_proved_while_trades_are_held_back(autojump_clock) -> None:
    """After a reconnect live trades wait until missed ones are read."""

    async def recent(_: str) -> list[object]:
        await trio.sleep(2.9)
        return []

    async with scene(limits=PROVING, recent=recent) as play:
        await play.live()
        await play.venue.trade(row(1, ms=now_ms() - START_MS))
        await trio.sleep(5)
        play.venue.replays = False
        await play.venue.drop()
        await play.until(lambda: not play.feed.health.live)
        await play.live(2)
        await play.venue.trade(row(2, ms=now_ms() - START_MS))
        held_ns = START_NS + round(trio.current_time() * 1e9)
        for _ in range(20):
            await trio.sleep(0.1)
            await play.venue.say(quote("BTC", now_ms() - START_MS), "bbo", "BTC")
        assert not play.engine.of(FeedGap)
        assert proved_ns(play) < held_ns
        await trio.sleep(5)
        gap = next(place for place, one in enumerate(play.engine.events) if isinstance(one, FeedGap))
        first = next(
            place
            for place, one in enumerate(play.engine.events)
            if isinstance(one, FeedHeard) and one.proved_ns >= held_ns
        )
        assert gap < first
        assert play.engine.trade_ids == [1, 2]


async def test_trades_that_a_late_connection_is_still_to_deliver_are_not_taken_from_http(
    autojump_clock,
) -> None:
    """After a reconnect the newest trades of an HTTP answer are ahead of the connection."""
    streams: list[Stalled] = []
    worlds: list[Truth] = []

    def prepare(venue: Venue) -> None:
        stalling(streams)(venue)
        worlds.append(Truth(venue, reach=3))
        venue.replays = False

    async def recent(coin: str) -> object:
        return await worlds[0].recent_trades(coin)

    async with scene(limits=PATIENT, prepare=prepare, recent=recent) as play:
        await play.live()
        await play.venue.trade(row(1, ms=now_ms() - START_MS))
        await play.settle()
        await play.venue.drop()
        await play.until(lambda: not play.feed.health.live)
        await play.live(2)
        await play.venue.say(quote("BTC", now_ms() - START_MS), "bbo", "BTC")
        await play.settle()
        streams[-1].flows = trio.Event()
        for number in range(2, 9):
            await trio.sleep(0.1)
            await play.venue.trade(row(number, ms=now_ms() - START_MS))
        await play.until(lambda: play.engine.of(FeedGap))  # a silent instrument is asked for over HTTP
        assert worlds[0].asked["recentTrades"] == 1
        assert play.engine.trade_ids == [1]
        streams[-1].flows.set()
        await trio.sleep(1)
        assert play.engine.trade_ids == list(range(1, 9)), "in their order, none of them missing"


async def test_pings_for_proof_leave_room_for_the_other_messages(autojump_clock) -> None:
    """Without room in the venue's limit of messages no ping is sent, and none waits."""
    async with scene(limits=PATIENT) as play:
        await play.live()
        while (used := play.feed.governor.budget().messages) < int(LIMITS.messages.amount * 0.8):
            for _ in range(int(LIMITS.messages.amount * 0.8) - used):
                await play.feed.governor.message()
        pings = play.venue.pings
        await trio.sleep(7)
        assert play.venue.pings == pings
        assert play.feed.governor.budget().waiting == 0


@pytest.mark.parametrize("seed", range(pick(2, deep=20)))
async def test_every_bar_called_complete_has_all_trades_on_a_late_connection(
    autojump_clock, seed: int
) -> None:
    """A busy machine reads messages seconds after they were sent, while its timers run.

    Each connection stalls for up to 20 s again and again. Every bar that is ever called complete, not only
    its last correction, has the trades that the venue made.
    """
    chance = random.Random(seed)
    streams: list[Stalled] = []
    worlds: list[Truth] = []

    def info(venue: Venue) -> Truth:
        worlds.append(Truth(venue, reach=500))
        return worlds[0]

    limits = FeedLimits(
        heard_s=2.0, window_ns=SECOND_NS, late_ns=LATE_NS, subscriptions_max=2, ping_s=60.0, pong_s=50.0
    )
    async with scene(
        instruments=(BTC, ETH),
        since_ns=START_NS,
        limits=limits,
        prepare=stalling(streams),
        jitter=chance.random,
        info=info,
    ) as play:
        await play.live()
        async with trio.open_nursery() as nursery:
            nursery.start_soon(_trade, play, chance)
            for _ in range(15):
                await trio.sleep(chance.uniform(5, 30))
                stream = chance.choice(streams[-2:])
                stream.flows = trio.Event()
                await trio.sleep(chance.choice((2, 4, 8, 20)))
                stream.flows.set()
                if chance.random() < 0.3:
                    await play.venue.drop()
                    await trio.sleep(chance.uniform(0.5, 4))
                    for stream in streams[-2:]:
                        stream.flows = trio.Event()
                    await trio.sleep(chance.uniform(1, 9))
                    for stream in streams[-2:]:
                        stream.flows.set()
            await trio.sleep(30)
            nursery.cancel_scope.cancel()
        await trio.sleep(30)
    harness = Harness(Aggregator(BarsConfig(SPANS, 1000)), {1: BTC, 2: ETH})
    for event in play.engine.events:
        harness.advance(event.recv_ns)  # type: ignore[attr-defined]
        harness.send(event)
    complete = _check(harness, play)
    last = {(bar.instrument, bar.interval_ns, bar.start_ns): bar for bar in harness.all(BarClosed)}
    assert complete > 500
    assert any(bar.because == LAGGING for bar in harness.all(BarClosed)), "some closed without proof"
    assert not [bar for bar in last.values() if bar.because == LAGGING], "and were corrected"


async def _trade(play: Scene, chance: random.Random) -> None:
    number = 0
    while True:
        await trio.sleep(chance.expovariate(3.0))
        number += 1
        coin = "ETH" if chance.random() < 0.2 else "BTC"
        px = str(60_000 + chance.randint(-50, 50))
        await play.venue.trade(row(number, coin=coin, ms=now_ms() - START_MS, px=px))


def _check(harness: Harness, play: Scene) -> int:
    """Compare every bar that was called complete with the venue's own trades; return how many there are."""
    truth = {
        (listed.instrument, parse_interval(span)): {
            candle["t"]: candle
            for candle in candle_rows(play.venue.trades.get(listed.name, []), listed.name, span)
        }
        for listed in (BTC, ETH)
        for span in SPANS
    }
    complete = 0
    for bar in harness.all(BarClosed):
        if bar.incomplete:
            continue
        complete += 1
        candle = truth[bar.instrument, bar.interval_ns].get(bar.start_ns // 1_000_000)
        assert bar.trades == (candle["n"] if candle else 0), bar
        if candle:
            scale = 10 ** (BTC if bar.instrument == 1 else ETH).price_scale
            prices = [round(float(candle[name]) * scale) for name in "ohlc"]
            assert [bar.open, bar.high, bar.low, bar.close] == prices
    return complete
