"""A busy process: a session whose strategy is slow says so, names the handler, and its day replays."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest

from engine.events import EngineLagging
from engine.journal import list_days
from engine.records import read_records
from tests.commands.kit import assert_replays, spawn

SLOW = """from engine.strategies import Strategy

class Slow(Strategy):
    def on_start(self):
        self.seen = 0
    def on_trade(self, trade):
        self.seen += 1
        if self.seen == 5:
            self.think()
    def think(self):
        for _ in range(40_000_000):
            pass
"""


def test_a_slow_handler_makes_the_engine_late_and_is_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """No result depends on how fast the machine is: the loop takes longer than the bound on any."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "mine.py").write_text(SLOW)
    (tmp_path / "c.toml").write_text("[limits]\nlag_ms = 200\n")
    options = ["--config", "c.toml", "--strategy", "mine:Slow", "--journal", "j", "--no-db", "--json"]
    ran = spawn("live", *options, "--for", "2s", cwd=tmp_path)
    assert ran.code == 0, ran.err
    assert re.search(
        r"^\S+Z engine: lagging: handles its inputs [\d,]+ ms late; Slow\.on_trade took",
        ran.err,
        re.MULTILINE,
    )
    result = json.loads(ran.out)
    assert result["lag_max_ms"] > 200
    assert "Slow.on_trade took" in result["health"]["engine"]
    events = [record[2] for day in list_days(tmp_path / "j") for record in read_records(day.path)]
    lags = [one for one in events if isinstance(one, EngineLagging)]
    assert max(one.lag_ms for one in lags) > 200
    assert "Slow.on_trade" in {one.handler for one in lags}
    assert_replays(tmp_path / "j")
