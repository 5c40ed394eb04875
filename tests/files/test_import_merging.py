"""What two files of one instrument have counts once; what they contradict each other in is refused."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from adapters.files.streams import NEVER, FileSource, InstrumentStream
from engine.errors import UsageError
from engine.events import InstrumentListed, Trade

LISTED = InstrumentListed(0, 1, "binance", "BTC", 0, 0, ids="sequence")


def trade(at_ns: int, price: int, trade_id: int = 0, size: int = 1) -> Trade:
    return Trade(at_ns, at_ns, 1, price, size, 0, trade_id)


def merged(*files: Sequence[Trade]) -> list[Trade]:
    """Return the events of files as the import takes them."""
    opened: list[int] = []

    def source(at: int, trades: Sequence[Trade]) -> FileSource:
        def read() -> Iterator[Trade]:
            opened.append(at)
            yield from trades

        return FileSource(f"file {at}", trades[0].recv_ns, read)

    stream = InstrumentStream(LISTED, [source(at, file) for at, file in enumerate(files) if file])
    found = [event for event in stream.run(NEVER) if isinstance(event, Trade)]
    assert len(opened) == len(set(opened))
    assert stream.count == len(found)
    assert stream.count + stream.repeated == sum(map(len, files))
    return found


@st.composite
def rows(draw: st.DrawFn, *, ids: bool) -> list[Trade]:
    """Trades, several of them at one time. Those without ids differ, so that each has its place."""
    steps = draw(st.lists(st.integers(0, 2), min_size=2, max_size=16))
    found, ns = [], 0
    for number, step in enumerate(steps, 1):
        ns += step
        found.append(trade(ns, number, number if ids else 0))
    return found


@given(st.data(), st.booleans())
def test_two_parts_of_one_file_give_what_both_have_once(data: st.DataObject, ids: bool) -> None:
    whole = data.draw(rows(ids=ids))
    cuts = [data.draw(st.integers(0, len(whole))) for _ in range(4)]
    one, two = whole[min(cuts[:2]) : max(cuts[:2])], whole[min(cuts[2:]) : max(cuts[2:])]
    assume(one and two)
    begin = [{each.price for each in part if each.recv_ns == part[0].recv_ns} for part in (one, two)]
    # Two files without ids that both begin in the middle of one time stamp do not say which comes first.
    assume(ids or one[0].recv_ns != two[0].recv_ns or begin[0] <= begin[1] or begin[1] <= begin[0])
    expected = [each for each in whole if each in one or each in two]
    assert merged(one, two) == merged(two, one) == expected


@given(st.data())
def test_three_parts_that_follow_each_other_may_come_in_two_files(data: st.DataObject) -> None:
    """The middle one lies between two trades of the other file."""
    whole = data.draw(rows(ids=False))
    first, last = sorted((data.draw(st.integers(0, len(whole))), data.draw(st.integers(0, len(whole)))))
    inner, outer = whole[first:last], whole[:first] + whole[last:]
    times = {each.recv_ns for each in outer}
    assume(inner and outer and not any(each.recv_ns in times for each in inner))
    assert merged(inner, outer) == merged(outer, inner) == whole


@given(st.data())
def test_a_trade_that_one_of_two_overlapping_files_lacks_is_a_contradiction(data: st.DataObject) -> None:
    """Without ids: inside the overlap one file lacks a time stamp, or has another price there."""
    times = range(1, data.draw(st.integers(5, 12)))
    whole = [trade(ns, 100 + ns) for ns in times]
    inside = data.draw(st.integers(1, len(whole) - 2))
    changed = list(whole)
    if data.draw(st.booleans()):
        changed[inside] = trade(whole[inside].recv_ns, 7)
    else:
        del changed[inside]
    with pytest.raises(UsageError, match=r"BTC: file . and file . overlap in time.*import one of them"):
        merged(whole, changed)


def test_identical_trades_without_ids_at_one_time_are_kept_as_often_as_one_file_has_them() -> None:
    twice = [trade(1, 5), trade(2, 6), trade(2, 6), trade(3, 7)]
    assert merged(twice) == twice
    assert merged(twice, twice) == twice
    # A file that was cut in the middle of a time stamp.
    assert merged(twice[:2], twice[1:]) == twice


def test_at_a_shared_time_stamp_the_file_that_was_alone_before_comes_first() -> None:
    outer, inner = [trade(1, 1), trade(5, 9)], [trade(3, 4), trade(5, 8)]
    expected = [trade(1, 1), trade(3, 4), trade(5, 8), trade(5, 9)]
    assert merged(outer, inner) == merged(inner, outer) == expected
    # Both begin in the same time stamp; the one that has more of it shows the order.
    assert merged([trade(1, 2), trade(2, 3)], [trade(1, 1), trade(1, 2)])[:2] == [trade(1, 1), trade(1, 2)]


@pytest.mark.parametrize(
    ("one", "two", "reason"),
    [
        ([trade(1, 5, 1), trade(2, 6, 2)], [trade(2, 7, 2)], "have different trades with id 2"),
        # Ids of trades and of aggregated trades.
        (
            [trade(1, 5, 101), trade(3, 6, 105)],
            [trade(2, 5, 11), trade(3, 6, 12)],
            "ids that do not count up together: 11 comes after 101",
        ),
        # One with ids and one without.
        (
            [trade(1, 5, 1), trade(2, 6, 2), trade(3, 7, 3)],
            [trade(1, 5), trade(2, 9), trade(3, 7)],
            "do not have the same trades",
        ),
    ],
)
def test_a_contradiction_names_both_and_the_time(one: list[Trade], two: list[Trade], reason: str) -> None:
    with pytest.raises(UsageError, match=rf"BTC: file [01] and file [01] .*{reason}.*1970-01-01T00:00:00"):
        merged(one, two)


def test_files_that_do_not_overlap_are_open_one_at_a_time() -> None:
    reading: set[int] = set()
    most = 0

    def source(at: int) -> FileSource:
        def read() -> Iterator[Trade]:
            nonlocal most
            reading.add(at)
            most = max(most, len(reading))
            yield from (trade(ns, 1) for ns in range(at * 10, at * 10 + 9))
            reading.discard(at)

        return FileSource(str(at), at * 10, read)

    stream = InstrumentStream(LISTED, [source(at) for at in (3, 1, 0, 2)])
    assert [event.recv_ns for event in stream.run(NEVER)] == [
        at * 10 + ns for at in range(4) for ns in range(9)
    ]
    assert most == 1
