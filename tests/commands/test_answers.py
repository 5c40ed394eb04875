"""The output of commands: JSON for programs, errors in one line with the right exit code, no data lost."""

from __future__ import annotations

import json
import shlex
import shutil
import socket
import struct
import zlib
from decimal import Decimal
from pathlib import Path

import pytest

from engine.cli import _COMMANDS
from tests.commands.kit import (
    SAMPLE,
    as_json,
    assert_linked,
    assert_replays,
    engine,
    lines,
    shell,
    spawn,
    trades_csv,
)


def test_the_sample_day_replays_identical_under_any_hash_seed() -> None:
    """R03."""
    digests = set()
    for seed in ("1", "2"):
        report = as_json(spawn("replay", SAMPLE, "--json", PYTHONHASHSEED=seed))
        assert report["identical"] is True
        assert report["divergence"] is None
        assert report["events"] == report["inputs"] + report["derived"] >= 50_000
        assert {"digest", "seconds", "events_per_s"} <= set(report)
        digests.add(report["digest"])
    assert len(digests) == 1


def test_why_follows_the_causes_of_a_fill_back_to_a_trade() -> None:
    """That of a bar with trades: a bar without any closes because of the time."""
    for fill in reversed(lines(engine("inspect", SAMPLE, "--type", "OrderFilled", "--json"))):
        chain = lines(engine("why", SAMPLE, fill["seq"], "--json"))
        if next(one for one in chain if one["type"] == "BarClosed")["trades"]:
            break
    assert chain[-1] == fill
    assert chain[0]["type"] == "Trade"
    assert chain[0]["cause"] == 0
    assert_linked(chain)
    kinds = [one["type"] for one in chain]
    for kind in ("BarClosed", "TargetSet", "OrderRequested", "OrderApproved", "SubmitOrder"):
        assert kind in kinds


def test_inspect_shows_exact_numbers_names_and_sides() -> None:
    fill = lines(engine("inspect", SAMPLE, "--type", "OrderFilled", "--limit", 1, "--json"))[0]
    assert list(fill)[:5] == ["seq", "cause", "type", "at", "at_ns"]
    assert fill["at"].endswith("Z")
    assert fill["instrument"] in ("BTC", "ETH", "PURR")
    assert fill["side"] in ("buy", "sell")
    assert isinstance(fill["price"], str)
    # Tier 0: 0.045 % of the notional, rounded against us at the sixth decimal.
    notional = Decimal(fill["price"]) * Decimal(fill["size"])
    assert 0 <= Decimal(fill["fee"]) - notional * Decimal("0.00045") < Decimal("0.000001")


def test_equity_follows_from_the_fills_to_the_last_digit(tmp_path: Path) -> None:
    source = trades_csv(tmp_path / "trades.csv")
    engine("import", source, "--venue", "x", "--instrument", "AAA", "--journal", tmp_path / "in")
    config = tmp_path / "c.toml"
    config.write_text(
        '[[strategies]]\nuse = "engine.strategies.crossover:Crossover"\n'
        'params = { fast = 2, slow = 4, interval = "5s" }\n[bars]\nintervals = ["5s"]\n'
    )
    day = tmp_path / "in" / "2022-01-15"
    first = as_json(engine("backtest", day, "--config", config, "--out", tmp_path / "out", "--json"))
    second = as_json(engine("backtest", day, "--config", config, "--json"))
    assert first["digest"] == second["digest"]
    assert first["fills"] > 3
    assert_replays(tmp_path / "out")
    cash, fees, held = Decimal(first["cash"]), Decimal(0), Decimal(0)
    for fill in lines(engine("inspect", tmp_path / "out" / "2022-01-15", "--type", "OrderFilled", "--json")):
        sign = 1 if fill["side"] == "buy" else -1
        held += sign * Decimal(fill["size"])
        cash -= sign * Decimal(fill["size"]) * Decimal(fill["price"])
        fees += Decimal(fill["fee"])
    mark = Decimal(first["positions"]["Crossover AAA"]["mark"])
    assert Decimal(first["fees"]) == fees > 0
    assert Decimal(first["equity"]) == cash - fees + held * mark
    assert Decimal(first["equity"]) == (
        Decimal(first["cash"])
        + Decimal(first["realized_pnl"])
        + Decimal(first["unrealized_pnl"])
        - Decimal(first["fees"])
    )


