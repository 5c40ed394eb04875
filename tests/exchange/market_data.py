"""What every venue of market data shows on its sandbox: a session under faults loses and doubles nothing.

A session of one or several venues runs on virtual time (`tests/pacing.py`), so limits in real seconds and the
market keep their ratio on a slow machine. The truth is what the exchange has played. Used by the tests of
each venue.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence
from contextlib import asynccontextmanager
from itertools import pairwise
from pathlib import Path
from typing import Any

import msgspec
import trio

from adapters.exchange.instruments import Played
from adapters.exchange.options import SandboxOptions
from adapters.exchange.run import shared_start
from adapters.exchange.server import LocalExchange
from adapters.transport.feed import Feed
from engine.commands.planning import LiveOptions, make_plan
from engine.config import BarsConfig, Config, DataConfig
from engine.events import (
    BarClosed,
    BarCorrected,
    BookRead,
    Event,
    FeedDamaged,
    FeedDown,
    FeedGap,
    InstrumentListed,
    Trade,
)
from engine.journal import list_days
from engine.loading.strategies import make_builder
from engine.loading.venues import find_venue
from engine.records import JournalHistory, open_day, read_records
from engine.runtime.live import Live
from replay.verification import replay_day
from tests.exchange.kit import protocol_of
from tests.pacing import pacing
from tests.profiles import pick

__all__ = [
    "FAULTS",
    "VISIBLE",
    "Stage",
    "bars_of",
    "books",
    "check_bars",
    "check_trades",
    "check_venue",
    "losses",
    "run",
    "staged",
]

FAULTS = "drop:0.01,damage:0.01,duplicate:0.003,reorder:0.001,429:0.02,5xx:0.02"
VISIBLE = "damage:0.015,duplicate:0.003,429:0.02,5xx:0.02"
"""Without a frame that vanishes or is overtaken, which only numbers of an instrument's trades show."""

SPEED = 10.0
MINUTE_NS = 60_000_000_000
_MS_NS = 1_000_000
_FIRST_CUT_S = 35.0
_CUT_EVERY_S = 110.0
_SETTLE_S = 240.0
"""Real seconds without faults at the end, at most, until every doubt is settled."""
_AFTER_S = 7.0
"""Real seconds after that: bars close, and are repaired and compared."""


class Stage:
    """Local exchanges by venue, and by venue and instrument the trades that each has played."""

    def __init__(self) -> None:
        self.exchanges: dict[str, LocalExchange] = {}
        self.urls: dict[str, str] = {}
        self.played: dict[tuple[str, str], list[Trade]] = {}

    def add(self, venue: str, options: SandboxOptions) -> LocalExchange:
        """Make the exchange of a venue."""
        base = protocol_of(venue)
        played = self.played

        class Recorded(base):  # type: ignore[misc, valid-type]
            def play(self, event: Played) -> None:
                if isinstance(event, Trade):
                    named = self.market.by_number[event.instrument].listed.name
                    played.setdefault((venue, named), []).append(event)
                super().play(event)

        self.exchanges[venue] = exchange = LocalExchange(options, Recorded)
        return exchange


@asynccontextmanager
async def staged(
    venues: Sequence[str], faults: Mapping[str, str] | str = FAULTS, **options: Any
) -> AsyncIterator[Stage]:
    """Run the sandboxes of venues on one clock; `faults` of all, or by venue. Takes `paced_clock`."""
    stage = Stage()
    settings = {"port": 0, "speed": SPEED, "history_s": 120.0, "instruments": ("BTC", "ETH"), **options}
    for name in venues:
        own = faults if isinstance(faults, str) else faults.get(name, "")
        stage.add(name, SandboxOptions(**settings, faults=own))
    async with pacing(), trio.open_nursery() as nursery:
        start = shared_start(stage.exchanges, SandboxOptions(**settings))
        for name, exchange in stage.exchanges.items():

            async def serve(
                exchange: LocalExchange = exchange,
                *,
                task_status: trio.TaskStatus[Any] = trio.TASK_STATUS_IGNORED,
            ) -> None:
                await exchange.serve(start=start, task_status=task_status)

            stage.urls[name] = (await nursery.start(serve)).base_url
        yield stage
        nursery.cancel_scope.cancel()


