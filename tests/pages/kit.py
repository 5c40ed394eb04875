"""What the tests of pages share: reading a page as a browser would, and results to make pages of."""

from __future__ import annotations

import json
import math
from html.parser import HTMLParser
from typing import Any

import msgspec

from engine.analysis.distributions import distribution
from engine.analysis.formulas import FORMULAS
from engine.analysis.report import Report
from engine.analysis.shapes import (
    Costs,
    Curve,
    Day,
    Exposure,
    FallRow,
    FillRow,
    Fingerprints,
    Gap,
    GroupRow,
    IncompleteBar,
    Month,
    RoundTrip,
    Series,
    SessionRow,
)
from engine.clock import SECOND_NS, day_start_ns
from engine.events import BarClosed, InstrumentListed, SessionStarted, SignalRaised, StopChanged
from engine.pages.causes import Causes
from engine.pages.charting import Charting
from engine.pages.report import Origin, report_page

__all__ = ["HOSTILE", "Read", "T", "collected", "page", "result"]

T = day_start_ns("2024-12-05")
MINUTE_NS = 60 * SECOND_NS

HOSTILE = (
    "<script>globalThis.broken = 1</script>",
    '"><img src=x onerror="globalThis.broken=1">',
    "</script><script>globalThis.broken = 1</script>",
    "<!--<script>",
    "&lt;b&gt;",
    "' onmouseover='globalThis.broken=1",
    "\u202ereversed\u2028line\u2029\0\r\n",
    "${globalThis.broken = 1} {{1+1}} javascript:globalThis.broken=1",
)


