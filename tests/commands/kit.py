"""Runs the command `engine`: in this process, or as a user does in a process of its own.

Most tests run it in this process, which saves starting an interpreter. Tests of signals, kills, pipes, hash
seeds, system limits and trading sessions start a process.
"""

from __future__ import annotations

import contextlib
import io
import itertools
import json
import os
import shlex
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any, NamedTuple
from unittest.mock import patch

import trio

from engine.cli import main
from engine.errors import EngineError
from engine.events import Event
from engine.journal import list_days
from engine.records import read_records
from tests.commands.forking import Forked, open_process

ROOT = Path(__file__).resolve().parents[2]
SAMPLE = ROOT / "journal" / "2024-12-05"
ENGINE = [sys.executable, "-m", "engine"]
FORKS = sys.platform == "linux"
"""Whether commands start by a fork."""

PATIENCE_S = 300
"""How long a test waits before it fails. No test depends on the speed of the machine."""

FAST = """
[[strategies]]
use = "engine.strategies.crossover:Crossover"
params = { fast = 2, slow = 3, interval = "1s" }
[bars]
intervals = ["1s", "5s"]
grace_ms = 100
"""


class Done(NamedTuple):
    """The exit code and the output of a finished command."""

    code: int
    out: str
    err: str


def engine(*args: object, cwd: Path | None = None) -> Done:
    """Run `engine ARGS` in this process to its end. It must not print a traceback."""
    out, err = _Captured(), _Captured()
    code = 0
    with (
        contextlib.chdir(cwd or Path.cwd()),
        patch.object(sys, "argv", ["engine", *map(str, args)]),
        patch.object(trio.lowlevel, "open_process", open_process if FORKS else trio.lowlevel.open_process),
        contextlib.redirect_stdout(out),
        contextlib.redirect_stderr(err),
    ):
        try:
            main()
        except SystemExit as exited:
            code = exited.code if isinstance(exited.code, int) else 1
    return _without_traceback(Done(code, out.text(), err.text()))


def spawn(*args: object, cwd: Path | None = None, **variables: str) -> Done:
    """Run `engine ARGS` in a process of its own to its end, with these variables in its environment."""
    with start(*args, cwd=cwd, env=environment() | variables) as process:
        try:
            out, err = process.communicate(timeout=PATIENCE_S)
        except BaseException:
            process.kill()
            raise
    return _without_traceback(Done(process.returncode, out, err))


def shell(script: str) -> Done:
    """Run a script of bash to its end; `{engine}` in it is the command."""
    return run(["bash", "-c", script.format(engine=shlex.join(ENGINE))], env=environment())


def run(command: list[str], **options: Any) -> Done:
    """Run a process to its end. It must not print a traceback."""
    done = subprocess.run(command, capture_output=True, text=True, timeout=PATIENCE_S, check=False, **options)
    return _without_traceback(Done(done.returncode, done.stdout, done.stderr))


def _without_traceback(done: Done) -> Done:
    assert "Traceback" not in done.err, done.err
    return done


class _Captured(io.TextIOWrapper):
    """A text stream that keeps what is written to it."""

    def __init__(self) -> None:
        super().__init__(io.BytesIO(), encoding="utf-8", write_through=True)

    def text(self) -> str:
        buffer = self.buffer
        assert isinstance(buffer, io.BytesIO)
        return buffer.getvalue().decode()


def environment() -> dict[str, str]:
    return {**os.environ, "PYTHONPATH": str(ROOT)}


def start(*args: object, **kwargs: Any) -> subprocess.Popen[str]:
    """Start a command in the background: by a fork, or with an interpreter of its own if variables of Python
    are given or Linux is not there.
    """
    options = {"stderr": subprocess.PIPE, "env": environment(), **kwargs}
    own = {name: value for name, value in options["env"].items() if name.startswith("PYTHON")}
    forked = FORKS and own == {
        name: value for name, value in environment().items() if name.startswith("PYTHON")
    }
    make = Forked if forked else subprocess.Popen
    return make([*ENGINE, *map(str, args)], stdout=subprocess.PIPE, text=True, **options)


