"""`engine ctl`: what each command sends, its outcome, exit codes, lost answers, nothing running."""

from __future__ import annotations

import json
import os
import shlex
import shutil
import socket
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from unittest.mock import patch

import click
import pytest

from engine.api.sockets import SOCKET_NAME
from engine.commands.ctl import ctl_command
from engine.errors import EngineError
from engine.journal.lock import JournalLock
from tests.commands.fake_engine import JOURNAL, FakeEngine, fake_engine, lost, outcome, problem, refused
from tests.commands.kit import Done, engine


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.fixture
def running(folder: Path) -> Iterator[FakeEngine]:
    with fake_engine(folder / "journal") as found:
        yield found


def ctl(words: str) -> Done:
    return engine("ctl", *shlex.split(words))


@pytest.mark.parametrize(
    ("words", "sent"),
    [
        ("pause", {"command": "pause", "all": True}),
        ("pause all", {"command": "pause", "all": True}),
        ("pause Cross", {"command": "pause", "strategy": "Cross"}),
        ("resume", {"command": "resume", "all": True}),
        ("resume ETH", {"command": "resume", "market": "ETH"}),
        ("resume Cross", {"command": "resume", "strategy": "Cross"}),
        ("flatten all", {"command": "flatten", "all": True}),
        ("flatten ETH", {"command": "flatten", "market": "ETH"}),
        ("flatten hyperliquid:BTC", {"command": "flatten", "market": "hyperliquid:BTC"}),
        ("flatten Cross", {"command": "flatten", "strategy": "Cross"}),
        ("flatten manual", {"command": "flatten", "strategy": "manual"}),
        ("cancel all", {"command": "cancel", "all": True}),
        ("cancel ETH --protective", {"command": "cancel", "market": "ETH", "protective": True}),
        ("cancel Cross", {"command": "cancel", "strategy": "Cross"}),
        ("cancel 0x12", {"command": "cancel", "order": "0x12"}),
        ("order ETH buy 0.5", {"command": "order", "market": "ETH", "side": "buy", "size": "0.5"}),
        ("order ETH sell 5%", {"command": "order", "market": "ETH", "side": "sell", "percent": "5"}),
        ("order ETH buy 9 --quote", {"command": "order", "market": "ETH", "side": "buy", "notional": "9"}),
        (
            "order ETH buy 1 --limit 99 --stop-loss 90 --take-profit 110 --post-only",
            {"command": "order", "market": "ETH", "side": "buy", "size": "1", "limit": "99",
             "stop_loss": "90", "take_profit": "110", "post_only": True},
        ),
        (
            "order ETH sell 1 --trigger 90 --kind tp --reduce-only",
            {"command": "order", "market": "ETH", "side": "sell", "size": "1", "trigger": "90", "kind": "tp",
             "reduce_only": True},
        ),
        ("set Cross.fast=5", {"command": "set", "strategy": "Cross", "name": "fast", "value": "5"}),
        ("set a.b.fast=x=y", {"command": "set", "strategy": "a.b", "name": "fast", "value": "x=y"}),
        ("restart Cross", {"command": "restart", "strategy": "Cross"}),
        ("stop-strategy Cross", {"command": "stop-strategy", "strategy": "Cross"}),
        ("disarm", {"command": "disarm"}),
        ("stop", {"command": "stop"}),
    ],
)  # fmt: skip
def test_each_command_sends_what_was_said_and_nothing_else(
    running: FakeEngine, words: str, sent: dict[str, Any]
) -> None:
    done = ctl(words)
    assert done.code == 0, done.err
    (request,) = running.commands
    assert request.pop("nonce").startswith("ctl-")
    assert request == {**sent, "journal": JOURNAL, "wait_s": 0}
    assert done.out.startswith(f"seq 12: {sent['command']}")
    assert done.out.endswith(": done\n")


def test_an_order_is_shown_in_the_words_it_was_given_in(running: FakeEngine) -> None:
    done = ctl("order ETH sell 9 --quote --limit 99 --post-only")
    assert done.out == "seq 12: order ETH sell 9 of quote limit 99 post-only: done\n"


def test_a_halt_asks_nothing_before_it_is_sent(running: FakeEngine) -> None:
    assert ctl("halt").out == "seq 12: halt: done\n"
    assert running.asked == ["POST commands"]
    assert "journal" not in running.commands[0]


