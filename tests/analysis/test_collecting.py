"""A report of records equals a plain computation over the same records, however they are cut into frames."""

from __future__ import annotations

from decimal import Decimal
from fractions import Fraction
from typing import Any

import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from msgspec.structs import replace

from engine.analysis.collecting import Collector
from engine.analysis.report import Report, report_of
from engine.analysis.shapes import BEFORE, OTHER, Curve, GroupRow
from engine.clock import DAY_NS, SECOND_NS, day_start_ns
from engine.events import (
    BarClosed,
    BarCorrected,
    Candle,
    EquityMarked,
    Event,
    FeedGap,
    FillBooked,
    InstrumentListed,
    MarketRules,
    PathReached,
    PositionChanged,
    Quote,
    SubmitOrder,
    Trade,
)
from engine.events.codec import Record
from engine.events.terms import OrderTerms
from tests.profiles import examples
from tests.replay.kit import BUSY, EVE, NOON, Memory, candles, market, markets, opening, run, steady, stopped

T = day_start_ns("2024-12-05")
HOUR_NS = 3600 * SECOND_NS
ABC = InstrumentListed(T, 1, "sim", "ABC", 2, 1)


def report(records: list[Record]) -> Report:
    collector = Collector()
    collector.apply(records)
    collector.finish()
    return report_of(collector)


def numbered(events: list[Event]) -> list[Record]:
    return [(seq, 0, event) for seq, event in enumerate(events, 1)]


def equity(at_ns: int, amount: int, **others: int) -> EquityMarked:
    """Return a mark in whole units of money."""
    return EquityMarked(at_ns, 0, 0, 0, others.get("fees", 0), amount, others.get("funding", 0), 1000, 0)


def fill(
    at_ns: int, side: int, price: int, size: int, role: str, fee: int = 0, order: str = ""
) -> FillBooked:
    """Return a fill; price at two decimals, size at one, fee at three."""
    return FillBooked(at_ns, "s", 1, side, price, size, fee, 0, order, 1, "taker", role, "own")


def held(at_ns: int, size: int) -> PositionChanged:
    return PositionChanged(at_ns, "s", 1, size, 0, 0, 0)


def trips_of(records: list[Record]) -> list[dict[str, Any]]:
    """Return the round trips by the definition: every price is valued while a book is open."""
    listed: dict[int, InstrumentListed] = {}
    books: dict[tuple[int, str], dict[str, Any]] = {}
    ended = []
    printed = set()
    unled: dict[int, Candle] = {}  # nothing has been led along it so far

    def see(key: tuple[int, str], price: Fraction) -> None:
        trip = books[key]
        result = trip["cash"] + trip["size"] * price
        trip["mae"], trip["mfe"] = min(trip["mae"], result), max(trip["mfe"], result)

    for _, _, event in records:
        if isinstance(event, InstrumentListed):
            listed[event.instrument] = event
        elif isinstance(event, Trade):
            printed.add(event.instrument)
            for key in books:
                if key[0] == event.instrument:
                    see(key, Fraction(event.price, 10 ** listed[event.instrument].price_scale))
        elif isinstance(event, Quote) and event.instrument not in printed:
            for key, trip in books.items():
                side = event.bid if trip["size"] > 0 else event.ask
                if key[0] == event.instrument and side:
                    see(key, Fraction(side, 10 ** listed[event.instrument].price_scale))
        elif isinstance(event, Candle):
            unled[event.instrument] = event
        elif isinstance(event, BarClosed) and event.instrument in unled:
            candle = unled[event.instrument]
            if (event.start_ns, event.interval_ns) == (candle.start_ns, candle.interval_ns):
                del unled[event.instrument]
                for key in books:
                    if key[0] == event.instrument:
                        for price in (candle.open, candle.low, candle.high, candle.close):
                            see(key, Fraction(price, 10 ** listed[event.instrument].price_scale))
        elif isinstance(event, PathReached):
            unled.pop(event.instrument, None)
            if (event.instrument, event.owner) not in books:
                continue
            price = Fraction(event.price, 10 ** listed[event.instrument].price_scale)
            see((event.instrument, event.owner), price)
        elif isinstance(event, FillBooked):
            one, key = listed[event.instrument], (event.instrument, event.owner)
            price = Fraction(event.price, 10 ** (one.price_scale + event.finer))
            size = Fraction(event.size * event.side, 10**one.size_scale)
            new = {"size": 0, "cash": 0, "fees": 0, "mae": 0, "mfe": 0, "entered": event.at_ns}
            trip = books.setdefault(key, new)
            trip["size"] += size
            trip["cash"] -= size * price
            trip["fees"] += Fraction(int(event.fee), 10 ** (one.money_scale + event.finer))
            see(key, price)
            if not trip["size"]:
                ended.append({**books.pop(key), "owner": event.owner, "exited": event.at_ns})
    return ended


