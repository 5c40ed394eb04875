"""Which events become a line for people, and in which words."""

from __future__ import annotations

import pytest
from msgspec.structs import replace

from engine.events import (
    AccountAdjusted,
    ActorRestarted,
    BookAdjusted,
    CancelRejected,
    CandleRead,
    CommandAnswered,
    EngineHalted,
    Event,
    ExitDelayed,
    FeedDamaged,
    FeedDown,
    FeedGap,
    FeedLagging,
    FeedUp,
    FillBooked,
    FundingPaid,
    GatewayDown,
    Liquidated,
    LogWritten,
    MarginCalled,
    MarketHalted,
    OperatorCommand,
    OrderChanged,
    OrderRefused,
    OrderRejected,
    OrderUnknown,
    PositionChanged,
    PositionDiffers,
    ProtectionChanged,
    SessionStarted,
    SessionStopped,
    Trade,
)
from engine.instruments import Instruments
from engine.runtime.notice_words import command_words
from engine.runtime.notices import (
    ERRORS,
    LINES_MAX,
    WARNINGS,
    Notice,
    Notices,
    refusals_text,
    short_warm_up,
)
from engine.values import SELL
from tests.actors.harness import LISTED, T


def started(mode: str) -> SessionStarted:
    return SessionStarted(T, "5e55", mode, "1", "s", "c", (("Long", "m:Long", "h"),), "{}")


@pytest.mark.parametrize(
    ("event", "line"),
    [
        (EngineHalted(T, "operator: halt"), "engine halted operator: halt"),
        (MarketHalted(T, 1, "liquidation at the venue"), "AAA halted liquidation at the venue"),
        (
            ExitDelayed(T, "Long", 1, 1500, 3, T, "not filled"),
            "AAA Long delayed an exit of 1.5 is not done after 3 tries: not filled",
        ),
        (BookAdjusted(T, "Long", 1, 1000, 970, 970, 970, "fill from outside"),
         "AAA Long adjusted 1 is now 0.97: fill from outside"),
        (PositionDiffers(T, 1, 1000, 400), "AAA adjusted own fills make 1, the venue says 0.4"),
        (PositionDiffers(T, 1, 0, 400, True), "AAA adjusted own fills make 0, the venue says 0.4, adopted"),
        (AccountAdjusted(T, 2, 25_000, "deposit"), "account adjusted 250: deposit"),
        (Liquidated(T, 7, 2, 182_000, 1_900), "account liquidated positions worth 1820"),
        (FeedLagging(T, "hl", 6_100),
         "hl lagging the newest that surely arrived is 6,100 ms old; bars wait, nothing is opened"),
        (MarginCalled(T, 2, 9_000, 10_000), "account margin equity 90 is below the initial margin 100"),
    ],
)  # fmt: skip
def test_what_happens_to_positions_is_a_warning_or_an_error(event: Event, line: str) -> None:
    (notice,) = Notices(Instruments(LISTED.values())).of(event, 7)
    assert f"{notice.name} {notice.state} {notice.detail}" == line
    assert notice.level in ("error", "warning")
    assert (notice.at_ns, notice.seq) == (T, 7)


