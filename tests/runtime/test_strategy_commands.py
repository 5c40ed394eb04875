"""Operators' commands that reach a strategy: set, stop-strategy, restart. All of it replays."""

from __future__ import annotations

from pathlib import Path
from typing import Any, Literal

import msgspec
import pytest
import trio
from trio.testing import MockClock

from engine.events import LogWritten, OrderRequested, ParameterSet, TargetSet
from engine.strategies import Strategy, Tick
from tests.runtime.kit import TestClock, assert_replays, config, of
from tests.runtime.rig import Rig
from tests.runtime.test_desk import ask


class Tuned(Strategy):
    """Counts what it sees; its parameters can be set. `fails` makes it raise."""

    size: float = 0.5
    name: str = "a"
    period: int = 3
    fails: bool = False
    loud: bool = False
    most: int | None = None
    side: Literal["long", "short"] = "long"

    def on_start(self) -> None:
        self.seen = 0
        self.double = self.period * 2
        self.calls: list[str] = []

    def on_set(self, name: str, value: Any) -> None:
        if name == "period" and value < 1:
            raise ValueError(f"a period below 1: {object()}")
        if self.fails:
            raise RuntimeError("it fails")
        self.double = self.period * 2
        self.calls.append(f"{name}={value}")
        self.log(f"{name} is {value}")
        self.buy("AAA", "0.1")

    def on_trade(self, trade: Tick) -> None:
        self.seen += 1
        self.target("AAA", 1 if self.seen % 2 else 2)


class Fixed(Strategy):
    """Has a parameter and no `on_set`."""

    period: int = 3

    def on_trade(self, trade: Tick) -> None:
        self.target("AAA", self.period)


def tuned(rig: Rig) -> Tuned:
    actor: Any = rig.live.sequencer.actor("Tuned")
    found: Tuned = actor.strategy
    return found