@pytest.mark.parametrize(
    "words",
    ["flatten", "cancel", "flatten ''", "cancel ' '", "pause ''", "resume ''", "flatten Nothing", "set Cross",
     "set fast=5", "order ETH buy", "order ETH hold 1", "order ETH buy 5% --quote", "flatten all --wait soon",
     "flatten BTC", "frob"],
)  # fmt: skip
def test_no_selector_or_one_that_means_nothing_is_exit_2_and_sends_nothing(
    running: FakeEngine, words: str
) -> None:
    done = ctl(words)
    assert done.code == 2, done
    assert running.commands == []


def test_a_name_of_two_things_says_how_to_name_one(running: FakeEngine) -> None:
    assert "BTC is a market and a strategy; write the market as venue:BTC" in ctl("flatten BTC").err


def test_refused_is_exit_6_with_the_reason(running: FakeEngine) -> None:
    answer = outcome("refused", code="margin", reason="needs 100")
    running.outcomes += [answer, answer]
    done = ctl("order ETH buy 1")
    assert (done.code, done.out) == (6, "")
    assert done.err == "engine: seq 12: order ETH buy 1: refused; margin: needs 100\n"
    done = ctl("order ETH buy 1 --json")
    assert done.code == 6
    assert json.loads(done.out)["seq"] == 12


def test_working_says_what_is_left_and_is_exit_8_only_for_who_waits(running: FakeEngine) -> None:
    working = outcome("working", left=[["Cross", "ETH", "0.5"]], tries=2)
    running.outcomes.append(working)
    done = ctl("flatten all")
    assert (done.code, done.out) == (0, "seq 12: flatten all: working; left: Cross ETH 0.5; 2 tries\n")
    running.outcomes += [working] * 1000
    done = ctl("flatten all --wait 50ms")
    assert done.code == 8
    assert "not done within 0.05 s, and it goes on" in done.err
    assert {one["nonce"] for one in running.commands[1:]} == {running.commands[1]["nonce"]}, "one command"


def test_wait_returns_as_soon_as_it_is_done(running: FakeEngine) -> None:
    running.outcomes += [outcome("working"), outcome("done")]
    done = ctl("flatten all --wait 1h")
    assert (done.code, done.out.splitlines()[-1]) == (0, "seq 12: flatten all: done")
    assert running.commands[0]["wait_s"] == 50


def test_a_lost_answer_is_asked_for_once_more_with_the_same_nonce(running: FakeEngine) -> None:
    running.outcomes.append(lost)
    done = ctl("halt")
    assert (done.code, done.out) == (0, "seq 12: halt: done\n")
    first, second = running.commands
    assert first == second


@pytest.mark.parametrize("answer", [lost, refused(503, "not_recorded")])
def test_an_answer_lost_twice_says_that_nothing_is_known_and_how_to_ask_again(
    running: FakeEngine, answer: Any
) -> None:
    running.outcomes += [answer, answer]
    done = ctl("halt --nonce mine")
    assert (done.code, len(running.commands)) == (5, 2)
    assert "is not known; send it again with --nonce mine" in done.err
    assert ctl("halt --nonce mine").code == 0
    assert {one["nonce"] for one in running.commands} == {"mine"}


def test_a_pause_that_a_starting_engine_keeps_is_asked_about_until_it_is_recorded(
    running: FakeEngine,
) -> None:
    running.starting = "starting: 40% of the newest day's record is read, about 30 s are left"
    kept = 503, problem("not_recorded") | {"message": f"{running.starting}; the command is kept"}
    running.outcomes += [lambda _: kept] * 5
    done = ctl("pause")
    assert (done.code, done.out) == (0, "seq 12: pause all: done\n")
    assert len(running.commands) == 6
    assert {one["journal"] for one in running.commands} == {JOURNAL}, "the answer to the status names it"


def test_another_command_says_how_far_the_start_is(running: FakeEngine) -> None:
    running.starting = "starting: 40% of the newest day's record is read, about 30 s are left"
    running.outcomes.append(refused(503, "starting"))
    done = ctl("resume")
    assert (done.code, len(running.commands)) == (5, 1)
    status = engine("status")
    assert (status.code, status.err) == (5, f"engine: {running.starting}\n")


@pytest.mark.parametrize(
    ("status", "code", "exit_code"),
    [(400, "number", 2), (409, "nonce_reused", 2), (409, "other_journal", 6), (403, "read_only", 6),
     (429, "busy", 5), (503, "stopping", 5), (500, "internal", 1)],
)  # fmt: skip
def test_a_problem_has_the_exit_code_of_whose_fault_it_is(
    running: FakeEngine, status: int, code: str, exit_code: int
) -> None:
    running.outcomes.append(refused(status, code))
    done = ctl("pause")
    assert done.code == exit_code
    assert done.err == f"engine: words about {code}\n"
    assert len(running.commands) == 1


