"""Streams of records as a session could write them, and frames around them, for the tests of this folder."""

from __future__ import annotations

import contextlib
import hashlib
import sqlite3
import subprocess
import sys
import textwrap
from collections.abc import Iterator, Sequence
from pathlib import Path

from hypothesis import strategies as st

from engine.events import (
    ActorFailed,
    ActorRestarted,
    BarClosed,
    CancelOrder,
    ClockJumped,
    EdgeChanged,
    EngineHalted,
    EquityMarked,
    Event,
    FeedDamaged,
    FeedDown,
    FeedGap,
    FeedUp,
    FillBooked,
    InstrumentListed,
    OperatorCommand,
    OrderAccepted,
    OrderCanceled,
    OrderChanged,
    OrderFilled,
    OrderRefused,
    OrderRejected,
    OrderTerms,
    OrderUnknown,
    PositionChanged,
    PriceMarked,
    SessionStarted,
    SessionStopped,
    SignalRaised,
    SubmitOrder,
    TailRepaired,
    TargetSet,
    TimerFired,
    Trade,
)
from engine.events.codec import Record, encode_derived, encode_inputs
from engine.journal.frame import ZERO_DIGEST, Draft, Frame, chained_digest
from engine.stores.sqlite.reading import dump_rows
from engine.stores.sqlite.store import SqliteStore
from engine.stores.writer import StoreWriter

JOURNAL_ID = bytes(range(16))
START_NS = 1_733_356_800_000_000_000  # 2024-12-05T00:00:00Z
MINUTE_NS = 60_000_000_000
T = START_NS
ORDER = f"0x{5:032x}"

BTC = InstrumentListed(START_NS, 1, "hyperliquid", "BTC", 2, 5)
KPEPE = InstrumentListed(START_NS, 2, "hyperliquid", "kPEPE", 6, 0)

KINDS = (
    *("bar", "bar", "fill", "fill", "fill", "booked", "booked", "submit", "submit", "accept"),
    *("change", "cancel", "canceled", "reject", "unknown", "position", "equity", "trade"),
    *("signal", "target", "mark", "refuse", "relist", "up", "down", "gap", "damaged", "start", "stop"),
    *("fail", "halt", "repair", "edge", "jumped", "operator", "restart", "timer"),
)

ops = st.tuples(
    st.sampled_from(KINDS),
    st.integers(0, 3),
    st.integers(1, 10**12),
    st.sampled_from(["", "late", "x\x00'; --"]),
)


def booked(
    at_ns: int, price: int, size: int, fee: int | str, trade_id: int, liquidity: str = "taker", finer: int = 0
) -> FillBooked:
    """Return a fill of the order `ORDER` of the strategy "ema", which buys BTC."""
    return FillBooked(
        at_ns,
        "ema",
        1,
        1,
        price,
        size,
        fee,
        finer,
        ORDER,
        trade_id,
        liquidity,
        "open",
        "own",
        venue_ns=at_ns,
    )