async def run(
    stage: Stage,
    root: Path,
    channels: Sequence[str],
    *,
    market_s: float,
    script: Callable[[], Awaitable[None]] | None = None,
    sections: Any = msgspec.UNSET,
    raw: bool = False,
    settle: bool = True,
    **data: Any,
) -> list[Event]:
    """Run a paper session for some time of the market, then without faults until all is settled, if `settle`.

    Without a script the connections are cut now and then. `sections` are those of the venues in the
    configuration. Return the day. It replays identically.
    """
    names = list(stage.urls)
    venues = [find_venue(name) for name in names]
    config = Config(
        bars=BarsConfig(intervals=("1m",)),
        data=DataConfig(**{"channels": tuple(channels), "warmup_bars": 0, "check_minutes": 1, **data}),
        instruments=tuple(_keys(stage)) if len(names) > 1 else (),
        venues=sections,
    )
    options = LiveOptions(config=config, root=root, venue=venues[0], raw=raw)
    others = [(venue, stage.urls[venue.name]) for venue in venues[1:]]
    live = Live(await make_plan(options, stage.urls[names[0]], others), lambda _: None)
    speed = next(iter(stage.exchanges.values())).protocol.options.speed

    async def drive() -> None:
        with trio.move_on_after(market_s / speed):
            if script is not None:
                await script()
                await trio.sleep_forever()
            await trio.sleep(_FIRST_CUT_S / speed)
            while True:
                for exchange in stage.exchanges.values():
                    exchange.drop_connections()
                await trio.sleep(_CUT_EVERY_S / speed)
        if settle:
            for exchange in stage.exchanges.values():
                exchange.faults.disarm()
            with trio.fail_after(_SETTLE_S):
                while not _settled(live):  # noqa: ASYNC110
                    await trio.sleep(0.5)
            await trio.sleep(_AFTER_S)
        live.stop("script")

    async with trio.open_nursery() as nursery:
        nursery.start_soon(drive)
        await live.run()
        nursery.cancel_scope.cancel()
    for day in list_days(root):
        report, _ = replay_day(open_day(day.path), make_builder(), history=JournalHistory(root))
        assert report.identical, (day.path.name, report.divergence)
    return [event for day in list_days(root) for _, _, event in read_records(day.path)]


def _settled(live: Live) -> bool:
    """Return whether every feed is up and knows all trades, or has reported what is missing."""
    bound = [getattr(one.note_jump, "__self__", None) for one in live._edges]
    feeds = [one for one in bound if isinstance(one, Feed)]
    assert feeds
    return all(
        feed.health.live and not (one.in_doubt or one.memory.resuming or one.memory.waiting is not None)
        for feed in feeds
        for one in feed._trackers.values()
    )


def _keys(stage: Stage) -> list[str]:
    return [
        f"{venue}:{one.name}"
        for venue, exchange in stage.exchanges.items()
        for one in exchange.protocol.market.instruments
    ]


