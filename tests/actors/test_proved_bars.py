"""A bar is called complete only if it has all trades that the venue made in its window, at any delay.

The model is a venue that trades, and one connection for each instrument, whose messages are read at any later
time, or lost. Whatever is read when: every bar that is reported as complete equals the bar of the venue's own
trades, and no window stays open longer than `proof_ms` after its grace period.
"""

from __future__ import annotations

from collections import deque
from typing import Any, NamedTuple

from hypothesis import example, given
from hypothesis import strategies as st

from engine.actors import Aggregator
from engine.actors.bars import LAGGING
from engine.clock import SECOND_NS
from engine.config import BarsConfig
from engine.events import (
    BarClosed,
    BarCorrected,
    Event,
    FeedDamaged,
    FeedDown,
    FeedGap,
    FeedHeard,
    FeedUp,
    InstrumentListed,
    SessionStarted,
    Trade,
)
from engine.snapshot import state_classes
from engine.states import decode_state, encode_state
from tests.actors.harness import Harness, T
from tests.profiles import examples

SPANS = ("1s", "5s", "15s")
GRACE_NS, PROOF_NS = SECOND_NS, 5 * SECOND_NS
STEP_NS = SECOND_NS // 10
UP = FeedUp(T, "f", 4, proves=True)
STARTED = SessionStarted(T, "0" * 16, "paper", "1", "", "", (), "{}")


