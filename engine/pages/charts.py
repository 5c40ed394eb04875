"""Small charts as SVG and heat maps as tables: they need no script, scale with the page and print.

Each has a name for people who do not see it, and each mark has its value as a title. Colours come from the
style sheet by class, since the policy of a page allows no style in an element. Called by every page.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import Final

import msgspec

from engine.pages.formats import number, sign_of
from engine.pages.markup import Child, Markup, joined, tag

__all__ = ["Line", "bars", "heat_map", "histogram", "lines", "steps_of"]

WIDTH: Final = 480
_LEFT: Final = 52
_RIGHT: Final = 8
_TOP: Final = 10
_BOTTOM: Final = 24
_POINTS_MAX: Final = 2_000
_HEAT_MAX: Final = 5

_Shown = Callable[[float], str]


class Line(msgspec.Struct, frozen=True):
    """A line of points (x, y), in order of x. `color` is 1 to 6, a class of the style sheet."""

    title: str
    points: Sequence[tuple[float, float]]
    color: int = 1
    dashed: bool = False


class _Area:
    """The area of a chart: data to places, with axes."""

    def __init__(self, x: tuple[float, float], y: tuple[float, float], height: int) -> None:
        self.height = height
        self.x, self.y = _wide(x), _wide(y)

    def across(self, value: float) -> float:
        low, high = self.x
        return _LEFT + (value - low) / (high - low) * (WIDTH - _LEFT - _RIGHT)

    def down(self, value: float) -> float:
        low, high = self.y
        return self.height - _BOTTOM - (value - low) / (high - low) * (self.height - _TOP - _BOTTOM)

    def grid(self, shown: _Shown) -> list[Markup]:
        """Return the horizontal lines and their values."""
        parts = []
        for value in steps_of(*self.y, 4):
            at = self.down(value)
            parts.append(_line(_LEFT, at, WIDTH - _RIGHT, at, "zero" if value == 0 else "grid"))
            parts.append(tag("text", shown(value), x=_LEFT - 6, y=at + 4, text_anchor="end", class_="tick"))
        return parts

    def below(self, places: Sequence[tuple[float, str]]) -> list[Markup]:
        """Return texts below the axis."""
        return [
            tag("text", text, x=at, y=self.height - 6, text_anchor="middle", class_="tick")
            for at, text in places
        ]


def _wide(span: tuple[float, float]) -> tuple[float, float]:
    low, high = span
    if high > low:
        return span
    half = abs(low) * 0.05 or 1.0
    return low - half, high + half


def steps_of(low: float, high: float, count: int) -> list[float]:
    """Return round values from low to high, about `count` of them."""
    step = 10.0 ** math.floor(math.log10((high - low) / count))
    for factor in (1, 2, 5, 10):
        if (high - low) / (step * factor) <= count + 1:
            step *= factor
            break
    first = math.ceil(low / step - 1e-9)
    last = math.floor(high / step + 1e-9)
    return [at * step for at in range(first, last + 1)]


def _line(x1: float, y1: float, x2: float, y2: float, class_: str, hint: str = "") -> Markup:
    inside = tag("title", hint) if hint else None
    return tag("line", inside, x1=x1, y1=y1, x2=x2, y2=y2, class_=class_)


def _figure(title: str, height: int, inside: Sequence[Child], below: Child = None, note: str = "") -> Markup:
    name = f"{title}. {note}" if note else title
    return tag(
        "figure",
        tag("figcaption", title),
        tag("svg", inside, viewBox=f"0 0 {WIDTH} {height}", role="img", aria_label=name, class_="plot"),
        below,
    )


def lines(
    title: str,
    series: Sequence[Line],
    *,
    height: int = 200,
    x_text: _Shown = number,
    y_text: _Shown = number,
    zero: bool = False,
) -> Markup:
    """Return lines in one area. `zero` has the vertical axis include 0. Nothing but a note of no points."""
    drawn = [
        Line(one.title, _thin([at for at in one.points if math.isfinite(at[1])]), one.color, one.dashed)
        for one in series
    ]
    points = [at for one in drawn for at in one.points]
    if not points:
        return tag("p", f"{title}: no points", class_="quiet")
    xs, ys = [at[0] for at in points], [at[1] for at in points] + ([0.0] if zero else [])
    area = _Area((min(xs), max(xs)), (min(ys), max(ys)), height)
    inside = area.grid(y_text)
    for one in drawn:
        path = " ".join(f"{area.across(x):.1f},{area.down(y):.1f}" for x, y in one.points)
        dashed = " dashed" if one.dashed else ""
        if one.points:
            inside.append(tag("polyline", points=path, class_=f"line c{one.color}{dashed}"))
    ends = (min(xs), (min(xs) + max(xs)) / 2, max(xs))
    places = zip((_LEFT + 20, area.across(ends[1]), WIDTH - _RIGHT - 24), map(x_text, ends), strict=True)
    inside += area.below(list(places))
    legend = [
        tag("li", tag("span", class_=f"swatch c{one.color}", aria_hidden="true"), one.title) for one in drawn
    ]
    note = "; ".join(
        f"{one.title}: {y_text(one.points[0][1])} to {y_text(one.points[-1][1])}"
        for one in drawn
        if one.points
    )
    return _figure(title, height, inside, tag("ul", legend, class_="legend"), note)


def _thin(points: Sequence[tuple[float, float]]) -> Sequence[tuple[float, float]]:
    """Return at most about `_POINTS_MAX` points: of each group the lowest and the highest, in order."""
    if len(points) <= _POINTS_MAX:
        return points
    size = math.ceil(len(points) / (_POINTS_MAX // 2))
    kept = [points[0]]
    for start in range(0, len(points), size):
        group = points[start : start + size]
        ends = {min(group, key=lambda at: at[1]), max(group, key=lambda at: at[1])}
        kept += sorted(ends)
    return [*kept, points[-1]]


def histogram(
    title: str,
    bins: Sequence[tuple[float, float, int]],
    *,
    marks: Sequence[tuple[str, float]] = (),
    height: int = 200,
    x_text: _Shown = number,
    toned: bool = True,
) -> Markup:
    """Return the counts of (low, high, count) bins of one width, and named vertical lines.

    `toned` shows values above 0 as gains and those below as losses.
    """
    if len(bins) < 2:
        text = f"all are {x_text(bins[0][0])}" if bins else "no values"
        return tag("p", tag("span", title, class_="caption"), f": {text}", class_="quiet")
    area = _Area((bins[0][0], bins[-1][1]), (0.0, float(max(one[2] for one in bins))), height)
    inside = area.grid(lambda value: number(round(value)) if value == round(value) else "")
    for low, high, count in bins:
        left, right = area.across(low), area.across(high)
        top = area.down(count)
        if not count:
            continue
        hint = tag("title", f"{x_text(low)} to {x_text(high)}: {count:,}")
        class_ = f"bar {sign_of((low + high) / 2) if toned else ''}".strip()
        inside.append(
            tag(
                "rect",
                hint,
                x=left + 0.5,
                y=top,
                width=max(0.5, right - left - 1),
                height=max(0.0, height - _BOTTOM - top),
                class_=class_,
            )
        )
    for name, value in marks:
        at = area.across(value)
        inside.append(_line(at, _TOP, at, height - _BOTTOM, "mark", f"{name} {x_text(value)}"))
        inside.append(tag("text", name, x=at + 3, y=_TOP + 8, class_="name"))
    inside += area.below([(area.across(value), x_text(value)) for value in steps_of(*area.x, 5)])
    legend = [tag("li", f"{name} {x_text(value)}") for name, value in marks]
    total = sum(one[2] for one in bins)
    note = "; ".join([f"{total:,} values", *(f"{name} {x_text(value)}" for name, value in marks)])
    return _figure(title, height, inside, tag("ul", legend, class_="legend"), note)


def bars(
    title: str,
    values: Sequence[tuple[str, float]],
    *,
    height: int = 160,
    y_text: _Shown = number,
    every: int = 1,
) -> Markup:
    """Return a bar for each (name, value), up from 0 or down; every `every`-th name stands below."""
    if not values:
        return tag("p", f"{title}: no values", class_="quiet")
    amounts = [value for _, value in values]
    area = _Area((0.0, float(len(values))), (min(0.0, *amounts), max(0.0, *amounts)), height)
    inside = area.grid(y_text)
    for at, (name, value) in enumerate(values):
        left, right = area.across(at + 0.12), area.across(at + 0.88)
        top, bottom = sorted((area.down(value), area.down(0.0)))
        class_ = f"bar {sign_of(value)}".strip()
        hint = tag("title", f"{name}: {y_text(value)}")
        inside.append(
            tag("rect", hint, x=left, y=top, width=right - left, height=bottom - top, class_=class_)
        )
    inside += area.below(
        [(area.across(at + 0.5), name) for at, (name, _) in enumerate(values) if at % every == 0]
    )
    note = "; ".join(f"{name} {y_text(value)}" for name, value in values)
    return _figure(title, height, inside, note=note)


def heat_map(
    title: str,
    columns: Sequence[str],
    rows: Sequence[tuple[str, Sequence[float | None]]],
    *,
    corner: str = "",
    shown: _Shown = number,
    middle: float = 0.0,
    better: int = 1,
) -> Markup:
    """Return a table with a colour behind each value, by its distance from `middle`; None has no colour.

    `better` is -1 if less is better.
    """
    values = [value for _, row in rows for value in row if value is not None and math.isfinite(value)]
    most = max((abs(value - middle) for value in values), default=0.0)
    head = tag("tr", tag("th", corner, scope="col"), [tag("th", one, scope="col") for one in columns])
    body = [
        tag("tr", tag("th", name, scope="row"), [_heat(value, middle, most * better, shown) for value in row])
        for name, row in rows
    ]
    inside = joined(tag("caption", title), tag("thead", head), tag("tbody", body))
    return tag(
        "div",
        tag("table", inside, class_="heat"),
        class_="scroll",
        tabindex=0,
        role="region",
        aria_label=title,
    )


def _heat(value: float | None, middle: float, most: float, shown: _Shown) -> Markup:
    if value is None or not math.isfinite(value):
        return tag("td", "", class_="numeric")
    level = round((value - middle) / most * _HEAT_MAX) if most else 0
    return tag("td", shown(value), class_="numeric", data_heat=level)
