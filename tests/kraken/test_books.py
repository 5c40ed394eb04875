"""Kraken's books: the checksum finds a missing change, a snapshot mends it, and one pair touches no other."""

from __future__ import annotations

from zlib import crc32

import msgspec
import pytest

from adapters.kraken.decode import checksum, verify
from adapters.transport.levels import OrderBook
from adapters.transport.sequence import UNNUMBERED, Diff, Snapshot
from adapters.transport.synced import SyncedBook
from engine.events import InstrumentListed
from engine.values import parse_scaled
from tests.kraken.payloads import pair, parsed

XMR = pair("XMR/USD", price_scale=8)
S = 1_000_000_000


def levels(rows: list[list[str]], listed: InstrumentListed) -> list[tuple[int, int]]:
    return [
        (parse_scaled(row[0], listed.price_scale), parse_scaled(row[1], listed.size_scale)) for row in rows
    ]


def recorded() -> tuple[Snapshot, list[Diff]]:
    """Return a recorded snapshot and its 40 changes."""
    found = parsed("rec_v1_book_xmrusd_checksum")
    first = found["snapshot"][1]
    diffs = [
        Diff(
            0,
            0,
            levels(one[1].get("b", []), XMR),
            levels(one[1].get("a", []), XMR),
            S,
            None,
            int(one[1]["c"]),
        )
        for one in found["updates"]
    ]
    return Snapshot(0, levels(first["bs"], XMR), levels(first["as"], XMR), S), diffs


def book_of(depth: int = 1000) -> SyncedBook:
    return SyncedBook(XMR, UNNUMBERED, pulled=False, depth=depth, verify=verify)


def test_the_recorded_changes_keep_the_book_in_step() -> None:
    snapshot, diffs = recorded()
    book = book_of()
    assert book.take_snapshot(snapshot) == ""
    assert [book.take_diff(diff) for diff in diffs] == [""] * 40
    assert book.state == "good"


def test_a_missing_change_of_the_best_levels_is_found_and_a_snapshot_mends_it() -> None:
    snapshot, diffs = recorded()
    changing = [n for n in range(1, 40) if diffs[n].check != diffs[n - 1].check]
    found = 0
    for lost in changing:
        book = book_of()
        book.take_snapshot(snapshot)
        reasons = [book.take_diff(diff) for number, diff in enumerate(diffs) if number != lost]
        broken = [reason for reason in reasons if reason]
        if broken:  # else the next change set the same level again
            assert broken[0].startswith("the checksum does not match")
            assert book.state == "syncing"
            assert book.read(2 * S) is None
            found += 1
        whole = OrderBook(1000)
        whole.replace(snapshot.bids, snapshot.asks)
        for diff in diffs:
            whole.apply(diff.bids, diff.asks)
        bids, asks = ([(price, size) for price, size, _ in side] for side in whole.top(1000))
        assert book.take_snapshot(Snapshot(0, bids, asks, S, True, checksum(whole))) == ""
        assert book.state == "good"
    assert found > 10


def test_levels_beyond_the_depth_are_dropped_without_a_message() -> None:
    """The venue sends no removal of a level that falls out; it sends the level again if it comes back."""
    book = SyncedBook(pair(), UNNUMBERED, pulled=False, depth=10, verify=verify)
    bids = [(1000 - number, 5) for number in range(10)]
    asks = [(1001 + number, 5) for number in range(10)]
    book.take_snapshot(Snapshot(0, bids, asks, S))
    truth = OrderBook()
    truth.replace([(1000, 7), *bids[1:]], asks)
    assert book.take_diff(Diff(0, 0, [(1000, 7)], [], S, None, checksum(truth))) == ""
    read = book.read(10 * S)
    assert read is not None
    assert len(read.bids) == len(read.asks) == 10


def test_a_pair_whose_checksum_never_matches_is_unverified_after_three_tries_and_then_used() -> None:
    snapshot, diffs = recorded()
    wrong = msgspec.structs.replace(XMR, price_scale=7)
    book = SyncedBook(wrong, UNNUMBERED, pulled=False, depth=1000, verify=lambda *_: False)
    other = book_of()
    other.take_snapshot(snapshot)
    checked = snapshot._replace(check=1)
    reasons = [book.take_snapshot(checked) for _ in range(3)]
    assert [bool(reason) for reason in reasons] == [True, True, False]
    assert "unverified" in book.take_notice()
    assert book.state == "unverified"
    assert book.take_diff(diffs[0]) == ""
    assert book.read(10 * S) is not None
    assert other.state == "good"
    assert other.take_diff(diffs[0]) == ""


@pytest.mark.parametrize("size", [1, 50, 12_345_678])
def test_the_checksum_has_no_point_and_no_leading_zeros(size: int) -> None:
    """0.00000050 is 50, which a number in exponent form would not be."""
    book = OrderBook()
    book.replace([(645, size)], [])
    assert checksum(book) == crc32(f"645{size}".encode())
