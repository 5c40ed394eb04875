"""Wrong input and failing machines: a message of one or two lines, the right exit code, no data lost."""

from __future__ import annotations

import contextlib
import itertools
import json
import os
import shutil
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from engine.events import ActorFailed, Event, FeedDown, FeedUp, Trade
from tests.commands.kit import (
    PATIENCE_S,
    SAMPLE,
    Done,
    as_json,
    assert_replays,
    days,
    engine,
    environment,
    lines,
    shell,
    spawn,
    start,
    trade_until,
    wait_for,
)

STRATEGIES = {
    "broken.py": "def on_bar(:\n",
    "raising.py": "raise RuntimeError('not today')\n",
    "leaving.py": "import sys\nsys.exit(0)\n",
    "package/__init__.py": "x = (\n",
    "package/inner.py": "",
    "mine.py": """
from engine.strategies import Strategy

class Hoarder(Strategy):
    def on_start(self): self.kept = complex(1)

class Function(Strategy):
    def on_start(self): self.pick = lambda: 1

class Picky(Strategy):
    period: int = "ten"

class Unsure(Strategy):
    def __init__(self): raise ValueError("which period?")

class Unready(Strategy):
    def on_start(self): raise ValueError("not ready")

class Lost(Strategy):
    def on_trade(self, trade): self.target("NOWHERE", "1")

class Deep(Strategy):
    def on_trade(self, trade): self.on_trade(trade)

class Leaving(Strategy):
    def on_trade(self, trade): raise SystemExit(0)

class Flood(Strategy):
    def on_trade(self, trade):
        for _ in range(1000): self.plot("x", 1.0)

class Quiet(Strategy):
    pass
""",
}


@pytest.fixture
def user_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The working directory: a user's folder with strategies that fail in every way."""
    for name, text in STRATEGIES.items():
        path = tmp_path / name
        path.parent.mkdir(exist_ok=True)
        path.write_text(text, encoding="utf-8")
    monkeypatch.chdir(tmp_path)
    return tmp_path


def assert_refused(done: Done, code: int, *words: str) -> None:
    assert done.code == code, (done.code, done.err)
    for word in words:
        assert word in done.err
    assert len(done.err.strip().splitlines()) <= 2, done.err


@pytest.mark.parametrize(
    ("use", "words"),
    [
        ("broken:Any", "SyntaxError"),
        ("raising:Any", "not today"),
        ("leaving:Any", "SystemExit"),
        ("package.inner:Any", "SyntaxError"),
        ("mine:Hoarder", "Hoarder.kept is a complex"),
        ("mine:Function", "Function.pick is a function"),
        ("mine:Picky", "period"),
        ("mine:Hoader", "did you mean Hoarder"),
        ("mine:__name__", "no strategy"),
        ("os:path", "no strategy"),
        ("..up:Any", "no module"),
        ("mine:Unsure", "which period?"),
        ("mine:Unready", "not ready"),
    ],
)
def test_a_strategy_that_cannot_start_is_exit_2_and_no_event_is_written(
    user_folder: Path, use: str, words: str
) -> None:
    assert_refused(
        engine("live", "--strategy", use, "--journal", "j", "--for", "1s", cwd=user_folder), 2, words
    )
    assert not (user_folder / "j").exists() or not days(user_folder / "j")


