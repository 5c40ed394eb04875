"""The attributes of a strategy are its author's: the engine's names and theirs cannot meet."""

from __future__ import annotations

import pytest

from engine.actors import Actor
from engine.actors.base import Once
from engine.errors import UsageError
from engine.events import CancelRequested, Trade
from engine.snapshot import classes_of
from engine.states import decode_state, encode_state
from engine.strategies import Strategy, Tick
from engine.strategies.actor import EarlierOrder, Seen, StrategyActor
from engine.strategies.own import Own
from engine.strategies.params import convert_params
from engine.values import BUY
from tests.actors.harness import Harness, T
from tests.strategies.asking import placed

ENGINE_NAMES = sorted(
    {
        *vars(Actor),
        *vars(StrategyActor),
        *vars(StrategyActor(Strategy, "x", {})),
        *("_working", "_emit", "_event", "_targets", "coins", "make", "attach", "_look_up", "_trade"),
    }
    - set(dir(Strategy))
)
"""Names that the engine uses, now or in an earlier version, except those that authors are offered."""


class Naming(Strategy):
    """Sets every name of the engine on itself, in `on_start` and again at each trade."""

    def on_start(self) -> None:
        self.count = 0
        for name in ENGINE_NAMES:
            setattr(self, name, "flat")

    def on_trade(self, trade: Tick) -> None:
        self.count += 1
        for name in ENGINE_NAMES:
            setattr(self, name, [getattr(self, name), self.count])
        self.cancel_all(trade.market)


def test_a_strategy_can_use_every_name_of_the_engine() -> None:
    on = Harness(StrategyActor(Naming, "mine", {}))
    on.send(placed())
    canceled = [CancelRequested(T, "mine", "", "", "mine-1")]
    assert on.send(Trade(T, T, 1, 10_050, 1500, BUY)) == canceled
    again = Harness(StrategyActor(Naming, "mine", {}))
    blob = encode_state(on.actor.state(), "mine")
    again.actor.restore(decode_state(blob, classes_of(again.actor)))
    assert encode_state(again.actor.state(), "mine") == blob
    assert again.send(Trade(T, T, 1, 10_050, 1500, BUY)) == canceled
    assert all(getattr(again.strategy, name) == [["flat", 1], 2] for name in ENGINE_NAMES)


def test_the_state_of_an_earlier_version_is_read() -> None:
    """It held the engine's attributes among the author's, with a leading underscore.

    Its orders and targets are not those of today's order manager, so they are left out.
    """
    order = EarlierOrder(1, BUY, 5, 10_000, "")
    earlier = {
        "seen": 3,
        "_targets": {1: 7},
        "_working": {"0x1": order},
        "_ended": {},
        "_fills": Once({"0x1 5": None}),
        "_funded_ns": {1: T},
        "_seen": {(1, 60): Seen(T, True)},
        "_warm_spans_ns": [60],
        "_began_ns": T,
    }
    # These classes were in other modules then.
    blob = encode_state(earlier, "mine")
    for now, then in (
        (b"\xbcengine.strategies.actor:Seen", b"\xbbengine.strategies.base:Seen"),
        (b"\xd9$engine.strategies.actor:EarlierOrder", b"\xd9 engine.strategies.verbs:OwnOrder"),
    ):
        assert now in blob
        blob = blob.replace(now, then)
    actor = StrategyActor(Naming, "mine", {})
    actor.restore(decode_state(blob, classes_of(actor)))
    assert vars(actor.strategy) == {"seen": 3}
    assert (actor.own, actor.seen) == (Own(), {(1, 60): Seen(T, True)})
    assert (actor.began_ns, actor.random) == (T, None)


class Keeping(Strategy):
    """Keeps values of its own under the names of readings."""

    bars: int = 20

    def on_start(self) -> None:
        self.cash = self.equity = 1000.0
        self.position: dict[str, float] = {}

    def on_trade(self, trade: Tick) -> None:
        self.cash -= trade.price
        self.position[trade.market] = self.cash + self.bars


def test_an_attribute_may_have_the_name_of_a_reading() -> None:
    on = Harness(StrategyActor(Keeping, "mine", convert_params(Keeping, {"bars": 5})))
    on.send(Trade(T, T, 1, 10_050, 1500, BUY))
    assert (on.strategy.cash, on.strategy.equity, on.strategy.position) == (899.5, 1000.0, {"AAA": 904.5})
    assert set(on.actor.state()) == {"", "bars", "cash", "equity", "position"}


@pytest.mark.parametrize("name", ["name", "policy", "instruments", "turn", "signature", "coins"])
def test_names_of_actors_can_be_parameters(name: str) -> None:
    cls = type("Mine", (Strategy,), {name: 5, "__annotations__": {name: int}})
    assert getattr(StrategyActor(cls, "mine", {name: 6}).strategy, name) == 6


def test_an_attribute_that_hides_a_verb_is_refused_when_the_strategy_begins() -> None:
    class Hiding(Strategy):
        def on_start(self) -> None:
            vars(self)["target"] = 5

    with pytest.raises(UsageError, match=r"self\.target: the base class Strategy has this name"):
        StrategyActor(Hiding, "mine", {})
