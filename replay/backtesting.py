"""Runs recorded market inputs through another strategy or configuration, with the same sequencer and actors.

Takes the market inputs of the days (instruments, trades, quotes, candles, books, marks, funding rates, the
state of feeds; see `replay.joining`), opens a new session, and writes all records into a sink: a new journal,
or one that keeps only the digest. The same inputs, strategy and configuration give the same digest, on every
machine. Called by `replay.runs`.
"""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any, Final, Protocol

import msgspec

from engine.actors import SimulatedVenue
from engine.analysis.collecting import Collector
from engine.analysis.report import Report, report_of
from engine.analysis.shapes import ReportSettings
from engine.clock import day_start_ns, iso_text
from engine.config import Config
from engine.config.naming import resolve_names
from engine.config.simulated import SimulatedConfig
from engine.errors import UsageError
from engine.events import (
    ActivityBarClosed,
    BarClosed,
    Candle,
    ContextRead,
    DepthExceeded,
    EngineHalted,
    EquityMarked,
    Event,
    FundingRead,
    InstrumentListed,
    LiquidationRead,
    MarketHalted,
    OrderFilled,
    OrderRefused,
    PositionChanged,
    PriceMarked,
    Quote,
    SessionStopped,
    SubmitOrder,
    Trade,
    engine_time,
)
from engine.events.codec import Derived, encode_inputs
from engine.instruments import Instruments, entry_of, is_among
from engine.journal import DISK, ZERO_DIGEST, Disk, Draft, JournalWriter
from engine.journal.frame import chained_digest
from engine.records import draft_of
from engine.sequencer import Sequencer
from engine.session import SessionBuilder
from engine.strategies.needs import resolve_markets
from engine.values import format_interval, format_scaled, side_name
from replay.coverage import check_data, missing_bars
from replay.days import PRICES
from replay.delays import delayed
from replay.joining import JoinedDays
from replay.measuring import with_recorded
from replay.ranges import WHOLE, Range
from replay.rates import Rates
from replay.seams import Windows, with_seams
from replay.warmups import warmup_note

__all__ = [
    "BacktestReport",
    "DigestSink",
    "JournalSink",
    "Progress",
    "Watcher",
    "report_settings",
    "run_backtest",
]


_PLAYED: Final = (*PRICES, ContextRead, LiquidationRead)
"""The inputs without which there is nothing to play: a strategy can act on each."""


class Watcher(Protocol):
    """Sees every frame of a run, such as what collects the charts of its report."""

    def append(self, first_seq: int, inputs: list[Event], derived: list[Derived], /) -> None:
        """Read a frame, in journal order."""


Progress = Callable[[int], None]
"""Called at intervals with the number of inputs processed."""


class DigestSink:
    """Keeps only the digest chain: a backtest that is not written as a journal."""

    def __init__(self) -> None:
        self.digest = ZERO_DIGEST
        self.day = ""

    def open_day(self, day: str) -> None:
        """See `engine.ports.Sink`."""
        self.day = day

    def append(self, first_seq: int, inputs: list[Event], derived: list[Derived]) -> None:
        """See `engine.ports.Sink`."""
        self.write(draft_of(first_seq, inputs, derived))

    def write(self, draft: Draft) -> None:
        """Add a frame."""
        self.digest = chained_digest(self.digest, draft)

    def close(self) -> None:
        """Nothing to do."""


class JournalSink(DigestSink):
    """Writes a new journal. Synced only when closed, since no order depends on it."""

    def __init__(self, writer: JournalWriter) -> None:
        super().__init__()
        self._writer = writer

    def write(self, draft: Draft) -> None:
        """Add a frame to the day that is open."""
        self.digest = self._writer.append(draft, day_start_ns(self.day))

    def close(self) -> None:
        """Sync and close the journal."""
        self._writer.close()


class Beyond(msgspec.Struct):
    """What orders in an instrument wanted beyond the shown levels, and were given there, in base units."""

    orders: int = 0
    wanted: str = "0"
    filled: str = "0"


class Simulated(msgspec.Struct):
    """How the venue was simulated with `[simulated]`: latencies, the queue model, and depth that was lacking.

    The latencies are as in the configuration, `recorded` ones as measured. `beyond` is by instrument.
    """

    order_ms: str
    answer_ms: str
    feed_ms: str
    queue: str
    beyond_bps: str
    beyond: dict[str, Beyond]


