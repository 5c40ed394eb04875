"""The page of a sweep: complete, the same bytes for the same sweep, safe against hostile texts."""

from __future__ import annotations

import html
import re
from pathlib import Path

import msgspec
import pytest

from engine.config import Config
from engine.search.jobs import DayRef, Outcome, StrategyRef, Trial, config_text
from engine.search.page import sweep_page
from engine.search.registry import Definition, read_sweep

HOSTILE = "</script><script>alert(1)</script><img src=x onerror=alert(2)>\u202e\"'"


def definition(
    params: dict[str, tuple[object, ...]], metric: str = "return_percent", better: int = 1
) -> Definition:
    return Definition(
        (DayRef("2024-03-01", "journal/2024-03-01", "ab" * 32),),
        config_text(Config()),
        (StrategyRef("Mine", "mine:Mine", "00" * 8),),
        params,
        "grid",
        0,
        0,
        "",
        metric,
        better,
        "0.1.0",
        "11" * 8,
    )


def trial(number: int, value: float | None, state: str = "done", **params: object) -> Trial:
    outcome = Outcome(state, "", 3, 0, 3, "cd" * 32, {"return_percent": value, "max_drawdown_percent": value})
    return Trial(number, params, outcome)  # type: ignore[arg-type]


def test_the_page_of_a_sweep_has_its_trials_and_maps(done: Path) -> None:
    known, trials = read_sweep(done)
    page = (done / "sweep.html").read_text()
    assert page == sweep_page(known, trials)
    for one in trials:
        assert one.outcome.digest[:16] in page
    assert "every (down) and hold (across)" in page
    assert page.count("<polyline") == len(trials)
    assert "http" not in page.replace("http-equiv", "").replace("http://www.w3.org/2000/svg", "")
    assert "default-src 'none'" in html.unescape(page)


def test_hostile_texts_stay_texts() -> None:
    known = definition({HOSTILE: (HOSTILE, "b"), "a": (1, 2)})
    known = msgspec.structs.replace(known, strategies=(StrategyRef(HOSTILE, f"m:{HOSTILE}", HOSTILE),))
    trials = [
        trial(1, 1.0, **{HOSTILE: HOSTILE, "a": 1}),
        trial(2, 2.0, **{HOSTILE: "b", "a": 2}),
        Trial(3, {HOSTILE: "b", "a": 1}, Outcome("failed", HOSTILE, environment={HOSTILE: HOSTILE})),
    ]
    page = sweep_page(known, trials)
    assert len(re.findall(r"<script", page)) == 1, "the one of the frame"
    assert "<img" not in page
    assert "\u202e" not in page
    assert "alert(1)" in page


@pytest.mark.parametrize(("better", "level"), [(1, 'data-heat="5"'), (-1, 'data-heat="-5"')])
def test_the_colour_of_a_cell_follows_the_direction_of_the_metric(better: int, level: str) -> None:
    metric = "return_percent" if better > 0 else "max_drawdown_percent"
    known = definition({"a": (1, 2), "b": (1, 2)}, metric, better)
    trials = [
        trial(at + 1, float(value), a=at // 2 + 1, b=at % 2 + 1) for at, value in enumerate((1, 2, 3, 9))
    ]
    page = sweep_page(known, trials)
    assert f"{level}>9.00</td>" in page


def test_a_cell_is_the_mean_over_the_other_parameters_of_ranked_trials() -> None:
    known = definition({"a": (1, 2), "b": (1, 2), "c": (1, 2)})
    found = [
        trial(1, 1.0, a=1, b=1, c=1),
        trial(2, 4.0, a=1, b=1, c=2),
        trial(3, 100.0, "no orders", a=1, b=2, c=1),
        trial(4, None, a=2, b=1, c=1),
    ]
    page = sweep_page(known, found)
    map_ = page[page.index("a (down) and b (across)") :].split("</table>")[0]
    assert re.findall(r'data-heat="[-\d]+">([^<]+)<', map_) == ["2.50"]


def test_bounds_are_named() -> None:
    known = definition({"a": tuple(range(100)), "b": tuple(range(10))})
    trials = [trial(at + 1, float(at), a=at // 10, b=at % 10) for at in range(1000)]
    page = sweep_page(known, trials)
    assert "The best 500 of 1,000" in page
    assert "300 of 1,000 trials, evenly by rank" in page
    assert '<th scope="row">0 to 2</th>' in page
    assert len(page) < 1_000_000


def test_where_nothing_can_be_ranked_the_page_says_so() -> None:
    known = definition({"a": (1, 2)})
    page = sweep_page(known, [trial(1, None, a=1), trial(2, 0.0, "no orders", a=2)])
    assert "nothing can be ranked by return_percent: 1 of 2" in page
