"""When a price is fresh: the feed is up, nothing was missed since, and it is not too old in wall time."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import pytest

from engine.actors import OrderManager
from engine.clock import SECOND_NS
from engine.config import Config, RiskConfig
from engine.events import (
    AccountRead,
    ClockAdopted,
    ClockChecked,
    ClockJumped,
    EngineLagging,
    FeedDamaged,
    FeedDown,
    FeedGap,
    FeedHeard,
    FeedLagging,
    FeedPolling,
    FeedUp,
    OrderApproved,
    OrderRefused,
    OrderRequested,
    OrderTerms,
    Quote,
    SessionStarted,
    Trade,
)
from engine.values import BUY
from tests.actors.harness import Harness, T

S = SECOND_NS
MS = S // 1000
UP = FeedUp(T, "f", 1, heard_ms=2000)
QUIET = FeedUp(T, "f", 1)
FREE: dict[str, Any] = {"max_order_notional": "0", "max_position_notional": "0", "max_orders_per_minute": 0}


def trade(at_ns: int = T, *, late_ns: int = 0) -> Trade:
    return Trade(at_ns, at_ns - late_ns, 1, 10_000, 1, 1)


def quote(at_ns: int = T) -> Quote:
    return Quote(at_ns, at_ns, 1, 9_990, 5, 10_000, 5)


def heard(at_ns: int) -> FeedHeard:
    return FeedHeard(at_ns, "f", at_ns)


def stale(events: Sequence[Any], at_ns: int, **risk: Any) -> str:
    """Return why the price is not fresh at a time, "" if it is."""
    harness = Harness(OrderManager(Config(risk=RiskConfig(**{**FREE, **risk})), watches=False))
    harness.send(*events)
    request = OrderRequested(at_ns, "s", 1, OrderTerms(BUY, 1, 10_000, handle="s-1"))
    (answer,) = [one for one in harness.send(request) if isinstance(one, OrderRefused)] or [None]
    assert answer is None or answer.limit == "stale"
    return answer.reason if answer is not None else ""


def test_data_without_a_feed_is_always_fresh() -> None:
    assert stale([trade()], T + 86_400 * S) == ""


def test_a_feed_that_does_not_prove_its_life_has_no_age() -> None:
    assert stale([QUIET, trade()], T + 3600 * S) == ""


@pytest.mark.parametrize(
    ("events", "after_ns", "reason"),
    [
        ([], 5000 * MS, ""),
        ([], 5001 * MS, "the newest price is 5001 ms old, more than 5000"),
        ([heard(T + 4 * S)], 9 * S, ""),
        ([heard(T + 4 * S)], 9001 * MS, "the newest price is 5001 ms old, more than 5000"),
        ([quote(T + 4 * S)], 9 * S, ""),
        ([trade(T + 4 * S)], 9 * S, ""),
        ([trade(T + 4 * S, late_ns=2 * S)], 7 * S, ""),
        ([trade(T + 4 * S, late_ns=2 * S)], 7001 * MS, "the newest price is 5001 ms old, more than 5000"),
        ([ClockAdopted(T, "v", T, 60.0)], 300 * S, ""),
        ([ClockAdopted(T, "v", T, 60.0)], 301 * S, "the newest price is 5016 ms old, more than 5000"),
    ],
)
def test_a_price_is_as_old_as_the_last_proof_of_life_and_its_way(
    events: list[Any], after_ns: int, reason: str
) -> None:
    """Wall time: with a venue at 60 times real time, 5 s are 300 s of the venue."""
    assert stale([UP, trade(), *events], T + after_ns) == reason


def test_a_price_is_no_older_than_what_the_feed_has_proved_since() -> None:
    """After a reconnect the venue repeats its quote, with the time of its last change, minutes ago."""
    repeated = Quote(T + 100 * S, T, 1, 9_990, 5, 10_000, 5)
    events = [UP, trade(), FeedUp(T + 100 * S, "f", 2, heard_ms=2000), repeated]
    assert stale(events, T + 101 * S) == "the newest price is 101000 ms old, more than 5000"
    proved = FeedHeard(T + 102 * S, "f", T + 102 * S, proved_ns=T + 101 * S)
    assert stale([*events, proved], T + 106 * S) == ""
    assert stale([*events, proved], T + 106001 * MS) == "the newest price is 5001 ms old, more than 5000"
    again = FeedUp(T + 105 * S, "f", 3, heard_ms=2000)
    assert stale([*events, proved, again], T + 105 * S) != ""
    ahead = ClockChecked(T, "v", -3 * S // 4)
    assert (
        stale([*events, ahead, proved], T + 106751 * MS) == "the newest price is 5001 ms old, more than 5000"
    )


def test_the_age_that_is_allowed_is_configured() -> None:
    assert stale([UP, trade()], T + 1000 * MS, max_price_age_ms=1000) == ""
    assert stale([UP, trade()], T + 1001 * MS, max_price_age_ms=1000) != ""


def test_a_feed_that_is_down_is_not_fresh_until_a_new_price_or_proof_that_none_was_missed() -> None:
    down = [UP, trade(), FeedDown(T + S, "f", "reset")]
    again = FeedUp(T + 2 * S, "f", 1, heard_ms=2000)
    at_ns = T + 3 * S
    assert stale(down, at_ns) == "f is down: reset"
    assert stale([*down, FeedPolling(T + S, "f", True, "down")], at_ns) == "f is down: down"
    assert stale([*down, again], at_ns) == "no price since data was missed"
    assert stale([*down, again, heard(at_ns)], at_ns) == "no price since data was missed"
    assert stale([*down, again, trade(at_ns)], at_ns) == ""
    assert stale([*down, again, quote(at_ns)], at_ns) == ""
    closed = FeedGap(at_ns, "f", 1, T, at_ns, True)
    assert stale([*down, again, closed], at_ns) == ""
    opened = FeedGap(at_ns, "f", 1, T, at_ns)
    assert stale([*down, again, opened], at_ns) == "no price since data was missed"
    assert stale([*down, again, opened, trade(at_ns)], at_ns) == ""
    damaged = FeedDamaged(at_ns, "f", "bbo", 1, "x")
    assert stale([UP, trade(), damaged], at_ns) == "no price since data was missed"
    assert stale([UP, trade(), damaged, quote(at_ns)], at_ns) == ""


def test_after_a_jump_a_price_is_fresh_once_the_feed_has_proved_what_came_before() -> None:
    """The first prices after a pause lay in the socket: they are old however new they look."""
    at_ns = T + 20 * S
    jump = [UP, trade(), ClockJumped(at_ns, T, at_ns, "paused")]
    assert stale(jump, at_ns) == "no price since data was missed"
    assert stale([*jump, quote(at_ns)], at_ns) == "the feed has not caught up since the clock jumped"
    for heard_ns, proved_ns, fresh in (
        (at_ns - 1, 0, False),
        (at_ns, 0, True),
        (at_ns, at_ns - 1, False),
        (at_ns, at_ns, True),
    ):
        proof = FeedHeard(at_ns, "f", heard_ns, proved_ns)
        assert (stale([*jump, quote(at_ns), proof], at_ns) == "") == fresh, (heard_ns, proved_ns)
    again = FeedUp(at_ns, "f", 1, heard_ms=2000)
    assert stale([*jump, again, quote(at_ns)], at_ns) == ""
    back = ClockJumped(at_ns, at_ns, T, "stepped")
    assert stale([UP, trade(), quote(at_ns), back], at_ns) == ""


def test_a_proof_is_in_the_venues_time() -> None:
    at_ns = T + 20 * S
    jump = [UP, trade(), ClockChecked(T, "v", -3 * S), ClockJumped(at_ns, T, at_ns, "paused"), quote(at_ns)]
    assert stale([*jump, FeedHeard(at_ns, "f", at_ns, at_ns - 3 * S - 1)], at_ns) != ""
    assert stale([*jump, FeedHeard(at_ns, "f", at_ns, at_ns - 3 * S)], at_ns) == ""


def test_a_clock_that_was_set_right_changes_its_difference_to_the_venues() -> None:
    """It was two hours slow: without this, what the feed proves would look two hours old."""
    at_ns, hours = T + 7200 * S, 7200 * S
    slow = [UP, ClockChecked(T, "v", hours), Trade(T, T + hours, 1, 10_000, 1, 1)]
    right = [*slow, ClockJumped(at_ns, T, at_ns, "stepped"), quote(at_ns + S)]
    assert stale(right, at_ns + S) == "the feed has not caught up since the clock jumped"
    assert stale([*right, FeedHeard(at_ns + S, "f", at_ns + S, at_ns)], at_ns + S) == ""


def test_a_gap_in_another_market_does_not_matter() -> None:
    gap = FeedGap(T + S, "f", 2, T, T + S)
    assert stale([UP, trade(), Trade(T, T, 2, 5, 1, 1), gap], T + 2 * S) == ""


def test_a_price_of_an_earlier_session_is_not_fresh() -> None:
    started = SessionStarted(T + S, "b" * 16, "paper", "", "", "", (), "")
    events = [UP, trade(), started, FeedUp(T + 2 * S, "f", 1)]
    assert stale(events, T + 3 * S) == "no price since data was missed"
    assert stale([*events, quote(T + 3 * S)], T + 3 * S) == ""


def test_a_price_of_an_earlier_session_is_not_fresh_before_its_feed_has_come_up() -> None:
    """The account may be read first: a target that waits would be opened at once, on a price of any age."""
    started = SessionStarted(T + S, "b" * 16, "live", "", "", "", (), "")
    read = AccountRead(T + 2 * S, T + 2 * S, "g", 6, 10**12, 10**12, 0, 0)
    assert stale([UP, trade(), started, read], T + 2 * S) == "no price since data was missed"
    assert stale([UP, trade(), started, read, trade(T + 3 * S)], T + 3 * S) == ""


@pytest.mark.parametrize("before", [[], [QUIET], [UP]])
def test_nothing_opens_while_the_engine_is_later_than_the_age_allowed(before: list[Any]) -> None:
    """In data without a feed too: what is late is the engine."""
    late = [*before, trade(), EngineLagging(T, 5001, "Slow.on_trade", 4000)]
    assert stale(late, T) == "the engine is 5001 ms late, more than 5000"
    assert stale([*late, EngineLagging(T, 5000)], T) == ""
    assert stale([*late, EngineLagging(T, 0)], T) == ""


@pytest.mark.parametrize("before", [[], [UP]])
def test_nothing_opens_while_a_feed_is_later_than_the_age_allowed(before: list[Any]) -> None:
    late = [*before, trade(), FeedLagging(T, "f", 5001)]
    assert stale(late, T) == "f is 5001 ms late, more than 5000"
    assert stale([*late, FeedLagging(T, "f", 5000)], T) == ""
    assert stale([*late, FeedLagging(T, "f", 0)], T) == ""
    assert stale([*late, FeedLagging(T, "g", 0)], T) != "", "another feed"
    started = SessionStarted(T + S, "b" * 16, "paper", "", "", "", (), "")
    assert stale([*late, started, trade(T + S)], T + S) == ""


def test_while_a_feed_is_late_its_prices_are_as_old_as_its_proof() -> None:
    """It is reported once: what is read goes on to be old, although something is heard all the time."""
    late = [UP, trade(), FeedLagging(T, "f", 2000), FeedHeard(T + 9 * S, "f", T + 9 * S, T + 3 * S)]
    assert stale([*late, quote(T + 9 * S)], T + 9 * S) == "the newest price is 6000 ms old, more than 5000"
    assert stale([*late, FeedLagging(T + 9 * S, "f", 0), quote(T + 9 * S)], T + 9 * S) == ""
    proved = FeedHeard(T + 9 * S, "f", T + 9 * S, T + 5 * S)
    assert stale([*late, proved, quote(T + 9 * S)], T + 9 * S) == ""


def test_what_a_price_waits_here_is_part_of_its_age() -> None:
    late = [UP, trade(), EngineLagging(T, 3000)]
    assert stale(late, T + 2 * S) == ""
    assert stale(late, T + 2 * S + MS) == "the newest price is 5001 ms old, more than 5000"
    sped = [ClockAdopted(T, "v", T, 60.0), *late]
    assert stale(sped, T + 120 * S) == "", "the lag is real time on an accelerated venue too"
    assert stale(sped, T + 121 * S) == "the newest price is 5016 ms old, more than 5000"


@pytest.mark.parametrize(
    ("events", "until_ns"),
    [
        ([UP, trade()], T + 5 * S),
        ([UP, trade(late_ns=2 * S)], T + 3 * S),
        ([UP, trade(), EngineLagging(T, 1500)], T + 3500 * MS),
        ([UP, trade(), ClockAdopted(T, "v", T, 60.0)], T + 300 * S + 40 * MS),  # ages are whole ms
        ([QUIET, trade()], 0),
        ([trade()], 0),
    ],
)
def test_an_approval_says_until_when_its_price_is_fresh(events: list[Any], until_ns: int) -> None:
    """With real orders, and of openings only: an exit is sent whatever the age of the price."""
    at_ns = T + 1000 * MS
    for real in (True, False):
        harness = Harness(OrderManager(Config(risk=RiskConfig(**FREE)), real=real, watches=False))
        harness.send(*events, AccountRead(T, T, "g", 6, 10**12, 10**12, 0, 0))
        request = OrderRequested(at_ns, "s", 1, OrderTerms(BUY, 1, 10_000, handle="s-1"))
        (approved,) = [one for one in harness.send(request) if isinstance(one, OrderApproved)]
        assert approved.fresh_ns == (until_ns if real else 0)


def test_the_lag_of_an_earlier_session_does_not_count() -> None:
    started = SessionStarted(T + S, "b" * 16, "paper", "", "", "", (), "")
    assert stale([EngineLagging(T, 9000), started, trade(T + S)], T + S) == ""


def test_trades_are_followed_only_where_their_age_counts() -> None:
    harness = Harness(OrderManager(Config(), watches=False))
    assert harness.actor.listens(Trade), "until there is a price"
    harness.send(trade(), Trade(T, T, 2, 5, 1, 1))
    assert not harness.actor.listens(Trade)
    harness.send(UP)
    assert harness.actor.listens(Trade)
    assert harness.actor.listens(Quote)