class BacktestReport(msgspec.Struct):
    """The result. Money is exact decimal text in quote currency.

    equity = cash + realized_pnl + unrealized_pnl - fees + funding. `max_drawdown` is the largest fall of
    equity below its highest value, which begins with the cash. `first` and `last` are UTC nanoseconds: when
    the period begins and the time of the last input. `begin` and `end` are the range that was asked for, 0 if
    none was, and `warmup_ns` is how long before `begin` strategies warmed up; counts are of all that was
    read.
    `refusals` counts refusals by the limit that refused. `failures` are the strategies that raised, with the
    seq of the event and where. `notes` are lines for people, such as a halt, a strategy that got no bar of
    its interval, or an amount that is not in these numbers because no price is known for it. `analysis` has
    the metrics, round trips and drawdowns. `simulated` is None without that section of the configuration.
    """

    digest: str = ""
    trades: int = 0
    quotes: int = 0
    candles: int = 0
    bars: int = 0
    orders: int = 0
    refused: int = 0
    fills: int = 0
    cash: str = "0"
    fees: str = "0"
    realized_pnl: str = "0"
    unrealized_pnl: str = "0"
    equity: str = "0"
    max_drawdown: str = "0"
    positions: dict[str, dict[str, str]] = {}
    first: int = 0
    last: int = 0
    events: int = 0
    failures: list[str] = []
    refusals: dict[str, int] = {}
    notes: list[str] = []
    funding: str = "0"
    funding_rates: int = 0
    analysis: Report = msgspec.field(default_factory=Report)
    begin: int = 0
    end: int = 0
    warmup_ns: int = 0
    simulated: Simulated | None = None


class _Tally:
    """Counts events for the report and passes everything to another sink."""

    def __init__(
        self,
        sink: DigestSink,
        report: BacktestReport,
        instruments: Instruments,
        watchers: Sequence[Watcher],
    ) -> None:
        self._sink = sink
        self._watchers = watchers
        self._report = report
        self.instruments = instruments
        self.equity: EquityMarked | None = None
        self.positions: dict[tuple[str, int], PositionChanged] = {}
        self.marks: dict[int, int] = {}
        self.bars: set[tuple[int, int | str]] = set()
        self.halts: list[EngineHalted | MarketHalted] = []
        self.beyond: dict[int, list[int]] = {}  # orders, wanted, filled, by instrument
        self.collector = Collector()
        self._handlers: dict[type[Event], Callable[[Any], None]] = {
            BarClosed: self._bar,
            ActivityBarClosed: self._activity_bar,
            SubmitOrder: self._order,
            OrderRefused: self._refused,
            OrderFilled: self._filled,
            EquityMarked: self._marked,
            PositionChanged: self._position,
            PriceMarked: self._price,
            EngineHalted: self.halts.append,
            MarketHalted: self.halts.append,
            DepthExceeded: self._depth,
        }

    def open_day(self, day: str) -> None:
        self._sink.open_day(day)

    def append(self, first_seq: int, inputs: list[Event], derived: list[Derived]) -> None:
        self._sink.append(first_seq, inputs, derived)
        self.collector.append(first_seq, inputs, derived)
        for watcher in self._watchers:
            watcher.append(first_seq, inputs, derived)
        report = self._report
        report.events += len(inputs) + len(derived)
        handlers = self._handlers
        for _, _, event in derived:
            handler = handlers.get(event.__class__)
            if handler is not None:
                handler(event)

    def _bar(self, bar: BarClosed) -> None:
        self._report.bars += 1
        self.bars.add((bar.instrument, bar.interval_ns))

    def _activity_bar(self, bar: ActivityBarClosed) -> None:
        self.bars.add((bar.instrument, bar.kind))

    def _order(self, _: SubmitOrder) -> None:
        self._report.orders += 1

    def _refused(self, refused: OrderRefused) -> None:
        report = self._report
        report.refused += 1
        report.refusals[refused.limit] = report.refusals.get(refused.limit, 0) + 1

    def _filled(self, _: OrderFilled) -> None:
        self._report.fills += 1

    def _marked(self, marked: EquityMarked) -> None:
        self.equity = marked

    def _position(self, changed: PositionChanged) -> None:
        self.positions[changed.strategy, changed.instrument] = changed

    def _price(self, marked: PriceMarked) -> None:
        self.marks[marked.instrument] = marked.price

    def _depth(self, exceeded: DepthExceeded) -> None:
        sums = self.beyond.setdefault(exceeded.instrument, [0, 0, 0])
        for at, value in enumerate((1, exceeded.size, exceeded.filled)):
            sums[at] += value