@pytest.mark.parametrize(
    ("use", "fails"),
    [
        ("mine:Lost", "KeyError"),
        ("mine:Deep", "RecursionError"),
        ("mine:Flood", ""),
        ("mine:Leaving", "SystemExit"),
    ],
)
def test_c07_a_strategy_that_fails_on_a_trade_does_not_end_the_session(
    user_folder: Path, use: str, fails: str
) -> None:
    seen: dict[type[Event], int] = {ActorFailed: 1} if fails else {Trade: 3}
    done = trade_until(user_folder / "j", seen, "--strategy", use, "--speed", 2, "--json", cwd=user_folder)
    assert done.code == (7 if fails else 0), done.err
    assert fails in done.err
    result = json.loads(done.out)
    assert [fails in one for one in result["failures"]] == [True] * bool(fails)
    assert bool(result["halted"]) == bool(fails)
    (day,) = days(user_folder / "j")
    assert json.loads(engine("replay", day, "--json").out)["identical"] is True
    failed = [
        json.loads(line)
        for line in engine("inspect", day, "--type", "ActorFailed", "--json").out.splitlines()
    ]
    assert len(failed) == bool(fails)
    assert all(fails in one["error"] for one in failed)
    if use == "mine:Lost":
        # The next session reports that it is halted and how to resume; with --resume it trades again.
        quiet = ("live", "--strategy", "mine:Quiet", "--journal", "j", "--for", "1s", "--speed", 2)
        for more, halted in (((), True), (("--resume",), False)):
            done = spawn(*quiet, *more, cwd=user_folder)
            assert done.code == 0, done.err
            assert ("halted: Lost failed: KeyError" in done.err) == halted, done.err
            assert ("--resume lifts it" in done.out) == halted, done.out
    # `engine why` shows what led to the failure.
    if failed:
        assert engine("why", day, failed[0]["seq"]).code == 0


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("[bars]\nintervals = []\n", "at least one"),
        ('[bars]\nintervals = ["1m", "90s"]\n', "90s"),
        ('[bars]\nintervals = ["soon"]\n', "soon"),
        ('[risk]\nmax_order_notional = "NaN"\n', "max_order_notional"),
        ("[paper]\nlatency_ms = -1\n", "latency_ms"),
        ("[[strategies]]\nuze = 'x'\n", "did you mean use"),
        ("instruments = 7\n", "instruments"),
        ("instruments = ['BTC'\n", "TOML"),
        ("[[strategies]]\ncoins = ['BTX']\n", "did you mean BTC"),
        ("[risk]\nmax_order_size = { BTX = '1' }\n", "did you mean BTC"),
        ("instruments = ['BTX']\n", "did you mean BTC"),
        ("coins = ['BTX']\n", "did you mean BTC"),
        ("[[strategies]]\non_failure = 'ignore'\n", "quarantine"),
        ("[[strategies]]\nname = 'execution'\n", "execution"),
    ],
)
def test_an_invalid_configuration_is_refused_before_anything_is_written(
    user_folder: Path, text: str, words: str
) -> None:
    (user_folder / "c.toml").write_text(text, encoding="utf-8")
    assert_refused(
        engine("live", "--config", "c.toml", "--journal", "j", "--for", "1s", cwd=user_folder), 2, words
    )
    assert not (user_folder / "j").exists()


@pytest.mark.parametrize("speed", ["0", "-1", "nan", "inf", "100001"])
def test_an_invalid_speed_is_exit_2(tmp_path: Path, speed: str) -> None:
    for command in (["live", "--journal", tmp_path / "j"], ["sandbox", "--port", 0]):
        done = engine(*command, "--speed", speed)
        assert done.code == 2
        assert "speed" in done.err
    assert not (tmp_path / "j").exists()


@pytest.mark.parametrize(
    ("args", "code"),
    [
        (["inspect", SAMPLE, "--limit", "-1"], 2),
        (["inspect", "/dev/null"], 2),
        (["replay", SAMPLE, "--until", "0"], 2),
        (["replay", SAMPLE / "00000000000000000001.seg.zst"], 2),
        (["replay", SAMPLE, "--config", "absent.toml"], 2),
        (["replay", SAMPLE, "--strategy", "absent:Any"], 2),
        (["why", SAMPLE, "--", "-1"], 2),
        (["why", SAMPLE, "first"], 2),
        (["project", "absent"], 2),
        (["journal", "seal", "absent"], 2),
        (["journal", "burn"], 2),
        (["import", "/dev/null", "--venue", "x", "--instrument", "y"], 2),
        (["import", "mine.py", "--venue", "x"], 2),
        (["import", "mine.py", "--venue", "x", "--instrument", "y", "--columns", "time"], 2),
        (["sandbox", "--tape", "absent"], 2),
        (["sandbox", "--instruments", "A,A"], 2),
        (["sandbox", "--port", "70000"], 2),
        (["live", "--base-url", "http://example.com"], 2),
        (["live", "--base-url", "gopher://x"], 2),
        (["live", "--for", "-1s"], 2),
        (["live", "--csv", "mine.py"], 2),
        (["live", "--db", "mine.py"], 2),
        (["project", "absent", "--db", "mine.py"], 2),
        (["live", "--strategy", "mnie:Quiet"], 2),
        (["live", "--strategy", "mine:Strategy"], 2),
        (["live", "--strategy", "mine.py"], 2),
        (["live", "--instruments", ","], 2),
        (["live", "--config", "."], 2),
        (["trade"], 2),
        (["live", "--fast"], 2),
    ],
)
def test_an_invalid_argument_is_refused_in_a_few_lines(user_folder: Path, args: list[Any], code: int) -> None:
    before = sorted(user_folder.rglob("*"))
    done = engine(*args)
    assert done.code == code, done
    assert 1 <= len(done.err.strip().splitlines()) <= 4
    assert done.out == ""
    assert sorted(user_folder.rglob("*")) == before


def test_doctor_accepts_a_folder_that_does_not_exist_yet(tmp_path: Path) -> None:
    report = json.loads(engine("doctor", "--journal", tmp_path / "a" / "b" / "c", "--json").out)
    assert report["checks"]["disk sync"]["ok"] in (True, False)
    assert not (tmp_path / "a").exists()


