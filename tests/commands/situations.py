"""An engine's answers, made up, for tests of what people are shown."""

from __future__ import annotations

from typing import Any

import msgspec

from engine.commands.situation import PARTS, Situation
from engine.views.answers import ANSWERS
from engine.views.shapes import (
    AccountRow,
    CommandRow,
    FeedRow,
    HaltRow,
    OrderRow,
    PositionRow,
    ProtectedBy,
    StrategyRow,
)

__all__ = ["COMMAND", "HALT", "POSITION", "situation"]

NOW_MS = 1_733_356_800_000


def _blank(cls: type[msgspec.Struct], **more: Any) -> Any:
    """Return a struct with empty values for what is not given."""
    empty = {"str": "", "int": 0, "bool": False, "float": 0.0}
    values: dict[str, Any] = {}
    for field in msgspec.structs.fields(cls):
        kind = str(getattr(field.type, "__name__", field.type))
        is_optional = isinstance(field.type, type(int | None))
        values[field.name] = None if is_optional else empty.get(kind, {} if kind == "dict" else [])
    return cls(**values | more)


ACCOUNT = _blank(
    AccountRow,
    currency="USDC", equity="10012.5", day_profit="12.5", peak="10100", drawdown="87.5",
    drawdown_percent=0.87,
)  # fmt: skip
POSITION = _blank(
    PositionRow,
    instrument="BTC", owner="Cross", size="0.5", entry="97000", mark="97010", unrealized="5",
    protected_by=[ProtectedBy("stop", "0x9", "0.5", "96000", "venue")],
)  # fmt: skip
ORDER = _blank(
    OrderRow,
    id="0x7", instrument="ETH", owner="manual", side="buy", kind="limit", left="2", price="3500", state="New",
    distance_percent=1.25,
)  # fmt: skip
HALT = HaltRow("market", "ETH", "adl", NOW_MS - 60_000, 5)
FEED = _blank(FeedRow, name="hyperliquid", what="feed", state="up", heard_ms=NOW_MS - 400)
STRATEGY = _blank(StrategyRow, name="Cross", state="running", profit="3", unrealized="5")
COMMAND = _blank(
    CommandRow, seq=70, at_ms=NOW_MS - 5_000, command="pause", detail="pause", who="socket:0", state="done"
)


def situation(**status: Any) -> Situation:
    """Return the situation of a paper session with a position and an order; `status` replaces fields."""
    head = {"journal": "ab" * 16, "seq": 88, "at_ms": NOW_MS}
    more: dict[str, dict[str, Any]] = {
        "status": {
            "mode": "paper", "running": True, "session": "5e55", "started_ms": NOW_MS - 7_500_000,
            "orders": 1, "fills_today": 3, "feeds": 1, "feeds_up": 1,
            "lag_ms": 4, "newest_price_ms": NOW_MS - 200,
            "account": ACCOUNT, "halts": [], "commands": [COMMAND], **status,
        },
        "positions": {"positions": [POSITION]},
        "orders": {"working": [ORDER]},
        "health": {"feeds": [FEED], "lines": {"latency": "p50 1 ms", "journal": "last sync 5 ms ago"}},
        "strategies": {"strategies": [STRATEGY]},
    }  # fmt: skip
    return Situation.of({name: _answer(name, head | more[name]) for name in PARTS})


def _answer(name: str, values: dict[str, Any]) -> dict[str, Any]:
    known = {field.name for field in msgspec.structs.fields(ANSWERS[name])}
    made = _blank(ANSWERS[name], **{key: value for key, value in values.items() if key in known})
    return {**msgspec.to_builtins(made), **msgspec.to_builtins(values)}
