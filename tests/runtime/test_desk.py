"""Requests to a running session: one record for each nonce, an answer that is durable, bounded waits."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import trio
from trio.testing import MockClock

from engine.errors import CommandError
from engine.events import CommandAnswered, OperatorCommand, SessionStopped
from engine.operator.requests import parse_request
from engine.runtime.desk import IN_FLIGHT_MAX, CommandAnswer
from tests.runtime.kit import TestClock, assert_replays, config, events, of
from tests.runtime.rig import Rig


async def ask(rig: Rig, command: str, nonce: str, **members: Any) -> CommandAnswer:
    given = {"command": command, "nonce": nonce, "journal": rig.live.desk.journal, **members}
    return await rig.live.desk.submit(parse_request(given), "test")


async def code(rig: Rig, command: str, nonce: str, **members: Any) -> str:
    with pytest.raises(CommandError) as caught:
        await ask(rig, command, nonce, **members)
    return caught.value.code


async def test_a_request_is_recorded_once_and_answered_when_it_is_durable(
    tmp_path: Path, paced_clock: MockClock
) -> None:
    answers: list[CommandAnswer] = []

    async def script(rig: Rig) -> None:
        await rig.record(100)
        for _ in range(3):
            answers.append(await ask(rig, "pause", "n-1", strategy="Steady"))
            assert rig.live.committer.durable_seq > answers[-1].seq

    await Rig(tmp_path, config("Steady"), TestClock()).run(script)
    commands = [one for one in of(OperatorCommand, tmp_path) if one.nonce]  # type: ignore[attr-defined]
    (command,) = commands
    (answered,) = of(CommandAnswered, tmp_path)
    assert isinstance(command, OperatorCommand)
    assert isinstance(answered, CommandAnswered)
    assert (command.who, command.target) == ("test", "Steady")
    first, *later = answers
    assert (first.state, first.repeated) == ("done", False)
    assert events(tmp_path)[first.seq - 1] == command
    assert [(one.seq, one.state, one.repeated) for one in later] == [(first.seq, "done", True)] * 2
    assert_replays(tmp_path)


async def test_requests_at_the_same_time_with_one_nonce_make_one_record(
    tmp_path: Path, paced_clock: MockClock
) -> None:
    answers: list[CommandAnswer] = []

    async def script(rig: Rig) -> None:
        async def once() -> None:
            answers.append(await ask(rig, "halt", "n-1"))

        async with trio.open_nursery() as nursery:
            for _ in range(5):
                nursery.start_soon(once)

    await Rig(tmp_path, config("Steady"), TestClock()).run(script)
    assert len({one.seq for one in answers}) == 1
    assert sum(bool(one.nonce) for one in of(OperatorCommand, tmp_path)) == 1  # type: ignore[attr-defined]
    assert_replays(tmp_path)


async def test_a_nonce_is_known_after_a_restart_and_the_halt_and_pause_still_hold(
    tmp_path: Path, paced_clock: MockClock
) -> None:
    answers: list[CommandAnswer] = []
    states: list[tuple[str, list[str]]] = []

    async def script(rig: Rig) -> None:
        gates = rig.live._manager().gates
        states.append((gates.halted, gates.paused))
        answers.append(await ask(rig, "halt", "n-1"))
        answers.append(await ask(rig, "pause", "n-2", strategy="Steady"))

    for _ in range(2):
        await Rig(tmp_path, config("Steady"), TestClock()).run(script)
    assert states == [("", []), ("operator: halt", ["Steady"])]
    assert [one.seq for one in answers[:2]] == [one.seq for one in answers[2:]]
    assert [one.repeated for one in answers] == [False, False, True, True]
    assert sum(bool(one.nonce) for one in of(OperatorCommand, tmp_path)) == 2  # type: ignore[attr-defined]
    assert_replays(tmp_path)


async def test_only_a_halt_passes_without_the_journal_of_this_engine(
    tmp_path: Path, paced_clock: MockClock
) -> None:
    async def script(rig: Rig) -> None:
        assert await code(rig, "pause", "n-1", journal="00" * 16) == "other_journal"
        assert await code(rig, "pause", "n-1", journal="") == "journal_needed"
        assert (await ask(rig, "halt", "n-2", journal="00" * 16)).state == "done"
        assert (await ask(rig, "halt", "n-3", journal="")).reason == "was halted already"

    await Rig(tmp_path, config("Steady"), TestClock()).run(script)
    assert [one.command for one in of(OperatorCommand, tmp_path)] == ["halt", "halt", "stop"]  # type: ignore[attr-defined]


async def test_a_nonce_of_another_request_is_refused(tmp_path: Path, paced_clock: MockClock) -> None:
    async def script(rig: Rig) -> None:
        await ask(rig, "pause", "n-1", strategy="Steady")
        assert await code(rig, "pause", "n-1") == "nonce_reused"
        assert await code(rig, "halt", "n-1") == "nonce_reused"

    await Rig(tmp_path, config("Steady"), TestClock()).run(script)
    assert len(of(CommandAnswered, tmp_path)) == 1


async def test_requests_under_way_are_bounded_and_a_halt_passes(
    tmp_path: Path, paced_clock: MockClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def script(rig: Rig) -> None:
        monkeypatch.setattr(rig.live.desk, "_put", lambda _: None)
        codes: list[str] = []

        async def lost(number: int) -> None:
            codes.append(await code(rig, "pause", f"n-{number}"))

        async with trio.open_nursery() as nursery:
            for number in range(IN_FLIGHT_MAX):
                nursery.start_soon(lost, number)
            await trio.sleep(1)
            assert await code(rig, "pause", "n-x") == "busy"
            monkeypatch.undo()
            assert (await ask(rig, "halt", "n-y")).state == "done"
        assert codes == ["not_recorded"] * IN_FLIGHT_MAX

    await Rig(tmp_path, config("Steady"), TestClock()).run(script)


async def test_an_answer_waits_for_the_end_of_what_works_as_long_as_it_is_asked_to(
    tmp_path: Path, paced_clock: MockClock
) -> None:
    async def script(rig: Rig) -> None:
        await rig.record(100)
        order: dict[str, Any] = {"market": "AAA", "side": "buy", "size": 1}
        began = trio.current_time()
        resting = await ask(rig, "order", "n-1", **order, limit=50, wait_s=3)
        assert (resting.state, resting.left) == ("working", (("manual", "AAA", "1"),))
        assert 3 <= trio.current_time() - began < 4
        async with trio.open_nursery() as nursery:

            async def trade() -> None:
                await trio.sleep(1)
                await rig.send(100, 100)

            nursery.start_soon(trade)
            filled = await ask(rig, "order", "n-2", **order, wait_s=30)
        assert (filled.state, filled.left) == ("done", ())
        assert trio.current_time() - began < 10
        again = await ask(rig, "order", "n-1", **order, limit=50)
        assert (again.state, again.repeated, again.left) == ("working", True, resting.left)

    await Rig(tmp_path, config("Steady"), TestClock()).run(script)
    assert_replays(tmp_path)


async def test_a_start_says_what_operators_stopped_and_set(tmp_path: Path, paced_clock: MockClock) -> None:
    async def first(rig: Rig) -> None:
        await ask(rig, "stop-strategy", "n-1", strategy="Steady")

    async def later(rig: Rig) -> None:
        pass

    await Rig(tmp_path, config("Steady"), TestClock()).run(first)
    rig = Rig(tmp_path, config("Steady"), TestClock())
    await rig.run(later)
    lines = [(one.name, one.state, one.detail) for one in rig.health]
    assert ("strategy Steady", "stopped", "by an operator; `engine ctl restart` lets it run again") in lines


async def test_a_stop_by_request_ends_the_session_with_one_record(
    tmp_path: Path, paced_clock: MockClock
) -> None:
    async def script(rig: Rig) -> None:
        await rig.record(100)
        answer = await ask(rig, "stop", "n-1")
        assert (answer.state, answer.reason) == ("done", "the session ends")

    result = await Rig(tmp_path, config("Steady"), TestClock()).run(script, stops=False)
    (command,) = of(OperatorCommand, tmp_path)
    (stopped,) = of(SessionStopped, tmp_path)
    assert isinstance(command, OperatorCommand)
    assert isinstance(stopped, SessionStopped)
    assert command.nonce == "n-1"
    assert result.stopped_by == stopped.reason == "test"
    assert result.live_orders == 0
    assert_replays(tmp_path)
