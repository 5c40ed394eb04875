"""The page of a report in a browser, opened from its file: no request, no error, charts, keys, phone."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from tests.browser.conftest import Watched
from tests.browser.kit import holds, until
from tests.commands.kit import SAMPLE, engine
from tests.pages.kit import HOSTILE, page

CANDLES = 20_000
STRATEGY = ("--strategy", "engine.strategies.crossover:Crossover")

DRAWN = """
(id) => {
  let colors = new Set();
  for (const canvas of document.querySelectorAll(`#${id} canvas`)) {
    if (!canvas.width || !canvas.height) continue;
    const pixels = canvas.getContext("2d").getImageData(0, 0, canvas.width, canvas.height).data;
    for (let at = 0; at < pixels.length; at += 4) {
      if (pixels[at + 3]) colors.add(pixels.slice(at, at + 3).join());
    }
  }
  return colors.size;
}
"""
"""How many colours the canvases of a chart have: a blank one has at most one."""


@pytest.fixture(scope="module")
def large(tmp_path_factory: pytest.TempPathFactory) -> Path:
    file = tmp_path_factory.mktemp("page") / "large.html"
    file.write_text(page(CANDLES, 200), "utf-8")
    return file


def opened(watched: Watched, file: Path) -> Any:
    watched.page.goto(file.as_uri())
    return watched.page


def alone(watched: Watched, file: Path) -> None:
    """Assert that the page asked for nothing but its file, and had no error."""
    assert watched.requests == [file.as_uri()]
    assert watched.problems == []


def test_twenty_thousand_candles_are_drawn_without_a_request(watched: Watched, large: Path) -> None:
    view = opened(watched, large)
    assert view.get_attribute("#market-chart", "data-candles") == str(CANDLES)
    assert int(view.get_attribute("#market-chart", "data-fills")) == 400
    assert int(view.get_attribute("#equity-chart", "data-points")) > 1000
    for chart in ("market-chart", "equity-chart"):
        view.locator(f"#{chart}").scroll_into_view_if_needed()
        holds(view, lambda drawn=chart: view.evaluate(DRAWN, drawn) > 5)
    attribution = view.locator("#market-chart a[href*='tradingview.com']")
    assert attribution.is_visible()
    alone(watched, large)


def test_the_policy_stops_scripts_styles_and_requests_of_others(watched: Watched, large: Path) -> None:
    view = opened(watched, large)
    refused: list[tuple[str, str | None]] = []
    view.on("requestfailed", lambda request: refused.append((request.url, request.failure)))
    view.evaluate(
        """() => {
          const script = document.createElement("script");
          script.textContent = "globalThis.broken = 1";
          document.body.append(script);
          const host = document.createElement("div");
          host.innerHTML = "<b onclick='globalThis.broken = 1' style='color: red'>x</b>";
          document.body.append(host);
          host.firstChild.click();
          const image = document.createElement("img");
          image.src = "https://example.invalid/x.png";
          document.body.append(image);
        }"""
    )
    assert view.evaluate("fetch('https://example.invalid/').then(() => 'sent', () => 'refused')") == "refused"
    assert view.evaluate("globalThis.broken") is None
    # The browser names the image as a request that the policy refused; it never left.
    assert all(url == large.as_uri() or (url, "csp") in refused for url in watched.requests)
    assert len(watched.problems) >= 4
    assert all("Content Security Policy" in one or "violates" in one for one in watched.problems)


@pytest.mark.parametrize("at", range(len(HOSTILE)))
def test_a_hostile_name_is_only_text(watched: Watched, tmp_path: Path, at: int) -> None:
    file = tmp_path / "hostile.html"
    file.write_text(page(120, 3, HOSTILE[at], HOSTILE[at]), "utf-8")
    view = opened(watched, file)
    view.click("#trips-table tbody button")
    view.wait_for_selector("#trips-table .detail")
    assert view.evaluate("globalThis.broken") is None
    assert view.locator("img, iframe, [onclick], [onerror], [onmouseover]").count() == 0
    assert view.get_attribute("#market-chart", "data-candles") == "120"
    alone(watched, file)


def test_everything_works_with_the_keyboard(watched: Watched, large: Path) -> None:
    view = opened(watched, large)
    view.keyboard.press("Tab")
    assert view.evaluate("document.activeElement.className") == "skip"
    view.focus("#market-chart")
    before = view.inner_text("#market-reading")
    view.focus("#market-next")
    view.keyboard.press("Enter")
    view.focus("#market-chart")
    for key in ("+", "ArrowLeft", "-", "0"):
        view.keyboard.press(key)
    assert view.inner_text("#market-reading") == before

    view.focus("#trips-table tbody button")
    view.keyboard.press("Enter")
    assert view.evaluate("document.activeElement.getAttribute('aria-expanded')") == "true"
    assert "engine why" in view.inner_text("#trips-table .detail")
    view.keyboard.press("Enter")
    assert view.locator("#trips-table .detail").count() == 0

    view.focus("#trips-table thead th:nth-child(10) button")
    view.keyboard.press("Enter")
    assert view.get_attribute("#trips-table thead th:nth-child(10)", "aria-sort") == "descending"
    shown = view.eval_on_selector_all(
        "#trips-table tbody td:nth-child(10)",
        "cells => cells.map((cell) => Number(cell.textContent.replace('\\u2212', '-')))",
    )
    assert shown == sorted(shown, reverse=True)
    view.focus("#trips-next")
    view.keyboard.press("Enter")
    assert view.inner_text("#trips-place") == "26\u201350 of 200"
    names = view.eval_on_selector_all(
        "button, a, select, [role], [tabindex]",
        "all => all.filter((one) => !(one.textContent.trim() || one.getAttribute('aria-label') || one.title))"
        ".map((one) => one.outerHTML)",
    )
    assert names == []
    alone(watched, large)


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_a_phone_shows_all_within_its_width(watched: Watched, large: Path, scheme: Any) -> None:
    view = watched.page
    view.set_viewport_size({"width": 360, "height": 740})
    view.emulate_media(color_scheme=scheme)
    opened(watched, large)
    assert view.evaluate("document.documentElement.scrollWidth") <= 360
    back = view.evaluate("getComputedStyle(document.body).backgroundColor")
    assert back == {"light": "rgb(244, 245, 247)", "dark": "rgb(16, 20, 24)"}[scheme]
    alone(watched, large)


def test_charts_follow_the_scheme_and_the_print_is_light(watched: Watched, large: Path) -> None:
    view = opened(watched, large)
    light = (
        "document.querySelector('#equity-chart canvas').getContext('2d').getImageData(2, 2, 1, 1).data.join()"
    )
    before = view.evaluate(light)
    view.emulate_media(color_scheme="dark")
    until(view, f"{light} !== {before!r}")
    view.emulate_media(media="print", color_scheme="dark")
    assert view.evaluate("getComputedStyle(document.body).backgroundColor") == "rgb(255, 255, 255)"
    until(view, f"{light} === {before!r}")
    assert not view.locator(".places").is_visible()


def test_the_report_of_a_real_day_opens_its_causes(watched: Watched, tmp_path: Path, picture: Any) -> None:
    file, out = tmp_path / "report.html", tmp_path / "run"
    done = engine("backtest", SAMPLE, *STRATEGY, "--report", file, "--out", out, "--json")
    assert done.code == 0
    trips = json.loads(done.out)["trips"]
    view = opened(watched, file)
    assert view.locator("#trips-table tbody tr").count() == len(trips)
    picture("report")
    view.click("#trips-table tbody button")
    detail = view.inner_text("#trips-table .detail")
    assert f"engine why {out}/2024-12-05 {trips[0]['entry_seq']}" in detail
    assert "OrderApproved" in detail
    view.click("#trips-table .detail >> text=Show on the chart")
    until(view, "document.activeElement.id === 'market-chart'")
    picture("report-market")
    alone(watched, file)


def test_two_runs_are_drawn_over_each_other(watched: Watched, tmp_path: Path, picture: Any) -> None:
    file, ends = tmp_path / "both.html", ("--end", "2024-12-05T00:40")
    for name, more in (("one", ()), ("other", ("--param", "slow=22"))):
        assert engine("backtest", SAMPLE, *STRATEGY, *ends, *more, "--out", tmp_path / name).code == 0
    assert engine("report", "--compare", tmp_path / "one", tmp_path / "other", "--out", file).code == 0
    view = opened(watched, file)
    assert view.evaluate(DRAWN, "both-chart") > 5
    assert "decision" in view.inner_text("#first")
    picture("report-comparison")
    alone(watched, file)
