"""A day with rows in every table that people read, for tests that compare stores; and its rows in Python."""

from __future__ import annotations

from typing import Any

from engine.clock import SECOND_NS
from engine.events import (
    ContextRead,
    FillBooked,
    FundingRead,
    LiquidationLevelsClosed,
    LiquidationRead,
    OpenInterestRead,
    OrderTerms,
    SignalRaised,
    SubmitOrder,
    Trade,
)
from engine.events.codec import Record
from engine.research.data import Data

from .record_streams import MINUTE_NS, ORDER, T
from .store_contract import a_day, bar

CLOSING = "0x" + "8" * 32


def full_day() -> list[Record]:
    """Bars and corrections, trades, orders, fills, a round trip, signals, funding, liquidations."""
    made = a_day()

    def add(event: Any, cause: int = 0) -> None:
        made.append((len(made) + 1, cause, event))

    for at in range(12):
        add(
            Trade(T + at * MINUTE_NS // 2, T + at * MINUTE_NS // 2 - 7, 1 + at % 2, 4_305_000 + at, 10, 1, at)
        )
        add(SignalRaised(T + at, "ema", 1, "fast" if at % 3 else "slow's", at / 7), len(made))
        add(ContextRead(T + at * MINUTE_NS, 1, 3, 43_000_123, 43_000_456, None, 12, -3, 5_000 + at))
        add(LiquidationRead(T + at, T + at, 1, -1, 4_305_997 + at, 50_000, f"a{at}", bool(at % 2)))
        add(LiquidationLevelsClosed(T + at, 1, MINUTE_NS, T, 100, ((4_305_900, 50_000, at),), 50_000, at, 1))
        add(OpenInterestRead(T + at, T + at * MINUTE_NS, 1, 6, 4_000 + at))
        add(FundingRead(T + at * MINUTE_NS, T + at * MINUTE_NS, 1, 6, 125 + at, 3, bool(at % 2)))
    add(SubmitOrder(T + 9, CLOSING, "ema", 1, OrderTerms(-1, 300_000, 4_306_000), reason="crossed down"))
    for at, side, price, role in ((60, 1, 430_599_870_001, "open"), (150, -1, 430_700_100_000, "close")):
        order = ORDER if side > 0 else CLOSING
        add(
            FillBooked(
                *(T + at * SECOND_NS, "ema", 1, side, price, 300_000, 7 * 10**10 + 1, 4, order, 90 + at),
                *("taker", role, "target"),
            )
        )
    made.append(bar(len(made) + 1, 5, 1_234_500, instrument=2))
    return made


def everything(data: Data, *without: str) -> dict[str, list[Any]]:
    """Return all rows by the names of their methods."""
    return {name: list(getattr(data, name)()) for name in data.tables if name not in without}


def parts(data: Data) -> dict[str, list[Any]]:
    """Return rows that were chosen by texts and times."""
    span = {"begin": "2024-12-05T00:02", "end": "2024-12-05T00:04:00.000000001"}
    found: dict[str, list[Any]] = {}
    for name in data.tables:
        read = getattr(data, name)
        found[f"{name} span"] = list(read(**span))
        if name != "equity":
            found[f"{name} BTC"] = list(read("BTC", venue="hyperliquid"))
            found[f"{name} nothing"] = list(read("it's not"))
    if "signals" in data.tables:
        found["slow"] = list(data.signals("BTC", "slow's", strategy="ema"))
    found["minutes"] = list(data.bars("BTC", "1m", begin="2024-12-05T00:01"))
    return found
