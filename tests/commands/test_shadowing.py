"""A user's folder may hold files named like the engine's packages: the engine never runs them."""

from __future__ import annotations

import json
import subprocess
import sysconfig
from pathlib import Path

import pytest

from tests.commands.kit import PATIENCE_S, SAMPLE

ENGINE = Path(sysconfig.get_path("scripts")) / "engine"
"""The installed command."""

MINE = """from engine.strategies import Bar, Strategy


class Mine(Strategy):
    def on_bar(self, bar: Bar) -> None:
        self.plot("close", bar.close)
"""


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A user's folder with files named like the engine's packages; importing one ends the process."""
    for name in ("engine.py", "replay.py", "adapters.py"):
        (tmp_path / name).write_text("raise SystemExit('the wrong module was imported')\n", encoding="utf-8")
    for name in ("replay", "adapters"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "__init__.py").write_text("raise SystemExit('wrong package')\n", encoding="utf-8")
    (tmp_path / "mine.py").write_text(MINE, encoding="utf-8")
    return tmp_path


def run(folder: Path, *args: object) -> subprocess.CompletedProcess[str]:
    done = subprocess.run(
        [ENGINE, *map(str, args)], cwd=folder, capture_output=True, text=True, timeout=PATIENCE_S
    )
    assert "Traceback" not in done.stderr, done.stderr
    return done


def test_live_replay_and_backtest_run_in_a_folder_with_such_files(folder: Path) -> None:
    lived = run(folder, "live", "--for", "1s", "--speed", 10, "--strategy", "mine:Mine", "--csv", "csv")
    assert lived.returncode == 0, lived.stderr
    (day,) = (path for path in (folder / "journal").iterdir() if path.is_dir())
    assert "identical" in run(folder, "replay", day).stdout
    done = run(folder, "backtest", SAMPLE, "--strategy", "mine:Mine", "--json")
    assert done.returncode == 0, done.stderr


def test_doctor_reports_files_that_hide_the_engine(folder: Path) -> None:
    done = run(folder, "doctor", "--json")
    check = json.loads(done.stdout)["checks"]["names"]
    assert done.returncode == 1
    assert check["ok"] is False
    assert "engine.py, adapters, adapters.py, replay, replay.py" in check["detail"]
    assert "rename" in check["detail"]


@pytest.mark.parametrize("use", ["engine:Mine", "replay:Mine", "adapters.mine:Mine"])
def test_a_strategy_in_a_module_with_such_a_name_is_refused(folder: Path, use: str) -> None:
    done = run(folder, "backtest", SAMPLE, "--strategy", use)
    assert done.returncode == 2
    assert "is a package of the engine; give your module another name" in done.stderr