@pytest.mark.parametrize(
    ("event", "line"),
    [
        (FeedUp(T, "hl", 12, 3), "hl: up: 12 subscriptions are confirmed, after 3 attempts"),
        (FeedDown(T, "hl", "closed", 1_500), "hl: down: closed; reconnects in 1.5 s"),
        (GatewayDown(T, "orders", "closed"), "orders: down: closed"),
        (FeedDamaged(T, "hl", "trades", 1, "no price", 3), "AAA: damaged: trades: 3 times: no price"),
        (FeedDamaged(T, "hl", "", 0, "no JSON"), "hl: damaged: no JSON"),
        (FeedGap(T, "x", 1, 0, 10**9),
         "AAA: gap: trades from 1970-01-01T00:00:00.000Z to 1970-01-01T00:00:01.000Z may be missing"),
        (FeedGap(T, "x", 1, 0, 10**9, True),
         "AAA: complete: no trade is missing from 1970-01-01T00:00:00.000Z to 1970-01-01T00:00:01.000Z"),
        (OrderRefused(T, 1, "Long", 1, 1, 1500, "margin", "needs 100"),
         "AAA Long: refused: buy 1.5: margin: needs 100"),
        (OrderUnknown(T, "0x1", "no answer"), "order 0x1: unknown: no answer"),
        (CancelRejected(T, T, "0x1", "filled"), "order 0x1: rejected: its cancel, by the venue: filled"),
        (FundingPaid(T, T, 1, 1000, 2, -125, 1, "Long"), "AAA Long: funding: paid 1.25"),
        (FundingPaid(T, T, 1, 1000, 2, 125, 1), "AAA: funding: received 1.25"),
        (LogWritten(T, "Long", "hello"), "Long: log: hello"),
        (OperatorCommand(T, "restart", "Long", "by hand"), "operator: command: restart Long (by hand)"),
        (SessionStopped(T, "5e55", "SIGINT"), "session: stopped: SIGINT"),
        (ActorRestarted(T, "Long", 1200), "Long: restarted: its state is rebuilt from 1,200 records"),
        (started("paper"), "session: started: paper trading, no order is real; Long; session 5e55"),
        (started("live"), "session: started: REAL ORDERS; Long; session 5e55"),
    ],
)  # fmt: skip
def test_each_kind_of_event_has_its_words(event: Event, line: str) -> None:
    (notice,) = Notices(Instruments(LISTED.values())).of(event)
    assert notice.text == line


@pytest.mark.parametrize("event", [EngineHalted(T, "operator: stop"), Trade(T, T, 1, 100, 1, 1)])
def test_an_orderly_stop_and_the_market_have_no_line(event: Event) -> None:
    assert Notices(Instruments(LISTED.values())).of(event) == []


def test_each_fill_has_one_line_with_the_position_it_led_to() -> None:
    notices = Notices(Instruments(LISTED.values()))
    fill = FillBooked(T, "Long", 1, SELL, 101_25, 500, 12_500, 0, "0x1", 9, "taker", "close", "target")
    assert notices.of(fill, 5) == []
    assert notices.of(replace(fill, size=250, cause="liquidation"), 6) == []
    assert notices.of(PositionChanged(T, "Short", 1, 0, 0, 0, 0), 7) == [], "another book"
    first, second = notices.of(PositionChanged(T, "Long", 1, -250, 0, 0, 0), 8)
    assert first.text == "AAA Long: filled: sell 0.5 at 101.25, fee 0.125 (taker, target); position -0.25"
    assert second.text.endswith("(taker, liquidation); position -0.25")
    assert (first.seq, second.seq, first.level) == (5, 6, "info")
    assert first.fields["size"] == "0.5"
    assert notices.of(PositionChanged(T, "Long", 1, -250, 0, 0, 0), 9) == [], "funding, no fill"


def test_an_order_that_the_venue_rejects_has_one_line_with_its_reason() -> None:
    notices = Notices(Instruments(LISTED.values()))
    assert notices.of(OrderRejected(T, T, "0x1", "too small")) == []
    (notice,) = notices.of(OrderChanged(T, "0x1", "Long", 1, "Rejected", 0, 0))
    assert notice.text == "AAA Long: rejected: by the venue: too small (0x1)"
    assert notices.of(OrderChanged(T, "0x1", "Long", 1, "Filled", 0, 0)) == []


def test_a_command_and_its_outcome_are_one_line_and_its_end_another() -> None:
    notices = Notices(Instruments(LISTED.values()))
    arguments = (("market", "AAA"), ("size", "0.5"))
    asked = OperatorCommand(T, "flatten", "AAA", "", "socket:0", "n1", arguments)
    assert notices.of(asked, 40) == []
    answer = CommandAnswered(T, 40, "n1", "flatten", "working", left=(("Long", "AAA", "0.5"),))
    (first,) = notices.of(answer, 41)
    (second,) = notices.of(CommandAnswered(T, 40, "n1", "flatten", "refused", "limit", "words"), 50)
    what = "operator: command: flatten AAA 0.5 (by socket:0) (seq 40):"
    assert first.text == f"{what} working; left: Long AAA 0.5"
    assert second.text == f"{what} refused; limit: words"
    assert second.fields == {"command": "flatten", "outcome": "refused", "command_seq": "40"}
    (later,) = notices.of(CommandAnswered(T, 40, "n1", "flatten", "done"), 60)
    assert later.text == "operator: command: flatten (seq 40): done", "asked in a session before"


