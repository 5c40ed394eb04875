"""Drawdown, the profit of a day and the loss limits: the part of the model that counts what was lost.

Written from the formulas alone, in exact fractions: the largest fall is that of any point below the highest
one before it, which begins at the start; the profit of a UTC day is its last equity less the last one before
it; deposits and other adjustments count in neither. `Losses` follows a session together with `Model`. It
compares the drawdown of a report at every point, and says when a loss limit halts and with which number.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from fractions import Fraction

from engine.analysis.drawdowns import Drawdowns
from engine.events import EngineHalted, EquityMarked, Event, OperatorCommand
from tests.orders.ledger import ZERO
from tests.orders.model import Model

__all__ = ["Losses"]

DAY_NS = 86_400_000_000_000


@dataclass
class Losses:
    """What a session has lost. A limit of 0 is none. `peak` and `begun` are None before the first equity.

    `top` is the peak of the limit: an operator's `resume` begins it again at the equity of that moment, and
    the count of the day too.
    """

    model: Model
    most_daily: Fraction
    most_percent: Fraction
    report: Drawdowns = field(default_factory=Drawdowns)
    fall: Fraction = ZERO
    peak: Fraction | None = None
    top: Fraction = ZERO
    day: int = -1
    begun: Fraction = ZERO
    last: Fraction = ZERO
    reached: bool = False
    due: tuple[str, Fraction] | None = None  # the limit that this turn has reached, and what was lost

    def follow(self, event: Event) -> None:
        """Take a record, after the model has."""
        if isinstance(event, EquityMarked):
            self._mark(event)
        elif isinstance(event, EngineHalted) and event.reason.startswith(("max_daily", "max_drawdown")):
            limit, lost, *_ = event.reason.split()
            found = (limit.rstrip(":"), Fraction(lost))
            self.model.require(found == self.due, "a loss limit counts what was lost", event, self.due)
        elif isinstance(event, OperatorCommand) and (event.command, event.target) == ("resume", ""):
            self.begun = self.top = self.last
            self.reached = False

    def check_turn(self) -> None:
        """After a turn: a limit that was reached has halted the engine."""
        self.model.require(not self.due or self.model.halted, "a loss limit halts the engine", self.due)
        self.due = None

    def _mark(self, marked: EquityMarked) -> None:
        account = self.model.account
        equity = account.equity(self.model.values())
        free = equity - account.adjusted
        if self.peak is None:
            self.peak = self.top = self.last = account.start
        day = marked.at_ns // DAY_NS
        if day != self.day:
            self.day, self.begun = day, self.last
        self.last = free
        self.top = max(self.top, free)
        self.peak = max(self.peak, free)
        self.fall = max(self.fall, self.peak - free)
        self.report.add(marked.at_ns, int(marked.equity), marked.scale, int(marked.adjustments))
        if not self.model.real:  # on paper nothing is deposited
            found = Fraction(self.report.most, 10**self.report.scale)
            rule = "the drawdown is the largest fall below the highest equity"
            self.model.require(found == self.fall, rule, float(found), "instead of", float(self.fall))
        if not self.reached:
            self.due = self._broken(self.begun - free, self.top - free, self.top + account.adjusted)
            self.reached = self.due is not None

    def _broken(self, lost: Fraction, fell: Fraction, whole: Fraction) -> tuple[str, Fraction] | None:
        if self.most_daily and lost >= self.most_daily:
            return "max_daily_loss", lost
        if self.most_percent and fell > 0 and fell * 100 >= self.most_percent * whole:
            return "max_drawdown_percent", fell
        return None