def check(records: list[Record]) -> Report:
    """Compare a report with the plain computation."""
    found = report(records)
    plain = trips_of(records)
    assert [
        (
            one.strategy,
            one.entered_ns,
            one.exited_ns,
            *map(Fraction, (one.profit, one.fees, one.mae, one.mfe)),
        )
        for one in found.trips
    ] == [
        tuple(one[name] for name in ("owner", "entered", "exited", "cash", "fees", "mae", "mfe"))
        for one in plain
    ]
    assert all(Fraction(one.net) == Fraction(one.profit) - Fraction(one.fees) for one in found.trips)
    marks = [
        Fraction(int(event.equity), 10**event.scale)
        for _, _, event in records
        if isinstance(event, EquityMarked)
    ]
    falls = [max(marks[: at + 1]) - mark for at, mark in enumerate(marks)]
    assert Fraction(str(found.metrics["max_drawdown"])) == max(falls)
    assert Fraction(str(found.metrics["net_profit"])) == marks[-1] - marks[0]
    assert found.metrics["round_trips"] == len(plain)
    check_flat(records, found)
    check_tables(found)
    assert not any(row.name == OTHER for table in breakdowns(found).values() for row in table)
    return found


def breakdowns(found: Report) -> dict[str, list[GroupRow]]:
    names = ("instrument", "strategy", "entry_reason", "exit_reason", "hour", "weekday")
    return {name: getattr(found, f"by_{name}") for name in names}


def check_tables(found: Report) -> None:
    """Every table sums exactly to the totals; trips are counted once in each."""
    totals = {name: Fraction(str(found.metrics[name])) for name in ("net_profit", "fees", "funding")}
    for table in (*breakdowns(found).values(), found.months, found.daily):
        for name, whole in totals.items():
            assert sum(Fraction(getattr(row, name)) for row in table) == whole, name
        assert sum(row.round_trips for row in table) == found.metrics["round_trips"]
    for rows in breakdowns(found).values():
        assert len({row.name for row in rows}) == len(rows)
        for row in rows:
            assert Fraction(row.profit) - Fraction(row.fees) + Fraction(row.funding) == Fraction(
                row.net_profit
            )
    costs = found.costs
    parts = [Fraction(text or "0") for text in (costs.net_profit, costs.fees, costs.slippage)]
    assert Fraction(costs.gross_profit or "0") == sum(parts) - Fraction(costs.funding or "0")
    assert Fraction(costs.maker_fees) + Fraction(costs.taker_fees) == totals["fees"]


def check_flat(records: list[Record], found: Report) -> None:
    """Whenever nothing is held, the equity is the start and the round trips until then: nothing is funded."""
    sizes: dict[tuple[int, str], int] = {}
    for seq, _, event in records:
        if isinstance(event, FillBooked):
            key = event.instrument, event.owner
            sizes[key] = sizes.get(key, 0) + event.side * event.size
        elif isinstance(event, EquityMarked) and not any(sizes.values()):
            gained = Fraction(int(event.equity) - int(event.start), 10**event.scale)
            assert gained == sum(Fraction(one.net) for one in found.trips if one.exit_seq < seq)


def frames(memory: Memory) -> Report:
    collector = Collector()
    for _, first_seq, inputs, derived in memory.frames:
        collector.append(first_seq, inputs, derived)
    collector.finish()
    return report_of(collector)


LATE = [(0, "t", 1, 0, 1)] * 10 + [(2500, "t", 1, 1, 1), (1000, "t", 1, 0, 1), (0, "l", 1, 1, 1)]
"""The last trade is a late one: not the close of its bar, and what the account is valued at."""


@examples(0.5)
@example(LATE, NOON, [])
@given(markets, st.sampled_from([NOON, EVE]), st.lists(st.integers(1, 59), max_size=4))
def test_a_report_of_a_random_session_is_the_plain_computation(
    plan: list[tuple[int, str, int, int, int]], at_ns: int, cuts: list[int]
) -> None:
    inputs = opening(BUSY, at_ns) + market(plan, at_ns)
    inputs.append(stopped(max(event.recv_ns for event in inputs)))  # type: ignore[attr-defined]
    memory = run(inputs, cuts)
    assert check(memory.all()) == frames(memory)


