"""Sessions in which an instrument is listed again, with the same scales or with finer ones.

`recorded` plays a random plan (`tests/orders`), in which both instruments are listed a second time as they are;
`relisted` gives the inputs of that session as they would be if the second listing had finer scales, or the
first one already. A number of the inputs is converted here by its annotation, without the engine's own way.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Annotated, Any, NamedTuple, get_args, get_origin, get_type_hints

import msgspec

from engine.config import Config, FlowConfig
from engine.events import DayOpened, Event, InstrumentListed, OrderTerms, SessionStarted, StrategyBegan
from engine.events.codec import Record
from engine.events.render import Renderer
from engine.instruments import continued
from engine.opening import read_opening
from engine.sequencer import Sequencer
from engine.states import encode_state
from tests.orders import scripted
from tests.orders.paper import Run
from tests.orders.sequences import AAA, BBB, NAMES, Plan
from tests.orders.session import BUILDER
from tests.orders.wire import RealRun
from tests.replay.kit import Memory

__all__ = ["Finer", "decimals", "finer_listing", "play", "recorded", "relisted", "states"]

ZZZ = 3
FINE_SCALE = 8
"""The scales of a third instrument, which never trades: with it money has the same decimals in all sessions."""


class Finer(NamedTuple):
    """Decimals that the scales of an instrument gain."""

    price: int
    size: int


def recorded(plan: Plan, at: int, *, fine_money: bool = True) -> list[Event]:
    """Return the inputs of a plan's session; before input `at` all instruments are listed again as they are."""

    class Relisting(RealRun if plan.real else Run):  # type: ignore[misc]
        sent = 0

        def make_config(self, scripts: dict[str, str]) -> Config:
            config = super().make_config(scripts)
            return busy(config)

        def listings(self) -> list[Event]:
            fine = InstrumentListed(self.now_ns, ZZZ, "sim", "ZZZ", FINE_SCALE, FINE_SCALE)
            return [*super().listings(), *([fine] if fine_money else [])]

        def send(self, *events: Event) -> None:
            self.sent += 1
            if self.sent == max(at, 3):
                again = list(self.sequencer.instruments.values())
                super().send(*(msgspec.structs.replace(one, recv_ns=self.now_ns) for one in again))
            super().send(*events)

    run = Relisting(plan)
    run.play()
    return [event for _, _, inputs, _ in run.memory.frames for event in inputs]


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


def relisted(
    inputs: Sequence[Event], finer: dict[int, Finer], *, first: bool, whole: bool = True
) -> list[Event]:
    """Return the inputs with finer scales from the second listing on, or from the `first` one.

    `whole`: later listings of the same session are converted too.
    """
    found: list[Event] = []
    seen: dict[int, int] = {}
    for event in inputs:
        number = getattr(event, "instrument", 0)
        gains = finer.get(number, Finer(0, 0))
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
    hints = get_type_hints(type(event), include_extras=True)
    changed = {}
    for name, hint in hints.items():
        value = getattr(event, name)
        kinds = get_args(hint)[1:] if get_origin(hint) is Annotated else ()
        by = {"price": gains.price, "size": gains.size, "money": gains.price + gains.size}
        if "levels" in kinds:
            changed[name] = tuple((p * 10**gains.price, s * 10**gains.size, n) for p, s, n in value)
        for kind in kinds:
            if kind in by and value is not None:
                moved = int(value) * 10 ** by[kind]
                changed[name] = str(moved) if isinstance(value, str) else moved
    return msgspec.structs.replace(event, **changed)


def play(inputs: Iterable[Event], *, follow: bool = True) -> tuple[Memory, Sequencer]:
    """Run inputs one by one; `follow`: every later session is in a process of its own."""
    scripted.begin()
    memory = Memory()
    sequencer = Sequencer(BUILDER, memory, memory)
    for event in inputs:
        if isinstance(event, SessionStarted) and memory.frames and follow:
            sequencer = Sequencer(BUILDER, memory, memory)
            sequencer.follow(memory.all(memory.day))
        sequencer.run([event])
    return memory, sequencer


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


def states(sequencer: Sequencer) -> dict[str, dict[str, bytes]]:
    """Return the encoded state of every actor, by attribute."""
    return {
        actor.name: {str(name): encode_state(value, str(name)) for name, value in actor.state().items()}
        for actor in sequencer._registry.actors
    }
