"""Live sessions as processes: they trade, stop, are killed and continue, and every journal replays."""

from __future__ import annotations

import random
import signal
import sqlite3
import subprocess
import time
from contextlib import closing
from pathlib import Path

import pytest

from engine.events import BarClosed, Event, FeedDown, FeedUp, SessionStarted, SubmitOrder
from tests.commands.kit import (
    FAST,
    PATIENCE_S,
    SAMPLE,
    as_json,
    assert_replays,
    days,
    engine,
    environment,
    lines,
    sandbox,
    shell,
    spawn,
    start,
    trade_until,
    until,
    wait_for,
)
from tests.profiles import pick

KILLS = pick(3, deep=20)


@pytest.fixture
def config(tmp_path: Path) -> Path:
    path = tmp_path / "fast.toml"
    path.write_text(FAST, encoding="utf-8")
    return path


def test_a_session_trades_replays_and_its_rows_equal_a_rebuild(tmp_path: Path, config: Path) -> None:
    root = tmp_path / "journal"
    live = as_json(
        trade_until(root, {BarClosed: 8, SubmitOrder: 1}, "--speed", 10, "--config", config, "--json")
    )
    (report,) = assert_replays(root)
    assert report["digest"] == live["digest"]
    assert report["events"] == live["last_seq"]
    assert live["live_orders"] == 0
    assert live["health"]["limits"].startswith("weight "), "the used part of the venue's limits"
    assert live["health"]["feed"].startswith("frames ")
    (day,) = days(root)
    assert lines(engine("inspect", day, "--type", "SubmitOrder", "--json")), "the session sent no order"
    (stopped,) = lines(engine("inspect", day, "--type", "SessionStopped", "--json"))
    after = lines(engine("inspect", day, "--from", stopped["seq"] + 1, "--json"))
    assert {one["type"] for one in after} <= {"PriceMarked", "EquityMarked"}
    assert as_json(engine("project", day, "--db", root / "retape.db", "--check", "--json"))["equal"]
    with closing(sqlite3.connect(root / "retape.db")) as conn:
        assert conn.execute("select count(*) from bars").fetchone()[0] > 5


def test_the_next_session_continues_with_the_next_seq(tmp_path: Path, config: Path) -> None:
    root = tmp_path / "journal"
    first = as_json(spawn("live", "--for", "1s", "--journal", root, "--config", config, "--json"))
    second = as_json(spawn("live", "--for", "1s", "--journal", root, "--config", config, "--json"))
    assert second["first_seq"] == first["last_seq"] + 1
    assert assert_replays(root)[-1]["digest"] == second["digest"]


def test_c01_c03_after_a_kill_at_any_moment_the_journal_opens_replays_and_continues(
    tmp_path: Path, config: Path
) -> None:
    root = tmp_path / "journal"
    chance = random.Random(7)
    end = 0
    for _ in range(KILLS):
        process = start("live", "--for", "20s", "--journal", root, "--config", config, "--json")
        wait_for(process, root, Event, end + 1)
        time.sleep(chance.uniform(0.0, 1.5))
        process.kill()
        process.communicate()
        if not root.is_dir() or not days(root):
            continue
        report = assert_replays(root)[-1]
        assert report["events"] >= end
        end = report["events"]
    last = as_json(spawn("live", "--for", "1s", "--journal", root, "--config", config, "--json"))
    assert last["first_seq"] == end + 1
    assert_replays(root)


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_c06_a_signal_stops_the_session_gracefully(
    tmp_path: Path, config: Path, number: signal.Signals
) -> None:
    root = tmp_path / "journal"
    process = start("live", "--journal", root, "--config", config, "--json", "--speed", 10)
    wait_for(process, root, SubmitOrder)
    process.send_signal(number)
    _, stderr = process.communicate(timeout=PATIENCE_S)
    assert process.returncode == 0, stderr
    assert_replays(root)
    (stopped,) = lines(engine("inspect", days(root)[0], "--type", "SessionStopped", "--json"))
    assert stopped["reason"] == number.name


def test_j23_a_second_engine_on_a_journal_is_refused(tmp_path: Path) -> None:
    root = tmp_path / "journal"
    process = start("live", "--journal", root, "--no-db")
    wait_for(process, root, SessionStarted)
    try:
        refused = spawn("live", "--journal", root, "--for", "1s", "--no-db")
        assert refused.code == 6
        assert str(process.pid) in refused.err
    finally:
        process.send_signal(signal.SIGINT)
        process.communicate(timeout=PATIENCE_S)


def test_the_embedded_sandbox_ends_with_a_killed_engine(tmp_path: Path) -> None:
    # With an interpreter of its own, whose child the sandbox is.
    variables = environment() | {"PYTHONHASHSEED": "1"}
    process = start("live", "--journal", tmp_path / "journal", "--no-db", env=variables)
    wait_for(process, tmp_path / "journal", FeedUp)
    listed = subprocess.run(["pgrep", "-P", str(process.pid)], capture_output=True, text=True, check=False)
    children = [int(pid) for pid in listed.stdout.split()]
    process.kill()
    process.communicate()
    assert children, "no sandbox was started"
    until(lambda: not any(Path(f"/proc/{pid}").exists() for pid in children))


def test_a_session_survives_and_records_the_loss_of_its_venue(tmp_path: Path) -> None:
    """N01: the sandbox ends during the session; the engine records it and stops gracefully."""
    root = tmp_path / "journal"
    with sandbox() as url:
        process = start("live", "--venue", "hyperliquid", "--base-url", url, "--no-db", "--journal", root)
        wait_for(process, root, FeedUp)
    wait_for(process, root, FeedDown)
    process.send_signal(signal.SIGTERM)
    _, stderr = process.communicate(timeout=PATIENCE_S)
    assert process.returncode == 0, stderr
    assert lines(engine("inspect", days(root)[0], "--type", "FeedDown", "--json"))
    assert_replays(root)


def test_the_demo_replays_identical(tmp_path: Path) -> None:
    done = spawn("demo", "--for", "3", "--keep", tmp_path / "demo")
    assert done.code == 0, done.err
    out = done.out.splitlines()
    assert "identical" in out
    live, again = (next(line for line in out if line.startswith(word)) for word in ("live ", "replay "))
    assert live.split()[1] == again.split()[1]


def test_a_pipe_closed_after_the_first_line_is_not_an_error() -> None:
    done = shell(f"{{engine}} inspect {SAMPLE} | head -1")
    assert "SessionStarted" in done.out
    assert done.err == ""