def test_j02_one_changed_byte_in_a_segment_names_file_and_offset(tmp_path: Path) -> None:
    day = tmp_path / SAMPLE.name
    shutil.copytree(SAMPLE, day)
    (segment,) = day.iterdir()
    good = segment.read_bytes()
    for offset in (0, 9, 200, len(good) // 2, len(good) - 1):
        bad = bytearray(good)
        bad[offset] ^= 0x10
        segment.write_bytes(bad)
        for command in (("replay", day), ("journal", "verify", day)):
            done = engine(*command)
            assert done.code == 4, (offset, done.out, done.err)
            assert segment.name in done.err


def test_j25_a_journal_of_a_newer_format_is_refused_with_its_version(tmp_path: Path) -> None:
    source = trades_csv(tmp_path / "trades.csv", 50)
    engine("import", source, "--venue", "x", "--instrument", "AAA", "--journal", tmp_path / "in")
    out = tmp_path / "out"
    engine("backtest", tmp_path / "in" / "2022-01-15", "--out", out)
    (segment,) = (out / "2022-01-15").iterdir()
    data = bytearray(segment.read_bytes())
    struct.pack_into("<H", data, 8, 99)
    struct.pack_into("<I", data, 124, zlib.crc32(data[:124]))
    segment.write_bytes(data)
    done = engine("replay", out / "2022-01-15")
    assert done.code == 4
    assert "99" in done.err


def test_another_strategy_is_reported_as_a_change_not_as_nondeterminism(tmp_path: Path) -> None:
    """R02: replay with another strategy stops at the first event that differs and reports the reason."""
    done = engine("replay", SAMPLE, "--strategy", "benchmarks.strategies:EveryTrade", "--json")
    report = json.loads(done.out)
    assert done.code == 3
    assert report["identical"] is False
    assert report["verdict"] == "configuration changed"
    assert report["divergence"]["seq"] > 0
    assert report["divergence"]["chain"]


@pytest.mark.parametrize(
    ("args", "code", "words"),
    [
        (["live", "--strategy", "engine.strategies.crossover:Crosover"], 2, "did you mean Crossover"),
        (["live", "--strategy", "nowhere:Nothing"], 2, "no module 'nowhere'"),
        (["live", "--strategy", "Crossover"], 2, "module:Class"),
        (["live", "--strategy", "own/trend.py:Trend"], 2, "write it as own.trend:Trend"),
        (["live", "--instruments", "BTX"], 2, "did you mean BTC"),
        (["live", "--for", "soon"], 2, "30s"),
        (
            ["live", "--venue", "hyperliquid", "--base-url", "http://127.0.0.1:9", "--coins", "BTC"],
            5,
            "9",
        ),
        (["replay", "nowhere"], 2, "no such day"),
        (["inspect", SAMPLE, "--type", "OrderFiled"], 2, "OrderFilled"),
        (["why", SAMPLE, 99_999_999], 2, "it holds 1 to"),
        (["import", "absent.csv", "--venue", "x", "--instrument", "Y"], 2, "absent.csv"),
        (["journal", "verify", "nowhere"], 2, "nowhere"),
        (["backtest", "nowhere"], 2, "no such day"),
    ],
)
def test_an_invalid_argument_gets_one_line_and_its_exit_code_and_writes_nothing(
    tmp_path: Path, args: list[object], code: int, words: str
) -> None:
    journal = ["--journal", tmp_path / "j"] if args[0] == "live" else []
    done = engine(*args, *journal, cwd=tmp_path)
    assert done.code == code, done.err
    assert words in done.err
    assert len(done.err.strip().splitlines()) <= 2
    assert list(tmp_path.iterdir()) == []


def test_an_unknown_configuration_key_is_reported_with_the_nearest_known_key(tmp_path: Path) -> None:
    path = tmp_path / "bad.toml"
    path.write_text('[risk]\nmax_order_notinal = "1"\n')
    done = engine("live", "--config", path, "--journal", tmp_path / "j")
    assert done.code == 2
    assert "max_order_notinal" in done.err
    assert "max_order_notional" in done.err
    assert not (tmp_path / "j").exists()


def test_an_invalid_line_of_a_file_is_reported_and_no_data_is_lost(tmp_path: Path) -> None:
    good = trades_csv(tmp_path / "good.csv", 20)
    engine("import", good, "--venue", "x", "--instrument", "AAA", "--journal", tmp_path / "in")
    before = sorted((path, path.stat().st_size) for path in (tmp_path / "in").rglob("*"))
    bad = tmp_path / "bad.csv"
    bad.write_text("timestamp,price,quantity\n1642291200000,1,1\n1642291200001,oops,1\n")
    done = engine("import", bad, "--venue", "x", "--instrument", "AAA", "--journal", tmp_path / "in")
    assert done.code == 2
    assert "line 3" in done.err
    again = engine("import", good, "--venue", "x", "--instrument", "AAA", "--journal", tmp_path / "in")
    assert again.code == 0
    assert "1 of them unchanged" in again.out
    missing = tmp_path / "missing.csv"
    missing.write_text("timestamp,price\n1,2\n")
    done = engine("import", missing, "--venue", "x", "--instrument", "AAA", "--journal", tmp_path / "in")
    assert done.code == 2
    assert "size" in done.err
    assert sorted((path, path.stat().st_size) for path in (tmp_path / "in").rglob("*")) == before


def test_a_port_in_use_is_reported() -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        done = engine("sandbox", "--port", port)
    assert done.code == 2
    assert str(port) in done.err


def test_j16_a_full_disk_stops_the_session_and_the_next_session_continues_the_journal(tmp_path: Path) -> None:
    """A limit on the size of files replaces a full disk: a write fails in the middle of the session."""
    root = tmp_path / "journal"
    limited = "ulimit -f 12; exec {engine} live --quiet --for 300s --speed 5 --no-db"
    done = shell(f"trap '' XFSZ; {limited} --journal {shlex.quote(str(root))}")
    assert done.code == 4, (done.code, done.err)
    assert len(done.err.strip().splitlines()) <= 2
    assert_replays(root)
    after = as_json(spawn("live", "--for", "1s", "--no-db", "--journal", root, "--json"))
    assert after["first_seq"] > 1
    assert_replays(root)


@pytest.mark.parametrize("command", sorted(_COMMANDS))
def test_every_command_has_help(command: str) -> None:
    done = engine(command, "--help")
    assert done.code == 0
    assert "Usage: " in done.out


def test_doctor_checks_this_machine(tmp_path: Path) -> None:
    report = json.loads(engine("doctor", "--journal", tmp_path, "--json").out)
    assert report["checks"]["trio"]["ok"]
