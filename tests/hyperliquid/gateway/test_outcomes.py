"""Answers to actions: three levels of refusal; an unclear answer counts as lost (N16, O13, O22)."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from adapters.hyperliquid.gateway.outcomes import Accepted, Done, Lost, Refused, read_outcomes
from adapters.hyperliquid.gateway.reports import report
from adapters.hyperliquid.gateway.sender import read_answer
from engine.events import (
    CancelOrder,
    CancelRejected,
    ModifyOrder,
    ModifyRejected,
    OrderAccepted,
    OrderModified,
    OrderRejected,
    OrderTerms,
    OrderUnknown,
    SubmitOrder,
)
from engine.values import BUY

EXAMPLES = Path(__file__).resolve().parents[4] / "shared" / "exchanges" / "hyperliquid"
SUBMIT = SubmitOrder(1, "0x" + "0" * 32, "s", 1, OrderTerms(BUY, 10, 100))
CANCEL = CancelOrder(1, "0x" + "0" * 32, 1)
MODIFY = ModifyOrder(1, "0x" + "0" * 32, 1, BUY, 10, 100, "Gtc", False)


def body(statuses: list[Any]) -> bytes:
    return json.dumps(
        {"status": "ok", "response": {"type": "order", "data": {"statuses": statuses}}}
    ).encode()


ANSWERS = ("exchange-cancel", "exchange-default", "exchange-errors", "exchange-modify", "exchange-order")


def examples() -> list[Any]:
    found = [
        pytest.param(item, id=f"{name}:{item['id']}")
        for name in ANSWERS
        if (EXAMPLES / f"{name}.json").is_file()
        for item in json.loads((EXAMPLES / f"{name}.json").read_text())["items"]
    ]
    return found or [pytest.param(None, marks=pytest.mark.skip(reason="the venue's examples are not here"))]


@pytest.mark.parametrize("item", examples())
def test_every_example_of_an_answer_has_a_meaning(item: dict[str, Any]) -> None:
    response = item["response"]
    data = response["response"]
    entries = 1
    if isinstance(data, dict) and "data" in data:
        entries = len(data["data"]["statuses"])
    outcomes = read_outcomes(json.dumps(response).encode(), entries)
    assert len(outcomes) == entries
    assert not any(isinstance(one, Lost) for one in outcomes)
    if response["status"] == "err":
        assert outcomes == [Refused(response["response"], whole=True)]
    elif isinstance(data, dict) and "data" not in data:
        assert outcomes == [Done()]


@pytest.mark.parametrize(
    ("status", "outcome"),
    [
        ({"resting": {"oid": 7}}, Accepted(7)),
        ({"resting": {"oid": 7, "cloid": "0x1"}, "more": 1}, Accepted(7)),
        ({"filled": {"totalSz": "1", "avgPx": "2", "oid": 8}}, Accepted(8, "1")),
        ("waitingForFill", Accepted(0)),
        ("waitingForTrigger", Accepted(0)),
        ("success", Done()),
        (
            {"error": "Price must be divisible by tick size. asset=173"},
            Refused("Price must be divisible by tick size."),
        ),
    ],
)
def test_a_status_is_read(status: Any, outcome: Any) -> None:
    assert read_outcomes(body([status]), 1) == [outcome]


@pytest.mark.parametrize(
    "status",
    [
        None,
        7,
        "",
        "unheard",
        {},
        [],
        {"resting": {}},
        {"resting": {"oid": "7"}},
        {"resting": {"oid": True}},
        {"filled": {"oid": -1, "totalSz": "1"}},
        {"filled": {"oid": 8}},
        {"filled": {"oid": 8, "totalSz": 1}},
        {"filled": {"oid": 8, "totalSz": "1e3"}},
        {"filled": {"oid": 8, "totalSz": "-1"}},
    ],
)
def test_o22_an_unknown_status_counts_as_a_lost_answer(status: Any) -> None:
    assert isinstance(read_outcomes(body([status]), 1)[0], Lost)


def test_o22_each_entry_has_its_own_outcome_and_a_wrong_count_loses_all() -> None:
    mixed = [{"resting": {"oid": 1}}, {"error": "no asset=1"}, {"filled": {"oid": 2, "totalSz": "3"}}]
    assert read_outcomes(body(mixed), 3) == [Accepted(1), Refused("no"), Accepted(2, "3")]
    for count in (2, 4):
        assert all(isinstance(one, Lost) for one in read_outcomes(body(mixed), count))
    # One error before the execution applies to the whole batch.
    assert read_outcomes(body([{"error": "no"}]), 3) == [Refused("no")] * 3
    assert all(isinstance(one, Lost) for one in read_outcomes(body(["success"]), 3))


@given(st.binary(max_size=80) | st.text(max_size=80).map(str.encode), st.integers(1, 4))
def test_v02_any_bytes_are_read_without_an_error(data: bytes, entries: int) -> None:
    assert len(read_outcomes(data, entries)) == entries


names = st.sampled_from(["status", "response", "data", "statuses", "error", "ok", "resting", "oid"])
trees: st.SearchStrategy[Any] = st.recursive(
    st.none() | st.integers() | st.text(max_size=9) | names,
    lambda one: st.lists(one, max_size=3) | st.dictionaries(names, one, max_size=4),
    max_leaves=12,
)


@given(trees)
def test_v04_any_json_is_read_without_an_error(tree: Any) -> None:
    assert len(read_outcomes(msgspec.json.encode(tree), 2)) == 2


@pytest.mark.parametrize("status", [429, 403, 418, 500, 502, 503, 504, 302, 204])
@pytest.mark.parametrize("data", [b"", b"<html>bad</html>", b"null", body(["success"])])
def test_n16_an_http_error_leaves_an_order_unknown(status: int, data: bytes) -> None:
    (outcome,) = read_answer(status, data, 1)
    assert isinstance(outcome, Lost)
    assert not outcome.unsent
    assert [type(one) for one in report(SUBMIT, outcome, 5)] == [OrderUnknown]


@pytest.mark.parametrize("status", [400, 415, 422])
def test_a_request_that_the_venue_could_not_read_was_not_executed(status: int) -> None:
    (outcome,) = read_answer(status, b"Failed to deserialize", 1)
    (reported,) = report(SUBMIT, outcome, 5)
    assert isinstance(reported, OrderRejected)
    assert str(status) in reported.reason


@pytest.mark.parametrize(
    ("command", "outcome", "reported"),
    [
        (SUBMIT, Accepted(7), OrderAccepted),
        (SUBMIT, Accepted(7, "0.5"), OrderAccepted),
        (SUBMIT, Refused("no"), OrderRejected),
        (SUBMIT, Refused("no", whole=True), OrderRejected),
        (SUBMIT, Lost("x", unsent=True), OrderRejected),
        (SUBMIT, Lost("x"), OrderUnknown),
        (SUBMIT, Done(), OrderUnknown),
        (SUBMIT, Refused("Order with this cloid already exists"), OrderUnknown),
        (SUBMIT, Refused("Client order id was used before."), OrderUnknown),
        (CANCEL, Refused("never placed"), CancelRejected),
        (CANCEL, Lost("x", unsent=True), CancelRejected),
        (CANCEL, Lost("x"), OrderUnknown),
        (MODIFY, Accepted(9), OrderModified),
        (MODIFY, Refused("no"), ModifyRejected),
        (MODIFY, Lost("x"), OrderUnknown),
        (MODIFY, Done(), OrderUnknown),
    ],
)
def test_o13_the_report_of_a_command_states_only_what_was_proved(
    command: Any, outcome: Any, reported: type
) -> None:
    assert [type(one) for one in report(command, outcome, 5)] == [reported]


def test_a_successful_cancel_is_reported_by_the_stream_which_knows_the_fills() -> None:
    assert report(CANCEL, Done(), 5) == []


def test_an_order_that_waits_for_another_is_accepted_without_a_number() -> None:
    assert report(SUBMIT, Accepted(0), 5) == [OrderAccepted(5, 5, SUBMIT.client_order_id, 0)]


def test_a_refusal_of_a_million_blanks_is_cut_before_it_is_searched() -> None:
    """V06: the search for the asset's number at its end took the square of the length, which is hours."""
    body = b'{"status":"err","response":"' + b" " * 1_000_000 + b'x"}'
    assert read_outcomes(body, 1) == [Refused(" " * 300, whole=True)]