def test_the_name_of_a_journal_may_start_with_a_digit(traded: Path, tmp_path: Path) -> None:
    shutil.copytree(traded.parent, tmp_path / "2nd")
    assert engine("project", tmp_path / "2nd", "--db", tmp_path / "p.db").code == 0
    assert engine("replay", tmp_path / "2nd").code == 0


def test_j22_a_journal_that_cannot_be_created_or_written_is_exit_4(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("no folder")
    assert_refused(engine("live", "--journal", tmp_path / "file", "--for", "1s", "--no-db"), 4, "file")
    assert_refused(engine("live", "--journal", tmp_path / "file" / "j", "--for", "1s", "--no-db"), 4, "file")
    assert_refused(engine("live", "--journal", "/proc/journal", "--for", "1s", "--no-db"), 4, "/proc/journal")
    assert (tmp_path / "file").read_text() == "no folder"


def test_a_mistyped_handler_or_strategy_is_reported_with_the_nearest_name(user_folder: Path) -> None:
    (user_folder / "near.py").write_text(
        "from engine.strategies import Strategy\n\n\n"
        "class Near(Strategy):\n    def on_bars(self, bar): pass\n",
        encoding="utf-8",
    )
    assert_refused(
        engine("backtest", SAMPLE, "--strategy", "near:Near"),
        0,
        "Near.on_bars is not a handler",
        "did you mean on_bar",
    )
    assert_refused(
        engine("backtest", SAMPLE, "--strategy", "naer:Near"), 2, "no module 'naer'", "did you mean near"
    )
    assert_refused(engine("backtest", SAMPLE, "--strategy", "near"), 2, "write it as near:Near")


def test_c01_engine_project_leaves_out_a_day_of_another_journal(tmp_path: Path) -> None:
    """The sample day is in the folder that the first session uses by default."""
    root = tmp_path / "journal"
    shutil.copytree(SAMPLE, root / SAMPLE.name)
    assert spawn("live", "--journal", root, "--for", "1s", "--no-db").code == 0
    done = engine("project", root, "--db", tmp_path / "p.db")
    assert (done.code, SAMPLE.name in done.err) == (0, True), done


@pytest.mark.skipif(os.geteuid() == 0, reason="root may write everywhere")
def test_j22_a_folder_without_write_permission_is_exit_4(tmp_path: Path) -> None:
    root = tmp_path / "j"
    root.mkdir(0o500)
    assert_refused(engine("live", "--journal", root, "--for", "1s", "--no-db"), 4, str(root))


@pytest.fixture
def small_disk(tmp_path: Path) -> Any:
    """A disk of 200 KB; the test is skipped where this process may not mount one."""
    place = tmp_path / "disk"
    place.mkdir()
    mounted = (
        os.geteuid() == 0
        and not subprocess.run(
            ["mount", "-t", "tmpfs", "-o", "size=200k", "tmpfs", place], capture_output=True, check=False
        ).returncode
    )
    if not mounted:
        pytest.skip("needs the right to mount")
    yield place
    subprocess.run(["umount", "-l", place], check=False)


def test_j16_a_full_disk_ends_the_session_and_free_space_lets_the_next_one_continue(
    small_disk: Path,
    user_folder: Path,
) -> None:
    root = small_disk / "journal"
    options = ["--journal", root, "--no-db", "--quiet", "--strategy"]
    assert_refused(
        spawn("live", *options, "mine:Flood", "--for", "300s", cwd=user_folder), 4, "No space left"
    )
    (day,) = days(root)
    first = json.loads(engine("replay", day, "--json").out)
    assert first["identical"] is True
    # On a full disk the next session reports the error, and the recorded events stay readable.
    fill(small_disk / "filler")
    again = spawn("live", *options, "mine:Quiet", "--for", "1s", cwd=user_folder)
    assert again.code == 4, again.err
    assert "No space left" in again.err
    assert json.loads(engine("replay", day, "--json").out)["events"] == first["events"]
    (small_disk / "filler").unlink()
    subprocess.run(["mount", "-o", "remount,size=4m", small_disk], check=True)
    after = as_json(spawn("live", *options, "mine:Quiet", "--for", "1s", "--json", cwd=user_folder))
    assert after["first_seq"] == first["events"] + 1
    assert json.loads(engine("replay", day, "--json").out)["identical"] is True


def fill(path: Path) -> None:
    """Fill the disk of a path to the last page."""
    with contextlib.suppress(OSError):
        while True:
            with path.open("ab", buffering=0) as file:
                file.write(b"x" * 4096)


def test_t08_a_clock_far_behind_the_journal_is_refused_and_nothing_is_written(tmp_path: Path) -> None:
    """A fast sandbox takes the journal hours ahead; the next sandbox starts at the real time."""
    root = tmp_path / "j"
    ahead = as_json(spawn("live", "--journal", root, "--for", "1s", "--speed", 2000, "--no-db", "--json"))
    before = sorted((path, path.stat().st_size) for path in root.rglob("*") if path.name != "LOCK")
    assert_refused(engine("live", "--journal", root, "--for", "1s", "--no-db"), 2, "give another --journal")
    assert sorted((path, path.stat().st_size) for path in root.rglob("*") if path.name != "LOCK") == before
    assert assert_replays(root)[-1]["digest"] == ahead["digest"]


def test_n01_a_session_survives_the_death_and_the_return_of_its_venue(tmp_path: Path) -> None:
    """SIGKILL ends the sandbox without closing its connections; the feed connects to its successor."""
    root = tmp_path / "j"
    first = start("sandbox", "--port", 0, "--json")
    assert first.stdout is not None
    url = json.loads(first.stdout.readline())["base_url"]
    process = start(
        "live", "--venue", "hyperliquid", "--base-url", url, "--journal", root, "--json", "--quiet"
    )
    wait_for(process, root, FeedUp)
    first.kill()
    first.communicate()
    wait_for(process, root, FeedDown)
    second = start("sandbox", "--port", url.rpartition(":")[2], "--json")
    wait_for(process, root, FeedUp, 2)
    process.send_signal(signal.SIGTERM)
    out, err = process.communicate(timeout=PATIENCE_S)
    second.send_signal(signal.SIGINT)
    second.communicate(timeout=PATIENCE_S)
    assert process.returncode == 0, err
    assert err == ""
    (day,) = days(root)
    feed = lines(engine("inspect", day, "--type", "FeedUp", "--type", "FeedDown", "--json"))
    # Every failed attempt to connect is a FeedDown as well.
    changes = [name for name, _ in itertools.groupby(feed, key=lambda one: one["type"])]
    assert changes[:3] == ["FeedUp", "FeedDown", "FeedUp"], feed
    assert json.loads(out)["stopped_by"] == "SIGTERM"
    assert_replays(root)
    assert as_json(engine("project", day, "--db", root / "retape.db", "--check", "--json"))["equal"]


@pytest.mark.parametrize(
    ("command", "reader"),
    [
        (["inspect", SAMPLE, "--json"], "head -n 1 >/dev/null"),
        (["inspect", SAMPLE], "true"),
        (["replay", SAMPLE], "true"),
        (["replay", SAMPLE, "--json"], "sleep 0"),
        (["doctor"], "true"),
        (["--help"], "true"),
        (["journal", "verify", SAMPLE], "true"),
    ],
)
def test_a_closed_pipe_of_any_command_is_not_an_error(command: list[Any], reader: str) -> None:
    done = shell(" ".join(["{engine}", *map(str, command), "|", reader]))
    assert done.err == ""


SIGNAL_AT = """
import os, runpy, signal, sys

number, left = (int(word) for word in sys.argv[1:3])
# A process in the background may inherit that the signal is ignored.
signal.signal(signal.SIGINT, signal.default_int_handler)
counting = False

def count(event, args):
    global counting, left
    if event == "import":
        counting = counting or args[0] == "engine.cli"
        left -= counting
        if left == 0:
            counting = False
            os.kill(os.getpid(), number)

sys.addaudithook(count)
sys.argv = ["engine", *sys.argv[3:]]
runpy.run_module("engine", run_name="__main__", alter_sys=True)
"""
"""Runs the command and sends it a signal when it imports its nth module."""


def test_c06_a_signal_at_any_moment_of_the_start_leaves_no_traceback(tmp_path: Path) -> None:
    running = []
    # About 600 modules are imported before the session, the others within it.
    for left in range(1, 750, 50):
        number = signal.SIGTERM if left % 100 == 1 else signal.SIGINT
        root = tmp_path / str(left)
        command = ["live", "--journal", root, "--no-db", "--quiet", "--for", "1s"]
        process = subprocess.Popen(
            [sys.executable, "-c", SIGNAL_AT, *map(str, [int(number), left, *command])],
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            env=environment(),
        )
        running.append((process, left, root))
    stopped = 0
    for process, left, root in running:
        _, err = process.communicate(timeout=PATIENCE_S)
        if process.returncode == 1:
            assert err.split() == ["stopped"], (left, err)
            stopped += 1
        else:
            assert process.returncode in (0, -signal.SIGTERM), (left, err)
            assert err == "", left
        if root.is_dir() and days(root):
            assert_replays(root)
    assert stopped >= 10
