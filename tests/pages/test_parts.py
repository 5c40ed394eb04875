"""The parts of every page: no text becomes code, numbers are readable, a page allows only its own scripts."""

from __future__ import annotations

import base64
import hashlib
import json
import re
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from engine.pages.charts import Line, bars, heat_map, histogram, lines, steps_of
from engine.pages.formats import DASH, length_text, number, with_unit
from engine.pages.frame import document, is_ours
from engine.pages.markup import Markup, data_block, slug, tag
from engine.pages.tables import Cell, Column, money, table
from tests.pages.kit import HOSTILE, Read

hostile = st.one_of(st.sampled_from(HOSTILE), st.text())


@given(hostile, hostile)
def test_a_text_is_never_a_tag_nor_leaves_its_attribute(text: str, other: str) -> None:
    read = Read(tag("p", text, title=other))
    assert read.tags == ["p"]
    assert [name for name, _ in read.attributes] == ["title"]


@given(hostile)
def test_data_in_a_page_is_exactly_what_was_given_and_never_ends_its_element(text: str) -> None:
    value = {"name": text, text: [text]}
    read = Read(data_block("data", value) + "<p>after</p>")
    assert read.tags == ["script", "p"]
    assert json.loads(read.scripts[0][1]) == value


@pytest.mark.parametrize("attribute", ["style", "onclick", "onerror", "a b", "x>"])
def test_an_attribute_that_would_hold_code_is_refused(attribute: str) -> None:
    with pytest.raises(ValueError, match="may not have"):
        tag("p", **{attribute: "x"})


@given(st.lists(st.tuples(hostile, hostile), max_size=5))
def test_a_hostile_table_has_only_its_own_elements(rows: list[tuple[str, str]]) -> None:
    columns = [Column("name"), Column("<b>value</b>", numeric=True, hint='"x')]
    read = Read(table("<i>caption</i>", columns, [[Cell(one, other), other] for one, other in rows]))
    allowed = ["div", "table", "caption", "thead", "tbody", "tr", "th", "td", "button", "p", "span"]
    assert set(read.tags) <= set(allowed)
    assert not [name for name, _ in read.attributes if name.startswith("on") or name == "style"]


def test_a_page_allows_its_own_scripts_and_styles_by_hash_and_nothing_else() -> None:
    page = document(
        "a </title><script>x", tag("p", "text"), data={"numbers": [1]}, scripts=["let a = '<b>';"]
    )
    read = Read(page)
    policy = next(str(value) for name, value in read.attributes if name == "content" and "src" in str(value))
    assert policy.startswith("default-src 'none'; script-src 'sha256-")
    assert "unsafe" not in policy
    assert "base-uri 'none'; form-action 'none'" in policy
    run = [text for attributes, text in read.scripts if "type" not in attributes]
    assert len(run) == 2
    for text in run:
        assert _hash(text) in policy.partition("script-src")[2].partition(";")[0]
    style = re.search("<style>(.*?)</style>", page, re.DOTALL)
    assert style is not None
    assert _hash(style[1]) in policy.partition("style-src")[2]
    assert not [value for name, value in read.attributes if name in ("src", "href")]
    assert is_ours(page)
    assert not is_ours("<!doctype html><html><p>another</p>")


def _hash(text: str) -> str:
    return f"'sha256-{base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()}'"


@pytest.mark.parametrize("text", ["a</script>", "a</SCRIPT >", "<!-- a", "a\rb", "a\0b"])
def test_a_script_that_a_browser_would_read_otherwise_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match="script of a page"):
        document("title", scripts=[text])


@pytest.mark.parametrize(
    ("value", "shown"),
    [
        (None, DASH), (1234.5, "1,234.50"), (-1234.567, "\u22121,234.57"), (0, "0"), (0.0, "0.00"),
        ("-0.00", "0.00"), (0.0123456, "0.012"), (-0.00001, "\u22121e-05"), (12345, "12,345"),
    ],
)  # fmt: skip
def test_numbers_are_readable(value: Any, shown: str) -> None:
    assert number(value) == shown


def test_units_and_lengths_are_readable() -> None:
    assert with_unit("12.5", "percent", sign=True) == "+12.50 %"
    assert with_unit(3, "count") == "3"
    assert with_unit(None, "percent") == DASH
    assert length_text(90_000_000_000) == "1 min 30 s"
    assert length_text(((3 * 24 + 4) * 3600 + 59) * 1_000_000_000) == "3 d 4 h"
    assert length_text(2_000_000) == "2 ms"
    assert slug("BTC/USD <x>") == "btc-usd-x"


def test_a_cell_of_money_has_its_tone_and_the_exact_value_to_sort_by() -> None:
    assert money("-3.14159") == Cell("\u22123.14", -3.14159, "down")
    text = table("t", [Column("a"), Column("b", numeric=True)], [["x", money("0.1")], ["y", money(None)]])
    assert 'data-sort="0.1"' in text
    assert text.count("data-sort") == 1
    assert 'scope="row"' in text


@given(st.floats(-1e9, 1e9), st.floats(1e-6, 1e9), st.integers(2, 8))
def test_steps_lie_in_their_span_and_rise_evenly(low: float, width: float, count: int) -> None:
    high = low + width
    if high <= low:
        return
    steps = steps_of(low, high, count)
    assert len(steps) <= count + 2
    slack = 1e-6 * max(abs(low), abs(high))
    assert all(low - slack <= one <= high + slack for one in steps)
    assert steps == sorted(steps)


@pytest.mark.parametrize("values", [[], [0.0], [1.0, 1.0], [-3.0, 5.0, float("nan")]])
def test_charts_are_drawn_of_any_values(values: list[float]) -> None:
    finite = [one for one in values if one == one]
    drawn = [
        lines("<lines>", [Line("<a>", list(enumerate(values)))]),
        bars("<bars>", [("<x>", one) for one in finite]),
        histogram("<histogram>", [(one, one + 1, 3) for one in finite[:1]], marks=[("<mean>", 0.5)]),
        heat_map("<heat>", ["<a>"], [("<row>", [one]) for one in values]),
    ]
    for text in drawn:
        assert "nan" not in text.lower()
        assert not set(Read(text).tags) & {"a", "x", "lines", "bars", "histogram", "heat", "row", "mean"}


def test_a_long_line_keeps_its_extremes() -> None:
    points = [(float(at), 0.0) for at in range(100_000)]
    points[54_321] = (54_321.0, 9.0)
    points[54_322] = (54_322.0, -9.0)
    text = lines("long", [Line("one", points)], zero=True)
    shape = re.search('points="([^"]*)"', text)
    assert shape is not None
    heights = [float(pair.split(",")[1]) for pair in shape[1].split()]
    assert len(heights) < 2_200
    assert (min(heights), max(heights)) == (10.0, 176.0)


def test_the_heat_of_a_value_is_its_distance_from_the_middle() -> None:
    text = heat_map("h", ["a", "b", "c", "d"], [("r", [10.0, -5.0, None, 0.0])])
    assert re.findall('data-heat="(-?[0-9]+)"', text) == ["5", "-2", "0"]


def test_markup_stays_as_it_is() -> None:
    assert tag("p", Markup("<b>x</b>"), "<", 3, None, ["a", Markup("&amp;")]) == "<p><b>x</b>&lt;3a&amp;</p>"