class Read(HTMLParser):
    """Collects what a browser would find in a text."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.tags: list[str] = []
        self.attributes: list[tuple[str, str | None]] = []
        self.text = ""
        self.scripts: list[tuple[dict[str, str | None], str]] = []
        self.feed(text)
        self.close()

    def handle_starttag(self, name: str, attributes: list[tuple[str, str | None]]) -> None:
        self.tags.append(name)
        self.attributes += attributes
        if name == "script":
            self.scripts.append((dict(attributes), ""))

    def handle_data(self, data: str) -> None:
        if self.tags and self.tags[-1] == "script" and self.cdata_elem == "script":
            self.scripts[-1] = self.scripts[-1][0], self.scripts[-1][1] + data
        else:
            self.text += data

    def data(self, name: str) -> Any:
        """Return a data block of the page."""
        return next(json.loads(text) for attributes, text in self.scripts if attributes.get("id") == name)


def result(minutes: int = 600, trips: int = 40, name: str = "sim:ABC", words: str = "momentum") -> Report:
    """Return a report of a made period, whose names and reasons are as given."""
    times = [T + at * MINUTE_NS for at in range(minutes)]
    equity = [10_000 + 500 * math.sin(at / 90) + at / 10 for at in range(minutes)]
    peaks = [max(equity[: at + 1]) for at in range(minutes)] if minutes < 2000 else [max(equity)] * minutes
    fall = [(peak - one) / peak * 100 for peak, one in zip(peaks, equity, strict=True)]
    made = []
    fills = []
    for at in range(trips):
        entered, left = (times[(at * minutes // max(1, trips) + more) % minutes] for more in (0, 7))
        net = math.sin(at) * 40
        made.append(
            RoundTrip(
                words, name, "long" if at % 2 else "short", "1.5", 100.0 + at, 101.0 + at, f"{net + 1:.2f}",
                "1", f"{net:.2f}", entered, max(entered, left), words, words, "take", "-12.5", "20.25", -0.8,
                1.3,
                100 + 10 * at, 105 + 10 * at, "0.5", {words: 1.25}, {words: float("nan")},
            )
        )  # fmt: skip
        for seq, at_ns, side in ((100 + 10 * at, entered, "buy"), (105 + 10 * at, left, "sell")):
            fills.append(
                FillRow(
                    seq, at_ns, words, name, side, "100.25", "1.5", "0.5", "", "open", "taker", words, "own"
                )
            )
    group = GroupRow(words, 3, 2, 1, "12.5", "1", "0.5", "12", "0", 66.7, None, "20", None)
    metrics: dict[str, float | int | str | None] = dict.fromkeys(FORMULAS, 1.5)
    metrics |= {"net_profit": "-123.45", "round_trips": trips, "sharpe": None}
    return Report(
        metrics=metrics,
        reasons={"sharpe": f"no reason {words}"},
        trips=made,
        drawdowns=[FallRow(T, T + MINUTE_NS, None, "123.45", 3.5, 2.0)],
        months=[Month("2024-11", -2.5, 30), Month("2024-12", 4.5, 5)],
        daily_distribution=distribution([0.01, -0.02, 0.005, 0.03]),
        trip_distribution=distribution([float(one.net) for one in made]),
        gaps=[Gap(name, T, T + MINUTE_NS, 77)],
        gaps_count=3,
        incomplete_bars=1,
        currency="USD",
        begin_ns=T,
        end_ns=times[-1],
        series=Series(
            Curve(times, equity), Curve(times, fall), Curve(times, [10_000.0 + at for at in range(minutes)]),
            Curve(times, [50.0] * minutes), Curve(times, [-50.0] * minutes),
        ),
        daily=[Day("2024-12-05", times[-1], "10000", "5", "1", "0", 0.5, 3)],
        by_instrument=[named(group, name)], by_strategy=[group], by_entry_reason=[group],
        by_exit_reason=[group], by_hour=[named(group, "09")], by_weekday=[named(group, "Monday")],
        exposure=Exposure(50.0, 30.0, 20.0, 40.0, 90.0, 5.0, -10.0, 80.0),
        costs=Costs("200", "50", "-3", "7", "140", 25.0, 1.5, 3.5, "10", "40"),
        incomplete=[IncompleteBar(name, "1m", T, words, 99)],
        fingerprints=Fingerprints(
            "d" * 64, "c" * 64, "f" * 64, [(words, words, "a" * 16)], {"python": "3.11"},
            [SessionRow("00aa", "backtest", T, "1.0", "c" * 64, "e" * 64, "f" * 64, "3.11", [])] * 2,
            2,
        ),
        fill_rows=fills,
        fills_count=len(fills),
        table_notes=[words],
    )  # fmt: skip


def named(row: GroupRow, name: str) -> GroupRow:
    """Return a row under another name."""
    return msgspec.structs.replace(row, name=name)


def collected(minutes: int = 600, name: str = "ABC", words: str = "momentum") -> tuple[Charting, Causes]:
    """Return charts of an instrument, with a plot near the price, one far from it, and a stop."""
    charting, causes = Charting(), Causes()
    started = SessionStarted(T, "00aa", "backtest", "1", "e", "c", ((words, words, "a"),), '{"words": "%s"}')
    listed = InstrumentListed(T, 1, "sim", name, 2, 1)
    for one in (charting, causes):
        one.append(1, [started, listed], [])
    seq = 3
    for at in range(minutes):
        start = T + at * MINUTE_NS
        price = 10_000 + round(800 * math.sin(at / 60)) + at % 7
        end = start + MINUTE_NS
        events = [
            BarClosed(
                end, 1, MINUTE_NS, start, price, price + 9, price - 8, price + 3, 30 + at % 5, 3, "",
                incomplete=at == 5,
            ),
            SignalRaised(end, words, 1, f"average {words}", price / 100),
            SignalRaised(end, words, 1, f"strength {words}", 50 + 30 * math.sin(at / 20)),
        ]  # fmt: skip
        if at % 50 == 10:
            events.append(StopChanged(end, words, 1, "h", -1, 5, "sl", price - 100, "waiting"))
        elif at % 50 == 40:
            events.append(StopChanged(end, words, 1, "h", -1, 5, "sl", price - 100, "fired"))
        charting.append(seq, [], [(seq + more, seq, event) for more, event in enumerate(events)])
        seq += len(events)
    return charting, causes


def page(minutes: int = 600, trips: int = 40, words: str = "momentum", name: str = "ABC") -> str:
    """Return a page of a made result."""
    origin = Origin(
        f"{words} on {name}",
        "backtest",
        {"2024-12-05": f"run/{words}"},
        "run",
        facts=[(words, words)],
        notes=[words],
    )
    charting, causes = collected(minutes, name, words)
    return report_page(result(minutes, trips, charting.instruments.label(1), words), origin, charting, causes)
