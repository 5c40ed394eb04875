"""Sessions with `[simulated]` replay; latencies of the feed, and those of a recorded session."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec.structs import replace

from engine.actors import SimulatedVenue
from engine.clock import SECOND_NS
from engine.config import AccountConfig, Config, PaperConfig, SimulatedConfig
from engine.config.latency import Latency, parse_latency
from engine.errors import ConfigError, UsageError
from engine.events import (
    Event,
    OrderAccepted,
    OrderFilled,
    OrderRejected,
    SessionStarted,
    SubmitOrder,
    Trade,
)
from engine.records import read_records
from replay.backtesting import DigestSink, run_backtest
from replay.delays import delayed
from replay.measuring import Answered, answers_of, refusals_of, with_recorded
from tests.profiles import examples
from tests.replay.kit import (
    EVE,
    NOON,
    Memory,
    assert_replays_alone,
    config_of,
    market,
    markets,
    opening,
    run,
    steady,
    stopped,
    use,
    write_journal,
)
from tests.strategies.fakes import builder

GOLDEN = Path(__file__).resolve().parents[1] / "golden" / "real-orders"

simulated = st.builds(
    SimulatedConfig,
    order_ms=st.sampled_from(["0", "30", "uniform 5 400", "exponential 5 90", "quantiles 1 2 900"]),
    answer_ms=st.sampled_from(["0", "20", "uniform 1 700"]),
    queue=st.sampled_from(["back", "power 2", "log2", "through"]),
    beyond_bps=st.sampled_from(["", "10"]),
    fee_tiers=st.sampled_from([(), ("0 0.0005 0.0002", "100 0.0004 -0.0001")]),
)


def configured(section: SimulatedConfig | None = None, every: int = 2) -> Config:
    config = config_of(use("Busy", params={"every": every}))
    return config if section is None else replace(config, simulated=section)


def events_of(memory: Memory, *types: type[Event]) -> list[Any]:
    return [event for _, _, event in memory.all() if isinstance(event, types)]


@given(markets, simulated, st.sampled_from([NOON, EVE]), st.lists(st.integers(1, 60), max_size=3))
@examples(0.6)
def test_a_session_with_latencies_and_queues_replays_also_across_midnight(
    plan: Any, section: SimulatedConfig, at_ns: int, cuts: list[int]
) -> None:
    inputs = [*opening(configured(section), at_ns), *market(plan, at_ns), stopped(at_ns + 1000 * SECOND_NS)]
    memory = run(inputs, cuts)
    assert run(inputs).all() == memory.all()
    for day in memory.days:
        assert_replays_alone(memory, day)


def test_latencies_and_answers_are_kept_in_the_records() -> None:
    section = SimulatedConfig(order_ms="uniform 20 60", answer_ms="30")
    inputs = [*opening(configured(section), NOON), *steady(300, NOON), stopped(NOON + 100 * SECOND_NS)]
    memory = run(inputs)
    sent = {one.client_order_id: one.at_ns for one in events_of(memory, SubmitOrder)}
    accepted = {one.client_order_id: one for one in events_of(memory, OrderAccepted)}
    latencies = {one.venue_ns - sent[name] for name, one in accepted.items()}
    assert all(20_000_000 <= one < 60_000_000 for one in latencies)
    assert len(latencies) > 5, "each order has a draw of its own"
    answers = [one.recv_ns - one.venue_ns for one in events_of(memory, OrderAccepted, OrderFilled)]
    assert min(answers) >= 30_000_000


def test_without_the_section_neither_the_configuration_nor_the_state_has_a_trace_of_it() -> None:
    assert "simulated" not in configured().canonical()
    state = SimulatedVenue(PaperConfig(), AccountConfig()).state()
    assert not {"pending", "answers", "queues", "volumes"} & set(state)
    section = SimulatedConfig(fee_tiers=("0 0.0005 0.0002",))
    state = SimulatedVenue(PaperConfig(), AccountConfig(), section).state()
    assert {"pending", "answers", "queues", "volumes"} <= set(state)


# The feed.


@given(
    st.lists(st.tuples(st.integers(0, 10**9), st.integers(-(10**8), 10**9)), min_size=1),
    st.sampled_from(["0", "35", "uniform 1 90", "exponential 2 50"]),
)
def test_the_feed_delivers_what_happened_after_its_latency_and_never_out_of_order(
    steps: list[tuple[int, int]], text: str
) -> None:
    latency = parse_latency("simulated.feed_ms", text)
    at_ns, events = NOON, []
    for step, late in steps:
        at_ns += step
        events.append(Trade(at_ns, at_ns - late, 1, 100, 1, 1))
    (found,) = delayed(iter([list(events)]), latency, 1)
    latest = 0
    for before, after in zip(events, found, strict=True):
        drawn = latency.draw_ns(1, f"feed Trade 1 {before.venue_ns}")
        latest = max(latest, before.venue_ns + drawn)
        assert after == replace(before, recv_ns=latest)


def test_a_backtest_acts_on_what_the_feed_has_delivered(tmp_path: Path) -> None:
    write_journal(tmp_path, [[*opening(configured(), NOON), *steady(300, NOON)]])
    (folder,) = [one for one in tmp_path.iterdir() if one.is_dir()]

    def first_order(section: SimulatedConfig) -> int:
        found: list[int] = []

        class Watcher:
            def append(self, first_seq: int, inputs: list[Event], derived: list[Any]) -> None:
                found.extend(event.at_ns for _, _, event in derived if isinstance(event, SubmitOrder))

        run_backtest([folder], builder(), configured(section), DigestSink(), watch=[Watcher()])
        return found[0]

    assert (
        first_order(SimulatedConfig(feed_ms="250")) == first_order(SimulatedConfig(feed_ms="0")) + 250_000_000
    )


@pytest.mark.parametrize("feed_ms", ["", "250"])
def test_at_a_seam_nothing_takes_time_whatever_the_latencies(tmp_path: Path, feed_ms: str) -> None:
    """The end of a piece is at its own time, and what is closed there is known then."""
    write_journal(tmp_path, [[*opening(configured(), NOON), *steady(300, NOON)]])
    (folder,) = [one for one in tmp_path.iterdir() if one.is_dir()]
    found: list[Event] = []

    class Watcher:
        def append(self, first_seq: int, inputs: list[Event], derived: list[Any]) -> None:
            found.extend(event for _, _, event in derived)

    section = SimulatedConfig(order_ms="uniform 20 60", answer_ms="400", feed_ms=feed_ms)
    config = configured(section)
    (name,) = [entry.title for entry in config.strategies]
    for end_ms in (5_000, 7_300, 9_600, 14_200):
        found.clear()
        end_ns = NOON + end_ms * 1_000_000
        windows = ((name, 0, NOON, end_ns),)
        run_backtest([folder], builder(), config, DigestSink(), watch=[Watcher()], windows=windows)
        sent = [one for one in found if isinstance(one, SubmitOrder)]
        exits = {one.client_order_id for one in sent if one.terms.purpose == "flatten"}
        fills = [one for one in found if isinstance(one, OrderFilled)]
        assert {one.recv_ns for one in fills if one.client_order_id in exits} == {end_ns - 1}
        assert {one.at_ns for one in sent if one.client_order_id in exits} == {end_ns - 1}
        assert sum(one.side * one.size for one in fills) == 0
        assert all(one.at_ns < end_ns for one in sent)


# Latencies of a recorded session.


def test_answers_of_a_recorded_session_are_measured_and_recorded_with_the_day_and_its_digest() -> None:
    day = GOLDEN / "2025-03-02"
    sent: dict[str, int] = {}
    round_trips = []
    for _, _, event in read_records(day):
        if isinstance(event, SubmitOrder):
            sent[event.client_order_id] = event.at_ns
        elif isinstance(event, OrderAccepted | OrderRejected) and event.client_order_id in sent:
            round_trips.append(event.recv_ns - sent.pop(event.client_order_id))
    answers, digest = answers_of(day)
    assert [one.received_ns - one.sent_ns for one in answers] == round_trips
    assert all(one.sent_ns <= one.arrived_ns <= one.received_ns for one in answers)
    asked = Config(
        simulated=SimulatedConfig(order_ms="recorded", answer_ms="recorded", refusals=("recorded",))
    )
    section = with_recorded(asked, [day]).simulated
    assert isinstance(section, SimulatedConfig)
    assert section.measured == f"{len(answers)} orders of 2025-03-02 {digest}"
    assert not section.wants_recorded()
    there = section.latency("order_ms").values
    assert there == tuple(sorted(one.arrived_ns - one.sent_ns for one in answers))
    drawn = [section.latency("order_ms").draw_ns(1, f"{number}") for number in range(200)]
    assert there[0] <= min(drawn) < max(drawn) <= there[-1]


def test_a_backtest_with_recorded_latencies_records_what_it_measured(tmp_path: Path) -> None:
    write_journal(
        tmp_path,
        [[*opening(configured(SimulatedConfig(order_ms="40", answer_ms="25")), NOON), *steady(300, NOON)]],
    )
    (folder,) = [one for one in tmp_path.iterdir() if one.is_dir()]
    asked = configured(SimulatedConfig(order_ms="recorded", answer_ms="recorded", refusals=("recorded",)))
    started: list[SessionStarted] = []

    class Watcher:
        def append(self, first_seq: int, inputs: list[Event], derived: list[Any]) -> None:
            started.extend(one for one in inputs if isinstance(one, SessionStarted))

    run_backtest([folder], builder(), asked, DigestSink(), watch=[Watcher()])
    assert '"order_ms":"40","answer_ms":"25"' in started[0].config


def test_recorded_latencies_need_orders_and_a_backtest(tmp_path: Path) -> None:
    asked = configured(SimulatedConfig(order_ms="recorded"))
    with pytest.raises(ConfigError, match="is for backtests"):
        opening(asked, NOON)
    write_journal(tmp_path, [[*opening(config_of(), NOON), *steady(30, NOON)]])
    (folder,) = [one for one in tmp_path.iterdir() if one.is_dir()]
    with pytest.raises(UsageError, match="need days in which orders were answered"):
        with_recorded(asked, [folder])


def test_refusals_last_until_an_order_is_taken_but_at_most_a_second() -> None:
    def answered(at_s: float, refused: str = "", key: str = "v:A") -> Answered:
        at_ns = int(at_s * SECOND_NS)
        return Answered(at_ns - 5, at_ns, at_ns + 5, key, refused)

    found = [
        answered(1),
        answered(2, "Too many requests"),
        answered(2.25, "Too many requests"),
        answered(2.5),
        answered(3, "Insufficient margin to place order. asset=0"),
        answered(5, "Trading is halted"),
        answered(2.1, key="v:B"),
    ]
    assert list(refusals_of(found)) == [
        "2000000000 2499999999 v:A Too many requests",
        "5000000000 6000000000 v:A Trading is halted",
    ]


@given(st.integers(0, 2**63), st.text(max_size=8))
def test_draws_stay_within_their_range_and_depend_on_seed_and_key_alone(seed: int, key: str) -> None:
    for text, least, most in (
        ("7.5", 7_500_000, 7_500_000),
        ("uniform 5 20", 5_000_000, 20_000_000),
        ("exponential 5 20", 5_000_000, 10**9),
        ("quantiles 1 1 4 9", 1_000_000, 9_000_000),
    ):
        latency = parse_latency("simulated.order_ms", text)
        assert isinstance(latency, Latency)
        drawn = latency.draw_ns(seed, key)
        assert least <= drawn <= most
        assert parse_latency("simulated.order_ms", text).draw_ns(seed, key) == drawn


@pytest.mark.parametrize(
    "text", ["", "x", "uniform 5", "uniform 9 5", "quantiles 3", "-1", "5 6", "exponential 9 8", "3600001"]
)
def test_a_text_that_is_no_latency_is_refused(text: str) -> None:
    with pytest.raises(ConfigError, match=r"simulated\.order_ms"):
        parse_latency("simulated.order_ms", text)
