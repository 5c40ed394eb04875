"""The server within a session: what it shows is the journal's, and its errors are not the session's."""

from __future__ import annotations

from collections.abc import Callable
from itertools import islice
from pathlib import Path
from typing import Any

import httpx
import msgspec
import pytest
import trio
import trio.lowlevel
from trio.testing import MockClock

from engine.api import live
from engine.api.live import LiveSource, _read_view
from engine.api.server import LiveServer
from engine.api.sockets import UnixSocket, short_path
from engine.events import ClockAdvanced, EdgeChanged, LoginFailed
from engine.events.codec import Record, in_order
from engine.records import derived_of, inputs_of, open_day
from engine.runtime.committer import Committed
from engine.runtime.plan import ServedSession
from engine.views.queries import answer
from engine.views.view import View
from tests.api.kit import PATIENCE_S, QUESTIONS
from tests.commands.kit import SAMPLE
from tests.runtime.kit import LISTED, assert_replays, config, of
from tests.runtime.rig import Rig


def makes(root: Path) -> Callable[[ServedSession], LiveServer]:
    return lambda session: LiveServer(root, session)


async def ask(root: Path, path: str, **body: Any) -> Any:
    """Ask the session that runs on a journal; wait until it answers."""
    with short_path(root / "engine.sock") as socket:
        transport = httpx.AsyncHTTPTransport(uds=socket)
        async with httpx.AsyncClient(transport=transport, timeout=PATIENCE_S) as client:
            with trio.fail_after(PATIENCE_S):
                while True:
                    try:
                        if body:
                            reply = await client.post(f"http://engine{path}", json=body)
                        else:
                            reply = await client.get(f"http://engine{path}")
                    except httpx.ConnectError:
                        await trio.sleep(0.01)
                        continue
                    if reply.status_code != 503:
                        return reply.json()
                    await trio.sleep(0.01)


async def durable(rig: Rig) -> int:
    """Wait until the server shows everything that is durable; return the seq."""
    await rig.live.committer.settled()
    seq = rig.live.committer.durable_seq
    with trio.fail_after(PATIENCE_S):
        while (await ask(rig.root, "/api/status"))["seq"] < seq:  # noqa: ASYNC110
            await trio.sleep(0.01)
    return seq


async def test_a_session_is_shown_and_takes_commands(paced_clock: MockClock, tmp_path: Path) -> None:
    async def script(rig: Rig) -> None:
        await rig.send(100, 101, 102)
        await durable(rig)
        status = await ask(tmp_path, "/api/status")
        assert (status["mode"], status["armed"], status["running"]) == ("paper", False, True)
        assert status["journal"] == (tmp_path / "journal.id").read_text(encoding="utf-8").strip()
        done = await ask(
            tmp_path, "/api/commands", command="pause", all=True, nonce="a", journal=status["journal"]
        )
        assert done["state"] == "done"
        halts = (await ask(tmp_path, "/api/status"))["halts"]
        assert [one["what"] for one in halts] == ["pause"], "who acts reads at once what came of it"
        again = await ask(
            tmp_path, "/api/commands", command="pause", all=True, nonce="a", journal=status["journal"]
        )
        assert (again["seq"], again["repeated"]) == (done["seq"], True)
        halted = await ask(tmp_path, "/api/commands", command="halt", nonce="b", journal="0" * 32)
        assert halted["state"] == "done", "a halt passes whatever the journal"
        assert (await ask(tmp_path, "/api/login", token="wrong"))["code"] == "login_failed"
        await durable(rig)
        health = await ask(tmp_path, "/api/health")
        assert health["lines"]["journal"].startswith("seq ")
        assert health["lines"]["api"].startswith("connections ")
        chain = (await ask(tmp_path, f"/api/why/{done['seq']}"))["chain"]
        assert [(one["seq"], one["type"]) for one in chain] == [(done["seq"], "OperatorCommand")]
        events = (await ask(tmp_path, "/api/events?kinds=Trade&limit=2"))["events"]
        assert [one["type"] for one in events] == ["Trade", "Trade"], "these are read from the journal"

    rig = Rig(tmp_path, config(), make_server=makes(tmp_path))
    await rig.run(script)
    lines = [one.detail for one in rig.health if one.name == "api" and one.state == "rejected"]
    assert lines == ["a login with a wrong token from socket"]
    (wrong,) = of(LoginFailed, tmp_path)
    assert (wrong.address, wrong.reason) == ("socket", "token")
    assert_replays(tmp_path)
    assert not (tmp_path / "engine.sock").exists()


