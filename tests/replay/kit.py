"""Sessions in memory: market data, a sink that keeps frames, and the history of a journal."""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from hypothesis import strategies as st

from engine.clock import DAY_NS, SECOND_NS, day_start_ns
from engine.config import BarsConfig, Config, PaperConfig, RiskConfig, StrategyConfig
from engine.events import (
    Candle,
    ClockAdvanced,
    Event,
    FeedDown,
    FeedGap,
    FeedUp,
    InstrumentListed,
    OperatorCommand,
    Quote,
    SessionStarted,
    SessionStopped,
    Trade,
)
from engine.events.codec import Derived, Record, encode_derived, in_order
from engine.journal import Draft, Frame, JournalWriter, Tail, ensure_identity
from engine.ports import Sink
from engine.records import draft_of
from engine.sequencer import Sequencer
from replay.backtesting import JournalSink
from replay.verification import DayReplay
from tests.strategies.fakes import builder

DAY = "2024-12-05"
NOON = day_start_ns(DAY) + 12 * 3600 * SECOND_NS
EVE = day_start_ns(DAY) + DAY_NS - 8 * SECOND_NS
MS = 1_000_000
JOURNAL_ID = bytes(range(16))

AAA, BBB = 1, 2
NAMES = {AAA: "AAA", BBB: "BBB"}


def listings(at_ns: int) -> list[Event]:
    """Return the two instruments of the market data: one with significant figures and decimals."""
    return [
        InstrumentListed(at_ns, AAA, "sim", "AAA", 4, 3, price_figures=5),
        InstrumentListed(at_ns, BBB, "sim", "BBB", 2, 1),
    ]


class Memory:
    """A sink that keeps frames in memory. It is a `History` as well."""

    def __init__(self) -> None:
        self.day = ""
        self.days: list[str] = []
        self.frames: list[tuple[str, int, list[Event], list[Derived]]] = []

    def open_day(self, day: str) -> None:
        self.day = day
        self.days.append(day)

    def append(self, first_seq: int, inputs: list[Event], derived: list[Derived]) -> None:
        self.frames.append((self.day, first_seq, list(inputs), list(derived)))

    def all(self, day: str | None = None) -> list[Record]:
        """Return every record by rising seq, of one day if given."""
        found: list[Record] = []
        for name, first_seq, inputs, derived in self.frames:
            if day in (None, name):
                found += in_order(first_seq, inputs, derived)
        return found

    def records(self, day: str, until_seq: int) -> Iterator[Record]:
        """See `engine.ports.History`."""
        return (record for record in self.all(day) if record[0] <= until_seq)

    def events(self, *types: type[Event]) -> list[Any]:
        """Return the events of these types, in order."""
        return [event for _, _, event in self.all() if isinstance(event, types)]

    def bytes(self) -> bytes:
        """Return every record with its seq, cause and day as bytes, to compare two runs."""
        return b"".join(day.encode() + encode_derived(self.all(day)) for day in dict.fromkeys(self.days))

    def day_frames(self, day: str) -> list[Frame]:
        """Return the frames of a day as a journal reader yields them."""
        return [
            frame_of(draft_of(first_seq, inputs, derived))
            for name, first_seq, inputs, derived in self.frames
            if name == day
        ]


def frame_of(draft: Draft) -> Frame:
    """Return a draft as a frame that is read back."""
    return Frame(
        draft.first_seq, draft.count, draft.flags, draft.inputs, draft.derived, bytes(32), "memory", 0
    )


def config_of(
    *strategies: StrategyConfig,
    intervals: tuple[str, ...] = ("1s", "5s"),
    close: str = "grace",
    activity: tuple[str, ...] = (),
    **paper: Any,
) -> Config:
    """Return a configuration with short bars and low latency."""
    return Config(
        strategies=strategies,
        bars=BarsConfig(intervals, grace_ms=300, close=close, activity=activity),
        risk=RiskConfig(max_orders_per_minute=30),
        paper=PaperConfig(**{"latency_ms": 40, **paper}),
    )


def use(cls: str, /, **entry: Any) -> StrategyConfig:
    """Return an entry of `strategies` for a class of `tests.strategies.fakes`."""
    return StrategyConfig(use=f"fakes:{cls}", **entry)


BUSY = config_of(use("Busy"), use("Crossover", params={"fast": 2, "slow": 3, "interval": "1s"}))


def opening(config: Config, at_ns: int, session: str = "00000000000000aa") -> list[Event]:
    """Return the inputs that open a session: its start, and the instruments."""
    started: SessionStarted = builder().start(recv_ns=at_ns, session=session, mode="paper", config=config)
    return [started, *listings(at_ns)]


def run(inputs: Sequence[Event], cuts: Sequence[int] = (), sink: Sink | None = None) -> Memory:
    """Run inputs through a new sequencer, cut into batches before these indexes; return what it wrote."""
    memory = Memory() if sink is None else sink
    assert isinstance(memory, Memory)
    sequencer = Sequencer(builder(), memory, memory)
    for batch in batches(inputs, cuts):
        sequencer.run(batch)
    return memory


