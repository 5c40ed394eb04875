"""The clock of one venue says nothing about the prices of another, in whichever order they were compared."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import permutations
from random import Random
from typing import Any

import pytest

from engine.actors import OrderManager
from engine.actors.orders.conditions import Conditions, not_fresh, note
from engine.actors.orders.state import Prices
from engine.clock import SECOND_NS
from engine.config import Config, RiskConfig
from engine.events import (
    ClockChecked,
    ClockJumped,
    Event,
    FeedHeard,
    FeedUp,
    InstrumentListed,
    OrderRefused,
    OrderRequested,
    OrderTerms,
    Quote,
    SessionStarted,
)
from engine.instruments import Instruments
from engine.values import BUY
from tests.actors.harness import Harness, T
from tests.profiles import pick

S = SECOND_NS
MS = S // 1000
LISTED = {number: InstrumentListed(T, number, venue, "X", 2, 3) for number, venue in ((1, "a"), (2, "b"))}
OFFSETS = {"a": 4 * S, "b": -4 * S}
CHECKS = [ClockChecked(T, venue, offset_ns) for venue, offset_ns in OFFSETS.items()]
STARTED = SessionStarted(T, "a" * 16, "paper", "", "", "", (), "")
FREE = RiskConfig(max_order_notional="0", max_position_notional="0", max_orders_per_minute=0)
ORDERS = list(permutations(CHECKS))


def stale(events: Sequence[Event], at_ns: int) -> list[str]:
    """Return why the price at each venue is not fresh for an opening on paper, "" if it is."""
    found = []
    for number in LISTED:
        harness = Harness(OrderManager(Config(risk=FREE), watches=False), LISTED)
        harness.send(*events)
        request = OrderRequested(at_ns, "s", number, OrderTerms(BUY, 1, 10_000, handle="s-1"))
        refused: list[Any] = [one for one in harness.send(request) if isinstance(one, OrderRefused)]
        assert all(one.limit == "stale" for one in refused)
        found.append(refused[0].reason if refused else "")
    return found


def priced(at_ns: int) -> list[Event]:
    """Return feeds that come up, and quotes made minutes ago, which are then as old as the proof."""
    up = [FeedUp(at_ns, venue, 1, heard_ms=2000, proves=True) for venue in OFFSETS]
    return [*up, *(Quote(at_ns, at_ns - 600 * S, number, 9_990, 5, 10_000, 5) for number in LISTED)]


def proofs(at_ns: int, until_ns: int) -> list[Event]:
    """Return proofs of both venues, heard at `at_ns`, of what they made until the engine's `until_ns`."""
    return [FeedHeard(at_ns, venue, at_ns, until_ns + offset_ns) for venue, offset_ns in OFFSETS.items()]


@pytest.mark.parametrize("checks", ORDERS)
def test_the_age_of_a_price_goes_by_the_clock_of_its_own_venue(checks: Sequence[Event]) -> None:
    events = [STARTED, *checks, *priced(T), *proofs(T + 10 * S, T + 9 * S)]
    assert stale(events, T + 14 * S) == ["", ""]
    assert stale(events, T + 14 * S + MS) == ["the newest price is 5001 ms old, more than 5000"] * 2


@pytest.mark.parametrize("checks", ORDERS)
def test_after_a_jump_a_proof_goes_by_the_clock_of_its_own_venue(checks: Sequence[Event]) -> None:
    at_ns = T + 20 * S
    jumped = [STARTED, *checks, *priced(T), ClockJumped(at_ns, T, at_ns, "paused"), *priced(at_ns)[2:]]
    assert stale([*jumped, *proofs(at_ns, at_ns)], at_ns) == ["", ""]
    late = stale([*jumped, *proofs(at_ns, at_ns - 1)], at_ns)
    assert late == ["the feed has not caught up since the clock jumped"] * 2


@pytest.mark.parametrize("checks", ORDERS)
def test_a_clock_that_was_set_moves_the_difference_to_every_venue(checks: Sequence[Event]) -> None:
    """The machine's clock was two hours slow: the venues' minus it become two hours less."""
    hours = 7200 * S
    slow = [
        ClockChecked(T, one.venue, one.offset_ns + hours) for one in checks if isinstance(one, ClockChecked)
    ]
    at_ns = T + hours
    jumped = [STARTED, *slow, *priced(T), ClockJumped(at_ns, T, at_ns, "stepped"), *priced(at_ns)[2:]]
    assert stale([*jumped, *proofs(at_ns, at_ns)], at_ns + 5 * S) == ["", ""]
    assert "" not in stale([*jumped, *proofs(at_ns, at_ns - 1)], at_ns + 5 * S)


