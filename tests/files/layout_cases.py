"""One small file of each known layout, and what comes of it."""

from __future__ import annotations

import json
from typing import NamedTuple

from engine.clock import day_start_ns
from engine.values import BUY, NO_SIDE, SELL

__all__ = ["CASES", "DATABENTO", "IN_2025_US", "START", "START_MS", "START_S", "Case", "kline", "lines"]

MS = 1_000_000
START = day_start_ns("2024-01-01")
START_MS = START // MS
START_S = START // 10**9
IN_2025_US = day_start_ns("2025-01-01") // 1000

Row = tuple[int, str, str, int, int | str]
"""(nanoseconds since the start of 2024, price, size, side, id)"""
Bar = tuple[int, str, str, str, str, str]
"""(nanoseconds since the start of 2024, open, high, low, close, volume)"""


class Case(NamedTuple):
    """A file and what comes of it: trades, or candles of an interval."""

    layout: str
    name: str
    content: str
    rows: list[Row]
    bars: list[Bar]
    interval: str = "1m"
    silence: str = "flat"
    notes: str = ""


def lines(*rows: object) -> str:
    return "".join(f"{row}\n" for row in rows)


KLINE = "{start},{prices},{volume},{end},{quote},{count},1.0,2.0,0"


def kline(start: int, end: int, prices: str, volume: str, count: int = 3) -> str:
    return KLINE.format(start=start, end=end, prices=prices, volume=volume, quote="9.5", count=count)


M = 60_000 * MS  # a minute
Y25 = (IN_2025_US * 1000) - START

CCXT_TRADES = [
    {
        "info": {"a": 1, "nested": [1, 2]},
        "timestamp": START_MS + at,
        "datetime": "2024-01-01T00:00:00.000Z",
        "symbol": "BTC/USDT",
        "id": str(at),
        "order": None,
        "type": None,
        "side": side,
        "takerOrMaker": None,
        "price": price,
        "amount": 0.25,
        "cost": 1.5,
        "fee": {"cost": None, "currency": None},
        "fees": [],
    }
    for at, side, price in ((5, "buy", 42000.5), (9, "sell", 42000), (11, None, 42001))
]
TARDIS = "exchange,symbol,timestamp,local_timestamp,id,side,price,amount"
DATABENTO = (
    "ts_recv,ts_event,rtype,publisher_id,instrument_id,action,side,depth,price,size,flags,delta,sequence"
)
BYBIT = "timestamp,symbol,side,size,price,tickDirection,trdMatchID,grossValue,homeNotional,foreignNotional"
DOWNLOAD = "unix,date,symbol,open,high,low,close,Volume BTC,Volume USDT,tradecount"
TWO_BARS: list[Bar] = [(0, "10", "12", "9", "11", "1.5"), (M, "11", "11.5", "10.5", "11", "2")]

