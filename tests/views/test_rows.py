"""Rows by hand: what each panel shows of a session whose numbers are worked out here."""

from __future__ import annotations

from decimal import Decimal
from typing import Any

from engine.actors.orders.conditions import Conditions, note
from engine.errors import UsageError
from engine.events import (
    ActivityBarClosed,
    BarClosed,
    BarCorrected,
    CandleRead,
    ClockChecked,
    CommandAnswered,
    DayOpened,
    EdgeChanged,
    EquityMarked,
    FeedGap,
    FeedHeard,
    FeedLagging,
    FeedUp,
    FundingPaid,
    InstrumentListed,
    LogWritten,
    OperatorCommand,
    ParameterSet,
    SignalRaised,
    TargetSet,
)
from engine.views.seeding import _seed_conditions
from engine.views.view import View
from tests.orders.session import BUILDER, EVE, MINUTE_NS, Session
from tests.orders.settings import Settings
from tests.views.following import JOURNAL

FREE = Settings(cash="1000", taker_fee="0", maker_fee="0", slippage_bps=0, latency_ms=0)


def view_of(session: Session) -> View:
    view = View(JOURNAL)
    view.apply(session.memory.all())
    return view


def long_of_two() -> Session:
    """A session that holds two bought at 100."""
    session = Session(FREE)
    session.trade(100)
    session.say("Long", "target", "AAA", "2")
    session.trade(100)
    session.trade(100)
    assert session.book("Long") == 2
    return session


def test_a_position_has_entry_mark_and_open_profit() -> None:
    session = long_of_two()
    session.trade("101.5")
    (row,) = view_of(session).positions().positions
    shown = (row.instrument, row.owner, row.size, row.entry, row.mark, row.value, row.unrealized)
    assert shown == ("AAA", "Long", "2", "100", "101.5", "203", "3")
    assert (row.wanted, row.target_state, row.unprotected) == ("2", "reached", "2")
    assert row.protected_by == []


def test_a_stop_protects_its_part_and_shows_how_far_the_price_is() -> None:
    session = long_of_two()
    session.say("Long", "stop", "AAA", "sell", "2", "95")
    session.trade(102)
    session.trade(102)
    view = view_of(session)
    (order,) = [row for row in view.orders().working if row.trigger == "sl"]
    assert (order.side, order.kind, order.held, order.trigger_price) == ("sell", "market stop", "paper", "95")
    assert (order.distance, order.distance_percent) == ("7", round(700 / 102, 4))
    (position,) = view.positions().positions
    (protects,) = position.protected_by
    assert (protects.kind, protects.id, protects.size, protects.price) == ("stop", order.id, "2", "95")
    assert (position.at_venue, position.unprotected) == ("2", "0")


def test_a_trailing_stop_is_held_by_the_engine_and_follows_the_price() -> None:
    session = long_of_two()
    session.say("Long", "trail", "AAA", "2", "5")
    for price in (102, 102, 104):
        session.trade(price)
    view = view_of(session)
    (order,) = view.orders().working
    assert (order.kind, order.held, order.side, order.trigger_price) == ("trail", "engine", "sell", "99")
    assert (order.distance, order.left, order.owner) == ("5", "2", "Long")
    (position,) = view.positions().positions
    (protects,) = position.protected_by
    assert (protects.kind, protects.held, protects.price) == ("trail", "engine", "99")
    assert (position.in_engine, position.unprotected) == ("2", "0")


def test_a_limit_to_buy_below_the_market_waits_for_a_lower_price() -> None:
    session = Session(FREE)
    session.trade(100)
    session.say("Long", "buy", "AAA", "1", limit="98")
    session.trade(100)
    session.quote("100.5", 101)
    (order,) = view_of(session).orders().working
    assert (order.side, order.kind, order.price, order.left) == ("buy", "limit", "98", "1")
    assert order.distance == "3"


