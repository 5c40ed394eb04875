"""Trades whose ids count up by one: what proves that none is missing, and where one is."""

from __future__ import annotations

from itertools import pairwise

from hypothesis import given
from hypothesis import strategies as st

from adapters.transport.health import FeedHealth
from adapters.transport.numbered import Missing, follows, split, whole
from adapters.transport.trades import LastTrade, TradeMemory
from engine.events import Trade
from engine.values import BUY


def trade(number: int) -> Trade:
    return Trade(number, 1000 * number, 1, 5, 5, BUY, number)


def ids(pieces: list[list[Trade]]) -> list[list[int]]:
    return [[int(one.trade_id) for one in piece] for piece in pieces]


def memory(*known: int) -> TradeMemory:
    found = TradeMemory(FeedHealth(), 0)
    found.take([trade(number) for number in known])
    return found


def test_a_piece_proves_that_nothing_is_missing_if_it_reaches_the_known_trade_or_the_next() -> None:
    known = memory(5, 6, 7)
    assert follows(known, [trade(8), trade(9)])
    assert follows(known, [trade(6), trade(7)])
    assert not follows(known, [trade(9)])
    assert not follows(known, [trade(5), trade(6)])  # older ones alone prove nothing
    assert follows(known, [trade(6), trade(7)], (5000, 5))
    assert not follows(known, [trade(7)], (5000, 5))
    assert not follows(known, [])


def test_a_live_message_is_split_where_ids_are_missing_and_says_which() -> None:
    pieces, missing = split([[trade(8), trade(10), trade(11)]], memory(5, 6))
    assert ids(pieces) == [[], [8], [10, 11]]
    assert missing == [Missing(6, 8), Missing(8, 10)]
    assert str(missing[0]) == "trades between 6 and 8 are missing"
    assert split([[trade(6), trade(7)]], memory(5, 6)) == ([[trade(6), trade(7)]], [])


def test_what_follows_a_loss_is_split_but_reported_by_its_gap() -> None:
    known = TradeMemory(FeedHealth(), 0, LastTrade(5000, (5,)))
    pieces, missing = split([[trade(9), trade(11)]], known)
    assert (ids(pieces), missing) == ([[9], [11]], [])


@given(st.sets(st.integers(1, 40)), st.integers(1, 5))
def test_pieces_joined_by_ids_hold_each_trade_once_and_break_exactly_where_one_is_missing(
    numbers: set[int], count: int
) -> None:
    shuffled = sorted(numbers, key=lambda number: (number * 7919) % 41)
    pieces = [[trade(number) for number in shuffled[at::count]] for at in range(count)]
    joined = ids(whole(pieces + pieces[:1]))
    assert [number for piece in joined for number in piece] == sorted(numbers)
    for piece in joined:
        assert piece == list(range(piece[0], piece[0] + len(piece))) if piece else not numbers
    for before, after in pairwise(joined):
        assert after[0] > before[-1] + 1
