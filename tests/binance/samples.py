"""Messages of Binance for tests: payloads and recordings beside the project, and a few of our own."""

from __future__ import annotations

import gzip
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from adapters.binance.listing import ExchangeInfo, list_instruments
from adapters.binance.markets import SPOT, USDM, Market
from adapters.binance.wire import decode_body
from engine.events import InstrumentListed

__all__ = ["FRAMES", "LATER_NS", "MARKETS", "frames", "info", "listed", "market_of", "payload", "recording"]

ROOT = Path(__file__).resolve().parents[2]
FRAMES = ROOT / "tests" / "frames" / "binance"
_SHARED = ROOT.parent / "shared"
if not _SHARED.is_dir():
    _SHARED = ROOT.parents[1] / "shared"
_PAYLOADS = _SHARED / "exchanges" / "binance"
_RECORDED = _SHARED / "data" / "frames"

LATER_NS = 1_795_000_000_000_000_000
MARKETS = {"spot": SPOT, "futures": USDM}
_GRIDS = {
    "NKNUSDT": (4, 0),
    "SUSHIUSDT": (4, 0),
    "ETHUSDT": (2, 5),
    "BNBUSDT": (4, 2),
    "BTCUSDT": (2, 3),
    "XRPETH": (8, 0),
}


def market_of(name: str) -> Market:
    return MARKETS["futures" if "futures" in name or "usdm" in name else "spot"]


def listed(
    market: Market, name: str, number: int = 1, grid: tuple[int, int] | None = None
) -> InstrumentListed:
    price_scale, size_scale = grid or _GRIDS[name]
    return InstrumentListed(
        *(0, number, market.venue, name, price_scale, size_scale), kind=market.kind, ids="sequence"
    )


def payload(name: str) -> bytes:
    path = _PAYLOADS / f"{name}.json"
    if not path.is_file():
        pytest.skip(f"no {name} beside the project")
    return path.read_bytes()


def recording(name: str) -> Any:
    return json.loads(payload(name))


def payloads(prefix: str) -> list[str]:
    return sorted(path.stem for path in _PAYLOADS.glob(f"{prefix}*.json")) if _PAYLOADS.is_dir() else []


def info(kind: str) -> ExchangeInfo:
    names = {"spot": "http_spot_exchange_info", "futures": "http_futures_exchange_info"}
    return decode_body(payload(names[kind]), ExchangeInfo)


def recorded_instrument(kind: str) -> InstrumentListed:
    return list_instruments(MARKETS[kind], info(kind).symbols, ["BTCUSDT"], {})[0]


def frames(kind: str) -> Iterator[tuple[int, str]]:
    """The recorded frames of a market: time of receipt and text. The snapshot is as we record it."""
    name = {"spot": "spot", "futures": "usdm"}[kind]
    path = _RECORDED / f"binance-{name}-btcusdt-20240808.gz"
    if not path.is_file():
        pytest.skip("the recorded frames are not beside the project")
    with gzip.open(path, "rt", encoding="utf-8") as lines:
        for line in lines:
            recv, text = line.rstrip("\n").split(" ", 1)
            if text.startswith('{"lastUpdateId"'):
                text = f'{{"stream":"btcusdt@depthSnapshot","data":{text}}}'
            yield int(recv), text