def test_the_clocks_are_known_before_a_new_journal_has_instruments_and_of_this_session_only() -> None:
    conditions = Conditions()
    for checked in CHECKS:
        note(conditions, checked, {}, Instruments())
    assert [conditions.skew_of(venue) for venue in OFFSETS] == [*OFFSETS.values()]
    harness = Harness(OrderManager(Config(), watches=False), LISTED)
    harness.send(STARTED, *CHECKS, STARTED, ClockChecked(T, "http://a", S))
    manager: Any = harness.actor
    assert [manager.gate.skew_of(venue) for venue in OFFSETS] == [S, S], "one venue, by its address"


def test_a_watched_venue_does_not_move_the_clock_of_an_armed_one_nor_of_another_watched_one() -> None:
    conditions = Conditions()
    conditions.begin_accounts(("a",))
    for venue, offset_ns in (("a", S), ("b", 2 * S), ("c", 3 * S)):
        note(conditions, ClockChecked(T, venue, offset_ns), {}, LISTED)
    assert [conditions.skew_of(venue) for venue in "abc"] == [S, 2 * S, 3 * S]
    note(conditions, ClockJumped(T + S, T, T + S, "stepped"), {}, LISTED)
    assert [conditions.skew_of(venue) for venue in "abc"] == [0, S, 2 * S]


def expected(history: Sequence[Event], venue: str, prices: Prices, at_ns: int, most_ms: int) -> str:
    """Return "late", "old" or "": from the events alone, each read as if the venue were the only one."""
    skew_ns = proved_ns = heard_ns = jumped_ns = 0
    caught_up = True
    for event in history:
        if isinstance(event, ClockJumped):
            jumped_ns, caught_up = event.to_ns, False
            skew_ns -= event.to_ns - event.from_ns if event.cause == "stepped" else 0
        elif isinstance(event, ClockChecked) and event.venue == venue:
            skew_ns = event.offset_ns
        elif isinstance(event, FeedUp) and event.feed == venue:
            heard_ns, proved_ns, caught_up = event.recv_ns, 0, True
        elif isinstance(event, FeedHeard) and event.feed == venue:
            heard_ns, proved_ns = max(heard_ns, event.heard_ns), event.proved_ns - skew_ns
            caught_up = caught_up or proved_ns >= jumped_ns
            proved_ns = event.proved_ns
    if not caught_up:
        return "late"
    age_ns = at_ns - max(heard_ns, prices.seen_ns) + max(0, prices.seen_ns - prices.venue_ns)
    if proved_ns:
        age_ns = min(age_ns, max(0, at_ns - proved_ns + skew_ns))
    return "old" if age_ns // MS > most_ms else ""


def step(random: Random, now_ns: int, history: Sequence[Event]) -> Event:
    """Return the next event: of one of two venues whose clocks are up to 6 s off, or a jump of the clock.

    Our clock is not set before both were compared with it: a session compares them when it begins.
    """
    venue, off_ns = random.choice("ab"), random.randint(-6000, 6000) * MS
    kind = random.random()
    if kind < 0.3:
        return ClockChecked(now_ns, venue, off_ns)
    if kind < 0.4:
        compared = {one.venue for one in history if isinstance(one, ClockChecked)}
        cause = random.choice(("paused", "stepped")) if len(compared) > 1 else "paused"
        return ClockJumped(now_ns, now_ns - random.randint(1, 8000) * MS, now_ns, cause)
    if kind < 0.5:
        return FeedUp(now_ns, venue, 1, heard_ms=2000, proves=True)
    return FeedHeard(now_ns, venue, now_ns, now_ns + off_ns)


def test_random_clocks_proofs_and_jumps_at_two_venues_agree_with_a_plain_model() -> None:
    seen = [kinds_of(seed) for seed in range(pick(40, deep=4000))]
    assert set().union(*seen) == {"", "old", "late"}


def kinds_of(seed: int) -> set[str]:
    """Compare a random session with the model at each of its steps; return which answers there were."""
    random = Random(seed)
    conditions, now_ns = Conditions(), 1000 * S
    history: list[Event] = [FeedUp(now_ns, venue, 1, heard_ms=2000, proves=True) for venue in "ab"]
    for event in history:
        note(conditions, event, {}, LISTED)
    seen: set[str] = set()
    for _ in range(60):
        now_ns += random.randint(1, 2000) * MS
        history.append(step(random, now_ns, history))
        note(conditions, history[-1], {}, LISTED)
        prices = Prices(seen_ns=now_ns, venue_ns=now_ns - random.randint(-2000, 9000) * MS)
        at_ns, most_ms = now_ns + random.randint(0, 3000) * MS, random.choice((1000, 5000))
        for listed in LISTED.values():
            words = not_fresh(conditions, listed, prices, at_ns, most_ms) or ""
            wanted = expected(history, listed.venue, prices, at_ns, most_ms)
            kind = "late" if "caught up" in words else "old" if words else ""
            assert kind == wanted, (seed, listed.venue, words, history)
            seen.add(kind)
    return seen