@pytest.fixture(autouse=True)
def strategies(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let configurations name the strategies of this module."""
    monkeypatch.setattr("tests.runtime.kit.Tuned", Tuned, raising=False)
    monkeypatch.setattr("tests.runtime.kit.Fixed", Fixed, raising=False)


async def test_set_gives_a_parameter_its_value_and_calls_on_set(
    tmp_path: Path, paced_clock: MockClock
) -> None:
    async def script(rig: Rig) -> None:
        await rig.record(100)
        assert (await ask(rig, "set", "n1", strategy="Tuned", name="period", value="7")).state == "done"
        assert (tuned(rig).period, tuned(rig).double) == (7, 14)
        for nonce, name, value in (("n2", "size", 2), ("n3", "size", "0.25"), ("n4", "name", "5")):
            assert (await ask(rig, "set", nonce, strategy="Tuned", name=name, value=value)).state == "done"
        assert (tuned(rig).size, tuned(rig).name) == (0.25, "5")
        assert tuned(rig).calls == ["period=7", "size=2.0", "size=0.25", "name=5"]

    await Rig(tmp_path, config("Tuned"), TestClock()).run(script)
    assert len(of(LogWritten, tmp_path)) == 4
    requested = [one for one in of(OrderRequested, tmp_path) if one.terms.purpose == "own"]  # type: ignore[attr-defined]
    assert len(requested) == 4, "the verbs work in on_set"
    assert_replays(tmp_path)


@pytest.mark.parametrize(
    ("name", "given", "value"),
    [
        ("period", 4, 4),
        ("period", "4", 4),
        ("size", 2, 2.0),
        ("size", "1e-3", 0.001),
        ("name", 5, "5"),
        ("name", "true", "true"),
        ("loud", True, True),
        ("loud", "true", True),
        ("most", "4", 4),
        ("side", "short", "short"),
    ],
)
async def test_a_value_has_the_type_of_its_parameter_also_after_a_restart(
    tmp_path: Path, paced_clock: MockClock, name: str, given: Any, value: Any
) -> None:
    found: list[Any] = []

    async def script(rig: Rig) -> None:
        await rig.record(100)
        answer = await ask(rig, "set", "n1", strategy="Tuned", name=name, value=given)
        assert answer.state == "done", answer.reason
        found.append(getattr(tuned(rig), name))

    for _ in range(2):
        await Rig(tmp_path, config("Tuned"), TestClock()).run(script)
    assert [(type(one), one) for one in found] == [(type(value), value)] * 2
    assert_replays(tmp_path)


async def test_a_value_that_the_type_or_the_strategy_refuses_changes_nothing(
    tmp_path: Path, paced_clock: MockClock
) -> None:
    async def script(rig: Rig) -> None:
        await rig.record(100)
        wrong = [("loud", "perhaps"), ("side", "flat"), ("most", "x"), ("size", "nan"), ("size", "1e999")]
        wrong += [("period", "x"), ("period", "1.5"), ("nothing", 1), ("period", 2**62 * 4), ("period", -1)]
        for number, (name, value) in enumerate(wrong):
            if value == 2**64:
                value = str(value)
            answer = await ask(rig, "set", f"n{number}", strategy="Tuned", name=name, value=value)
            assert (answer.state, answer.code) == ("refused", "parameter"), (name, value)
            assert answer.reason
        assert answer.reason == "period: a period below 1: <object object at 0x...>"
        assert (tuned(rig).period, tuned(rig).double, tuned(rig).calls) == (3, 6, [])
        refused = await ask(rig, "set", "m1", strategy="Fixed", name="period", value=5)
        assert (refused.state, refused.code) == ("refused", "no_on_set")

    await Rig(tmp_path, config("Tuned", "Fixed"), TestClock()).run(script)
    assert_replays(tmp_path)


async def test_an_error_in_on_set_fails_the_strategy_and_refuses_the_command(
    tmp_path: Path, paced_clock: MockClock
) -> None:
    async def script(rig: Rig) -> None:
        await rig.record(100)
        assert (await ask(rig, "set", "n1", strategy="Tuned", name="period", value=5)).state == "done"
        answer = await ask(rig, "set", "n2", strategy="Tuned", name="fails", value=True)
        assert (answer.state, answer.code) == ("refused", "failed")
        assert "it fails" in answer.reason
        await rig.record(101)
        assert (await ask(rig, "restart", "n3", strategy="Tuned")).state == "done"
        assert (tuned(rig).period, tuned(rig).fails) == (5, False)
        assert tuned(rig).seen == 2

    await Rig(tmp_path, config("Tuned", on_failure="quarantine"), TestClock()).run(script)
    assert_replays(tmp_path)


async def test_what_is_set_holds_over_restarts_until_the_configuration_changes(
    tmp_path: Path, paced_clock: MockClock
) -> None:
    seen: list[tuple[int, int, list[str]]] = []

    async def first(rig: Rig) -> None:
        await ask(rig, "set", "n1", strategy="Tuned", name="period", value=7)

    async def later(rig: Rig) -> None:
        await rig.record(100)
        seen.append((tuned(rig).period, tuned(rig).double, tuned(rig).calls))

    settings = config("Tuned")
    entry = settings.strategies[0]
    changed = msgspec.structs.replace(
        settings, strategies=(msgspec.structs.replace(entry, params={"size": 0.75}),)
    )
    await Rig(tmp_path, settings, TestClock()).run(first)
    await Rig(tmp_path, settings, TestClock()).run(later)
    await Rig(tmp_path, changed, TestClock()).run(later)
    await Rig(tmp_path, settings, TestClock()).run(later)
    assert seen[0] == (7, 14, ["period=7"]), "its state has it: on_set is not called again"
    assert seen[1:] == [(3, 6, [])] * 2
    assert_replays(tmp_path)


async def test_a_strategy_that_begins_without_its_state_is_set_again(
    tmp_path: Path, paced_clock: MockClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    seen: list[tuple[int, int, list[str]]] = []

    async def first(rig: Rig) -> None:
        await ask(rig, "set", "n1", strategy="Tuned", name="period", value=7)

    async def later(rig: Rig) -> None:
        seen.append((tuned(rig).period, tuned(rig).double, tuned(rig).calls))

    await Rig(tmp_path, config("Tuned"), TestClock()).run(first)
    monkeypatch.setattr("engine.session.SessionBuilder._hash", lambda *_: "edited")
    await Rig(tmp_path, config("Tuned"), TestClock()).run(later)
    assert seen == [(7, 14, ["period=7"])]
    again = of(ParameterSet, tmp_path)[-1]
    assert isinstance(again, ParameterSet)
    assert (again.nonce, again.seq) == ("", 0)


async def test_a_stopped_strategy_follows_the_market_and_asks_for_nothing_until_it_is_restarted(
    tmp_path: Path, paced_clock: MockClock
) -> None:
    counts: list[int] = []

    async def script(rig: Rig) -> None:
        await rig.record(100)
        assert (await ask(rig, "stop-strategy", "n1", strategy="Tuned")).state == "done"
        counts.append(len(of(TargetSet, tmp_path)))
        for price in (101, 102):
            await rig.record(price)
        assert tuned(rig).seen == 3
        assert (await ask(rig, "stop-strategy", "n2", strategy="Tuned")).reason == "was stopped already"
        assert (await ask(rig, "set", "n3", strategy="Tuned", name="period", value=7)).state == "done"
        counts.append(len(of(TargetSet, tmp_path)))

    async def later(rig: Rig) -> None:
        await rig.record(103)
        counts.append(len(of(TargetSet, tmp_path)))
        assert (await ask(rig, "restart", "n4", strategy="Tuned")).state == "done"
        await rig.record(104)
        await trio.sleep(0.1)
        counts.append(len(of(TargetSet, tmp_path)))
        assert tuned(rig).seen == 5

    await Rig(tmp_path, config("Tuned"), TestClock()).run(script)
    await Rig(tmp_path, config("Tuned"), TestClock()).run(later)
    assert counts == [1, 1, 1, 2]
    assert not [one for one in of(OrderRequested, tmp_path) if one.terms.purpose == "own"]  # type: ignore[attr-defined]
    assert_replays(tmp_path)
