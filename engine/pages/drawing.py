"""What the scripts of a page draw: curves, candles and round trips as small JSON.

Owns the form that `charts.js` and `trips.js` read: times in seconds, prices as differences of integers, texts
once each. Promises a bound on each part, so that a page stays small; what is left out is counted.
"""

from __future__ import annotations

import math
from bisect import bisect_right
from collections.abc import Iterable, Sequence
from typing import Any, Final

from engine.analysis.report import Report
from engine.analysis.shapes import Curve, FillRow, RoundTrip
from engine.pages.causes import Causes
from engine.pages.charting import Candles, Charting, Steps

__all__ = ["FILLS_MAX", "TRIPS_MAX", "curves_of", "grid_of", "markets_of", "on_grid", "trips_of"]

POINTS_MAX: Final = 3_000
FILLS_MAX: Final = 4_000
"""Fills that are drawn, the newest."""
TRIPS_MAX: Final = 4_000
"""Round trips of the table, the newest."""
_CHAINS_BYTES: Final = 600_000

_SECOND_NS: Final = 1_000_000_000
_SPANS: Final = (1, 5, 15, 30, 60, 300, 900, 1800, 3600, 7200, 14_400, 21_600, 43_200, 86_400)


def grid_of(begin_ns: int, end_ns: int) -> tuple[int, int, int]:
    """Return (first point, step, points) in seconds, that cover a period with at most `POINTS_MAX` points.

    A chart has one place for each point, whatever its time: only an even grid shows time as it passed.
    """
    begin, end = begin_ns // _SECOND_NS, max(begin_ns, end_ns) // _SECOND_NS
    step = next((one for one in _SPANS if (end - begin) / one < POINTS_MAX - 2), 0)
    if not step:
        step = math.ceil((end - begin) / (POINTS_MAX - 2) / 86_400) * 86_400
    first = begin - begin % step
    return first, step, (end - first) // step + 1


