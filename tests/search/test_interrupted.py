"""A sweep whose processes are killed, or that is stopped, goes on and gives the same files."""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from tests.commands.kit import PATIENCE_S, start, until
from tests.search.kit import GRID, files, sweep

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="reads /proc")


def begin(project: Path, out: str, *, lines: int = 1) -> subprocess.Popen[str]:
    """Start a sweep and wait until some of its trials are done."""
    process = start(
        "sweep", "journal", "--strategy", "mine:Turns", *GRID, "--jobs", 2, "--out", out, cwd=project
    )
    part = project / out / "trials.part.jsonl"
    until(lambda: process.poll() is not None or (part.exists() and part.read_bytes().count(b"\n") >= lines))
    assert process.poll() is None, process.communicate()
    return process


def children(pid: int) -> list[int]:
    try:
        tasks = list(Path(f"/proc/{pid}/task").iterdir())
        return [int(one) for task in tasks for one in (task / "children").read_text().split()]
    except FileNotFoundError:
        return []


def runs(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except FileNotFoundError:
        return False


def test_after_the_parent_is_killed_nothing_runs_on_and_the_sweep_goes_on(project: Path, done: Path) -> None:
    process = begin(project, "parent")
    (server,) = children(process.pid)
    os.kill(process.pid, signal.SIGKILL)
    process.communicate()
    until(lambda: not runs(server))
    assert set(files(project / "parent")) == {"sweep.json", "trials.part.jsonl"}
    again = sweep(project, "parent", *GRID, "--jobs", 2)
    assert (again.code, "trials were done before" in again.err) == (0, True)
    assert files(project / "parent") == files(done)


def test_killed_workers_do_not_change_the_result(project: Path, done: Path) -> None:
    process = begin(project, "workers")
    (server,) = children(process.pid)
    until(lambda: children(server) or process.poll() is not None)
    for victim in [*children(server)[:1], server]:
        with contextlib.suppress(ProcessLookupError):
            os.kill(victim, signal.SIGKILL)
    _, errors = process.communicate(timeout=PATIENCE_S)
    assert process.returncode == 0, errors
    assert files(project / "workers") == files(done)


def test_a_signal_stops_the_sweep_and_says_that_it_can_go_on(project: Path, done: Path) -> None:
    for number in range(10):  # the sweep may be done before the signal arrives
        out = f"stopped{number}"
        process = begin(project, out)
        (server,) = children(process.pid)
        process.send_signal(signal.SIGINT)
        _, errors = process.communicate(timeout=PATIENCE_S)
        if process.returncode:
            break
    assert process.returncode == 1
    assert "the same command goes on" in errors
    assert not runs(server)
    assert sweep(project, out, *GRID, "--jobs", 1).code == 0
    assert files(project / out) == files(done)


def test_a_line_that_was_cut_short_is_run_again(project: Path, done: Path) -> None:
    folder = project / "cut"
    folder.mkdir()
    lines = (done / "trials.jsonl").read_bytes().splitlines(keepends=True)
    (folder / "sweep.json").write_bytes((done / "sweep.json").read_bytes())
    # As they came in, and the last one torn.
    (folder / "trials.part.jsonl").write_bytes(b"".join([*lines[5:], lines[1], lines[0][:200]]))
    again = sweep(project, "cut", *GRID)
    assert f"{len(lines) - 4} of {len(lines)} trials were done before" in again.err
    assert files(folder) == files(done)


def test_two_processes_do_not_use_one_folder(project: Path) -> None:
    process = begin(project, "twice")
    try:
        other = sweep(project, "twice", *GRID)
        assert (other.code, "another process runs this sweep" in other.err) == (6, True)
    finally:
        process.kill()
        process.communicate()