@pytest.mark.parametrize(
    ("command", "target", "arguments", "words"),
    [
        ("cancel", "", (("all", "true"), ("protective", "true")), "cancel all protective"),
        ("set", "Long", (("name", "fast"), ("strategy", "Long"), ("value", "5")), "set Long.fast=5"),
        (
            "order", "AAA", (("market", "AAA"), ("side", "buy"), ("size", "0.5"), ("stop_loss", "90")),
            "order AAA buy 0.5 stop-loss 90",
        ),
        ("pause", "", (), "pause"),
    ],
)  # fmt: skip
def test_a_command_is_shown_in_the_words_of_its_request(
    command: str, target: str, arguments: tuple[tuple[str, str], ...], words: str
) -> None:
    assert command_words(OperatorCommand(T, command, target, "", "", "n", arguments)) == words


def test_refusals_by_the_thousand_are_counted_and_begin_again_each_minute() -> None:
    notices = Notices(Instruments(LISTED.values()))
    refused = OrderRefused(T, 1, "Long", 1, 1, 1, "margin", "words")
    for _ in range(2):
        shown = [line for _ in range(1000) for line in notices.of(refused)]
        assert len(shown) == LINES_MAX
        assert notices.of(EngineHalted(T, "operator: halt")), "a halt is always shown"
        assert notices.summed() == f"{1000 - LINES_MAX:,} refused"
        assert notices.summed() == ""


def test_a_state_has_one_level() -> None:
    assert not ERRORS & WARNINGS
    assert Notice("engine", "halted").level == "error"


def test_protection_has_a_line_when_the_venue_no_longer_holds_it() -> None:
    notices = Notices(Instruments(LISTED.values()))

    def line_of(at_venue: int, in_engine: int, size: int = 1000) -> str:
        event = ProtectionChanged(T, "Long", 1, size, at_venue, in_engine, 0, "refused by the venue")
        return "".join(notice.detail for notice in notices.of(event))

    assert line_of(0, 1000) == "", "a new stop, not accepted yet"
    assert line_of(1000, 0) == ""
    assert line_of(0, 1000).startswith("stops of 1 are held by the engine, not the venue (position 1)")
    assert line_of(400, 600) == ""
    assert line_of(0, 1000) != ""
    assert line_of(0, 0, 0) == ""
    assert line_of(0, 500) == ""


def test_refusals_are_counted_by_limit() -> None:
    notices = Notices(Instruments(LISTED.values()))
    for limit in ("margin", "stale", "margin"):
        notices.of(OrderRefused(T, 1, "Long", 1, 1, 1, limit, "words"))
    assert refusals_text(notices.refused) == "3: 2 margin, 1 stale"


def test_a_short_warm_up_names_each_series_and_its_bars() -> None:
    minute = 60 * 10**9

    def read(number: int, purpose: str = "history") -> CandleRead:
        start = number * minute
        return CandleRead(T, start + minute, 1, minute, start, 1, 1, 1, 1, 0, 0, purpose)

    two = [read(0), read(1, "flat")]
    assert short_warm_up(two, [LISTED[1]], ["1m"], 2) == ""
    assert short_warm_up(two, [LISTED[1]], ["1m", "5m"], 3) == "of 3 bars, AAA 1m has 2, AAA 5m has 0"
    assert "short" in WARNINGS


def test_sizes_are_at_the_scale_that_was_in_force_at_the_event() -> None:
    listed = Instruments([replace(LISTED[1], size_scale=3)])
    notices = Notices(listed)
    finer = replace(LISTED[1], size_scale=5)
    # The session lists it again before the first of its events is on disk.
    listed[1] = finer
    (before,) = notices.of(BookAdjusted(T, "Long", 1, 1000, 970, 970, 970, "fill from outside"))
    assert before.detail == "1 is now 0.97: fill from outside"
    notices.of(ProtectionChanged(T, "Long", 1, 1000, 500, 400, 0, ""))
    notices.of(finer)
    (after,) = notices.of(BookAdjusted(T, "Long", 1, 97_000, 50_000, 50_000, 50_000, "fill from outside"))
    assert after.detail == "0.97 is now 0.5: fill from outside"
    (less,) = notices.of(ProtectionChanged(T, "Long", 1, 100_000, 30_000, 60_000, 0, "refused"))
    assert less.detail == "stops of 0.6 are held by the engine, not the venue (position 1): refused"