def run_backtest(
    folders: Sequence[Path],
    builder: SessionBuilder,
    config: Config,
    sink: DigestSink,
    *,
    progress: Progress | None = None,
    watch: Sequence[Watcher] = (),
    within: Range = WHOLE,
    windows: Windows = (),
    session: str = "",
    before: Callable[[int], None] | None = None,
    disk: Disk = DISK,
) -> BacktestReport:
    """Run the days by date through one session and return the result. Closes the sink.

    Each of `watch` sees every frame. If the configuration names instruments, only their inputs are used, and
    of those the ones in the range `within`. The days may be of several journals (see `replay.joining`);
    `disk` is where they are read. `windows` are those of `SessionStarted`: at the end of each the positions
    of its strategy are closed, as an input of the run. `session` is the id of the session, by default one of
    the configuration, the inputs and the range. `before` is called with the time of each input before it is
    played.

    Raises UsageError for days that do not fit together, have nothing to play or lack a configured instrument,
    JournalDamaged for a day that cannot be read.
    """
    report = BacktestReport(begin=within.begin_ns, end=within.end_ns, warmup_ns=within.warmup_ns)
    sequencer: Sequencer
    tally = _Tally(sink, report, Instruments(), watch)
    sequencer = Sequencer(builder, tally)
    tally.instruments = sequencer.instruments
    days = JoinedDays(folders, plays_history=True, within=within, disk=disk)
    config = resolve_names(config, days.instruments)
    config = resolve_markets(config, builder.needs(config), days.instruments)
    config = with_recorded(config, days.folders)
    needs = builder.needs(config)
    left_out = _left_out(days.instruments, config)
    _refuse_empty(folders, days.batches(left_out), within)
    check_data(days.batches(left_out), needs, config)
    batches = days.batches(left_out)
    if isinstance(config.simulated, SimulatedConfig) and config.simulated.feed_ms:
        batches = delayed(batches, config.simulated.latency("feed_ms"), config.seed)
    batches = with_seams(batches, windows)  # at their own times, whatever the feed takes
    if before is not None:
        batches = _one_by_one(batches, before)
    first = next(batches)
    report.first = report.last = max(engine_time(first[0]), within.begin_ns)
    started = builder.start(
        recv_ns=engine_time(first[0]),
        session=session
        or _session_name(config, days.content if within.whole else encode_inputs(first), within),
        mode="backtest",
        config=config,
        begin_ns=within.begin_ns,
        end_ns=within.end_ns,
        windows=windows,
    )
    sequencer.run([started])
    played, priced, rates = 0, False, Rates()
    batch: list[Event] | None = first
    while batch is not None:
        kinds = Counter(map(type, batch))
        report.trades += kinds[Trade]
        report.quotes += kinds[Quote]
        report.candles += kinds[Candle]
        priced = priced or not kinds.keys().isdisjoint(PRICES)
        if kinds[FundingRead]:
            report.funding_rates += kinds[FundingRead]
            rates.add(batch)
        report.last = max(report.last, engine_time(batch[-1]))
        played += len(batch)
        sequencer.run(batch)
        if progress is not None:
            progress(played)
        batch = next(batches, None)
    stop_ns = max(report.last, sequencer.now_ns)
    sequencer.run([SessionStopped(stop_ns, started.session, "end of data")])
    sink.close()
    _fill_in(report, tally, config, sequencer)
    tally.collector.finish()
    report.digest = sink.digest.hex()
    report.analysis = report_of(tally.collector, digest=report.digest, settings=report_settings(config))
    report.failures = list(sequencer.failures)
    if isinstance(config.simulated, SimulatedConfig):
        report.simulated = _simulated(config.simulated, tally)
        report.notes += [
            f"{label}: beyond the shown levels {one.wanted} was wanted and {one.filled} filled "
            f"(orders: {one.orders:,})"
            for label, one in report.simulated.beyond.items()
        ]
    seen = {
        (sequencer.instruments[number].key, kind if isinstance(kind, str) else format_interval(kind))
        for number, kind in tally.bars
    }
    strategies = [sequencer.actor(entry.title) for entry in config.strategies]
    if not priced:
        report.notes.append("the data has no trades, quotes, candles or books: no order could fill")
    report.notes += warmup_note(within, engine_time(first[0]))
    report.notes += [note for number, note in days.history.notes.items() if number not in left_out]
    report.notes += missing_bars(strategies, needs, seen)
    venue = sequencer.actor("venue")
    assert isinstance(venue, SimulatedVenue), "a backtest trades on paper"
    report.notes += [
        f"the funding of {market} is left out: the data has no rates"
        for market in venue.funding.without_rates()
    ]
    report.notes += rates.notes(report.first, report.last, venue.markets, sequencer.instruments)
    report.notes += [_halt_note(halted, sequencer.instruments) for halted in tally.halts]
    return report