def check_trades(stage: Stage, events: Sequence[Event]) -> int:
    """Raise unless every trade since the first came once and right; return how many lie in open gaps.

    A trade may be missing only in a span that an open `FeedGap` reports, and no doubt is left at the end.
    """
    listed = [one for one in events if isinstance(one, InstrumentListed)]
    assert {(one.venue, one.name) for one in listed} == set(stage.played)
    lost = 0
    for one in listed:
        number = one.instrument
        found = [trade for trade in events if isinstance(trade, Trade) and trade.instrument == number]
        assert found, "trades come"
        assert len({trade.trade_id for trade in found}) == len(found), "none twice"
        first_ns = min(trade.venue_ns for trade in found) // _MS_NS * _MS_NS
        truth = Counter(_content(trade) for trade in stage.played[one.venue, one.name])
        assert not Counter(map(_content, found)) - truth, "none that the exchange did not play"
        missing = truth - Counter(map(_content, found))
        last_ns = max(trade.venue_ns for trade in found) // _MS_NS * _MS_NS
        opened = [
            (gap.from_ns // _MS_NS * _MS_NS, gap.to_ns)
            for gap in events
            if isinstance(gap, FeedGap) and gap.instrument == number and not gap.closed
        ]
        for content, count in missing.items():
            at_ns = content[0] * _MS_NS
            if first_ns < at_ns < last_ns:
                assert any(from_ns <= at_ns <= to_ns for from_ns, to_ns in opened), (one.name, content)
                lost += count
        assert not _in_doubt(events, number), "every doubt is settled"
    return lost


def _content(trade: Trade) -> tuple[int, int, int, int]:
    """Return what a venue says of a trade. Some have milliseconds only."""
    return trade.venue_ns // _MS_NS, trade.price, trade.size, trade.aggressor


def bars_of(events: Sequence[Event], number: int) -> dict[int, BarClosed | BarCorrected]:
    """Return the newest state of the bars of an instrument, by start."""
    return {
        one.start_ns: one
        for one in events
        if isinstance(one, BarClosed | BarCorrected) and one.instrument == number
    }


def check_bars(stage: Stage, events: Sequence[Event]) -> tuple[int, int]:
    """Raise unless every bar equals the venue's candle or is marked; return how many are equal and marked.

    A bar is marked at the end only for a reason: the session began in it, or an open gap or a loss that
    nothing followed touches it.
    """
    whole = marked = 0
    for listed in [one for one in events if isinstance(one, InstrumentListed)]:
        number = listed.instrument
        exchange = stage.exchanges[listed.venue]
        market = exchange.protocol.market.by_name[listed.name]
        candles = {one.start_ms: one for one in market.candles.history("1m", exchange.now_ms)}
        bars = bars_of(events, number)
        starts = sorted(bars)
        assert starts == list(range(starts[0], starts[-1] + 1, MINUTE_NS)), "no window is left out"
        spans = [
            (gap.from_ns, gap.to_ns)
            for gap in events
            if isinstance(gap, FeedGap) and gap.instrument == number and not gap.closed
        ]
        for start_ns in starts:
            bar = bars[start_ns]
            if bar.incomplete:
                marked += 1
                assert start_ns == starts[0] or any(
                    from_ns < start_ns + MINUTE_NS and start_ns <= to_ns for from_ns, to_ns in spans
                ), (listed.name, start_ns, bar.because)
                continue
            whole += 1
            candle = candles[start_ns // _MS_NS]
            ours = (bar.open, bar.high, bar.low, bar.close, bar.volume)
            assert ours == (candle.open, candle.high, candle.low, candle.close, candle.volume), (
                listed.name,
                start_ns,
                ours,
                candle,
            )
    return whole, marked


def _in_doubt(events: Sequence[Event], number: int) -> bool:
    """Return whether trades are in doubt at the end of the day, without a gap that settles it."""
    doubt = False
    for one in events:
        if isinstance(one, FeedGap) and one.instrument == number:
            doubt = False
        elif isinstance(one, FeedDamaged) and one.in_doubt and one.instrument == number:
            doubt = True
    return doubt


def books(events: Sequence[Event]) -> list[BookRead]:
    """Return the books of a day."""
    return [one for one in events if isinstance(one, BookRead)]


def check_venue(stage: Stage, events: Sequence[Event]) -> None:
    """Raise unless trades, bars and books are right, most bars whole, and the feed was lost."""
    check_trades(stage, events)
    whole, marked = check_bars(stage, events)
    assert whole >= max(1, marked * pick(0, deep=2)), (whole, marked)
    assert losses(events), "the faults have cut connections"
    assert any(isinstance(one, FeedDamaged) and one.in_doubt for one in events), "trades were lost"
    found = books(events)
    assert len(found) > 100
    for book in found:
        assert len(book.bids) == len(book.asks) == 20
        for (price, *_), (after, *_) in pairwise(book.bids):
            assert price > after
        for (price, *_), (after, *_) in pairwise(book.asks):
            assert price < after
        assert book.bids[0][0] < book.asks[0][0]


def losses(events: Sequence[Event]) -> int:
    """Return how often the feed was down."""
    return sum(isinstance(one, FeedDown) for one in events)