async def test_an_error_of_the_server_does_not_stop_trading(
    paced_clock: MockClock, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    applied, fails = View.apply, [True, True]

    def apply(view: View, records: list[Any]) -> None:
        if records and records[-1][0] > 8 and fails:
            fails.pop()
            raise ZeroDivisionError("a bug of the view")
        applied(view, records)

    monkeypatch.setattr(View, "apply", apply)

    async def script(rig: Rig) -> None:
        for price in range(100, 120):
            await rig.send(price)
            await rig.live.committer.settled()
            await trio.sleep(0.02)
        with trio.fail_after(PATIENCE_S):
            while fails:  # noqa: ASYNC110 - the server restarts by itself
                await trio.sleep(0.01)
        seq = await durable(rig)
        assert seq > 20
        assert len((await ask(tmp_path, "/api/trades?instrument=AAA"))["trades"]) == 20, "nothing is missing"

    await Rig(tmp_path, config(), make_server=makes(tmp_path)).run(script)
    changes = [
        one for one in of(EdgeChanged, tmp_path) if isinstance(one, EdgeChanged) and one.actor == "api"
    ]
    assert [one.state for one in changes].count("restarting") == 2
    assert "ZeroDivisionError: a bug of the view" in {one.detail for one in changes}
    assert_replays(tmp_path)


async def test_where_no_socket_can_be_the_session_trades_without_one(
    paced_clock: MockClock, tmp_path: Path
) -> None:
    (tmp_path / "engine.sock").write_text("mine", encoding="utf-8")

    async def script(rig: Rig) -> None:
        await rig.send(100, 101)
        await rig.live.committer.settled()

    await Rig(tmp_path, config(), make_server=makes(tmp_path)).run(script)
    (running, failed, *_) = [
        one for one in of(EdgeChanged, tmp_path) if isinstance(one, EdgeChanged) and one.actor == "api"
    ]
    assert running.state == "running"
    assert failed.state == "restarting"
    assert "is not a socket; move this file away" in failed.detail
    assert (tmp_path / "engine.sock").read_text(encoding="utf-8") == "mine"
    with pytest.raises(Exception, match="is not a socket"):
        UnixSocket(tmp_path)


HOSTILE = '<img src=x onerror="alert(1)">\n\ndata: x'


async def test_a_name_of_a_venue_is_text_and_nothing_else(paced_clock: MockClock, tmp_path: Path) -> None:
    listed = msgspec.structs.replace(LISTED, name=HOSTILE)

    async def script(rig: Rig) -> None:
        with short_path(tmp_path / "engine.sock") as path:
            stream = await trio.open_unix_socket(path)
        async with stream:
            await stream.send_all(b"GET /api/stream HTTP/1.1\r\nHost: engine\r\n\r\n")
            await rig.send(100, 101, 102)
            await durable(rig)
            seen = b""
            with trio.fail_after(PATIENCE_S):
                while b"event: price" not in seen or b"\n\n" not in seen.partition(b"event: price")[2]:
                    seen += await stream.receive_some()
        for name in QUESTIONS:
            with short_path(tmp_path / "engine.sock") as socket:
                transport = httpx.AsyncHTTPTransport(uds=socket)
                async with httpx.AsyncClient(transport=transport) as client:
                    reply = await client.get(f"http://engine/api/{name}")
            assert reply.headers["content-type"] == "application/json"
            assert reply.headers["x-content-type-options"] == "nosniff"
            assert b"<" not in reply.content
            seen += reply.content
        rows = (await ask(tmp_path, "/api/instruments"))["instruments"]
        assert HOSTILE in rows[0]["key"], "it is shown as it is"
        assert b"img src=x" in seen
        assert b"<img" not in seen
        assert b"\ndata: x" not in seen, "it begins no line of the stream"

    await Rig(tmp_path, config(), make_server=makes(tmp_path), instruments=[listed]).run(script)


# The source, against the first frames of a recorded day.

JOURNAL = "0" * 32
FRAMES = 400


def frames_of(day: Path) -> list[Committed]:
    return [
        Committed(day.name, frame.first_seq, list(inputs_of(frame)), list(derived_of(frame)), frame.digest)
        for frame in islice(open_day(day), FRAMES)
    ]


def recorded(frame: Committed) -> list[Record]:
    return [*in_order(frame.first_seq, frame.inputs, frame.derived)]


def fail(records: list[Record]) -> None:
    raise ZeroDivisionError


def answers(view: View) -> dict[str, bytes]:
    return {name: msgspec.json.encode(answer(view, name, {})) for name in QUESTIONS}


async def test_an_answer_does_not_wait_for_a_view_that_nothing_keeps_in_step(
    autojump_clock: MockClock,
) -> None:
    """At the end of a session: the answer of a stop would come too late for its connection."""
    source = LiveSource(SAMPLE.parent, JOURNAL, 0, dict)
    async with trio.open_nursery() as nursery:
        source.begin()
        nursery.start_soon(source.follow)
        await trio.sleep(1)
        source.take(frames_of(SAMPLE)[0])
        began = trio.current_time()
        nursery.start_soon(source.shown)
        await trio.testing.wait_all_tasks_blocked()
        nursery.cancel_scope.cancel()
    await source.shown()
    assert trio.current_time() == began


@pytest.mark.parametrize("begins", [0, 150, FRAMES - 1])
@pytest.mark.parametrize("waiting_max", [500, 1_000_000])
@pytest.mark.parametrize("passes", ["all", "none", "fails"])
async def test_a_view_that_began_late_or_overflowed_shows_what_one_shows_that_had_every_record(
    begins: int, waiting_max: int, passes: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(live, "WAITING_MAX", waiting_max)
    monkeypatch.setattr(live, "PAUSE_S", 0.001)
    frames = frames_of(SAMPLE)
    source = LiveSource(SAMPLE.parent, JOURNAL, frames[begins].last_seq, dict)
    overflowed = 0
    if passes != "none":
        records = [record for frame in frames[: begins + 1] for record in recorded(frame)]
        if passes == "fails":
            monkeypatch.setattr(live, "SLICE_RECORDS", 50)
            source._view.apply([(9_999_999, 0, ClockAdvanced(1))])  # it is not what the journal says
            monkeypatch.setattr(source._view, "apply", fail)
        assert list(source.passing(iter(records))) == records
    async with trio.open_nursery() as nursery:
        source.begin()
        nursery.start_soon(source.follow)
        for number, frame in enumerate(frames[begins + 1 :]):
            source.take(frame)
            overflowed += source._dropped_seq == frame.last_seq
            if number % 50 == 0:
                await trio.sleep(0.002)
        with trio.fail_after(PATIENCE_S):
            while source._waiting or source.standing.seq != frames[-1].last_seq:  # noqa: ASYNC110
                await trio.sleep(0.005)
        nursery.cancel_scope.cancel()
    whole = View(JOURNAL)
    for frame in frames:
        whole.apply(recorded(frame))
    assert answers(source._view) == answers(whole)
    assert source._records == 0
    if waiting_max == 500:
        assert overflowed or begins == FRAMES - 1


async def test_what_overflows_before_the_server_runs_is_read_from_the_journal(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """A start with a long warm-up commits much before the server runs."""
    monkeypatch.setattr(live, "WAITING_MAX", 500)
    frames = frames_of(SAMPLE)
    source = LiveSource(SAMPLE.parent, JOURNAL, 0, dict)
    for frame in frames:
        source.take(frame)
    async with trio.open_nursery() as nursery:
        source.begin()
        nursery.start_soon(source.follow)
        with trio.fail_after(PATIENCE_S):
            while source._waiting or source.standing.seq != frames[-1].last_seq:  # noqa: ASYNC110
                await trio.sleep(0.005)
        nursery.cancel_scope.cancel()
    assert source._view.records == frames[-1].last_seq


def test_a_view_is_read_up_to_a_durable_seq() -> None:
    frames = frames_of(SAMPLE)
    for until in (frames[0].last_seq, frames[3].last_seq, frames[30].last_seq + 1):
        view = _read_view(SAMPLE.parent, JOURNAL, until)
        assert view.seq == max(frame.last_seq for frame in frames if frame.last_seq <= until)
