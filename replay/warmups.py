"""The days before a backtest, on which strategies warm up: which they are, and what is known of them.

Called by `replay.runs` and `replay.backtesting`.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import msgspec

from engine.clock import DAY_NS, iso_text
from engine.journal import day_start_ns, list_days
from engine.records import open_day
from engine.values import format_span
from replay.ranges import Range

__all__ = ["warmup_note", "with_warmup"]


def with_warmup(folders: Sequence[Path], within: Range) -> tuple[list[Path], Range]:
    """Return the days with those before them that a warm-up needs, and the range with its begin.

    The days before are those of the same journals that are not given. A range without a begin begins with the
    first day that is given. Raises UsageError.
    """
    if not within.warmup_ns:
        return list(folders), within
    begin_ns = within.begin_ns or min(map(_start_of, folders))
    within = msgspec.structs.replace(within, begin_ns=begin_ns)
    given = {folder.resolve() for folder in folders}
    before = [
        day.path
        for journal in dict.fromkeys(folder.resolve().parent for folder in folders)
        for day in list_days(journal)
        if day.path not in given and within.from_ns < day_start_ns(day.day) + DAY_NS <= begin_ns
    ]
    return [*before, *folders], within


def warmup_note(within: Range, first_ns: int) -> list[str]:
    """Return what a warm-up lacks, given the time of the first input: one line for people, or none."""
    if not within.warmup_ns or first_ns // DAY_NS <= within.from_ns // DAY_NS:
        return []
    asked = f"a warm-up of {format_span(within.warmup_ns)} was asked for"
    if first_ns >= within.begin_ns:
        return [f"{asked}, and there is no data before {iso_text(within.begin_ns)[:19]}"]
    return [f"{asked}, and the data begins at {iso_text(first_ns)[:19]}"]


def _start_of(folder: Path) -> int:
    """Return the first nanosecond of a day, by its records."""
    reader = open_day(folder)
    next(iter(reader), None)
    return day_start_ns(reader.day) if reader.day else 0
