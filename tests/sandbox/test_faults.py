"""When faults fire: by chance from a seed, or armed. Invalid specifications are refused."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from adapters.exchange.faults import FRAME_KINDS, REQUEST_KINDS, Fault, Faults
from adapters.sandbox.server import Sandbox, SandboxOptions
from adapters.sandbox.wire import PONG, channel_of, frame, scope_of
from engine.errors import UsageError

SPEC = "drop:0.2@market,delay:0.1/800@user,lost-reply:0.3@exchange,5xx:0.1,duplicate:0.1@ws,restart:0.01"

message_scopes = st.lists(st.sampled_from(["info", "exchange", "market", "user"]), max_size=300)


def draw(faults: Faults, scopes: list[str]) -> list[Fault | None]:
    return [
        faults.for_request(scope) if scope in ("info", "exchange") else faults.for_frame(scope)
        for scope in scopes
    ]


@given(st.integers(0, 2**64), message_scopes)
def test_the_same_seed_and_messages_give_the_same_faults(seed: int, scopes: list[str]) -> None:
    one, two = Faults(SPEC, seed), Faults(SPEC, seed)
    fired = draw(one, scopes)
    assert fired == draw(two, scopes)
    assert one.fired == two.fired
    assert sum(one.fired.values()) == sum(fault is not None for fault in fired)


@given(st.integers(0, 2**64), message_scopes)
def test_faults_hit_only_the_scopes_they_apply_to(seed: int, scopes: list[str]) -> None:
    for scope, fault in zip(scopes, draw(Faults(SPEC, seed), scopes), strict=True):
        allowed = {
            "info": {"5xx", "restart"},
            "exchange": {"lost-reply", "5xx", "restart"},
            "market": {"drop", "duplicate", "restart"},
            "user": {"delay", "duplicate", "restart"},
        }[scope]
        assert fault is None or fault.kind in allowed
        assert fault is None or fault.ms <= {"delay": 800, "restart": 3000}.get(fault.kind, 0)


def test_another_seed_gives_other_faults() -> None:
    scopes = ["exchange", "market"] * 50
    assert draw(Faults(SPEC, 1), scopes) != draw(Faults(SPEC, 2), scopes)


@pytest.mark.parametrize("chance", ["0.1", "0.5", "0.9"])
def test_a_fault_fires_about_as_often_as_configured(chance: str) -> None:
    faults = Faults(f"drop:{chance}")
    draw(faults, ["market"] * 10_000)
    assert faults.fired["drop"] == pytest.approx(10_000 * float(chance), abs=250)


def test_chance_0_never_fires_and_chance_1_always_does() -> None:
    never, always = Faults("drop:0"), Faults("drop:1")
    assert draw(never, ["user"] * 100) == [None] * 100
    assert draw(always, ["user"] * 100) == [Fault("drop")] * 100


def test_an_armed_fault_hits_the_next_messages_and_no_others() -> None:
    faults = Faults()
    faults.arm("lost-reply", 2, scope="exchange")
    faults.arm("late-reply", ms=70)
    assert faults.for_request("exchange") == Fault("lost-reply")
    assert faults.for_request("info") == Fault("late-reply", 70)
    assert faults.for_frame("user") is None
    assert faults.for_request("exchange") == Fault("lost-reply")
    assert faults.for_request("exchange") is None
    assert faults.fired == {"lost-reply": 2, "late-reply": 1}


def test_an_armed_fault_has_priority_over_chance() -> None:
    faults = Faults("drop:1")
    faults.arm("cut", scope="user")
    assert faults.for_frame("market") == Fault("drop")
    assert faults.for_frame("user") == Fault("cut")
    assert faults.for_frame("user") == Fault("drop")


def test_a_random_delay_varies_and_an_armed_one_is_exact() -> None:
    faults = Faults("delay:1/1000")
    drawn = [fault.ms for fault in draw(faults, ["market"] * 50) if fault]
    assert len(set(drawn)) > 20
    assert max(drawn) < 1000
    faults.arm("delay", ms=250)
    assert faults.for_frame("market") == Fault("delay", 250)


def test_nothing_fires_once_disarmed() -> None:
    faults = Faults("drop:1,5xx:1")
    faults.arm("429", 5)
    faults.disarm()
    assert draw(faults, ["info", "exchange", "market", "user"]) == [None] * 4
    assert not faults.fired


@pytest.mark.parametrize("kind", sorted({*REQUEST_KINDS, *FRAME_KINDS}))
def test_every_kind_can_be_specified(kind: str) -> None:
    faults = Faults(f" {kind}:1/20 , ")
    fault = faults.for_request("info") if kind in REQUEST_KINDS else faults.for_frame("market")
    assert fault is not None
    assert fault.kind == kind
    assert faults.fired == {kind: 1}


@pytest.mark.parametrize(
    "spec",
    [
        "drop",
        "drop:",
        "drop:2",
        "drop:-1",
        "drop:1.0.0",
        "drop:.",
        "drop:1e-3",
        "drop:0.1/",
        "drop:0.1/x",
        "drop:0.1/99999999",
        "drop:0.1@",
        "drop:0.1@everywhere",
        "drop:0.1@exchange",
        "lost-reply:0.1@user",
        "nonsense:0.1",
        "drop:0.1 cut:0.1",
    ],
)
def test_an_invalid_specification_is_refused_before_anything_starts(spec: str) -> None:
    with pytest.raises(UsageError):
        Sandbox(SandboxOptions(faults=spec))


@pytest.mark.parametrize(("kind", "scope"), [("nonsense", ""), ("drop", "info"), ("429", "ws")])
def test_an_unknown_kind_or_scope_cannot_be_armed(kind: str, scope: str) -> None:
    with pytest.raises(UsageError):
        Faults().arm(kind, scope=scope)


@pytest.mark.parametrize(
    ("text", "channel", "scope"),
    [
        (frame("l2Book", "{}"), "l2Book", "market"),
        (frame("userFills", "{}"), "userFills", "user"),
        (frame("user", "{}"), "user", "user"),
        (frame("spotState", "{}"), "spotState", "user"),
        (frame("subscriptionResponse", "{}"), "subscriptionResponse", ""),
        (PONG, "pong", ""),
    ],
)
def test_a_frame_belongs_to_the_scope_of_its_channel(text: str, channel: str, scope: str) -> None:
    assert channel_of(text) == channel
    assert scope_of(channel) == scope


def test_a_server_error_has_any_of_the_statuses_with_or_without_html() -> None:
    faults = Faults()
    seen = {faults.failure() for _ in range(200)}
    assert {status for status, _ in seen} == {500, 502, 503, 504}
    assert len(seen) == 8
    assert {body[:6] for _, body in seen} == {"", "<html>"}
