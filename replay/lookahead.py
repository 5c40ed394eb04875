"""Whether a strategy's decisions depend on what came later: runs it again without that, and compares.

- Prefixes: the days end right after a decision; there is one more input, which lets due timers fire.
- Tables: tables by time in the modules of the project have at each input only the rows until its time.
- State outside of the strategy: the days run again in modules that have seen all of them, such as prices or
  resampled bars that an object of a module still holds.

Each run has modules of its own. What the strategy decides must be what it decided in the whole run.

Not found: a table whose rows have earlier times than their values were known at, such as bars by their start,
and what no table shows, such as parameters that were fitted to the days. Called by `engine check`.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Final

import msgspec

from engine.config import Config
from engine.errors import StrategyFailed
from engine.events import (
    CancelRequested,
    Event,
    InstrumentListed,
    LogWritten,
    ModifyRequested,
    OrderRequested,
    SessionStarted,
    SignalRaised,
    StopRequested,
    TargetSet,
    TrailRequested,
    engine_time,
)
from engine.events.codec import Derived, in_order
from engine.events.render import Renderer
from engine.guard import read_project
from engine.loading.modules import add_folder, own_modules
from engine.loading.strategies import load_strategy, make_builder
from replay.backtesting import DigestSink, run_backtest
from replay.ranges import WHOLE, Range
from replay.tables import GrowingTables

__all__ = ["CUTS", "FIRST", "Checked", "check_lookahead"]

CUTS: Final = 8
"""Prefixes by default, spread evenly over the decisions. Those of the first decisions come on top."""

FIRST: Final = 4
"""First decisions that have a prefix each: these are short."""

_DECISIONS: Final = (
    TargetSet,
    OrderRequested,
    ModifyRequested,
    CancelRequested,
    StopRequested,
    TrailRequested,
    SignalRaised,
    LogWritten,
)


class Checked(msgspec.Struct, frozen=True):
    """What was found. `cause` is "" if nothing was.

    Else `at_ns` is the time of the first decision found that differs, `seq` its record in the whole run (0 if
    that has none there), `decision` what the whole run decided and `other` what was decided without the later
    data, "" for nothing. `cause` is "later data", "later rows of a table" or "state outside"; `tables` are
    those with later rows.
    """

    decisions: int
    runs: int
    at_ns: int = 0
    seq: int = 0
    decision: str = ""
    other: str = ""
    cause: str = ""
    tables: tuple[str, ...] = ()


class _Decision(msgspec.Struct):
    """A decision: its record, what it says in plain values, its text, and when the next input came."""

    seq: int
    at_ns: int
    says: dict[str, object]
    text: str
    next_ns: int = 0


class _Seen:
    """Collects the decisions of a run."""

    def __init__(self) -> None:
        self.found: list[_Decision] = []
        self.session = ""
        self.first_ns = 0
        self._renderer = Renderer()
        self._open: list[_Decision] = []

    def append(self, first_seq: int, inputs: list[Event], derived: list[Derived], /) -> None:
        """Read a frame."""
        for seq, cause, event in in_order(first_seq, inputs, derived):
            if isinstance(event, _DECISIONS):
                says = self._renderer.as_json(0, 0, event)
                one = _Decision(seq, engine_time(event), says, self._renderer.as_text(seq, cause, event))
                self.found.append(one)
                self._open.append(one)
            elif isinstance(event, InstrumentListed):
                self._renderer.see(event)
            elif isinstance(event, SessionStarted):
                self.session = event.session
                self.first_ns = event.recv_ns
            if not cause and self._open:
                for waiting in self._open:
                    waiting.next_ns = engine_time(event)
                self._open.clear()


class _Check(msgspec.Struct):
    days: Sequence[Path]
    config: Config
    project: Path | None
    folders: Sequence[Path]
    session: str = ""
    runs: int = 0

    def run(self, within: Range = WHOLE, before: Callable[[int], None] | None = None) -> _Seen:
        """Run a part of the days in the modules of the block. `before` is called before each input."""
        seen = _Seen()
        report = run_backtest(
            self.days,
            make_builder(),
            self.config,
            DigestSink(),
            watch=[seen],
            within=within,
            session=self.session,
            before=before,
        )
        if report.failures:
            raise StrategyFailed(f"strategy failed: {report.failures[0]}; nothing can be checked after that")
        self.session = self.session or seen.session
        self.runs += 1
        return seen

    @contextmanager
    def modules(self) -> Iterator[None]:
        """Import the strategies again for a block."""
        with own_modules(self.project):
            for folder in self.folders:
                add_folder(folder)
            yield

    def prefix(self, whole: _Seen, at: int) -> Checked | None:
        """Compare the prefix that ends with a decision. Return the first difference."""
        last = whole.found[at]
        with self.modules():
            found = self.run(Range(0, max(last.at_ns, last.next_ns) + 1)).found
        return _difference(whole.found[: at + 1], found[: at + 1], "later data")

    def tables(self, whole: _Seen) -> Checked | None:
        """Compare the run whose tables grow. Return the first difference."""
        with self.modules():
            tables = GrowingTables(self._modules())
            if not tables.later(whole.first_ns):
                return None
            differs = _difference(whole.found, self.run(before=tables.reveal).found, "later rows of a table")
        return differs and msgspec.structs.replace(differs, tables=tables.later(differs.at_ns))

    def _modules(self) -> list[str]:
        """Import the strategies, and return the names of the modules of their projects."""
        names: dict[str, None] = {}
        for entry in self.config.strategies:
            load_strategy(entry.use)
            names |= dict.fromkeys(read_project(entry.use.partition(":")[0]).sources)
        return [name for name in names if name in sys.modules]


def check_lookahead(
    days: Sequence[Path],
    config: Config,
    *,
    project: Path | None = None,
    folders: Sequence[Path] = (),
    cuts: int = CUTS,
    progress: Callable[[int], None] | None = None,
) -> Checked:
    """Run the strategies on prefixes of the days and compare.

    `folders` are searched for strategies besides `project`. Raises what a backtest raises, StrategyFailed for
    a strategy that raises.
    """
    check = _Check(days, config, project, folders)
    with check.modules():
        whole = check.run()
        again = check.run()
    count = len(whole.found)
    found = check.tables(whole)
    for done, at in enumerate(_places(count, cuts)):
        if found is not None:
            break
        if progress is not None:
            progress(done)
        found = check.prefix(whole, at)
    found = found or _difference(whole.found, again.found, "state outside") or Checked(0, 0)
    return msgspec.structs.replace(found, decisions=count, runs=check.runs)


def _places(count: int, cuts: int) -> list[int]:
    """Return the decisions that end prefixes: the first ones, then evenly up to the last."""
    spread = {count * part // cuts - 1 for part in range(1, cuts + 1)}
    return sorted(at for at in {*range(FIRST), *spread} if 0 <= at < count)


def _difference(expected: Sequence[_Decision], found: Sequence[_Decision], cause: str) -> Checked | None:
    """Return the first difference, None if there is none."""
    for at in range(max(len(expected), len(found))):
        one, other = (events[at] if at < len(events) else None for events in (expected, found))
        if one is None or other is None or one.says != other.says:
            first = one or other
            assert first is not None
            return Checked(
                0,
                0,
                first.at_ns,
                0 if one is None else one.seq,
                "" if one is None else one.text,
                "" if other is None else other.text,
                cause,
            )
    return None
