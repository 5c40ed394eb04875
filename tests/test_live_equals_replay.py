"""The main promise of the project: a traded day replays identical from its journal (I4, R01)."""

from __future__ import annotations

import tempfile
from pathlib import Path
from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from engine.clock import SECOND_NS
from engine.config import Config, StrategyConfig
from engine.events import Event, OperatorCommand, SessionStopped
from engine.journal import JournalWriter, Tail, ensure_identity, list_days, recover
from engine.records import JournalHistory, open_day, read_records
from engine.sequencer import Sequencer
from replay.backtesting import JournalSink
from replay.verification import replay_day
from tests.profiles import examples
from tests.replay.kit import EVE, JOURNAL_ID, NOON, batches, config_of, market, markets, opening, use
from tests.strategies.fakes import builder

LATER = EVE + 1000 * SECOND_NS

failures = st.sampled_from(["halt", "quarantine"])
busy = st.builds(
    lambda every, size, wait, fail, policy: use(
        "Busy",
        params={"every": every, "size": size, "wait_ms": wait, "fail_at": fail},
        on_failure=policy,
    ),
    st.integers(1, 4),
    st.sampled_from(["0.5", "0.0001", "3", "250000"]),
    st.sampled_from([60, 300, 5000]),
    st.sampled_from([0, 0, 0, 7, 30]),
    failures,
)


def crossing(intervals: tuple[str, ...]) -> st.SearchStrategy[StrategyConfig]:
    return st.builds(
        lambda fast, slow, interval, notional: use(
            "Crossover",
            params={"fast": fast, "slow": fast + slow, "interval": interval, "notional": notional},
        ),
        st.integers(1, 3),
        st.integers(1, 3),
        st.sampled_from([one for one in intervals if one in ("1s", "5s")]),
        st.sampled_from(["10", "5000"]),
    )


averages = st.builds(
    lambda second, policy: use("Averages", params={"fail_at": second}, on_failure=policy),
    st.sampled_from([-1, 2, 55]),
    failures,
)
gambling = st.builds(
    lambda share, policy: use("Gambler", params={"share": share}, on_failure=policy),
    st.sampled_from([0.1, 0.9]),
    failures,
)
careful = st.builds(lambda policy: use("Careful", on_failure=policy), failures)


@st.composite
def configs(draw: st.DrawFn) -> Config:
    intervals = draw(st.sampled_from([("1s",), ("5s", "15s"), ("1s", "5s", "1m")]))
    kinds = busy | crossing(intervals) | averages | careful | gambling
    entries: list[StrategyConfig] = draw(st.lists(kinds, min_size=1, max_size=3))
    named = [
        StrategyConfig(
            entry.use, f"{entry.title}{number}", entry.params, draw(entry_markets), entry.on_failure
        )
        for number, entry in enumerate(entries)
    ]
    return config_of(
        *named,
        intervals=intervals,
        close=draw(st.sampled_from(["grace", "trade"])),
        activity=draw(st.sampled_from([(), ("tick:3", "volume:1.5", "value:20@AAA", "imbalance:1")])),
        latency_ms=draw(st.sampled_from([0, 40, 1500])),
        slippage_bps=draw(st.sampled_from([0, 1, 250])),
        fill_on_touch=draw(st.booleans()),
    )


entry_markets = st.sampled_from([(), ("AAA",), ("BBB", "AAA")])


def with_operator(draw: st.DrawFn, inputs: list[Event]) -> list[Event]:
    """Insert operator commands at random places."""
    for command, target in draw(
        st.lists(
            st.tuples(
                st.sampled_from(["restart", "restart", "halt", "resume", "stop"]),
                st.sampled_from(["Busy0", "Averages0", "Busy1", "aggregator", "unknown"]),
            ),
            max_size=3,
        )
    ):
        at = draw(st.integers(3, len(inputs)))
        inputs.insert(at, OperatorCommand(inputs[at - 1].recv_ns, command, target))  # type: ignore[attr-defined]
    return inputs


@st.composite
def sessions(draw: st.DrawFn, *starts_ns: int) -> list[list[Event]]:
    """Draw the inputs of one or two sessions of one journal, in batches."""
    at_ns = draw(st.sampled_from(starts_ns))
    config = draw(configs())
    inputs = with_operator(draw, opening(config, at_ns) + market(draw(markets), at_ns))
    if draw(st.booleans()):
        end: int = max(event.recv_ns for event in inputs)  # type: ignore[attr-defined]
        if draw(st.booleans()):
            inputs.append(SessionStopped(end, "00000000000000aa", "test"))
        begin = end + draw(st.sampled_from([1, 1000, 90_000])) * 1_000_000
        other = draw(st.sampled_from([config, draw(configs())]))
        inputs += with_operator(
            draw, opening(other, begin, "00000000000000bb") + market(draw(markets), begin)
        )
    cuts = draw(st.lists(st.integers(1, max(2, len(inputs))), max_size=10))
    return batches(inputs, cuts)


def trade(root: Path, sequence: list[list[Event]]) -> str:
    """Run batches into a journal, each on disk before the next. Return the final digest."""
    tail = Tail(journal_id=ensure_identity(root, JOURNAL_ID))
    sink = JournalSink(JournalWriter(root, tail, salts=lambda: b"s" * 16, sync=False))
    sequencer = Sequencer(builder(), sink, JournalHistory(root))
    for batch in sequence:
        sequencer.run(batch)
    sink.close()
    return sink.digest.hex()


def assert_replays_identical(root: Path, digest: str) -> None:
    last = ""
    for day in list_days(root):
        report, _ = replay_day(open_day(day.path), builder(), history=JournalHistory(root))
        assert report.identical, (day.path.name, report.divergence)
        last = report.digest
    assert last == digest


@examples(1.2)
@given(sessions(NOON, EVE))
def test_i4_traded_days_replay_identical(sequence: Any) -> None:
    with tempfile.TemporaryDirectory() as folder:
        root = Path(folder) / "journal"
        root.mkdir()
        assert_replays_identical(root, trade(root, sequence))


@examples(0.4)
@given(sessions(EVE), sessions(LATER, LATER + 600 * SECOND_NS))
def test_i4_a_resumed_journal_replays_identical(sequence: Any, more: Any) -> None:
    """As a second process does: recover, follow the newest day, open a session, continue."""
    with tempfile.TemporaryDirectory() as folder:
        root = Path(folder) / "journal"
        root.mkdir()
        trade(root, sequence)
        recovered = recover(root)
        sink = JournalSink(JournalWriter(root, recovered.tail, salts=lambda: b"u" * 16, sync=False))
        sink.digest = recovered.tail.digest
        sequencer = Sequencer(builder(), sink, JournalHistory(root))
        sequencer.follow(read_records(list_days(root)[-1].path))
        sink.day = list_days(root)[-1].path.name
        assert sequencer.seq == recovered.end_seq
        for batch in more:
            sequencer.run(batch)
        sink.close()
        assert_replays_identical(root, sink.digest.hex())
