"""Writes the corpora: valid inputs of every target, from the project's own data.

    python -m tests.fuzz.seeds

Each seed is one file `seed-NN.bin` of a few kilobytes in `corpus/TARGET`. Files `found-*.bin` beside them are
inputs that broke a reader once; they are kept by hand.
"""

from __future__ import annotations

import gzip
import io
import json
import lzma
import tempfile
import zipfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import msgspec
import pyarrow.parquet
import zstandard

from engine.config import Config, StrategyConfig
from engine.events import InstrumentListed, Quote, Trade
from engine.events.codec import decode_derived, decode_inputs, encode_derived, encode_inputs
from engine.journal import Draft, JournalWriter, Tail, ensure_identity, list_days, read_frames, seal_day
from tests.commands.kit import engine
from tests.fuzz import more_seeds
from tests.hyperliquid.venue import START_MS, row

__all__ = ["CORPUS", "ROOT", "corpus_of"]

CORPUS = Path(__file__).parent / "corpus"
ROOT = Path(__file__).resolve().parents[2]
_BLOB_BYTES_MAX = 3000
_USER = "0x" + "1" * 40
_CLOID = "0x" + "a" * 32


def corpus_of(target: str) -> tuple[bytes, ...]:
    """Return the inputs of a target, in the order of their names."""
    return tuple(path.read_bytes() for path in sorted((CORPUS / target).iterdir()))


def _frames() -> Iterator[bytes]:
    """Frames of the golden journals with few records, one for each new set of types."""
    seen: set[type] = set()
    for root in sorted((ROOT / "tests" / "golden").iterdir()):
        if not root.is_dir():
            continue
        for day in list_days(root):
            for frame in read_frames(day.path):
                inputs = list(decode_inputs(frame.inputs)) if frame.inputs else []
                derived = decode_derived(frame.derived) if frame.derived else []
                new_inputs = [one for one in inputs if type(one) not in seen]
                new_derived = [one for one in derived if type(one[2]) not in seen]
                for event in new_inputs[:40]:
                    blob = encode_inputs([event])
                    if type(event) not in seen and len(blob) < _BLOB_BYTES_MAX:
                        seen.add(type(event))
                        yield b"\x01\xff" + blob
                for _, _, event in new_derived[:40]:
                    blob = encode_derived([(1, 0, event)])
                    if type(event) not in seen and len(blob) < _BLOB_BYTES_MAX:
                        seen.add(type(event))
                        yield b"\x01\x00" + blob


def _segments() -> Iterator[bytes]:
    """A small segment, plain and sealed, as it is and to be mended."""
    day = 1_733_356_800_000_000_000  # 2024-12-05
    with tempfile.TemporaryDirectory() as folder:
        root = Path(folder)
        tail = Tail(journal_id=ensure_identity(root, b"f" * 16))
        with JournalWriter(root, tail, salts=lambda: b"s" * 16, sync=False) as writer:
            listed = InstrumentListed(day, 1, "x", "AAA", 1, 2)
            writer.append(Draft(1, 1, encode_inputs([listed])), day)
            for number in range(2, 5):
                at_ns = day + number
                events = [
                    Trade(at_ns, at_ns, 1, 10 + number, 1, 1, number),
                    Quote(at_ns, at_ns, 1, 9, 1, 11, 1),
                ]
                writer.append(Draft(writer.seq + 1, 2, encode_inputs(events)), day)
        (segment,) = (root / "2024-12-05").glob("*.seg")
        plain = segment.read_bytes()
        yield b"pr" + plain
        yield b"pm" + plain
        seal_day(root / "2024-12-05", newest=True)
        (segment,) = (root / "2024-12-05").glob("*.seg.zst")
        sealed = segment.read_bytes()
        yield b"zr" + sealed
        yield b"zm" + sealed


def _market() -> Iterator[bytes]:
    for name in ("market-2026-11-20", "market-data", "refused-2026-11-20"):
        path = ROOT / "tests" / "frames" / "hyperliquid" / f"{name}.jsonl"
        yield from path.read_bytes().splitlines()
    yield _json({"channel": "trades", "data": [row(1), row(2, coin="ETH"), row(3)]})
    yield _json({"channel": "candle", "data": [_candle("BTC", 0)]})
    yield _json({"channel": "error", "data": 'Already subscribed: {"type":"trades","coin":"BTC"}'})
    yield _json({"channel": "allMids", "data": {"mids": {"BTC": "1.5", "@107": "2"}}})
    values = {"markPx": "1", "oraclePx": "1", "midPx": None, "funding": "-0.1", "openInterest": "5"}
    yield _json({"channel": "activeAssetCtx", "data": {"coin": "BTC", "ctx": values}})


