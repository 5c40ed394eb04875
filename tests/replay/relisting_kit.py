"""Sessions in which instruments are listed again, with the same scales or with finer ones.

`recorded` plays a random plan of `tests/orders` in which all instruments are listed a second time as they
are, and returns its inputs. `relisted` returns these inputs as they would be with finer scales, from the
second listing on or from the first. Numbers of inputs are converted here by their annotation, without the
engine's own way of doing it. `play` runs inputs, `decimals` shows records as the numbers that they mean.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from typing import Annotated, Any, NamedTuple, get_args, get_origin, get_type_hints

import msgspec

from engine.config import Config, FlowConfig
from engine.events import (
    DayOpened,
    Event,
    InstrumentListed,
    OperatorCommand,
    OrderFilled,
    SessionStarted,
    StrategyBegan,
)
from engine.events.codec import Record
from engine.events.render import Renderer
from engine.instruments import continued
from engine.opening import read_opening
from engine.sequencer import Sequencer
from engine.states import encode_state
from replay.verification import DayReplay
from tests.orders import scripted
from tests.orders.paper import Run
from tests.orders.sequences import STRATEGIES, Plan
from tests.orders.session import BUILDER
from tests.orders.wire import RealRun
from tests.replay.kit import Memory

__all__ = [
    "FINE_SCALE",
    "ZZZ",
    "Finer",
    "Played",
    "assert_replays",
    "busy",
    "decimals",
    "exact",
    "finer_listing",
    "inputs_of",
    "play",
    "recorded",
    "relisted",
    "states",
]

States = dict[str, dict[str, bytes]]

ZZZ = 3
FINE_SCALE = 8
"""Scales of a third instrument, which never trades: with it money has as many decimals in all sessions."""


class Finer(NamedTuple):
    """Decimals that the scales of an instrument gain."""

    price: int
    size: int


NONE = Finer(0, 0)


class Played(NamedTuple):
    """The records of a session, its sequencer at the end, and the states after each listing of input."""

    memory: Memory
    sequencer: Sequencer
    after_listing: list[States]


def exact(plan: Plan) -> Plan:
    """Return a plan whose fees have no more decimals than a fill reports, so that no scale rounds them."""
    slips = plan.settings.slippage_bps > 0
    fees = {"taker_fee": "0" if slips else "0.0004", "maker_fee": "0" if slips else "0.0001"}
    return replace(plan, settings=replace(plan.settings, **fees))


def recorded(plan: Plan, at: float, *, fine_money: bool = True) -> list[Event]:
    """Return the inputs of a plan's session.

    After this share of its steps all instruments are listed again as they are, and a little later an operator
    restarts the strategies that have failed.
    """
    steps = sum(step.kind != "call" for step in plan.steps)
    again = 4 + int(at * steps)

    class Relisting(RealRun if plan.real else Run):  # type: ignore[misc, valid-type]
        sent = 0

        def make_config(self, scripts: dict[str, str]) -> Config:
            return busy(super().make_config(scripts))  # type: ignore[no-any-return]

        def listings(self) -> list[Event]:
            fine = InstrumentListed(self.now_ns, ZZZ, "sim", "ZZZ", FINE_SCALE, FINE_SCALE)
            return [*super().listings(), *([fine] if fine_money else [])]

        def send(self, *events: Event) -> None:
            self.sent += 1
            if self.sent == again:
                listed = list(self.sequencer.instruments.values())
                super().send(*(msgspec.structs.replace(one, recv_ns=self.now_ns) for one in listed))
            if self.sent == again + 5:
                for name in STRATEGIES:
                    super().send(OperatorCommand(self.now_ns, "restart", name))
            super().send(*events)

    run = Relisting(plan)
    run.play()
    inputs = inputs_of(run.memory)
    if not plan.real:
        return inputs
    # A fee that is divided among the parts of a fill is rounded at the scale of the fill.
    return [msgspec.structs.replace(one, fee=0) if isinstance(one, OrderFilled) else one for one in inputs]


def inputs_of(memory: Memory) -> list[Event]:
    """Return the inputs of a session."""
    return [event for _, _, inputs, _ in memory.frames for event in inputs]


def busy(config: Config) -> Config:
    """Return a configuration with bars and flow of every kind."""
    kinds = ("tick:3", "volume:1.5", "value:4321.5", "imbalance:0.75")
    return msgspec.structs.replace(
        config,
        bars=msgspec.structs.replace(config.bars, intervals=("1m", "3m"), activity=kinds),
        flow=FlowConfig(
            footprint=("1m",),
            level={"BBB": "7"},
            imbalance_ratio="1.5",
            imbalance_run=2,
            profile=("3m",),
            large={"AAA": "1.05"},
            book=("1m",),
        ),
    )


def relisted(inputs: Sequence[Event], finer: Mapping[int, Finer], *, first: bool) -> list[Event]:
    """Return the inputs with finer scales from the second listing on, or from the `first` one."""
    found: list[Event] = []
    seen: dict[int, int] = {}
    for event in inputs:
        number = getattr(event, "instrument", 0)
        gains = finer.get(number, NONE)
        if isinstance(event, InstrumentListed):
            seen[number] = seen.get(number, 0) + 1
            if first or seen[number] > 1:
                event = finer_listing(event, gains)
        elif first or seen.get(number, 0) > 1:
            event = _moved(event, gains)
        found.append(event)
    return found


def finer_listing(listed: InstrumentListed, gains: Finer) -> InstrumentListed:
    """Return the same grid at finer scales."""
    scales = listed.price_scale + gains.price, listed.size_scale + gains.size
    fine = msgspec.structs.replace(listed, price_scale=scales[0], size_scale=scales[1])
    found = continued(fine, listed)
    assert (found.price_scale, found.size_scale) == scales
    return found


def _moved(event: Any, gains: Finer) -> Any:
    """Return an input with its prices, sizes and money at finer scales."""
    changed: dict[str, Any] = {}
    by = {"price": gains.price, "size": gains.size, "money": gains.price + gains.size}
    for name, hint in get_type_hints(type(event), include_extras=True).items():
        value = getattr(event, name)
        kinds = get_args(hint)[1:] if get_origin(hint) is Annotated else ()
        if "levels" in kinds:
            changed[name] = tuple((p * 10**gains.price, s * 10**gains.size, n) for p, s, n in value)
        for kind in by.keys() & set(kinds):
            if value is not None:
                number = int(value) * 10 ** by[kind]
                changed[name] = str(number) if isinstance(value, str) else number
    return msgspec.structs.replace(event, **changed)


def play(inputs: Iterable[Event], *, follow: bool = True) -> Played:
    """Run inputs one by one; `follow`: every later session is in a process of its own."""
    scripted.begin()
    memory = Memory()
    sequencer = Sequencer(BUILDER, memory, memory)
    looks: list[States] = []
    for event in inputs:
        if isinstance(event, SessionStarted) and memory.frames and follow:
            sequencer = Sequencer(BUILDER, memory, memory)
            sequencer.follow(memory.all(memory.day))
        sequencer.run([event])
        if isinstance(event, InstrumentListed):
            looks.append(states(sequencer))
    return Played(memory, sequencer, looks)


def assert_replays(memory: Memory) -> None:
    """Derive each day again. Raises ReplayDivergence at the first difference."""
    scripted.begin()
    for day in dict.fromkeys(memory.days):
        replay = DayReplay(BUILDER, memory)
        for frame in memory.day_frames(day):
            replay.feed(frame)


def decimals(records: Iterable[Record]) -> list[dict[str, object]]:
    """Return records as objects with decimal numbers, without what only says how they are stored."""
    renderer = Renderer()
    scales: dict[int, tuple[int, int]] = {}
    found = []
    for seq, cause, event in records:
        for one in event.instruments if isinstance(event, DayOpened) else [event]:
            if isinstance(one, InstrumentListed):
                renderer.see(one)
                scales[one.instrument] = one.price_scale, one.size_scale
        shown = renderer.as_json(seq, cause, event)
        shown.pop("finer", None)
        shown.pop("scale", None)
        if isinstance(event, DayOpened):
            opening = read_opening(event)
            shown = {"at": event.at_ns, "timers": opening.timers, "failed": opening.failed}
        if isinstance(event, InstrumentListed):
            shown = {"type": "InstrumentListed", "seq": seq, "name": event.name}
        if isinstance(event, StrategyBegan):
            shown["positions"] = [(n, size / 10 ** scales[n][1]) for n, size in event.positions]
        if children := getattr(event, "children", ()):
            price, size = scales[event.instrument]  # type: ignore[attr-defined]
            shown["children"] = [(kind, at / 10**price, of / 10**size) for kind, at, of in children]
        found.append(shown)
    return found


def states(sequencer: Sequencer) -> States:
    """Return the encoded state of every actor, by attribute."""
    return {
        actor.name: {name: encode_state(value, name) for name, value in actor.state().items()}
        for actor in sequencer._registry.actors
    }
