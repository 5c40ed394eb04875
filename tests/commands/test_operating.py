"""`engine status` and `engine ctl` with a real `engine live` on the sandbox, over restarts and kills."""

from __future__ import annotations

import contextlib
import fcntl
import os
import pty
import re
import signal
import struct
import subprocess
import termios
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from engine.api.sockets import SOCKET_NAME
from tests.commands.kit import (
    ENGINE,
    PATIENCE_S,
    Done,
    as_json,
    assert_replays,
    days,
    engine,
    environment,
    lines,
    spawn,
    start,
)

QUIET = """
[[strategies]]
use = "engine.strategies.crossover:Crossover"
params = { interval = "1h" }
[bars]
intervals = ["1h"]
"""


class Running:
    """An engine in a process of its own, on the sandbox; the block ends it in order."""

    def __init__(self, root: Path) -> None:
        self.root = root
        (root.parent / "c.toml").write_text(QUIET)

    def __enter__(self) -> Running:
        options = ["--journal", self.root, "--config", self.root.parent / "c.toml", "--no-db"]
        with (self.root.parent / "errors").open("w") as errors:
            self.process = start("live", *options, stderr=errors)
        self.until(lambda: self.status["status"]["newest_price_ms"] > 0)
        return self

    def __exit__(self, *_: object) -> None:
        if self.process.poll() is None:
            self.process.send_signal(signal.SIGTERM)
        self.process.communicate(timeout=PATIENCE_S)

    @property
    def status(self) -> dict[str, Any]:
        found: dict[str, Any] = as_json(engine("status", "--json", "--journal", self.root))
        return found

    @property
    def halts(self) -> list[tuple[str, str]]:
        return [(one["what"], one["name"]) for one in self.status["status"]["halts"]]

    @property
    def held(self) -> dict[tuple[str, str], str]:
        rows = self.status["positions"]["positions"]
        return {(one["owner"], one["instrument"]): one["size"] for one in rows if one["size"].strip("-0.")}

    def ctl(self, *words: object) -> Done:
        return engine("ctl", *words, "--journal", self.root)

    def until(self, condition: Callable[[], bool]) -> None:
        """Wait until a condition holds; while nothing answers it does not."""
        deadline = time.monotonic() + PATIENCE_S
        while True:
            assert time.monotonic() < deadline
            assert self.process.poll() is None, (self.root.parent / "errors").read_text()
            try:
                if condition():
                    return
            except (AssertionError, KeyError):
                pass
            time.sleep(0.25)


def done(found: Done) -> dict[str, Any]:
    """Return the answer of a command that was done."""
    answer: dict[str, Any] = as_json(found)
    assert answer["state"] == "done", answer
    return answer


def recorded(root: Path, kind: str) -> list[dict[str, Any]]:
    return [one for day in days(root) for one in lines(engine("inspect", day, "--type", kind, "--json"))]