def event_of(kind: str, pick: int, number: int, text: str, at: int) -> Event:
    """One event; `pick` chooses among a few orders, instruments and sessions, `number` is every amount."""
    which = pick % 3 + 1  # instrument 3 is never listed
    order, strategy, side = f"0x{pick:032x}", f"ema{pick % 2}", 1 - 2 * (pick % 2)
    match kind:
        case "bar":
            start = START_NS + pick * MINUTE_NS
            wide = number if pick else str(number * 10**12)
            return BarClosed(
                at, which, MINUTE_NS, start, number, number + 9, 1, 7, wide, 3, "trade", number % 3
            )
        case "submit":
            terms = OrderTerms(
                side,
                number,
                number * (pick % 2),
                role="open" if number % 2 else "",
                bound=number,
                handle=text,
            )
            return SubmitOrder(at, order, strategy, which, terms, reason=text)
        case "booked":
            role = "open" if number % 3 else "close"
            size, fee = number % 97 + 1, str(number * 10**9)
            return FillBooked(
                at, strategy, which, side, number, size, fee, pick, order, number % 5, "taker", role, "stop"
            )
        case "accept":
            return OrderAccepted(at, at, order, number * 10**7)
        case "fill":
            return OrderFilled(
                at, at, order, which, side, number, number % 97 + 1, -number, "maker", number % 5
            )
        case "change":
            return OrderChanged(at, order, strategy, which, "PartiallyFilled", number % 97, number)
        case "cancel":
            return CancelOrder(at, order, which, text)
        case "canceled":
            return OrderCanceled(at, at, order, which, number, text)
        case "reject":
            return OrderRejected(at, at, order, text)
        case "unknown":
            return OrderUnknown(at, order, text)
        case "position":
            return PositionChanged(at, strategy, which, side * (number % 5), str(number * 10**9), -number, 1)
        case "equity":
            return EquityMarked(at, 7, number, -number, 3, str(number * 10**10))
        case "trade":
            return Trade(at, at - 1, which, number, number, side, text)
        case "signal":
            return SignalRaised(at, strategy, which, text, number / 7)
        case "target":
            return TargetSet(at, strategy, which, -number, text)
        case "mark":
            return PriceMarked(at, which, number)
        case "refuse":
            return OrderRefused(at, 1, strategy, which, side, number, "max_position", text)
        case "relist":
            return InstrumentListed(at, which % 2 + 1, "hyperliquid", f"new{pick}", pick, pick + 1)
        case "up":
            return FeedUp(at, "hyperliquid", 4, pick)
        case "down":
            return FeedDown(at, "hyperliquid", text, number)
        case "gap":
            return FeedGap(at, "hyperliquid", which, at - 5, at)
        case "damaged":
            return FeedDamaged(at, "hyperliquid", "trades", which * (number % 2), text, number, True, text)
        case "start":
            strategies = ((strategy, "mine:Ema", "abc"),)
            return SessionStarted(at, f"{pick:016x}", "paper", "0.1.0", "s", "c", strategies, text)
        case "stop":
            return SessionStopped(at, f"{pick:016x}", text)
        case "fail":
            return ActorFailed(at, strategy, 1, text, "halt")
        case "halt":
            return EngineHalted(at, text)
        case "repair":
            return TailRepaired(at, "a.seg", 1, 2, "damaged/a")
        case "edge":
            return EdgeChanged(at, "hyperliquid", "running", text, pick)
        case "jumped":
            return ClockJumped(at, at - number, at, "paused")
        case "operator":
            return OperatorCommand(at, "restart", strategy, text)
        case "restart":
            return ActorRestarted(at, strategy, number)
        case _:
            return TimerFired(at, strategy, text)


@st.composite
def record_streams(draw: st.DrawFn, *, size_max: int = 40) -> list[Record]:
    """Draw the records of a journal, from seq 1 on."""
    drawn = draw(st.lists(ops, max_size=size_max))
    records: list[Record] = [(1, 0, BTC), (2, 0, KPEPE)]
    for seq, (kind, pick, number, text) in enumerate(drawn, 3):
        derived = bool(number % 2)
        records.append((seq, seq - 1 if derived else 0, event_of(kind, pick, number, text, START_NS + seq)))
    return records


def digest_at(seq: int) -> bytes:
    """A digest for tests that need one, but no frames."""
    return hashlib.blake2b(str(seq).encode(), digest_size=32).digest()


def apply_all(writer: StoreWriter, records: Sequence[Record]) -> int:
    """Apply records as one batch."""
    return writer.apply(records, seq=records[-1][0], digest=digest_at(records[-1][0]))


def frames_of(records: Sequence[Record], size: int) -> list[Frame]:
    """Frames of at most `size` records, chained as the journal chains them."""
    frames = []
    digest = ZERO_DIGEST
    for at in range(0, len(records), size):
        part = records[at : at + size]
        draft = Draft(
            part[0][0],
            len(part),
            encode_inputs([event for _, cause, event in part if not cause]),
            encode_derived([record for record in part if record[1]]),
        )
        digest = chained_digest(digest, draft)
        frames.append(
            Frame(draft.first_seq, draft.count, 0, draft.inputs, draft.derived, digest, "memory", 0)
        )
    return frames


