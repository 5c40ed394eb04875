"""A small trading day that the command tests share."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.commands.kit import engine, trades_csv

CROSSING = """
[[strategies]]
use = "engine.strategies.crossover:Crossover"
params = { fast = 2, slow = 4, interval = "5s" }
[bars]
intervals = ["5s", "1m"]
"""


@pytest.fixture(scope="session")
def traded(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The journal of a backtest: one day with orders and fills. Tests share it and only read it."""
    folder = tmp_path_factory.mktemp("traded")
    source = trades_csv(folder / "trades.csv", 600)
    config = folder / "c.toml"
    config.write_text(CROSSING, encoding="utf-8")
    done = engine("import", source, "--venue", "x", "--instrument", "AAA", "--journal", folder / "in")
    assert done.code == 0, done.err
    done = engine("backtest", folder / "in", "--config", config, "--out", folder / "out")
    assert done.code == 0, done.err
    return folder / "out" / "2022-01-15"