@pytest.mark.parametrize("data", ["trades", "candles"])
def test_a_report_of_a_session_with_many_round_trips_is_the_plain_computation(data: str) -> None:
    inputs = opening(BUSY, NOON)
    inputs += steady(900, NOON) if data == "trades" else candles(300, NOON, SECOND_NS)
    inputs.append(stopped(inputs[-1].recv_ns))  # type: ignore[attr-defined]
    memory = run(inputs, range(0, len(inputs), 70))
    found = check(memory.all())
    assert len(found.trips) > 5
    assert any(Decimal(one.mfe) > max(Decimal(0), Decimal(one.profit)) for one in found.trips)
    assert found == frames(memory)


def test_a_day_that_goes_on_begins_with_the_equity_and_the_positions_of_midnight() -> None:
    inputs = opening(BUSY, EVE) + steady(400, EVE)
    inputs.append(stopped(inputs[-1].recv_ns))  # type: ignore[attr-defined]
    memory = run(inputs)
    whole, later = report(memory.all()), report(memory.all(memory.days[1]))
    midnight = next(point for point in whole.days if point.at_ns % DAY_NS == 0)
    assert later.days[0] == midnight
    assert later.days[-1] == whole.days[-1]
    cut = [one for one in whole.trips if one.entered_ns < midnight.at_ns < one.exited_ns]
    assert later.cut_trips == len(cut) > 0
    begun = [one for one in whole.trips if one.entered_ns >= midnight.at_ns]
    assert [replace(one, entry_plots={}, exit_plots={}) for one in later.trips] == [
        replace(one, entry_plots={}, exit_plots={}) for one in begun
    ]
    # What was plotted before the period is not known in it.
    for one, same in zip(later.trips, begun, strict=True):
        assert one.entry_plots.items() <= same.entry_plots.items()
    check_tables(later)
    # Three books are open at midnight. What prices did between the last mark and midnight is of none of them.
    assert [row.name for row in later.by_hour] == ["00", BEFORE, OTHER]


def test_a_session_without_an_order_has_no_trips_and_says_why() -> None:
    found = report(numbered([ABC, equity(T, 1000), equity(T + HOUR_NS, 1000)]))
    metrics, reasons = found.metrics, found.reasons
    assert (metrics["return_percent"], metrics["net_profit"], metrics["round_trips"]) == (0.0, "0", 0)
    assert (metrics["exposure_percent"], metrics["turnover"]) == (0.0, "0")
    assert (metrics["max_drawdown"], metrics["max_drawdown_percent"]) == ("0", 0.0)
    assert reasons["win_rate_percent"] == reasons["best"] == "no round trip"
    assert reasons["sharpe"] == "1 day of returns, under 30"
    assert reasons["slippage"] == "no market order or stop was filled at a known price"
    assert reasons["benchmark_percent"] == "no bar, so no first price"
    assert set(reasons) == {name for name, value in metrics.items() if value is None}


def test_without_an_equity_everything_of_the_account_is_none() -> None:
    found = report(numbered([ABC]))
    assert found.reasons["return_percent"] == found.reasons["max_drawdown"] == "the equity is not known"
    assert found.reasons["exposure_percent"] == "the period has no length"
    assert found.reasons["max_drawdown_percent"] == "no equity"


def test_a_ruined_account_has_a_return_and_no_yearly_figure() -> None:
    days = [equity(T + day * DAY_NS, 1000 if day < 20 else -10) for day in range(40)]
    found = report(numbered([ABC, *days]))
    assert found.metrics["return_percent"] == -101.0
    assert found.metrics["max_drawdown_percent"] == 101.0
    assert found.reasons["sharpe"] == found.reasons["cagr"] == "the equity was 0 or below"
    assert [(one.month, one.return_percent, one.net_profit) for one in found.months] == [
        ("2024-12", None, "-1010"),
        ("2025-01", None, "0"),
    ]
    assert [one.return_percent for one in found.daily].count(None) == 19
    assert found.costs.reason == "there is no profit before costs"


def test_the_equity_of_a_day_is_the_newest_until_its_midnight_also_on_days_without_a_mark() -> None:
    marks = [
        (HOUR_NS, 1000),
        (DAY_NS, 1010),
        (DAY_NS + 1, 900),
        (4 * DAY_NS + HOUR_NS, 990),
    ]
    found = report(numbered([ABC, *(equity(T + at, amount) for at, amount in marks)]))
    assert [((one.at_ns - T) / DAY_NS, one.equity) for one in found.days] == [
        (0, "1000"),
        (1, "1010"),
        (2, "900"),
        (3, "900"),
        (4, "900"),
        (4 + 1 / 24, "990"),
    ]
    assert found.daily_distribution.count == 5
    assert [(one.month, one.days) for one in found.months] == [("2024-12", 5)]
    assert found.months[0].return_percent == pytest.approx(-1)