def batches(inputs: Sequence[Event], cuts: Sequence[int]) -> list[list[Event]]:
    """Return the inputs, cut before these indexes. An operator's command is alone, as in a live session."""
    edges = {0, len(inputs), *(cut for cut in cuts if 0 < cut < len(inputs))}
    for index, event in enumerate(inputs):
        if isinstance(event, OperatorCommand):
            edges |= {index, index + 1}
    order = sorted(edges)
    return [list(inputs[a:b]) for a, b in itertools.pairwise(order) if a < b]


def assert_replays_alone(memory: Memory, day: str, history: Memory | None = None) -> None:
    """Replay one day from its own frames. Raises ReplayDivergence at the first difference."""
    replay = DayReplay(builder(), history or memory)
    for frame in memory.day_frames(day):
        replay.feed(frame)


def write_journal(root: Path, batches_: Sequence[list[Event]]) -> str:
    """Run batches into a journal on disk; return the digest of its chain, in hex."""
    root.mkdir(parents=True, exist_ok=True)
    tail = Tail(journal_id=ensure_identity(root, JOURNAL_ID))
    sink = JournalSink(JournalWriter(root, tail, salts=lambda: b"s" * 16, sync=False))
    sequencer = Sequencer(builder(), sink)
    for batch in batches_:
        sequencer.run(batch)
    sink.close()
    return sink.digest.hex()


# Market data.

GAPS_MS = (0, 1, 30, 40, 250, 700, 1000, 2500, 6000)

steps = st.tuples(
    st.sampled_from(GAPS_MS),
    st.sampled_from("ttttttttqqcldug-"),
    st.sampled_from((AAA, AAA, BBB)),
    st.integers(-40, 40),
    st.integers(1, 3000),
)


def market(plan: Sequence[tuple[int, str, int, int, int]], at_ns: int) -> list[Event]:
    """Return market data from steps of (gap in ms, kind, instrument, price move, size)."""
    events: list[Event] = []
    prices = {AAA: 123_450, BBB: 9_900}
    now = at_ns
    for number, (gap_ms, kind, instrument, move, size) in enumerate(plan):
        now += gap_ms * MS
        price = prices[instrument] = max(10, prices[instrument] + move * 10)
        if kind == "t":
            side = 1 if move > 0 else -1
            events.append(Trade(now, now - 5 * MS, instrument, price, size, side, number + 1))
        elif kind == "l":
            events.append(Trade(now, now - 1500 * MS, instrument, price, size, 0, number + 1))
        elif kind == "q":
            ask = 0 if size % 17 == 0 else price + 20
            bid = 0 if size % 19 == 0 else price - 20
            events.append(
                Quote(now, now - 5 * MS, instrument, bid, size if bid else 0, ask, size if ask else 0)
            )
        elif kind == "c":
            events.append(ClockAdvanced(now))
        elif kind == "d":
            events.append(FeedDown(now, "sim", "test"))
        elif kind == "u":
            events.append(FeedUp(now, "sim", 2))
        elif kind == "g":
            events.append(FeedGap(now, "sim", instrument, now - 3000 * MS, now, bool(size % 2)))
        else:  # the clock steps back
            events.append(Trade(now - 800 * MS, now - 5 * MS, instrument, price, size, 1, number + 1))
    return events


markets = st.lists(steps, min_size=5, max_size=60)


def steady(count: int, at_ns: int, *, gap_ms: int = 90, seed: int = 7) -> list[Event]:
    """Return longer, deterministic market data: prices move so that averages cross and limit orders fill."""
    events: list[Event] = []
    state = seed
    prices = {AAA: 123_450, BBB: 9_900}
    for number in range(count):
        state = (state * 6364136223846793005 + 1442695040888963407) % 2**64
        pull = 1 if (number // 60) % 2 else -1
        instrument = BBB if state >> 33 & 3 == 0 else AAA
        prices[instrument] += ((state >> 40) % 9 - 4 + pull) * 10
        at = at_ns + number * gap_ms * MS
        size = (state >> 20) % 900 + 1
        events.append(Trade(at, at - 3 * MS, instrument, prices[instrument], size, pull, number + 1))
    return events


def candles(count: int, at_ns: int, interval_ns: int, instrument: int = AAA) -> list[Event]:
    """Return consecutive candles of one interval, each received at its end."""
    events: list[Event] = []
    price = 123_450
    for number in range(count):
        start = at_ns + number * interval_ns
        end = start + interval_ns
        swing = (number * 37 % 11 - 5) * 30
        close = price + swing
        high, low = max(price, close) + 20, min(price, close) - 20
        events.append(
            Candle(end, end, instrument, interval_ns, start, price, high, low, close, 5 + number, 3)
        )
        price = close
    return events


def stopped(at_ns: int) -> SessionStopped:
    """Return the end of a session."""
    return SessionStopped(at_ns, "00000000000000aa", "test")
