"""What the name of a data file says: instrument, kind of data, interval.

Owns the forms of names that venues and archives use. Promises: a name is recognised as a whole or not at all;
the instrument is spelled as in the name. Called by the importer, which says what it took from a name.

    Binance             BTCUSDT-1m-2024-01.zip  BTCUSDT-trades-2024-01-02.csv.gz
                        BTCUSDT-aggTrades-2024-01.zip
    Kraken              XBTUSD_1.csv  (minutes)
    Tardis              binance-futures_trades_2024-01-02_BTCUSDT.csv.gz
    cryptodatadownload  Binance_BTCUSDT_1h.csv  Bitstamp_BTCUSD_2024_minute.csv
"""

from __future__ import annotations

import re
from pathlib import Path
from typing import Final

import msgspec

from adapters.files.kinds import CANDLES, TRADES
from engine.values import INTERVALS

__all__ = ["NameFacts", "facts_of"]

_ENDINGS: Final = re.compile(r"(?:\.(?:zip|gz|xz|csv|tsv|txt|jsonl|ndjson|json|parquet|pq))+", re.IGNORECASE)
_DATE: Final = r"[0-9]{4}-[0-9]{2}(?:-[0-9]{2})?"
_NAME: Final = r"(?P<instrument>[A-Z0-9][A-Z0-9_]*)"
_FORMS: Final = (
    re.compile(rf"{_NAME}-(?P<what>trades|aggTrades|[0-9]+(?:mo|[smhdwM]))(?:-{_DATE})?"),
    re.compile(r"(?P<instrument>[A-Z0-9]{5,})_(?P<minutes>[0-9]+)"),
    re.compile(rf"[a-z-]+_(?P<what>trades)_{_DATE}_(?P<instrument>[A-Z0-9_-]+)"),
    re.compile(
        r"[A-Z][A-Za-z]+_(?P<instrument>[A-Z0-9]{5,})(?:_[0-9]{4})?_(?P<what>minute|hour|day|1h|d)",
    ),
)
_WORDS: Final = {"minute": "1m", "hour": "1h", "day": "1d", "d": "1d", "1mo": "1M"}


class NameFacts(msgspec.Struct, frozen=True):
    """What a name says. `form` is "trades", "aggTrades" or an interval, `kind` TRADES or CANDLES.

    `interval` is that of candles.
    """

    instrument: str
    kind: str
    form: str
    interval: str = ""


def facts_of(path: Path) -> NameFacts | None:
    """Return what the name of a file says, None if it has none of the known forms."""
    ending = _ENDINGS.search(path.name)
    stem = path.name[: ending.start()] if ending and ending.end() == len(path.name) else path.name
    for form in _FORMS:
        match = form.fullmatch(stem)
        if match is None:
            continue
        found = match.groupdict()
        what = found.get("what") or _of_minutes(found["minutes"] or "")
        if what in ("trades", "aggTrades"):
            return NameFacts(found["instrument"], TRADES, what)
        interval = _WORDS.get(what, what)
        if interval:
            return NameFacts(found["instrument"], CANDLES, interval, interval)
    return None


def _of_minutes(minutes: str) -> str:
    seconds = int(minutes) * 60 if len(minutes) < 7 else 0
    return next((name for name, length in INTERVALS.items() if length == seconds), "")