def test_the_deflated_ratio_needs_the_number_of_trials() -> None:
    collector = Collector()
    amounts = [1000 + day * 3 + day * 7 % 11 for day in range(60)]
    marks = [equity(T + day * DAY_NS, amount) for day, amount in enumerate(amounts)]
    collector.apply(numbered([ABC, *marks]))
    collector.finish()
    alone, tried = report_of(collector), report_of(collector, trials=50, variance=0.02)
    assert alone.reasons["dsr"] == "the number of trials is not known"
    deflated, plain = tried.metrics["dsr"], alone.metrics["psr"]
    assert isinstance(deflated, float)
    assert isinstance(plain, float)
    assert 0 < deflated < plain < 1


def test_deposits_are_no_profit() -> None:
    rich = EquityMarked(T + HOUR_NS, 0, 0, 0, 0, 1600, 0, 1000, 500)
    found = report(numbered([ABC, equity(T, 1000), rich]))
    assert (found.metrics["net_profit"], found.metrics["return_percent"]) == ("100", 10.0)


def test_a_drawdown_begins_at_the_last_moment_without_a_position() -> None:
    events: list[Event] = [ABC, equity(T, 1000), fill(T + 9 * DAY_NS, 1, 10_000, 10, "open")]
    events += [held(T + 9 * DAY_NS, 10), equity(T + 9 * DAY_NS, 990), equity(T + 11 * DAY_NS, 995)]
    found = report(numbered(events))
    assert found.metrics["max_drawdown_days"] == 2.0
    assert found.metrics["underwater_percent"] == pytest.approx(2 / 11 * 100)
    assert [(one.start_ns, one.end_ns) for one in found.drawdowns] == [(T + 9 * DAY_NS, None)]


def test_costs_are_split() -> None:
    marks = [equity(T, 1000, fees=5, funding=-3), equity(T + HOUR_NS, 990, fees=12, funding=1)]
    orders = [
        Trade(T, T, 1, 10_000, 10, 1, 1),
        SubmitOrder(T, "market", "s", 1, OrderTerms(1, 20, role="open"), reason="up"),
        fill(T, 1, 10_010, 20, "open", 500, "market"),
        SubmitOrder(T, "stop", "s", 1, OrderTerms(-1, 10, trigger="sl", trigger_price=9_000), reason="down"),
        fill(T, -1, 8_950, 10, "close", 0, "stop"),
        SubmitOrder(T, "limit", "s", 1, OrderTerms(-1, 10, 9_500)),
        fill(T, -1, 9_500, 10, "close", 0, "limit"),
    ]
    found = report(numbered([ABC, *marks, *orders]))
    assert (found.metrics["fees"], found.metrics["funding"]) == ("7", "4")
    # 2 bought for 0.10 more, 1 sold for 0.50 less; the limit order does not count.
    assert found.metrics["slippage"] == "0.7"
    assert found.metrics["turnover"] == "384.7"
    (trip,) = found.trips
    assert (trip.entry_reason, trip.exit_reason, trip.exit_by) == ("up", "", "own")
    assert (trip.size, trip.profit, trip.fees, trip.net) == ("2", "-15.7", "0.5", "-16.2")
    assert (trip.mae, trip.mae_percent, trip.mfe) == ("-21.2", pytest.approx(-21.2 / 200.2 * 100), "0")


def test_a_trade_while_a_trip_is_open_is_its_worst_or_best_also_after_a_finer_listing() -> None:
    finer = InstrumentListed(T, 1, "sim", "ABC", 4, 1)
    events = [
        ABC,
        fill(T, -1, 10_000, 10, "open"),
        Trade(T, T, 1, 12_000, 10, 1, 1),
        Trade(T, T, 1, 9_000, 10, 1, 2),
        finer,
        Trade(T, T, 1, 800_000, 10, 1, 3),
        fill(T, 1, 1_100_000, 10, "close"),
        Trade(T, T, 1, 9_990_000, 10, 1, 4),
    ]
    (trip,) = report(numbered(events)).trips
    assert (trip.side, trip.mae, trip.mfe, trip.profit) == ("short", "-20", "20", "-10")
    assert (trip.entry_price, trip.exit_price) == (100.0, 110.0)


