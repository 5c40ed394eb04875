"""A small trading day that the command tests share, and the command called within this process."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

import pytest

from engine.cli import main
from tests.commands.kit import trades_csv

CROSSING = """
[[strategies]]
use = "engine.strategies.crossover:Crossover"
params = { fast = 2, slow = 4, interval = "5s" }
[bars]
intervals = ["5s", "1m"]
"""


class Said(NamedTuple):
    """What a command said, and its exit code."""

    code: int
    out: str
    err: str


Call = Callable[..., Said]


@pytest.fixture
def call(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Call:
    """Run `engine ARGS` in this process; it must leave with a code and without a traceback."""

    def run(*args: object) -> Said:
        capsys.readouterr()
        monkeypatch.setattr("sys.argv", ["engine", *map(str, args)])
        code = 0
        try:
            main()
        except SystemExit as left:
            code = left.code if isinstance(left.code, int) else 1
        out, err = capsys.readouterr()
        assert "Traceback" not in err
        return Said(code, out, err)

    return run


@pytest.fixture(scope="session")
def traded(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A backtest's journal: one day with orders and fills. Shared, so read only."""
    folder = tmp_path_factory.mktemp("traded")
    source = trades_csv(folder / "trades.csv", 600)
    config = folder / "c.toml"
    config.write_text(CROSSING, encoding="utf-8")
    patch = pytest.MonkeyPatch()
    for args in (
        ["import", source, "--venue", "x", "--instrument", "AAA", "--journal", folder / "in"],
        ["backtest", folder / "in", "--config", config, "--out", folder / "out"],
    ):
        patch.setattr("sys.argv", ["engine", *map(str, args)])
        main()
    patch.undo()
    return folder / "out" / "2022-01-15"
