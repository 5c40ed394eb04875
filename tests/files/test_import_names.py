"""What names of files say."""

from __future__ import annotations

from pathlib import Path

import pytest

from adapters.files.names import NameFacts, facts_of


@pytest.mark.parametrize(
    ("name", "facts"),
    [
        ("BTCUSDT-1m-2024-01.zip", NameFacts("BTCUSDT", "candles", "1m", "1m")),
        ("BTCUSDT-1mo-2024-01.zip", NameFacts("BTCUSDT", "candles", "1M", "1M")),
        ("BTCUSDT-1d-2024-01-02.csv", NameFacts("BTCUSDT", "candles", "1d", "1d")),
        ("BTCUSDT-1h.parquet", NameFacts("BTCUSDT", "candles", "1h", "1h")),
        ("BTCUSDT-6h-2024-01.zip", NameFacts("BTCUSDT", "candles", "6h", "6h")),
        ("BTCUSDT-trades-2024-01-02.csv.gz", NameFacts("BTCUSDT", "trades", "trades")),
        ("BTCUSDT-trades.csv.gz", NameFacts("BTCUSDT", "trades", "trades")),
        ("BTCUSD_PERP-aggTrades-2024-01.zip", NameFacts("BTCUSD_PERP", "trades", "aggTrades")),
        ("1000SHIBUSDT-trades-2024-01.zip", NameFacts("1000SHIBUSDT", "trades", "trades")),
        ("XBTUSD_1.csv", NameFacts("XBTUSD", "candles", "1m", "1m")),
        ("XBTUSD_1440.csv", NameFacts("XBTUSD", "candles", "1d", "1d")),
        ("binance-futures_trades_2024-01-02_BTCUSDT.csv.gz", NameFacts("BTCUSDT", "trades", "trades")),
        ("deribit_trades_2024-01-02_BTC-PERPETUAL.csv.gz", NameFacts("BTC-PERPETUAL", "trades", "trades")),
        ("Binance_BTCUSDT_1h.csv", NameFacts("BTCUSDT", "candles", "1h", "1h")),
        ("Bitstamp_BTCUSD_2024_minute.csv", NameFacts("BTCUSD", "candles", "1m", "1m")),
        ("Gemini_ETHUSD_d.csv", NameFacts("ETHUSD", "candles", "1d", "1d")),
        *(
            (name, None)
            for name in (
                "data.csv",
                "BTCUSDT.csv",
                "btcusdt-1m-2024-01.zip",
                "BTCUSDT-1m-2024.zip",
                "BTCUSDT-1m-2024-01 (1).zip",
                "XBTUSD_7.csv",
                "BTCUSDT_2024.csv",
                "goog-daily.csv.gz",
                "BTCUSDT-depth-2024-01-02.zip",
                "BTCUSDT-1m-2024-01.zip.part",
                "",
            )
        ),
    ],
)
def test_a_name_is_recognised_as_a_whole_or_not_at_all(name: str, facts: NameFacts | None) -> None:
    assert facts_of(Path("folder") / name) == facts
