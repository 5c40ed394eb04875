"""A venue of somebody else's package trades, warms up, backfills and replays through the same commands."""

from __future__ import annotations

import json
import os
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import pytest

from engine.events import Event, FeedGap, OrderFilled, Quote, Trade
from tests.commands.kit import (
    ENGINE,
    FAST,
    ROOT,
    Done,
    as_json,
    assert_replays,
    days,
    engine,
    environment,
    lines,
    run,
    trade_until,
)
from tests.venues.kit import exchange, install

CONFIG = FAST + "\n[data]\nwarmup_bars = 5\n[venues.toy]\nquotes = true\n"


@pytest.fixture(scope="module")
def packages(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return install(tmp_path_factory.mktemp("site"))


@pytest.fixture(scope="module")
def url() -> Iterator[str]:
    with exchange() as address:
        yield address


@pytest.fixture
def installed(packages: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The package is on the path of this process."""
    monkeypatch.syspath_prepend(str(packages))


def trade(
    packages: Path, url: str, folder: Path, seen: dict[type[Event], int], *more: object, venue: str = "toy"
) -> Done:
    """Run a live session of the toy venue in a process of its own until it has recorded these."""
    config = folder / "c.toml"
    config.write_text(CONFIG, encoding="utf-8")
    where = ["--venue", venue, "--base-url", url, "--config", config]
    path = f"{ROOT}{os.pathsep}{packages}"
    return trade_until(folder / "j", seen, *where, "--json", *more, PYTHONPATH=path)


def newest(root: Path) -> Path:
    """Return the newest day of a journal, beside which raw messages may lie."""
    return max(day for day in days(root) if day.name != "raw")


def kinds(day: Path) -> Counter[str]:
    return Counter(one["type"] for one in lines(engine("inspect", day, "--json")))


@pytest.fixture(scope="module")
def traded(packages: Path, url: str, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The journal of a session of the toy venue, with its raw messages. Shared, so read only."""
    folder = tmp_path_factory.mktemp("traded")
    seen: dict[type[Event], int] = {OrderFilled: 1, Trade: 110, Quote: 110}
    result = as_json(trade(packages, url, folder, seen, "--raw", "--instruments", "AAA"))
    assert result["health"]["feed"].startswith("frames ")
    return folder / "j"


def test_a_paper_session_trades_and_replays(traded: Path) -> None:
    day = newest(traded)
    found = kinds(day)
    assert found["OrderFilled"] > 0, found
    assert found["CandleRead"] == 10, "five of each interval warm the strategy up"
    assert found["Trade"] > 100
    assert found["Quote"] > 100
    (listed,) = lines(engine("inspect", day, "--type", "InstrumentListed", "--json"))
    assert (listed["venue"], listed["ids"], listed["silence"]) == ("toy", "sequence", "none")
    report = as_json(engine("replay", day, "--json"))
    assert report["identical"]


def test_a_replay_needs_no_venue_and_imports_none(traded: Path) -> None:
    script = (
        "import runpy, sys\n"
        f"sys.argv = ['engine', 'replay', {str(newest(traded))!r}, '--json']\n"
        "try:\n    runpy.run_module('engine', run_name='__main__')\n"
        "finally:\n    print([name for name in sys.modules if name.startswith(('adapters.', 'tests.'))])\n"
    )
    done = run([ENGINE[0], "-c", script], env=environment())
    report, modules = done.out.splitlines()
    assert json.loads(report)["identical"]
    assert modules == "[]"


def test_its_raw_messages_decode_to_the_recorded_events(traded: Path, installed: None) -> None:
    found = as_json(engine("replay", newest(traded), "--from-raw", "--json"))
    assert found["same"], found
    assert found["equal"] > 200


def test_raw_messages_of_a_venue_that_is_not_installed_are_a_usage_error(traded: Path) -> None:
    done = engine("replay", newest(traded), "--from-raw")
    assert done.code == 2
    assert "no venue of this day (toy) can decode raw messages" in done.err


def test_a_second_session_continues_and_marks_the_gap(packages: Path, url: str, tmp_path: Path) -> None:
    assert trade(packages, url, tmp_path, {Trade: 10}).code == 0
    assert trade(packages, url, tmp_path, {FeedGap: 2}).code == 0
    found = kinds(newest(tmp_path / "j"))
    assert found["FeedGap"] == 2, "one for each instrument"
    assert_replays(tmp_path / "j")


def test_a_backfill_reads_history_once(url: str, installed: None, tmp_path: Path) -> None:
    args = ["--venue", "toy", "--base-url", url, "--instruments", "AAA", "--intervals", "1m"]
    args += [
        "--since",
        "2025-01-02T00:00",
        "--until",
        "2025-01-02T01:00",
        "--journal",
        str(tmp_path),
        "--json",
    ]
    first = as_json(engine("backfill", *args))
    assert first["rows"] == 60
    assert as_json(engine("backfill", *args))["rows"] == 0
    assert_replays(tmp_path)


@pytest.mark.parametrize(
    ("command", "code", "words"),
    [
        ("live --venue bare --mode live", 6, "the venue 'bare' takes no real orders"),
        ("live --venue bare --arm", 6, "the venue 'bare' takes no real orders"),
        ("live --venue toy --mode live --arm", 6, "takes no real orders; trade on it with --mode paper"),
        ("live --venue toy", 2, "give its --base-url"),
        ("live --venue toi", 2, "there is no venue 'toi'; did you mean toy?"),
        ("live --venue hyperliqid", 2, "did you mean hyperliquid?"),
        ("live --venue toy --base-url URL --instruments AAB", 2, "did you mean AAA"),
        ("live --venue toy --base-url ws://127.0.0.1:1", 5, "ws://127.0.0.1:1"),
        ("backfill --venue bare --instruments AAA --since 2024-01-01", 2, "the venue 'bare' has no history"),
        ("backfill --venue sandbox --instruments BTC --since 2024-01-01", 2, "give its --base-url"),
    ],
)
def test_a_missing_capability_of_a_venue_is_refused(
    command: str, code: int, words: str, url: str, installed: None, tmp_path: Path
) -> None:
    root = tmp_path / "j"
    done = engine(*command.replace("URL", url).split(), "--journal", root)
    assert done.code == code, done.err
    assert words in done.err
    assert not root.exists(), "refused before anything is written"


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("[venues.toy]\nquots = true\n", "c.toml: there is no key 'venues.toy.quots'; did you mean quotes?"),
        ("[venues.toy]\nquotes = 5\n", "venues.toy"),
        ('[data]\nchannels = ["candle"]\n', "data.channels: the toy venue has no 'candle'"),
    ],
)
def test_a_venue_checks_its_own_section(
    text: str, words: str, url: str, installed: None, tmp_path: Path
) -> None:
    config = tmp_path / "c.toml"
    config.write_text(text, encoding="utf-8")
    done = engine(
        "live", "--venue", "toy", "--base-url", url, "--config", config, "--journal", tmp_path / "j"
    )
    assert done.code == 2
    assert words in done.err


def test_a_bare_venue_trades_too_but_its_raw_messages_cannot_be_decoded(
    packages: Path, url: str, installed: None, tmp_path: Path
) -> None:
    assert trade(packages, url, tmp_path, {Trade: 10}, "--raw", venue="bare").code == 0
    day = newest(tmp_path / "j")
    assert not kinds(day)["CandleRead"], "without history there is no warm-up"
    assert as_json(engine("replay", day, "--json"))["identical"]
    done = engine("replay", day, "--from-raw")
    assert done.code == 2
    assert "no venue of this day (bare) can decode raw messages" in done.err
