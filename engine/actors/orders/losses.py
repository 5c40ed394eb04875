"""Loss limits: the engine halts when a day, or the fall from the highest equity, has cost too much.

All costs and open losses count; deposits and withdrawals do not. A day begins at midnight UTC with the equity
of that moment. A limit that was reached stays in force over restarts until an operator resumes; both counts
then begin again at the equity of that moment. Called by `gates` for each `EquityMarked`. State: the manager's
`counted` (`Counted`).
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from engine.actors.base import Emit, State
from engine.clock import DAY_NS
from engine.config import MONEY_TEXT_SCALE
from engine.events import EquityMarked
from engine.values import format_scaled, parse_scaled, power_of_ten, rescale

if TYPE_CHECKING:
    from engine.actors.orders.actor import OrderManager

__all__ = ["Counted", "Losses"]


class Counted(State):
    """What losses are counted from. Money is at `scale`, without deposits and withdrawals (`moved`).

    `day` is the day in days since 1970, -1 before the first equity; `begun` is the equity at its start,
    `peak` the highest, `last` the newest. `reached`: a limit was reached, and no operator has resumed since.
    """

    scale: int = 0
    day: int = -1
    begun: int = 0
    peak: int = 0
    last: int = 0
    moved: int = 0
    reached: bool = False


class Losses:
    """See the module."""

    def __init__(self, manager: OrderManager) -> None:
        self.m = manager
        risk = manager.config.risk
        self._daily = parse_scaled(risk.max_daily_loss, MONEY_TEXT_SCALE)
        self._percent = parse_scaled(risk.max_drawdown_percent, MONEY_TEXT_SCALE)

    def note(self, marked: EquityMarked, emit: Emit) -> None:
        """Count the equity, and halt when a limit is reached."""
        counted = self.m.counted
        self._rescale(counted, marked.scale)
        lift = power_of_ten(counted.scale - marked.scale)
        counted.moved = int(marked.adjustments) * lift
        equity = int(marked.equity) * lift - counted.moved
        if counted.day < 0:
            # A real account begins with what its positions have gained or lost before.
            counted.last = counted.peak = equity if self.m.real else int(marked.start) * lift
        day = marked.at_ns // DAY_NS
        if day != counted.day:
            counted.day, counted.begun = day, counted.last
        counted.last = equity
        counted.peak = max(counted.peak, equity)
        reason = "" if counted.reached else self._broken(counted)
        if reason:
            counted.reached = True
            self.m.gates.halts.halt(marked.at_ns, reason, emit)
            if self.m.config.risk.flatten_on_loss:
                self.m.gates.halts.flatten_all(marked.at_ns, reason, emit)

    def forgive(self) -> None:
        """Count from now on: an operator resumes."""
        counted = self.m.counted
        counted.begun = counted.peak = counted.last
        counted.reached = False

    def _broken(self, counted: Counted) -> str:
        """Return which limit is reached, with the numbers, or ""."""
        unit = power_of_ten(MONEY_TEXT_SCALE)
        lost = counted.begun - counted.last
        if self._daily and lost * unit >= self._daily * power_of_ten(counted.scale):
            most = self.m.config.risk.max_daily_loss
            return f"max_daily_loss: {format_scaled(lost, counted.scale)} lost since midnight, {most} allowed"
        fall, whole = counted.peak - counted.last, counted.peak + counted.moved
        if self._percent and fall > 0 and fall * 100 * unit >= self._percent * whole:
            most = self.m.config.risk.max_drawdown_percent
            lost_text, from_text = (format_scaled(one, counted.scale) for one in (fall, whole))
            return f"max_drawdown_percent: {lost_text} lost of {from_text}, {most} % allowed"
        return ""

    def _rescale(self, counted: Counted, scale: int) -> None:
        """Follow the scale of the account's money, which only becomes finer."""
        if scale > counted.scale:
            for name in ("begun", "peak", "last", "moved"):
                setattr(counted, name, rescale(getattr(counted, name), counted.scale, scale))
            counted.scale = scale