CASES = [
    Case(
        "binance-klines",
        "BTCUSDT-1m-2024-01.csv",
        lines(
            kline(
                START_MS, START_MS + 59_999, "10.00000000,12.00000000,9.00000000,11.00000000", "1.50000000"
            ),
            kline(START_MS + 60_000, START_MS + 119_999, "11,11.5,10.5,11", "2.00000000"),
        ),
        [],
        TWO_BARS,
    ),
    Case(
        "binance-klines",
        "BTCUSDT-1m-2025-01.csv",
        lines(
            kline(IN_2025_US, IN_2025_US + 59_999_999, "10,12,9,11", "1.5"),
            kline(IN_2025_US + 60_000_000, IN_2025_US + 119_999_999, "11,11,11,11", "0", 0),
        ),
        [],
        [(Y25, "10", "12", "9", "11", "1.5"), (Y25 + M, "11", "11", "11", "11", "0")],
    ),
    Case(
        "binance-klines",
        "one-row-with-names.csv",
        "open_time,open,high,low,close,volume,close_time,quote_volume,count,taker_buy_volume,"
        "taker_buy_quote_volume,ignore\n" + kline(START_MS, START_MS + 3_599_999, "10,12,9,11", "1.5"),
        [],
        [(0, "10", "12", "9", "11", "1.5")],
        interval="1h",
    ),
    Case(
        "binance-trades",
        "BTCUSDT-trades-2024-01.csv",
        lines(
            f"4359999999,42000.50000000,0.25000000,10500.1,{START_MS + 5},True,True",
            f"4360000000,42000.00000000,0.75000000,31500.0,{START_MS + 5},False,True",
        ),
        [(5 * MS, "42000.5", "0.25", SELL, 4359999999), (5 * MS, "42000", "0.75", BUY, 4360000000)],
        [(0, "42000.5", "42000.5", "42000", "42000", "1")],
    ),
    Case(
        "binance-trades",
        "BTCUSDT-trades-futures.csv",
        lines(f"5,42000.5,0.25,10500.1,{IN_2025_US + 5},false"),
        [(Y25 + 5000, "42000.5", "0.25", BUY, 5)],
        [(Y25, "42000.5", "42000.5", "42000.5", "42000.5", "0.25")],
    ),
    Case(
        "binance-aggtrades",
        "BTCUSDT-aggTrades-2024-01.csv",
        lines(
            f"7,42000.5,0.25,100,103,{START_MS + 5},true,true", f"8,42000,1,104,104,{START_MS + 6},false,true"
        ),
        [(5 * MS, "42000.5", "0.25", SELL, 7), (6 * MS, "42000", "1", BUY, 8)],
        [(0, "42000.5", "42000.5", "42000", "42000", "1.25")],
    ),
    Case(
        "binance-aggtrades",
        "futures-aggTrades.csv",
        lines(
            "agg_trade_id,price,quantity,first_trade_id,last_trade_id,transact_time,is_buyer_maker",
            f"7,42000.5,0.25,100,103,{START_MS + 5},true",
        ),
        [(5 * MS, "42000.5", "0.25", SELL, 7)],
        [(0, "42000.5", "42000.5", "42000.5", "42000.5", "0.25")],
    ),
    Case(
        "kraken-trades",
        "XBTUSD.csv",
        lines(f"{START_S + 3},42000.1,0.00250000", f"{START_S + 3},42000.2,1.00000000"),
        [(3 * 10**9, "42000.1", "0.0025", NO_SIDE, 0), (3 * 10**9, "42000.2", "1", NO_SIDE, 0)],
        [(0, "42000.1", "42000.2", "42000.1", "42000.2", "1.0025")],
    ),
    Case(
        "kraken-ohlcvt",
        "XBTUSD_1.csv",
        lines(f"{START_S},10,12,9,11,1.5,7", f"{START_S + 60},11,11.5,10.5,11,2,1"),
        [],
        TWO_BARS,
        silence="none",
    ),
    Case(
        "cryptodatadownload",
        "Binance_BTCUSDT_minute.csv",
        lines(
            "https://www.CryptoDataDownload.com",
            DOWNLOAD,
            f"{START_MS + 60_000},2024-01-01 00:01:00,BTCUSDT,11,11.5,10.5,11,2,84000.5,12",
            f"{START_MS},2024-01-01 00:00:00,BTCUSDT,10,12,9,11,1.5,63000.1,30",
        ),
        [],
        TWO_BARS,
        notes="newest row comes first",
    ),
    Case(
        "cryptodatadownload",
        "Gemini_BTCUSD_1h.csv",
        lines(
            '"https://www.CryptoDataDownload.com"',
            "Date,Symbol,Open,High,Low,Close,Volume USD,Volume BTC",
            "2024-01-01 01-AM,BTCUSD,11,11.5,10.5,11,84000.5,2",
            "2024-01-01 12-AM,BTCUSD,10,12,9,11,63000.1,1.5",
        ),
        [],
        [TWO_BARS[0], (60 * M, *TWO_BARS[1][1:])],
        interval="1h",
    ),
    Case(
        "ccxt-ohlcv",
        "ohlcv.json",
        json.dumps([[START_MS, 10, 12.0, 9.0, 11, 1.5], [START_MS + 60_000, 11, 11.5, 10.5, 11, 2]]),
        [],
        TWO_BARS,
    ),
    Case(
        "ccxt-ohlcv",
        "lines.jsonl",
        lines(
            json.dumps([START_MS, 10, 12.0, 9.0, 11, 1.5]),
            json.dumps([START_MS + 60_000, 11, 11.5, 10.5, 11, 2]),
        ),
        [],
        TWO_BARS,
    ),
    Case(
        "ccxt-trades",
        "trades.json",
        json.dumps(CCXT_TRADES, indent=2),
        [
            (5 * MS, "42000.5", "0.25", BUY, 5),
            (9 * MS, "42000", "0.25", SELL, 9),
            (11 * MS, "42001", "0.25", NO_SIDE, 11),
        ],
        [(0, "42000.5", "42001", "42000", "42001", "0.75")],
    ),
    Case(
        "coinbase-candles",
        "candles.json",
        json.dumps([[START_S + 60, 10.5, 11.5, 11, 11, 2], [START_S, 9, 12, 10, 11, 1.5]]),
        [],
        TWO_BARS,
        silence="none",
        notes="newest row comes first",
    ),
    Case(
        "coinbase-trades",
        "trades.json",
        json.dumps(
            [
                {
                    "time": f"2024-01-01T00:00:0{at}.5Z",
                    "trade_id": at,
                    "price": "10.50",
                    "size": "2",
                    "side": side,
                }
                for at, side in ((2, "sell"), (1, "buy"))
            ]
        ),
        # The maker sold at 2 s: the taker bought.
        [(1_500 * MS, "10.5", "2", SELL, 1), (2_500 * MS, "10.5", "2", BUY, 2)],
        [(0, "10.5", "10.5", "10.5", "10.5", "4")],
    ),
    Case(
        "coinbase-matches",
        "matches.jsonl",
        json.dumps(
            {
                "type": "match",
                "trade_id": 5,
                "maker_order_id": "a",
                "taker_order_id": "b",
                "side": "sell",
                "size": "2",
                "price": "10.5",
                "product_id": "BTC-USD",
                "sequence": 50,
                "time": "2024-01-01T00:00:01.5Z",
            }
        ),
        [(1_500 * MS, "10.5", "2", BUY, 5)],
        [(0, "10.5", "10.5", "10.5", "10.5", "2")],
    ),
    Case(
        "tardis-trades",
        "bitmex_trades_2024-01-01_XBTUSD.csv",
        lines(
            TARDIS,
            f"bitmex,XBTUSD,{START_MS * 1000 + 5},{START_MS * 1000 + 9},aa,unknown,42000.5,100",
            f"bitmex,XBTUSD,{START_MS * 1000 + 7},{START_MS * 1000 + 10},,sell,42000,100",
            f"bitmex,XBTUSD,{START_MS * 1000 + 6},{START_MS * 1000 + 11},bb,buy,42001,50",
        ),
        [
            (5000, "42000.5", "100", NO_SIDE, "aa"),
            (6000, "42001", "50", BUY, "bb"),
            (7000, "42000", "100", SELL, 0),
        ],
        [(0, "42000.5", "42001", "42000", "42000", "250")],
        notes="1 of 3 rows go back in time: rows are sorted by time",
    ),
    Case(
        "bybit-trades",
        "BTCUSDT2024-01-01.csv",
        lines(
            BYBIT,
            f"{START_S}.0974,BTCUSDT,Buy,0.01,42500.1,PlusTick,m-1,4.25e+10,0.01,425.001",
            f"{START_S}.7,BTCUSDT,Sell,0.02,42500,MinusTick,m-2,8.5e+10,0.02,850",
        ),
        [(97_400_000, "42500.1", "0.01", BUY, "m-1"), (700 * MS, "42500", "0.02", SELL, "m-2")],
        [(0, "42500.1", "42500.1", "42500", "42500", "0.03")],
    ),
    Case(
        "okx-trades",
        "BTC-USDT-trades-2024-01-01.csv",
        lines(
            "instrument_name,trade_id,side,price,size,created_time",
            f"BTC-USDT,6001,buy,42800.125,0.01000000,{START_MS + 100}",
            f"BTC-USDT,6002,sell,42800.25,0.02000000,{START_MS + 600}",
        ),
        [(100 * MS, "42800.125", "0.01", BUY, 6001), (600 * MS, "42800.25", "0.02", SELL, 6002)],
        [(0, "42800.125", "42800.25", "42800.125", "42800.25", "0.03")],
    ),
    Case(
        "databento-trades",
        "glbx-mdp3-20240101.trades.csv",
        lines(
            DATABENTO,
            f"{START + 900},{START + 7},0,1,5482,T,A,0,92992950000000,1,0,19251,1",
            f"{START + 901},{START + 8},0,1,5482,T,B,0,92993000000000,2,0,19251,2",
            f"{START + 902},{START + 8},0,1,5482,T,N,0,92993250000000,3,0,19251,3",
        ),
        [
            (7, "92992.95", "1", SELL, 0),
            (8, "92993", "2", BUY, 0),
            (8, "92993.25", "3", NO_SIDE, 0),
        ],
        [(0, "92992.95", "92993.25", "92992.95", "92993.25", "6")],
    ),
    Case(
        "databento-trades",
        "pretty.csv",
        lines(
            DATABENTO + ",symbol",
            "2024-01-01T00:00:45.311339785Z,2024-01-01T00:00:45.311116623Z,0,45,15061,T,N,0,"
            "31.545000000,100,130,2,6,S",
        ),
        [(45_311_116_623, "31.545", "100", NO_SIDE, 0)],
        [(0, "31.545", "31.545", "31.545", "31.545", "100")],
    ),
    Case(
        "databento-ohlcv",
        "ohlcv-1m.csv",
        lines(
            "ts_event,rtype,publisher_id,instrument_id,open,high,low,close,volume",
            f"{START},33,1,5482,10000000000,12000000000,9000000000,11000000000,15",
            f"{START + M},33,1,5482,11000000000,11500000000,10500000000,11000000000,20",
        ),
        [],
        [(0, "10", "12", "9", "11", "15"), (M, "11", "11.5", "10.5", "11", "20")],
        silence="none",
    ),
]
