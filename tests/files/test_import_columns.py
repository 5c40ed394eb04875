"""The meaning of columns: usual names, mappings, positions, without guesses."""

from __future__ import annotations

import pytest

from adapters.files.columns import Layout, lay_out
from engine.errors import UsageError


def lay(first: str, mapping: str = "", *, headed: bool = False) -> Layout:
    given = dict(part.split("=", 1) for part in mapping.split(",")) if mapping else {}
    return lay_out(first.split(","), given, file="f.csv", headed=headed)


@pytest.mark.parametrize(
    ("first", "at"),
    [
        ("timestamp,price,quantity", {"time": 0, "price": 1, "size": 2}),
        ("TS,Px,SZ,Tid,Side", {"time": 0, "price": 1, "size": 2, "id": 3, "side": 4}),
        (
            "id,price,qty,quote_qty,time,is_buyer_maker",
            {"time": 4, "price": 1, "size": 2, "id": 0, "maker": 5},
        ),
        ("timestamp,id,side,price,amount,cost", {"time": 0, "price": 3, "size": 4, "id": 1, "side": 2}),
        ("Datetime,p,Volume", {"time": 0, "price": 1, "size": 2}),
        ("date,price,volume,size", {"time": 0, "price": 1, "size": 3}),
        (
            "coin,side,px,sz,time,hash,tid",
            {"time": 4, "price": 2, "size": 3, "id": 6, "side": 1, "symbol": 0},
        ),
        (
            "agg_trade_id,price,quantity,first_trade_id,last_trade_id,transact_time,is_buyer_maker",
            {"time": 5, "price": 1, "size": 2, "id": 0, "maker": 6},
        ),
    ],
)
def test_trade_columns_are_recognised(first: str, at: dict[str, int]) -> None:
    layout = lay(first)
    assert (layout.kind, layout.at, layout.header) == ("trades", at, True)


def test_candle_columns_are_recognised() -> None:
    at = {"time": 0, "open": 1, "high": 2, "low": 3, "close": 4, "volume": 5}
    assert lay("t,open,high,low,close,volume").at == at
    assert lay("Date,Open,High,Low,Close,Volume").kind == "candles"
    venue = lay("t,T,s,i,o,c,h,l,v,n", headed=True)  # a venue's own candle: t opens, T closes
    assert venue.at == {"time": 0, "open": 4, "high": 6, "low": 7, "close": 5, "volume": 8, "trades": 9}


def test_a_mapping_takes_precedence_over_names() -> None:
    assert lay("timestamp,price,Px,Vol", "price=Px,size=Vol").at == {"time": 0, "price": 2, "size": 3}
    assert lay("when,p,q", "time=WHEN").at["time"] == 0
    assert lay(",Open,High,Low,Close,Volume", "time=0").at["time"] == 0
    assert "side" not in lay("time,price,size,side", "side=").at
    assert lay("time,price,size,side,m", "maker=m").at == {"time": 0, "price": 1, "size": 2, "maker": 4}


def test_without_names_positions_are_needed() -> None:
    layout = lay("1577836800123,1.5,2", "time=0,price=1,size=2")
    assert (layout.at, layout.header) == ({"time": 0, "price": 1, "size": 2}, False)
    candles = lay("0,1,1,1,1,0.5", "time=0,open=1,high=2,low=3,close=4,volume=5")
    assert (candles.kind, candles.header) == ("candles", False)


@pytest.mark.parametrize(
    ("first", "mapping", "reason"),
    [
        (
            "timestamp,quantity",
            "",
            r"no price column for trades: looked for price\|px\|p, .* timestamp, quantity",
        ),
        ("price,size", "", r"no time column.*looked for timestamp\|time\|t\|ts"),
        (
            "time,price,qty,amount",
            "",
            "'qty', 'amount' may each be the size; choose one with --columns size=NAME",
        ),
        ("time,price,price,size", "", "'price', 'price' may each be"),
        ("t,T,p,q", "", "'t', 'T' may each be the time"),
        ("time,price,size,side,m", "", "both 'side' and 'm' give the taker's side"),
        ("time,price,size", "prize=x", "'prize' is not a role of a column; known: time price"),
        ("time,price,size", "price=Px", "price=Px: no such column; the file has time, price, size"),
        ("time,price,size", "price=7", "there are 3 columns, 0 to 2"),
        ("time,price,size", "price=0", "one column is used twice"),
        ("time,price,size", "price=time", "no time column for trades: --columns uses 'time' otherwise"),
        ("time,price,size,x", "open=x", "--columns open=...: the file is read as trades"),
        ("1577836800123,1.5,2", "", "first line is data, not column names.*position of each column, from 0"),
        ("1577836800123,1.5,2", "time=0,price=1", "every column needs a position; size has none"),
        ("1577836800123,1.5,2", "time=0,price=1,size=qty", "first line is data.*give positions from 0"),
        ("time,open,high,low,close", "", "no volume column for candles"),
    ],
)
def test_missing_or_ambiguous_columns_are_reported(first: str, mapping: str, reason: str) -> None:
    with pytest.raises(UsageError, match=reason):
        lay(first, mapping)
