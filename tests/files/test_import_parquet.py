"""Parquet: every type with plain values is read exactly; the error without pyarrow."""

from __future__ import annotations

import decimal
import sys
from datetime import UTC, date, datetime
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from adapters.files.numbers import number_reader
from engine.clock import day_start_ns
from engine.errors import ImportRefused, NumberError, UsageError
from engine.events import Trade
from engine.values import BUY, SELL

from .kit import Imports

pa = pytest.importorskip("pyarrow", reason="Parquet needs the extra")
pq = pytest.importorskip("pyarrow.parquet", reason="Parquet needs the extra")

START = day_start_ns("2022-01-15")
MS = 1_000_000


def save(imports: Imports, name: str = "trades.parquet", **columns: Any) -> Path:
    path = imports.folder / name
    pq.write_table(pa.table(columns), path, row_group_size=1000)
    return path


def trades(imports: Imports) -> list[Trade]:
    return [event for event in imports.events("2022-01-15") if isinstance(event, Trade)]


def test_parquet_and_csv_give_the_same_events(imports: Imports) -> None:
    rows = 20_000
    times = [START // MS + row for row in range(rows)]
    prices = [round(100 + row % 1000 * 0.01, 2) for row in range(rows)]
    sizes = [f"0.{row % 9 + 1}" for row in range(rows)]
    text = "time,price,size\n" + "".join(
        f"{t},{p},{s}\n" for t, p, s in zip(times, prices, sizes, strict=True)
    )
    parquet = save(imports, time=times, price=prices, size=sizes)
    as_csv = imports.load(text, journal=imports.folder / "csv")
    as_parquet = imports.load(parquet, journal=imports.folder / "parquet")
    assert as_csv.digests == as_parquet.digests
    assert as_parquet.trades == rows


@pytest.mark.parametrize(
    "times",
    [
        pa.array([START, START + MS], pa.timestamp("ns")),
        pa.array([START, START + MS], pa.timestamp("ns", "Europe/Paris")),
        pa.array([START // 1000, START // 1000 + 1000], pa.timestamp("us", "UTC")),
        pa.array([START // MS, START // MS + 1], pa.int64()),
        pa.array([START / 1e9, START / 1e9 + 0.001], pa.float64()),
        pa.array(["2022-01-15T00:00:00Z", "2022-01-15T00:00:00.001Z"]),
        pa.array([datetime(2022, 1, 15, tzinfo=UTC), datetime(2022, 1, 15, 0, 0, 0, 1000, tzinfo=UTC)]),
    ],
    ids=lambda array: str(array.type),
)
def test_times_of_every_type_are_exact(imports: Imports, times: Any) -> None:
    imports.load(save(imports, time=times, price=[1, 1], size=[1, 1]))
    assert [trade.venue_ns - START for trade in trades(imports)] == [0, MS]


def test_a_date_is_its_midnight(imports: Imports) -> None:
    imports.load(save(imports, date=[date(2022, 1, 15)], price=[1], size=[1]))
    assert trades(imports)[0].venue_ns == START


@pytest.mark.parametrize(
    "prices",
    [
        pa.array(["43059.97"]),
        pa.array([43059.97], pa.float64()),
        pa.array([43059.97], pa.float32()),
        pa.array([decimal.Decimal("43059.97000")], pa.decimal128(20, 5)),
        pa.array([decimal.Decimal("43059.97")], pa.decimal256(50, 2)),
        pa.array(["43059.97"]).dictionary_encode(),
        pa.array(["43059.97"], pa.large_string()),
    ],
    ids=lambda array: str(array.type),
)
def test_prices_of_every_type_are_exact(imports: Imports, prices: Any) -> None:
    if prices.type == pa.float32():
        prices = pa.array([430.59], pa.float32())  # 7 figures are all a float32 has
    report = imports.load(save(imports, time=[START], price=prices, size=pa.array([7], pa.uint8())))
    assert report.price_decimals == 2
    assert (trades(imports)[0].price, trades(imports)[0].size) in ((4305997, 7), (43059, 7))


def test_booleans_nulls_and_ids(imports: Imports) -> None:
    makers = pa.array([True, False, None])
    ids = pa.array([5, None, 6])
    imports.load(save(imports, time=[START] * 3, p=[1, 1, 1], q=[1, 1, 1], m=makers, id=ids))
    assert [(trade.aggressor, trade.trade_id) for trade in trades(imports)] == [(SELL, 5), (BUY, 0), (0, 6)]


@given(st.floats(allow_nan=True, allow_infinity=True))
def test_a_float_is_its_shortest_text_or_refused(value: float) -> None:
    try:
        number = number_reader("price", 18)(repr(value))
    except NumberError:
        return
    assert float(decimal.Decimal(number).scaleb(-18)) == value


@pytest.mark.parametrize(
    ("price", "reason"),
    [
        (pa.array([1.0, float("nan")]), "price 'nan'"),
        (pa.array([1.0, None]), "price is empty"),
        (pa.array([1.0, -1.0]), "price '-1.0' is negative"),
        (pa.array([1.5, 1.123]), "price '1.123' has more than 2 decimals"),
    ],
)
def test_an_unreadable_row_is_reported(imports: Imports, price: Any, reason: str) -> None:
    path = save(imports, time=[START, START], price=price, size=[1, 1])
    with pytest.raises(ImportRefused) as caught:
        imports.load(path, price_decimals=2, size_decimals=0)
    assert (caught.value.line, reason in caught.value.reason) == (2, True), caught.value
    assert not imports.journal.exists()


def test_types_without_plain_values_are_refused(imports: Imports) -> None:
    path = save(imports, time=[START], price=[[1, 2]], size=[1])
    with pytest.raises(UsageError, match="column 'price' is of type list"):
        imports.load(path, price_decimals=2, size_decimals=0)


def test_an_empty_or_damaged_file_is_refused(imports: Imports) -> None:
    none = pa.array([], pa.int64())
    with pytest.raises(ImportRefused, match="no row of data"):
        imports.load(save(imports, time=none, price=none, size=none))
    path = save(imports, time=[START] * 5000, price=list(range(1, 5001)), size=[1] * 5000)
    data = bytearray(path.read_bytes())
    data[100:4000] = bytes(3900)
    path.write_bytes(data)
    with pytest.raises(ImportRefused, match="damaged"):
        imports.load(path, price_decimals=2, size_decimals=0)
    assert not imports.journal.exists()


def test_parquet_is_recognized_by_its_first_bytes(imports: Imports) -> None:
    assert imports.load(save(imports, "trades.data", time=[START], price=[1], size=[1])).trades == 1


def test_without_pyarrow_the_error_names_the_extra(imports: Imports, monkeypatch: pytest.MonkeyPatch) -> None:
    path = save(imports, time=[START], price=[1], size=[1])
    monkeypatch.delitem(sys.modules, "adapters.files.parquet", raising=False)
    monkeypatch.setitem(sys.modules, "pyarrow", None)
    with pytest.raises(UsageError, match=r"needs pyarrow: pip install retape\[parquet\]"):
        imports.load(path)
