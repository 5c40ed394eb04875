"""One writer per journal, also across processes."""

from __future__ import annotations

import fcntl
import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from engine.errors import JournalError, JournalLocked
from engine.journal import JournalLock

HOLDER = """
import sys
from pathlib import Path
from engine.journal import JournalLock
lock = JournalLock(Path(sys.argv[1]))
print("held", flush=True)
sys.stdin.read()
"""


def test_a_second_process_is_refused_with_the_pid_of_the_first_and_sigkill_releases_the_lock(
    tmp_path: Path,
) -> None:
    """J23: two real processes."""
    with subprocess.Popen(
        [sys.executable, "-c", HOLDER, str(tmp_path)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
        cwd=Path(__file__).parents[2],
    ) as holder:
        assert holder.stdout is not None
        assert holder.stdout.readline() == "held\n"
        with pytest.raises(JournalLocked, match=f"process {holder.pid}"):
            JournalLock(tmp_path)
        holder.send_signal(signal.SIGKILL)
        holder.wait(timeout=300)
    with JournalLock(tmp_path) as lock:
        assert lock.path.read_text().split() == [str(os.getpid())]


def test_a_lock_is_not_shared_within_a_process(tmp_path: Path) -> None:
    """J23."""
    first = JournalLock(tmp_path)
    with pytest.raises(JournalLocked, match=str(os.getpid())):
        JournalLock(tmp_path)
    first.release()
    first.release()
    JournalLock(tmp_path).release()


def test_a_root_that_cannot_be_written_is_refused_with_the_reason(tmp_path: Path) -> None:
    """J22, in part: the folder does not exist."""
    with pytest.raises(JournalError, match="No such file"):
        JournalLock(tmp_path / "nowhere")


def test_removing_or_replacing_the_file_keeps_others_out(tmp_path: Path) -> None:
    with JournalLock(tmp_path) as lock:
        lock.path.unlink()
        with pytest.raises(JournalLocked):
            JournalLock(tmp_path)
        lock.path.unlink()
        lock.path.write_text("12\n")
        with pytest.raises(JournalLocked):
            JournalLock(tmp_path)
    JournalLock(tmp_path).release()


def test_a_lock_of_an_earlier_version_keeps_others_out(tmp_path: Path) -> None:
    """It is on the file only."""
    with (tmp_path / "LOCK").open("w") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        with pytest.raises(JournalLocked):
            JournalLock(tmp_path)


@pytest.mark.parametrize("linked", ["symbolic", "hard", "copied"])
def test_a_lock_that_is_something_else_is_refused_and_not_changed(tmp_path: Path, linked: str) -> None:
    precious = tmp_path / "precious"
    precious.write_text("all that I know about markets\n")
    root = tmp_path / "journal"
    root.mkdir()
    lock = root / "LOCK"
    if linked == "symbolic":
        lock.symlink_to(precious)
    elif linked == "hard":
        lock.hardlink_to(precious)
    else:
        lock.write_bytes(precious.read_bytes())
    with pytest.raises(JournalError, match="LOCK"):
        JournalLock(root)
    assert precious.read_text() == lock.read_text() == "all that I know about markets\n"
