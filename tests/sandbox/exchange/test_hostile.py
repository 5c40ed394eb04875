"""The exchange answers every request, and its accounts stay consistent."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from adapters.sandbox.exchange.actions import canonical, parse_request
from adapters.sandbox.exchange.refusals import BadRequest
from adapters.sandbox.exchange.states import clearinghouse_state
from tests.profiles import examples
from tests.sandbox.exchange.kit import ALICE, ALO, GTC, IOC, ExchangeDriver, signed, trigger, wire

WHOLE = st.one_of(
    st.integers(0, 3), st.sampled_from([2**31, 2**32, 2**53, 2**63 - 1, 2**63, 2**64, -1, -(2**63)])
)
NUMBER = st.one_of(
    st.sampled_from(["84144", "84000", "0", "00", "0.0", "1", "0.00001", "9" * 30, "0." + "9" * 30, "1e9"]),
    st.from_regex(r"\A[0-9]{1,8}(\.[0-9]{1,8})?\Z"),
    st.text(max_size=6),
)
KIND = st.one_of(
    st.sampled_from([GTC, IOC, ALO, {}, {"limit": {"tif": "Fok"}}]),
    st.builds(
        lambda price, tpsl, market: trigger(price, tpsl, market=market),
        NUMBER,
        st.sampled_from(["tp", "sl"]),
        st.booleans(),
    ),
)
CLOID = st.one_of(st.none(), st.sampled_from(["0x" + "ab" * 16, "ab" * 16, "0x" + "AB" * 16, "0x1", ""]))
ORDER = st.builds(
    lambda price, size, buy, kind, reduce, cloid, asset: wire(
        price, size, buy=buy, kind=kind, reduce_only=reduce, cloid=cloid, asset=asset
    ),
    NUMBER, NUMBER, st.booleans(), KIND, st.booleans(), CLOID, WHOLE,
)  # fmt: skip
GROUPING = st.one_of(st.sampled_from(["na", "normalTpsl", "positionTpsl", "x"]), st.builds(dict, p=WHOLE))
OID = st.one_of(WHOLE, CLOID, st.integers(100_000_000_000, 100_000_000_010))
ACTION: st.SearchStrategy[dict[str, Any]] = st.one_of(
    st.builds(dict, type=st.just("order"), orders=st.lists(ORDER, max_size=4), grouping=GROUPING),
    st.builds(
        dict,
        type=st.just("cancel"),
        cancels=st.lists(st.builds(dict, a=WHOLE, o=OID), max_size=3),
        f=st.booleans(),
    ),
    st.builds(
        dict,
        type=st.just("cancelByCloid"),
        cancels=st.lists(st.builds(dict, asset=WHOLE, cloid=CLOID), max_size=3),
    ),
    st.builds(dict, type=st.just("modify"), oid=OID, order=ORDER, a=st.booleans()),
    st.builds(
        dict,
        type=st.just("batchModify"),
        modifies=st.lists(st.builds(dict, oid=OID, order=ORDER), max_size=3),
        a=st.booleans(),
    ),
    st.builds(dict, type=st.just("scheduleCancel"), time=st.one_of(st.none(), WHOLE)),
    st.builds(
        dict, type=st.just("updateLeverage"), asset=WHOLE, isCross=st.booleans(), leverage=st.integers(-1, 60)
    ),
    st.builds(dict, type=st.just("updateIsolatedMargin"), asset=WHOLE, isBuy=st.booleans(), ntli=WHOLE),
    st.builds(dict, type=st.just("reserveRequestWeight"), weight=WHOLE),
    st.builds(dict, type=st.just("noop")),
)


@examples(0.6)
@given(st.lists(ACTION, max_size=25))
def test_v05_every_signed_action_is_answered(actions: list[dict[str, Any]]) -> None:
    driver = ExchangeDriver(volumes=[(ALICE, "2000000")])
    for number, action in enumerate(actions):
        nonce = driver.nonce()
        body = {"action": action, "nonce": nonce, "signature": {"r": "0x1", "s": "0x1", "v": 27}}
        try:
            request = parse_request(json.dumps(body).encode())
        except BadRequest:
            continue
        # Sign the canonical form, so that the signature is valid.
        answer = driver.send(signed(canonical(request.action), nonce))
        assert answer["status"] in ("ok", "err")
        assert "does not exist" not in str(answer["response"])
        driver.quote(str(84_000 + number * 31 % 300), str(84_001 + number * 31 % 300), "0.4")
    state = clearinghouse_state(driver.alice, driver.exchange.margin, driver.now_ms)
    assert state["time"] == driver.now_ms


@examples(2)
@given(st.one_of(st.binary(max_size=200), st.text(max_size=200).map(str.encode)))
def test_v02_bytes_that_are_not_a_request_raise_one_error(body: bytes) -> None:
    driver = ExchangeDriver()
    with pytest.raises(BadRequest):
        driver.exchange.act(body, driver.now_ms)


def test_v03_deep_nesting_raises_the_same_error() -> None:
    driver = ExchangeDriver()
    for body in (b"[" * 100_000, b'{"action":' * 100_000):
        with pytest.raises(BadRequest) as caught:
            driver.exchange.act(body, driver.now_ms)
        assert caught.value.status == 400
