"""SIGKILL at random moments of a fast session that crosses midnights."""

from __future__ import annotations

import json
import random
import time
from pathlib import Path

from engine.events import Event
from tests.commands.kit import FAST, as_json, days, engine, sandbox, spawn, start, wait_for
from tests.profiles import pick

KILLS = pick(2, deep=20)
SPEED = pick(60, deep=3000)


def test_c01_c03_i1_i2_killed_at_any_moment_each_day_opens_replays_and_the_rows_catch_up(
    tmp_path: Path,
) -> None:
    """The deep profile has 3,000 times the speed, so days begin and end between the kills."""
    root, config = tmp_path / "journal", tmp_path / "fast.toml"
    config.write_text(FAST, encoding="utf-8")
    chance = random.Random(11)
    kept: dict[str, str] = {}
    end = 0
    with sandbox("--speed", SPEED) as url:
        venue = ["--venue", "hyperliquid", "--base-url", url, "--journal", root, "--config", config]
        for number in range(KILLS):
            process = start("live", *venue)
            if number % 2:
                wait_for(process, root, Event, end + 1)
            time.sleep(chance.uniform(0.0, 1.0))
            process.kill()
            process.communicate()
            if not root.is_dir() or not days(root):
                continue
            reached = 0
            for day in days(root):
                done = engine("replay", day, "--json")
                assert done.code == 0, done
                report = json.loads(done.out)
                assert report["identical"] is True
                verified = engine("journal", "verify", day, "--json")
                reached = json.loads(verified.out)["end_seq"]
            # Records that were read once are never lost.
            assert reached >= end
            end = reached
            for day in days(root)[:-1]:
                digest = json.loads(engine("replay", day, "--json").out)["digest"]
                assert kept.setdefault(day.name, digest) == digest
        last = as_json(spawn("live", *venue, "--for", "1s", "--json"))
    assert last["first_seq"] == end + 1
    assert last["live_orders"] == 0
    for day in days(root):
        assert json.loads(engine("replay", day, "--json").out)["identical"] is True
    checked = json.loads(engine("project", root, "--db", root / "retape.db", "--check", "--json").out)
    assert checked["equal"], checked
    if KILLS >= 10:
        assert len(days(root)) >= 2, "no midnight was crossed"
