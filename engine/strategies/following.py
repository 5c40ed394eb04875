"""The half of a strategy's actor that follows the account: orders, stops, fills, targets, money.

Owns how the events of the order manager, of execution and of the books reach `on_order` and `on_fill`, after
the copies in `own.py` have them: a hook reads what is true at its event. Base class of `StrategyActor`.
"""

from __future__ import annotations

from engine.actors.base import Actor, Because, Emit, handles
from engine.events import (
    ActorRestarted,
    CommandAnswered,
    EquityMarked,
    Event,
    FillBooked,
    InstrumentListed,
    OrderChanged,
    OrderModified,
    OrderRefused,
    OrderRequested,
    ParameterSet,
    PositionChanged,
    StopChanged,
    StopRequested,
    StrategyStopped,
    SubmitOrder,
    TargetChanged,
    TargetSet,
)
from engine.strategies.account_views import Fill, view_order, view_refused
from engine.strategies.base import Strategy
from engine.strategies.own import Own
from engine.strategies.params import set_parameter
from engine.strategies.placing import refuse

__all__ = ["Following"]


class Following(Actor):
    """State: `own` and the newest `marked` equity. `event` is the current event, `emit` that of its hook."""

    WIRING = Actor.WIRING | {"strategy", "event", "emit"}
    own: Own
    stopped = False
    """Whether an operator has stopped the strategy. In the state only while it is."""

    def __init__(self, name: str, strategy: Strategy) -> None:
        super().__init__(name)
        self.strategy = strategy
        self.event: Event | None = None
        self.emit: Emit = refuse
        self.own = Own()
        self.marked: EquityMarked | None = None

    def named(self, instrument: int) -> tuple[InstrumentListed, str]:
        """Return the listing and the label of an instrument."""
        return self.instruments[instrument], self.instruments.label(instrument)

    @handles(OrderRequested)
    def _requested(self, event: OrderRequested, emit: Emit) -> None:
        if event.strategy == self.name:
            self.own.requested(event)

    @handles(StopRequested)
    def _stop_requested(self, event: StopRequested, emit: Emit) -> None:
        if event.strategy == self.name:
            self.own.stop_requested(event)

    @handles(OrderRefused)
    def _refused(self, event: OrderRefused, emit: Emit) -> None:
        if event.strategy == self.name:
            asked = self.own.refused(event)
            self._show_order(event, emit)
            self.strategy.on_order(view_refused(event, *self.named(event.instrument), asked))

    @handles(SubmitOrder)
    def _submitted(self, event: SubmitOrder, emit: Emit) -> None:
        if event.strategy == self.name:
            self.own.submitted(event)

    @handles(OrderModified)
    def _modified(self, event: OrderModified, emit: Emit) -> None:
        self.own.modified(event)

    @handles(OrderChanged)
    def _changed(self, event: OrderChanged, emit: Emit) -> None:
        order = self.own.changed(event, self.remembered)
        if order is not None:
            self._show_order(event, emit)
            self.strategy.on_order(view_order(order, *self.named(event.instrument), event))

    @handles(StopChanged)
    def _stop_changed(self, event: StopChanged, emit: Emit) -> None:
        """Pass a stop on, except its last end: its exit is an order of its own."""
        if event.strategy == self.name:
            stop = self.own.stopped(event)
            if event.state != "fired":
                self._show_order(event, emit)
                self.strategy.on_order(view_order(stop, *self.named(event.instrument), event))

    def _show_order(self, event: OrderChanged | OrderRefused | StopChanged, emit: Emit) -> None:
        self.emit = emit
        self.event = event

    @handles(FillBooked)
    def _filled(self, event: FillBooked, emit: Emit) -> None:
        """Pass a fill on. The position has it already."""
        if event.owner != self.name:
            return
        self.own.booked(event, self.instruments[event.instrument], self._money_scale())
        self.emit = emit
        self.event = event
        reason = self.own.reason_of(event.client_order_id)
        self.strategy.on_fill(Fill(event, *self.named(event.instrument), reason))

    @handles(PositionChanged)
    def _positioned(self, event: PositionChanged, emit: Emit) -> None:
        if event.strategy == self.name:
            self.own.positioned(event, self.instruments[event.instrument])

    @handles(TargetSet)
    def _target_set(self, event: TargetSet, emit: Emit) -> None:
        if event.strategy == self.name:
            self.own.target_set(event)

    @handles(TargetChanged)
    def _aimed(self, event: TargetChanged, emit: Emit) -> None:
        if event.strategy == self.name:
            self.own.aimed(event)

    @handles(ParameterSet)
    def _parameter_set(self, event: ParameterSet, emit: Emit) -> None:
        """Set a parameter, and answer the operator's command; without a nonce a session begins with it."""
        if event.strategy != self.name:
            return
        self.emit = emit
        self.event = event
        code, reason = set_parameter(self.strategy, event.name, event.value, again=not event.nonce)
        if event.nonce:
            state = "refused" if code else "done"
            answer = CommandAnswered(event.at_ns, event.seq, event.nonce, "set", state, code, reason)
            emit(Because(answer, event.seq))

    @handles(StrategyStopped)
    def _operator_stopped(self, event: StrategyStopped, emit: Emit) -> None:
        """Ask for nothing any more, or again."""
        if event.strategy == self.name:
            vars(self).pop("stopped", None)
            if event.stopped:
                self.stopped = True

    @handles(EquityMarked)
    def _marked(self, event: EquityMarked, emit: Emit) -> None:
        self.marked = event

    @handles(ActorRestarted)
    def _restarted(self, event: ActorRestarted, emit: Emit) -> None:
        if event.actor == self.name:
            self.own.restarted()

    def _money_scale(self) -> int:
        """Return the decimals of all money in the books."""
        return max((8, *(one.money_scale + 4 for one in self.instruments.values())))