def test_the_day_and_the_fall_from_the_peak_count_open_losses() -> None:
    session = long_of_two()
    session.trade(110, after_s=70)
    session.trade(104, after_s=70)
    session.trade(104, after_s=70)
    account = view_of(session).equity().account
    assert (account.start, account.equity, account.cash, account.unrealized) == ("1000", "1008", "1000", "8")
    assert (account.day_profit, account.peak, account.drawdown) == ("8", "1020", "12")
    assert account.drawdown_percent == round(1200 / 1020, 4)
    curve = view_of(session).equity().points
    assert [point.equity for point in curve][-2:] == ["1020", "1008"]
    assert [point.drawdown for point in curve][-2:] == ["0", "12"]


def test_the_profits_of_all_books_are_that_of_the_account() -> None:
    session = Session(Settings(cash="1000", taker_fee="0.001", maker_fee="0.0005", slippage_bps=10))
    session.trade(100)
    for target in ("2", "-1", "0.5", "0", "1"):
        session.say("Long", "target", "AAA", target)
        session.say("Short", "target", "BBB", target)
        for price in (100, 101, 99):
            session.trade(price, market=1)
            session.trade(price, market=2)
    amounts = {"scale": 6, "amount": -1_500_000, "rate": 0, "owner": "Long"}
    session.send(FundingPaid(session.now_ns, session.now_ns, 1, 0, **amounts))
    view = view_of(session)
    account = view.equity().account
    profits = sum(Decimal(row.profit or "x") for row in view.strategies().strategies)
    assert account.cash is not None
    assert Decimal(account.cash) == Decimal(1000) + profits
    assert Decimal(account.fees) > 0
    assert Decimal(account.funding) == Decimal("-1.5")
    for row in view.strategies().strategies:
        assert Decimal(row.profit or "x") == sum(Decimal(book.profit) for book in row.books)


def test_the_bar_that_forms_is_the_bar_that_closes() -> None:
    session = Session(FREE)
    compared = 0
    for number in range(60):
        session.trade(100 + number * 7 % 11, str(1 + number % 3), after_s=11)
        view = view_of(session)
        forming = view.bars("AAA", "1m").forming
        if forming is not None and number % 5 == 4:
            compared += _closes_as(session, forming)
    assert compared > 3


def test_trades_of_the_next_window_form_its_bar_while_the_last_one_waits() -> None:
    for looks in (False, True):
        session = Session(FREE)
        view = View(JOURNAL)
        for price, after_s in ((100, 29), (101, "0.5"), (107, "0.7"), (106, "0.1"), (105, 1)):
            session.trade(price, after_s=after_s)
            view.apply([record for record in session.memory.all() if record[0] > view.seq])
            if looks:
                view.bars("AAA", "1m")
        answer = view.bars("AAA", "1m")
        assert [bar.close for bar in answer.bars] == ["101"]
        forming = answer.forming
        assert forming is not None
        assert (forming.open, forming.high, forming.low, forming.close) == ("107", "107", "105", "105")
        assert (forming.trades, forming.start_ms) == (3, answer.bars[0].start_ms + 60_000)


def test_a_deposit_is_no_profit_of_the_day_and_no_peak() -> None:
    view = View(JOURNAL)
    for at, (equity, moved) in enumerate(((1000, 0), (990, 0), (1490, 500), (1495, 500))):
        view.apply([(at + 1, 1, EquityMarked(at, 0, 0, 0, 0, equity, 0, 1000, moved))])
    account = view.equity().account
    assert (account.equity, account.adjustments, account.day_profit) == ("1495", "500", "-5")
    assert (account.drawdown, account.peak) == ("5", "1500")


def test_the_day_begins_with_the_equity_of_midnight() -> None:
    view = View(JOURNAL)
    view.apply([(1, 0, EquityMarked(1, 0, 0, 0, 0, 1100, 0, 1000))])
    assert view.equity().account.day_profit == "100"
    view.apply([(2, 1, DayOpened(2, "1970-01-02", b""))])
    assert view.equity().account.day_profit == "0"
    view.apply([(3, 1, EquityMarked(3, 0, 0, 0, 0, 1090, 0, 1000))])
    assert view.equity().account.day_profit == "-10"