def test_without_prints_a_trip_is_valued_at_the_side_of_the_quote_that_would_close_it() -> None:
    def quote(bid: int, ask: int) -> Quote:
        return Quote(T, T, 1, bid, 1, ask, 1)

    events = [ABC, fill(T, 1, 10_000, 10, "open"), quote(9_900, 10_300), quote(0, 20_000)]
    events += [quote(10_100, 10_200), fill(T, -1, 10_000, 10, "close")]
    (trip,) = report(numbered(events)).trips
    assert (trip.mae, trip.mfe) == ("-1", "1")
    printed = report(numbered([ABC, Trade(T, T, 1, 10_000, 1, 1, 1), *events[1:]])).trips
    assert (printed[0].mae, printed[0].mfe) == ("0", "0")
    sold = [ABC, fill(T, -1, 10_000, 10, "open"), *events[2:5], fill(T, 1, 10_000, 10, "close")]
    (trip,) = report(numbered(sold)).trips
    assert (trip.mae, trip.mfe) == ("-100", "0")


def test_the_price_when_an_order_is_sent_is_the_middle_of_the_newest_quote() -> None:
    events = [ABC, Quote(T, T, 1, 10_000, 1, 10_005, 1), SubmitOrder(T, "a", "s", 1, OrderTerms(1, 10))]
    events.append(fill(T, 1, 10_010, 10, "open", 0, "a"))
    assert report(numbered(events)).metrics["slippage"] == "0.075"


def test_exposure_is_the_time_with_any_position() -> None:
    events: list[Event] = [ABC, equity(T, 1000), held(T + HOUR_NS, 5)]
    events += [held(T + 90 * 60 * SECOND_NS, 8), held(T + 2 * HOUR_NS, 0)]
    events += [held(T + 6 * HOUR_NS, -1), equity(T + 10 * HOUR_NS, 1000)]
    assert report(numbered(events)).metrics["exposure_percent"] == 50.0


def bar(minute: int, close: int, instrument: int = 1, **others: Any) -> BarClosed:
    start = T + minute * 60 * SECOND_NS
    end = start + 60 * SECOND_NS
    prices = close, close, close, close
    return BarClosed(end, instrument, 60 * SECOND_NS, start, *prices, 1, 1, "trade", **others)


def test_the_benchmark_holds_equal_parts_from_the_first_bar_of_each_instrument() -> None:
    other = InstrumentListed(T, 2, "sim", "DEF", 0, 0)
    bars = [bar(0, 10_000), bar(1, 11_000), bar(1, 50, 2), bar(2, 12_000), bar(2, 40, 2)]
    found = report(numbered([ABC, other, *bars]))
    assert found.metrics["benchmark_percent"] == pytest.approx((20 - 20) / 2)
    assert report(numbered([ABC, *bars[:2]])).metrics["benchmark_percent"] == pytest.approx(10)


def test_every_mark_of_the_equity_is_kept_for_a_chart() -> None:
    collector = Collector()
    collector.apply(numbered([ABC, equity(T, 1000), EquityMarked(T + 1, 2, 0, 0, 0, 100_050, 0, 100_000, 0)]))
    collector.finish()
    assert report_of(collector).series.equity == Curve([T, T + 1], [1000.0, 1000.5])


def test_gaps_and_incomplete_bars_of_the_period_are_counted() -> None:
    gaps: list[Event] = [FeedGap(T, "sim", 1, T, T + 5), FeedGap(T, "sim", 1, T, T + 6, closed=True)]
    late = bar(2, 1, incomplete=True)
    values = {name: getattr(late, name) for name in BarClosed.__struct_fields__}
    corrected: list[Event] = [late, BarCorrected(**values | {"incomplete": False, "revision": 1})]
    found = report(numbered([ABC, *gaps, bar(0, 1, incomplete=True), bar(1, 1), *corrected]))
    assert [(one.instrument, one.to_ns) for one in found.gaps] == [("ABC", T + 5)]
    assert (found.gaps_count, found.incomplete_bars) == (1, 1)


def test_a_currency_without_a_price_is_in_no_number_and_is_named() -> None:
    abroad = replace(ABC, instrument=2, name="XYZ", rules=MarketRules(base="XYZ", quote="USDT"))
    dollars = replace(ABC, rules=MarketRules(base="ABC", quote="USD"))
    unknown = replace(equity(T + 1, 0), unvalued=(("USDT", "-2.65"),))
    events: list[Event] = [dollars, abroad, replace(fill(T, 1, 10_000, 10, "open"), instrument=2), unknown]
    (note,) = report(numbered(events)).table_notes
    assert note == (
        "-2.65 USDT of profit and loss has no price under [account] prices: no number here includes it"
    )
    (note,) = report(numbered([*events, equity(T + 2, -3)])).table_notes
    assert note == "the money of XYZ is in USDT: in the tables its value in USD is in the row (other)"
    assert report(numbered([dollars, abroad, equity(T + 1, 0)])).table_notes == []
