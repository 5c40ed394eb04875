"""A stopped process: a session that is stopped and continued makes up no bars and no orders, and replays."""

from __future__ import annotations

import signal
import time
from pathlib import Path

import pytest

from engine.events import BarClosed, ClockJumped, Event, FeedGap, SubmitOrder, Trade
from engine.journal import list_days
from engine.records import read_records
from tests.commands.kit import PATIENCE_S, assert_replays, environment, sandbox, start, wait_for
from tests.profiles import pick

RESTLESS = """from engine.strategies import Strategy

class Restless(Strategy):
    def on_start(self):
        self.asked = 0
    def on_bar(self, bar):
        self.asked += 1
        self.target("BTC", 0.02 if self.asked % 2 else 0.01)
"""


@pytest.mark.parametrize("interval", ["1s", "1m"][: pick(1, deep=2)])
def test_c14_a_process_that_was_stopped_for_3_s_at_speed_60(
    tmp_path: Path, interval: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """C14: three minutes of the venue. They are one hole of short bars; minutes are proved afterwards."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "mine.py").write_text(RESTLESS)
    (tmp_path / "c.toml").write_text(
        f'[bars]\nintervals = ["{interval}"]\n[risk]\nmax_orders_per_minute = 0\n'
    )
    root = tmp_path / "j"
    with sandbox("--speed", 60, "--instruments", "BTC") as url:
        options = ["--config", "c.toml", "--strategy", "mine:Restless", "--no-db"]
        process = start("live", "--base-url", url, "--journal", root, *options, env=environment())
        wait_for(process, root, BarClosed, 2)
        process.send_signal(signal.SIGSTOP)
        time.sleep(3.0)
        process.send_signal(signal.SIGCONT)
        wait_for(process, root, ClockJumped)
        wait_for(process, root, FeedGap)
        process.send_signal(signal.SIGTERM)
        _, err = process.communicate(timeout=PATIENCE_S)
    assert process.returncode == 0, err
    assert "clock: jumped: the engine stood still for" in err
    events: list[Event] = [one[2] for day in list_days(root) for one in read_records(day.path)]
    at = next(number for number, one in enumerate(events) if isinstance(one, ClockJumped))
    jumped = events[at]
    assert isinstance(jumped, ClockJumped)
    assert jumped.cause == "paused"
    assert jumped.to_ns - jumped.from_ns > 2.5 * 60 * 10**9
    after = [one for one in events[at:] if isinstance(one, BarClosed)]
    newest = {one.start_ns: one for one in after}  # of each window the last revision
    inside = [bar for start, bar in newest.items() if start + bar.interval_ns <= jumped.to_ns]
    if interval == "1s":
        assert len(inside) <= 62, "those in their grace period, and the one that was open; then a hole"
        assert all(bar.incomplete for bar in inside if bar.start_ns > jumped.from_ns)
    for bar in inside:
        end_ns = bar.start_ns + bar.interval_ns
        trades = [one for one in events if isinstance(one, Trade)]
        own = [one for one in trades if bar.start_ns <= one.venue_ns < end_ns]
        assert bar.incomplete or bar.trades == len(own)
        assert own or interval == "1s", "the sandbox trades in every minute"
    turn = [one for one in events[at:] if getattr(one, "at_ns", 0) == jumped.to_ns]
    opened = [one for one in turn if isinstance(one, SubmitOrder) and not one.terms.reduce_only]
    assert opened == [], "what was due is history"
    assert_replays(root)
