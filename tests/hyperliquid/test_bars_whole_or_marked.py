"""Feed and bars on a bad network: a closed bar equals the venue's candle or is marked incomplete."""

from __future__ import annotations

import random

import pytest
import trio

from adapters.transport.health import FeedLimits
from engine.actors import Aggregator
from engine.config import BarsConfig, DataConfig
from engine.events import BarClosed
from engine.values import parse_interval
from tests.actors.harness import Harness
from tests.profiles import pick
from tests.transport.streams import BlackHole

from .truth import Truth, candle_rows, now_ms
from .venue import BTC, ETH, START_MS, START_NS, Scene, Venue, row, scene

MINUTES = 45
INTERVALS = ("1m", "5m")
DATA = DataConfig(check_minutes=5, poll_after_s=30)


class Market:
    """Endless trades: BTC twice a second, ETH now and then, with random walks of prices."""

    def __init__(self, play: Scene, chance: random.Random) -> None:
        self._play = play
        self._chance = chance
        self._number = 0
        self._price = {"BTC": 60_000, "ETH": 30_000}

    async def run(self) -> None:
        while True:
            await trio.sleep(self._chance.expovariate(2.0))
            coin = "ETH" if self._chance.random() < 0.02 else "BTC"
            self._number += 1
            self._price[coin] += self._chance.randint(-3, 3)
            px, sz = str(self._price[coin]), str(self._chance.randint(1, 9) / 100)
            one = row(self._number, coin=coin, ms=now_ms() - START_MS, px=px, sz=sz)
            await self._play.venue.trade(one)


async def misfortune(play: Scene, world: Truth, chance: random.Random, dead: list[trio.Event]) -> None:
    """Inject one fault after another, with pauses between them."""
    while True:
        await trio.sleep(chance.uniform(20, 200))
        kind = chance.choice(("drop", "outage", "half-open", "muted", "http"))
        if kind in ("drop", "outage"):
            if kind == "outage":
                play.venue.refuse = lambda _: OSError("down")
            await play.venue.drop()
            await trio.sleep(chance.choice((1, 20, 100)))
            play.venue.refuse = None
        elif kind == "half-open":
            dead[-1].set()
        elif kind == "muted":
            play.venue.muted.add(("trades", chance.choice(("BTC", "ETH"))))
            downs = len(play.engine.downs)
            with trio.move_on_after(400):
                while len(play.engine.downs) == downs:  # noqa: ASYNC110
                    await trio.sleep(0.1)
            play.venue.muted.clear()
            await play.venue.drop()
        else:
            world.fails = True
            await play.venue.drop()
            await trio.sleep(60)
            world.fails = False


@pytest.mark.parametrize("seed", range(pick(1, deep=12)))
async def test_i8_f04_n11_every_closed_bar_is_the_venues_candle_or_marked(autojump_clock, seed: int) -> None:
    """I8, F04, N11: cuts, outages, half-open sockets, muted subscriptions, HTTP down; most bars end whole."""
    chance = random.Random(seed)
    worlds: list[Truth] = []
    dead: list[trio.Event] = []

    def info(venue: Venue) -> Truth:
        worlds.append(Truth(venue, reach=30))
        return worlds[0]

    def prepare(venue: Venue) -> None:
        def wrap(stream: trio.abc.Stream, number: int) -> trio.abc.Stream:
            dead.append(trio.Event())
            return BlackHole(stream, dead[-1])

        venue.wrap = wrap

    async with scene(
        instruments=(BTC, ETH),
        since_ns=START_NS,
        info=info,
        data=DATA,
        intervals=INTERVALS,
        prepare=prepare,
        jitter=chance.random,
        limits=FeedLimits(),
    ) as play:
        await play.live()
        async with trio.open_nursery() as nursery:
            nursery.start_soon(Market(play, chance).run)
            nursery.start_soon(misfortune, play, worlds[0], chance, dead)
            await trio.sleep(MINUTES * 60)
            nursery.cancel_scope.cancel()
        worlds[0].fails, play.venue.refuse = False, None
        play.venue.muted.clear()
        await play.venue.drop()
        await trio.sleep(700)
    bars = build(play)
    whole = marked = 0
    for listed in (BTC, ETH):
        for name in INTERVALS:
            truth = {
                candle["t"]: candle
                for candle in candle_rows(play.venue.trades[listed.name], listed.name, name)
            }
            for (instrument, interval_ns, start_ns), bar in bars.items():
                if (instrument, interval_ns) != (listed.instrument, parse_interval(name)):
                    continue
                if bar.incomplete:
                    marked += 1
                    continue
                candle = truth.get(start_ns // 10**6)
                assert bar.trades == (candle["n"] if candle else 0), (listed.name, name, bar)
                if candle:
                    scale = 10**listed.price_scale
                    prices = [round(float(candle[member]) * scale) for member in "ohlc"]
                    assert [bar.open, bar.high, bar.low, bar.close] == prices
                whole += 1
    assert play.feed.health.losses > 5
    assert whole > 5 * marked


def build(play: Scene) -> dict[tuple[int, int, int], BarClosed]:
    """Return the last revision of each bar."""
    harness = Harness(Aggregator(BarsConfig(INTERVALS, 1000)))
    for event in play.engine.events:
        harness.advance(event.recv_ns)  # type: ignore[attr-defined]
        harness.send(event)
    bars: dict[tuple[int, int, int], BarClosed] = {}
    for made in harness.log:
        if isinstance(made, BarClosed):
            bars[made.instrument, made.interval_ns, made.start_ns] = made
    return bars
