"""Gates: a part that closes passes what a part that opens is refused for."""

from __future__ import annotations

from dataclasses import replace
from fractions import Fraction

import msgspec
import pytest

from engine.config import Config
from engine.events import OrderRefused, TargetChanged
from tests.orders.cases import play
from tests.orders.sequences import BBB
from tests.orders.session import FREE, Session

OLD = replace(FREE, feed=True, orders_per_minute=2)


def test_an_exit_passes_the_minutes_budget_and_an_old_price_and_its_opening_is_given_up() -> None:
    """Long 2, no order left this minute, the feed down for 10 s: `target(-1)` sells 2 and opens nothing."""
    with Session(OLD) as s:
        s.feed(up=True)
        s.say("Long", "target", "AAA", "1")
        s.trade(100)
        s.trade(100)
        s.say("Long", "target", "AAA", "2")
        s.trade(100)
        s.trade(100)
        assert s.book() == 2
        s.say("Long", "target", "AAA", "-1")
        s.feed(up=False)
        s.wait(10)
        s.trade(100, after_s=0)
        s.trade(100, after_s="0.01")
        assert s.book() == 0
        assert s.refusals()[-1] in ("stale", "max_orders_per_minute")
        s.wait(70)
        assert (s.wanted(), s.state()) == (0, "withdrawn")


def test_an_entry_below_the_smallest_value_is_refused_on_paper_and_its_exit_is_not() -> None:
    """5 of 10 are refused. What was bought with 12 is worth 6 when it is sold: closing is exempt."""
    with Session(replace(FREE, value_min="10")) as s:
        s.trade(100)
        s.say("Long", "buy", "AAA", "0.05")
        s.trade(100)
        assert [one.limit for one in s.memory.events(OrderRefused)] == ["min_value"]
        s.say("Long", "target", "AAA", "0.12")
        s.trade(100)
        s.trade(100)
        s.say("Long", "target", "AAA", "0")
        s.trade(50)
        s.trade(50)
        assert s.book() == 0


def test_an_opening_beyond_a_limit_is_refused_and_the_closing_part_is_not() -> None:
    """Long 4 of at most 500: `target(-6)` closes 4, and the opening of 6 is refused."""
    with Session(replace(FREE, position_notional="500")) as s:
        s.say("Long", "target", "AAA", "4")
        s.trade(100)
        s.trade(100)
        s.say("Long", "target", "AAA", "-6")
        s.trade(100)
        s.trade(100)
        s.trade(100)
        assert s.book() == 0
        assert set(s.refusals()) == {"max_position_notional"}
        assert s.state() == "waiting"


def test_spot_sells_no_more_than_is_held() -> None:
    with Session(replace(FREE, spot=True)) as s:
        s.say("Long", "target", "BBB", "2")
        s.trade(100, market=BBB)
        s.trade(100, market=BBB)
        s.say("Long", "target", "BBB", "-1")
        s.trade(100, market=BBB)
        s.trade(100, market=BBB)
        s.trade(100, market=BBB)
        assert s.book("Long", BBB) == 0
        assert set(s.refusals()) == {"short_spot"}


def test_opposite_positions_that_are_both_too_small_wait_until_one_is_large_enough() -> None:
    """0.1 and -0.1 are worth 8 each at 80, and the account holds nothing that either would close."""
    with Session(replace(FREE, value_min="10")) as s:
        play(s, "target 0.1 | Short: target -0.1 | 110 110 | 80 | target 0 | Short: target 0 | 80 80")
        play(s, "wait 70 | 80")
        found = [s.newest(TargetChanged, strategy=name).reason for name in ("Long", "Short")]
        assert found == ["dust", "dust"]
        assert (len(s.submitted()), s.refusals()) == (2, [])
        play(s, "110 110 | wait 60 | 110 110")
        assert (s.book("Long"), s.book("Short")) == (0, 0)


class Cooling(Session):
    """A session with a cooldown of 20 s."""

    def make_config(self, scripts: dict[str, str]) -> Config:
        config = super().make_config(scripts)
        return msgspec.structs.replace(config, risk=msgspec.structs.replace(config.risk, cooldown="20s"))


@pytest.mark.parametrize("protection", [("stop", "AAA", "sell", "1", "99"), ("trail", "AAA", "1", "1")])
def test_after_a_stop_or_a_trail_a_strategy_opens_nothing_for_the_cooldown(
    protection: tuple[str, ...],
) -> None:
    with Cooling(FREE) as s:
        s.say("Long", "target", "AAA", "1")
        s.trade(100)
        s.trade(100)
        s.say("Long", *protection)
        for price in (100, 100, 98, 98):
            s.trade(price)
        assert s.book() == 0
        s.say("Long", "target", "AAA", "1")
        s.say("Short", "target", "AAA", "0.5")
        s.trade(100)
        s.trade(100)
        assert (s.book(), s.refusals()[-1], s.book("Short")) == (0, "cooldown", Fraction("0.5"))
        for _ in range(70):  # the pace of a refused opening: 1 s, 5 s, 60 s
            s.trade(100)
        assert s.book() == 1
