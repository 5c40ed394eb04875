"""Compares two runs over the same time: their inputs, orders and fills, and names the first difference.

Owns the order of judgement: what the market said, then what was decided, then at which price and how late it
was filled. Only what both runs have is compared: the time that both cover, and the instruments that both
list. Called by `engine report --compare`.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import chain
from pathlib import Path
from typing import Any, Final

import msgspec

from engine.analysis.matching import DECISION, LATENCY, WINDOW_NS, OrderRow, Orders, Pair, paired
from engine.clock import iso_text
from engine.errors import UsageError
from engine.events import (
    BookRead,
    Candle,
    DayOpened,
    Event,
    InstrumentListed,
    Quote,
    SessionStarted,
    Trade,
    engine_time,
)
from engine.events.render import Renderer
from engine.journal.frame import Frame
from engine.records import derived_of, inputs_of, open_day, records_of
from engine.views.chain import chain_of

__all__ = ["INPUT", "Comparison", "Difference", "Side", "compare"]

INPUT: Final = "input"
_PRICES: Final = (Trade, Quote, Candle, BookRead)


class Side(msgspec.Struct, frozen=True):
    """A run that is compared. `folders` are its days, `orders` were collected from all their frames."""

    folders: Sequence[Path]
    orders: Orders
    started: SessionStarted | None
    begin_ns: int
    end_ns: int


class Difference(msgspec.Struct, frozen=True):
    """A difference, and what led to both sides: lines of `engine why`. A seq of 0: there is no such record.

    `what` is "input", "decision", "fill size", "fill price" or "latency". `live` and `backtest` say what each
    run has.
    """

    what: str
    at_ns: int
    live: str
    backtest: str
    live_seq: int
    backtest_seq: int
    live_day: str = ""
    backtest_day: str = ""
    live_chain: list[str] = []
    backtest_chain: list[str] = []


class Comparison(msgspec.Struct, frozen=True):
    """How two runs differ. `first` is None if nothing does. `pairs` are all orders, `matched` those of both.

    `conditions` are (name, live, backtest) of what the runs were made with, where it differs. `begin_ns` and
    `end_ns` are the time that both cover. `price_percent` and `latency_ms` are means over matched fills.
    """

    begin_ns: int
    end_ns: int
    instruments: list[str]
    inputs: int
    pairs: list[Pair]
    matched: int
    equal: int
    only_live: int
    only_backtest: int
    price_percent: float | None
    latency_ms: float | None
    conditions: list[tuple[str, str, str]]
    first: Difference | None
    window_ns: int = WINDOW_NS
    left: int = 0


def compare(live: Side, backtest: Side) -> Comparison:
    """Compare two runs. Raises UsageError if they have no time or no instrument in common."""
    begin, end = max(live.begin_ns, backtest.begin_ns), min(live.end_ns, backtest.end_ns)
    if begin > end:
        spans = (f"{iso_text(one.begin_ns)[:19]} to {iso_text(one.end_ns)[:19]}" for one in (live, backtest))
        raise UsageError(f"the runs have no time in common: {' and '.join(spans)}")
    names = _keys(live) & _keys(backtest)
    if not names:
        raise UsageError("the runs have no instrument in common, so there is nothing to compare")
    labels = {
        one.orders.instruments.label(number)
        for one in (live, backtest)
        for number, listed in one.orders.instruments.items()
        if listed.key in names
    }
    pairs = paired(*(_within(one, begin, end, labels) for one in (live, backtest)))
    matched = [pair for pair in pairs if pair.live and pair.backtest]
    count, first_input = _first_input(live, backtest, (begin, end), names)
    found = [one for one in (first_input, *_of_pairs(pairs)) if one is not None]
    first = min(found, key=lambda one: one.at_ns) if found else None
    return Comparison(
        begin,
        end,
        sorted(labels),
        count,
        pairs,
        len(matched),
        sum(1 for pair in matched if not pair.differs),
        sum(1 for pair in pairs if not pair.backtest),
        sum(1 for pair in pairs if not pair.live),
        _mean([pair.price_percent for pair in matched]),
        _mean([pair.latency_ms for pair in matched]),
        _conditions(live.started, backtest.started),
        None if first is None else _explained(first, live, backtest),
        left=live.orders.left + backtest.orders.left,
    )


def _keys(side: Side) -> set[str]:
    return {listed.key for listed in side.orders.instruments.values()}


def _within(side: Side, begin: int, end: int, labels: set[str]) -> list[OrderRow]:
    return [row for row in side.orders.rows if begin <= row.at_ns <= end and row.instrument in labels]


def _mean(values: Sequence[float | None]) -> float | None:
    known = [value for value in values if value is not None]
    return sum(known) / len(known) if known else None


def _of_pairs(pairs: Sequence[Pair]) -> Iterator[Difference]:
    """Yield the difference of each pair, at the time when it began."""
    for pair in pairs:
        one, other = pair.live, pair.backtest
        if not pair.differs:
            continue
        what = pair.differs[0]
        decided = what == DECISION
        yield Difference(
            what,
            pair.at_ns if decided else min(row.filled_ns or row.at_ns for row in (one, other) if row),
            _said(one, what),
            _said(other, what),
            _seq(one, decided),
            _seq(other, decided),
        )


def _seq(row: OrderRow | None, decided: bool) -> int:
    return 0 if row is None else row.seq if decided else row.fill_seq or row.seq


def _said(row: OrderRow | None, what: str) -> str:
    if row is None:
        return "no such order"
    text = f"{row.side} {row.size} {row.instrument}, {row.terms}, at {iso_text(row.at_ns)}"
    if what == DECISION:
        return text + (f", because {row.reason}" if row.reason else "")
    if not row.fills:
        return f"{text}: nothing filled"
    late = f", {(row.filled_ns - row.at_ns) / 1e6:,.3f} ms after the order" if what == LATENCY else ""
    return f"{text}: {row.filled} filled at {row.price!r}{late}"


class _Input(msgspec.Struct, frozen=True):
    """An input and where it stands. `place` is its number among the inputs of its frame."""

    event: Event
    listed: InstrumentListed
    frame: Frame
    place: int
    folder: Path

    @property
    def seq(self) -> int:
        seqs = [seq for seq, cause, _ in records_of(self.frame) if not cause]
        return seqs[self.place]

    def text(self) -> str:
        return Renderer([self.listed]).as_text(self.seq, 0, self.event)


def _first_input(
    live: Side, backtest: Side, span: tuple[int, int], names: set[str]
) -> tuple[int, Difference | None]:
    """Return how many prices are equal from the begin on, and the first that is not."""
    count = 0
    ones, others = (_inputs(one, span, names) for one in (live, backtest))
    while True:
        one, other = next(ones, None), next(others, None)
        if one is None and other is None:
            return count, None
        if one is not None and other is not None and _same(one, other):
            count += 1
            continue
        at_ns = min(engine_time(at.event) for at in (one, other) if at is not None)
        return count, Difference(
            INPUT,
            at_ns,
            "no such input" if one is None else one.text(),
            "no such input" if other is None else other.text(),
            0 if one is None else one.seq,
            0 if other is None else other.seq,
            "" if one is None else str(one.folder),
            "" if other is None else str(other.folder),
        )


def _inputs(side: Side, span: tuple[int, int], names: set[str]) -> Iterator[_Input]:
    """Yield the prices of a run within a span."""
    listings = dict(side.orders.instruments)
    for folder in side.folders:
        reader = iter(open_day(folder))
        opening = next(reader, None)
        if opening is None:
            continue
        for _, _, event in derived_of(opening):
            if isinstance(event, DayOpened):
                listings |= {listed.instrument: listed for listed in event.instruments}
        for frame in chain([opening], reader):
            for place, event in enumerate(inputs_of(frame)):
                if isinstance(event, InstrumentListed):
                    listings[event.instrument] = event
                elif isinstance(event, _PRICES) and span[0] <= engine_time(event) <= span[1]:
                    listed = listings[event.instrument]
                    if listed.key in names:
                        yield _Input(event, listed, frame, place, folder)


def _same(one: _Input, other: _Input) -> bool:
    scales = [(at.listed.price_scale, at.listed.size_scale) for at in (one, other)]
    if one.listed.key != other.listed.key or one.event.__class__ is not other.event.__class__:
        return False
    if scales[0] == scales[1]:
        number = one.listed.instrument
        return one.event == msgspec.structs.replace(other.event, instrument=number)
    return _plain(one) == _plain(other)


def _plain(one: _Input) -> dict[str, Any]:
    """Return an input with its exact values, whatever the scales of its journal."""
    return Renderer([one.listed]).as_json(0, 0, one.event)


def _conditions(one: SessionStarted | None, other: SessionStarted | None) -> list[tuple[str, str, str]]:
    """Return what differs of what the runs were made with: code, strategies, keys of the configuration."""
    if one is None or other is None:
        return []
    rows = [(name, getattr(one, name), getattr(other, name)) for name in ("mode", "code", "python")]
    sources = [
        {name: f"{where} {source[:16]}" for name, where, source in at.strategies} for at in (one, other)
    ]
    rows += [
        (f"strategy {name}", sources[0].get(name, "none"), sources[1].get(name, "none"))
        for name in sorted(sources[0].keys() | sources[1].keys())
    ]
    keys = [_flat(msgspec.json.decode(at.config or "{}")) for at in (one, other)]
    rows += [
        (name, keys[0].get(name, "none"), keys[1].get(name, "none"))
        for name in sorted(keys[0].keys() | keys[1].keys())
    ]
    return [row for row in rows if row[1] != row[2]]


def _flat(value: Any, before: str = "") -> dict[str, str]:
    """Return the values of a configuration under dotted names."""
    if isinstance(value, dict):
        parts = ((f"{before}.{name}" if before else str(name), part) for name, part in value.items())
        return {name: text for key, part in parts for name, text in _flat(part, key).items()}
    if isinstance(value, list) and any(isinstance(part, dict) for part in value):
        return _flat({str(at): part for at, part in enumerate(value)}, before)
    return {before: msgspec.json.encode(value).decode()}


def _explained(found: Difference, live: Side, backtest: Side) -> Difference:
    """Return a difference with the chains of causes of both sides."""
    chains = [
        _chain(side, seq, day)
        for side, seq, day in (
            (live, found.live_seq, found.live_day),
            (backtest, found.backtest_seq, found.backtest_day),
        )
    ]
    return msgspec.structs.replace(
        found,
        live_day=chains[0][0],
        backtest_day=chains[1][0],
        live_chain=chains[0][1],
        backtest_chain=chains[1][1],
    )


def _chain(side: Side, seq: int, day: str) -> tuple[str, list[str]]:
    """Return the folder of the day that holds a seq, and its chain as lines."""
    if not seq:
        return "", []
    for folder in [Path(day)] if day else side.folders:
        try:
            links = chain_of(folder, seq)
        except UsageError:
            continue
        renderer = Renderer(side.orders.instruments.values())
        return str(folder), [renderer.as_text(*record) for record in links]
    return "", []