def test_what_the_engine_says_cannot_move_the_cursor(running: FakeEngine) -> None:
    running.outcomes.append(outcome("working", reason="\x1b[2J"))
    assert "\\x1b[2J" in ctl("flatten all").out


def test_the_answer_that_is_no_object_is_an_error_in_one_line(running: FakeEngine) -> None:
    running.outcomes.append(lambda _: (200, [1]))
    done = ctl("halt --nonce mine")
    assert done.code == 5
    assert "the answer is no JSON object" in done.err
    assert "whether the command was recorded is not known; send it again with --nonce mine" in done.err


@pytest.mark.parametrize(
    "answer",
    [
        {},
        {"seq": 3},
        {"state": "done"},
        {"seq": 3, "state": "ok"},
        {"seq": 3, "state": "working", "left": [1]},
    ],
)
def test_an_outcome_of_another_version_is_not_taken_for_done(running: FakeEngine, answer: Any) -> None:
    running.outcomes.append(lambda _: (200, answer))
    done = ctl("flatten all --wait 1s --nonce mine")
    assert (done.code, done.out) == (5, "")
    assert "the answer is not one of this version's" in done.err
    assert "whether the command was recorded is not known; send it again with --nonce mine" in done.err
    assert len(running.commands) == 1


def test_an_outcome_with_fewer_or_more_members_is_shown(running: FakeEngine) -> None:
    running.outcomes += [lambda _: (200, {"seq": 3, "state": "done", "later": {"a": 1}})] * 2
    assert ctl("halt").out == "seq 3: halt: done\n"
    assert json.loads(ctl("halt --json").out) == {"seq": 3, "state": "done", "later": {"a": 1}}


@pytest.mark.parametrize(
    ("words", "name", "answer"),
    [
        ("ctl pause", "status", {"seq": 9}),
        ("ctl flatten ETH", "strategies", {}),
        ("ctl flatten ETH", "strategies", {"strategies": [{"title": "Cross"}]}),
        ("ctl cancel 0x12", "instruments", {"instruments": [{"name": "ETH"}]}),
        ("ctl link", "link", {}),
        ("status", "status", {"journal": JOURNAL}),
    ],
)
def test_an_engine_of_another_version_is_told_apart_from_a_bug(
    running: FakeEngine, words: str, name: str, answer: Any
) -> None:
    running.answers |= {"positions": {}, "orders": {}, "health": {}, name: answer}
    done = engine(*words.split())
    assert (done.code, done.out) == (1, "")
    assert "the answer is not one of this version's" in done.err
    assert "internal error" not in done.err
    assert running.commands == []


def test_link_prints_a_fresh_link(running: FakeEngine) -> None:
    assert ctl("link").out == "http://127.0.0.1:8710/?token=t\n"
    assert json.loads(ctl("link --json").out) == {"dashboard": "http://127.0.0.1:8710/?token=t"}
    del running.answers["link"]
    done = ctl("link")
    assert (done.code, done.err) == (2, "engine: words about no_page\n")


@pytest.mark.parametrize(
    ("armed", "words", "typed", "sent"),
    [(True, "", False, False), (True, "", True, True), (True, "--yes", None, True), (False, "", None, True)],
)
def test_a_real_order_is_confirmed_on_a_terminal(
    running: FakeEngine, armed: bool, words: str, typed: bool | None, sent: bool
) -> None:
    running.answers["status"] |= {"armed": armed, "network": "mainnet", "account_id": "0xabc"}
    questions = []

    def confirm(text: str, **_: Any) -> bool:
        questions.append(text)
        return bool(typed)

    with patch.object(click, "confirm", confirm), patch("engine.commands.ctl.sys.stdin") as stdin:
        stdin.isatty.return_value = True
        done = ctl(f"order ETH buy 1 {words}")
    assert bool(running.commands) == sent
    assert done.code == (0 if sent else 6)
    assert bool(questions) == (typed is not None)
    if typed is not None:
        assert "REAL ORDER (mainnet 0xabc): ETH buy 1" in done.err


# Nothing runs.


