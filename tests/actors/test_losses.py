"""Loss limits: from midnight's and from the highest equity, latched, with all costs and open losses."""

from __future__ import annotations

from typing import Any

from hypothesis import example, given
from hypothesis import strategies as st

from engine.actors import OrderManager
from engine.clock import DAY_NS, SECOND_NS
from engine.config import Config, RiskConfig
from engine.events import EngineHalted, EquityMarked, OperatorCommand, OrderApproved, SessionStarted
from tests.actors.harness import Harness, T
from tests.actors.rig import Rig

MIDNIGHT = (T // DAY_NS + 1) * DAY_NS
STARTED = SessionStarted(T, "b" * 16, "paper", "", "", "", (), "")


def new_harness(*, real: bool = False, **risk: Any) -> Harness:
    return Harness(OrderManager(Config(risk=RiskConfig(**risk)), real=real))


def equity(value: int, at_ns: int = T, *, start: int = 1000, moved: int = 0, scale: int = 2) -> EquityMarked:
    unit = 10**scale
    return EquityMarked(at_ns, scale, 0, 0, 0, value * unit, 0, start * unit, moved * unit)


def halts(harness: Harness, *events: Any) -> list[str]:
    return [one.reason for one in harness.send(*events) if isinstance(one, EngineHalted)]


def test_a_day_that_costs_too_much_halts_the_engine() -> None:
    harness = new_harness(max_daily_loss="50")
    assert halts(harness, equity(1000), equity(951)) == []
    assert halts(harness, equity(950)) == ["max_daily_loss: 50 lost since midnight, 50 allowed"]
    assert halts(harness, equity(900)) == [], "once"


def test_a_first_loss_counts_from_the_start() -> None:
    harness = new_harness(max_daily_loss="50")
    assert halts(harness, equity(950)) == ["max_daily_loss: 50 lost since midnight, 50 allowed"]


def test_a_day_begins_at_midnight_with_the_equity_of_that_moment() -> None:
    harness = new_harness(max_daily_loss="50")
    late = MIDNIGHT - SECOND_NS
    assert halts(harness, equity(1000), equity(960, late), equity(915, MIDNIGHT)) == []
    assert halts(harness, equity(910, MIDNIGHT + 1)) != [], "960 less 50"


def test_a_profit_of_the_day_can_be_lost_again() -> None:
    harness = new_harness(max_daily_loss="50")
    assert halts(harness, equity(1000), equity(1100), equity(951)) == []


def test_a_fall_from_the_highest_equity_halts_the_engine() -> None:
    harness = new_harness(max_drawdown_percent="10")
    assert halts(harness, equity(1000), equity(1200), equity(1081, MIDNIGHT)) == []
    reason = "max_drawdown_percent: 120 lost of 1200, 10 % allowed"
    assert halts(harness, equity(1080, MIDNIGHT + 2 * DAY_NS)) == [reason]


def test_deposits_and_withdrawals_are_no_loss_and_no_profit() -> None:
    harness = new_harness(max_daily_loss="50", max_drawdown_percent="10")
    assert halts(harness, equity(1000), equity(400, moved=-600), equity(2000, moved=1000)) == []
    assert halts(harness, equity(1951, moved=1000)) == []
    assert halts(harness, equity(1950, moved=1000)) != []
    harness = new_harness(max_drawdown_percent="10")
    assert halts(harness, equity(1000), equity(9000, moved=8000), equity(8101, moved=8000)) == []
    reason = "max_drawdown_percent: 900 lost of 9000, 10 % allowed"
    assert halts(harness, equity(8100, moved=8000)) == [reason]


def test_a_real_account_begins_with_what_its_positions_have_lost_before() -> None:
    """The venue's equity is 950 with 50 lost on a position that was adopted."""
    harness = new_harness(real=True, max_daily_loss="50")
    assert halts(harness, equity(950), equity(901)) == []
    assert halts(harness, equity(900)) != []


def test_a_finer_scale_changes_nothing() -> None:
    harness = new_harness(max_daily_loss="50")
    assert halts(harness, equity(1000, scale=2), equity(951, scale=8)) == []
    assert halts(harness, equity(950, scale=12)) == ["max_daily_loss: 50 lost since midnight, 50 allowed"]


def test_a_limit_that_was_reached_stays_over_restarts_until_an_operator_resumes() -> None:
    harness = new_harness(max_daily_loss="50")
    harness.send(equity(1000), equity(940))
    harness.send(STARTED, equity(940, MIDNIGHT))
    manager = harness.actor
    assert isinstance(manager, OrderManager)
    assert manager.gates.halted == "max_daily_loss: 60 lost since midnight, 50 allowed"
    harness.send(OperatorCommand(MIDNIGHT, "resume"))
    assert manager.gates.halted == ""
    assert halts(harness, equity(891, MIDNIGHT)) == [], "counted from the 940 of the resume"
    assert halts(harness, equity(890, MIDNIGHT)) != []


def test_without_limits_nothing_halts() -> None:
    assert halts(new_harness(), equity(1000), equity(-5000)) == []


@given(st.lists(st.integers(0, 2000), min_size=1, max_size=20), st.integers(1, 99))
def test_the_engine_halts_at_the_first_fall_that_is_too_large(path: list[int], percent: int) -> None:
    harness = new_harness(max_drawdown_percent=str(percent))
    peak, expected = 1000, None
    for index, value in enumerate(path):
        peak = max(peak, value)
        if (peak - value) * 100 >= percent * peak and expected is None:
            expected = index
    found = [index for index, value in enumerate(path) if halts(harness, equity(value))]
    assert found == ([] if expected is None else [expected])


def test_a_loss_cancels_entries_keeps_exits_and_can_close_everything() -> None:
    for flatten in (False, True):
        risk = {"max_daily_loss": "50", "flatten_on_loss": flatten}
        rig = Rig(cash="1000", risk=risk).hold("S", 10)
        rig.buy("S", 1, limit=90)
        rig.sell("S", 1, limit=120)
        marked = EquityMarked(0, 2, 0, -5000, 0, 95_000, 0, 100_000)
        rig.derive(marked)
        sent = [one.terms for one in rig.events(OrderApproved) if one.terms.purpose == "flatten"]
        if flatten:
            assert [(one.size, one.bound) for one in sent] == [(1000, 9000)]
        else:
            assert sent == []
        rig.trade(100)
        assert rig.book("S") == (0 if flatten else 10)
        assert [one[0] for one in rig.orders()] == ([] if flatten else ["sell own"])
        rig.buy("S", 1)
        assert rig.refusals() == ["halted"]


class Plain:
    """What a session may lose, in a few lines: the count of a day begins with the last equity before it."""

    def __init__(self, daily: int, percent: int, start: int) -> None:
        self.daily, self.percent = daily, percent
        self.last = self.begun = self.peak = start
        self.day = T // DAY_NS
        self.halted = False

    def mark(self, gained: int, moved: int, day: int) -> bool:
        """Return whether this equity, without the `moved` deposits, halts the engine."""
        if day != self.day:
            self.day, self.begun = day, self.last
        self.last, self.peak = gained, max(self.peak, gained)
        fell = self.peak - gained
        daily = self.daily > 0 and self.begun - gained >= self.daily
        drawdown = self.percent > 0 and fell > 0 and fell * 100 >= self.percent * (self.peak + moved)
        halts_now = (daily or drawdown) and not self.halted
        self.halted |= halts_now
        return halts_now

    def resume(self) -> None:
        self.halted, self.begun, self.peak = False, self.last, self.last


_steps = st.lists(
    st.tuples(
        st.sampled_from(["equity", "equity", "equity", "transfer", "resume", "restart"]),
        st.integers(-120, 120),
        st.sampled_from([0, SECOND_NS, DAY_NS // 4, DAY_NS // 2, DAY_NS, 3 * DAY_NS]),
    ),
    min_size=1,
    max_size=30,
)


@given(_steps, st.sampled_from([0, 1, 50, 100, 200]), st.sampled_from([0, 1, 10, 25]), st.booleans())
@example([("equity", -40, 0), ("equity", -45, DAY_NS // 2), ("equity", -5, 0)], 50, 0, False)
def test_losses_over_many_days_halt_when_a_plain_model_says(
    steps: list[tuple[str, int, int]], daily: int, percent: int, real: bool
) -> None:
    """With deposits and withdrawals, restarts and the resumes of an operator, up to three days apart."""
    harness = new_harness(real=real, max_daily_loss=str(daily), max_drawdown_percent=str(percent))
    at_ns, value, moved = T, 950 if real else 1000, 0  # the start of a real account is its first reading
    assert halts(harness, equity(value)) == []
    plain = Plain(daily, percent, value)
    for what, change, later_ns in steps:
        at_ns += later_ns
        if what == "resume":
            harness.send(OperatorCommand(at_ns, "resume"))
            plain.resume()
            continue
        if what == "restart":
            harness.send(SessionStarted(at_ns, "b" * 16, "paper", "", "", "", (), ""))
        elif what == "transfer":
            moved += change * 5
        else:
            value = max(1, value + change)
        found = halts(harness, equity(value + moved, at_ns, moved=moved))
        expected = plain.mark(value, moved, at_ns // DAY_NS)
        assert bool(found) == expected, (found, vars(plain))
        manager = harness.actor
        assert isinstance(manager, OrderManager)
        assert bool(manager.gates.halted) == plain.halted
