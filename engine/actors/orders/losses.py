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

    def count(self, marked: EquityMarked, *, real: bool) -> None:
        """Count the equity. `real`: the account is at a venue."""
        if marked.scale > self.scale:
            self._rescale(marked.scale)
        lift = power_of_ten(self.scale - marked.scale)
        self.moved = int(marked.adjustments) * lift
        equity = int(marked.equity) * lift - self.moved
        if self.day < 0:
            # A real account begins with what its positions have gained or lost before.
            self.last = self.peak = equity if real else int(marked.start) * lift
        day = marked.at_ns // DAY_NS
        if day != self.day:
            self.day, self.begun = day, self.last
        self.last = equity
        if equity > self.peak:
            self.peak = equity

    def forgive(self) -> None:
        """Count from now on."""
        self.begun = self.peak = self.last
        self.reached = False

    def _rescale(self, scale: int) -> None:
        """Move to a finer scale of the account's money."""
        for name in ("begun", "peak", "last", "moved"):
            setattr(self, name, rescale(getattr(self, name), self.scale, scale))
        self.scale = scale


class Losses:
    """See the module."""

    def __init__(self, manager: OrderManager) -> None:
        self.m = manager
        risk = manager.config.risk
        self._daily = parse_scaled(risk.max_daily_loss, MONEY_TEXT_SCALE)
        self._percent = parse_scaled(risk.max_drawdown_percent, MONEY_TEXT_SCALE)
        self._limited = bool(self._daily or self._percent)

    def note(self, marked: EquityMarked, emit: Emit) -> None:
        """Count the equity, and halt when a limit is reached."""
        counted = self.m.counted
        counted.count(marked, real=self.m.real)
        reason = self._broken(counted) if self._limited and not counted.reached else ""
        if reason:
            counted.reached = True
            self.m.gates.halts.halt(marked.at_ns, reason, emit)
            if self.m.config.risk.flatten_on_loss:
                self.m.gates.halts.flatten_all(marked.at_ns, reason, emit)

    def forgive(self) -> None:
        """Count from now on: an operator resumes."""
        self.m.counted.forgive()

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
