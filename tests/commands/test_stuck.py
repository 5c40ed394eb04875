"""A handler that never returns is reported with its line; signals and `--for` end the process even then."""

from __future__ import annotations

import contextlib
import os
import pty
import re
import shutil
import signal
import subprocess
import sys
import termios
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from engine.events import SessionStopped, Trade
from tests.commands.kit import (
    ENGINE,
    PATIENCE_S,
    assert_replays,
    days,
    engine,
    environment,
    lines,
    recorded,
    spawn,
    start,
    until,
    wait_for,
)

MINE = """import itertools
from engine.strategies import Strategy

class Mine(Strategy):
    def on_start(self):
        self.seen = 0
    def on_trade(self, trade):
        self.seen += 1
        if self.seen == 5:
            self.think()
    def think(self):
        while True:
            pass

class Bare(Mine):
    def think(self):
        while True:
            try:
                self.seen += 1
            except:
                self.seen = 0

class Hard(Mine):
    def think(self):
        sum(itertools.count())

class Fine(Mine):
    def think(self):
        pass
"""
PLACE = r"on_trade \(mine\.py:\d+\)"


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "mine.py").write_text(MINE)
    (tmp_path / "c.toml").write_text("[limits]\nhandler_s = 1\n")
    return tmp_path


def live(name: str, *more: object) -> list[object]:
    return ["live", "--config", "c.toml", "--strategy", f"mine:{name}", "--journal", "j", "--no-db", *more]


def begin(folder: Path, name: str, *more: object) -> subprocess.Popen[str]:
    """Start a session; its errors are written to a file."""
    with (folder / "errors").open("w") as errors:
        return start(*live(name, *more), cwd=folder, stderr=errors, env=environment())


def shown(folder: Path) -> str:
    return (folder / "errors").read_text()


def until_shown(process: subprocess.Popen[str], folder: Path, words: str) -> None:
    """Wait until a session that turns in circles has shown these words; leave the processor to others."""
    until(lambda: words in shown(folder))
    os.setpriority(os.PRIO_PROCESS, process.pid, 19)


def assert_ended(process: subprocess.Popen[str], folder: Path, code: int, words: str) -> None:
    process.communicate(timeout=PATIENCE_S)
    assert process.returncode == code
    text = shown(folder)
    assert re.search(words, text), text
    assert "Traceback" not in text
    assert not recorded(folder / "j", SessionStopped)
    assert recorded(folder / "j", Trade) < 5
    assert_replays(folder / "j")
    again = spawn(*live("Fine", "--for", "1s"), cwd=folder)
    assert again.code == 0, again.err


@pytest.mark.parametrize("name", ["Mine", "Bare"])
def test_a_second_signal_ends_the_process_at_once_in_a_handler_that_never_returns(
    folder: Path, name: str
) -> None:
    process = begin(folder, name)
    until_shown(process, folder, "for 1 s")
    process.send_signal(signal.SIGTERM)
    until(lambda: "a second signal ends the session at once" in shown(folder))
    time.sleep(1.1)  # signals within a second are one request
    process.send_signal(signal.SIGINT)
    words = (
        rf"\n\S+Z strategy {name}: stuck: has not returned from {PLACE} for 1 s; the session waits for it\n"
        r"(.*\n)*"
        rf"engine: stopped at once by a second signal; strategy {name} has not returned from {PLACE}; "
        r"the journal ends at seq \d+\n$"
    )
    assert_ended(process, folder, 1, words)


def test_for_ends_the_process_although_a_handler_never_returns(folder: Path) -> None:
    process = begin(folder, "Mine", "--for", "1s")
    until_shown(process, folder, "for 1 s")
    words = (
        rf"engine: strategy Mine has not returned from {PLACE} for \d+ s, and --for 1s is over; the journal"
    )
    assert_ended(process, folder, 7, words)