def test_a_day_with_a_person_in_it(tmp_path: Path) -> None:
    root = tmp_path / "journal"
    with Running(root) as running:
        order = done(
            running.ctl("order", "BTC", "buy", "0.01", "--stop-loss", "1000", "--json", "--wait", "1m")
        )
        running.until(lambda: running.held == {("manual", "BTC"): "0.01"})
        (row,) = running.status["positions"]["positions"]
        assert row["protected_by"][0]["price"] == "1000"
        resting = as_json(running.ctl("order", "ETH", "buy", "0.1", "--limit", "1000", "--json"))
        assert resting["state"] == "working", "it rests"
        running.until(lambda: running.status["status"]["orders"] >= 1)
        nonce = ["--nonce", "close-it"]
        flat = done(running.ctl("flatten", "BTC", "--json", "--wait", "1m", *nonce))
        running.until(lambda: running.held == {})
        again = done(running.ctl("flatten", "BTC", "--json", *nonce))
        assert (again["seq"], again["repeated"]) == (flat["seq"], True)
        done(running.ctl("cancel", "ETH", "--json", "--wait", "1m"))
        refused = running.ctl("order", "ETH", "buy", "0.000001")
        assert (refused.code, "refused" in refused.err) == (6, True)
        assert running.ctl("order", "NOPE", "buy", "1").code == 6
        copy = tmp_path / "copy"
        subprocess.run(["cp", "-a", root, copy], check=True)
        assert engine("status", "--journal", copy).code == 5, "a copy is not the engine's journal"
        assert_replays(copy)
        assert engine("project", copy, "--db", tmp_path / "copy.db").code == 0
        done(running.ctl("resume", "--json"))
        done(running.ctl("pause", "Crossover", "--json"))
        halted = done(running.ctl("halt", "--json"))
        running.until(lambda: ("engine", "") in running.halts)
    assert not (root / SOCKET_NAME).exists()
    with Running(root) as running:
        assert {what for what, _ in running.halts} == {"engine", "pause"}, "both hold over the restart"
        assert running.ctl("order", "BTC", "buy", "0.01").code == 6
        done(running.ctl("resume", "--json"))
        running.until(lambda: running.halts == [])
        done(running.ctl("order", "BTC", "buy", "0.01", "--json", "--wait", "1m"))
        stopped = running.ctl("stop")
        assert stopped.code == 0, stopped
        running.process.communicate(timeout=PATIENCE_S)
    seqs = {one["seq"] for one in recorded(root, "OperatorCommand")}
    assert {order["seq"], resting["seq"], flat["seq"], halted["seq"]} <= seqs
    assert len([one for one in recorded(root, "OperatorCommand") if one["nonce"] == "close-it"]) == 1
    assert_replays(root)
    said = (tmp_path / "errors").read_text()
    assert "Z operator: command: order BTC buy 0.01 (by socket:" in said
    assert "Z BTC manual: filled: buy 0.01 at " in said


def test_a_killed_engine_leaves_a_socket_and_a_second_one_takes_nothing(tmp_path: Path) -> None:
    root = tmp_path / "journal"
    with Running(root) as running:
        second = spawn("live", "--journal", root, "--no-db", "--for", "1s")
        assert second.code == 6
        assert running.ctl("pause").code == 0, "the first still answers"
        running.process.send_signal(signal.SIGKILL)
        running.process.wait()
        assert (root / SOCKET_NAME).is_socket()
        assert "the engine that made it was killed" in engine("status", "--journal", root).err
        assert running.ctl("halt").code == 5
    with Running(root) as running:
        assert running.halts == [("pause", "")], "the pause was durable before its answer"
    assert_replays(root)


def test_a_terminal_has_a_live_view_that_leaves_nothing_behind(tmp_path: Path) -> None:
    outer, inner = pty.openpty()
    fcntl.ioctl(inner, termios.TIOCSWINSZ, struct.pack("HHHH", 30, 100, 0, 0))
    command = [
        *ENGINE,
        "live",
        "--journal",
        tmp_path / "journal",
        "--no-db",
        "--for",
        "4s",
        "--dashboard",
        ":0",
    ]
    variables = environment() | {"TERM": "xterm", "NO_COLOR": ""}
    with subprocess.Popen(command, stdout=inner, stderr=inner, stdin=inner, env=variables) as process:
        os.close(inner)
        received = b""
        with contextlib.suppress(OSError):
            while part := os.read(outer, 65_536):
                received += part
    os.close(outer)
    assert process.returncode == 0
    text = received.decode()
    assert "\x1b[?" not in text, "no mode of the terminal is changed"
    last_view = text.rindex(" PAPER: no order is real ")
    (erased,) = re.finditer(r"\x1b\[\d+A\r\x1b\[J", text[last_view:])
    assert ", stopped by --for 4s" in text[last_view + erased.end() :], "the result is the last"
    (link,) = re.findall(r"^dashboard: (http://127\.0\.0\.1:\d+/\?token=\S+)", text, re.MULTILINE)
    assert text.index(link) < last_view