def test_a_day_that_opens_below_the_peak_knows_the_fall() -> None:
    session = Session(FREE, begin_ns=EVE - 3 * MINUTE_NS)
    session.trade(100)
    session.say("Long", "target", "AAA", "2")
    for price, after_s in ((100, 1), (100, 1), (110, 1), (110, 70), (110, 70), (104, 80), (104, 80)):
        session.trade(price, after_s=after_s)
    records = session.memory.all()
    opened = next(place for place, record in enumerate(records) if isinstance(record[2], DayOpened))
    late = View(JOURNAL)
    late.apply(records[opened:])
    for view in (view_of(session), late):
        account = view.equity().account
        assert (account.equity, account.peak, account.drawdown) == ("1008", "1020", "12")
        assert account.day_profit == "-12"


def test_bars_of_activity_are_bars_by_their_kind() -> None:
    session = Session(FREE)
    session.trade(100)
    view = view_of(session)
    for number in range(3):
        bar = ActivityBarClosed(number, 1, "volume:5", number, number * 10**9, number, 10, 30, 10, 20, 5, 2)
        view.apply([(view.seq + 1, 1, bar)])
    assert "volume:5" in view.instruments().instruments[0].intervals
    answer = view.bars("AAA", "volume:5", limit=2)
    assert [bar.start_ms for bar in answer.bars] == [1000, 2000]
    assert answer.more
    assert [bar.start_ms for bar in view.bars("AAA", "volume:5", before_ms=1000).bars] == [0]