def report_settings(config: Config) -> ReportSettings:
    """Return what the ratios of a year assume, as configured."""
    return ReportSettings(config.report.annualise, float(config.report.risk_free_percent))


def _simulated(config: SimulatedConfig, tally: _Tally) -> Simulated:
    beyond = {}
    for number, (orders, wanted, filled) in tally.beyond.items():
        scale = tally.instruments[number].size_scale
        texts = (format_scaled(value, scale) for value in (wanted, filled))
        beyond[tally.instruments.label(number)] = Beyond(orders, *texts)
    return Simulated(
        config.order_ms, config.answer_ms, config.feed_ms, config.queue, config.beyond_bps, beyond
    )


def _one_by_one(batches: Iterator[list[Event]], before: Callable[[int], None]) -> Iterator[list[Event]]:
    for batch in batches:
        for event in batch:
            before(engine_time(event))
            yield [event]


def _halt_note(halted: EngineHalted | MarketHalted, instruments: Instruments) -> str:
    what = instruments.label(halted.instrument) if isinstance(halted, MarketHalted) else "the engine"
    return f"{what} halted at {iso_text(halted.at_ns)[:19]}: {halted.reason}; nothing was opened after that"


def _left_out(instruments: Sequence[InstrumentListed], config: Config) -> frozenset[int]:
    """Return the numbers of the instruments that the configuration does not name; none if it names none."""
    if not config.instruments:
        return frozenset()
    return frozenset(one.instrument for one in instruments if not is_among(one, config.instruments))


def _refuse_empty(folders: Sequence[Path], batches: Iterator[list[Event]], within: Range) -> None:
    """Raise UsageError if there is nothing to play."""
    begin_ns = within.begin_ns
    played = (event for batch in batches for event in batch if isinstance(event, _PLAYED))
    if not any(not begin_ns or engine_time(event) >= begin_ns for event in played):
        names = f"{folders[0]}" if len(folders) == 1 else f"{folders[0]} and {len(folders) - 1} more days"
        if not within.whole:
            raise UsageError(
                f"{names}: no trades, quotes, candles, books, contexts or liquidations of the session's "
                f"instruments in the range {within.text()}; change begin or end"
            )
        raise UsageError(
            f"{names}: no trades, quotes, candles, books, contexts or liquidations of the session's "
            "instruments, so there is nothing to play; import some, or fetch history with `engine backfill`"
        )


def _session_name(config: Config, content: bytes, within: Range) -> str:
    """Return the session's id: a digest of the configuration, of how days or range begin, and of the range.

    The names of the folders do not matter, so that runs of the same data have the same digest everywhere.
    """
    span = b"" if within == WHOLE else repr(msgspec.structs.astuple(within)).encode()
    return hashlib.blake2b(config.canonical().encode() + content + span, digest_size=8).hexdigest()


def _assumed(listed: InstrumentListed, label: str, config: Config) -> str:
    """Return what is assumed of an instrument whose source states no trading rules."""
    held = "bought with cash, not sold short"
    if listed.rules.on_margin:
        leverage = entry_of(config.account.leverage, listed, listed.rules.leverage)
        held = f"long and short on margin, leverage {leverage}"
    return f"{label}: its data states no trading rules; assumed: {listed.kind}, {held}"


def _fill_in(report: BacktestReport, tally: _Tally, config: Config, sequencer: Sequencer) -> None:
    report.cash = report.equity = config.account.cash
    report.notes += [
        _assumed(one, sequencer.instruments.label(one.instrument), config)
        for one in sequencer.instruments.values()
        if not one.rules.stated
    ]
    if tally.equity is not None:
        scale = tally.equity.scale
        report.fees = format_scaled(tally.equity.fees, scale)
        report.realized_pnl = format_scaled(tally.equity.realized, scale)
        report.unrealized_pnl = format_scaled(tally.equity.unrealized, scale)
        report.equity = format_scaled(tally.equity.equity, scale)
        report.funding = format_scaled(tally.equity.funding, scale)
        report.notes += [
            f"{amount} {asset} is not counted: account.prices has no price for it"
            for asset, amount in tally.equity.unvalued
        ]
        report.max_drawdown = format_scaled(tally.collector.drawdowns.most, scale)
    for (strategy, instrument), position in tally.positions.items():
        listed = sequencer.instruments[instrument]
        report.positions[f"{strategy} {sequencer.instruments.label(instrument)}"] = {
            "side": side_name((position.size > 0) - (position.size < 0)),
            "size": format_scaled(position.size, listed.size_scale),
            "cost": format_scaled(position.cost, listed.money_scale + position.finer),
            "mark": format_scaled(tally.marks.get(instrument, 0), listed.price_scale),
        }
