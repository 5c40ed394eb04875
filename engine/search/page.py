"""The page of a sweep: one file that loads nothing, with the trials, heat maps and parallel coordinates.

Promises: the same sweep gives the same bytes. What a bound leaves out is named. Called by `engine sweep`,
which writes it into the folder of the sweep.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from itertools import combinations
from statistics import fmean, median
from typing import Any, Final

from engine.analysis.formulas import FORMULAS
from engine.pages.charts import heat_map, histogram
from engine.pages.formats import number, sign_of, with_unit
from engine.pages.frame import document
from engine.pages.markup import Child, Markup, tag
from engine.pages.sections import panel, tile
from engine.pages.tables import Cell, Column, pairs, table
from engine.search.coordinates import parallel_coordinates
from engine.search.jobs import Trial
from engine.search.ranking import best_of, ranked, value_of, why_unranked
from engine.search.registry import Definition

__all__ = ["sweep_page"]

_ROWS_MAX: Final = 500
_PAIRS_MAX: Final = 15
_CELLS_MAX: Final = 40
"""Values of a parameter in a heat map; more are put together by neighbours."""

_BINS: Final = 30
_BESIDE: Final = ("return_percent", "sharpe", "max_drawdown_percent", "round_trips")


def sweep_page(definition: Definition, trials: Sequence[Trial], *more: Markup) -> str:
    """Return the page of a complete sweep. `more` are panels that stand below the trials."""
    metric, better = definition.metric, definition.better
    order = ranked(trials, metric, better)
    names = ", ".join(one.name for one in definition.strategies)
    return document(
        f"{names}: sweep",
        tag("a", "Skip to the numbers", href="#main", class_="skip"),
        _top(definition, names, len(trials)),
        tag(
            "main",
            _tiles(definition, trials),
            _notes(definition, trials),
            _table(definition, order),
            *more,
            _maps(definition, trials),
            _coordinates(definition, order),
            _spread(definition, trials),
            _provenance(definition, trials),
            id="main",
        ),
    )


def _top(definition: Definition, names: str, count: int) -> Markup:
    days = [day.day for day in definition.days]
    period = f"{len(days):,} days, {days[0]} to {days[-1]}" if len(days) > 1 else f"day {days[0]}"
    if not definition.within.whole:
        period += f", {definition.within.text()}"
    direction = "more" if definition.better > 0 else "less"
    return tag(
        "header",
        tag("h1", tag("span", "sweep", class_="badge"), names),
        tag("p", f"{count:,} trials on {period}"),
        tag(
            "p",
            f"ranked by {definition.metric} ({FORMULAS[definition.metric].title}), {direction} is better",
            class_="quiet small",
        ),
        class_="top",
    )


def _shown(metric: str, value: float | int | str | None) -> str:
    return "none" if value is None else with_unit(value, FORMULAS[metric].unit)


def _params(trial: Trial) -> str:
    return ", ".join(f"{name}={value}" for name, value in trial.params.items())


def _tiles(definition: Definition, trials: Sequence[Trial]) -> Markup:
    metric = definition.metric
    best = best_of(trials, metric, definition.better)
    values = _values(definition, trials)
    states = [trial.outcome.state for trial in trials]
    repeats = sum(bool(trial.repeats) for trial in trials)
    title = f"best {FORMULAS[metric].title}"
    found = [
        tile(title, "none", "nothing can be ranked")
        if best is None
        else tile(title, _shown(metric, best.value(metric)), f"trial {best.number}: {_params(best)}"),
        tile(
            f"median {FORMULAS[metric].title}",
            _shown(metric, median(values)) if values else "none",
            f"of {len(values):,} trials with a value",
        ),
        tile("trials", f"{len(trials):,}", f"{len(trials) - repeats:,} distinct, by {definition.search}"),
        tile("no orders", f"{states.count('no orders'):,}", "never best"),
        tile("failed", f"{states.count('failed'):,}", "the strategy raised"),
    ]
    return tag("dl", found, class_="tiles", aria_label="Main numbers")


def _values(definition: Definition, trials: Sequence[Trial]) -> list[float]:
    found = (value_of(trial.outcome, definition.metric) for trial in trials)
    return [value for value in found if value is not None]


def _notes(definition: Definition, trials: Sequence[Trial]) -> Markup | None:
    notes = []
    if best_of(trials, definition.metric, definition.better) is None:
        notes.append(why_unranked(trials, definition.metric))
    if len(_environments(trials)) > 1:
        notes.append("The trials were computed in more than one numeric environment; see below.")
    if not notes:
        return None
    return tag("section", tag("ul", [tag("li", one) for one in notes]), class_="panel notes")


def _table(definition: Definition, order: Sequence[Trial]) -> Markup:
    metrics = list(dict.fromkeys((definition.metric, *_BESIDE)))
    columns = [Column("rank", numeric=True), Column("trial", numeric=True)]
    columns += [Column(name, numeric=True) for name in definition.params]
    columns += [Column(FORMULAS[one].title, numeric=True, hint=FORMULAS[one].formula) for one in metrics]
    columns += [Column("orders", numeric=True), Column("state"), Column("digest")]
    rows: list[list[Cell | Child]] = []
    for rank, trial in enumerate(order[:_ROWS_MAX], start=1):
        outcome = trial.outcome
        row: list[Cell | Child] = [Cell(str(rank), rank), Cell(str(trial.number), trial.number)]
        row += [Cell(_text(trial.params[name]), _sort(trial.params[name])) for name in definition.params]
        row += [_metric(trial, one) for one in metrics]
        state = f"failed: {outcome.failure}" if outcome.state == "failed" else outcome.state
        state += f", repeats trial {trial.repeats}" if trial.repeats else ""
        row += [Cell(f"{outcome.orders:,}", outcome.orders), state, tag("code", outcome.digest[:16])]
        rows.append(row)
    note = (
        f"The best {_ROWS_MAX:,} of {len(order):,}; trials.jsonl has all. " if len(order) > _ROWS_MAX else ""
    )
    return panel(
        "trials",
        "Trials",
        tag("p", f"{note}engine sweep --prove N --out DIR runs trial N again and compares.", class_="quiet"),
        table("Trials, the best first", columns, rows),
    )


def _metric(trial: Trial, name: str) -> Cell:
    value = trial.value(name)
    tone = sign_of(value) if name in ("return_percent", "net_profit") else ""
    return Cell(_shown(name, value), None if value is None else float(value), tone)


def _titled(metric: str) -> str:
    """Return the name of a metric over plain numbers, with its unit."""
    return FORMULAS[metric].title + (" in %" if metric.endswith("_percent") else "")


def _text(value: Any) -> str:
    return value if isinstance(value, str) else json.dumps(value)


def _sort(value: Any) -> float | int | str | None:
    return value if isinstance(value, int | float | str) and not isinstance(value, bool) else _text(value)


def _maps(definition: Definition, trials: Sequence[Trial]) -> Markup:
    several = [name for name, values in definition.params.items() if len(values) > 1]
    found = list(combinations(several, 2))
    metric = _titled(definition.metric)
    notes = []
    if len(found) > _PAIRS_MAX:
        notes.append(f"The first {_PAIRS_MAX} of {len(found)} pairs of parameters.")
    if not found:
        notes.append("There is no pair of parameters with more than one value.")
    return panel(
        "maps",
        "Two parameters at a time",
        tag(
            "p",
            f"Each cell is the mean {metric} of the trials with these two values, whatever their other "
            "parameters. A good region is worth more than a good cell.",
            class_="quiet",
        ),
        [tag("p", note, class_="quiet") for note in notes],
        tag("div", [_map(definition, trials, *pair) for pair in found[:_PAIRS_MAX]], class_="stack"),
    )


def _map(definition: Definition, trials: Sequence[Trial], down: str, across: str) -> Markup:
    rows, columns = _groups(definition.params[down]), _groups(definition.params[across])
    cells: dict[tuple[int, int], list[float]] = {}
    for trial in trials:
        value = value_of(trial.outcome, definition.metric)
        if value is not None:
            place = rows[_key(trial.params[down])], columns[_key(trial.params[across])]
            cells.setdefault(place, []).append(value)
    names = [_labels(definition.params[name], groups) for name, groups in ((down, rows), (across, columns))]
    means = {place: fmean(values) for place, values in cells.items()}
    return heat_map(
        f"{down} (down) and {across} (across)",
        names[1],
        [
            (label, [means.get((at, column)) for column in range(len(names[1]))])
            for at, label in enumerate(names[0])
        ],
        corner=f"{down} \\ {across}",
        middle=_middle(list(means.values())),
        better=definition.better,
    )


def _key(value: Any) -> str:
    return json.dumps(value)


def _groups(values: Sequence[Any]) -> dict[str, int]:
    """Return the row or column of each value: neighbours share one if there are too many."""
    count = min(len(values), _CELLS_MAX)
    return {_key(value): at * count // len(values) for at, value in enumerate(values)}


def _labels(values: Sequence[Any], groups: dict[str, int]) -> list[str]:
    found: dict[int, list[str]] = {}
    for value in values:
        found.setdefault(groups[_key(value)], []).append(_text(value))
    return [each[0] if len(each) == 1 else f"{each[0]} to {each[-1]}" for each in found.values()]


def _middle(values: Sequence[float]) -> float:
    """Return the value without colour: 0 if there are values on both sides of it, else the median."""
    if not values or min(values) < 0 < max(values):
        return 0.0
    return median(values)


def _coordinates(definition: Definition, order: Sequence[Trial]) -> Markup:
    with_value = [trial for trial in order if value_of(trial.outcome, definition.metric) is not None]
    return panel(
        "coordinates",
        "All parameters at once",
        parallel_coordinates(definition, with_value),
    )


def _spread(definition: Definition, trials: Sequence[Trial]) -> Markup:
    values = sorted(_values(definition, trials))
    title = _titled(definition.metric)
    bins: list[tuple[float, float, int]] = []
    if values and values[0] < values[-1]:
        low, width = values[0], (values[-1] - values[0]) / min(_BINS, len(values))
        counts = [0] * min(_BINS, len(values))
        for value in values:
            counts[min(int((value - low) / width), len(counts) - 1)] += 1
        bins = [(low + at * width, low + (at + 1) * width, count) for at, count in enumerate(counts)]
    marks = [("median", median(values))] if bins else []
    return panel(
        "spread", "How the trials are spread", histogram(f"{title} of the trials", bins, marks=marks)
    )


def _environments(trials: Sequence[Trial]) -> list[dict[str, str]]:
    found = {json.dumps(trial.outcome.environment, sort_keys=True) for trial in trials}
    return [json.loads(text) for text in sorted(found)]


def _provenance(definition: Definition, trials: Sequence[Trial]) -> Markup:
    rows: list[tuple[str, Child]] = [
        ("engine", f"retape {definition.version}, code {definition.code}"),
        *((one.name, f"{one.use}, sources {one.source}") for one in definition.strategies),
        ("search", _search(definition)),
        *((name, f"{len(values):,} values: {_list(values)}") for name, values in definition.params.items()),
        ("days", f"{len(definition.days):,}, digest of the last {definition.days[-1].digest[:16]}"),
    ]
    for at, one in enumerate(_environments(trials), start=1):
        rows.append((f"environment {at}", ", ".join(f"{name} {value}" for name, value in one.items())))
    return panel(
        "provenance",
        "What this is of",
        pairs(rows),
        tag(
            "details",
            tag("summary", "Configuration"),
            tag("pre", json.dumps(json.loads(definition.config), indent=2)),
        ),
    )


def _search(definition: Definition) -> str:
    if definition.search == "grid":
        return "grid: all combinations"
    sampler = f", {definition.sampler}" if definition.sampler else ""
    return f"{definition.search}: {definition.trials:,} trials, seed {definition.seed}{sampler}"


def _list(values: Sequence[Any]) -> str:
    shown = [_text(value) for value in values]
    return (
        ", ".join(shown) if len(shown) <= 12 else f"{', '.join(shown[:10])} ... {number(len(shown))} in all"
    )