@pytest.mark.parametrize("words", ["ctl halt", "ctl pause", "ctl flatten all", "ctl link", "status"])
def test_nothing_runs_on_the_journal(folder: Path, words: str) -> None:
    (folder / "journal").mkdir()
    done = engine(*words.split())
    assert done.code == 5
    assert done.err == (
        "engine: journal: no engine runs on this journal; `engine live --journal journal` starts one\n"
    )


def test_there_is_no_such_journal(folder: Path) -> None:
    done = ctl("halt --journal nowhere")
    assert (done.code, done.err) == (
        2, "engine: nowhere: there is no such folder; give the journal of the engine with --journal\n"
    )  # fmt: skip


def test_a_socket_that_a_killed_engine_left(folder: Path) -> None:
    (folder / "journal").mkdir()
    left = socket.socket(socket.AF_UNIX)
    left.bind("journal/engine.sock")
    left.close()
    done = ctl("halt")
    assert done.code == 5
    assert "journal/engine.sock: the engine that made it was killed" in done.err


@pytest.mark.parametrize("left", [False, True])
def test_an_engine_that_starts_is_not_taken_for_one_that_was_killed(folder: Path, left: bool) -> None:
    (folder / "journal").mkdir()
    if left:
        with socket.socket(socket.AF_UNIX) as one:
            one.bind("journal/engine.sock")
    with JournalLock(folder / "journal"):
        done = ctl("halt")
    assert (done.code, done.out) == (5, "")
    assert f"process {os.getpid()} has this journal and takes no commands now" in done.err
    assert "engine live" not in done.err, "a second engine would be refused"


@pytest.mark.parametrize("content", ["", "0", "-1", "9" * 20, "4194305", "nonsense"])
def test_a_lock_of_a_process_that_ended_holds_nothing(folder: Path, content: str) -> None:
    (folder / "journal").mkdir()
    (folder / "journal" / "LOCK").write_text(content, encoding="utf-8")
    assert "no engine runs on this journal" in ctl("halt").err


@pytest.mark.skipif(os.geteuid() == 0, reason="root may use every socket")
def test_a_socket_of_another_user(running: FakeEngine) -> None:
    Path("journal", SOCKET_NAME).chmod(0)
    done = ctl("halt")
    assert (done.code, "only the user who runs the engine" in done.err) == (5, True)


def test_a_path_longer_than_a_socket_can_have(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    deep = folder / ("d" * 60) / ("e" * 60)
    (folder / "short").mkdir()
    with fake_engine(folder / "short"):
        deep.parent.mkdir()
        deep.symlink_to(folder / "short")
        assert ctl(f"halt --journal {deep}").code == 0


def test_doctor_says_what_is_at_the_socket(folder: Path) -> None:
    def found() -> tuple[bool, str]:
        check = json.loads(engine("doctor", "--journal", "journal", "--json").out)["checks"]["socket"]
        return check["ok"], check["detail"]

    (folder / "journal").mkdir()
    ok, detail = found()
    assert ok
    assert detail.startswith("no engine runs there; engine.sock can be made in")
    with fake_engine(folder / "journal"):
        assert found() == (True, "an engine answers on journal/engine.sock")
    left = socket.socket(socket.AF_UNIX)
    left.bind("journal/engine.sock")
    left.close()
    ok, detail = found()
    assert ok
    assert "was left by an engine that was killed" in detail
    Path("journal/engine.sock").unlink()
    with patch("engine.commands.doctor.UnixSocket", side_effect=EngineError("no sockets on this disk")):
        assert found() == (
            False, "`engine ctl` and `engine status` will not work: no sockets on this disk"
        )  # fmt: skip


def test_a_socket_in_a_journal_is_no_part_of_it(traded: Path, tmp_path: Path) -> None:
    with fake_engine(tmp_path / "short") as running:
        root = shutil.copytree(traded.parent, tmp_path / "journal")
        os.link(tmp_path / "short" / SOCKET_NAME, root / SOCKET_NAME)
        assert engine("journal", "verify", root).code == 0
        assert engine("project", root, "--db", tmp_path / "rows.db").code == 0
        assert engine("replay", root / traded.name).code == 0
        assert engine("journal", "seal", root, "--newest").code == 0
        assert engine("inspect", root / traded.name, "--summary").code == 0
        assert (root / SOCKET_NAME).is_socket()
        assert running.asked == []


def test_every_command_has_help_with_an_example() -> None:
    for name in ctl_command.commands:
        done = ctl(f"{name} --help")
        assert done.code == 0
        assert f"engine ctl {name}" in done.out.split("Options:")[0].split("\n", 1)[1], name
