"""Valid inputs of the targets in `others.py`. See `seeds.py`, which writes them."""

from __future__ import annotations

import json
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import msgspec

from engine.events import Trade
from engine.events.codec import encode_inputs
from engine.journal import Draft, JournalWriter, Tail, ensure_identity
from engine.mirror.messages import HEADERS_MAX, FrameMessages
from engine.mirror.source import FrameSource
from tests.fuzz import lighter_account

__all__ = ["SEEDS"]

ROOT = Path(__file__).resolve().parents[2]
DAY = 1_733_356_800_000_000_000  # 2024-12-05
AT_MS = 1_790_000_040_000


def _of_venue(name: str) -> Iterator[bytes]:
    """The saved messages of a venue, one by one and together."""
    lines = (ROOT / "tests" / "frames" / name / "market-data.jsonl").read_bytes().splitlines()
    yield from lines
    yield b"[" + b",".join(lines) + b"]"


def _binance_account() -> Iterator[bytes]:
    order = {
        "s": "BTCUSDT",
        "c": "0xa",
        "S": "BUY",
        "x": "TRADE",
        "X": "FILLED",
        "i": 7,
        "q": "0.010",
        "z": "0.010",
        "l": "0.010",
        "L": "61000.50",
        "T": AT_MS,
        "t": 9,
        "n": "0.1",
        "N": "USDT",
        "m": True,
        "R": False,
        "f": "GTC",
        "o": "LIMIT",
        "C": "",
        "r": "NONE",
    }
    yield b"w" + _json({"e": "ORDER_TRADE_UPDATE", "E": AT_MS, "T": AT_MS, "o": order})
    yield b"w" + _json({"subscriptionId": 0, "event": {"e": "executionReport", "E": AT_MS, **order}})
    algo = {"caid": "0xa", "aid": 5, "s": "BTCUSDT", "X": "TRIGGERED", "ai": "7", "q": "0.01", "rm": ""}
    yield b"w" + _json({"e": "ALGO_UPDATE", "E": AT_MS, "T": AT_MS, "o": algo})
    yield b"w" + _json({"e": "ACCOUNT_UPDATE", "E": AT_MS, "T": AT_MS, "a": {"m": "FUNDING_FEE"}})
    yield b"w" + _json({"e": "balanceUpdate", "E": AT_MS, "a": "USDT", "d": "-5.5", "T": AT_MS})
    yield b"w" + _json({"e": "listenKeyExpired", "E": AT_MS, "listenKey": "k"})
    yield b"w" + _json({"id": 1, "status": 400, "error": {"code": -1021, "msg": "late"}})
    row = {
        "symbol": "BTCUSDT",
        "orderId": 7,
        "clientOrderId": "0xa",
        "price": "61000.00",
        "origQty": "0.010",
        "executedQty": "0.004",
        "status": "PARTIALLY_FILLED",
        "timeInForce": "GTC",
        "type": "LIMIT",
        "side": "BUY",
        "stopPrice": "0",
        "time": AT_MS,
        "updateTime": AT_MS,
    }
    yield b"o" + _json([row, {**row, "status": "CANCELED"}])
    conditional = {
        "algoId": 5,
        "clientAlgoId": "0xa",
        "orderType": "STOP",
        "symbol": "BTCUSDT",
        "side": "SELL",
        "timeInForce": "GTC",
        "quantity": "0.010",
        "algoStatus": "NEW",
        "triggerPrice": "60000.00",
        "price": "59000.00",
        "reduceOnly": True,
        "actualOrderId": "",
        "createTime": AT_MS,
        "updateTime": AT_MS,
    }
    yield b"a" + _json([conditional])
    trade = {
        "symbol": "BTCUSDT",
        "id": 9,
        "orderId": 7,
        "price": "61000.50",
        "qty": "0.010",
        "commission": "0.1",
        "commissionAsset": "USDT",
        "time": AT_MS,
        "buyer": True,
        "maker": False,
    }
    yield b"t" + _json([trade, {**trade, "id": 10}])
    held = {"symbol": "BTCUSDT", "positionSide": "BOTH", "positionAmt": "-0.010", "entryPrice": "61000.1"}
    yield b"p" + _json([{**held, "updateTime": AT_MS}])
    paid = {"symbol": "BTCUSDT", "incomeType": "FUNDING_FEE", "income": "-0.5", "asset": "USDT"}
    moved = {**paid, "symbol": "", "incomeType": "TRANSFER", "tranId": 2}
    yield b"i" + _json(
        [{**one, "time": AT_MS, "tranId": 1, "tradeId": "", "info": ""} for one in (paid, moved)]
    )
    money = {"totalWalletBalance": "5000.5", "totalMarginBalance": "5001", "totalUnrealizedProfit": "0.5"}
    yield b"f" + _json({**money, "availableBalance": "4000", "assets": [], "positions": []})
    balances = [
        {"asset": "USDT", "free": "10.5", "locked": "1"},
        {"asset": "BTC", "free": "0.5", "locked": "0"},
    ]
    yield b"s" + _json({"canTrade": True, "accountType": "SPOT", "updateTime": AT_MS, "balances": balances})


def _operator() -> Iterator[bytes]:
    base = {"nonce": "n-1", "who": "ann", "wait_s": 2}
    order = {"market": "BTC", "side": "buy", "size": "0.01", "limit": "61000.5", "stop_loss": 60000}
    for one in (
        {"command": "pause", "strategy": "A"},
        {"command": "halt"},
        {"command": "cancel", "market": "BTC"},
        {"command": "flatten", "market": "BTC"},
        {"command": "order", **order},
        {"command": "set", "strategy": "A", "name": "x", "value": 1.5},
        {"command": "stop"},
    ):
        yield _json({**base, **one})


def _broker() -> Iterator[bytes]:
    """A mirror of a small journal, in whole frames and in parts."""
    with tempfile.TemporaryDirectory() as folder:
        root = Path(folder)
        tail = Tail(journal_id=ensure_identity(root, b"f" * 16))
        with JournalWriter(root, tail, salts=lambda: b"s" * 16, sync=False) as writer:
            for number in range(1, 4):
                trade = Trade(DAY + number, DAY + number, 1, 10 + number, 1, 1, number)
                writer.append(Draft(number, 1, encode_inputs([trade])), DAY)
        pieces = [*FrameSource(lambda: [root / "2024-12-05"]).read()]
    for part in (1 << 20, HEADERS_MAX + 50):
        made = FrameMessages(part)
        found = [(one.headers, one.data) for piece in pieces for one in made.of(piece)]
        yield b"--" + msgspec.msgpack.encode(found)


def _csv_store() -> Iterator[bytes]:
    line = "1,2,COIN\n"
    saved = {
        "journal_id": "66" * 16,
        "seq": 9,
        "files": ["x-COIN-1m.csv"],
        "digest": "00" * 32,
        "version": 2,
        "sizes": {"x-COIN-1m.csv": 20},
        "epoch": 1,
    }
    yield _json(saved) + b"\n-\n" + line.encode()
    yield _json({"journal_id": "66" * 16}) + b"\n-\n"


def _json(value: Any) -> bytes:
    return json.dumps(value, separators=(",", ":")).encode()


SEEDS = {
    **{
        name: lambda name=name: _of_venue(name)
        for name in ("binance", "kraken", "coinbase", "lighter", "apex")
    },
    "binance-account": _binance_account,
    "lighter-account": lighter_account.seeds,
    "operator": _operator,
    "broker": _broker,
    "csv-store": _csv_store,
}
