"""What `engine live` says at the end: positions and their protection, owed exits, refusals, halts."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any
from unittest.mock import patch

import pytest

from engine.errors import JournalPoisoned
from engine.runtime.plan import LiveResult
from engine.runtime.positions import OpenBook
from tests.commands.kit import Done, engine

PROTECTED = OpenBook("BTC", "Long", "0.5", ["a stop of 0.5 at 97 at the venue (0x1)"])
NAKED = OpenBook("ETH", "manual", "-2", [], ["a stop of 2 at 103"])


def live(root: Path, *options: str, **more: Any) -> Done:
    """Run the command with a session that has this result."""
    result = LiveResult("5e55", [], 1, 2, "d1", 0, "test", [], 0, None, None, 0, 0, 0, 0, **more)

    async def run_live(*args: object) -> LiveResult:
        return result

    with patch("engine.commands.live.run_live", run_live):
        return engine("live", "--journal", root, "--no-db", *options)


def rows(done: Done) -> list[list[str]]:
    """Return name and value of each line."""
    return [line.split(maxsplit=1) for line in done.out.splitlines()]


def test_open_positions_are_named_with_what_protects_them_or_nothing(tmp_path: Path) -> None:
    done = live(tmp_path, positions=[PROTECTED, NAKED])
    assert done.code == 0
    assert [value for name, value in rows(done) if name == "position"] == [
        "BTC Long 0.5, protected by a stop of 0.5 at 97 at the venue (0x1)",
        "ETH manual -2, protected by NOTHING; ended with the engine: a stop of 2 at 103",
    ]


def test_the_summary_is_json_too(tmp_path: Path) -> None:
    done = live(tmp_path, "--json", positions=[NAKED], refused={"margin": 2}, halted_markets={"BTC": "adl"})
    assert done.code == 0
    found = json.loads(done.out)
    naked = {"market": "ETH", "owner": "manual", "size": "-2", "protected_by": []}
    assert found["positions"] == [{**naked, "ended": ["a stop of 2 at 103"], "venue": ""}]
    assert (found["refused"], found["halted_markets"], found["owed"]) == ({"margin": 2}, {"BTC": "adl"}, [])


@pytest.mark.parametrize("options", [(), ("--json",)])
def test_an_exit_that_is_owed_has_exit_code_6(tmp_path: Path, options: tuple[str, ...]) -> None:
    owed = ["0.5 BTC of Long: stop, 7 tries", "1 ETH of Short: trail, 2 tries"]
    done = live(tmp_path, *options, positions=[PROTECTED], owed=owed, failures=["Long failed"])
    assert done.code == 6
    assert "0.5 BTC of Long: stop, 7 tries (and 1 more)" in done.err
    assert "1 ETH of Short: trail, 2 tries" in done.out


def test_refusals_are_summed_up_by_reason(tmp_path: Path) -> None:
    done = live(tmp_path, refused={"margin": 468, "max_orders_per_minute": 7000})
    assert ["refused", "7,468: 7,000 max_orders_per_minute, 468 margin"] in rows(done)


def test_halts_of_the_engine_and_of_markets_are_named(tmp_path: Path) -> None:
    done = live(
        tmp_path,
        halted="operator: halt",
        halted_markets={"BTC": "liquidation"},
        paused=["Long", ""],
    )
    assert [value for name, value in rows(done) if name == "halted"] == [
        "operator: halt; --resume lifts it",
        "BTC: liquidation; --resume lifts it",
    ]
    assert [value for name, value in rows(done) if name == "paused"] == [
        "Long; --resume lifts it",
        "all strategies; --resume lifts it",
    ]


def test_a_quiet_session_says_nothing_of_it(tmp_path: Path) -> None:
    names = {name for name, _ in rows(live(tmp_path))}
    assert not names & {"position", "owed", "refused", "halted", "left"}


def test_with_log_json_the_error_of_a_session_is_json_too(tmp_path: Path) -> None:
    done = live(tmp_path, "--log-json", owed=["0.5 BTC of Long: stop, 7 tries"])
    assert done.code == 6
    (line,) = map(json.loads, done.err.splitlines())
    assert (line["level"], line["kind"]) == ("error", "failed")
    assert "an exit that is not done, of 0.5 BTC of Long" in line["text"]


def test_with_log_json_an_error_of_a_group_is_json_and_a_bug_is_not(tmp_path: Path) -> None:
    def fail(error: Exception) -> Done:
        async def run_live(*args: object) -> LiveResult:
            raise BaseExceptionGroup("nursery", [error])

        with patch("engine.commands.live.run_live", run_live):
            return engine("live", "--journal", tmp_path, "--no-db", "--log-json")

    done = fail(JournalPoisoned("the disk is full"))
    assert (done.code, json.loads(done.err)["text"]) == (4, "engine: failed: the disk is full")
    done = fail(KeyError("x"))
    assert (done.code, done.err.startswith("engine: internal error: KeyError")) == (1, True)
