"""`engine init` writes a project that works unchanged; the command line's options for strategies."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from engine.commands.init import FILES
from engine.events import BarClosed
from tests.commands.kit import PATIENCE_S, SAMPLE, assert_replays, engine, environment, spawn, trade_until

CROSSOVER = "engine.strategies.crossover:Crossover"


# A new project.


def test_a_new_project_tests_itself_trades_replays_and_backtests(tmp_path: Path) -> None:
    done = engine("init", "mine", cwd=tmp_path)
    assert done.code == 0, done.err
    mine = tmp_path / "mine"
    assert sorted(path.relative_to(mine).as_posix() for path in mine.rglob("*.*")) == sorted(FILES)
    tested = subprocess.run(
        [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider"],
        cwd=mine,
        env=environment(),
        capture_output=True,
        text=True,
        timeout=PATIENCE_S,
    )
    assert tested.returncode == 0, tested.stdout
    assert "2 passed" in tested.stdout
    sent = ["--config", "engine.toml", "--speed", 20, "--json"]
    lived = trade_until(mine / "journal", {BarClosed: 120}, *sent, cwd=mine)
    assert lived.code == 0, lived.err
    # Its strategy is found from its own folder, so it is replayed there.
    (day,) = [path for path in (mine / "journal").iterdir() if path.is_dir()]
    done = engine("replay", day, "--json", cwd=mine)
    assert json.loads(done.out)["identical"] is True, done.out
    done = engine("backtest", day, "--config", "engine.toml", "--param", "lookback=3", "--json", cwd=mine)
    assert json.loads(done.out)["orders"] > 0


@pytest.mark.parametrize("name", FILES)
def test_init_overwrites_nothing(tmp_path: Path, name: str) -> None:
    path = tmp_path / name
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("mine", encoding="utf-8")
    done = engine("init", tmp_path)
    assert (done.code, done.out) == (2, "")
    assert f"holds {name} already" in done.err
    assert path.read_text(encoding="utf-8") == "mine"
    assert [one for one in tmp_path.rglob("*") if one.is_file()] == [path]


def test_init_accepts_a_folder_with_other_files_and_refuses_a_file(
    tmp_path: Path,
) -> None:
    (tmp_path / "notes.txt").write_text("x", encoding="utf-8")
    assert engine("init", tmp_path).code == 0
    done = engine("init", tmp_path / "notes.txt")
    assert done.code == 2
    assert "cannot be written" in done.err


# The guard against nondeterminism.


@pytest.mark.parametrize("command", [["backtest", SAMPLE], ["live", "--for", "1s"], ["replay", SAMPLE]])
def test_a_strategy_that_reads_the_clock_is_refused_with_the_line(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, command: list[object]
) -> None:
    (tmp_path / "late.py").write_text(
        "import time\n"
        "from engine.strategies import Strategy\n\n\n"
        "class Late(Strategy):\n"
        "    def on_trade(self, trade):\n"
        "        self.plot('lag', time.time() - trade.event.venue_ns / 1e9)\n",
        encoding="utf-8",
    )
    monkeypatch.chdir(tmp_path)
    done = engine(*command, "--strategy", "late:Late")
    assert done == (2, "", "engine: late.py:7: calls time.time(): a strategy has no clock; use self.now_ns\n")
    assert not [path for path in tmp_path.iterdir() if path.name not in ("late.py", "__pycache__")]


def test_a_clock_read_at_run_time_becomes_a_failure_of_the_strategy_that_replays(tmp_path: Path) -> None:
    (tmp_path / "site-packages").mkdir()
    (tmp_path / "site-packages" / "lib.py").write_text(
        "import time\ndef now(): return time.time()\n", encoding="utf-8"
    )
    (tmp_path / "late.py").write_text(
        "import lib\nfrom engine.strategies import Strategy\n\n\n"
        "class Late(Strategy):\n    def on_trade(self, trade):\n        self.seen = lib.now()\n",
        encoding="utf-8",
    )
    path = os.pathsep.join([environment()["PYTHONPATH"], str(tmp_path / "site-packages")])

    def run(*args: object, code: int = 0) -> str:
        done = spawn(*args, cwd=tmp_path, PYTHONPATH=path)
        assert done.code == code, done.err
        return done.out

    out = run("backtest", SAMPLE, "--strategy", "late:Late", "--out", "out", code=7)
    assert re.search(r"failed +Late at seq \d+: NotDeterministic: late\.py:7", out)
    failed = json.loads(run("inspect", "out/2024-12-05", "--type", "ActorFailed", "--json"))
    assert "NotDeterministic: late.py:7: comes to time.time(): a strategy has no clock" in json.dumps(failed)
    assert json.loads(run("replay", "out/2024-12-05", "--json"))["identical"] is True


# Parameters on the command line.


def test_parameters_are_set_converted_and_recorded(tmp_path: Path) -> None:
    sent = [
        "--strategy", CROSSOVER, "--param", "fast=2", "--param", "Crossover.interval=5m",
    ]  # fmt: skip
    done = engine("backtest", SAMPLE, *sent, "--out", tmp_path / "out", "--json")
    assert done.code == 0, done.err
    plain = engine("backtest", SAMPLE, "--strategy", CROSSOVER, "--json")
    assert json.loads(done.out)["digest"] != json.loads(plain.out)["digest"]
    (started,) = engine(
        "inspect", tmp_path / "out" / "2024-12-05", "--type", "SessionStarted", "--json"
    ).out.splitlines()
    assert json.loads(json.loads(started)["config"])["strategies"][0]["params"] == {
        "fast": 2,
        "interval": "5m",
    }
    assert_replays(tmp_path / "out")


@pytest.mark.parametrize(
    ("params", "words"),
    [
        (["fast"], "--param 'fast': write it as --param fast=5"),
        (["=5"], "write it as --param fast=5"),
        (["Crossover.=5"], "write it as --param fast=5"),
        (["fsat=5"], "--param fsat: no strategy has a parameter 'fsat'; did you mean fast?"),
        (["fast=many"], "--param fast: fast: Expected `int`, got `str`, given 'many'"),
        (["Crosover.fast=5"], "there is no strategy 'Crosover'; did you mean Crossover?"),
        (["Crossover.fsat=5"], "--param Crossover.fsat: there is no parameter 'fsat'; did you mean fast?"),
    ],
)
@pytest.mark.parametrize("command", [["backtest", SAMPLE], ["live"], ["replay", SAMPLE]])
def test_invalid_parameters_are_refused(command: list[object], params: list[str], words: str) -> None:
    done = engine(*command, "--strategy", CROSSOVER, *(f"--param={one}" for one in params))
    assert (done.code, done.out) == (2, "")
    assert words in done.err
    assert len(done.err.splitlines()) == 1


def test_a_replay_accepts_parameters_only_with_a_strategy() -> None:
    done = engine("replay", SAMPLE, "--param", "fast=5")
    assert done.code == 2
    assert "--param needs --strategy or --config" in done.err


def test_r02_an_edited_helper_module_is_reported_as_changed_code(tmp_path: Path) -> None:
    """All modules of a strategy's project belong to its code, not only its own module."""
    (tmp_path / "sizes.py").write_text("STEP = 1.0\n", encoding="utf-8")
    (tmp_path / "mine.py").write_text(
        "from engine.strategies import Strategy\nfrom sizes import STEP\n\n\n"
        "class Mine(Strategy):\n    def on_bar(self, bar):\n        self.plot('step', STEP)\n",
        encoding="utf-8",
    )
    done = engine("backtest", SAMPLE, "--strategy", "mine:Mine", "--out", "out", cwd=tmp_path)
    assert done.code == 0, done.err
    (tmp_path / "sizes.py").write_text("STEP = 2.0\n", encoding="utf-8")
    report = json.loads(engine("replay", "out/2024-12-05", "--json", cwd=tmp_path).out)
    assert report["verdict"] == "code changed"
    assert any(change.startswith("strategy Mine (mine:Mine)") for change in report["changes"])


def test_a_strategy_is_found_in_the_folder_of_the_configuration_file(tmp_path: Path) -> None:
    """It is found from any working directory; the working directory comes first."""
    engine("init", tmp_path / "mine")
    place = tmp_path / "elsewhere"
    place.mkdir()
    config = tmp_path / "mine" / "engine.toml"
    done = engine("backtest", SAMPLE, "--config", config, "--out", "out", "--json", cwd=place)
    assert done.code == 0, done.err
    replayed = engine("replay", place / "out" / "2024-12-05", "--config", config, "--json", cwd=place)
    assert json.loads(replayed.out)["identical"] is True
    missing = engine("backtest", SAMPLE, "--config", config, "--strategy", "strategy:X", cwd=place)
    assert missing.code == 2
    assert str(place) in missing.err
    assert str(config.parent) in missing.err