def on_grid(curve: Curve, grid: tuple[int, int, int], *, largest: bool = False) -> list[float | None]:
    """Return the newest value at the end of each step, or the largest in it; None before the first.

    A step without a value has that of the step before it.
    """
    first, step, count = grid
    found: list[float | None] = [None] * count
    ends = found.copy()
    for at_ns, value in zip(curve.at_ns, curve.values, strict=True):
        at = min(count - 1, max(0, (at_ns // _SECOND_NS - first) // step))
        before = found[at]
        found[at] = max(before, value) if largest and before is not None else value
        ends[at] = value
    newest: float | None = None
    for at, value_there in enumerate(found):
        if value_there is None:
            found[at] = newest
        else:
            newest = ends[at]
    return [None if one is None else _short(one) for one in found]


def curves_of(report: Report) -> dict[str, Any]:
    """Return the curves of a report on one grid. `drawdown` and `gross` are the largest in each step."""
    grid = grid_of(report.begin_ns, report.end_ns)
    series = report.series
    drawn = {
        "equity": on_grid(series.equity, grid),
        "benchmark": on_grid(series.benchmark, grid),
        "drawdown": on_grid(series.drawdown, grid, largest=True),
        "gross": on_grid(series.gross, grid, largest=True),
        "net": on_grid(series.net, grid),
    }
    shown = {name: values for name, values in drawn.items() if any(one is not None for one in values)}
    return {"first": grid[0], "step": grid[1], "count": grid[2], **shown}


def markets_of(report: Report, charting: Charting) -> list[dict[str, Any]]:
    """Return the candles of each instrument with fills, stops and plots; those traded first."""
    fills: dict[str, list[FillRow]] = {}
    for fill in report.fill_rows[-FILLS_MAX:]:
        fills.setdefault(fill.instrument, []).append(fill)
    labels = {number: charting.instruments.label(number) for number in charting.candles}
    order = sorted(labels, key=lambda number: (-len(fills.get(labels[number], ())), labels[number]))
    return [_market(labels[number], number, charting, fills.get(labels[number], [])) for number in order]


def _market(label: str, number: int, charting: Charting, fills: Sequence[FillRow]) -> dict[str, Any]:
    candles = charting.candles[number]
    step = max(1, candles.interval_ns // _SECOND_NS)
    lines = [
        _steps(f"{name} ({strategy})", kind, steps, candles)
        for kind, kept in (("stop", charting.stops), ("plot", charting.plots))
        for (strategy, name), steps in kept.get(number, {}).items()
    ]
    return {
        "name": label,
        "step": step,
        "interval_ns": candles.interval_ns,
        **_candles(candles, step),
        "fills": [
            [
                _bar(candles, fill.at_ns),
                1 if fill.side == "buy" else -1,
                fill.price,
                fill.size,
                fill.role,
                fill.seq,
            ]
            for fill in fills
            if candles.starts
        ],
        "lines": [line for line in lines if line["t"]],
        "left": sum(1 for one in charting.lines_left if one[0] == number),
    }


def _candles(candles: Candles, step: int) -> dict[str, Any]:
    """Return times in steps since the one before, and prices as differences: small numbers are short."""
    starts, rows = candles.starts, candles.rows
    scale = candles.scale
    while scale > 0 and not any(value % 10 for row in rows for value in row[:4]):
        rows = [(row[0] // 10, row[1] // 10, row[2] // 10, row[3] // 10, row[4]) for row in rows]
        scale -= 1
    times: list[int] = []
    shape: list[int] = []
    before_ns = starts[0] if starts else 0
    close = 0
    for start_ns, row in zip(starts, rows, strict=True):
        times.append((start_ns - before_ns) // (step * _SECOND_NS))
        shape += (row[0] - close, row[1] - max(row[0], row[3]), min(row[0], row[3]) - row[2], row[3] - row[0])
        before_ns, close = start_ns, row[3]
    gaps = [at for at, start_ns in enumerate(starts) if start_ns in candles.gaps]
    volumes = [_short(row[4], 4) for row in rows]
    first = starts[0] // _SECOND_NS if starts else 0
    return {"first": first, "scale": scale, "t": times, "ohlc": shape, "v": volumes, "gaps": gaps}


def _bar(candles: Candles, at_ns: int) -> int:
    """Return the place of the candle that a time falls into."""
    return max(0, bisect_right(candles.starts, at_ns) - 1)


def _steps(title: str, kind: str, steps: Steps, candles: Candles) -> dict[str, Any]:
    """Return a line at the places of candles. A value that is not a number ends what was drawn."""
    newest: dict[int, float] = {}
    for at_ns, value in steps.at(candles.interval_ns):
        if candles.starts:
            newest[_bar(candles, at_ns)] = value
    return {
        "title": title,
        "kind": kind,
        "t": list(newest),
        "v": [_short(value) if math.isfinite(value) else None for value in newest.values()],
    }


def _short(value: float, digits: int = 8) -> float | int:
    """Return a number with fewer digits: what is drawn has no more."""
    short = float(f"{value:.{digits}g}")
    return int(short) if short.is_integer() and abs(short) < 1e15 else short


class _Texts:
    """Texts that occur many times, once each."""

    def __init__(self) -> None:
        self.numbers: dict[str, int] = {}

    def of(self, text: str) -> int:
        return self.numbers.setdefault(text, len(self.numbers))


def trips_of(report: Report, causes: Causes | None, charting: Charting | None) -> dict[str, Any]:
    """Return the newest round trips, and the chains of those with the largest results.

    The chains stay within a bound of bytes; a trip without them still has its seqs.
    """
    texts = _Texts()
    trips = report.trips[-TRIPS_MAX:]
    markets = {} if charting is None else {charting.instruments.label(one): one for one in charting.candles}
    rows = [_row(trip, texts, charting, markets) for trip in trips]
    return {
        "texts": list(texts.numbers),
        "rows": rows,
        "chains": _chains(trips, causes) if causes is not None else {},
        "left": len(report.trips) - len(trips),
    }


def _row(trip: RoundTrip, texts: _Texts, charting: Charting | None, markets: dict[str, int]) -> list[Any]:
    places = [-1, -1]
    if charting is not None and trip.instrument in markets:
        candles = charting.candles[markets[trip.instrument]]
        if candles.starts:
            places = [_bar(candles, trip.entered_ns), _bar(candles, trip.exited_ns)]
    opened = trip.entry_price or 0.0
    value = opened * float(trip.size)
    return [
        *map(texts.of, (trip.strategy, trip.instrument, trip.side)),
        trip.size,
        trip.entered_ns // 1_000_000,
        trip.exited_ns // 1_000_000,
        None if trip.entry_price is None else _short(trip.entry_price, 10),
        None if trip.exit_price is None else _short(trip.exit_price, 10),
        trip.net,
        _short(float(trip.net) / value * 100, 6) if value else None,
        trip.fees,
        trip.funding,
        trip.mae,
        trip.mfe,
        _short(trip.mae_percent, 6),
        _short(trip.mfe_percent, 6),
        *map(texts.of, (trip.entry_reason, trip.exit_reason, trip.exit_by)),
        trip.entry_seq,
        trip.exit_seq,
        _plots(trip.entry_plots, texts),
        _plots(trip.exit_plots, texts),
        *places,
    ]


def _plots(plots: dict[str, float], texts: _Texts) -> list[Any]:
    return [
        part
        for name, value in plots.items()
        for part in (texts.of(name), _short(value) if math.isfinite(value) else None)
    ]


def _chains(trips: Iterable[RoundTrip], causes: Causes) -> dict[str, list[Any]]:
    found: dict[str, list[Any]] = {}
    size = 0
    for trip in sorted(trips, key=lambda one: -abs(float(one.net))):
        for seq in (trip.entry_seq, trip.exit_seq):
            chain = causes.chain(seq)
            if str(seq) in found or not chain:
                continue
            size += sum(len(link.text) + 20 for link in chain)
            if size > _CHAINS_BYTES:
                return found
            found[str(seq)] = chain
    return found