def _candle(coin: str, number: int) -> dict[str, Any]:
    start = (START_MS // 60_000 + number) * 60_000
    prices = {"o": "10", "h": "12.5", "l": "9", "c": "11", "v": "0.5", "n": 3}
    return {"t": start, "T": start + 59_999, "s": coin, "i": "1m", **prices}


def _info() -> Iterator[bytes]:
    asset = {"name": "BTC", "szDecimals": 5, "maxLeverage": 40, "marginTableId": 56, "pxDecimals": 1}
    other = {"name": "ETH", "szDecimals": 4, "isDelisted": True}
    tiers = [{"lowerBound": "0.0", "maxLeverage": 40}, {"lowerBound": "150000000.0", "maxLeverage": 20}]
    tables = [[56, {"description": "tiered 40x", "marginTiers": tiers}]]
    yield b"m" + _json({"universe": [asset], "marginTables": tables})
    yield b"m" + _json({"universe": [asset, other], "marginTables": []})
    builders = {"universe": [{"name": "xyz:ABC", "szDecimals": 2, "maxLeverage": 10, "marginTableId": 1}]}
    yield b"d" + _json([{"universe": [asset]}, builders])
    tokens = [{"name": "USDC", "szDecimals": 8, "index": 0}, {"name": "UBTC", "szDecimals": 4, "index": 5}]
    pairs = [
        {"name": "@107", "index": 107, "tokens": [5, 0]},
        {"name": "PURR/USDC", "index": 0, "tokens": [5, 0]},
    ]
    yield b"s" + _json({"universe": pairs, "tokens": tokens})
    yield b"p" + _json([None, {"name": "xyz", "fullName": "XYZ"}])
    yield b"t" + _json({"time": START_MS, "specialStatuses": None, "speed": 60.0})
    yield b"r" + _json([row(2), row(1)])
    level = {"px": "10.5", "sz": "1", "n": 2}
    yield b"b" + _json({"coin": "BTC", "time": START_MS, "levels": [[level], [{**level, "px": "11"}]]})
    yield b"c" + _json([_candle("BTC", 0), _candle("BTC", 1)])
    yield b"f" + _json([{"coin": "BTC", "fundingRate": "0.0000125", "premium": "-0.0001", "time": START_MS}])


def _account() -> Iterator[bytes]:
    fill = {
        "coin": "BTC",
        "px": "10.5",
        "sz": "0.5",
        "side": "B",
        "time": START_MS,
        "oid": 7,
        "tid": 9,
        "crossed": True,
        "fee": "0.001",
        "feeToken": "USDC",
        "cloid": _CLOID,
        "dir": "Open Long",
        "startPosition": "0.0",
        "closedPnl": "0.0",
        "hash": "0x1",
    }
    liquidated = {**fill, "liquidation": {"liquidatedUser": _USER, "markPx": "10", "method": "market"}}
    order = {
        "coin": "BTC",
        "side": "B",
        "limitPx": "10.5",
        "sz": "0.5",
        "oid": 7,
        "timestamp": START_MS,
        "origSz": "1",
        "cloid": _CLOID,
        "children": [],
        "triggerCondition": "N/A",
    }
    update = {"order": order, "status": "canceled", "statusTimestamp": START_MS}
    paid = {"time": START_MS, "coin": "BTC", "usdc": "-0.1", "szi": "0.5", "fundingRate": "0.0001"}
    moved = {
        "time": START_MS,
        "hash": "0x1",
        "delta": {
            "type": "send",
            "user": _USER,
            "destination": _USER,
            "amount": "5.0",
            "fee": "1",
            "token": "USDC",
            "sourceDex": "spot",
            "destinationDex": "",
        },
    }
    withdrawn = {"time": START_MS, "hash": "0x2", "delta": {"type": "withdraw", "usdc": "5", "fee": "1.0"}}
    yield b"w" + _json({"channel": "userFills", "data": {"user": _USER, "fills": [fill], "isSnapshot": True}})
    yield b"w" + _json({"channel": "orderUpdates", "data": [update]})
    yield b"w" + _json({"channel": "user", "data": {"funding": paid}})
    liquidation = {
        "lid": 1,
        "liquidated_user": _USER,
        "liquidated_ntl_pos": "5",
        "liquidated_account_value": "1",
    }
    yield b"w" + _json({"channel": "user", "data": {"liquidation": liquidation}})
    yield b"w" + _json({"channel": "user", "data": {"nonUserCancel": [{"coin": "BTC", "oid": 7}]}})
    yield b"w" + _json(
        {"channel": "userNonFundingLedgerUpdates", "data": {"nonFundingLedgerUpdates": [moved, withdrawn]}}
    )
    posted = {
        "id": 1,
        "response": {"type": "action", "payload": {"status": "ok", "response": {"type": "order"}}},
    }
    yield b"w" + _json({"channel": "post", "data": posted})
    yield b"w" + _json({"channel": "error", "data": "429: Too many inflight posts id=1"})
    yield b"f" + _json([fill, liquidated])
    yield b"u" + _json([{"time": START_MS, "hash": "0x1", "delta": {"type": "funding", **paid}}])
    yield b"l" + _json([moved, withdrawn])
    yield b"o" + _json([order, {**order, "children": [order]}])
    yield b"q" + _json({"status": "order", "order": update})
    yield b"q" + _json({"status": "unknownOid"})
    position = {"coin": "BTC", "szi": "-0.5", "entryPx": "10.5", "unrealizedPnl": "1.5"}
    yield b"s" + _json(
        {
            "assetPositions": [{"position": position, "type": "oneWay"}],
            "marginSummary": {"accountValue": "1000.5"},
            "withdrawable": "900",
            "time": START_MS,
        }
    )


def _answers() -> Iterator[bytes]:
    statuses = [{"resting": {"oid": 7}}, {"filled": {"oid": 8, "totalSz": "0.5", "avgPx": "10"}}]
    yield b"2" + _json({"status": "ok", "response": {"type": "order", "data": {"statuses": statuses}}})
    odd = [{"error": "Order must have minimum value of $10. asset=0"}, "waitingForFill"]
    yield b"2" + _json({"status": "ok", "response": {"type": "order", "data": {"statuses": odd}}})
    yield b"2" + _json({"status": "ok", "response": {"type": "cancel", "data": {"statuses": ["success"]}}})
    yield b"2" + _json({"status": "ok", "response": {"type": "default"}})
    yield b"2" + _json({"status": "err", "response": "User or API Wallet does not exist. asset=5"})
    yield b"4{}"
    yield b"5<html>"
    yield b"9null"


def _imports() -> Iterator[bytes]:
    lines = [f"{1_642_204_800_000 + 250 * number},43000.{number},0.0{number + 1}" for number in range(9)]
    trades = "timestamp,price,quantity\n" + "\n".join(lines) + "\n"
    yield b"\x00\x00" + trades.encode()
    yield b"\x04\x00" + gzip.compress(trades.encode(), mtime=0)
    yield b"\x05\x00" + _zipped({"a-2022-01-15.csv": trades[:120], "a-2022-01-16.csv": trades[:30]})
    yield b"\x06\x00" + lzma.compress(trades.encode())
    yield b"\x07\x00" + zstandard.ZstdCompressor().compress(trades.encode())
    columns = {"time": [1_642_204_800_000, 1_642_204_800_250], "price": [43000.5, 43000.25], "size": [1, 2]}
    yield b"\x08\x00" + _parquet(columns)
    klines = "\n".join(
        f"{1_642_204_800_000 + 60_000 * n},1,3,1,2,5,{1_642_204_859_999 + 60_000 * n},9,4,2,4,0"
        for n in range(5)
    )
    yield b"\x00\x02" + klines.encode()
    yield b"\x00\x00time,open,high,low,close,volume\n2024-01-02T03:04:00Z,1,2,0.5,1.5,7\n"
    yield b"\x01\x00" + _json(
        [{"time": 1_642_204_800_000 + n, "price": "5.5", "size": "1"} for n in range(4)]
    )
    yield b"\x01\x04" + _json([[1_642_204_800_000 + 60_000 * n, 1, 3, 1, 2, 5.5] for n in range(4)])
    objects = (
        {"timestamp": 1_642_204_800_000 + n, "price": 5.5, "amount": 1, "side": "buy"} for n in range(4)
    )
    yield b"\x02\x00" + b"\n".join(_json(one) for one in objects)
    yield b"\x03\x03" + b"1642204800.1234,43000.1,0.5\n1642204801.1,43000.2,0.25\n"


def _zipped(members: dict[str, str]) -> bytes:
    target = io.BytesIO()
    with zipfile.ZipFile(target, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, text in members.items():
            archive.writestr(zipfile.ZipInfo(name), text)
    return target.getvalue()


def _parquet(columns: dict[str, list[Any]]) -> bytes:
    target = io.BytesIO()
    pyarrow.parquet.write_table(pyarrow.table(columns), target)
    return target.getvalue()


def _config() -> Iterator[bytes]:
    every_key = engine("config").out.splitlines()
    yield "\n".join(line for line in every_key if line and not line.startswith("#")).encode()
    yield (
        b"mode = 'live'\n[venue]\nnetwork = 'testnet'\naccount = '" + _USER.encode() + b"'\nkey_file = 'k'\n"
    )
    yield b"[[strategies]]\nuse = 'a:B'\nparams = { x = 1, y = 'z' }\ninstruments = ['BTC']\n"


def _recorded_config() -> Iterator[bytes]:
    yield msgspec.json.encode(Config())
    strategy = StrategyConfig(use="a:B", params={"x": 1})
    yield msgspec.json.encode(Config(strategies=(strategy,), instruments=("BTC",)))


def _json(value: Any) -> bytes:
    return json.dumps(value, separators=(",", ":")).encode()


SEEDS = {
    **more_seeds.SEEDS,
    "frames": _frames,
    "segments": _segments,
    "market": _market,
    "info": _info,
    "account": _account,
    "answers": _answers,
    "imports": _imports,
    "config": _config,
    "recorded-config": _recorded_config,
}


def main() -> None:
    """Write the corpora."""
    for target, made in SEEDS.items():
        folder = CORPUS / target
        folder.mkdir(parents=True, exist_ok=True)
        for path in folder.glob("seed-*.bin"):
            path.unlink()
        for number, data in enumerate(made()):
            (folder / f"seed-{number:02d}.bin").write_bytes(data)


if __name__ == "__main__":
    main()
