"""A strategy that can never act: exit code 2 with the nearest names, a warning, or a note in the report."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.commands.kit import SAMPLE, days, engine

CROSSOVER = "engine.strategies.crossover:Crossover"
NO_BARS = "strategy Crossover: interval: there are no bars of '7m' ([bars] intervals, activity)"
ODD = """from engine.strategies import Bar, Strategy


class Odd(Strategy):
    def on_bar(self, bar: Bar) -> None:
        if bar.interval == "3m":
            self.target(bar.market, 1)


class Elsewhere(Strategy):
    market: str = "BTX"

    def on_bar(self, bar: Bar) -> None:
        self.target(self.market, 0.001)
"""


@pytest.fixture
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "odd.py").write_text(ODD, encoding="utf-8")
    return tmp_path


@pytest.mark.parametrize("command", [("backtest", str(SAMPLE)), ("live", "--for", "5s")])
@pytest.mark.parametrize(
    ("options", "words"),
    [
        (
            ("--strategy", CROSSOVER, "--param", "interval=7m"),
            f"{NO_BARS}; did you mean 5m, 1m?",
        ),
        (
            ("--strategy", "odd:Elsewhere"),
            "strategy Elsewhere: market: there is no instrument 'BTX'; did you mean BTC?",
        ),
    ],
    ids=["interval", "market"],
)
def test_it_is_refused_before_anything_is_recorded(
    project: Path, command: tuple[str, ...], options: tuple[str, ...], words: str
) -> None:
    done = engine(*command, *options)
    assert (done.code, done.out) == (2, "")
    assert done.err.strip() == f"engine: {words}"
    assert not (project / "journal").exists() or days(project / "journal") == []


def test_an_interval_in_its_code_of_which_there_are_no_bars_is_reported(project: Path) -> None:
    done = engine("backtest", SAMPLE, "--strategy", "odd:Odd")
    assert done.code == 0
    assert "strategy Odd: got no bar of 3m, which it names; there were bars of 1m 5m 15m 1h" in done.out


def test_a_live_session_warns_of_it_at_the_start(project: Path) -> None:
    done = engine("live", "--strategy", "odd:Odd", "--for", "1s")
    assert done.code == 0
    assert "warning: Odd names bars of 3m, which are not built; [bars] intervals has 1m 5m 15m 1h" in done.err
