"""What the operator's socket answers while a start reads the newest day: how far it is; a halt is kept."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from functools import partial
from pathlib import Path
from typing import Any

import httpx
import pytest
import trio
from trio.testing import MockClock

from engine.api.server import LiveServer
from engine.api.sockets import short_path
from engine.errors import UsageError
from engine.events import EdgeChanged, EngineHalted, FeedUp, OperatorCommand, SessionStarted
from engine.runtime.starting import Starting
from tests.runtime import kit
from tests.runtime.kit import assert_replays, config
from tests.runtime.rig import Rig

PARTS = 20


def of(kind: Any, root: Path) -> list[Any]:
    """Return the events of a type, or of several."""
    return [event for event in kit.events(root) if isinstance(event, kind)]


async def ask(root: Path, path: str, **body: Any) -> httpx.Response:
    """Ask once the socket is there."""
    with short_path(root / "engine.sock") as socket:
        transport = httpx.AsyncHTTPTransport(uds=socket)
        async with httpx.AsyncClient(transport=transport, timeout=60) as client:
            while not (root / "engine.sock").exists():  # noqa: ASYNC110
                await trio.sleep(0.001)
            if body:
                return await client.post(f"http://engine{path}", json=body)
            return await client.get(f"http://engine{path}")


async def started_again(
    root: Path,
    monkeypatch: pytest.MonkeyPatch,
    meanwhile: Callable[[str], Awaitable[None]],
    part_s: float = 0.1,
) -> Rig:
    """Run a session; then another one, whose start takes `part_s` for each of its parts.

    An error of that one comes as a group of this function's own.
    """

    async def trades(rig: Rig) -> None:
        await rig.send(*range(100, 200))

    async def nothing(rig: Rig) -> None:
        await trio.sleep(0.1)

    await Rig(root, config()).run(trades)
    records = of(object, root)
    monkeypatch.setattr("engine.runtime.starting.PART_RECORDS", len(records) // PARTS)
    monkeypatch.setattr(Starting, "pause", staticmethod(partial(trio.sleep, part_s)))
    rig = Rig(root, config(), make_server=partial(LiveServer, root))
    journal = (root / "journal.id").read_text(encoding="utf-8").strip()
    async with trio.open_nursery() as nursery:
        nursery.start_soon(meanwhile, journal)
        await rig.run(nothing)
        nursery.cancel_scope.cancel()
    assert_replays(root)
    return rig


async def test_a_start_says_how_far_it_is(
    paced_clock: MockClock, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    seen: list[str] = []

    async def meanwhile(journal: str) -> None:
        for path in ("status", "positions", "stream"):
            reply = await ask(tmp_path, f"/api/{path}")
            assert (reply.status_code, reply.json()["code"], reply.json()["journal"]) == (
                503,
                "starting",
                journal,
            )
            assert reply.headers["retry-after"] == "1"
            seen.append(reply.json()["message"])
            await trio.sleep(0.5)

    await started_again(tmp_path, monkeypatch, meanwhile)
    parts = [int(line.partition("starting: ")[2].partition("%")[0]) for line in seen]
    assert 0 <= parts[0] < parts[1] < parts[2] <= 100
    assert "about 1 s are left" in seen[1]
    running = [one for one in of(EdgeChanged, tmp_path) if one.actor == "api"]
    assert [one.state for one in running] == ["running"], "recorded when the session had begun"


async def test_halts_and_pauses_are_kept_and_come_before_anything_from_the_market(
    paced_clock: MockClock, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    answers: dict[str, Any] = {}

    async def meanwhile(journal: str) -> None:
        async def command(nonce: str, **body: Any) -> None:
            answers[nonce] = (await ask(tmp_path, "/api/commands", nonce=nonce, **body)).json()

        async with trio.open_nursery() as nursery:
            nursery.start_soon(partial(command, "a", command="pause", all=True, journal=journal))
            nursery.start_soon(partial(command, "b", command="halt"))
            await command("c", command="resume", all=True, journal=journal)
            assert answers["c"]["code"] == "starting"
            assert "nothing was recorded" in answers["c"]["message"]
            assert not answers.keys() - {"c"}

    await started_again(tmp_path, monkeypatch, meanwhile)
    assert [(answers[one]["state"], answers[one]["repeated"]) for one in "ab"] == [("done", False)] * 2
    commands = [one.nonce for one in of(OperatorCommand, tmp_path) if one.nonce]
    assert sorted(commands) == ["a", "b"]
    kinds = (SessionStarted, OperatorCommand, FeedUp)
    last = [type(one) for one in of(kinds, tmp_path)][-5:]
    assert last == [SessionStarted, OperatorCommand, OperatorCommand, FeedUp, OperatorCommand]
    assert "operator: halt" in [one.reason for one in of(EngineHalted, tmp_path)]


async def test_a_halt_is_carried_out_although_whoever_asked_is_gone(
    paced_clock: MockClock, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def meanwhile(journal: str) -> None:
        with trio.move_on_after(0.5):
            await ask(tmp_path, "/api/commands", command="halt", nonce="a")

    await started_again(tmp_path, monkeypatch, meanwhile)
    assert [one.nonce for one in of(OperatorCommand, tmp_path) if one.nonce] == ["a"]


async def test_a_long_start_answers_that_the_halt_is_kept_and_the_same_nonce_asks_again(
    paced_clock: MockClock, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    replies: list[Any] = []

    async def meanwhile(journal: str) -> None:
        replies.append(await ask(tmp_path, "/api/commands", command="halt", nonce="a"))
        replies.append(await ask(tmp_path, "/api/commands", command="halt", nonce="a"))
        other = await ask(tmp_path, "/api/commands", command="pause", all=True, nonce="a", journal=journal)
        assert other.json()["code"] == "nonce_reused"

    await started_again(tmp_path, monkeypatch, meanwhile, part_s=0.8)
    kept, done = replies
    assert (kept.status_code, kept.json()["code"]) == (503, "not_recorded")
    assert "the command is kept" in kept.json()["message"]
    assert done.json()["state"] == "done"
    assert len([one for one in of(OperatorCommand, tmp_path) if one.nonce]) == 1


async def test_a_start_that_is_refused_says_so_plainly(
    paced_clock: MockClock, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The socket is served meanwhile, and is gone afterwards."""

    async def nothing(journal: str) -> None: ...

    monkeypatch.setattr("engine.runtime.starting.STEP_BACK_NS", -(10**18))
    with pytest.RaisesGroup(pytest.RaisesExc(UsageError, match="the clock says")):
        await started_again(tmp_path, monkeypatch, nothing)
    assert not (tmp_path / "engine.sock").exists()
