"""The requests of operators: what is accepted, what is an error with which code, how they are recorded."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from engine.errors import CommandError
from engine.events.codec import decode_inputs, encode_inputs
from engine.operator.requests import (
    NONCE_LENGTH_MAX,
    STATUS,
    AnyRequest,
    Order,
    Set,
    command_of,
    parse_request,
    request_of,
)

WHOLE: dict[str, dict[str, Any]] = {
    "pause": {},
    "resume": {"market": "BTC"},
    "halt": {},
    "cancel": {"strategy": "S", "protective": True},
    "flatten": {"all": True},
    "order": {"market": "BTC", "side": "buy", "size": "0.5", "limit": 100, "stop_loss": 97.5},
    "set": {"strategy": "S", "name": "period", "value": 20},
    "restart": {"strategy": "S"},
    "stop-strategy": {"strategy": "S"},
    "disarm": {},
    "stop": {},
}


def ask(command: str, **members: Any) -> AnyRequest:
    return parse_request(msgspec.json.encode({"command": command, "nonce": "n-1", **members}), "socket:7")


def parsed(members: dict[str, Any]) -> AnyRequest | None:
    """Return the request, or None if it is an error with a code."""
    try:
        return parse_request(members)
    except CommandError as error:
        if error.code not in STATUS:
            raise
        return None


def code(command: str, **members: Any) -> str:
    with pytest.raises(CommandError) as caught:
        ask(command, **members)
    text = str(caught.value)
    assert text
    assert "\n" not in text
    assert caught.value.code in STATUS
    return caught.value.code


@pytest.mark.parametrize("command", WHOLE)
def test_every_command_is_recorded_and_read_back(command: str) -> None:
    request = ask(command, **WHOLE[command])
    recorded = command_of(request, 5)
    assert (recorded.command, recorded.nonce, recorded.who) == (command, "n-1", "socket:7")
    assert decode_inputs(encode_inputs([recorded])) == [recorded]
    again = command_of(request_of(recorded), 5)
    assert again == recorded, "one form for one request"
    assert list(recorded.arguments) == sorted(recorded.arguments)


def test_a_number_is_recorded_as_plain_text_however_it_was_given() -> None:
    texts = [
        dict(command_of(ask("order", market="BTC", side="buy", size=size), 5).arguments)["size"]
        for size in ("0.1", 0.1, 2, 2.0, 1e-7, 1e15)
    ]
    assert texts == ["0.1", "0.1", "2", "2", "0.0000001", "1000000000000000"]


@pytest.mark.parametrize("command", ["cancel", "flatten"])
def test_nothing_is_canceled_or_closed_without_one_selector(command: str) -> None:
    assert code(command) == "selector"
    assert code(command, all=False) == "selector"
    assert code(command, market="") == "selector"
    assert code(command, strategy="  ") == "selector"
    assert code(command, market="BTC", all=True) == "selector"
    assert code(command, market="BTC", strategy="S") == "selector"
    assert code(command, all="all") == "invalid"
    assert code(command, market=None, al=True) == "invalid", "an unknown member is not ignored"


def test_an_empty_strategy_never_means_all() -> None:
    for command in ("pause", "resume", "restart", "stop-strategy"):
        assert code(command, strategy="") == "selector"
    assert code("resume", market="") == "selector"


def test_a_nonce_is_needed_and_bounded() -> None:
    with pytest.raises(CommandError) as caught:
        parse_request({"command": "halt"})
    assert caught.value.code == "nonce"
    for nonce in ("", " ", "a b", "é", "n" * (NONCE_LENGTH_MAX + 1), "n\n"):
        assert code("halt", nonce=nonce) == "nonce"


@pytest.mark.parametrize("size", ["0", "-1", "1e5", "", "x", "NaN", " 1", "1.", True, -1, 0, "9" * 30, [1]])
def test_a_size_is_a_plain_decimal_number_above_zero(size: Any) -> None:
    assert code("order", market="BTC", side="buy", size=size) in ("number", "invalid")


def test_an_order_that_contradicts_itself_is_an_error() -> None:
    base = {"market": "BTC", "side": "buy"}
    assert code("order", **base) == "invalid"
    assert code("order", **base, size=1, percent=5) == "invalid"
    assert code("order", **base, size=1, post_only=True) == "invalid"
    assert code("order", **base, size=1, reduce_only=True, stop_loss=5) == "invalid"
    assert code("order", **base, size=1, kind="tp") == "invalid"
    assert code("order", market="BTC", side="long", size=1) == "invalid"


def test_text_is_printable_and_bounded() -> None:
    assert code("flatten", market="B" * 81) == "invalid"
    assert code("flatten", market="B\x1b[2J") == "invalid"
    assert code("halt", who="a\nb") == "invalid"
    assert code("halt", wait_s=1e9) == "invalid"
    assert code("launch") == "unknown_command"
    for body in (b"", b"[]", b"{", b"\xff", b'{"command": 7}', b" " * 5000):
        with pytest.raises(CommandError):
            parse_request(body)


@given(
    st.recursive(st.none() | st.booleans() | st.integers() | st.floats() | st.text(), st.lists, max_leaves=3)
)
def test_any_value_of_any_member_is_a_request_or_an_error_with_a_code(value: Any) -> None:
    for command, members in WHOLE.items():
        for name in {**members, "nonce": 0, "who": 0, "wait_s": 0}:
            given_ = {"command": command, "nonce": "n", **members, name: value}
            request = parsed(given_)
            if request is not None:
                recorded = command_of(request, 5)
                assert decode_inputs(encode_inputs([recorded])) == [recorded]
                assert command_of(request_of(recorded), 5) == recorded


def test_requests_know_their_types() -> None:
    assert isinstance(ask("order", **WHOLE["order"]), Order)
    value = ask("set", strategy="S", name="x", value="1")
    assert isinstance(value, Set)
    assert value.value == "1", "text stays text: the parameter's type decides"


@pytest.mark.parametrize(
    "members",
    [
        '"command": "pause", "command": "halt"',
        '"command": "flatten", "all": true, "all": false, "market": "BTC"',
        '"command": "order", "market": "BTC", "side": "buy", "size": "0.1", "size": "0.2"',
        r'"command": "order", "market": "BTC", "side": "buy", "size": "0.1", "s\u0069ze": "0.2"',
        '"command": "halt", "nonce": "n-2"',
    ],
)
def test_a_member_that_is_given_twice_is_an_error(members: str) -> None:
    with pytest.raises(CommandError, match="is given twice") as caught:
        parse_request(f'{{"nonce": "n-1", {members}}}')
    assert caught.value.code == "invalid"


@pytest.mark.parametrize("body", [b"[" * 4000, b"[" * 2000 + b"]" * 2000, b'{"a":' * 800])
def test_a_body_that_is_nested_deeply_is_an_error_of_the_request(body: bytes) -> None:
    with pytest.raises(CommandError) as caught:
        parse_request(body)
    assert caught.value.code == "invalid"


@pytest.mark.parametrize("value", [1e80, -1e79, 9.999999999999996e79, 1e300, 1e-90])
def test_a_value_whose_text_is_too_long_for_its_record_is_an_error(value: float) -> None:
    assert code("set", strategy="S", name="x", value=value) == "number"