def harness_of(silence: str, spans: tuple[str, ...] = SPANS) -> Harness:
    names = {1: "A", 2: "B"}
    listed = {
        n: InstrumentListed(T, n, "sim", name, 2, 3, silence=silence, ids="sequence")
        for n, name in names.items()
    }
    return Harness(Aggregator(BarsConfig(spans, GRACE_NS // 10**6, proof_ms=PROOF_NS // 10**6)), listed)


class Pong(NamedTuple):
    """The answer to a ping that left at this time."""

    sent_ns: int


class World:
    """The venue, its two connections and the feed. `queues` hold what was sent and not read yet."""

    def __init__(self, silence: str) -> None:
        self.harness = harness_of(silence)
        self.now_ns = T
        self.trades: dict[int, list[Trade]] = {1: [], 2: []}
        self.queues: dict[int, deque[Trade | Pong]] = {1: deque(), 2: deque()}
        self.proved: dict[int, int] = {1: 0, 2: 0}
        self.last_ns: dict[int, int] = {1: T, 2: T}  # of the newest trade that was passed on
        self.passed: set[int | str] = set()
        self.down = 0  # the instrument whose connection is lost
        self.held = 0  # the instrument whose trades are held until its gap is known
        self.holes: dict[int, int] = {}  # where the unsettled doubt of an instrument begins
        self.number = 0
        self.checked = 0
        self.complete = 0
        self.send(UP)

    def send(self, *events: Event) -> None:
        for event in events:
            self.harness.send(event)
            self.check()

    def check(self) -> None:
        """Compare every bar that was called complete since the last check with the venue's trades."""
        for bar in self.harness.log[self.checked :]:
            if not isinstance(bar, BarClosed) or bar.incomplete:
                continue
            end_ns = bar.start_ns + bar.interval_ns
            own = [one for one in self.trades[bar.instrument] if bar.start_ns <= one.venue_ns < end_ns]
            assert bar.trades == len(own), (bar, own)
            assert int(bar.volume) == sum(one.size for one in own)
            if own:
                prices = [one.price for one in own]
                shown = (bar.open, bar.high, bar.low, bar.close)
                assert shown == (prices[0], max(prices), min(prices), prices[-1])
            self.complete += 1
        self.checked = len(self.harness.log)

    def trade(self, instrument: int, price: int) -> None:
        self.number += 1
        trade = Trade(0, self.now_ns, instrument, price, self.number, 1, self.number)
        self.trades[instrument].append(trade)
        if instrument != self.down:
            self.queues[instrument].append(trade)

    def ping(self, instrument: int) -> None:
        if instrument != self.down:
            self.queues[instrument].append(Pong(self.now_ns))

    def advance(self, steps: int) -> None:
        self.now_ns += steps * STEP_NS
        self.harness.advance(self.now_ns)
        self.check()
        self.check_bound()

    def read(self, instrument: int, count: int) -> None:
        """Read messages of a connection; trades may be held, and nothing after them proves anything then."""
        queue = self.queues[instrument]
        for _ in range(count):
            if not queue or (self.held == instrument and isinstance(queue[0], Trade)):
                return
            message = queue.popleft()
            if isinstance(message, Pong):
                self.proved[instrument] = max(self.proved[instrument], message.sent_ns)
                self.report()
            else:
                self.pass_on(message)

    def pass_on(self, trade: Trade) -> None:
        self.last_ns[trade.instrument] = max(self.last_ns[trade.instrument], trade.venue_ns)
        self.passed.add(trade.trade_id)
        fields = [getattr(trade, name) for name in trade.__struct_fields__[1:]]
        self.send(Trade(self.now_ns, *fields))

    def report(self) -> None:
        if not self.down:
            self.send(FeedHeard(self.now_ns, "f", self.now_ns, min(self.proved.values())))
            self.check_proved()

    def restart(self) -> None:
        """Restore the engine from what it stores at midnight."""
        before = self.harness
        after = harness_of(before.actor.instruments[1].silence)
        classes = state_classes(["engine.actors.bars", "engine.actors.aggregator"])
        after.actor.restore(decode_state(encode_state(before.actor.state(), "aggregator"), classes))
        after.log, after.timers, after.seq = before.log, before.timers, before.seq
        self.harness = after

    def lose(self, instrument: int) -> None:
        """Lose a connection and all that was not read of it."""
        if not self.down and not self.held and not self.holes:
            self.down = instrument
            self.queues[instrument].clear()
            self.send(FeedDown(self.now_ns, "f", "lost"))

    def restore(self) -> None:
        """Connect again. Trades of the new connection are held until it is known what was missed."""
        if self.down:
            self.held, self.down = self.down, 0
            self.proved[self.held] = 0
            other = 3 - self.held
            self.send(
                FeedUp(self.now_ns, "f", 4, proves=True),
                FeedGap(self.now_ns, "f", other, self.last_ns[other], self.now_ns, True),
            )

    def settle(self, recovered: bool) -> None:
        """Read the newest trades: all that was missed is among them, or nothing of it."""
        if not self.held:
            return
        number, self.held = self.held, 0
        from_ns = self.last_ns[number]
        known = self.passed | {one.trade_id for one in self.queues[number] if isinstance(one, Trade)}
        missed = self.missing(number, from_ns, known)
        closed = recovered or not missed
        self.send(FeedGap(self.now_ns, "f", number, from_ns, self.now_ns, closed))
        for trade in missed if recovered else ():
            self.pass_on(trade)

    def missing(self, instrument: int, from_ns: int, known: set[int | str]) -> list[Trade]:
        trades = self.trades[instrument]
        return [one for one in trades if one.trade_id not in known and one.venue_ns >= from_ns]

    def damage(self, instrument: int) -> None:
        """Lose the next trade of a connection, but nothing else."""
        queue = self.queues[instrument]
        if not self.down and not self.held and queue and isinstance(queue[0], Trade):
            queue.popleft()
            self.holes.setdefault(instrument, self.last_ns[instrument])
            self.send(FeedDamaged(self.now_ns, "f", "trades", instrument, "x", in_doubt=True))

    def forget(self, instrument: int) -> None:
        """Join the trades of a new session to the newest known one: it knows of no hole before that."""
        unread = {one.trade_id for one in self.queues[instrument] if isinstance(one, Trade)}
        from_ns = self.last_ns[instrument]
        if instrument in self.holes and not self.missing(instrument, from_ns, self.passed | unread):
            del self.holes[instrument]
            self.send(FeedGap(self.now_ns, "f", instrument, from_ns, self.now_ns, True))

    def mend(self, instrument: int) -> None:
        """Read the trades that are missing since the first damage."""
        from_ns = self.holes.pop(instrument, None)
        if from_ns is not None:
            unread = {one.trade_id for one in self.queues[instrument] if isinstance(one, Trade)}
            missed = self.missing(instrument, from_ns, self.passed | unread)
            self.send(FeedGap(self.now_ns, "f", instrument, from_ns, self.now_ns, True))
            for trade in missed:
                self.pass_on(trade)

    def check_bound(self) -> None:
        """No window is open for longer than the bound, however late its messages are."""
        actor = self.harness.actor
        assert isinstance(actor, Aggregator)
        for bar in actor._open.values():
            assert bar.end_ns + GRACE_NS + PROOF_NS > self.now_ns

    def check_proved(self) -> None:
        """Everything that is proved is closed once its grace period is over."""
        actor = self.harness.actor
        assert isinstance(actor, Aggregator)
        until_ns = min(*self.proved.values(), self.now_ns - GRACE_NS)
        for instrument, bar in actor._open.items():
            assert all(one.end_ns > until_ns for one in (*actor._markets[instrument].waiting, bar))


ACTIONS = st.one_of(
    st.tuples(st.just("advance"), st.sampled_from([1, 3, 7, 10, 11, 25, 80])),
    st.tuples(st.just("trade"), st.sampled_from([1, 1, 2]), st.integers(1, 9)),
    st.tuples(st.just("trade"), st.sampled_from([1, 1, 2]), st.integers(1, 9)),
    st.tuples(st.just("read"), st.sampled_from([1, 2]), st.integers(1, 6)),
    st.tuples(st.just("ping"), st.sampled_from([1, 2])),
    st.tuples(st.just("lose"), st.sampled_from([1, 2])),
    st.tuples(st.just("restore")),
    st.tuples(st.just("settle"), st.booleans()),
    st.tuples(st.sampled_from(["damage", "damage", "forget", "mend"]), st.sampled_from([1, 1, 2])),
    st.tuples(st.just("restart")),
)
PLANS = st.lists(ACTIONS, min_size=5, max_size=60)


def play(world: World, plan: list[tuple[Any, ...]]) -> World:
    for name, *args in plan:
        getattr(world, name)(*args)
    return world


def finish(world: World) -> World:
    """Deliver everything that is still under way, and prove it."""
    world.restore()
    world.settle(True)
    world.mend(1)
    world.mend(2)
    world.advance(10)
    for number in (1, 2):
        world.ping(number)
        world.read(number, 10_000)
    world.advance(200)
    for number in (1, 2):
        world.ping(number)
        world.read(number, 10_000)
    world.check_proved()
    return world


LOST = [
    *(("trade", 1, 1), ("read", 1, 1), ("trade", 1, 2), ("advance", 80), ("lose", 1)),
    *(("restore",), ("ping", 1), ("ping", 2), ("read", 1, 9), ("read", 2, 9), ("settle", False)),
]
"""The first bar closes without its second trade, which is then lost with the connection."""

FORGOTTEN = [
    *(("trade", 1, 1), ("read", 1, 1), ("advance", 3), ("trade", 1, 9), ("advance", 3), ("trade", 1, 2)),
    *(("damage", 1), ("read", 1, 1), ("forget", 1), ("advance", 25)),
]
"""A trade is damaged, and a gap that begins after it is closed."""

MENDED = [*FORGOTTEN[:-2], ("mend", 1), ("advance", 25)]


@examples(1)
@example(LOST, "flat")
@example(FORGOTTEN, "flat")
@example(FORGOTTEN, "none")
@given(PLANS, st.sampled_from(["flat", "none"]))
def test_every_bar_called_complete_has_all_trades_of_the_venue(
    plan: list[tuple[Any, ...]], silence: str
) -> None:
    world = finish(play(World(silence), plan))
    last = {(bar.instrument, bar.interval_ns, bar.start_ns): bar for bar in world.harness.all(BarClosed)}
    late = [bar for bar in last.values() if bar.because == LAGGING]
    assert not late, "a bar that lacked trades is emitted again once they are proved to be there"


def test_a_doubt_ends_with_the_gap_that_covers_it() -> None:
    for plan, incomplete in ((MENDED, False), (FORGOTTEN, True)):
        world = finish(play(World("flat"), plan))
        bars = {bar.start_ns: bar for bar in world.harness.all(BarClosed) if bar.interval_ns == SECOND_NS}
        assert bars[T].incomplete == incomplete
        assert not any(bar.incomplete for start_ns, bar in bars.items() if start_ns > T)


def trade(seconds: float, late_s: float = 0.0, instrument: int = 1) -> Trade:
    venue_ns = T + round(seconds * SECOND_NS)
    return Trade(venue_ns + round(late_s * SECOND_NS), venue_ns, instrument, 100, 5, 1, round(seconds * 1000))


def proof(seconds: float, proved_s: float | None = None) -> FeedHeard:
    at_ns = T + round(seconds * SECOND_NS)
    return FeedHeard(at_ns, "f", at_ns, T + round((seconds if proved_s is None else proved_s) * SECOND_NS))


def begun(spans: str = "1s") -> Harness:
    """Return an aggregator whose first window is over and proved."""
    harness = harness_of("flat", tuple(spans.split()))
    harness.send(UP, trade(0), proof(1.1))
    harness.advance(T + 2 * SECOND_NS)
    assert [bar.incomplete for bar in harness.all(BarClosed)][:1] == [False]
    harness.log.clear()
    return harness


def shown(events: list[Any]) -> list[tuple[int, bool, int, str]]:
    """Return second of the window, whether it is complete, trades, and what closed each bar."""
    return [
        ((bar.start_ns - T) // SECOND_NS, not bar.incomplete, bar.trades, bar.closed_by)
        for bar in events
        if isinstance(bar, BarClosed)
    ]


def test_a_bar_of_a_proved_window_closes_at_the_end_of_its_grace_period() -> None:
    harness = begun()
    harness.send(trade(1.5), proof(2.05))
    assert not harness.log
    assert shown(harness.advance(T + 3 * SECOND_NS)) == [(1, True, 1, "timer")]
    assert harness.all(BarClosed)[0].at_ns == T + 3 * SECOND_NS


def test_a_bar_waits_for_its_proof_and_closes_with_it() -> None:
    harness = begun()
    harness.send(trade(1.5))
    assert harness.advance(T + 4 * SECOND_NS) == []
    harness.send(trade(1.7, late_s=2.4))
    assert shown(harness.send(proof(4.2, 2.0))) == [(1, True, 2, "proof")]
    assert harness.all(BarCorrected) == []


def test_a_later_trade_is_no_proof() -> None:
    """It may have been read over HTTP, ahead of trades that a late connection is still to deliver."""
    harness = begun()
    harness.send(trade(1.5), trade(2.1, late_s=1.5), trade(3.9))
    assert harness.advance(T + 5 * SECOND_NS) == []
    harness.send(trade(1.7, late_s=3.4))
    assert shown(harness.send(proof(5.2, 2.0))) == [(1, True, 2, "proof")]


def test_a_later_trade_closes_a_bar_at_once_if_that_is_configured() -> None:
    listed = {1: InstrumentListed(T, 1, "sim", "A", 2, 3)}
    harness = Harness(Aggregator(BarsConfig(("1s",), 1000, "trade")), listed)
    harness.send(UP, trade(0), trade(1.5))
    assert shown(harness.log) == [(0, True, 1, "trade")]
    assert harness.send(trade(31.0, late_s=-29.0)) == [], "unless that trade is of the future"


def test_a_trade_of_the_future_proves_nothing() -> None:
    harness = begun()
    harness.send(trade(1.5), trade(31.0, late_s=-29.0))
    assert harness.advance(T + 4 * SECOND_NS) == []
    harness.send(trade(1.8, late_s=2.3))
    assert shown(harness.send(proof(4.2, 2.1))) == [(1, True, 2, "proof")]


def test_a_trade_stamped_far_ahead_stops_no_bars() -> None:
    """It counted every window until its time as over and silent, and the trades in them as late."""
    harness = begun()
    harness.send(trade(1.5), trade(3000.0, late_s=-2998.4))
    for second in range(1, 40):
        harness.send(trade(second + 0.6), proof(second + 1.05))
        [bar] = [one for one in harness.advance(T + (second + 2) * SECOND_NS) if isinstance(one, BarClosed)]
        assert shown([bar]) == [(second, True, 2 if second == 1 else 1, "timer")]
    assert not harness.all(BarCorrected)


def test_a_bar_without_proof_closes_as_lagging_and_is_corrected_once() -> None:
    harness = begun("1s 5s")
    harness.send(trade(1.5))
    bars = harness.advance(T + 2 * SECOND_NS + GRACE_NS + PROOF_NS)
    assert shown(bars) == [(1, False, 1, "timer")]
    assert bars[0].because == LAGGING
    late = [trade(1.6 + number / 100, late_s=7.0) for number in range(20)]
    assert harness.send(*late) == [], "a correction for each of them would help nobody"
    corrected = harness.send(proof(8.9, 2.2))
    assert shown(corrected) == [(1, True, 21, "proof")]
    assert [bar.revision for bar in corrected] == [1]


def test_longer_bars_follow_the_shorter_ones() -> None:
    harness = begun("1s 5s")
    harness.send(trade(4.5))
    harness.advance(T + 20 * SECOND_NS)
    longer = [bar for bar in harness.all(BarClosed) if bar.interval_ns == 5 * SECOND_NS]
    assert [(bar.because, bar.trades) for bar in longer] == [(LAGGING, 2), (LAGGING, 0)]
    harness.send(trade(4.8, late_s=16.0), proof(21.0, 8.0))
    longer = [bar for bar in harness.all(BarCorrected) if bar.interval_ns == 5 * SECOND_NS]
    assert [(bar.because, bar.trades) for bar in longer] == [("", 3)]
    harness.send(proof(21.5, 10.0))
    assert harness.all(BarCorrected)[-1].start_ns == T + 5 * SECOND_NS


def test_the_windows_of_a_feed_that_is_down_do_not_wait() -> None:
    harness = begun()
    harness.send(trade(1.5))
    harness.advance(T + 5 * SECOND_NS)
    assert harness.log == []
    bars = harness.send(FeedDown(T + 5 * SECOND_NS, "f", "lost"))
    assert shown(bars) == [(1, False, 1, "timer"), (2, False, 0, "timer"), (3, False, 0, "timer")]


def test_an_earlier_feed_or_one_of_files_proves_nothing_and_its_bars_close_as_before() -> None:
    harness = harness_of("flat", ("1s",))
    harness.send(FeedUp(T, "f", 4), trade(0), trade(1.5))
    assert shown(harness.advance(T + 3 * SECOND_NS)) == [(0, True, 1, "timer"), (1, True, 1, "timer")]


def test_bars_wait_no_longer_for_a_feed_that_has_ended() -> None:
    """A backtest of a recorded day and an imported one."""
    harness = begun()
    harness.send(trade(1.5))
    harness.advance(T + 9 * SECOND_NS)
    assert harness.all(BarClosed)[-1].incomplete
    corrected = harness.send(FeedUp(T + 9 * SECOND_NS, "f", 0))
    assert not any(bar.incomplete for bar in corrected)
    harness.send(trade(9.5))
    assert shown(harness.advance(T + 11 * SECOND_NS))[-1] == (9, True, 1, "timer")
