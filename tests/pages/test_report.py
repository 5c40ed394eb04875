"""The page of a report: nothing of a name or reason becomes code, it stays small, every part is there."""

from __future__ import annotations

import re

import pytest

from engine.analysis.formulas import FORMULAS
from engine.analysis.report import Report
from engine.analysis.shapes import Curve
from engine.clock import DAY_NS
from engine.pages.causes import Causes
from engine.pages.charting import Charting
from engine.pages.drawing import grid_of, on_grid
from engine.pages.report import Origin, report_page
from tests.pages.kit import HOSTILE, Read, T, page

OWN_TAGS = {
    "a", "body", "button", "caption", "code", "dd", "details", "div", "dl", "dt", "figcaption", "figure",
    "h1", "h2", "h3", "head", "header", "html", "label", "li", "line", "main", "meta", "nav", "option", "p",
    "polyline", "pre", "rect", "script", "section", "select", "span", "strong", "style", "summary", "svg",
    "table", "tbody", "td", "text", "th", "thead", "title", "tr", "ul",
}  # fmt: skip


@pytest.mark.parametrize("words", HOSTILE)
def test_no_name_or_reason_becomes_a_tag_or_an_attribute(words: str) -> None:
    read = Read(page(120, 5, words, words))
    assert set(read.tags) <= OWN_TAGS
    assert read.tags.count("script") == 3 + 4
    assert not [name for name, _ in read.attributes if name.startswith("on") or name == "style"]
    links = [value for name, value in read.attributes if name in ("href", "src")]
    assert all(re.fullmatch("#[a-z]+", link or "") for link in links)
    run = [text for attributes, text in read.scripts if "type" not in attributes]
    assert not any("broken" in text for text in run)
    trips = read.data("trips")
    assert words in trips["texts"]
    assert read.data("markets")[0]["lines"][0]["title"].endswith(f"({words})")


def test_a_page_has_every_metric_with_its_formula_and_each_section() -> None:
    text = page()
    read = Read(text)
    for name, formula in FORMULAS.items():
        assert name in read.text
        assert formula.formula in read.text
    assert "no reason momentum" in read.text
    ids = re.findall('id="([a-z-]+)"', text)
    assert len(ids) == len(set(ids))
    for name, value in read.attributes:
        if name == "href":
            assert str(value)[1:] in ids
    assert "d" * 64 in read.text


def test_a_month_of_minutes_stays_under_three_megabytes() -> None:
    text = page(43_200, 4000)
    assert len(text.encode()) < 3_000_000
    read = Read(text)
    market = read.data("markets")[0]
    assert len(market["t"]) == 14_400
    assert len(read.data("trips")["rows"]) == 4000


def test_a_report_without_anything_is_a_page_that_says_so() -> None:
    read = Read(report_page(Report(), Origin("nothing", "paper"), Charting(), Causes()))
    for part in ("The equity is not known", "no bars", "No round trip ended", "no values"):
        assert part in read.text


def test_candles_are_drawn_as_they_are() -> None:
    market = Read(page(90, 3)).data("markets")[0]
    close, rows = 0, []
    for at in range(len(market["t"])):
        first, above, below, change = market["ohlc"][4 * at : 4 * at + 4]
        opened = close + first
        close = opened + change
        rows.append((opened, max(opened, close) + above, min(opened, close) - below, close))
    assert market["scale"] == 2
    assert rows[0] == (10_000, 10_009, 9_992, 10_003)
    assert rows[1][0] == 10_000 + round(800 * 0.016665895) + 1
    assert market["gaps"] == [5]
    assert [fill[0] for fill in market["fills"]] == [0, 7, 30, 37, 60, 67]
    stop = next(one for one in market["lines"] if one["kind"] == "stop")
    assert stop["v"].count(None) == 1
    assert stop["t"] == [11, 41, 61]


def test_curves_are_on_an_even_grid_that_keeps_the_largest_drawdown() -> None:
    curve = Curve([T + at * 7_000_000_000 for at in range(100_000)], [0.0] * 100_000)
    curve.values[54_321] = 9.0
    curve.values[54_322] = 1.0
    grid = grid_of(T, T + 700_000 * 1_000_000_000)
    assert grid[2] <= 3_000
    drawn = on_grid(curve, grid, largest=True)
    assert max(value for value in drawn if value is not None) == 9.0
    assert 9.0 not in on_grid(curve, grid)
    assert len(drawn) == grid[2]


@pytest.mark.parametrize("span", [0, 1, 10**9, DAY_NS, 400 * DAY_NS, 40_000 * DAY_NS])
def test_the_grid_covers_any_period(span: int) -> None:
    first, step, count = grid_of(T + 5, T + 5 + span)
    assert 1 <= count <= 3_000
    assert first <= T // 10**9
    assert first + step * count > (T + 5 + span) // 10**9


def test_a_step_without_a_value_has_the_newest_one() -> None:
    curve = Curve([T + 60 * 10**9, T + 62 * 10**9], [5.0, 3.0])
    assert on_grid(curve, (T // 10**9, 30, 5)) == [None, None, 3, 3, 3]
    assert on_grid(curve, (T // 10**9, 30, 5), largest=True) == [None, None, 5, 3, 3]
