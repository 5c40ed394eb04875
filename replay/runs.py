"""Replays and backtests as single calls, from folders of recorded days to a result.

Each call imports its own copies of the modules of its strategies (see `engine.loading.modules`), so that
calls in one process cannot affect each other. Called by the command line and by programs, as `replay.verify`
and `replay.backtest`.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path

import msgspec

from engine.actors import Actor
from engine.clock import SystemIds
from engine.config import Config
from engine.errors import UsageError
from engine.events import SessionStarted
from engine.journal import JournalLock, JournalWriter, Tail, ensure_identity, list_days, make_root
from engine.loading.fingerprint import code_fingerprint
from engine.loading.modules import own_modules
from engine.loading.strategies import make_builder
from engine.records import JournalHistory, day_folders, open_day
from engine.views.chain import chain_of
from replay.backtesting import BacktestReport, DigestSink, JournalSink, Progress, Watcher, run_backtest
from replay.days import folders_given
from replay.ranges import parse_range
from replay.verification import ReplayReport, replay_day, session_check
from replay.warmups import with_warmup

__all__ = ["backtest", "new_journal", "one_day", "verify"]


def verify(
    day: str | Path,
    *,
    config: Config | None = None,
    project: str | Path | None = None,
    until_seq: int | None = None,
    progress: Progress | None = None,
) -> ReplayReport:
    """Re-derive a recorded day from its inputs and compare every event with the record.

    `config` replays under this configuration instead of the recorded one. Strategies are loaded from the
    folder `project`, by default the working directory. `until_seq` stops after the frame that holds it;
    `progress` is called at intervals with the last seq verified.

    A difference is in the report, not raised. Raises UsageError if there is no such day or a strategy cannot
    be loaded, JournalDamaged, JournalVersionError.
    """
    folder = one_day(Path(day))
    with own_modules(_folder(project)):
        builder = make_builder()
        other = None if config is None else config.canonical()

        def build(started: SessionStarted) -> Sequence[Actor]:
            return builder(started if other is None else msgspec.structs.replace(started, config=other))

        check = session_check(code_fingerprint(), builder.strategy_hashes, other)
        report, _ = replay_day(
            open_day(folder),
            build,
            history=JournalHistory(folder.parent),
            check=check,
            until_seq=until_seq,
            progress=progress,
        )
    if until_seq is not None and not report.events and report.identical:
        raise UsageError(f"{folder}: begins after seq {until_seq}; nothing was verified")
    if report.divergence is not None:
        # An event that is not in the record has no causes there.
        with suppress(UsageError):
            report.chain = chain_of(folder, report.divergence.seq)
    return report


def one_day(path: Path) -> Path:
    """Return the folder of a day, or of the only day in a journal. Raises UsageError."""
    folders = day_folders((path,))
    if len(folders) != 1:
        raise UsageError(f"{path} holds {len(folders)} days; give one, such as {folders[0]}")
    return folders[0]


def backtest(
    days: Iterable[str | Path],
    config: Config,
    *,
    project: str | Path | None = None,
    out: str | Path | None = None,
    progress: Progress | None = None,
    watch: Sequence[Watcher] = (),
    begin: str | None = None,
    end: str | None = None,
    warmup: str | None = None,
) -> BacktestReport:
    """Run the strategies of a configuration on the market data of recorded days, in order.

    `days` are folders of days, or of journals with days in them. Strategies are loaded from the folder
    `project`, by default the working directory. With `out` the run is written as a new journal into that
    folder. `progress` is called at intervals with the number of inputs processed. Each of `watch` sees every
    frame of the run. `begin` and `end` are ISO 8601 times, UTC: only inputs from `begin` on and before `end`
    are read. `warmup` is a span such as 2d: strategies see the inputs of that time before `begin`, also from
    days of the same journals that are not given, and do not trade on them; `begin` is by default the first
    day that is given.

    The same days, strategies, configuration and range give the same digest. Raises UsageError for days
    without market data or out of order and for a strategy that cannot be loaded, JournalDamaged.
    """
    folders, within = with_warmup(folders_given(days), parse_range(begin, end, warmup))
    with own_modules(_folder(project)):
        builder = make_builder()
        if out is None:
            return run_backtest(
                folders, builder, config, DigestSink(), progress=progress, watch=watch, within=within
            )
        with new_journal(Path(out)) as sink:
            return run_backtest(folders, builder, config, sink, progress=progress, watch=watch, within=within)


@contextmanager
def new_journal(root: Path) -> Iterator[JournalSink]:
    """Yield the sink of a new journal in a folder, locked until the block ends. Raises UsageError."""
    if root.exists() and list_days(root):
        raise UsageError(f"{root}: holds days already; name a new one for the run")
    ids = SystemIds()
    make_root(root)
    with JournalLock(root):
        tail = Tail(journal_id=ensure_identity(root, ids.random_bytes(16)))
        with JournalWriter(root, tail, salts=lambda: ids.random_bytes(16), sync=False) as writer:
            yield JournalSink(writer)


def _folder(project: str | Path | None) -> Path | None:
    if project is None:
        return None
    if not Path(project).is_dir():
        raise UsageError(f"{project}: there is no such folder; give the folder of the strategies")
    return Path(project)
