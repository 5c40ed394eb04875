"""`engine import` of several files: what people read, and what machines read."""

from __future__ import annotations

from pathlib import Path

from engine.journal import verify_day

from .kit import as_json, engine

DAY = "2024-01-30"
START_MS = 1_706_572_800_000


def trades(path: Path, first: int, count: int) -> Path:
    rows = [
        f"{START_MS + number * 1000},{100 + number}.5,1,{number}" for number in range(first, first + count)
    ]
    path.write_text("time,price,size,id\n" + "\n".join(rows) + "\n")
    return path


def test_the_report_counts_by_instrument_and_by_file(tmp_path: Path) -> None:
    files = [
        trades(tmp_path / "BTCUSDT-trades-2024-01-30.csv", 1, 20),
        trades(tmp_path / "ETHUSDT-trades-2024-01-30.csv", 1, 5),
        trades(tmp_path / "BTCUSDT-trades-2024-01-31.csv", 11, 20),
    ]
    root = tmp_path / "data"
    done = engine("import", *files, "--venue", "binance", "--journal", root)
    assert done.code == 0
    lines = done.out.splitlines()
    assert lines[0].startswith("3 files: trades by their columns")
    assert lines[1:3] == [
        "binance:BTCUSDT: 30 trades from 2 files (instrument by name); 10 given twice count once",
        "binance:ETHUSDT: 5 trades from ETHUSDT-trades-2024-01-30.csv (instrument by name)",
    ]
    assert lines[3].startswith(f"imported into {root / DAY} in ")
    again = as_json(engine("import", *files, "--venue", "binance", "--journal", root, "--json"))
    assert again["unchanged"] == again["days"] == [DAY]
    assert (again["trades"], again["duplicates"], again["candles"]) == (35, 10, 0)
    assert (again["price_decimals"], again["size_decimals"], again["measured"]) == (None, None, None)
    assert [(one["instrument"], one["trades"], one["files"]) for one in again["instruments"]] == [
        ("BTCUSDT", 30, 2),
        ("ETHUSDT", 5, 1),
    ]
    assert [(one["file"], one["instrument"], one["events"], one["derived"]) for one in again["files"]] == [
        (str(files[0]), "BTCUSDT", 20, ["instrument"]),
        (str(files[1]), "ETHUSDT", 5, ["instrument"]),
        (str(files[2]), "BTCUSDT", 20, ["instrument"]),
    ]


def test_an_extended_day_is_reported_with_both_digests(tmp_path: Path) -> None:
    root = tmp_path / "data"
    place = ("--venue", "binance", "--journal", root)
    first = as_json(engine("import", trades(tmp_path / "BTC-trades.csv", 1, 3), *place, "--json"))
    other = trades(tmp_path / "ETH-trades.csv", 1, 3)
    done = engine("import", other, *place)
    digest = verify_day(root / DAY).digest.hex()
    line = f"{root / DAY}: was there and was extended; its digest was {first['digests'][DAY]}, is {digest}"
    assert line in done.out.splitlines()
    assert as_json(engine("import", other, *place, "--json"))["digests"] == {DAY: digest}
    third = as_json(engine("import", trades(tmp_path / "XRP-trades.csv", 1, 3), *place, "--json"))
    assert third["extended"] == {DAY: {"before": digest, "after": third["digests"][DAY]}}


def test_a_file_whose_name_says_no_instrument_is_refused_before_anything_is_written(tmp_path: Path) -> None:
    good, plain = (trades(tmp_path / name, 1, 3) for name in ("BTC-trades.csv", "data.csv"))
    done = engine("import", good, plain, "--venue", "binance", "--journal", tmp_path / "data")
    assert done.code == 2
    assert "data.csv: its name does not say which instrument it holds" in done.err
    assert not (tmp_path / "data").exists()