class FakeDay:
    """The frames of a day as a journal reader gives them."""

    def __init__(self, frames: Sequence[Frame], journal_id: bytes = JOURNAL_ID) -> None:
        self.frames = frames
        self.journal_id = journal_id

    def __iter__(self) -> Iterator[Frame]:
        yield from self.frames


def reader_of(days: dict[str, Sequence[Frame]], journal_id: bytes = JOURNAL_ID):
    """A `read` for `rebuild` that knows days by folder name."""

    def read(path: Path) -> FakeDay:
        return FakeDay(days[path.name], journal_id)

    return read


def opened(path: Path, **options) -> StoreWriter:
    """The writer of the tests' journal to a database; it does not wait long for a lock."""
    options.setdefault("busy_s", 0.05)
    return StoreWriter(SqliteStore(path, **options), JOURNAL_ID).__enter__()


def rows(path: Path, sql: str) -> list[tuple]:
    """Query as users do: a plain connection, plain SQL."""
    with contextlib.closing(sqlite3.connect(path)) as conn:
        found = conn.execute(sql).fetchall()
        conn.commit()
        return found


def dumped(path: Path) -> list:
    """Every row of every table."""
    return list(dump_rows(path))


def life_of_an_order() -> list[Record]:
    """A small day: a bar, an order, two fills, the account."""
    return [
        (1, 0, BTC),
        (2, 0, Trade(T + 1, T, 1, 4305997, 50_000, 1, 77)),
        (3, 2, BarClosed(T + 2, 1, MINUTE_NS, T, 4305997, 4306000, 4305990, 4305998, 150_000, 3, "trade")),
        (4, 3, SubmitOrder(T + 2, ORDER, "ema", 1, OrderTerms(1, 200_000, 4306000, role="open"))),
        (5, 0, booked(T + 3, 4305997, 100_000, 12_000, 1)),
        (6, 0, booked(T + 4, 4305999, 100_000, 12_000, 2, "maker")),
        (7, 6, EquityMarked(T + 4, 2, 0, 150, 20, 1_000_130)),
    ]


def filled_before_and_after() -> list[Record]:
    """An order of an earlier version: one fill is reported, one booked too, one booked; each comes twice."""

    def reported(seq: int, trade_id: int) -> Record:
        return seq, 0, OrderFilled(T + seq, T, ORDER, 1, 1, 4305997, 100_000, 12_000, "taker", trade_id)

    return [
        (1, 0, BTC),
        (2, 0, SubmitOrder(T, ORDER, "ema", 1, OrderTerms(1, 300_000, 4306000))),
        reported(3, 1),
        reported(4, 2),
        (5, 4, booked(T + 4, 4305997, 40_000, 4_000, 2)),
        (6, 4, booked(T + 4, 4305997, 60_000, 8_000, 2)),
        reported(7, 1),
        reported(8, 2),
        (9, 0, booked(T + 9, 4305997, 100_000, 12_000, 3)),
        reported(10, 3),
    ]


def corrected_in_one_batch() -> list[Record]:
    """A bar and a correction of it that comes before an older one: the newest revision counts."""
    newer, older = (
        BarClosed(T + number, 1, MINUTE_NS, START_NS, 1, 10, 1, 7, 1, 3, "trade", revision)
        for number, revision in ((2, 2), (3, 1))
    )
    return [(1, 0, BTC), (2, 0, newer), (3, 2, older)]


def run_apart(code: str, path: Path) -> int:
    """Run code in a process of its own, with this module's names; `path` is argv[1]. Return its exit code."""
    before = """
        import os, sys
        from pathlib import Path
        from engine.stores.errors import StoreUnavailable
        from tests.stores.record_streams import *
    """
    script = textwrap.dedent(before) + textwrap.dedent(code)
    root = Path(__file__).resolve().parents[2]
    command = [sys.executable, "-c", script, str(path)]
    done = subprocess.run(command, cwd=root, check=False, timeout=300, capture_output=True, text=True)
    assert not done.stderr, done.stderr
    return done.returncode
