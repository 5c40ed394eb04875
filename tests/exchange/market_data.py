"""What every venue of market data shows on its sandbox: a session under faults loses and doubles nothing."""

from __future__ import annotations

import sys
from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import trio

from adapters.exchange.protocol import VenueProtocol
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
from engine.records import read_records
from tests.exchange.kit import running

__all__ = ["FAULTS", "Played", "check_session", "session"]

FAULTS = "drop:0.003,damage:0.003,duplicate:0.003,reorder:0.001,5xx:0.05"

MINUTE_NS = 60_000_000_000
LATE_NS = 10_000_000_000
"""How much later than a loss the session may notice it, in the time of a fast market."""

Played = Mapping[str, Sequence[tuple[int, Trade]]]
"""By name of the instrument, the trades that the exchange published, with their ids."""


async def session(
    protocol: type[VenueProtocol],
    venue: str,
    folder: Path,
    channels: Sequence[str],
    *,
    market_s: int,
    speed: float = 25.0,
    **options: Any,
) -> tuple[list[Event], VenueProtocol, str]:
    """Run `engine live` on a sandbox for some time of the market; return the day, and what replay says."""
    config = folder / "engine.toml"
    names = ", ".join(f'"{one}"' for one in channels)
    config.write_text(f'[data]\nchannels = [{names}]\n[bars]\nintervals = ["1m"]\n', encoding="utf-8")
    settings = {
        "drop_every_s": 4.0,
        "speed": speed,
        "clock": "tape",
        "history_s": 120.0,
        "instruments": ("BTC", "ETH"),
        **options,
    }
    async with running(protocol, **settings) as (exchange, address):
        command = [sys.executable, "-m", "engine", "live", "--venue", venue, "--base-url", address.base_url]
        command += [
            "--journal",
            str(folder / "j"),
            "--config",
            str(config),
            "--for",
            f"{market_s / speed:g}s",
        ]
        with trio.fail_after(50):
            done = await trio.run_process(command, capture_stdout=True, capture_stderr=True, check=False)
        assert done.returncode == 0, done.stderr.decode()[-2000:]
        (day,) = [one for one in (folder / "j").iterdir() if one.name.startswith("20")]
        events = [event for _, _, event in read_records(day)]
        verify = [sys.executable, "-m", "engine", "replay", str(day)]
        replayed = await trio.run_process(verify, capture_stdout=True, check=False)
        return events, exchange._protocol, replayed.stdout.decode()


def check_session(events: Sequence[Event], played: Played) -> None:
    """Raise unless every trade since the first came once and right, and bars are right or marked.

    A span that a `FeedGap` leaves open may lack trades; the windows it touches are not complete.
    """
    listed = {one.name: one.instrument for one in events if isinstance(one, InstrumentListed)}
    assert set(listed) == set(played)
    for name, number in listed.items():
        found = {one.trade_id: one for one in events if isinstance(one, Trade) and one.instrument == number}
        count = Counter(one.trade_id for one in events if isinstance(one, Trade) and one.instrument == number)
        assert found, "trades come"
        assert max(count.values()) == 1, "none twice"
        truth = dict(played[name])
        for trade_id, trade in found.items():
            of = truth[int(trade_id)]
            assert (trade.price, trade.size, trade.aggressor) == (of.price, of.size, of.aggressor)
            assert trade.venue_ns == of.venue_ns // 1000 * 1000
        open_gaps = [
            (gap.from_ns, gap.to_ns)
            for gap in events
            if isinstance(gap, FeedGap) and gap.instrument == number and not gap.closed
        ]
        unsettled_ns = _unsettled(events, number)
        if unsettled_ns:
            open_gaps.append((unsettled_ns - LATE_NS, 2**63))
        ids = sorted(map(int, found))
        missing = [one for one in range(ids[0], ids[-1]) if str(one) not in found and one not in found]
        for one in missing:
            at_ns = truth[one].venue_ns
            assert any(from_ns - 1000 <= at_ns <= to_ns for from_ns, to_ns in open_gaps), one
        _check_bars(events, number, [trade for _, trade in played[name]])


def _unsettled(events: Sequence[Event], number: int) -> int:
    """Return since when trades are in doubt at the end of the day, without a gap that settles it; 0: not."""
    since_ns = 0
    for one in events:
        if isinstance(one, FeedGap) and one.instrument == number:
            since_ns = 0
        elif isinstance(one, FeedDown) or (
            isinstance(one, FeedDamaged) and one.in_doubt and one.instrument == number
        ):
            since_ns = since_ns or one.recv_ns
    return since_ns


def _check_bars(events: Sequence[Event], number: int, trades: Sequence[Trade]) -> None:
    bars = {
        one.start_ns: one
        for one in events
        if isinstance(one, BarClosed | BarCorrected) and one.instrument == number
    }
    complete = [bar for bar in bars.values() if not bar.incomplete]
    for bar in complete:
        own = [one for one in trades if bar.start_ns <= one.venue_ns < bar.start_ns + MINUTE_NS]
        assert own, "the market is busy"
        prices = [one.price for one in own]
        assert (bar.open, bar.high, bar.low, bar.close) == (prices[0], max(prices), min(prices), prices[-1])
        assert bar.volume == sum(one.size for one in own)
    assert bars, "windows end"


def books(events: Sequence[Event]) -> list[BookRead]:
    """Return the books of a day."""
    return [one for one in events if isinstance(one, BookRead)]


def losses(events: Sequence[Event]) -> int:
    """Return how often the feed was down."""
    return sum(isinstance(one, FeedDown) for one in events)