def test_one_call_into_c_is_shown_by_a_traceback_and_ended_by_sigkill(folder: Path) -> None:
    process = begin(folder, "Hard")
    until(lambda: 'mine.py", line 25 in think' in shown(folder))
    process.kill()
    process.communicate(timeout=PATIENCE_S)
    assert_replays(folder / "j")


def test_two_signals_at_once_are_one_and_stop_in_order(folder: Path) -> None:
    process = start(*live("Fine", "--json", "--quiet"), cwd=folder, env=environment())
    wait_for(process, folder / "j", Trade, 30)
    process.send_signal(signal.SIGINT)
    time.sleep(0.05)
    process.send_signal(signal.SIGTERM)
    _, err = process.communicate(timeout=PATIENCE_S)
    assert (process.returncode, err) == (0, "")
    (stopped,) = lines(engine("inspect", days(folder / "j")[0], "--type", "SessionStopped", "--json"))
    assert stopped["reason"] == "SIGINT"


@pytest.mark.skipif(shutil.which("timeout") is None, reason="needs GNU timeout")
def test_timeout_stops_in_order_although_it_signals_twice(folder: Path) -> None:
    """It signals its child, and then its process group, to which the child belongs. Its time is over when it
    receives SIGALRM.
    """
    command = ["timeout", "--signal", "INT", str(PATIENCE_S), *ENGINE, *map(str, live("Fine"))]
    process = subprocess.Popen(
        command, cwd=folder, env=environment(), stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    )
    wait_for(process, folder / "j", Trade)
    process.send_signal(signal.SIGALRM)
    out, err = process.communicate(timeout=PATIENCE_S)
    assert process.returncode == 124, err
    assert "stopped by SIGINT" in out
    assert recorded(folder / "j", SessionStopped) == 1


@contextlib.contextmanager
def terminal() -> Iterator[tuple[int, int]]:
    """Yield the two ends of a terminal: what a person sees is read from the first one."""
    outer, inner = pty.openpty()
    try:
        yield outer, inner
    finally:
        os.close(outer)
        os.close(inner)


@pytest.mark.skipif(sys.platform != "linux", reason="a terminal that is stopped, as Linux does it")
def test_a_session_on_a_terminal_stopped_by_ctrl_s_trades_on_stops_in_order_and_ends(folder: Path) -> None:
    """Its result finds no reader either, so the second signal has to end the process without a word."""
    with terminal() as (_, inner):
        command = [*ENGINE, *map(str, live("Fine"))]
        process = subprocess.Popen(
            command, cwd=folder, env=environment(), stdout=inner, stderr=inner, text=True
        )
        wait_for(process, folder / "j", Trade)
        termios.tcflow(inner, termios.TCOOFF)
        wait_for(process, folder / "j", Trade, recorded(folder / "j", Trade) + 20)
        process.send_signal(signal.SIGTERM)
        wait_for(process, folder / "j", SessionStopped)
        assert_killed_by_a_second_signal(process)
    assert_replays(folder / "j")


@pytest.mark.skipif(sys.platform != "linux", reason="a terminal that is stopped, as Linux does it")
def test_two_signals_end_a_handler_that_never_returns_although_nobody_reads(folder: Path) -> None:
    with terminal() as (outer, inner):
        process = start(*live("Bare"), cwd=folder, stderr=inner, env=environment())
        seen = b""
        while b"for 1 s" not in seen:
            seen += os.read(outer, 65_536)
        termios.tcflow(inner, termios.TCOOFF)
        process.send_signal(signal.SIGTERM)
        assert_killed_by_a_second_signal(process)
        process.communicate()
    assert_replays(folder / "j")


def assert_killed_by_a_second_signal(process: subprocess.Popen[str]) -> None:
    time.sleep(1.1)  # signals within a second are one request
    process.send_signal(signal.SIGTERM)
    try:
        assert process.wait(10) == 1
    finally:
        process.kill()
