"""Parallel coordinates as SVG: an axis for each parameter and one for the metric, a line for each trial.

The lines of the best fifth are coloured and drawn last. Called by the page of a sweep.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Final

from engine.analysis.formulas import FORMULAS
from engine.pages.formats import number
from engine.pages.markup import Markup, tag
from engine.search.jobs import Trial
from engine.search.ranking import value_of
from engine.search.registry import Definition

__all__ = ["parallel_coordinates"]

_LINES_MAX: Final = 300
_HEIGHT: Final = 300
_TOP: Final = 26
_BOTTOM: Final = 20
_STEP: Final = 130
_MARGIN: Final = 60


def parallel_coordinates(definition: Definition, order: Sequence[Trial]) -> Markup:
    """Return the chart of trials that have a value, the best first."""
    metric = FORMULAS[definition.metric].title
    if not order:
        return tag("p", "No trial has a value.", class_="quiet")
    names = [name for name, values in definition.params.items() if len(values) > 1]
    shown = _evenly(order)
    values = [value_of(trial.outcome, definition.metric) or 0.0 for trial in shown]
    low, high = min(values), max(values)
    places = {
        name: {json.dumps(value): at for at, value in enumerate(definition.params[name])} for name in names
    }
    lines = []
    for rank, (trial, value) in enumerate(zip(shown, values, strict=True)):
        shares = [places[name][json.dumps(trial.params[name])] / (len(places[name]) - 1) for name in names]
        shares.append((value - low) / (high - low) if high > low else 0.5)
        points = " ".join(f"{_across(at):.1f},{_down(share):.1f}" for at, share in enumerate(shares))
        color = 3 if rank == 0 else 1 if rank < len(shown) / 5 else 2
        text = ", ".join(f"{name}={trial.params[name]}" for name in names)
        hint = tag("title", f"trial {trial.number}: {text}: {number(value)}")
        opacity = "0.25" if color == 2 else "0.8"
        lines.append(tag("polyline", hint, points=points, class_=f"line c{color}", stroke_opacity=opacity))
    axes = [
        _axis(at, name, str(definition.params[name][0]), str(definition.params[name][-1]))
        for at, name in enumerate(names)
    ]
    axes.append(_axis(len(names), metric, number(low), number(high)))
    width = 2 * _MARGIN + _STEP * len(names)
    left_out = f" {len(shown):,} of {len(order):,} trials, evenly by rank." if len(shown) < len(order) else ""
    title = f"Each line is a trial; the best is orange, the best fifth blue.{left_out}"
    return tag(
        "figure",
        tag("figcaption", title),
        tag(
            "svg",
            axes,
            lines[::-1],
            viewBox=f"0 0 {width} {_HEIGHT}",
            role="img",
            aria_label=f"Parallel coordinates of {', '.join(names)} and {metric}",
            class_="plot",
        ),
    )


def _evenly(order: Sequence[Trial]) -> Sequence[Trial]:
    """Return the trials, or so many of them that a person can look at, evenly by rank."""
    count = min(len(order), _LINES_MAX)
    return [order[at * len(order) // count] for at in range(count)]


def _across(at: int) -> float:
    return _MARGIN + at * _STEP


def _down(share: float) -> float:
    return _HEIGHT - _BOTTOM - share * (_HEIGHT - _TOP - _BOTTOM)


def _axis(at: int, name: str, low: str, high: str) -> list[Markup]:
    x = _across(at)
    texts = ((name, 12.0), (high, _TOP - 2.0), (low, _HEIGHT - 6.0))
    return [
        tag("line", x1=x, y1=_down(0), x2=x, y2=_down(1), class_="zero"),
        *(tag("text", text, x=x, y=y, text_anchor="middle", class_="tick") for text, y in texts),
    ]