def _closes_as(session: Session, forming: Any) -> int:
    """Let the minute end without another trade, and compare."""
    end_ns = (session.now_ns // MINUTE_NS + 1) * MINUTE_NS
    session.wait(Decimal(end_ns - session.now_ns) / 10**9 + 2)
    answer = view_of(session).bars("AAA", "1m")
    assert answer.forming is None or answer.forming.start_ms > forming.start_ms
    bars = answer.bars
    closed = next(bar for bar in bars if bar.start_ms == forming.start_ms)
    names = ("open", "high", "low", "close", "volume", "trades")
    assert [getattr(closed, name) for name in names] == [getattr(forming, name) for name in names]
    return 1


def test_the_longest_interval_forms_of_shorter_bars_and_trades() -> None:
    session = Session(FREE)
    prices = [100, 105, 95, 101, 102, 99]
    for price in prices:
        session.trade(price, after_s=40)
    view = view_of(session)
    intervals = view.instruments().instruments[0].intervals
    for interval in intervals:
        forming = view.bars("AAA", interval).forming
        assert forming is None or Decimal(forming.low) <= Decimal(forming.close) <= Decimal(forming.high)


def test_a_bar_of_an_earlier_window_takes_its_place() -> None:
    view = View(JOURNAL)
    listed = InstrumentListed(1, 1, "sim", "AAA", 1, 1)
    bars = [
        BarClosed(at, 1, MINUTE_NS, start * MINUTE_NS, 1, 2, 1, 1, 1, 1, "candle")
        for at, start in enumerate((1, 2, 5, 3, 6, 4))
    ]
    view.apply([(1, 0, listed), *((2 + at, 1, bar) for at, bar in enumerate(bars))])
    rows = view.bars("AAA", "1m").bars
    assert [row.start_ms // 60_000 for row in rows] == [1, 2, 3, 4, 5, 6]


def test_a_candle_of_before_the_session_never_replaces_a_bar() -> None:
    view = View(JOURNAL)
    view.apply(
        [
            (1, 0, InstrumentListed(1, 1, "sim", "AAA", 1, 1)),
            (2, 1, BarClosed(2, 1, MINUTE_NS, 2 * MINUTE_NS, 10, 20, 10, 10, 1, 1, "timer")),
        ]
    )
    for seq, start in ((3, 2), (4, 1)):
        times = (5, 5, 1, MINUTE_NS, start * MINUTE_NS)
        view.apply([(seq, 0, CandleRead(*times, 30, 40, 30, 30, 5, 7, "history"))])
    rows = view.bars("AAA", "1m").bars
    assert [(row.open, row.source) for row in rows] == [("3", "history"), ("1", "trades")]


def test_a_corrected_bar_replaces_the_one_before() -> None:
    session = Session(FREE)
    session.trade(100)
    view = view_of(session)
    start_ns = session.now_ns // MINUTE_NS * MINUTE_NS
    values = {"open": 1000, "high": 1100, "low": 900, "close": 1000, "volume": 5, "trades": 2}
    first = BarClosed(session.now_ns, 1, MINUTE_NS, start_ns, **values, closed_by="timer", incomplete=True)
    second = BarCorrected(
        session.now_ns, 1, MINUTE_NS, start_ns, **{**values, "high": 1200}, closed_by="gap", revision=1
    )
    view.apply([(view.seq + 1, 1, first)])
    (bar,) = view.bars("AAA", "1m").bars
    assert (bar.incomplete, bar.corrected) == (True, False)
    view.apply([(view.seq + 1, 1, second)])
    (bar,) = view.bars("AAA", "1m").bars
    assert (bar.incomplete, bar.corrected) == (False, True)


def test_a_gap_is_a_span_on_the_chart_until_it_is_proved_closed() -> None:
    session = Session(FREE)
    session.trade(100)
    now = session.now_ns
    session.send(FeedGap(now, "sim", 1, now - 5 * 10**9, now), FeedGap(now, "sim", 2, now - 9, now, True))
    view = view_of(session)
    (span,) = view.bars("AAA", "1m").gaps
    assert (span.what, span.from_ms, span.to_ms) == ("gap", (now - 5 * 10**9) // 10**6, now // 10**6)
    assert view.bars("BBB", "1m").gaps == []
    assert [(row.instrument, row.closed) for row in view.gaps().gaps] == [("BBB", True), ("AAA", False)]
    assert view.status().gaps_today == 2


def test_feeds_say_what_was_heard_of_them() -> None:
    session = Session(FREE)
    now = session.now_ns
    session.send(
        EdgeChanged(now, "sim", "starting"),
        FeedUp(now, "sim", 2),
        FeedHeard(now + 10**9, "sim", now + 10**9, now + 10**8),
        FeedLagging(now + 10**9, "sim", 700),
    )
    session.now_ns += 2 * 10**9
    (feed,) = view_of(session).health().feeds
    assert (feed.state, feed.what, feed.lag_ms) == ("up", "feed", 700)
    assert (feed.heard_ms, feed.proved_ms) == ((now + 10**9) // 10**6, (now + 10**8) // 10**6)
    session.feed(up=False)
    view = view_of(session)
    (feed,) = view.health().feeds
    assert (feed.state, feed.reason, feed.downs) == ("down", "test", 1)
    assert (view.status().feeds, view.status().feeds_up) == (1, 0)
    assert view.bars("AAA", "1m").gaps[-1].to_ms is None


def test_the_clock_of_several_venues_is_that_which_is_farthest_off_and_of_one_the_last() -> None:
    view = View(JOURNAL)
    ms = 10**6
    listed = [InstrumentListed(1, number, venue, "AAA", 1, 1) for number, venue in ((1, "a"), (2, "b"))]
    checks = [ClockChecked(1, venue, off * ms) for venue, off in (("a", -4), ("b", 3))]
    view.apply([(seq, 0, event) for seq, event in enumerate([*checks, *listed], 1)])
    assert view.health().clock_offset_ms == -4
    view.apply([(5, 0, ClockChecked(1, "a", 2 * ms))])
    assert view.health().clock_offset_ms == 3
    one = View(JOURNAL)
    checks = [ClockChecked(1, name, off * ms) for name, off in (("http://a", -4), ("a gateway", 3))]
    one.apply([(seq, 0, event) for seq, event in enumerate([*checks, listed[0]], 1)])
    assert one.health().clock_offset_ms == 3


def test_a_view_that_begins_with_a_day_knows_the_clock_of_every_venue() -> None:
    """One is watched, at the other is an account; that was the last one compared."""
    gate = Conditions()
    gate.begin_accounts(("b",))
    listed = {number: InstrumentListed(1, number, venue, "A", 1, 1) for number, venue in ((1, "a"), (2, "b"))}
    for venue, off in (("a", -3), ("b", 4)):
        note(gate, ClockChecked(1, venue, off * 10**6), {}, listed)
    view = View(JOURNAL)
    view.apply([(number, 0, one) for number, one in listed.items()])
    _seed_conditions({"gate": gate}, 1, view.trading, view.health_state)
    assert view.health().clock_offset_ms == 4


def test_a_strategy_shows_its_signals_lines_and_reasons() -> None:
    session = long_of_two()
    view = view_of(session)
    now = session.now_ns
    view.apply(
        [
            (view.seq + 1, 1, SignalRaised(now, "Long", 1, "slope", 0.5)),
            (view.seq + 2, 1, SignalRaised(now, "Long", 1, "slope", float("nan"))),
            (view.seq + 3, 1, LogWritten(now, "Long", "hello <b>")),
            (view.seq + 4, 1, TargetSet(now, "Long", 1, 0, reason="the trend ended")),
        ]
    )
    row = next(one for one in view.strategies().strategies if one.name == "Long")
    (signal,) = row.signals
    assert (signal.name, signal.instrument, signal.value) == ("slope", "AAA", None)
    assert [text for _, _, text in row.log] == ["hello <b>"]
    assert row.reasons[0][2] == "AAA: the trend ended"
    (series,) = view.signals().series
    assert [value for _, value, _ in series.points] == [0.5, None]
    assert row.state == "running"


def test_a_parameter_is_in_force_once_the_strategy_has_taken_it() -> None:
    session = Session(FREE)
    session.trade(100)
    view = view_of(session)

    def value() -> object:
        return next(row.params.get("gain") for row in view.strategies().strategies if row.name == "Long")

    for state in ("refused", "done"):
        seq, at = view.seq + 1, session.now_ns
        asked = OperatorCommand(at, "set", "Long", "", "page:1", state, (("name", "gain"), ("value", "2")))
        view.apply([(seq, 0, asked), (seq + 1, seq, ParameterSet(at, "Long", "gain", "2", state, seq))])
        assert value() is None
        assert view.status().commands[0].state == "recorded"
        view.apply([(seq + 2, seq, CommandAnswered(at, seq, state, "set", state, "code", "why"))])
        row = view.status().commands[0]
        assert (row.seq, row.who, row.nonce, row.state, row.code) == (seq, "page:1", state, state, "code")
    assert value() == "2"


def test_every_parameter_is_shown_with_its_value_in_force() -> None:
    session = Session(FREE)
    view = View(JOURNAL, defaults=BUILDER.defaults)
    view.apply(session.memory.all())
    row = next(one for one in view.strategies().strategies if one.name == "Long")
    assert row.params.keys() == BUILDER.defaults(row.use).keys() > {"script", "calm_ms"}
    assert (row.params["label"], row.params["begin_ns"]) == ("Long", str(session.begin_ns))

    def gone(use: str) -> dict[str, object]:
        raise UsageError(f"{use} is not there")

    view.trading.defaults = gone
    assert next(one for one in view.strategies().strategies if one.name == "Long").params["label"] == "Long"


def test_a_paused_strategy_says_so_until_it_is_resumed() -> None:
    session = Session(FREE)
    session.trade(100)
    session.operator("pause", "Long")
    view = view_of(session)
    assert [(row.what, row.name) for row in view.status().halts] == [("pause", "Long")]
    states = {row.name: row.state for row in view.strategies().strategies}
    assert (states["Long"], states["Short"]) == ("paused", "running")
    session.operator("halt")
    assert {row.state for row in view_of(session).strategies().strategies} == {"halted"}
    session.operator("resume")
    assert view_of(session).status().halts == []


def test_an_orderly_stop_is_no_halt_and_a_halt_during_it_is() -> None:
    session = Session(FREE)
    session.trade(100)
    session.operator("stop")
    view = view_of(session)
    assert (view.status().stopping, view.status().halts) == (True, [])
    assert {row.state for row in view.strategies().strategies} == {"stopping"}
    session.operator("halt")
    assert [(row.what, row.reason) for row in view_of(session).status().halts] == [
        ("engine", "operator: halt")
    ]