def as_json(done: Done) -> Any:
    assert done.code == 0, done.err
    return json.loads(done.out)


def lines(done: Done) -> list[dict[str, Any]]:
    assert done.code == 0, done.err
    return [json.loads(line) for line in done.out.splitlines()]


def days(root: Path) -> list[Path]:
    return sorted(path for path in root.iterdir() if path.is_dir())


def assert_replays(root: Path) -> list[dict[str, Any]]:
    """Assert that every day of a journal replays identical; return the reports."""
    reports = [as_json(engine("replay", day, "--json")) for day in days(root)]
    assert reports
    assert all(report["identical"] for report in reports), reports
    return reports


def wait_for(process: subprocess.Popen[Any], root: Path, kind: type[Event], count: int = 1) -> None:
    """Wait until the journal that a process writes holds at least `count` events of a type."""
    end = time.monotonic() + PATIENCE_S
    while recorded(root, kind) < count:
        if process.poll() is not None or time.monotonic() > end:
            process.kill()
            raise AssertionError(f"{root} does not hold {count} {kind.__name__}: {process.communicate()[1]}")
        time.sleep(0.05)


def recorded(root: Path, kind: type[Event]) -> int:
    """Return how many events of a type a journal holds, also while a session writes it."""
    with contextlib.suppress(EngineError, OSError):  # before the first frame there is nothing to read
        records = (record for day in list_days(root) for record in read_records(day.path))
        return sum(isinstance(event, kind) for _, _, event in records)
    return 0


def trade_until(
    root: Path, seen: Mapping[type[Event], int], *args: object, cwd: Path | None = None, **variables: str
) -> Done:
    """Run `engine live ARGS` in a process of its own until its session has recorded these, then stop it.

    `root` is its journal, and `seen` the number of events of each type to wait for.
    """
    counts = {kind: recorded(root, kind) + count for kind, count in seen.items()}
    process = start("live", "--journal", root, *args, cwd=cwd, env=environment() | variables)
    for kind, count in counts.items():
        wait_for(process, root, kind, count)
    process.send_signal(signal.SIGTERM)
    out, err = process.communicate(timeout=PATIENCE_S)
    return _without_traceback(Done(process.returncode, out, err))


def until(condition: Callable[[], object]) -> None:
    """Wait until a condition holds that another process brings about."""
    end = time.monotonic() + PATIENCE_S
    while not condition():
        assert time.monotonic() < end, "the condition did not become true"
        time.sleep(0.05)


@contextlib.contextmanager
def sandbox(*args: object) -> Iterator[str]:
    """Run a sandbox in its own process; yield its base URL."""
    process = start("sandbox", "--port", 0, "--json", *args)
    try:
        assert process.stdout is not None
        yield json.loads(process.stdout.readline())["base_url"]
    finally:
        process.send_signal(signal.SIGTERM)
        process.communicate(timeout=PATIENCE_S)


def trades_csv(path: Path, count: int = 3000, start_ms: int = 1_642_204_800_000) -> Path:
    """A small file of trades: five a second, over ten minutes, around a slow swing."""
    rows = ["timestamp,price,quantity"]
    for number in range(count):
        swing = number % 400 if number % 800 < 400 else 400 - number % 400
        rows.append(f"{start_ms + number * 200},{43_000 + swing}.{number % 10}5,0.0{number % 9 + 1}")
    path.write_text("\n".join(rows) + "\n", encoding="utf-8")
    return path


def assert_linked(chain: list[dict[str, Any]]) -> None:
    """Assert that each event of a chain names the one before as its cause.

    A report of the simulated venue names its order; the market event of its turn stands between them.
    """
    assert chain[0]["cause"] == 0
    for before, after in itertools.pairwise(
        [row for number, row in enumerate(chain) if row["cause"] or not number]
    ):
        assert after["cause"] == before["seq"]
    for number, row in enumerate(chain[1:], 1):
        if not row["cause"]:
            assert row["type"] in ("Trade", "Quote", "BookRead", "Candle", "ClockAdvanced")
            assert chain[number + 1]["type"] in ("OrderFilled", "OrderCanceled")
